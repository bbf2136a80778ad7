"""The recorder: whole or not at all, once or not twice, in whatever pieces frames arrive."""

import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from mtad.where import Kept
from tests.postgresql import IN_FILES
from tests.tracing_events import AT, DECEMBER, Mail, mint
from tracing import events, ids, months, tables
from tracing.log import Applied, Busy, Recorder, month_of
from tracing.queries import Log
from tracing.states import State
from tracing.writer import MonthWriter


@pytest.fixture
def directory(new_log: Callable[[], Kept]) -> Kept:
    return new_log()


def state_of(directory: Kept, mail: Mail) -> tuple[State, list[tuple[str, State, str]]]:
    """The message's state, and each recipient's with the mailbox its copy is in."""
    log = Log(directory)
    row = log.rows([mail.m])[mail.m]
    shown = [(one.addr, one.state, one.mailbox) for one in log.recipients(mail.m)]
    log.close()
    return row.state, shown


def everything(directory: Kept) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all month files but the journals' marks, by month and table."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for month in months.listing(directory):
        link = months.reading(directory, month)
        for table in ("msg", "rcpt", "st", "ev", "also", "addr", "dom", "str", "stat_hour"):
            names = ", ".join(column.name for column in tables.metadata.tables[table].columns)
            rows = link.execute(f"SELECT {names} FROM {table}")
            found[f"{month}.{table}"] = sorted(rows, key=repr)
        link.close()
    return found


