"""A sealed month answers as it did before, takes what comes late, and survives a crash anywhere."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests import archive
from tests.archive import NOVEMBER, fill, form, keeper, told
from tests.tracing_events import AT, DECEMBER, Mail, mint
from tracing import ids, months, search, sending
from tracing.archive import building, keeping, swap, verify
from tracing.archive.blob import Blob, Packer
from tracing.archive.classes import Due, Rules, due
from tracing.archive.seals import Seal
from tracing.codec import Row
from tracing.log import Applied, Recorder
from tracing.queries import Log


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    fill(tmp_path / "log")
    return tmp_path / "log"


def test_a_sealed_month_answers_as_before(directory: Path) -> None:
    """Every question about messages, events and times has the same answer."""
    before = told(directory)
    keeper(directory).seal(NOVEMBER)
    assert form(directory) == months.SEALED
    assert sorted(file.name for file in directory.glob("*11*")) == ["2026-11.sealed"]
    after = told(directory)
    assert before.keys() == after.keys()
    for question, answer in before.items():
        assert after[question] == answer, question


def test_what_comes_late_has_its_place(directory: Path) -> None:
    """A sealed month takes events and changes of rows, says so, and is sealed anew."""
    mail = fill_mail(directory)
    heard: list[Seal] = []
    work = keeper(directory, heard)
    work.seal(NOVEMBER)
    bounced = sending.QueueBounce(at=DECEMBER + 9, trace=mail.m, n=1, actor="admin:ann")
    gone = archive.expunge(mail, DECEMBER + 10)
    with closing(Recorder(directory)) as recorder:
        first = Applied("mta-0", 900, mail.m, [bounced])
        assert recorder.apply([first, Applied("access-0", 1, mail.m, [gone])])
        assert not recorder.apply([first]), "a frame is applied once"
    with closing(Log(directory)) as log:
        found = [one.event for one in log.timeline(mail.m)]
        assert bounced in found
        assert gone in found
        assert log.recipients(mail.m)[0].mailbox == "", "the copy's row is in the sealed month"
        assert mail.m in log.ids(search.parse("ev:queue.bounce", DECEMBER), 10)
        assert mail.m in log.ids(search.parse("actor:ann", DECEMBER), 10)
        assert list(log.of_kind(sending.QueueBounce, 0, DECEMBER * 2)) == [bounced]
    assert [one.fault for one in verify.findings(directory)] == ["late"]
    assert [one.act for one in due(keeping.survey(directory), Rules(), archive.LATER)] == ["reseal"]
    work.reseal(NOVEMBER, "late")
    assert not list(verify.findings(directory))
    assert [seal.what for seal in heard] == ["sealed", "late"]


def fill_mail(directory: Path) -> Mail:
    """A message of November that is queued for elsewhere and has a copy."""
    new = mint(AT + 3_000_000)
    mail = Mail(new, at=AT + 3_000_000, subject="late")
    with closing(Recorder(directory)) as recorder:
        recorder.apply([Applied("mta-0", 500, mail.m, mail.whole())])
    return mail


def test_what_comes_during_sealing_is_not_lost(directory: Path) -> None:
    """A draft of a month that went on does not take its place."""
    draft = swap.draft(directory, NOVEMBER, months.SEALED)
    position, _ = building.build(months.path(directory, NOVEMBER), draft)
    mail = fill_mail(directory)
    with closing(Recorder(directory)) as recorder:
        assert not recorder.replace(NOVEMBER, draft, position)
    assert form(directory) == months.HOT
    with closing(Log(directory)) as log:
        assert log.timeline(mail.m)


def test_the_newest_month_stays(directory: Path) -> None:
    """Neither is it sealed nor dropped: it has the journals' marks."""
    with pytest.raises(keeping.NotNow):
        keeper(directory).seal("2026-12")
    assert form(directory, "2026-12") == months.HOT
    with closing(Recorder(directory)) as recorder:
        assert not recorder.drop("2026-12")


class Killed(BaseException):
    """The process ends here."""


CALLS = ("os.rename", "os.fsync", "os.unlink", "os.pwrite", "os.ftruncate", "os.chmod")


@pytest.mark.parametrize("act", ["seal", "reseal", "summarise", "reduce", "drop"])
def test_a_crash_anywhere_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """Killed before any of its writes to the disk, the next run ends what was begun."""
    first = tmp_path / "log"
    fill(first, 3)
    prepare(first, act)
    was = shortly(first)
    for stop in range(200):
        directory = tmp_path / f"{stop}" / "log"
        shutil.copytree(first, directory)
        with monkeypatch.context() as patch:
            kill_at(patch, stop)
            try:
                carry_out(directory, act)
                killed = False
            except Killed:
                killed = True
        after(directory, act, was)
        if not killed:
            assert stop >= 5, "it writes more than that"
            return
    raise AssertionError("it never came to an end")


