"""The filter language: what each term means, and where a mistake is."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracing import ids, search
from tracing.search import (
    Address,
    Anywhere,
    Group,
    Id,
    InState,
    Ip,
    Matcher,
    MessageId,
    Query,
    Subject,
)
from tracing.states import State

EAST = timezone(timedelta(hours=3))
NOW = datetime(2026, 11, 24, 14, 30, 15, 250_000, tzinfo=EAST)
NOW_US = int(NOW.timestamp() * 1_000_000)
SIX = bytes.fromhex("20010db8" + "0" * 23 + "1")


def parse(text: str) -> Query:
    return search.parse(text, NOW_US, EAST)


@pytest.mark.parametrize(
    ("text", "matcher"),
    [
        ("from:Alice@Example.ORG", Address("from", exact="alice@example.org")),
        ("from:<alice@example.org>", Address("from", exact="alice@example.org")),
        ("from:<>", Address("from", null=True)),
        ("to:@Example.org", Address("to", domain="example.org")),
        ("to:*@example.org", Address("to", domain="example.org")),
        ("to:@*.example.org", Address("to", domain="example.org")),
        ("to:@пример.рф", Address("to", domain="xn--e1afmkfd.xn--p1ai")),
        ("to:someone", Address("to", part="someone")),
        ("to:Иван", Address("to", part="иван")),
        ("msgid:<1@x>", MessageId("1@x")),
        ("msgid:1@x", MessageId("1@x")),
        ("ip:192.0.2.7", Ip(bytes([192, 0, 2, 7]), bytes([192, 0, 2, 7]))),
        ("ip:192.0.2.0/24", Ip(bytes([192, 0, 2, 0]), bytes([192, 0, 2, 255]))),
        ("ip:2001:db8::1", Ip(SIX, SIX)),
        ("subj:Счёт", Subject(("Счет",))),
        ('subj:"a b*"', Subject(("a", "b*"))),
        ("state:delivered", InState((State.STORED,))),
        ("state:OPEN", InState((State.QUEUED, State.DEFERRED, State.HELD))),
    ],
)
def test_terms(text: str, matcher: Matcher) -> None:
    (term,) = parse(text).terms
    assert (term.matcher, term.negated) == (matcher, False)
    for sign in "!-":
        (term,) = parse(sign + text).terms
        assert (term.matcher, term.negated) == (matcher, True)


def test_ids_and_their_beginnings() -> None:
    number = ids.lowest(NOW_US) + 77
    whole, begun = ids.text(number), ids.text(number)[:8]
    assert search.ids_from(whole) == Id(number, number + 1)
    span = search.ids_from(begun.upper())
    assert span is not None
    assert span.low <= number < span.high
    assert span.high - span.low == 1 << 25
    assert search.ids_from(begun[:5]) is None
    assert search.ids_from("hello world") is None


def test_a_bare_word_looks_everywhere() -> None:
    (term,) = parse("192.0.2.7").terms
    assert isinstance(term.matcher, Anywhere)
    kinds = {type(one) for one in term.matcher.terms}
    assert kinds == {Subject, Address, MessageId, Ip}
    (term,) = parse('"two words"').terms
    assert term.matcher == Anywhere((Subject(("two", "words")),))


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("15m", NOW - timedelta(minutes=15)),
        ("3h", NOW - timedelta(hours=3)),
        ("2d", NOW - timedelta(days=2)),
        ("1w", NOW - timedelta(weeks=1)),
        ("today", datetime(2026, 11, 24, tzinfo=EAST)),
        ("yesterday", datetime(2026, 11, 23, tzinfo=EAST)),
        ("now", NOW),
        ("вчера", datetime(2026, 11, 23, tzinfo=EAST)),
        ("Сегодня", datetime(2026, 11, 24, tzinfo=EAST)),
        ("15м", NOW - timedelta(minutes=15)),
        ("20.11", datetime(2026, 11, 20, tzinfo=EAST)),
        ("25.11", datetime(2025, 11, 25, tzinfo=EAST)),
        ("29.2", datetime(2024, 2, 29, tzinfo=EAST)),
        ("1.02.2026", datetime(2026, 2, 1, tzinfo=EAST)),
        ("14:20", datetime(2026, 11, 24, 14, 20, tzinfo=EAST)),
        ("14:50", datetime(2026, 11, 23, 14, 50, tzinfo=EAST)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=EAST)),
        ("2026-11-20T14:00", datetime(2026, 11, 20, 14, tzinfo=EAST)),
        ("2026-11-20T14:00:00Z", datetime(2026, 11, 20, 14, tzinfo=UTC)),
        ("2026-11-20T14:00-05:00", datetime(2026, 11, 20, 19, tzinfo=UTC)),
    ],
)
def test_times(text: str, when: datetime) -> None:
    expected = int(when.timestamp() * 1_000_000)
    assert parse(f"since:{text}").since == expected
    assert parse(f"until:{text} x").until == expected


def test_the_narrowest_span_counts() -> None:
    query = parse("since:2d since:1d until:1h until:2h")
    assert query.since == NOW_US - 86_400_000_000
    assert query.until == NOW_US - 7_200_000_000
    assert query.terms == ()


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("frm:alice", 0, "did you mean from:?"),
        ("to:a sinse:2d", 5, "did you mean since:?"),
        ("qqq:x", 0, "there are from, to,"),
        ("state:deliverd", 6, "did you mean delivered?"),
        ("to:", 0, "nothing stands after to:"),
        ('subj:"open', 5, "not closed"),
        ("subj:!!!", 5, "no word"),
        ("x id:abc", 5, "6 to 13"),
        ("ip:300.1.1.1", 3, "no IP address"),
        ("since:whenever", 6, "no time"),
        ("since:99999999999999d", 6, "no time"),
        ("since:25:00", 6, "no time"),
        ("!since:2d", 0, "write until:"),
        ("since:31.2", 6, "no time"),
        ("on:2026-11-20..soon", 3, "no time"),
        ("(a", 0, "not closed"),
        ("a |", 2, "missing here"),
        ("| a", 0, "missing here"),
        ("a () b", 2, "nothing stands in the brackets"),
        ("a||b", 1, "nothing stands after |"),
        ("(" * 9 + "a" + ")" * 9, 8, "at most 8 brackets"),
        ("to:a*b@c", 3, "at the beginning or at the end"),
        ("dir:inn", 4, "did you mean in?"),
        ("size:huge", 5, "no size"),
        ("size:..", 5, "at one end"),
        ("wait:>soon", 5, "no time span"),
        ("tries:>-1", 6, "no number"),
        ("domain:@", 7, "no domain"),
        ("a " * 40, 64, "at most 32 terms"),
        ("x" * 5000, 0, "at most 4096"),
    ],
)
def test_mistakes_are_shown_in_place(text: str, position: int, says: str) -> None:
    with pytest.raises(search.SearchError) as told:
        parse(text)
    assert says in str(told.value)
    assert told.value.position == position
    assert told.value.caret.splitlines()[-1] == "  " + " " * position + "^"


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("on:yesterday", datetime(2026, 11, 23, tzinfo=EAST), datetime(2026, 11, 24, tzinfo=EAST)),
        ("on:2d", datetime(2026, 11, 22, tzinfo=EAST), datetime(2026, 11, 23, tzinfo=EAST)),
        (
            "on:20.11..22.11",
            datetime(2026, 11, 20, tzinfo=EAST),
            datetime(2026, 11, 23, tzinfo=EAST),
        ),
        (
            "at:14:20",
            datetime(2026, 11, 24, 14, 20, tzinfo=EAST),
            datetime(2026, 11, 24, 14, 21, tzinfo=EAST),
        ),
    ],
)
def test_a_day_and_a_minute(text: str, begin: datetime, end: datetime) -> None:
    query = parse(text)
    assert (query.since, query.until) == tuple(int(t.timestamp() * 1_000_000) for t in (begin, end))
    assert query.terms == ()
    (term,) = parse("!" + text).terms
    assert term.negated
    assert term.matcher == Id(ids.lowest(query.since or 0), ids.lowest(query.until or 0))


def test_bars_and_brackets() -> None:
    a, b, c = (parse(text).terms[0] for text in ("to:a", "to:b", "to:c"))
    tight = parse("to:a|b to:c")
    assert [type(term.matcher) for term in tight.terms] == [Group, Address]
    group = tight.terms[0].matcher
    assert isinstance(group, Group)
    assert [[one.matcher for one in way] for way in group.alternatives] == [
        [a.matcher],
        [b.matcher],
    ]
    (loose,) = parse("to:a to:b | to:c").terms
    assert loose.matcher == Group(((a, b), (c,)))
    assert parse("(to:a to:b)").terms == (a, b)
    assert parse("*") == Query("*")
    assert parse("msgid:<a|b@c>").terms[0].matcher == MessageId("a|b@c")


def test_a_query_keeps_its_words() -> None:
    query = parse('  to:a  !"two words"  ')
    assert query.text == 'to:a  !"two words"'
    assert [term.written for term in query.terms] == ["to:a", '!"two words"']
    assert parse("").terms == ()


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=12),
            st.sampled_from(
                [*[f"{name}:" for name in search.FIELDS], " ", '"', "!", "-", "@", "*"]
            ),
        ),
        max_size=12,
    ).map("".join)
)
def test_nothing_but_a_search_error(text: str) -> None:
    where = 0
    try:
        assert len(parse(text).terms) <= search.MAX_TERMS
    except search.SearchError as error:
        where = error.position
    assert 0 <= where <= len(text)
