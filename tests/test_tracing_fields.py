"""Fields of the filter language: each finds what it says, by an index, alone and together."""

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtad.where import Kept
from tests.postgresql import IN_FILES
from tests.tracing_events import AT, mint
from tracing import choosing, events, finding, months, search, sending
from tracing.finding import Finder
from tracing.log import Applied, Recorder
from tracing.queries import Log
from tracing.terms import conjunctions

NOW = AT + 3 * 3_600_000_000
MINUTE = 60_000_000


@dataclass(frozen=True)
class Mail:
    """A message and what became of its one recipient, elsewhere or in a box."""

    m: int
    name: str
    direction: str = "in"
    login: str = ""
    helo: str = "mx.example.net"
    size: int = 2_000
    box: str = ""
    host: str = ""
    code: int = 0
    reply: str = ""
    rqid: str = ""
    tries: int = 0
    wait: int = 0
    actor: str = ""


def told(mail: Mail) -> list[events.Event]:
    """The events of a message."""
    sender, to = f"{mail.name}@example.net", mail.box or f"{mail.name}@far.test"
    accepted = {
        "at": AT,
        "trace": mail.m,
        "addr": sender,
        "size": mail.size,
        "sha256": "ab" * 32,
        "count": 1,
        "recipients": (events.Recipient(1, to, to),),
        "message_id": f"<{mail.name}@x>",
        "subject": mail.name,
    }
    begin: list[events.Event] = [
        events.SmtpMail(
            at=AT,
            trace=mail.m,
            addr=sender,
            cn=0,
            ip="192.0.2.7",
            helo=mail.helo,
            login=mail.login,
        ),
        events.SmtpRcpt(at=AT, trace=mail.m, n=1, addr=to, code=250),
        events.SmtpAccept(**accepted, code=250),  # type: ignore[arg-type]
    ]
    if mail.direction == "made":
        begin = [events.MailMade(**accepted, rel="report", parent=mail.m - 1)]  # type: ignore[arg-type]
    own = {"trace": mail.m, "n": 1, "addr": to, "at": AT + mail.wait}
    if mail.box:
        stored = events.StoreDelivered(**own, st=mail.m + 1, mailbox="INBOX", base="b", size=2)  # type: ignore[arg-type]
        begin.append(stored)
    else:
        begin.append(sending.QueueAdd(at=AT, trace=mail.m, n=1, addr=to, next_try=AT))
    answer = {"host": mail.host, "code": mail.code, "reply": mail.reply, "attempt": mail.tries}
    if mail.code // 100 == 2:
        begin.append(sending.OutDelivered(**own, **answer, rqid=mail.rqid))  # type: ignore[arg-type]
    elif mail.code:
        begin.append(
            sending.OutDeferred(**own, **answer, stage="rcpt", next_try=NOW)  # type: ignore[arg-type]
        )
    if mail.actor:
        begin.append(
            events.BoxFlags(
                at=AT + mail.wait,
                trace=mail.m + 2,
                also=(mail.m,),
                addr=to,
                mailbox="INBOX",
                actor=mail.actor,
                added=("\\Seen",),
            )
        )
    return begin


PLAIN = Mail(0, "plain")
MAILS = [
    PLAIN,
    Mail(0, "big", size=6 << 20, helo="mail.big.example"),
    Mail(0, "boxed", box="sales@example.org", actor="user:anna@example.org"),
    Mail(0, "flagged", box="al@example.org", actor="admin:root"),
    Mail(0, "sent", "submitted", "anna@example.org", host="mx1.far.test", code=250, tries=1),
    Mail(0, "slow", "submitted", "bob@example.org", host="mx2.far.test", code=250, tries=4,
         rqid="4XkT1", wait=90 * MINUTE),
    Mail(0, "full", "made", host="mx1.far.test", code=452, tries=2, reply="452 4.2.2 mailbox full",
         wait=20 * MINUTE),
    Mail(0, "odd", host="mx1.nearfar.test", code=450, tries=1, reply="450 50%_off \\o/"),
]  # fmt: skip


@pytest.fixture(scope="module")
def filled(new_log: Callable[[], Kept]) -> Iterator[tuple[Kept, Log, list[Mail]]]:
    """The messages above, a hundred times."""
    directory = new_log()
    recorder, known = Recorder(directory), []
    ids = mint(AT)
    for number, mail in enumerate(MAILS * 100, 1):
        one = replace(mail, m=ids.new())
        ids.new(), ids.new()
        known.append(one)
        recorder.apply([Applied("mta-0", number, 0, told(one))])
    recorder.close()
    log = Log(directory)
    yield directory, log, known
    log.close()


def named(*names: str) -> Callable[[Mail], bool]:
    return lambda mail: mail.name in names


