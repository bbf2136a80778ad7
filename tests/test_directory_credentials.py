"""What lets a box log in: stored forms, changes, the server's own key, old databases."""

import sqlite3
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa

from mtad import db
from mtad.directory import authkey, connections, credentials
from mtad.directory.changes import AlreadyThere
from mtad.directory.credential_changes import MAX_APP_PASSWORDS, CredentialChanges
from mtad.directory.credentials import ARGON2, CRAM, OWN, SCRAM, Credential
from mtad.directory.tables import credential
from mtad.errors import Corrupt, NothingFound, UsageError
from mtad.journal import disk
from mtad.sasl import scram_keys
from tests.test_directory_changes import changes, journal, logged, places

__all__ = ["changes", "journal", "places"]

YOU = "you@example.org"
Changes = CredentialChanges


def held(changes: Changes) -> tuple[Credential, ...]:
    with connections.reading(changes._state_db) as connection:
        return credentials.read(connection, YOU)


def fits(one: Credential, password: str) -> bool:
    keys = scram_keys.read(one.name, one.value)
    made = scram_keys.key("", scram_keys.salted(password, keys.salt, keys.iterations))
    return made.stored == keys.keys[0].stored


def test_the_box_s_own_password_has_two_forms(changes: Changes) -> None:
    argon2, scram = held(changes)
    assert (argon2.name, argon2.kind, argon2.value[:10]) == (OWN, ARGON2, "$argon2id$")
    assert (scram.name, scram.kind) == (OWN, SCRAM)
    assert fits(scram, "secret-word")
    assert "secret" not in repr((argon2, scram))
    assert argon2.value not in repr(argon2)


def test_all_scram_keys_of_a_box_have_one_salt(changes: Changes) -> None:
    made = changes.add_app_password(YOU, "phone")
    changes.set_password(YOU, "other-secret")
    changes.add_app_password(YOU, "Ноутбук")
    kept = held(changes)
    assert [(one.name, one.kind) for one in kept] == [
        (OWN, ARGON2),
        (OWN, SCRAM),
        ("phone", SCRAM),
        ("Ноутбук", SCRAM),
    ]
    keys = credentials.scram_of(kept)
    assert keys is not None
    assert [key.name for key in keys.keys] == [OWN, "phone", "Ноутбук"]
    assert fits(kept[1], "other-secret")
    assert fits(kept[2], made)


def test_without_app_passwords_another_password_has_another_salt(changes: Changes) -> None:
    before = held(changes)[1].value
    changes.set_password(YOU, "secret-word")
    assert held(changes)[1].value.split("$")[1] != before.split("$")[1]


def test_app_passwords_come_and_go(changes: Changes) -> None:
    changes.add_app_password(YOU, "phone")
    with pytest.raises(AlreadyThere, match="phone already"):
        changes.add_app_password(YOU, "phone")
    changes.remove_app_password(YOU, "phone")
    with pytest.raises(NothingFound, match="no app password phone"):
        changes.remove_app_password(YOU, "phone")
    assert len(held(changes)) == 2


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 65, "cram-md5", "\x1b[2J"])
def test_bad_names(changes: Changes, name: str) -> None:
    with pytest.raises(UsageError):
        changes.add_app_password(YOU, name)
    with pytest.raises(UsageError):
        changes.remove_app_password(YOU, name)


