"""The queue in the log: what each event of mail that leaves does to a recipient's row."""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mtad import db
from tests.tracing_events import AT, DECEMBER, Mail, mint
from tracing import events, months, sending
from tracing.log import Applied, Recorder
from tracing.queries import Log
from tracing.states import State

MINUTE = 60_000_000


class Leaving(Mail):
    """A message of ours for recipients elsewhere."""

    def queued(self, **params: Any) -> list[events.Event]:
        """From MAIL FROM to the queue."""
        return [*self.begin(), *self.accept(), *self.adds(**params)]

    def adds(self, **params: Any) -> list[events.Event]:
        return [
            sending.QueueAdd(at=self.at, trace=self.m, n=n, addr=address, **params)
            for n, address in enumerate(self.to, 1)
        ]

    def fields(self, minutes: int, n: int = 1, to: str = "") -> dict[str, Any]:
        at = self.at + minutes * MINUTE
        return {"at": at, "trace": self.m, "n": n, "addr": to or self.to[n - 1]}

    def deferred(self, minutes: int, attempt: int, n: int = 1) -> events.Event:
        return sending.OutDeferred(
            **self.fields(minutes, n),
            attempt=attempt,
            stage="rcpt",
            next_try=self.at + (minutes + 5) * MINUTE,
            host="mx.there.test",
            code=450,
            enh="4.2.0",
            reply="450 4.2.0 greylisted",
        )

    def delivered(self, minutes: int, attempt: int, n: int = 1, to: str = "") -> events.Event:
        return sending.OutDelivered(
            **self.fields(minutes, n, to),
            attempt=attempt,
            host="mx.there.test",
            code=250,
            reply="250 ok queued as 4711",
        )


COLUMNS = "n, local, rname, status, tries, next_try, str.s, code, enh, reply, params"


def rows(directory: Path, m: int) -> list[dict[str, Any]]:
    """The recipients of a message as the file has them."""
    found = []
    for month in months.listing(directory):
        link = months.open_reading(months.path(directory, month))
        for row in link.execute(
            f"SELECT {COLUMNS} FROM rcpt JOIN addr ON addr.id=addr JOIN dom ON dom.id=addr.dom "
            "LEFT JOIN str ON str.id=host WHERE msg=? ORDER BY n",
            (m,),
        ):
            names = ("n", "local", "rname", "status", "tries", "next", "host", "code", "enh")
            one = dict(zip((*names, "reply", "params"), row, strict=True))
            one["status"] = State(one["status"])
            one["params"] = json.loads(one["params"]) if one["params"] else None
            found.append(one)
        link.close()
    return found


def record(directory: Path, *frames: Sequence[events.Event]) -> None:
    """Record frames, one after the other."""
    recorder = Recorder(directory)
    for seq, told in enumerate(frames, 1):
        recorder.apply([Applied("mta-0", seq, 0, told)])
    recorder.close()


def only(directory: Path, m: int) -> dict[str, Any]:
    (one,) = rows(directory, m)
    return one


@pytest.fixture
def mail() -> Leaving:
    return Leaving(mint(), to=("bob@there.test",))


def test_a_queued_recipient_has_what_its_delivery_needs(tmp_path: Path, mail: Leaving) -> None:
    params = {"notify": "FAILURE", "orcpt": "rfc822;b@x", "priority": 2, "smtputf8": True}
    record(tmp_path, mail.queued(**params, next_try=mail.at + 5))
    one = only(tmp_path, mail.m)
    assert one["status"] is State.QUEUED
    assert one["next"] == mail.at + 5
    assert one["params"] == params


def test_one_without_parameters_is_known_from_a_local_one(tmp_path: Path, mail: Leaving) -> None:
    local = Leaving(mint(AT + 10**6), to=("alice@example.org",))
    record(tmp_path, mail.queued(), [*local.begin(), *local.accept()])
    assert only(tmp_path, mail.m)["params"] == {}
    assert only(tmp_path, mail.m)["next"] == mail.at
    assert only(tmp_path, local.m)["params"] is None


def test_an_address_is_kept_as_it_was_given(tmp_path: Path) -> None:
    """The log compares in lower case; a remote may not."""
    mail = Leaving(mint(), to=("Bob@There.test",))
    redirect = sending.QueueRedirect(
        **mail.fields(1, to="Carol@there.test"), was="Bob@There.test", next_try=9
    )
    back = sending.QueueRedirect(
        **mail.fields(2, to="dave@there.test"), was="Carol@there.test", next_try=9
    )
    record(tmp_path / "a", mail.queued())
    record(tmp_path / "b", mail.queued(), [redirect])
    record(tmp_path / "c", mail.queued(), [redirect], [back])
    was = {"was": "Bob@There.test"}
    assert only(tmp_path / "a", mail.m)["params"] == {"addr": "Bob@There.test"}
    assert only(tmp_path / "b", mail.m)["params"] == {"addr": "Carol@there.test", **was}
    assert only(tmp_path / "c", mail.m)["params"] == was


