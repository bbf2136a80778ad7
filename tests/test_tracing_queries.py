"""Questions to the log: the right messages, by an index, over months, while it is written."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtad.where import Kept
from tests.postgresql import IN_FILES
from tests.tracing_events import AT, DECEMBER, Mail, mint
from tracing import conditions, events, finding, ids, months, search
from tracing.finding import Finder
from tracing.log import Applied, Recorder
from tracing.queries import Log, Page, Stored
from tracing.states import State

NOW = DECEMBER + 3_600_000_000
SENDERS = ("bob@example.net", "bobbby@mail.example.net", "news@lists.example.com", "")
RECIPIENTS = ("alice@example.org", "sales@example.org", "carol@sub.example.org", "al@other.org")
SUBJECTS = ("Счёт за ноябрь", "invoice figures", "Отчёт figures", "")


NASTY = st.text(
    st.sampled_from("abz09@.<>\"'*%_\\/[]:!- \0\x1b\ud800\udcffёé\u0301ﬁ中\U0010ffff"), max_size=12
) | st.text(max_size=12)


@dataclass
class Known:
    """What is true of a message that was recorded."""

    mail: Mail
    state: State


@pytest.fixture(scope="module")
def filled(new_log: Callable[[], Kept]) -> Iterator[tuple[Log, list[Known]]]:
    """300 messages of two months in one log, refused ones among them."""
    directory = new_log()
    pick = random.Random(4)
    recorder = Recorder(directory)
    known: list[Known] = []
    for number in range(1, 301):
        at = (AT if number <= 150 else DECEMBER) + number * 10_000_000
        mail = Mail(
            mint(at),
            at=at,
            sender=pick.choice(SENDERS),
            to=pick.sample(RECIPIENTS, pick.choice((1, 1, 2))),
            box=pick.choice(("", "", "box@example.org")),
            subject=pick.choice(SUBJECTS),
            message_id=f"<{number}@example.net>",
            ip=f"192.0.{number % 3}.{number % 7}",
        )
        if number % 5:
            told, state = mail.whole(), State.STORED
        else:
            refused = events.SmtpReject(at=at, trace=mail.m, code=554, reply="554 no", stage="dot")
            told, state = [*mail.begin(), refused], State.REFUSED
            mail.subject = mail.message_id = mail.box = ""
        known.append(Known(mail, state))
        recorder.apply([Applied("mta-0", number, 0, told)])
    recorder.close()
    log = Log(directory)
    yield log, known
    log.close()


def to(test: Callable[[str], bool]) -> Callable[[Known], bool]:
    return lambda k: any(map(test, [*k.mail.to, *([k.mail.box] if k.mail.box else [])]))


def sender(test: Callable[[str], bool]) -> Callable[[Known], bool]:
    return lambda k: test(k.mail.sender)


def under(domain: str) -> Callable[[str], bool]:
    return lambda address: address.endswith(("@" + domain, "." + domain))


def word(*found: str) -> Callable[[Known], bool]:
    return lambda k: all(one in k.mail.subject.lower().replace("ё", "е").split() for one in found)


QUESTIONS: dict[str, Callable[[Known], bool]] = {
    "": lambda k: True,
    "from:bob@example.net": sender(lambda a: a == "bob@example.net"),
    "from:BOB@Example.net": sender(lambda a: a == "bob@example.net"),
    "from:bob": sender(lambda a: "bob" in a),
    "from:bobb": sender(lambda a: "bobb" in a),
    "from:bbb": sender(lambda a: "bbb" in a),
    "from:bbbb": lambda k: False,
    "from:ne": sender(lambda a: a.startswith("ne")),
    "from:example.net": sender(lambda a: "example.net" in a),
    "from:@example.net": sender(under("example.net")),
    "from:@mail.example.net": sender(under("mail.example.net")),
    "from:@ample.net": lambda k: False,
    "from:<>": sender(lambda a: not a),
    "to:sales@example.org": to(lambda a: a == "sales@example.org"),
    "to:box@example.org": to(lambda a: a == "box@example.org"),
    "to:sales": to(lambda a: "sales" in a),
    "to:al": to(lambda a: a.startswith("al")),
    "to:@example.org": to(under("example.org")),
    "to:@org": to(under("org")),
    "to:nobody": lambda k: False,
    "msgid:<7@example.net>": lambda k: k.mail.message_id == "<7@example.net>",
    "msgid:7@example.net": lambda k: k.mail.message_id == "<7@example.net>",
    "ip:192.0.1.4": lambda k: k.mail.ip == "192.0.1.4",
    "ip:192.0.1.0/24": lambda k: k.mail.ip.startswith("192.0.1."),
    "ip:2001:db8::/32": lambda k: False,
    "subj:счет": word("счет"),
    "subj:СЧЁТ": word("счет"),
    "subj:figures": word("figures"),
    'subj:"figures отчёт"': word("figures", "отчет"),
    "subj:fig*": word("figures"),
    "state:delivered": lambda k: k.state is State.STORED,
    "state:refused": lambda k: k.state is State.REFUSED,
    "!state:delivered": lambda k: k.state is State.REFUSED,
    "since:2026-12-01T00:00Z": lambda k: k.mail.at >= DECEMBER,
    "until:2026-12-01T00:00Z": lambda k: k.mail.at < DECEMBER,
    "figures": word("figures"),
    "sales": to(lambda a: "sales" in a),
    "7@example.net": lambda k: k.mail.message_id == "<7@example.net>",
    "192.0.1.4": lambda k: k.mail.ip == "192.0.1.4",
    "to:sales from:@example.net": lambda k: (
        to(lambda a: "sales" in a)(k) and sender(under("example.net"))(k)
    ),
    "!from:@example.net !to:sales state:delivered": lambda k: (
        k.state is State.STORED
        and not to(lambda a: "sales" in a)(k)
        and not sender(under("example.net"))(k)
    ),
}


@pytest.mark.parametrize("rare", [finding.RARE, 1], ids=["gathered", "walked"])
@pytest.mark.parametrize("text", QUESTIONS)
def test_questions(
    filled: tuple[Log, list[Known]], monkeypatch: pytest.MonkeyPatch, text: str, rare: int
) -> None:
    """Gathering the rare and walking the common find the same, in the same order."""
    monkeypatch.setattr(finding, "RARE", rare)
    log, known = filled
    query = search.parse(text, NOW)
    expected = sorted((one.mail.m for one in known if QUESTIONS[text](one)), reverse=True)
    assert log.ids(query, 1000) == expected
    assert [m for chunk in log.id_chunks(query, 7, 20) for m in chunk] == expected
    older = max(len(expected) - 3, 0)
    assert log.page(query, 3, 1000, 1000) == Page(expected[:3], older, False)
    if len(expected) > 4:
        assert log.ids(query, 3) == expected[:3]
        assert log.ids(query, 2, before=expected[1]) == expected[2:4]
        cut = log.page(query, 1, 2, 1000)
        assert (cut.ids, cut.more) == (expected[:1], True)
        assert cut.older <= 2
        assert list(log.newer(query, expected[3])) == expected[:3]


def test_some_questions_find_something(filled: tuple[Log, list[Known]]) -> None:
    """The table above is no table of empty answers."""
    _, known = filled
    counts = [sum(map(test, known)) for test in QUESTIONS.values()]
    assert sum(count > 0 for count in counts) > 30


def test_an_id_and_its_beginning(filled: tuple[Log, list[Known]]) -> None:
    log, known = filled
    m = known[17].mail.m
    for shown in (ids.text(m), ids.text(m)[:9]):
        assert log.ids(search.parse(f"id:{shown}", NOW)) == [m]
        assert m in log.ids(search.parse(shown, NOW))


SINGLE = {
    "from:bob@example.net": "msg_sender",
    "from:bob": "msg_sender",
    "from:<>": "msg_sender",
    "from:@example.net": "msg_sdom",
    "to:alice@example.org": "rcpt_addr",
    "to:alice": "rcpt_addr",
    "to:@example.org": "rcpt_addr",
    "msgid:<7@example.net>": "msg_mid",
    "ip:192.0.1.4": "msg_ip",
    "ip:192.0.1.0/24": "msg_ip",
    "subj:figures": "VIRTUAL TABLE INDEX",
    "state:refused": "msg_status",
    "state:delivered": "PRIMARY KEY",
    "": "PRIMARY KEY",
    "figures": "msg_mid",
}
IN_ORDER = set(SINGLE) - {"to:@example.org", "ip:192.0.1.0/24"}


def plans(link: sqlite3.Connection, text: str) -> dict[str, list[str]]:
    """What a page of a list asks of a month file, and the steps SQLite takes for each.

    Full-text tables ask for their own settings when they are used first: that is no question.
    """
    asked: list[str] = []
    link.set_trace_callback(asked.append)
    Finder.of(search.parse(text, NOW), link, *months.span("2026-12")).page(5, 100, 100)
    link.set_trace_callback(None)
    return {
        one: [row[3] for row in link.execute(f"EXPLAIN QUERY PLAN {one}")]
        for one in asked
        if one.startswith("SELECT") and " FROM 'main'." not in one
    }


@IN_FILES
@pytest.mark.parametrize("text", SINGLE)
def test_every_field_has_its_index(filled: tuple[Log, list[Known]], text: str) -> None:
    log, _ = filled
    link = log._link("2026-12")
    assert isinstance(link, sqlite3.Connection)
    asked = plans(link, text)
    steps = [step for found in asked.values() for step in found]
    scans = [step for step in steps if step.startswith("SCAN") and "VIRTUAL" not in step]
    # The names of domains are read through for a part, once for a statement: they are few.
    allowed = ("SCAN json_each", "SCAN found", "SCAN CONSTANT", "SCAN t", "SCAN dom")
    assert [step for step in scans if not step.startswith(allowed)] == []
    assert any(SINGLE[text] in step for step in steps), steps
    if text in IN_ORDER:
        listing = [found for one, found in asked.items() if "ORDER BY id DESC LIMIT 5" in one]
        assert listing
        assert "USE TEMP B-TREE FOR ORDER BY" not in str(listing)


@IN_FILES
@pytest.mark.parametrize("text", [text for text in SINGLE if ":" in text and "state" not in text])
def test_few_messages_are_gathered_not_walked_for(
    filled: tuple[Log, list[Known]], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Where hits come in no order, that of all messages is no help to find them."""
    monkeypatch.setattr(Finder, "_in_order", lambda *_: False)
    log, _ = filled
    link = log._link("2026-12")
    assert isinstance(link, sqlite3.Connection)
    (listing,) = (steps for one, steps in plans(link, text).items() if "ORDER BY id" in one)
    assert "USE TEMP B-TREE FOR ORDER BY" in listing
    assert any(SINGLE[text] in step for step in listing)


