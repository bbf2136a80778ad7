"""One flipped byte, anywhere: found, named, and everything else still comes back."""

import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from backup import format, split, subkeys
from backup.cache import Cache
from backup.format import Damaged
from backup.places import Folder, pack_path
from backup.repository import compress, expand
from mtad.errors import Corrupt
from tests import mails
from tests.backup_yard import ANNA, Yard
from tests.test_backup_split import encoded, part


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small repository of two snapshots, with frames of all kinds."""
    yard = Yard(tmp_path_factory.mktemp("whole"))
    raws = [mail.data.replace(b"\r\n", b"\n") for mail in mails.ours()]
    yard.fill(raws)
    blob = random.Random(1).randbytes(12_000)
    yard.deliver(ANNA, b"Subject: with a body\n" + part(encoded(blob)))
    yard.take()
    yard.deliver(ANNA, mails.plain("later"))
    yard.take()
    return yard.root


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power fails in these tests, and they open a cache more than a thousand times."""
    really = Cache._open

    def opened(cache: Cache) -> sqlite3.Connection:
        db = really(cache)
        db.execute("PRAGMA synchronous=OFF")
        return db

    monkeypatch.setattr(Cache, "_open", opened)
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def yard(whole: Path, tmp_path: Path) -> Yard:
    shutil.copytree(whole, tmp_path / "yard")
    yard = Yard(tmp_path / "yard")
    yard.box(ANNA)
    return yard


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x41
    path.write_bytes(data)


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def regions(path: Path) -> Iterator[int]:
    """Positions in every region of a file: each header field, contents, tags, the end."""
    size = path.stat().st_size
    if size < 400:
        yield from range(0, size, 7)
        yield size - 1
        return
    yield from range(0, 72, 5)
    yield from (size * part // 12 for part in range(1, 12))
    yield from range(size - format.FOOTER.size - 20, size, 7)
    yield size - 1


def packs(yard: Yard, kind: bytes | None = None) -> list[Path]:
    """The packs, or those of one kind."""
    found = files(yard.folder.root / "packs")
    return [path for path in found if kind in (None, format.read_header(path.read_bytes())[0])]


def readable(yard: Yard) -> tuple[int, int]:
    """How many messages of the latest snapshot's box come back, and how many do not."""
    good = bad = 0
    with yard.open() as store:
        for entry in store.entries(yard.root_of(store, ANNA)):
            try:
                store.message(entry.id)
                good += 1
            except Damaged:
                bad += 1
    return good, bad


def test_every_region_of_every_file(yard: Yard) -> None:
    root = yard.folder.root
    total, none = readable(yard)
    assert none == 0
    kinds = set()
    for path in files(root):
        name = str(path.relative_to(root))
        original = path.read_bytes()
        for offset in regions(path):
            flip(path, offset)
            report = yard.verify()
            named = [finding for finding in report.findings if finding.file == name]
            assert named, f"octet {offset} of {name} was not found: {report}"
            kinds.add(name.partition("/")[0])
            if name.startswith("packs/"):
                assert not any(finding.healed for finding in named)
                lost = {(m.mailbox, m.base) for f in named for m in f.messages if m.box == ANNA}
                good, bad = readable(yard)
                assert good + bad == total
                assert (bad == 0) == (not lost)
                path.write_bytes(original)
                continue
            assert all(finding.healed for finding in named)
            assert readable(yard) == (total, 0)
            if path.exists():
                assert path.read_bytes() == original
            clean = yard.verify()
            assert clean.is_clean, clean
            if not path.exists():
                break  # a segment of the index was written anew under another name
    assert yard.verify().is_clean
    assert kinds == {"config.json", "config.json.copy", "keys", "packs", "index", "snapshots"}


def test_only_the_objects_of_the_damaged_frame_are_lost(yard: Yard) -> None:
    """Every frame of every pack, in the middle of its contents and in its tag."""
    needs: dict[bytes, set[bytes]] = {}
    with yard.open() as store:
        for entry in store.entries(yard.root_of(store, ANNA)):
            needs[entry.id] = {entry.id, *split.wanted(store.get(entry.id))}
        frames = [
            (pack, frame)
            for name in sorted(store.folder.segments())
            for pack in store.segment(name)
            for frame in pack.frames
        ]
    assert {pack.kind for pack, _ in frames} == {format.TEXT, format.BODY, format.MANIFEST}
    for pack, frame in frames:
        path = yard.folder.root / pack_path(pack.name.hex())
        original = path.read_bytes()
        start = frame.offset + format.FRAME.size
        for offset in (start + (frame.stored - format.TAG) // 2, start + frame.stored - 1):
            flip(path, offset)
            (finding,) = yard.verify().findings
            assert (finding.file, finding.offset) == (pack_path(pack.name.hex()), frame.offset)
            ids = {each for each, _, _ in frame.objects()}
            lost = set() if pack.kind == format.MANIFEST else ids
            assert {bytes.fromhex(each) for each in finding.objects} >= lost
            unreadable = {each for each, wanted in needs.items() if wanted & lost}
            with yard.open() as store:
                for each in needs:
                    if each in unreadable:
                        with pytest.raises(Damaged):
                            store.message(each)
                    else:
                        store.message(each)
            path.write_bytes(original)
    assert yard.verify().is_clean


def test_a_damage_is_told_with_pack_offset_object_and_messages(yard: Yard) -> None:
    with yard.open() as store:
        entry = store.entries(yard.root_of(store, ANNA))[0]
        place = store.cache.place(entry.id)
    assert place is not None
    name = f"packs/{place.pack[:2]}/{place.pack}"
    flip(yard.folder.root / name, place.offset + format.FRAME.size + 10)
    (finding,) = yard.verify().findings
    assert (finding.file, finding.offset) == (name, place.offset)
    assert entry.id.hex() in finding.objects
    assert entry.base in [lost.base for lost in finding.messages if lost.box == ANNA]


def test_a_restore_over_a_damage_gives_the_rest_and_names_what_is_lost(yard: Yard) -> None:
    with yard.open() as store:
        entries = store.entries(yard.root_of(store, ANNA))
    for pack in packs(yard, format.BODY):
        flip(pack, format.PACK.size + 100)
    with yard.owner() as owners:
        owners.expunge_all(ANNA)
        result = yard.put_back(ANNA, owners)
    assert 0 < len(result.failed) < len(entries)
    assert result.restored == len(entries) - len(result.failed)
    assert all("packs/" in why for _, why in result.failed)


@pytest.mark.parametrize("what", ["cut", "gone"])
def test_a_pack_cut_off_or_gone_is_found_without_reading_data(yard: Yard, what: str) -> None:
    pack = max(packs(yard), key=lambda path: path.stat().st_size)
    if what == "cut":
        pack.write_bytes(pack.read_bytes()[:-1000])
    else:
        pack.unlink()
    report = yard.verify(read_data=False)
    assert not report.is_whole
    assert [finding.file for finding in report.findings] == [f"packs/{pack.name[:2]}/{pack.name}"]


def test_messages_are_named_whose_bodies_are_gone(yard: Yard) -> None:
    for pack in packs(yard, format.BODY):
        pack.unlink()
    named = [
        {
            lost.base
            for finding in yard.verify(read_data=read_data).findings
            for lost in finding.messages
            if lost.box == ANNA
        }
        for read_data in (True, False)
    ]
    _, bad = readable(yard)
    assert len(named[0]) == bad > 0
    assert named[0] == named[1]


@pytest.mark.parametrize("what", ["damaged", "gone"])
@pytest.mark.parametrize("then", ["verified", "snapshotted"])
def test_without_index_and_cache_everything_is_found_in_the_packs(
    yard: Yard, what: str, then: str
) -> None:
    for path in (yard.folder.root / "index").iterdir():
        flip(path, 50) if what == "damaged" else path.unlink()
    assert readable(yard)[1] == 0
    shutil.rmtree(yard.root / "cache")
    total, none = readable(yard)
    assert (total > 10, none) == (True, 0)
    if then == "snapshotted":
        yard.deliver(ANNA, mails.plain("later still"))
        total = yard.take().commit.boxes[0].messages
    report = yard.verify()
    assert report.is_whole
    assert len(report.findings) == (2 if what == "damaged" else 0)
    assert yard.verify().is_clean
    shutil.rmtree(yard.root / "cache")
    assert readable(yard) == (total, 0)


def test_a_pack_without_its_end_is_indexed_from_its_frames(yard: Yard) -> None:
    total, _ = readable(yard)
    for path in packs(yard):
        flip(path, path.stat().st_size - 1)
    for path in (yard.folder.root / "index").iterdir():
        flip(path, 50)
    shutil.rmtree(yard.root / "cache")
    assert readable(yard) == (total, 0)


def test_a_damaged_cache_is_thrown_away(yard: Yard) -> None:
    total, _ = readable(yard)
    for path in (yard.root / "cache").iterdir():
        path.write_bytes(b"not a database at all" * 500)
    assert readable(yard) == (total, 0)


def test_both_copies_bad_is_corruption_and_not_a_wrong_key(yard: Yard) -> None:
    for path in (yard.folder.root / "keys").iterdir():
        flip(path, 20)
    with pytest.raises(Corrupt), yard.open():
        pass


def test_a_foreign_pack_is_named_and_costs_nothing(yard: Yard) -> None:
    total, _ = readable(yard)
    other = Yard(yard.root.with_name("other"))
    other.deliver(ANNA, mails.plain("other"))
    other.take()
    stray = packs(other)[0]
    target = yard.folder.root / "packs" / stray.parent.name
    target.mkdir(exist_ok=True)
    shutil.copy(stray, target)
    (finding,) = yard.verify().findings
    assert stray.name in finding.file
    assert finding.messages == []
    assert readable(yard) == (total, 0)


# ------------------------------------------------------------------- codecs

KEYS = subkeys.derive(b"k" * 32, b"r" * 16)


@given(
    st.lists(st.binary(max_size=200), max_size=8),
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**32 - 1),
    st.data(),
)
def test_a_frame_comes_back_and_any_flip_in_it_is_noticed(
    objects: list[bytes], salt: bytes, number: int, data: st.DataObject
) -> None:
    payload = format.payload(objects)
    header, cipher = KEYS.begin(format.TEXT, salt)
    count, raw = len(objects), len(payload)
    sealed = format.seal(cipher, header, format.TEXT, number, count, raw, payload)
    kind, *fields = format.read_frame_header(sealed)
    assert (kind, fields[0], fields[1]) == (format.TEXT, number, count)
    body = sealed[format.FRAME.size :]
    opened = format.unseal(cipher, header, format.TEXT, number, count, raw, body)
    assert opened == payload
    assert list(format.read_lengths(opened, count)) == [len(each) for each in objects]
    at = data.draw(st.integers(0, len(body) - 1))
    bad = bytearray(body)
    bad[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Damaged):
        format.unseal(cipher, header, format.TEXT, number, count, raw, bytes(bad))
    with pytest.raises(Damaged):
        format.unseal(cipher, header, format.TEXT, (number + 1) % 2**32, count, raw, body)


@given(st.binary(max_size=200))
def test_no_octets_break_the_readers(data: bytes) -> None:
    for read in (
        format.read_header,
        format.read_frame_header,
        format.read_footer,
        format.unstamp,
        lambda octets: format.decode(octets, format.Commit),
        lambda octets: format.decode(octets, format.PackEntry),
        lambda octets: format.read_lengths(octets, 3),
    ):
        try:
            read(data)
        except Damaged:
            continue


@given(
    st.lists(
        st.builds(
            format.Entry,
            st.just("INBOX"),
            st.integers(0, 3000),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
            st.integers(0, 2**63 - 1),
            st.integers(0, 2**63 - 1),
            st.text("DFRST", max_size=3),
            st.lists(st.text("abc", max_size=3), max_size=2).map(tuple),
            st.integers(0, 2**63 - 1),
            st.integers(0, 2**40),
            st.binary(min_size=32, max_size=32),
        ),
        max_size=20,
    )
)
def test_manifests_come_back(entries: list[format.Entry]) -> None:
    found = []
    for chunk in format.chunks(entries):
        read = format.decode(format.encode(chunk), format.Chunk)
        assert read == chunk
        found += read.entries("INBOX")
    assert sorted(found, key=repr) == sorted(entries, key=repr)


def test_declared_sizes_have_a_ceiling() -> None:
    for count, stored, raw in ((1, 10, format.MAX_RAW + 1), (2**21, 10, 10), (1, 2**31, 10)):
        with pytest.raises(Damaged):
            format.read_frame_header(format.frame_header(format.TEXT, 0, count, stored, raw))


@pytest.mark.parametrize(
    ("packed", "raw"),
    [
        pytest.param(compress(bytes(2**26)), 100, id="more than declared"),
        pytest.param(compress(bytes(100)), 2**26, id="less than declared"),
        pytest.param(compress(b"x") + compress(bytes(2**26)), 2**26, id="a second frame"),
        pytest.param(compress(bytes(2**26)), format.MAX_RAW + 1, id="beyond the ceiling"),
        pytest.param(
            zstandard.ZstdCompressor(write_content_size=False).compress(bytes(2**26)),
            2**26,
            id="nothing declared",
        ),
        pytest.param(compress(bytes(2**26))[:-5], 2**26, id="cut off"),
        pytest.param(b"no zstd at all", 100, id="no zstd"),
    ],
)
def test_what_expands_to_anything_but_its_size_is_damage(packed: bytes, raw: int) -> None:
    with pytest.raises(Damaged):
        expand(packed, raw)


def test_folder_names_nothing_else(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.names("packs") == []
    assert list(folder.packs()) == []
