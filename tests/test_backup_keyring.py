"""Several keys at once, rights, passphrases, rotation, and the page of paper."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup import format, keyring, keys, paper, subkeys
from backup.format import Damaged
from backup.keys import Unlocked
from backup.repository import Repository
from backup.subkeys import Sealed
from backup.verify import verify
from mtad.errors import MtadError, NotPermitted, UsageError
from tests import mails
from tests.backup_yard import ANNA, Yard

PHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subkeys, "SCRYPT_N", 2**4)


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    yard = Yard(tmp_path)
    yard.deliver(ANNA, mails.plain("one"))
    yard.deliver(ANNA, mails.with_attachment(7))
    yard.take()
    return yard


def unlock(yard: Yard, file: Path | None = None) -> Unlocked:
    return keys.unlock(yard.folder, file or yard.key, heal=False)


def open_with(yard: Yard, file: Path) -> Repository:
    return Repository(yard.folder, file, yard.root / "cache")


def messages(yard: Yard, store: Repository) -> list[bytes]:
    return [store.message(each.id)[0] for each in store.entries(yard.root_of(store, ANNA))]


def phrase_file(yard: Yard, phrase: str = PHRASE) -> Path:
    file = yard.root / "phrase"
    file.write_text(f"passphrase: {phrase}\n")
    return file


def stored(yard: Yard) -> dict[str, bytes]:
    root = yard.folder.root
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.parent.name != "keys"
    }


def test_a_passphrase_opens_as_well_and_a_wrong_one_says_so(yard: Yard) -> None:
    before = stored(yard)
    keyring.add(yard.folder, unlock(yard), PHRASE, label="the safe")
    with open_with(yard, phrase_file(yard)) as store:
        assert len(messages(yard, store)) == 2
    with pytest.raises(NotPermitted, match="it is a passphrase, the repository opens with"):
        open_with(yard, phrase_file(yard, "incorrect horse battery"))
    with open_with(yard, yard.key) as store:
        assert len(messages(yard, store)) == 2
    assert stored(yard) == before
    with pytest.raises(UsageError, match="at least 12"):
        keyring.add(yard.folder, unlock(yard), "short")


def test_a_server_that_may_only_put_cannot_read(yard: Yard) -> None:
    put = yard.root / "put.key"
    keyring.add(yard.folder, unlock(yard), keys.make_key(put), put=True)
    owner, yard.key = yard.key, put
    yard.deliver(ANNA, mails.plain("written by the server"))
    taken = yard.take()
    assert taken.commit.added == 1
    with yard.open() as store:
        entries = store.entries(yard.root_of(store, ANNA))
        assert len(entries) == 3
        assert not store.keys.can_read
        for entry in entries:
            with pytest.raises(Sealed, match="MTAD_SNAPSHOT_KEY"):
                store.message(entry.id)
        report = verify(store, read_data=True)
        assert report.is_clean
        assert report.sealed == 3
    held = unlock(yard).held
    with open_with(yard, owner) as store:
        secret = subkeys.derive(unlock(yard, owner).held, bytes.fromhex(store.id))
        assert secret.private
        assert secret.private not in held
        assert len(messages(yard, store)) == 3
        assert verify(store, read_data=True).is_clean
    with pytest.raises(UsageError, match="may only put"):
        keyring.add(yard.folder, unlock(yard), os.urandom(32))
    (full,) = (way.id for way in keys.ways(yard.folder)[0] if way.rights == subkeys.ALL)
    with pytest.raises(UsageError, match="last with all rights"):
        keyring.remove(yard.folder, unlock(yard), full)


def test_without_index_a_put_only_server_finds_everything_in_the_packs(yard: Yard) -> None:
    put = yard.root / "put.key"
    keyring.add(yard.folder, unlock(yard), keys.make_key(put), put=True)
    for path in (yard.folder.root / "index").iterdir():
        path.unlink()
    yard.key = put
    assert yard.take().commit.added == 0
    assert yard.verify().is_clean


def test_damage_to_a_pack_is_found_by_whoever_may_only_put(yard: Yard) -> None:
    put = yard.root / "put.key"
    keyring.add(yard.folder, unlock(yard), keys.make_key(put), put=True)
    yard.key = put
    found = (path for path in (yard.folder.root / "packs").rglob("*") if path.is_file())
    pack = next(path for path in found if path.read_bytes()[4:5] == format.TEXT)
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.write_bytes(data)
    report = yard.verify()
    assert not report.is_whole
    assert [finding.file for finding in report.findings] == [f"packs/{pack.name[:2]}/{pack.name}"]
    assert report.findings[0].messages


def test_rotation_rewrites_nothing_and_the_old_key_is_out(yard: Yard) -> None:
    before = stored(yard)
    old = yard.key.read_bytes()
    opened = unlock(yard)
    made = keyring.rotate(yard.folder, opened, yard.key)
    assert subkeys.key_id(yard.key.read_bytes()) == made
    assert stored(yard) == before
    with yard.open() as store:
        assert len(messages(yard, store)) == 2
    yard.key.write_bytes(old)
    with pytest.raises(NotPermitted, match="is not the key of the repository"), yard.open():
        pass


@pytest.mark.parametrize("at", range(1, 9))
def test_a_rotation_that_is_interrupted_is_gone_on_with(
    yard: Yard, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dead(BaseException):
        pass

    count = 0

    def step(what: str) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise Dead

    with monkeypatch.context() as patch:
        patch.setattr(yard.folder, "step", step)
        with pytest.raises(Dead):
            keyring.rotate(yard.folder, unlock(yard), yard.key)
    with yard.open() as store:
        assert len(messages(yard, store)) == 2
    keyring.rotate(yard.folder, unlock(yard), yard.key)
    with yard.open() as store:
        assert len(messages(yard, store)) == 2
    assert not yard.key.with_name("repository.key.new").exists()


def test_a_key_is_removed_but_not_the_one_in_use(yard: Yard) -> None:
    other = yard.root / "other.key"
    made = keyring.add(yard.folder, unlock(yard), keys.make_key(other))
    with pytest.raises(UsageError, match="is the one in use"):
        keyring.remove(yard.folder, unlock(yard), unlock(yard).way.id)
    with pytest.raises(MtadError, match="is no key"):
        keyring.remove(yard.folder, unlock(yard), "zz")
    with pytest.raises(MtadError, match="may be any"):
        keyring.remove(yard.folder, unlock(yard), "")
    keyring.remove(yard.folder, unlock(yard), made[:6])
    with pytest.raises(NotPermitted):
        open_with(yard, other)


def test_rights_that_were_changed_in_the_file_open_nothing(yard: Yard) -> None:
    put = yard.root / "put.key"
    made = keyring.add(yard.folder, unlock(yard), keys.make_key(put), put=True)
    fields = format.unstamp(yard.folder.get(f"keys/{made}.json")) | {"rights": "all"}
    keys.twice(yard.folder, f"keys/{made}.json", format.stamp(fields))
    with pytest.raises(NotPermitted):
        open_with(yard, put)


@pytest.mark.parametrize(("n", "r", "p"), [(2**30, 8, 1), (3, 8, 1), (16, 64, 1), (16, 8, 99)])
def test_wild_parameters_of_a_passphrase_are_refused(n: int, r: int, p: int) -> None:
    with pytest.raises(Damaged):
        subkeys.stretch(PHRASE, b"s" * 32, n, r, p)


# ----------------------------------------------------------------------- paper


@given(st.binary(min_size=32, max_size=32))
def test_a_page_comes_back(key: bytes) -> None:
    page = paper.text(key, "name", "there")
    assert paper.read(page) == key
    assert paper.read(page.lower().replace("-", " ").replace("0", "o")) == key


@given(st.binary(min_size=32, max_size=32), st.data())
def test_a_mistyped_character_is_named_by_its_line(key: bytes, data: st.DataObject) -> None:
    lines = [line for line in paper.text(key, "n", "").splitlines() if line[1:2] == ":"]
    which = data.draw(st.integers(0, 3))
    line = lines[which]
    at = data.draw(st.sampled_from([n for n, c in enumerate(line) if n > 2 and c != "-"]))
    other = data.draw(st.sampled_from([c for c in paper.LETTERS if c != line[at]]))
    lines[which] = line[:at] + other + line[at + 1 :]
    with pytest.raises(paper.Misread, match=f"line ({which + 1}|5) "):
        paper.read("\n".join(lines))


def test_what_is_missing_or_foreign_is_told() -> None:
    page = paper.text(b"k" * 32, "n", "")
    lines = [line for line in page.splitlines() if line[1:2] == ":"]
    with pytest.raises(paper.Misread, match="line 2, 4 is missing"):
        paper.read("\n".join([lines[0], lines[2], lines[4]]))
    with pytest.raises(paper.Misread, match="line 1 has 14 characters"):
        paper.read("\n".join([lines[0][:-1], *lines[1:]]))
    with pytest.raises(paper.Misread, match="line 1 has U"):
        paper.read("\n".join([lines[0][:-1] + "U", *lines[1:]]))
    other = [line for line in paper.text(b"x" * 32, "n", "").splitlines() if line[1:2] == ":"]
    with pytest.raises(paper.Misread, match="line 5 does not fit"):
        paper.read("\n".join([*lines[:2], other[2], *lines[3:]]))


def test_a_typed_page_is_a_key_file_again(yard: Yard) -> None:
    page = paper.text(yard.key.read_bytes(), "n", "")
    key = paper.read(page)
    other = yard.root / "typed"
    other.write_text(page)
    with open_with(yard, other) as store:
        assert len(messages(yard, store)) == 2
    yard.key.unlink()
    assert keyring.take_back(yard.folder, key, yard.key)
    assert yard.key.stat().st_mode & 0o777 == 0o600
    with yard.open() as store:
        assert len(messages(yard, store)) == 2
    with pytest.raises(MtadError, match="opens only with"):
        keyring.take_back(yard.folder, b"x" * 32, yard.root / "new")
    yard.key.write_bytes(b"y" * 32)
    with pytest.raises(UsageError, match="holds another key"):
        keyring.take_back(yard.folder, key, yard.key)