QUESTIONS: dict[str, tuple[Callable[[Mail], bool], str]] = {
    "rcpt:plain@far.test": (named("plain"), "rcpt_addr"),
    "domain:far.test": (lambda k: not k.box, "rcpt_addr"),
    "domain:example.net": (lambda k: True, "msg_sdom"),
    "box:sales@example.org": (named("boxed"), "rcpt_addr"),
    "box:@example.org": (named("boxed", "flagged"), "rcpt_addr"),
    "box:al": (named("flagged"), "rcpt_addr"),
    "box:sales": (named("boxed"), "rcpt_addr"),
    "box:plain": (lambda k: False, ""),
    "rqid:4XkT1": (named("slow"), "rcpt_rqid"),
    "helo:mail.big.example": (named("big"), "msg_helo"),
    "helo:BIG.example": (named("big"), "msg_helo"),
    "helo:ig.example": (lambda k: False, ""),
    "user:anna": (named("sent"), "msg_login"),
    "user:Anna@example.org": (named("sent"), "msg_login"),
    "user:an": (lambda k: False, "msg_login"),
    "dir:submitted": (named("sent", "slow"), "msg_dir"),
    "dir:made": (named("full"), "msg_dir"),
    "dir:in": (lambda k: k.direction == "in", "PRIMARY KEY"),
    "size:>5M": (named("big"), "msg_size"),
    "size:2000": (lambda k: k.size == 2_000, "PRIMARY KEY"),
    "size:..1M": (lambda k: k.size < 1 << 20, "PRIMARY KEY"),
    "code:4xx": (named("full", "odd"), "rcpt_code"),
    "code:452": (named("full"), "rcpt_code"),
    "code:250": (named("sent", "slow"), "PRIMARY KEY"),
    "code:>=451": (named("full"), "rcpt_code"),
    "reply:FULL": (named("full"), "rcpt_code"),
    "reply:%_OFF": (named("odd"), "rcpt_code"),
    'reply:"off \\o"': (named("odd"), "rcpt_code"),
    "reply:f_ll": (lambda k: False, "rcpt_code"),
    "mx:far.test": (named("sent", "slow", "full"), "rcpt_host"),
    "mx:mx2.far.test": (named("slow"), "rcpt_host"),
    "tries:>3": (named("slow"), "rcpt_tries"),
    "tries:2..3": (named("full"), "rcpt_tries"),
    "tries:1": (named("sent", "odd"), "PRIMARY KEY"),
    "wait:>1h": (named("slow"), "rcpt_wait"),
    "wait:15m..1h": (named("full"), "rcpt_wait"),
    "wait:<1m": (lambda k: k.wait < MINUTE, "PRIMARY KEY"),
    "ev:box.flags": (named("boxed", "flagged"), "PRIMARY KEY"),
    "ev:out": (lambda k: bool(k.code), "PRIMARY KEY"),
    "ev:out.deferred": (named("full", "odd"), "PRIMARY KEY"),
    "ev:nothing": (lambda k: False, ""),
    "actor:anna@example.org": (named("boxed"), "ev_actor"),
    "actor:admin:root": (named("flagged"), "ev_actor"),
    "actor:nobody": (lambda k: False, ""),
    "has:login": (lambda k: bool(k.login), "msg_login"),
    "has:copy": (lambda k: bool(k.box), "st_msg"),
    "has:parent": (named("full"), "msg_root"),
    "has:msgid": (lambda k: True, "PRIMARY KEY"),
    "!has:copy has:login": (lambda k: not k.box and bool(k.login), "msg_login"),
    "state:deferred|relayed": (lambda k: bool(k.code), "rcpt_status"),
    "plain | dir:made": (named("plain", "full"), "msg_dir"),
    "(user:anna size:<5k) | (code:4xx reply:full)": (named("sent", "full"), "msg_login"),
    "!(dir:in | dir:made)": (named("sent", "slow"), "PRIMARY KEY"),
    "code:4xx !(mx:far.test tries:2)": (named("odd"), "rcpt_code"),
    "* user:bob": (named("slow"), "msg_login"),
    "!*": (lambda k: False, ""),
    "wait:>1h|size:>5M": (named("slow", "big"), "rcpt_wait"),
}


@pytest.mark.parametrize("rare", [finding.RARE, 1], ids=["gathered", "walked"])
@pytest.mark.parametrize("text", QUESTIONS)
def test_a_field_finds_what_it_says(
    filled: tuple[Kept, Log, list[Mail]], monkeypatch: pytest.MonkeyPatch, text: str, rare: int
) -> None:
    monkeypatch.setattr(finding, "RARE", rare)
    _, log, known = filled
    expected = [one.m for one in reversed(known) if QUESTIONS[text][0](one)]
    query = search.parse(text, NOW)
    assert log.ids(query, 10_000) == expected
    page = log.page(query, 3, 10_000, 10_000)
    assert (page.ids, page.older) == (expected[:3], max(len(expected) - 3, 0))