@IN_FILES
@pytest.mark.parametrize(
    ("text", "index"), [("from:exam", "msg_sender"), ("to:exam", "rcpt_addr"), ("from:b", "sender")]
)
def test_a_part_that_many_share_is_not_listed(
    filled: tuple[Log, list[Known]], monkeypatch: pytest.MonkeyPatch, text: str, index: str
) -> None:
    """The newest messages are walked first; then the index is asked, and no message scanned."""
    monkeypatch.setattr(conditions, "LISTED", 1)
    monkeypatch.setattr(finding, "WALKED", 3)
    log, _ = filled
    link = log._link("2026-12")
    assert isinstance(link, sqlite3.Connection)
    asked = plans(link, text)
    steps = [step for found in asked.values() for step in found]
    assert any(step.startswith("SEARCH m USING INTEGER PRIMARY KEY (rowid>?") for step in steps)
    assert any(index in step for step in steps), steps
    assert not any(step.startswith(("SCAN msg", "SCAN rcpt", "SCAN m")) for step in steps)


def test_rows_and_recipients(filled: tuple[Log, list[Known]]) -> None:
    log, known = filled
    rows = log.rows([one.mail.m for one in known] + [5])
    assert len(rows) == len(known)
    for one in known:
        row, mail = rows[one.mail.m], one.mail
        assert (row.sender, row.subject, row.ip) == (mail.sender, mail.subject, mail.ip)
        assert (row.state, row.nrcpt, row.helo) == (one.state, len(mail.to), "mx.example.net")
        assert row.recipients == tuple(mail.box or address for address in mail.to)
        originals = [r.original for r in log.recipients(mail.m)]
        assert originals == [address if mail.box else "" for address in mail.to]


