"""Every way to find messages gives what a plain look at each message gives, in the same order."""

import ipaddress
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtad.where import Kept
from tests.tracing_events import AT, DECEMBER, Mail, mint
from tracing import addresses, conditions, events, finding, ids, search
from tracing.log import Applied, Recorder
from tracing.queries import Log, Recipient, Row
from tracing.states import State

NOW = DECEMBER + 10**10
MESSAGES = 360
PEOPLE = (
    "anna@example.org",
    "Annabel@sub.example.org",
    "joanna@example.org",
    "bounce@example.org.lists.example.com",
    "ёлкин@example.net",
    "Ёлка@xn--e1afmkfd.xn--p1ai",
    "елена@пример.рф",
    "postmaster",
    '"we@ird"@example.org',
    "x@mail.ex.ample.org",
    "straße@example.de",
    "dell\x7fanna@example.org",
    "%_\\'\"anna@example.org",
    "",
)
WORDS = ("счёт", "Отчёт", "invoice", "figures", "Anna", "annual")


@dataclass(frozen=True)
class Fact:
    """All that a query can ask of a message, read in the plainest way."""

    row: Row
    recipients: Sequence[Recipient]

    def fits(self, term: search.Term) -> bool:
        return self._fits(term.matcher) is not term.negated

    def _fits(self, matcher: search.Matcher) -> bool:
        row = self.row
        match matcher:
            case search.Address(role="from"):
                if matcher.null:
                    return not row.sender
                return bool(row.sender) and means(matcher, row.sender)
            case search.Address():
                named = [text for one in self.recipients for text in (one.addr, one.original)]
                return any(means(matcher, text) for text in named if text)
            case search.MessageId(value):
                return row.message_id != "" and row.message_id in (value, f"<{value}>")
            case search.Id(low, high):
                return low <= row.id < high
            case search.Ip(low, high):
                packed = ipaddress.ip_address(row.ip).packed if row.ip else b""
                return len(packed) == len(low) and low <= packed <= high
            case search.Subject(words):
                there = addresses.words(row.subject).lower().split()
                return all(
                    any(w.startswith(word[:-1]) if word[-1] == "*" else w == word for w in there)
                    for word in map(str.lower, words)
                )
            case search.InState(states):
                return bool({row.state, *(one.state for one in self.recipients)} & {*states})
            case search.Anywhere(terms):
                return any(map(self._fits, terms))
            case _:
                raise AssertionError(f"no question here asks for {matcher}")


def means(matcher: search.Address, address: str) -> bool:
    """Whether an address is one of those a matcher names."""
    local, host = addresses.split(address)
    if matcher.null:
        return False
    if matcher.exact:
        return address == matcher.exact
    if matcher.domain:
        return f".{host}".endswith(f".{matcher.domain}")
    if len(matcher.part) < 3:
        return local.startswith(matcher.part)
    part = addresses.words(matcher.part)
    readable = any("\0" not in part[at : at + 3] for at in range(len(part) - 2))
    return readable and part in addresses.words(address)


