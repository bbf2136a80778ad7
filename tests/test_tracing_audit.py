"""The audit finds each way in which the books can fail to balance, and nothing else."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtad.where import Kept
from tests.postgresql import IN_FILES
from tests.tracing_events import AT, DECEMBER, Mail, mint
from tracing import audit, events, ids, sending
from tracing.audit import (
    Box,
    Break,
    Copy,
    Facts,
    Fate,
    File,
    Frame,
    Handed,
    Indexed,
    Message,
)
from tracing.facts import LogFacts, Period
from tracing.log import Applied, Recorder
from tracing.states import State

M, ST, OTHER = 1000, 2000, 3000
COPY = Copy(ST, M, "a@x.org", "INBOX", f"1.{ids.text(ST)}.mx,S=5", 5)
GONE = replace(COPY, st=OTHER, gone=True)
FATE = Fate(1, "a@x.org", State.STORED, ST, COPY)
FILE = File("INBOX", COPY.base, 5, ST)
ROW = Indexed("INBOX", 7, COPY.base, ST)
BOX = Box("a@x.org", [COPY], [FILE], [ROW])
FRAME = Frame("mta-0", 4, M, [ST])


def known(sts: Sequence[int]) -> Mapping[int, Copy]:
    everything = {ST: COPY, OTHER: GONE}
    return {st: everything[st] for st in sts if st in everything}


def found(**changed: Any) -> list[str]:
    facts: dict[str, Any] = {
        "messages": [Message(M, 1, [FATE])],
        "boxes": [BOX],
        "frames": [FRAME],
        "applied": {"mta-0": 4},
        "known": known,
    }
    if "has_content" in changed:
        changed["has_content"] = changed["has_content"].__contains__
    return [str(one) for one in audit.violations(Facts(**{**facts, **changed}))]


def test_balanced_books() -> None:
    assert found() == []
    assert found(frames=[]) == []
    assert audit.violations(Facts()) == []


def fate(**changed: Any) -> dict[str, Any]:
    return {"messages": [Message(M, 1, [replace(FATE, **changed)])], "frames": []}


WAITS = Fate(1, "b@y.org", State.DEFERRED, remote=True, at=50, next_try=90)


def waits(**changed: Any) -> dict[str, Any]:
    """A recipient elsewhere whose message has a content file."""
    fate = replace(WAITS, **changed)
    return {"messages": [Message(M, 1, [fate])], "frames": [], "boxes": [], "has_content": {M}}


def box(**changed: Any) -> dict[str, Any]:
    return {"boxes": [replace(BOX, **changed)]}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"messages": [Message(M, 2, [FATE])]}, "was accepted for 2 recipients, but 1 have a fate"),
        ({"messages": [Message(M, 1, [])]}, "was accepted for 1 recipients, but 0 have a fate"),
        ({"messages": [Message(M, None, [FATE])], "frames": []}, "was never accepted"),
        ({"messages": []}, "is in a journal that was applied, but not in the log"),
        (fate(state=State.QUEUED), "is queued, but no journal holds the message"),
        (fate(state=State.DEFERRED), "is deferred, but no journal holds the message"),
        (fate(state=State.REFUSED), "was accepted, but is refused"),
        (waits() | {"has_content": {5}}, "waits in the queue, but is nowhere to be read"),
        (
            waits() | {"has_content": {5}, "frames": [replace(FRAME, links=[])]},
            "waits in the queue, but is nowhere to be read",
        ),
        (waits(next_try=0), "is deferred, but has no time to be tried at"),
        (waits() | {"overdue": 51}, "is deferred, though it had to be given up by now"),
        ({"handed": [Handed(M, 1, State.DEFERRED, 1)]}, "taken by another server, but is deferred"),
        ({"handed": [Handed(M, 1, State.RELAYED, 0)]}, "is relayed, but no server said that"),
        ({"handed": [Handed(M, 1, State.RELAYED, 2)]}, "was handed over 2 times"),
        (fate(st=0, copy=None), "no stored copy is recorded"),
        (fate(copy=replace(COPY, m=5)), "which is recorded as message"),
        (fate(copy=replace(COPY, box="b@x.org")), "in b@x.org"),
        ({"applied": {"mta-0": 3}}, "frame 4 of the journal mta-0 is not applied"),
        ({"frames": [replace(FRAME, links=[ST, 77])]}, "but not in the log"),
        ({"untold": [COPY]}, "is in a@x.org, but no event says how it came"),
        ({"untold": [GONE]}, "went from a@x.org, but no event says how it came"),
        ({"breaks": [Break("2026-11", 3, 9)]}, "the log of 2026-11 is not as it was written"),
        (box(files=[], index=[]), "has no file in a@x.org/INBOX"),
        (box(files=[FILE, replace(FILE, mailbox="Old")]), "2 times: INBOX, Old"),
        (
            box(files=[replace(FILE, mailbox="Old")], index=[replace(ROW, mailbox="Old")]),
            "lies in a@x.org/Old, but belongs in INBOX",
        ),
        (box(files=[replace(FILE, size=4)]), "has 4 octets, but was stored with 5"),
        (
            box(files=[replace(FILE, base="x")], index=[replace(ROW, base="x")]),
            "is the file x, but was stored as",
        ),
        (box(files=[FILE, File("INBOX", "b", 1, 0)]), "b in a@x.org/INBOX is not explained"),
        (box(files=[FILE, File("INBOX", "b", 1, 99)]), "b in a@x.org/INBOX is not explained"),
        (box(files=[FILE, File("INBOX", "b", 1, OTHER)]), "which was deleted"),
        (
            {"boxes": [BOX, Box("b@x.org", [], [FILE], [])]},
            "b@x.org/INBOX is of copy",
        ),
        (box(index=[ROW, Indexed("INBOX", 8, "gone", OTHER)]), "UID 8 of a@x.org/INBOX has no"),
        (box(index=[ROW, replace(ROW, uid=8)]), "UID 8 of a@x.org/INBOX and UID 7"),
        (
            box(files=[FILE, File("INBOX", "b", 1, 99)], index=[ROW, Indexed("INBOX", 8, "b", 99)]),
            "which the log does not have in the box",
        ),
    ],
)  # fmt: skip
def test_what_does_not_balance(changed: dict[str, Any], says: str) -> None:
    told = found(**changed)
    assert any(says in one for one in told), told
    assert all("\n" not in one for one in told)


def test_what_is_on_its_way_balances() -> None:
    """Queued while a journal holds it; a file not numbered yet; a recipient of another fate."""
    queued = Message(M, 1, [replace(FATE, state=State.QUEUED, st=0, copy=None)])
    assert found(messages=[queued], boxes=[]) == []
    assert found(**box(index=[])) == []
    assert found(**waits()) == []
    assert found(**waits(state=State.HELD, next_try=0) | {"overdue": 51}) == []
    in_journal = {"has_content": set(), "frames": [replace(FRAME, links=[], has_message=True)]}
    assert found(**waits() | in_journal) == []
    assert found(handed=[Handed(M, 1, State.RELAYED, 1)]) == []
    twice = Message(M, 2, [FATE, Fate(2, "a@x.org", State.DUPLICATE)])
    assert found(messages=[twice]) == []


@pytest.fixture
def log(new_log: Callable[[], Kept]) -> Iterator[tuple[Kept, list[Mail], Callable[[], LogFacts]]]:
    """Five messages in a log, the last one over the turn of the month."""
    directory = new_log()
    recorder = Recorder(directory)
    new = mint()
    mails = [Mail(new, to=("alice@example.org", f"b{i}@example.org")) for i in range(4)]
    late = Mail(mint(DECEMBER - 1000), at=DECEMBER - 1000)
    late.mint = mint(DECEMBER + 1000)
    mails.append(late)
    for number, mail in enumerate(mails, 1):
        recorder.apply([Applied("mta-0", number, 0, mail.whole())])
    lost = Mail(mint(AT + 10**6))
    recorder.apply([Applied("mta-0", 9, 0, [*lost.begin(), events.SmtpAbort(
        at=AT, trace=lost.m, stage="data", why="lost")])])  # fmt: skip
    recorder.close()
    made: list[LogFacts] = []

    def read() -> LogFacts:
        made.append(LogFacts(directory))
        return made[-1]

    yield directory, mails, read
    for one in made:
        one.close()


def boxes(facts: LogFacts) -> Iterator[Box]:
    """Boxes as they would be if the disk agreed."""
    for name in facts.boxes():
        copies = facts.copies(name)
        files = [File(one.mailbox, one.base, one.size, one.st) for one in copies]
        index = [Indexed(one.mailbox, n, one.base, one.st) for n, one in enumerate(copies, 1)]
        yield Box(name, copies, files, index)


def audited(facts: LogFacts) -> list[str]:
    whole = Facts(
        messages=facts.messages(),
        boxes=boxes(facts),
        breaks=facts.breaks(),
        known=facts.known,
        untold=facts.untold(),
    )
    return [str(one) for one in audit.violations(whole)]


def test_the_log_tells_its_facts(log: Any) -> None:
    _, mails, read = log
    facts = read()
    told = {one.m: one for one in facts.messages()}
    assert set(told) == {mail.m for mail in mails}
    for mail in mails:
        assert told[mail.m].promised == len(mail.to)
        assert [one.st for one in told[mail.m].fates] == mail.sts
        assert all(one.copy and one.copy.m == mail.m for one in told[mail.m].fates)
    assert facts.boxes() == [
        "alice@example.org", "b0@example.org", "b1@example.org", "b2@example.org", "b3@example.org",
    ]  # fmt: skip
    assert len(facts.copies("alice@example.org")) == 5
    assert facts.copies("nobody@example.org") == []
    assert audited(facts) == []


@IN_FILES
@pytest.mark.parametrize(
    "act",
    [
        "UPDATE ev SET ts=ts+1 WHERE seq=3",
        "UPDATE ev SET detail='{}' WHERE seq=5",
        "DELETE FROM ev WHERE seq=4",
        "INSERT INTO ev SELECT 1000000, ts, kind, trace, n, addr, ip, host, code, enh, reply, "
        "actor, detail FROM ev WHERE seq=2",
        "DELETE FROM ev WHERE seq=(SELECT max(seq) FROM ev)",
    ],
)
def test_a_changed_log_is_noticed(log: Any, act: str) -> None:
    directory, _, read = log
    with sqlite3.connect(directory / "2026-11.db") as link:
        link.execute(act)
    link.close()
    told = [one for one in audited(read()) if "is not as it was written" in one]
    assert len(told) == 1
    assert "2026-11" in told[0]


@IN_FILES
def test_a_lost_row_is_noticed(log: Any) -> None:
    directory, mails, read = log
    with sqlite3.connect(directory / "2026-12.db") as link:
        link.execute("DELETE FROM st")
    link.close()
    (told,) = audited(read())
    assert ids.text(mails[-1].m) in told
    assert "no stored copy is recorded" in told


@IN_FILES
@pytest.mark.parametrize("gone", ["NULL", str(AT)])
@pytest.mark.parametrize("n", [1, 0])
def test_a_copy_that_came_from_nowhere_is_noticed(log: Any, n: int, gone: str) -> None:
    directory, mails, read = log
    st = mails[0].sts[0] + 5000
    with sqlite3.connect(directory / "2026-11.db") as link:
        link.execute(
            f"INSERT INTO st SELECT ?, msg, {n}, box, mailbox, 'b', 5, {gone} FROM st WHERE id=?",
            (st, mails[0].sts[0]),
        )
    link.close()
    told = [one for one in audited(read()) if "no event says how it came" in one]
    assert len(told) == 1
    assert ids.text(st) in told[0]


def test_copies_that_came_otherwise_are_told_of(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    mail = Mail(mint())
    told = mail.whole()
    act: dict[str, Any] = {"at": AT, "trace": mail.m, "addr": "alice@example.org"}
    sts = [mail.mint.new() for _ in range(4)]
    items = [(events.Item(st, mail.m, 2, f"b{st}"),) for st in sts]
    told += [
        events.BoxAppend(**act, mailbox="Sent", items=items[0]),
        events.BoxForeign(**act, mailbox="INBOX", items=items[1]),
        events.BoxCopy(**act, mailbox="INBOX", target="Old", items=items[2], was=(mail.sts[0],)),
        events.RestoreMessage(**act, mailbox="INBOX", items=items[3], snapshot="s", was=(5,)),
        events.BoxExpunge(**act, mailbox="INBOX", items=(mail.item(), *items[3])),
    ]
    recorder.apply([Applied("mta-0", 1, 0, told)])
    odd = events.BoxExpunge(**act, mailbox="INBOX", items=(events.Item(sts[-1] + 1, mail.m, 9),))
    with closing(LogFacts(tmp_path)) as facts:
        assert list(facts.untold()) == []
    recorder.apply([Applied("mta-0", 2, 0, [odd])])
    recorder.close()
    with closing(LogFacts(tmp_path)) as facts:
        (copy,) = facts.untold()
        assert (copy.st, copy.gone) == (sts[-1] + 1, True)


@IN_FILES
def test_only_a_period_is_looked_at(log: Any) -> None:
    directory, mails, _ = log
    with sqlite3.connect(directory / "2026-11.db") as link:
        link.execute("UPDATE ev SET ts=ts+1 WHERE seq=3")
        link.execute("UPDATE rcpt SET st=NULL WHERE msg=?", (mails[0].m,))
    link.close()
    with closing(LogFacts(directory)) as facts:
        assert len(audited(facts)) == 3
    with closing(LogFacts(directory, Period(DECEMBER - 5000, DECEMBER + 5000))) as facts:
        assert [one.m for one in facts.messages()] == [mails[-1].m]
        assert facts.boxes() == ["alice@example.org"]
        assert [one.st for one in facts.copies("alice@example.org")] == mails[-1].sts
        assert audited(facts) == []
    with closing(LogFacts(directory, Period(AT - 5000, AT + 5000))) as facts:
        assert len(audited(facts)) == 3
        assert ids.text(mails[-1].m) not in str(audited(facts))


def test_the_log_tells_of_recipients_elsewhere(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    mail = Mail(mint(), to=("a@y.org", "b@y.org", "c@y.org"))
    add = [
        sending.QueueAdd(at=AT, trace=mail.m, n=n, addr=addr, next_try=AT + n)
        for n, addr in enumerate(mail.to, 1)
    ]
    taken = [
        sending.OutDelivered(at=AT, trace=mail.m, n=n, addr=mail.to[n - 1], attempt=1)
        for n in (1, 2, 2)
    ]
    recorder.apply([Applied("mta-0", 1, 0, [*mail.begin(), *mail.accept(), *add, *taken])])
    recorder.close()
    with closing(LogFacts(tmp_path)) as facts:
        (message,) = facts.messages()
        assert [(one.remote, one.at, one.next_try) for one in message.fates] == [
            (True, AT, 0),
            (True, AT, 0),
            (True, AT, AT + 3),
        ]
        assert sorted((one.n, one.state, one.times) for one in facts.handed()) == [
            (1, State.RELAYED, 1),
            (2, State.RELAYED, 2),
        ]
    with sqlite3.connect(tmp_path / "2026-11.db") as link:
        link.execute("UPDATE rcpt SET status=? WHERE n=3", (int(State.RELAYED),))
        link.execute("UPDATE rcpt SET status=? WHERE n=1", (int(State.QUEUED),))
    link.close()
    with closing(LogFacts(tmp_path)) as facts:
        assert sorted((one.n, one.state, one.times) for one in facts.handed()) == [
            (1, State.QUEUED, 1),
            (2, State.RELAYED, 2),
            (3, State.RELAYED, 0),
        ]


def test_a_message_made_here_has_its_fates(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    mail = Mail(mint())
    accept = mail.accept()[0]
    fields = {name: getattr(accept, name) for name in accept.__struct_fields__}
    made = events.MailMade(**fields, rel="dsn")
    recorder.apply([Applied("mta-0", 1, 0, [made, *mail.deliver()])])
    recorder.close()
    with closing(LogFacts(tmp_path)) as facts:
        (message,) = facts.messages()
        assert (message.promised, len(message.fates)) == (1, 1)