def test_a_timeline_is_the_messages_own(filled: tuple[Log, list[Known]]) -> None:
    log, known = filled
    mail = next(one.mail for one in known if one.state is State.STORED)
    kinds = [one.event.kind for one in log.timeline(mail.m)]
    assert kinds[:3] == ["conn.open", "smtp.ehlo", "smtp.mail"]
    assert kinds[-1] == "conn.close"
    assert {one.event.trace for one in log.timeline(mail.m)} == {mail.m, mail.cn}
    assert {one.event.trace for one in log.timeline(mail.cn)} == {mail.cn}
    assert log.timeline(ids.lowest(AT) + 1) == []


def test_following_by_cursor(filled: tuple[Log, list[Known]]) -> None:
    log, _ = filled
    assert log.events_after(log.cursor()) == []
    cursor: dict[str, int] = {}
    seen: list[Stored] = []
    while part := log.events_after(cursor, 100):
        cursor.update((one.month, one.seq) for one in part)
        seen += part
    assert cursor == log.cursor()
    assert [one.seq for one in seen if one.month == "2026-11"] == list(
        range(1, cursor["2026-11"] + 1)
    )


def test_the_overview(filled: tuple[Log, list[Known]]) -> None:
    log, known = filled
    begin, end = AT, AT + 10**9
    seen = [one for one in known if begin <= one.mail.at < end]
    glance = log.overview(begin, end)
    assert sum(glance.counts.values()) == len(seen) > 50
    assert glance.counts[State.REFUSED] == sum(one.state is State.REFUSED for one in seen)
    assert sum(minute.received for minute in glance.flow) == glance.counts[State.STORED]
    assert sum(minute.refused for minute in glance.flow) == glance.counts[State.REFUSED]
    assert [minute.at for minute in glance.flow] == sorted(minute.at for minute in glance.flow)
    assert all(row.state is State.REFUSED for row in glance.failures)
    assert glance.failures
    assert glance.messages == len(known)