def test_attempts(tmp_path: Path, mail: Leaving) -> None:
    record(tmp_path, mail.queued(), [mail.deferred(1, 1)], [mail.deferred(6, 2)])
    one = only(tmp_path, mail.m)
    assert one["status"] is State.DEFERRED
    assert (one["tries"], one["next"]) == (2, mail.at + 11 * MINUTE)
    assert (one["host"], one["code"], one["enh"]) == ("mx.there.test", 450, "4.2.0")
    assert one["reply"] == "450 4.2.0 greylisted"


FINAL: dict[str, tuple[Any, dict[str, Any], State]] = {
    "out.delivered": (sending.OutDelivered, {"attempt": 2, "reply": "250 ok"}, State.RELAYED),
    "out.failed": (sending.OutFailed, {"attempt": 2, "stage": "rcpt"}, State.BOUNCED),
    "queue.expire": (sending.QueueExpire, {"hours": 120, "tries": 3}, State.EXPIRED),
    "queue.drop": (sending.QueueDrop, {"actor": "admin:x"}, State.CANCELLED),
    "queue.bounce": (sending.QueueBounce, {"actor": "admin:x"}, State.BOUNCED),
}


@pytest.mark.parametrize("kind", FINAL)
def test_an_end_is_final(tmp_path: Path, mail: Leaving, kind: str) -> None:
    cls, fields, state = FINAL[kind]
    end = cls(**mail.fields(9), **fields)
    later = [
        mail.deferred(10, 3),
        sending.QueueHold(**mail.fields(11), why="too late"),
        sending.QueueRetry(**mail.fields(12), next_try=5),
        sending.QueueRedirect(**mail.fields(12, to="x@y.test"), was="bob@there.test", next_try=5),
        *[ended(**mail.fields(13), **given) for ended, given, _ in list(FINAL.values())[1:]],
    ]
    record(tmp_path, mail.queued(), [mail.deferred(1, 1)], [end], later)
    one = only(tmp_path, mail.m)
    assert one["status"] is state
    assert one["next"] is None
    assert one["local"] == "bob"
    assert "held" not in one["params"]
    log = Log(tmp_path)
    assert log.rows([mail.m])[mail.m].state is state
    log.close()


def test_what_the_remote_took_was_delivered(tmp_path: Path, mail: Leaving) -> None:
    """An operator may drop what is under way at that moment."""
    drop = sending.QueueDrop(**mail.fields(1), actor="admin:x")
    record(tmp_path, mail.queued(), [drop], [mail.delivered(2, 1)])
    assert only(tmp_path, mail.m)["status"] is State.RELAYED


def test_hold_and_release(tmp_path: Path, mail: Leaving) -> None:
    hold = sending.QueueHold(**mail.fields(1), why="to:@there.test")
    record(tmp_path / "held", mail.queued(), [hold])
    one = only(tmp_path / "held", mail.m)
    assert one["status"] is State.HELD
    assert one["next"] is None
    assert one["params"] == {"held": "to:@there.test"}
    free = sending.QueueRelease(**mail.fields(2), next_try=mail.at + 7)
    record(tmp_path / "free", mail.queued(), [hold], [free])
    one = only(tmp_path / "free", mail.m)
    assert (one["status"], one["next"], one["params"]) == (State.QUEUED, mail.at + 7, {})
    record(tmp_path / "later", mail.queued(), [mail.deferred(0, 1)], [hold], [free])
    assert only(tmp_path / "later", mail.m)["status"] is State.DEFERRED


def test_a_redirected_recipient_was_accepted_for_another_address(
    tmp_path: Path, mail: Leaving
) -> None:
    def redirect(minutes: int, to: str, was: str) -> events.Event:
        return sending.QueueRedirect(
            **mail.fields(minutes, to=to), was=was, next_try=9, actor="admin:x"
        )

    record(
        tmp_path,
        mail.queued(),
        [redirect(1, "carol@other.test", "bob@there.test")],
        [redirect(2, "dave@third.test", "carol@other.test")],
        [mail.delivered(3, 1, to="dave@third.test")],
    )
    one = only(tmp_path, mail.m)
    assert (one["local"], one["rname"]) == ("dave", "test.third")
    assert one["params"] == {"was": "bob@there.test"}
    assert one["status"] is State.RELAYED
    log = Log(tmp_path)
    (accept,) = [
        stored.event
        for stored in log.timeline(mail.m)
        if isinstance(stored.event, events.SmtpAccept)
    ]
    assert accept == mail.accept()[0]
    log.close()


