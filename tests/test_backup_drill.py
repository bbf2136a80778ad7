"""Messages drawn by lot come back as they were, or it is said which do not."""

import os
import random
from pathlib import Path

import pytest

from backup import drill
from backup.format import BODY
from mtad.config import Loaded
from mtad.errors import Exit, MtadError, NothingFound
from mtad.journal import disk
from mtad.journal.reader import Reader
from tests import mails
from tests.backup_yard import ANNA, BORIS, Run, Yard, command, settings, three_messages
from tests.test_backup_scrub import flip, pack_of
from tracing import events


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    yard = Yard(tmp_path)
    for day in range(4):
        yard.deliver(ANNA, mails.plain(f"day {day}"), "Archive", "S")
        yard.deliver(BORIS, mails.with_attachment(day))
    yard.take()
    return yard


def drilled(yard: Yard, count: int = 40) -> drill.Drilled:
    with yard.open() as store:
        lot = random.Random(7)
        done = drill.drill(store, yard.root / "boxes", yard.root / "cache", count=count, lot=lot)
    assert not (yard.root / "cache" / drill.NAME).exists()
    return done


def test_every_message_comes_back(yard: Yard) -> None:
    done = drilled(yard)
    assert (done.messages, done.compared, done.failed) == (8, 8, [])


def test_few_are_drawn_from_many(yard: Yard) -> None:
    assert drilled(yard, 3).messages == 3


def test_a_message_that_is_gone_from_its_box_comes_back_too(yard: Yard) -> None:
    for path in yard.root.rglob("cur/*"):
        path.unlink()
    done = drilled(yard)
    assert done.messages == 8
    assert done.compared < 8
    assert not done.failed


def test_a_damaged_body_is_named(yard: Yard) -> None:
    flip(*pack_of(yard, BODY))
    done = drilled(yard)
    assert done.messages == 8
    assert done.failed
    assert all(line.startswith(f"{BORIS} INBOX UID ") for line in done.failed)


def test_a_file_that_was_changed_in_its_box_is_named(yard: Yard) -> None:
    (path, *_) = (path for path in yard.box(ANNA).rglob("cur/*") if path.is_file())
    os.chmod(path, 0o600)
    path.write_bytes(b"other octets\n")
    (line,) = drilled(yard).failed
    assert line.startswith(f"{ANNA} Archive UID ")
    assert line.endswith("the file in the box has other octets")


def test_a_date_that_does_not_come_back_is_named(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "utime", lambda *_, **__: None)
    assert len(drilled(yard).failed) == 8


def test_a_full_disk_is_said(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "fsync", full)
    with pytest.raises(MtadError, match="No space left"):
        drilled(yard)
    assert not (yard.root / "cache" / drill.NAME).exists()


def test_nothing_to_put_back_is_said(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    yard.take()
    with pytest.raises(NothingFound, match="no message"):
        drilled(yard)


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    return settings(tmp_path)


@pytest.fixture
def run(loaded: Loaded) -> Run:
    three_messages(loaded)
    return command(loaded)


def test_the_command_tells_and_keeps_an_event(run: Run, loaded: Loaded) -> None:
    said = run("snapshot", "drill", "--messages", "9")
    assert (said["messages"], said["compared"], said["failed"]) == (3, 3, [])
    for path in loaded.places.boxes.rglob("cur/*"):
        os.chmod(path, 0o600)
        path.write_bytes(b"other\n")
    again = run("snapshot", "drill", code=Exit.PROBLEMS)
    assert (again["compared"], len(again["failed"])) == (3, 2)
    told = [
        event
        for folder in loaded.places.journal.glob("cli-*")
        for frame in Reader(folder).frames(0)
        for event in frame.events
        if isinstance(event, events.BackupDrilled)
    ]
    assert [event.failed for event in told] == [0, 2]