def test_no_log_yet(tmp_path: Path) -> None:
    log = Log(tmp_path / "none")
    assert log.ids(search.EVERYTHING) == []
    assert log.timeline(5) == []
    assert log.overview(0, NOW).messages == 0
    log.close()


def test_reading_beside_the_recorder(tmp_path: Path) -> None:
    """An open log sees what is recorded later, a month that begins too."""
    recorder, log = Recorder(tmp_path), Log(tmp_path)
    seen: list[int] = []
    for number, at in enumerate((AT, AT, DECEMBER), 1):
        mail = Mail(mint(at + number * 1000), at=at)
        recorder.apply([Applied("mta-0", number, 0, mail.whole())])
        seen.insert(0, mail.m)
        assert log.ids(search.EVERYTHING) == seen
    log.close()
    recorder.close()


def test_a_log_in_the_place_of_another_is_seen(tmp_path: Path) -> None:
    """A data directory that was put back or begun anew while somebody looks at it."""
    log = Log(tmp_path / "log")
    for number in (1, 2):
        mail = Mail(mint(AT + number * 1000))
        recorder = Recorder(tmp_path / f"other{number}")
        recorder.apply([Applied("mta-0", 1, 0, mail.whole())])
        recorder.close()
        (tmp_path / f"other{number}").rename(tmp_path / "log")
        assert log.ids(search.EVERYTHING) == [mail.m]
        assert log.total() == 1
        (tmp_path / "log").rename(tmp_path / f"gone{number}")
        assert log.ids(search.EVERYTHING) == []
    log.close()


@pytest.mark.parametrize(
    "text",
    ['to:"\'; DROP TABLE msg; --"', 'subj:"a\'b"', 'from:"%_\\"', "to:a\"b'c", "subj:ﬁ\u0301"],
)
def test_hostile_queries_find_nothing_and_break_nothing(
    filled: tuple[Log, list[Known]], text: str
) -> None:
    log, known = filled
    assert log.ids(search.parse(text, NOW)) == []
    assert log.total() == len(known)


def test_no_text_breaks_the_log(filled: tuple[Log, list[Known]]) -> None:
    """Whatever is typed is answered, or refused with the place of the mistake."""
    log, _ = filled

    @settings(max_examples=400, deadline=None)
    @given(st.sampled_from(["", *(f"{field}:" for field in search.FIELDS)]), NASTY)
    def check(field: str, text: str) -> None:
        try:
            query = search.parse(field + text, NOW)
        except search.SearchError:
            return
        assert log.page(query, 3, 10, 10).ids == log.ids(query, 3)

    check()