def kill_at(patch: pytest.MonkeyPatch, stop: int) -> None:
    """Let so many writes be made and none after them."""
    left = iter(range(stop))

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            if next(left, None) is None:
                raise Killed
            return real(*given, **named)

        return call

    for name in CALLS:
        patch.setattr(name, counted(getattr(os, name.partition(".")[2])))


def shortly(directory: Path) -> Any:
    """What the log has, without all that can be asked of it."""
    with closing(Log(directory)) as log:
        every = log.ids(search.EVERYTHING, 100)
        return log.rows(every), [log.timeline(m) for m in every], log.events_after({}, 10_000)


def prepare(directory: Path, act: str) -> None:
    """What has to have happened before."""
    if act != "seal":
        keeper(directory).seal(NOVEMBER)
    if act == "reseal":
        with closing(Recorder(directory)) as recorder:
            [m, *_] = Log(directory).ids(search.parse("subj:figures", DECEMBER), 1)
            late = sending.QueueBounce(at=DECEMBER + 9, trace=m, n=1, actor="admin:ann")
            recorder.apply([Applied("mta-0", 900, m, [late])])


def carry_out(directory: Path, act: str) -> None:
    """Do it, as the daily run does."""
    month = next(one for one in keeping.survey(directory) if one.name == NOVEMBER)
    work = keeper(directory)
    work.recover()
    work.carry_out(Due(act, month))  # type: ignore[arg-type]


def after(directory: Path, act: str, was: dict[str, Any]) -> None:
    """The month is as before or as it was to be, and a further run makes it so."""
    keeper(directory).recover()
    faults = [one for one in verify.findings(directory) if not one.is_harmless]
    assert not faults
    if act in ("seal", "reseal"):
        assert shortly(directory) == was
    listed = {one.name: one for one in keeping.survey(directory)}
    wanted = {"seal": "sealed", "reseal": "sealed", "summarise": "summary", "reduce": "copies"}
    if act == "drop":
        if NOVEMBER in listed:
            carry_out(directory, act)
        assert NOVEMBER not in months.listing(directory)
    else:
        if listed[NOVEMBER].form != wanted[act] or listed[NOVEMBER].late:
            carry_out(directory, act)
        [month] = [one for one in keeping.survey(directory) if one.name == NOVEMBER]
        assert (month.form, month.late) == (wanted[act], False)
    assert not list(verify.findings(directory))
    names = {file.name for file in directory.glob(f"*{NOVEMBER}*") if file.suffix in OWN}
    assert len(names) == (act != "drop"), "nothing is left lying about"


OWN = (*months.FORMS, ".new", ".old")


def test_a_draft_that_reads_back_otherwise_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hot month goes only after the sealed one was read back."""
    real = Packer.pack

    def wrong(self: Packer, trace: int, rows: list[Row]) -> Blob:
        return real(self, trace, [(*row[:2], 1, *row[3:]) for row in rows])

    monkeypatch.setattr(Packer, "pack", wrong)
    with pytest.raises(building.NotEqual):
        keeper(directory).seal(NOVEMBER)
    assert form(directory) == months.HOT


def test_a_month_whose_chain_is_broken_is_not_sealed_over_it(directory: Path) -> None:
    """What was changed unseen stays to be found."""
    with closing(sqlite3.connect(months.path(directory, NOVEMBER))) as link, link:
        link.execute("UPDATE ev SET code=251 WHERE seq=(SELECT max(seq)-3 FROM ev)")
    with pytest.raises(building.ChainBroken):
        keeper(directory).seal(NOVEMBER)
    assert form(directory) == months.HOT


def test_summaries_and_copies(directory: Path) -> None:
    """Without events lists are the same; in the end only what is in boxes is left."""
    query = search.parse("to:alice", DECEMBER)
    with closing(Log(directory)) as log:
        before = log.rows(log.ids(query, 100))
        living = log.recipients(max(before))
    work = keeper(directory)
    carry_out(directory, "summarise")
    with closing(Log(directory)) as log:
        assert log.rows(log.ids(query, 100)) == before
        assert log.recipients(max(before)) == living
        [m] = log.ids(search.parse("subj:figures to:alice until:2026-12-01", DECEMBER), 1)
        assert log.timeline(m) == []
    carry_out(directory, "reduce")
    with closing(Log(directory)) as log:
        assert all(ids.month(m) > NOVEMBER for m in log.ids(query, 100))
    with closing(months.open_reading(months.path(directory, NOVEMBER))) as link:
        assert link.execute("SELECT count(*) FROM st WHERE gone IS NULL").fetchone()[0] > 20
        assert link.execute("SELECT count(*) FROM addr").fetchone()[0] == 3
    assert not list(verify.findings(directory))
    work.recover()
