"""What was done to a month after it was sealed is found, and said of the right month."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.archive import NOVEMBER, fill, keeper
from tests.tracing_events import Mail, mint
from tracing import months
from tracing.archive import seals, verify
from tracing.archive.seals import NAME, SealsBroken
from tracing.log import Applied, Recorder

OCTOBER = "2026-10"
OCTOBER_US = 1_791_000_000_000_000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """October and November sealed, December written."""
    log = tmp_path / "log"
    fill(log, 3)
    mail = Mail(mint(OCTOBER_US), at=OCTOBER_US, subject="October")
    with closing(Recorder(log)) as recorder:
        recorder.apply([Applied("mta-1", 1, mail.m, mail.whole())])
    work = keeper(log)
    work.seal(OCTOBER)
    work.seal(NOVEMBER)
    return log


def found(directory: Path) -> list[tuple[str, str]]:
    return [(one.month, one.fault) for one in verify.findings(directory)]


def test_whole_months_are_said_to_be_whole(directory: Path) -> None:
    assert found(directory) == []


CHANGES = (
    "UPDATE rcpt SET status=12 WHERE n=1",
    "UPDATE msg SET subject='another' WHERE id=(SELECT max(id) FROM msg)",
    "DELETE FROM tr WHERE trace=(SELECT max(trace) FROM tr)",
    "UPDATE tr SET z=(SELECT z FROM tr ORDER BY trace LIMIT 1)",
    "UPDATE addr SET local='somebody' WHERE id=1",
    "DELETE FROM also",
    "UPDATE chain SET head=zeroblob(32)",
)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_month_is_altered(directory: Path, change: str) -> None:
    with closing(sqlite3.connect(months.path(directory, NOVEMBER))) as link, link:
        assert link.execute(change).rowcount > 0
    assert found(directory) == [(NOVEMBER, "altered")]


def test_what_may_change_may(directory: Path) -> None:
    """Copies are moved and deleted as long as they are there."""
    with closing(sqlite3.connect(months.path(directory, NOVEMBER))) as link, link:
        assert link.execute("UPDATE st SET gone=1").rowcount
    assert found(directory) == []


def test_a_missing_month_is_missing(directory: Path) -> None:
    months.path(directory, OCTOBER).unlink()
    assert found(directory) == [(OCTOBER, "missing")]


def test_exchanged_months_are_told_apart(directory: Path) -> None:
    october, november = (months.path(directory, month) for month in (OCTOBER, NOVEMBER))
    shutil.copy(october, directory / "x")
    shutil.copy(november, october)
    shutil.move(directory / "x", november)
    assert found(directory) == [(OCTOBER, "exchanged"), (NOVEMBER, "exchanged")]


def test_a_sealed_month_that_is_hot_again_is_exchanged(directory: Path) -> None:
    """Somebody put a file of his own in its place, which the chain of batches cannot tell."""
    file = months.path(directory, OCTOBER)
    file.rename(file.with_suffix(months.HOT))
    assert found(directory) == [(OCTOBER, "exchanged")]


def test_a_month_nobody_sealed(directory: Path) -> None:
    shutil.copy(months.path(directory, OCTOBER), directory / "2026-09.sealed")
    assert ("2026-09", "unsealed") in found(directory)


def test_every_octet_of_a_sealed_file_is_noticed_or_harmless(directory: Path) -> None:
    """Flipped octets are told of, or lie where nothing is kept; never a traceback."""
    file = months.path(directory, OCTOBER)
    whole = file.read_bytes()
    told = 0
    for place in range(0, len(whole), max(1, len(whole) // 120)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0xA5]) + whole[place + 1 :])
        told += bool([one for one in found(directory) if one[0] == OCTOBER])
    file.write_bytes(whole)
    assert told
    assert found(directory) == []


def first_line_gone(text: bytes) -> bytes:
    return text.partition(b"\n")[2]


def a_line_changed(text: bytes) -> bytes:
    return text.replace(b'"events":', b'"events":1', 1)


def no_json(text: bytes) -> bytes:
    return text.replace(b"{", b"[", 1)


@pytest.mark.parametrize("change", [first_line_gone, a_line_changed, no_json])
def test_a_changed_list_is_told(directory: Path, change: Callable[[bytes], bytes]) -> None:
    file = directory / NAME
    file.write_bytes(change(file.read_bytes()))
    assert found(directory) == [("", "list")]
    with pytest.raises(SealsBroken):
        seals.read(directory)


def test_a_torn_last_line_is_no_damage(directory: Path) -> None:
    """A crash while a line was written: the line did not count, and the next one replaces it."""
    file = directory / NAME
    whole = file.read_bytes()
    known, head = seals.read(directory)
    file.write_bytes(whole + b'{"at":1,"mon')
    assert seals.read(directory) == (known, head)
    again = seals.Seal(at=1, month=OCTOBER, what="late", digest=known[1].digest)
    seals.add(directory, again)
    assert len(seals.read(directory)[0]) == len(known) + 1