def steps(link: sqlite3.Connection, text: str) -> list[str]:
    """What SQLite does for a page of a list."""
    asked: list[str] = []
    link.set_trace_callback(asked.append)
    Finder.of(search.parse(text, NOW), link, *months.span("2026-11")).page(5, 100, 100)
    link.set_trace_callback(None)
    return [
        row[3]
        for one in asked
        if one.startswith("SELECT")
        for row in link.execute(f"EXPLAIN QUERY PLAN {one}")
    ]


def scanned(found: list[str]) -> list[str]:
    """The tables with a row for each message or event that are read through."""
    return [one for one in found if one.split(" USING")[0] in {f"SCAN {t}" for t in TABLES}]


TABLES = ("msg", "m", "rcpt", "r", "ev", "also", "st")


@IN_FILES
@pytest.mark.parametrize("text", [text for text, (_, index) in QUESTIONS.items() if index])
def test_every_field_has_its_index(filled: tuple[Kept, Log, list[Mail]], text: str) -> None:
    link = filled[1]._link("2026-11")
    assert isinstance(link, sqlite3.Connection)
    found = steps(link, text)
    assert scanned(found) == []
    assert any(QUESTIONS[text][1] in one for one in found), found


@IN_FILES
def test_pairs_of_fields_read_nothing_through(filled: tuple[Kept, Log, list[Mail]]) -> None:
    link = filled[1]._link("2026-11")
    assert isinstance(link, sqlite3.Connection)
    by_field = {
        text.partition(":")[0]: text
        for text, (_, index) in QUESTIONS.items()
        if index and text[0].isalpha()
    }
    assert len(by_field) > 15
    for one, other in itertools.combinations(by_field.values(), 2):
        assert scanned(steps(link, f"{one} {other}")) == [], (one, other)


PIECES = ("dir:in", "user:anna", "size:>5M", "code:4xx", "mx:far.test", "plain", "tries:>1")


def expressions() -> st.SearchStrategy[str]:
    def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        several = st.lists(inner, min_size=1, max_size=3)
        return st.one_of(
            several.map(lambda parts: "(" + " | ".join(parts) + ")"),
            several.map(lambda parts: "(" + " ".join(parts) + ")"),
            inner.map(lambda part: part if part.startswith("!") else "!" + part),
        )

    return st.recursive(st.sampled_from(PIECES), joined, max_leaves=6)


def holds(term: search.Term, mail: Mail) -> bool:
    if isinstance(term.matcher, search.Group):
        found = any(all(holds(t, mail) for t in one) for one in term.matcher.alternatives)
    else:
        found = (
            QUESTIONS[term.written.lstrip("!")][0](mail)
            if ":" in term.written
            else (mail.name == "plain")
        )
    return found is not term.negated


QUESTIONS["tries:>1"] = (lambda k: k.tries > 1, "rcpt_tries")


@settings(max_examples=60, deadline=None)
@given(text=expressions())
def test_brackets_bars_and_negation(filled: tuple[Kept, Log, list[Mail]], text: str) -> None:
    """The log, the plain meaning, and the query without brackets agree."""
    _, log, known = filled
    query = search.parse(text, NOW)
    expected = {one.m for one in known[:80] if all(holds(t, one) for t in query.terms)}
    below = known[80].m
    assert set(log.ids(query, 10_000, before=below)) == expected
    spread = conjunctions(query)
    assert not any(isinstance(t.matcher, search.Group) for one in spread for t in one.terms)
    assert {m for one in spread for m in log.ids(one, 10_000, before=below)} == expected


def test_the_queue_takes_of_each_alternative_what_it_means(tmp_path: Path) -> None:
    """``to:a from:x | to:b`` means a's recipient only where the sender is x."""
    ids = mint(AT)
    recorder = Recorder(tmp_path)
    for number, sender in enumerate(("x@example.net", "y@example.net"), 1):
        m = ids.new()
        events_of: list[events.Event] = [
            events.SmtpMail(at=AT, trace=m, addr=sender, cn=0, ip="192.0.2.7", helo="h"),
            *(
                sending.QueueAdd(at=AT, trace=m, n=n, addr=to, next_try=AT)
                for n, to in enumerate(("a@far.test", "b@far.test", "c@far.test"), 1)
            ),
        ]
        recorder.apply([Applied("mta-0", number, 0, events_of)])
    recorder.close()
    found = choosing.listing(tmp_path, "(to:a@far.test from:x) | to:b@far.test", 100)
    chosen = {(r["from"], r["to"]) for part in found for r in part.get("recipients", ())}
    assert chosen == {
        ("x@example.net", "a@far.test"),
        ("x@example.net", "b@far.test"),
        ("y@example.net", "b@far.test"),
    }


def test_what_nothing_has_is_named() -> None:
    with pytest.raises(search.SearchError, match="there is no thing to have copies - did you mean"):
        search.parse("has:copies", NOW)


def test_too_many_alternatives_are_refused(tmp_path: Path) -> None:
    text = " ".join(["(to:a|b|c)"] * 10)
    with pytest.raises(search.SearchError, match="too many alternatives"):
        list(choosing.listing(tmp_path, text, 10))