def test_a_delay_is_told_once(tmp_path: Path, mail: Leaving) -> None:
    def made(what: str) -> events.Event:
        return sending.DsnMade(**mail.fields(240), what=what, report="0")

    record(tmp_path / "a", mail.queued(), [mail.deferred(240, 7), made("delayed")])
    assert only(tmp_path / "a", mail.m)["params"] == {"warned": True}
    record(tmp_path / "b", mail.queued(), [made("failed")])
    assert only(tmp_path / "b", mail.m)["params"] == {}


def test_events_of_what_is_not_known_do_nothing(tmp_path: Path, mail: Leaving) -> None:
    record(tmp_path, [mail.deferred(1, 1), mail.delivered(2, 2)])
    assert rows(tmp_path, mail.m) == []


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pieces_make_the_same_rows(tmp_path: Path, size: int) -> None:
    made = {}
    for name, step in (("whole", 1000), ("pieces", size)):
        mail = Leaving(mint(), to=("bob@there.test", "carol@there.test"))
        told = [
            *mail.queued(priority=1),
            mail.deferred(1, 1),
            mail.deferred(1, 1, 2),
            sending.QueueHold(**mail.fields(2), why="x"),
            mail.delivered(9, 2, 2),
        ]
        record(tmp_path / name, *[told[i : i + step] for i in range(0, len(told), step)])
        made[name] = rows(tmp_path / name, mail.m)
    assert made["whole"] == made["pieces"]


def made_here(m: int, parent: int, at: int = AT) -> events.Event:
    return events.MailMade(
        at=at,
        trace=m,
        size=1,
        sha256="ab" * 32,
        count=1,
        recipients=(events.Recipient(1, "a@x.org", "a@x.org"),),
        rel="dsn",
        parent=parent,
    )


def kin(directory: Path, m: int) -> tuple[Any, ...]:
    for month in months.listing(directory):
        link = months.open_reading(months.path(directory, month))
        row = link.execute("SELECT root, parent, rel, dir FROM msg WHERE id=?", (m,)).fetchone()
        link.close()
        if row:
            return tuple(row)
    raise AssertionError(m)


@pytest.mark.parametrize("together", [True, False])
def test_a_report_belongs_to_the_first_message(tmp_path: Path, together: bool) -> None:
    """Through two generations, and over the turn of a month."""
    mail = Leaving(mint(), to=("bob@there.test",))
    child, grandchild = mail.mint.new(), mint(DECEMBER + 5).new()
    told = [
        mail.queued(),
        [made_here(child, mail.m)],
        [made_here(grandchild, child, DECEMBER + 5)],
    ]
    record(tmp_path, *([[one for part in told for one in part]] if together else told))
    assert kin(tmp_path, mail.m) == (None, None, None, 0)
    assert kin(tmp_path, child) == (mail.m, mail.m, "dsn", 2)
    assert kin(tmp_path, grandchild) == (mail.m, child, "dsn", 2)


def test_the_parent_may_be_in_no_file(tmp_path: Path) -> None:
    new, old = mint(), mint(AT - 10**15).new()
    m = new.new()
    record(tmp_path, [made_here(m, old)])
    assert kin(tmp_path, m) == (old, old, "dsn", 2)
    assert months.listing(tmp_path) == ["2026-11"]


def first_version(directory: Path) -> Mail:
    """A month as the first version made it, with a message."""
    mail = Mail(mint())
    record(directory, mail.whole())
    db.downgrade(months.path(directory, "2026-11"), db.LOG, "log_0001")
    return mail


def test_a_month_of_the_first_version_is_read_as_it_is(tmp_path: Path) -> None:
    mail = first_version(tmp_path)
    log = Log(tmp_path)
    told = [stored.event for stored in log.timeline(mail.m)]
    assert mail.accept()[0] in told
    assert [one.state for one in log.recipients(mail.m)] == [State.STORED]
    log.close()
    assert db.revision(months.path(tmp_path, "2026-11")) == "log_0001"


def test_months_of_the_first_version_are_brought_up_to_date(tmp_path: Path) -> None:
    mail = first_version(tmp_path)
    december = Recorder(tmp_path / "other")
    december.apply([Applied("mta-0", 1, 0, Mail(mint(DECEMBER), at=DECEMBER).whole())])
    december.close()
    (tmp_path / "other" / "2026-12.db").rename(tmp_path / "2026-12.db")
    recorder = Recorder(tmp_path)
    assert db.revision(months.path(tmp_path, "2026-11")) == months.REVISION
    leaving = Leaving(mint(AT + 10**9), to=("bob@there.test",))
    recorder.apply([Applied("mta-0", 99, 0, leaving.queued())])
    recorder.close()
    assert only(tmp_path, leaving.m)["params"] == {}
    assert only(tmp_path, mail.m)["status"] is State.STORED
    with sqlite3.connect(months.path(tmp_path, "2026-11")) as link:
        assert link.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    link.close()
