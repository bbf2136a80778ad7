"""What is read in turn, and that damage is stored again while the message still exists."""

import os
from pathlib import Path

import pytest

from backup import verify
from backup.format import BODY, MANIFEST, TEXT
from backup.verify import Report
from tests import mails
from tests.backup_yard import ANNA, BORIS, Yard
from tests.test_backup_prune import contents, pruned


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    yard = Yard(tmp_path)
    for day in range(4):
        yard.deliver(ANNA, mails.plain(f"day {day}"))
        yard.deliver(BORIS, mails.with_attachment(day))
        yard.take()
    return yard


def scrubbed(yard: Yard, share: float) -> Report:
    with yard.open(heal=True) as store:
        return verify.verify(store, read_data=True, share=share)


def pack_of(yard: Yard, kind: bytes) -> tuple[Path, int]:
    """A pack of a kind and where its first frame's ciphertext is."""
    with yard.open() as store:
        query = (
            "SELECT p.name, f.at FROM pack p JOIN frame f ON f.pack=p.no "
            "WHERE p.kind=? ORDER BY p.no, f.number LIMIT 1"
        )
        name, at = store.cache.database.execute(query, (kind,)).fetchone()
    return Path(yard.root / "repository" / "packs" / name[:2] / name), at + 40


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_parts_add_up_to_everything(yard: Yard) -> None:
    total = scrubbed(yard, 1).packs
    once = scrubbed(yard, 0.25)
    assert 0 < once.packs_read < total
    read = once.packs_read
    for _ in range(10):
        if read >= total:
            break
        read += scrubbed(yard, 0.25).packs_read
    with yard.open() as store:
        times = sorted(store.cache.proven().values())
        assert len(times) == total
    assert scrubbed(yard, 0.0001).packs_read == 1
    with yard.open() as store:
        assert sorted(store.cache.proven().values())[0] > times[0]


@pytest.mark.parametrize("kind", [BODY, TEXT])
@pytest.mark.parametrize("gone", [False, True], ids=["flipped", "missing"])
def test_damage_is_stored_again_and_then_pruned(yard: Yard, kind: bytes, gone: bool) -> None:
    before = contents(yard)
    path, at = pack_of(yard, kind)
    flip(path, at)
    if gone:
        path.unlink()
    found = scrubbed(yard, 1)
    assert not found.is_whole
    assert found.findings[0].messages
    taken = yard.take()
    assert taken.commit.added > 0
    after = scrubbed(yard, 1)
    assert after.is_whole
    assert not after.is_clean
    assert "stored elsewhere" in after.findings[0].what
    assert not after.findings[0].messages
    assert contents(yard).items() >= before.items()
    pruned(yard)
    assert scrubbed(yard, 1).is_clean
    assert contents(yard).items() >= before.items()


def test_a_listing_that_is_lost_is_stored_again(yard: Yard) -> None:
    path, _ = pack_of(yard, MANIFEST)
    os.truncate(path, 10)
    assert not scrubbed(yard, 1).is_whole
    yard.take()
    yard.take()
    assert len(yard.entries(ANNA)) == 4


def test_known_damage_is_told_by_every_part(yard: Yard) -> None:
    path, at = pack_of(yard, BODY)
    flip(path, at)
    assert not scrubbed(yard, 1).is_whole
    for _ in range(3):
        assert not scrubbed(yard, 0.0001).is_whole
    flip(path, at)
    assert scrubbed(yard, 0.0001).is_clean
    assert yard.take().commit.added == 0


def test_a_damaged_body_in_a_part_names_the_messages_elsewhere(yard: Yard) -> None:
    path, at = pack_of(yard, BODY)
    for _ in range(40):
        with yard.open(heal=True) as store:
            verify.verify(store, read_data=True, share=0.0001)
            oldest = min(store.cache.proven().items(), key=lambda each: (each[1], each[0]))[0]
            all_seen = len(store.cache.proven()) == len(store.cache.packs())
        if all_seen and oldest == path.name:
            break
    flip(path, at)
    found = scrubbed(yard, 0.0001)
    assert [lost.box for finding in found.findings for lost in finding.messages][:1] == [BORIS]
