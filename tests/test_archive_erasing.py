"""A person is taken out of every form of a month; all else stays as it was."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests import archive
from tests.archive import NOVEMBER, keeper
from tests.tracing_events import AT, DECEMBER, Mail, mint
from tracing import access, events, facts, ids, months, search
from tracing.archive import erasing, verify
from tracing.archive.person import Person
from tracing.archive.seals import Seal
from tracing.events import Item
from tracing.log import Applied, Recorder
from tracing.queries import Log

ANNA = "anna.q_z@example.net"
ALIAS = "erased-00ff00ff"
WHO = Person(ANNA, ALIAS)
FORMS = ("hot", "sealed", "summary")


def fill(directory: Path) -> dict[str, Mail]:
    """What Anna sent, got alone and with others, did, and what merely looks like her."""
    new = mint()
    mails = {
        "sent": Mail(new, sender="Anna.Q_Z@Example.NET", subject="my secret"),
        "got": Mail(new, to=(ANNA,), subject="your secret"),
        "with": Mail(new, to=(ANNA, "bob@example.org"), subject="for all of us"),
        "about": Mail(new, subject=f"about {ANNA}", message_id="<2@example.net>"),
        "other": Mail(new, sender="joanna.q_z@example.net", subject="another one"),
        "longer": Mail(new, sender="anna.q_z@example.net.example", subject="elsewhere"),
    }
    mails["sent"].message_id = "<ANNA.Q_Z.7@pc>"
    frames = [mail.whole() for mail in mails.values()]
    for name in ("got", "with"):
        mail = mails[name]
        frames.append([_expunge(mail)])
    failed = access.AuthFail(
        at=AT + 9, trace=new.new(), login="ANNA.q_z@example.net", mechanism="PLAIN", why="password"
    )
    said = events.AdminChange(
        at=AT + 9, trace=new.new(), what="alias", name="a\nanna.q_z@example.net", after="x"
    )
    frames += [[failed], [said], Mail(mint(DECEMBER + 5), at=DECEMBER + 5).whole()]
    with closing(Recorder(directory)) as recorder:
        for seq, told in enumerate(frames, 1):
            recorder.apply([Applied("mta-0", seq, told[-1].trace, told)])
    return mails


def _expunge(mail: Mail) -> events.BoxExpunge:
    return events.BoxExpunge(
        at=AT + 5,
        trace=mail.m,
        addr=ANNA,
        actor=f"user:{ANNA}",
        mailbox="INBOX",
        items=(Item(mail.sts[0], mail.m, 1, mail.base(mail.sts[0])),),
        client="imap test",
    )


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def shape(directory: Path, form: str) -> None:
    """Give November its form."""
    if form != "hot":
        keeper(directory).seal(NOVEMBER)
    if form == "summary":
        keeper(directory)._reduce(NOVEMBER, months.SUMMARY, "summarised")


def everything(directory: Path) -> dict[str, Any]:
    """What the log answers about every message and connection."""
    found: dict[str, Any] = {}
    with closing(Log(directory)) as log:
        every = log.ids(search.EVERYTHING, 1000)
        found["rows"] = log.rows(every)
        found["recipients"] = {m: log.recipients(m) for m in every}
        found["events"] = log.events_after({}, 10_000)
        for kind in events.REGISTRY.values():
            found[kind.__name__] = list(log.of_kind(kind, 0, DECEMBER * 2))
    return found


def test_nothing_of_the_person_is_left_and_all_else_is(tmp_path: Path, form: str) -> None:
    directory = tmp_path / "log"
    mails = fill(directory)
    shape(directory, form)
    before = everything(directory)
    assert "anna.q_z@example.net'" in repr(before).lower()
    heard: list[Seal] = []
    found = keeper(directory, heard).erase(NOVEMBER, WHO)
    assert (found.copies, found.waiting, len(found.messages)) == (0, 0, 3)
    after = everything(directory)
    left = repr(after).lower()
    for other in ("joanna.q_z@example.net", "anna.q_z@example.net.example"):
        assert other in left
        left = left.replace(other, "")
    assert "anna.q_z" not in left
    with closing(Log(directory)) as log:
        rows = log.rows([mail.m for mail in mails.values()])
        by_name = {name: rows[mail.m] for name, mail in mails.items()}
        assert by_name["sent"].sender == f"{ALIAS}@example.net"
        assert [by_name[one].subject for one in ("sent", "got", "with")] == [
            "",
            "",
            "for all of us",
        ]
        assert by_name["about"].subject == f"about {ALIAS}@example.net"
        assert by_name["sent"].message_id == by_name["sent"].header_from == ""
        assert by_name["other"] == before["rows"][mails["other"].m]
        assert by_name["longer"] == before["rows"][mails["longer"].m]
        for text, names in {
            f"from:{ALIAS}@": ["sent"],
            f"to:{ALIAS}@": ["got", "with"],
            "from:anna.q_z@example.net": [],
            "subj:secret": [],
            f"subj:{ALIAS}": ["about"],
            "subj:elsewhere": ["longer"],
            "anna.q_z@example.net": [],
            "oanna.q_z": ["other"],
        }.items():
            query = search.parse(text, DECEMBER)
            assert set(log.ids(query, 10)) == {mails[name].m for name in names}, text
        if form != "summary":
            kinds = {one.event.kind for one in log.timeline(mails["got"].m)}
            assert {"smtp.accept", "box.expunge"} <= kinds
            query = search.parse(f"actor:{ALIAS}@example.net", DECEMBER)
            assert set(log.ids(query, 10)) == {mails["got"].m, mails["with"].m}
    assert erasing.look(directory, NOVEMBER, WHO).is_empty
    assert keeper(directory).erase(NOVEMBER, WHO).is_empty
    assert [one.what for one in heard] == ([] if form == "hot" else ["erased"])
    assert not list(verify.findings(directory))


def test_octets_of_a_hot_month_do_not_have_it_either(tmp_path: Path) -> None:
    fill(tmp_path)
    file = months.path(tmp_path, NOVEMBER)
    assert b"ANNA.q_z@example.net" in file.read_bytes()
    keeper(tmp_path).erase(NOVEMBER, WHO)
    octets = file.read_bytes().lower().replace(b"joanna.q_z", b"")
    for text in (b'anna.q_z@example.net"', b"my secret", b"user:anna.q_z", b"<anna.q_z.7@pc>"):
        assert text not in octets
    wal = Path(f"{file}-wal")
    assert not wal.exists() or not wal.stat().st_size


def test_the_chain_still_shows_what_else_is_changed(tmp_path: Path) -> None:
    """A batch that lost details is known; another event that is altered is found, one gone too."""
    fill(tmp_path)
    file = months.path(tmp_path, NOVEMBER)
    keeper(tmp_path).erase(NOVEMBER, WHO)
    with closing(sqlite3.connect(file)) as link:
        assert not list(facts.breaks(link))
        [erased] = link.execute("SELECT v FROM meta WHERE k='chain.erased'").fetchone()
        assert len(json.loads(erased)) == 3
        with link:
            link.execute("UPDATE ev SET code=299 WHERE seq=30")
        assert len(list(facts.breaks(link))) == 1
        last = json.loads(erased)[-1]
        with link:
            link.execute("DELETE FROM ev WHERE seq=?", (last,))
        assert len(list(facts.breaks(link))) == 2


def test_an_erased_month_can_be_sealed_and_written(tmp_path: Path) -> None:
    fill(tmp_path)
    keeper(tmp_path).erase(NOVEMBER, WHO)
    again = Mail(mint(AT + 60_000_000), at=AT + 60_000_000, sender=ANNA)
    with closing(Recorder(tmp_path)) as recorder:
        recorder.apply([Applied("mta-0", 90, again.m, again.whole())])
    keeper(tmp_path).seal(NOVEMBER)
    assert not list(verify.findings(tmp_path))
    assert len(keeper(tmp_path).erase(NOVEMBER, WHO).messages) == 1
    with closing(Log(tmp_path)) as log:
        [row] = log.rows([again.m]).values()
        assert row.sender == f"{ALIAS}-2@example.net", "it was another address by then"
        assert not log.ids(search.parse(f"from:{ANNA}", DECEMBER), 10)
    assert not list(verify.findings(tmp_path))


def test_a_crash_before_it_is_sealed_anew_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person is out; the month says that it waits to be sealed, and the next run does it."""
    fill(tmp_path)
    shape(tmp_path, "sealed")

    class Killed(BaseException):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", killed)
        with pytest.raises(Killed):
            keeper(tmp_path).erase(NOVEMBER, WHO)
    assert erasing.look(tmp_path, NOVEMBER, WHO).is_empty
    assert [one.fault for one in verify.findings(tmp_path)] == ["late"]
    keeper(tmp_path).recover()
    keeper(tmp_path).reseal(NOVEMBER, "late")
    assert not list(verify.findings(tmp_path))


def test_living_copies_are_told(tmp_path: Path) -> None:
    archive.fill(tmp_path, 2)
    found = erasing.look(tmp_path, NOVEMBER, Person("carol@example.org", ALIAS))
    assert found.copies == 1
    assert ids.month(1) != NOVEMBER