@pytest.fixture(scope="module")
def known(new_log: Callable[[], Kept]) -> Iterator[tuple[Log, list[Fact]]]:
    """Two months: one-off senders and recipients, lists, aliases, refusals; newest first."""
    directory = new_log()
    pick = random.Random(11)
    recorder = Recorder(directory)
    numbers = []
    for number in range(MESSAGES):
        at = (AT if number < MESSAGES // 2 else DECEMBER) + number * 7_000_000
        one_off = f"bounce-{number:05x}@lists{number % 3}.example.com"
        mail = Mail(
            mint(at),
            at=at,
            sender=one_off if number % 3 == 0 else pick.choice(PEOPLE),
            to=[
                f"Box{number:04}@example.org" if n % 4 == 3 else pick.choice(PEOPLE[:9])
                for n in range(pick.choice((1, 1, 1, 2, 3, 6)))
            ],
            box="box@example.org" if number % 7 == 0 else "",
            subject=" ".join(pick.sample(WORDS, number % 4)),
            message_id=f"<{number}.anna@example.net>" if number % 5 else "",
            ip=pick.choice(("192.0.2.7", "192.0.2.77", "198.51.100.4", "2001:db8::7")),
        )
        refused = events.SmtpReject(
            at=at, trace=mail.m, addr=f"nobody{number}@example.org", code=550, stage="rcpt"
        )
        told = mail.whole()
        if number % 6 == 0:
            told = [*mail.begin(), events.SmtpTempfail(at=at, trace=mail.m, code=451, stage="dot")]
        elif number % 6 == 1:
            told = [*mail.begin(), refused, *mail.accept()]
        numbers.append(mail.m)
        recorder.apply([Applied("mta-0", number + 1, 0, told)])
    recorder.analyze()
    recorder.close()
    log = Log(directory)
    rows = log.rows(numbers)
    yield log, [Fact(rows[m], log.recipients(m)) for m in sorted(numbers, reverse=True)]
    log.close()


def parts(text: str) -> st.SearchStrategy[str]:
    """Pieces of a text."""
    size = st.integers(0, len(text))
    return st.tuples(size, size).map(lambda cut: text[min(cut) : max(cut)])


ADDRESSES = (
    *PEOPLE,
    "bounce-00042@lists1.example.com",
    "box0100@example.org",
    "nobody7@example.org",
)
VALUES = st.sampled_from(ADDRESSES).flatmap(parts) | st.sampled_from(
    (
        "<>", "@example.org", "@example.com", "@org", "@lists1.example.com", "bounce", "0000",
        "example", "example.", "anna@", "@@", "*@", "lists", "annaannaanna", "ёлк", "елк", "no",
        *ADDRESSES,
    )
)  # fmt: skip
TERMS = (
    st.tuples(st.sampled_from(("from:", "to:", "")), VALUES).map("".join)
    | st.sampled_from(WORDS).map("subj:{}".format)
    | st.sampled_from(("subj:ann*", 'subj:"счет invoice"', "msgid:7.anna@example.net", "0"))
    | st.sampled_from(("ip:192.0.2.7", "ip:192.0.2.0/24", "ip:2001:db8::/32", "ip:0.0.0.0/0"))
    | st.sampled_from(("delivered", "try-later", "refused", "open", "failed", "queued")).map(
        "state:{}".format
    )
)
LINES = st.lists(st.tuples(st.sampled_from(("", "", "!")), TERMS).map("".join), max_size=3)
SPANS = st.sampled_from(("", "since:2026-12-01T00:00Z", "until:2026-12-01T00:10Z"))
LIMITS = st.sampled_from((1, 3, 25, 10_000))
BIG = st.sampled_from((1, 4, 20, 100_000))


def quoted(term: str) -> str:
    """A term as one types it when there may be spaces in it."""
    sign = "!" if term.startswith("!") else ""
    field, colon, value = term[len(sign) :].partition(":")
    return term if '"' in term or not colon else f'{sign}{field}:"{value}"'


def test_every_plan_finds_the_same(known: tuple[Log, list[Fact]]) -> None:
    """Rare, broad or walked: ids, pages, counts and chunks are those of a plain look."""
    log, facts = known

    @settings(max_examples=600, deadline=None)
    @given(LINES, SPANS, BIG, BIG, BIG, st.sampled_from((0, 2, 32)), LIMITS, LIMITS)
    def check(
        terms: list[str],
        span: str,
        rare: int,
        walked: int,
        listed: int,
        streams: int,
        limit: int,
        counted: int,
    ) -> None:
        try:
            query = search.parse(" ".join([*map(quoted, terms), span]), NOW)
        except search.SearchError:
            return
        expected = [
            fact.row.id
            for fact in facts
            if all(map(fact.fits, query.terms))
            and (query.since is None or fact.row.id >= ids.lowest(query.since))
            and (query.until is None or fact.row.id < ids.lowest(query.until))
        ]
        with (
            mock.patch.multiple(finding, RARE=rare, WALKED=walked),
            mock.patch.multiple(conditions, LISTED=listed, STREAMS=streams),
        ):
            assert log.ids(query, limit) == expected[:limit]
            assert [m for part in log.id_chunks(query, limit, limit) for m in part] == expected
            page = log.page(query, limit, counted, walked)
            assert page.ids == expected[:limit]
            left = len(expected) - len(page.ids)
            assert page.older <= left if page.more else page.older == left
            if expected:
                middle = expected[len(expected) // 2]
                below = [m for m in expected if m < middle]
                assert log.ids(query, limit, before=middle) == below[:limit]
                assert list(log.newer(query, middle)) == [m for m in expected if m > middle]

    check()


def test_the_facts_are_not_all_alike(known: tuple[Log, list[Fact]]) -> None:
    """The log above has something to find for every kind of term, and something to leave out."""
    _, facts = known
    for text in (
        "from:bounce", "from:<>", "from:anna", "from:@com", "to:box", "to:елк", "to:nobody",
        "to:@sub.example.org", "from:example.net", "subj:счет", "state:try-later",
        "state:queued", "state:delivered", "anna", "ip:2001:db8::7",
    ):  # fmt: skip
        (term,) = search.parse(text, NOW).terms
        assert 0 < sum(fact.fits(term) for fact in facts) < len(facts), text
    assert {len(fact.recipients) for fact in facts} >= {1, 2, 6}
    assert {State.REFUSED, State.STORED} <= {r.state for fact in facts for r in fact.recipients}