def test_app_passwords_are_bounded(changes: Changes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_APP_PASSWORDS <= 100
    monkeypatch.setattr("mtad.directory.credential_changes.MAX_APP_PASSWORDS", 2)
    changes.add_app_password(YOU, "1")
    changes.add_app_password(YOU, "2")
    with pytest.raises(UsageError, match="2 app passwords"):
        changes.add_app_password(YOU, "3")


def test_cram_has_a_password_of_its_own(changes: Changes, tmp_path: Path) -> None:
    key = authkey.load(tmp_path / "auth.key")
    first = changes.enable_cram(YOU, key)
    second = changes.enable_cram(YOU, key)
    assert first != second
    (sealed,) = (one.value for one in held(changes) if one.kind == CRAM)
    assert second not in sealed
    assert key.open(sealed, YOU) == second
    assert key.open(sealed, "other@example.org") is None
    changes.disable_cram(YOU)
    with pytest.raises(NothingFound, match="not enabled"):
        changes.disable_cram(YOU)
    assert not any(one.kind == CRAM for one in held(changes))


def test_a_locked_box_stays_locked(changes: Changes, tmp_path: Path) -> None:
    changes.add_app_password(YOU, "phone")
    changes.lock(YOU, locked=True)
    with pytest.raises(AlreadyThere, match="locked already"):
        changes.lock(YOU, locked=True)
    changes.set_password(YOU, "other")
    changes.add_app_password(YOU, "tablet")
    changes.enable_cram(YOU, authkey.load(tmp_path / "auth.key"))
    assert not any(one.enabled for one in held(changes))
    changes.lock(YOU, locked=False)
    assert all(one.enabled for one in held(changes))


def test_each_change_is_an_event_without_a_secret(changes: Changes, tmp_path: Path) -> None:
    made = [
        changes.add_app_password(YOU, "phone"),
        changes.enable_cram(YOU, authkey.load(tmp_path / "auth.key")),
        changes.enable_cram(YOU, authkey.load(tmp_path / "auth.key")),
    ]
    changes.lock(YOU, locked=True)
    changes.lock(YOU, locked=False)
    changes.disable_cram(YOU)
    changes.remove_app_password(YOU, "phone")
    told = [str(event) for event in logged_by(changes)]
    assert told[2:] == [
        "app password you@example.org phone: absent -> present by admin:tester",
        "cram-md5 you@example.org: absent -> present by admin:tester",
        "cram-md5 you@example.org: present -> present by admin:tester",
        "login you@example.org: open -> locked by admin:tester",
        "login you@example.org: locked -> open by admin:tester",
        "cram-md5 you@example.org: present -> absent by admin:tester",
        "app password you@example.org phone: present -> absent by admin:tester",
    ]
    assert not any(secret in "".join(told) for secret in made)


def logged_by(changes: Changes) -> list[object]:
    from mtad.where import Places  # noqa: PLC0415

    assert isinstance(changes._state_db, Path)
    return list(logged(Places(changes._state_db.parent)))


def test_nobody_has_credentials_of_a_box_that_is_gone(changes: Changes) -> None:
    changes.add_app_password(YOU, "phone")
    changes.remove_box(YOU)
    with connections.reading(changes._state_db) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(credential)) == 0
    for act in (
        lambda: changes.set_password(YOU, "x"),
        lambda: changes.add_app_password(YOU, "x"),
        lambda: changes.remove_app_password(YOU, "x"),
        lambda: changes.disable_cram(YOU),
        lambda: changes.lock(YOU, locked=True),
    ):
        with pytest.raises(NothingFound, match="no box"):
            act()


# ------------------------------------------------------------ the server's key


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "auth.key"
    key = authkey.load(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert authkey.load(file).decoy == key.decoy
    assert [path.name for path in tmp_path.iterdir()] == ["auth.key"]
    file.unlink()
    assert authkey.load(file).decoy != key.decoy


def test_what_another_key_sealed_stays_shut(tmp_path: Path) -> None:
    sealed = authkey.load(tmp_path / "one").seal("secret", YOU)
    other = authkey.load(tmp_path / "two")
    for text in (sealed, "", "x", "AAAA", sealed[:-4]):
        assert other.open(text, YOU) is None


@pytest.mark.parametrize("octets", [b"", b"short", b"\xff" * 64, b"00" * 31])
def test_a_damaged_key_is_told_not_replaced(tmp_path: Path, octets: bytes) -> None:
    file = tmp_path / "auth.key"
    file.write_bytes(octets)
    with pytest.raises(Corrupt, match="is not a key"):
        authkey.load(file)
    assert file.read_bytes() == octets


def test_a_key_that_is_there_first_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes make one at the same time: both use the one that was linked first."""
    file, winner = tmp_path / "auth.key", "ab" * 32
    real = disk.link

    def late(source: Path, target: Path) -> None:
        file.write_text(winner)
        real(source, target)

    monkeypatch.setattr(disk, "link", late)
    authkey.load(file)
    assert file.read_text() == winner


# --------------------------------------------------------------- old databases


def test_boxes_and_selectors_of_an_older_database_stay(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    db.upgrade(file, db.STATE, "state_0001")
    with sqlite3.connect(file) as link:
        link.execute("INSERT INTO domain VALUES ('example.org', 'm1', 5), ('b.org', NULL, 6)")
        link.execute("INSERT INTO box VALUES ('you@example.org', 'example.org', '$argon2id$x', 7)")
    link.close()
    db.upgrade_state(file)
    with sqlite3.connect(file) as link:
        assert link.execute("SELECT * FROM credential").fetchall() == [
            ("you@example.org", "", "argon2id", "$argon2id$x", 7, None, 1)
        ]
        assert link.execute("SELECT * FROM dkim_key").fetchall() == [
            ("example.org", "m1", "rsa-sha256", 5, 5, None)
        ]
    link.close()
    db.downgrade(file, db.STATE, "state_0001")
    with sqlite3.connect(file) as link:
        assert link.execute("SELECT * FROM box").fetchall() == [
            ("you@example.org", "example.org", 7, "$argon2id$x")
        ]
        assert link.execute("SELECT name, dkim_selector FROM domain ORDER BY name").fetchall() == [
            ("b.org", None),
            ("example.org", "m1"),
        ]
    link.close()