def pieces(told: list[events.Event], size: int) -> list[list[events.Event]]:
    return [told[i : i + size] for i in range(0, len(told), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_pieces_make_the_same_rows(tmp_path: Path, size: int) -> None:
    """However the events of a message are split over batches, the rows are the same."""
    made = {}
    for name, step in (("whole", 1000), ("pieces", size)):
        new = mint()
        mails = [
            Mail(new),
            Mail(new, to=("Bob@Example.org", "carol@example.org"), subject="счёт"),
            Mail(new, sender="", to=("sales@example.org",), box="alice@example.org"),
        ]
        told = [event for mail in mails for event in mail.whole()]
        recorder = Recorder(tmp_path / name)
        for number, part in enumerate(pieces(told, step), 1):
            recorder.apply([Applied("mta-0", number, 0, part)])
        recorder.close()
        made[name] = everything(tmp_path / name)
    assert made["whole"] == made["pieces"]


def test_seq_has_no_gaps_and_is_told(directory: Kept) -> None:
    recorder = Recorder(directory)
    new = mint()
    told: list[tuple[int, events.Event]] = []
    for number in range(1, 8):
        told += recorder.apply([Applied("mta-0", number, 0, Mail(new).whole())])
    assert [seq for seq, _ in told] == list(range(1, len(told) + 1))
    log = Log(directory)
    assert [(one.seq, one.event) for one in log.events_after({})] == told
    log.close()
    recorder.close()


def test_a_frame_is_applied_once(directory: Kept) -> None:
    new = mint()
    frames = [Applied("mta-0", n, 0, Mail(new).whole()) for n in range(1, 4)]
    recorder = Recorder(directory)
    recorder.apply(frames[:2])
    before = everything(directory)
    assert recorder.apply(frames[:2]) == []
    assert everything(directory) == before
    recorder.close()
    recorder = Recorder(directory)
    assert recorder.applied("mta-0") == 2
    assert recorder.applied("mta-1") == 0
    assert len(recorder.apply(frames)) == len(frames[2].events)
    assert recorder.applied("mta-0") == 3
    recorder.close()


def over_the_turn() -> tuple[Mail, list[events.Event]]:
    """A message of November whose copy is made in December."""
    mail = Mail(mint(DECEMBER - 5_000), at=DECEMBER - 5_000)
    told = mail.begin()
    mail.mint = mint(DECEMBER + 5_000)
    return mail, told + mail.accept() + mail.deliver() + mail.close()


def test_a_message_over_the_turn_of_the_month(directory: Kept) -> None:
    mail, told = over_the_turn()
    recorder = Recorder(directory)
    recorder.apply([Applied("mta-0", 1, 0, told)])
    assert months.listing(directory) == ["2026-12", "2026-11"]
    assert state_of(directory, mail) == (
        State.STORED,
        [("alice@example.org", State.STORED, "INBOX")],
    )
    act = events.BoxMove(
        at=DECEMBER + 9_000,
        trace=mail.m,
        addr="alice@example.org",
        mailbox="INBOX",
        target="Archive",
        items=(mail.item(),),
    )
    assert month_of(act) == "2026-12"
    recorder.apply([Applied("access-0", 1, 0, [act])])
    assert state_of(directory, mail)[1] == [("alice@example.org", State.STORED, "Archive")]
    log = Log(directory)
    assert [one.event.kind for one in log.timeline(mail.m)][-1] == "box.move"
    log.close()
    recorder.close()


@pytest.mark.parametrize("lost", ["2026-11", "2026-12"])
def test_a_crash_between_the_months(
    directory: Kept, new_log: Callable[[], Kept], monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Whichever month was not written, replay completes it and doubles nothing."""
    mail, told = over_the_turn()
    frame = Applied("mta-0", 1, 0, told)
    other = new_log()
    whole = Recorder(other)
    whole.apply([frame])
    whole.close()

    recorder = Recorder(directory)
    commit = MonthWriter.commit

    def failing(self: MonthWriter, marks: dict[str, int], last_id: int) -> None:
        if self.month == lost:
            raise OSError(28, "no space left on device")
        commit(self, marks, last_id)

    monkeypatch.setattr(MonthWriter, "commit", failing)
    with pytest.raises(OSError, match="no space left"):
        recorder.apply([frame])
    monkeypatch.undo()
    recorder.close()

    recorder = Recorder(directory)
    assert recorder.applied("mta-0") == 0, "the frame is still to be replayed"
    recorder.apply([frame])
    assert recorder.applied("mta-0") == 1
    recorder.close()
    assert everything(directory) == everything(other)
    assert state_of(directory, mail)[0] is State.STORED


@IN_FILES
def test_a_failing_statement_leaves_nothing(directory: Path) -> None:
    """Each statement of a commit fails once: nothing of the batch is seen, the retry is whole."""
    new = mint()
    first, frame = (Applied("mta-0", n, 0, Mail(new).whole()) for n in (1, 2))
    whole = Recorder(directory.with_name("whole"))
    whole.apply([first])
    whole.apply([frame])
    whole.close()
    expected = everything(directory.with_name("whole"))

    recorder = Recorder(directory)
    recorder.apply([first])
    before = everything(directory)
    (writer,) = recorder._writers.values()
    pen: Any = writer._pen
    cursor = pen._cursor
    fails_at = 0
    failed = True
    while failed:
        fails_at += 1
        count = 0
        failed = False

        def failing(do: Callable[..., Any], *given: Any) -> Any:
            nonlocal count, failed
            count += 1
            if count == fails_at:  # noqa: B023 - called within the round
                failed = True
                raise sqlite3.OperationalError("disk I/O error")
            return do(*given)

        pen._cursor = SimpleNamespace(
            execute=partial(failing, cursor.execute),
            executemany=partial(failing, cursor.executemany),
        )
        try:
            recorder.apply([frame])
        except sqlite3.OperationalError:
            assert everything(directory) == before
        pen._cursor = cursor
    assert fails_at > 8
    recorder.close()
    assert everything(directory) == expected


def test_only_one_recorder(directory: Kept) -> None:
    recorder = Recorder(directory)
    with pytest.raises(Busy, match="another process writes the log"):
        Recorder(directory)
    recorder.close()
    Recorder(directory).close()


@IN_FILES
def test_a_draft_left_by_a_crash_is_no_month(directory: Path) -> None:
    directory.mkdir()
    (directory / ".2026-11.db.new").write_bytes(b"half a file")
    recorder = Recorder(directory)
    assert months.listing(directory) == []
    recorder.apply([Applied("mta-0", 1, 0, Mail(mint()).whole())])
    assert months.listing(directory) == ["2026-11"]
    assert not (directory / ".2026-11.db.new").exists()
    recorder.close()


def test_ids_go_on_above_all_recorded(directory: Kept) -> None:
    recorder = Recorder(directory)
    mail = Mail(mint(DECEMBER))
    far = ids.lowest(DECEMBER + 10**12)
    recorder.apply([Applied("mta-0", 1, far, mail.whole())])
    recorder.close()
    recorder = Recorder(directory)
    assert recorder.mint.new() > far
    recorder.close()


@IN_FILES
def test_a_newer_month_file_is_refused(directory: Path) -> None:
    recorder = Recorder(directory)
    recorder.apply([Applied("mta-0", 1, 0, Mail(mint()).whole())])
    recorder.close()
    with sqlite3.connect(directory / "2026-11.db") as link:
        link.execute("UPDATE alembic_version SET version_num='log_0099'")
    link.close()
    with pytest.raises(months.NewerVersion, match=r"newer version of mtad \(revision log_0099\)"):
        Recorder(directory)
    log = Log(directory)
    with pytest.raises(months.NewerVersion):
        log.rows([ids.lowest(AT)])
    log.close()


def test_surrogates_do_not_stop_the_log(directory: Kept) -> None:
    recorder = Recorder(directory)
    mail = Mail(
        mint(), sender="a\ud800@example.net", subject="x\udfffy", to=("b\udc80@example.org",)
    )
    recorder.apply([Applied("mta-0", 1, 0, mail.whole())])
    log = Log(directory)
    row = log.rows([mail.m])[mail.m]
    assert (row.sender, row.subject) == ("a\ufffd@example.net", "x\ufffdy")
    log.close()
    recorder.close()


def refusal(mail: Mail, stage: str, cls: type[events.Event] = events.SmtpReject) -> events.Event:
    addr = "nobody@example.org" if stage == "rcpt" else mail.sender
    make: Callable[..., events.Event] = cls
    return make(
        at=AT, trace=mail.m, addr=addr, code=550, enh="5.1.1", reply="550 5.1.1 no", stage=stage
    )


def abort(mail: Mail) -> events.Event:
    return events.SmtpAbort(at=AT, trace=mail.m, stage="data", why="lost")


STORY: dict[str, tuple[Callable[[Mail], list[events.Event]], State, list[State]]] = {
    "receiving": (lambda m: m.begin(), State.RECEIVING, [State.RECEIVING]),
    "mail refused": (
        lambda m: [*m.begin()[:3], refusal(m, "mail")],
        State.REFUSED,
        [],
    ),
    "only rcpt refused": (
        lambda m: [*m.begin()[:3], refusal(m, "rcpt"), abort(m)],
        State.REFUSED,
        [State.REFUSED],
    ),
    "one rcpt refused": (
        lambda m: [*m.begin(), refusal(m, "rcpt"), *m.accept(), *m.deliver()],
        State.STORED,
        [State.STORED, State.REFUSED],
    ),
    "content refused": (lambda m: [*m.begin(), refusal(m, "dot")], State.REFUSED, [State.REFUSED]),
    "greylisted": (
        lambda m: [*m.begin()[:3], refusal(m, "rcpt", events.SmtpTempfail)],
        State.TEMPFAILED,
        [State.TEMPFAILED],
    ),
    "aborted": (lambda m: [*m.begin(), abort(m)], State.ABORTED, [State.ABORTED]),
    "data refused, then taken": (
        lambda m: [*m.begin(), refusal(m, "data", events.SmtpTempfail), *m.accept()],
        State.QUEUED,
        [State.QUEUED],
    ),
    "queued": (lambda m: [*m.begin(), *m.accept()], State.QUEUED, [State.QUEUED]),
    "not stored yet": (
        lambda m: [
            *m.begin(),
            *m.accept(),
            events.StoreFailed(at=AT, trace=m.m, n=1, addr="alice@example.org", why="disk full"),
        ],
        State.DEFERRED,
        [State.DEFERRED],
    ),
    "stored after all": (
        lambda m: [
            *m.begin(),
            *m.accept(),
            events.StoreFailed(at=AT, trace=m.m, n=1, addr="alice@example.org", why="disk full"),
            *m.deliver(),
        ],
        State.STORED,
        [State.STORED],
    ),
}


@pytest.mark.parametrize("name", STORY)
@pytest.mark.parametrize("size", [1, 1000])
def test_states(directory: Kept, name: str, size: int) -> None:
    tell, state, recipients = STORY[name]
    mail = Mail(mint())
    recorder = Recorder(directory)
    for number, part in enumerate(pieces(tell(mail), size), 1):
        recorder.apply([Applied("mta-0", number, 0, part)])
    found = state_of(directory, mail)
    assert (found[0], [one for _, one, _ in found[1]]) == (state, recipients)
    recorder.close()


@pytest.mark.parametrize("size", [1, 1000])
def test_two_ways_to_one_box(directory: Kept, size: int) -> None:
    """An alias and its target: one copy, the other recipient is a duplicate."""
    mail = Mail(mint(), to=("alice@example.org", "sales@example.org"), box="alice@example.org")
    duplicate = events.RouteDuplicate(
        at=AT, trace=mail.m, n=2, addr="alice@example.org", original="sales@example.org", first=1
    )
    told = [*mail.begin(), duplicate, *mail.accept(), mail.deliver()[0]]
    recorder = Recorder(directory)
    for number, part in enumerate(pieces(told, size), 1):
        recorder.apply([Applied("mta-0", number, 0, part)])
    log = Log(directory)
    shown = [(one.n, one.original, one.state) for one in log.recipients(mail.m)]
    assert shown == [(1, "", State.STORED), (2, "sales@example.org", State.DUPLICATE)]
    assert told[-2] in [one.event for one in log.timeline(mail.m)]
    log.close()
    recorder.close()


def box_event(cls: Any, mail: Mail, **more: Any) -> events.Event:
    fields = {"at": AT + 5, "trace": mail.m, "addr": "alice@example.org", "mailbox": "INBOX"}
    made: events.Event = cls(**{**fields, "items": (mail.item(),), **more})
    return made


@pytest.fixture
def delivered(directory: Kept) -> Iterator[tuple[Recorder, Mail, Callable[..., list[Any]]]]:
    """A delivered message, and how further events are recorded."""
    recorder = Recorder(directory)
    mail = Mail(mint())
    recorder.apply([Applied("mta-0", 1, 0, mail.whole())])
    number = 0

    def record(*told: events.Event) -> list[Any]:
        nonlocal number
        number += 1
        return recorder.apply([Applied("access-0", number, 0, told)])

    yield recorder, mail, record
    recorder.close()


def test_an_expunged_copy_is_gone(directory: Kept, delivered: Any) -> None:
    recorder, mail, record = delivered
    assert recorder.gone(mail.sts) == set()
    record(box_event(events.BoxExpunge, mail))
    assert recorder.gone([*mail.sts, 12345]) == set(mail.sts)
    assert state_of(directory, mail)[1] == [("alice@example.org", State.STORED, "")]


def test_a_restored_copy_is_shown(directory: Kept, delivered: Any) -> None:
    _, mail, record = delivered
    back = events.Item(mail.mint.new(), mail.m, 9, mail.base(mail.sts[0]))
    record(box_event(events.BoxExpunge, mail))
    record(
        box_event(events.RestoreMessage, mail, mailbox="Old", items=(back,), snapshot="s1", was=())
    )
    assert state_of(directory, mail)[1] == [("alice@example.org", State.STORED, "Old")]


def test_a_renamed_mailbox_takes_its_messages_along(directory: Kept, delivered: Any) -> None:
    _, mail, record = delivered
    record(box_event(events.BoxMove, mail, target="Work/2026"))
    record(
        events.BoxMailbox(
            at=AT, trace=mail.mint.new(), addr="alice@example.org", mailbox="Work",
            what="renamed", target="Done/Work",
        )
    )  # fmt: skip
    assert state_of(directory, mail)[1] == [("alice@example.org", State.STORED, "Done/Work/2026")]


def test_a_batch_may_move_messages_and_rename_mailboxes(directory: Kept) -> None:
    """A renaming takes along what moved in just before it, and nothing that moved out."""
    new = mint()
    mails = [Mail(new) for _ in range(2)]
    recorder = Recorder(directory)
    recorder.apply([Applied("mta-0", 1, 0, [event for mail in mails for event in mail.whole()])])
    came, went = mails
    recorder.apply([Applied("access-0", 1, 0, [box_event(events.BoxMove, went, target="Work")])])
    renamed = events.BoxMailbox(
        at=AT, trace=new.new(), addr="alice@example.org", mailbox="Work",
        what="renamed", target="Done",
    )  # fmt: skip
    told = (
        box_event(events.BoxMove, came, target="Work"),
        box_event(events.BoxMove, went, mailbox="Work", target="Other"),
        renamed,
    )
    recorder.apply([Applied("access-0", seq, 0, [event]) for seq, event in enumerate(told, 2)])
    recorder.close()
    found = [state_of(directory, mail)[1][0][2] for mail in mails]
    assert found == ["Done", "Other"]


def test_an_act_recorded_before_its_delivery(directory: Kept) -> None:
    """Journals are read one after the other: the deletion may come first and stays."""
    mail = Mail(mint())
    told = mail.whole()
    recorder = Recorder(directory)
    recorder.apply([Applied("access-0", 1, 0, [box_event(events.BoxExpunge, mail)])])
    recorder.apply([Applied("mta-0", 1, 0, told)])
    assert recorder.gone(mail.sts) == set(mail.sts)
    assert state_of(directory, mail)[1] == [("alice@example.org", State.STORED, "")]
    recorder.close()


def test_a_bulk_act_is_in_every_timeline(directory: Kept) -> None:
    new = mint()
    mails = [Mail(new) for _ in range(3)]
    recorder = Recorder(directory)
    recorder.apply([Applied("mta-0", 1, 0, [event for mail in mails for event in mail.whole()])])
    act = events.BoxExpunge(
        at=AT + 9,
        trace=new.new(),
        addr="alice@example.org",
        mailbox="INBOX",
        actor="user:alice@example.org",
        items=tuple(mail.item() for mail in mails),
        also=tuple(mail.m for mail in mails),
    )
    recorder.apply([Applied("access-0", 1, 0, [act])])
    log = Log(directory)
    for mail in mails:
        kinds = [one.event.kind for one in log.timeline(mail.m)]
        assert kinds[-1] == "box.expunge"
        assert {"conn.open", "smtp.mail", "smtp.accept", "store.delivered"} <= set(kinds)
        assert len(kinds) == 8
    assert [one.event for one in log.timeline(act.trace)] == [act]
    log.close()
    recorder.close()


@IN_FILES
def test_statistics_come_by_themselves(directory: Path) -> None:
    recorder = Recorder(directory)
    new = mint()
    for number in range(1, 12):
        batch = [event for _ in range(100) for event in Mail(new).whole()]
        recorder.apply([Applied("mta-0", number, 0, batch)])
    link = months.open_reading(directory / "2026-11.db")
    assert link.execute("SELECT count(*) FROM sqlite_stat1 WHERE tbl='msg'").fetchone()[0] > 3
    counted = link.execute("SELECT status, n, bytes FROM stat_hour").fetchall()
    assert counted == [(State.STORED, 1100, 1100 * 2000)]
    link.close()
    recorder.close()


@pytest.mark.parametrize("size", [1, 2, 100])
def test_by_lmtp_a_recipient_may_be_refused_after_it_was_taken(directory: Kept, size: int) -> None:
    """In whatever batches the events come."""
    mail = Mail(mint(), to=("alice@example.org", "bob@example.org", "carol@example.org"))
    told, accept = mail.begin(), mail.accept()[0]
    assert isinstance(accept, events.SmtpAccept)
    for n, made in ((2, events.SmtpReject), (3, events.SmtpTempfail)):
        addr = mail.to[n - 1]
        told.append(made(at=AT, trace=mail.m, n=n, addr=addr, code=550, stage="dot"))
    told.append(msgspec.structs.replace(accept, recipients=accept.recipients[:1], count=1))
    recorder = Recorder(directory)
    for at in range(0, len(told), size):
        recorder.apply([Applied("mta-0", 1 + at, 0, told[at : at + size])])
    recorder.close()
    state, shown = state_of(directory, mail)
    assert {addr: one for addr, one, _ in shown} == {
        "alice@example.org": State.QUEUED,
        "bob@example.org": State.REFUSED,
        "carol@example.org": State.TEMPFAILED,
    }
    assert state == State.QUEUED
