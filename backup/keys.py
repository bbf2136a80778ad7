"""The repository's key and what opens it.

Everything is sealed with what a random master key becomes (``subkeys.py``). Each file in
``keys/`` is a way to it: it holds the master key, or for *put* only the subkeys that adding
needs, wrapped by a key file or a passphrase. Ways come and go without anything being written
anew. ``config`` and every file in ``keys/`` exist twice with equal octets: a damaged one is
read, and healed, from the other.
"""

import contextlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backup import format, paper, subkeys
from backup.format import Damaged
from backup.places import Away, Storage, sync_folder
from backup.subkeys import Keys
from mtad import clock
from mtad.errors import Corrupt, MtadError, NothingFound, NotPermitted

KEY_BYTES = 32
FILE = "file"
PASSPHRASE = "passphrase"  # noqa: S105 - a kind, not one
COPY = ".copy"
CONFIG = "config.json"
HEALED = "healed from its second copy"


class NoRepository(NothingFound):
    """There is no repository where one was expected."""


def twice(folder: Storage, name: str, data: bytes) -> None:
    """Write a file and its second copy."""
    folder.put(name, data)
    folder.put(name + COPY, data)


def read_twice(
    folder: Storage, name: str, check: Callable[[bytes], Any], *, heal: bool
) -> tuple[bytes, list[str]]:
    """The good octets of a file kept twice, and a sentence for each copy that is not.

    ``heal`` rewrites the bad copy. Raises Corrupt when neither is good.
    """
    good: bytes | None = None
    bad: list[tuple[str, str]] = []
    for each in (name, name + COPY):
        try:
            data = folder.get(each)
            check(data)
        except FileNotFoundError:
            bad.append((each, "is missing"))
        except Away:
            raise
        except (OSError, Damaged) as error:
            bad.append((each, f"is damaged: {error}"))
        else:
            if good is not None and data != good:
                bad.append((each, "differs from its first copy"))
            good = good or data
    if good is None:
        raise Corrupt("; ".join(f"{folder.shown}/{each} {why}" for each, why in bad))
    notes = []
    for each, why in bad:
        then = "its second copy is good"
        if heal:
            try:
                folder.put(each, good)
                then = HEALED
            except OSError as error:
                then = f"its second copy is good, but it cannot be healed: {error.strerror}"
        notes.append(f"{each} {why}; {then}")
    return good, notes


def make_key(path: Path) -> bytes:
    """A key file of 32 random octets, mode 0600, durable, whole or not there.

    Raises FileExistsError.
    """
    key = secrets.token_bytes(KEY_BYTES)
    keep_key(key, path)
    return key


def keep_key(key: bytes, path: Path) -> None:
    """Write a key file, as ``make_key`` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, key)
        os.fsync(handle)
        os.link(draft, path)
    finally:
        os.close(handle)
        draft.unlink()
    sync_folder(path.parent)


def read_secret(path: Path) -> bytes | str:
    """What a key file opens a repository with: 32 octets, or a passphrase.

    A passphrase stands behind ``passphrase:``; a page that was printed and typed again is a
    key as well. Raises NotPermitted, with what to do, when it is none of these.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotPermitted(
            f"the repository's key {path} is missing: without it no snapshot can be read or "
            "taken; put your copy of the file back (backup.key_file in the settings), type the "
            "printed one into 'mtad snapshot key import -', or name a file with "
            "'passphrase: ...' in the variable MTAD_SNAPSHOT_KEY"
        ) from None
    except PermissionError:
        raise NotPermitted(f"may not read the repository's key {path}") from None
    if len(data) == KEY_BYTES:
        return data
    text = data.decode(errors="replace").strip()
    if text.startswith("passphrase:"):
        return text.removeprefix("passphrase:").strip()
    with contextlib.suppress(paper.Misread):
        return paper.read(text)
    raise NotPermitted(
        f"{path} is no repository key: {len(data)} octets, expected {KEY_BYTES}; put your "
        "copy of the key file back"
    )


def read_key(path: Path) -> bytes:
    """The key in a key file. Raises NotPermitted when there is none in it."""
    secret = read_secret(path)
    if isinstance(secret, str):
        raise NotPermitted(f"{path} holds a passphrase; a key file is needed here")
    return secret


@dataclass(frozen=True, slots=True)
class Way:
    """One way into the repository: a file in ``keys/``."""

    id: str
    kind: str
    """``file`` or ``passphrase``."""
    rights: str
    label: str
    made_us: int
    fields: dict[str, Any]

    def open(self, secret: bytes | str, repository: bytes) -> bytes:
        """What it holds, for whoever has its secret. Raises Damaged for anybody else."""
        fields = self.fields
        if isinstance(secret, str) != (self.kind == PASSPHRASE):
            raise Damaged("another kind of key")
        try:
            key = secret
            if isinstance(key, str):
                salt = bytes.fromhex(fields["salt"])
                key = subkeys.stretch(key, salt, fields["n"], fields["r"], fields["p"])
            nonce, wrapped = bytes.fromhex(fields["nonce"]), bytes.fromhex(fields["wrapped"])
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"no key: {error}") from None
        return subkeys.unwrap(key, repository, nonce, self.rights, wrapped)


def wrapped(
    secret: bytes | str, repository: bytes, rights: str, held: bytes, label: str = ""
) -> tuple[str, bytes]:
    """Name and octets of a new file in ``keys/``."""
    fields: dict[str, Any] = {"kind": FILE, "rights": rights, "label": label}
    fields["created_us"] = clock.now_us()
    if isinstance(secret, str):
        salt = secrets.token_bytes(32)
        n, r, p = subkeys.SCRYPT_N, subkeys.SCRYPT_R, subkeys.SCRYPT_P
        fields |= {"kind": PASSPHRASE, "salt": salt.hex(), "n": n, "r": r, "p": p}
        secret = subkeys.stretch(secret, salt, n, r, p)
    nonce = secrets.token_bytes(12)
    fields["key"] = subkeys.key_id(secret)
    fields["nonce"] = nonce.hex()
    fields["wrapped"] = subkeys.wrap(secret, repository, nonce, rights, held).hex()
    return f"keys/{fields['key']}.json", format.stamp(fields)


def initialise(folder: Storage, key: bytes | str) -> str:
    """Write keys and config of an empty repository; config comes last. Returns its id."""
    repository, master = secrets.token_bytes(16), secrets.token_bytes(KEY_BYTES)
    twice(folder, *wrapped(key, repository, subkeys.ALL, master))
    config = {"format": format.VERSION, "id": repository.hex(), "created_us": clock.now_us()}
    twice(folder, CONFIG, format.stamp(config))
    return repository.hex()


def require(folder: Storage) -> None:
    """Raise NoRepository unless there is a repository, readable or not."""
    if not any(folder.exists(name) for name in (CONFIG, CONFIG + COPY)):
        raise NoRepository(
            f"there is no snapshot repository in {folder.shown}; 'mtad snapshot create' makes one"
        )


def repository_id(folder: Storage, *, heal: bool = False) -> tuple[str, list[str]]:
    """The repository's id, and what was wrong with copies. Raises Corrupt, MtadError."""
    data, notes = read_twice(folder, CONFIG, format.unstamp, heal=heal)
    config = format.unstamp(data)
    if config.get("format") != format.VERSION:
        raise MtadError(
            f"the repository {folder.shown} has format {config.get('format')!r}, this mtad "
            f"reads {format.VERSION}"
        )
    return str(config["id"]), notes


def ways(folder: Storage, *, heal: bool = False) -> tuple[list[Way], list[str], list[str]]:
    """The ways in, what was wrong with copies, and what is lost with both of its copies.

    Raises Corrupt when there is none, MtadError for a repository from before format 1 was
    settled.
    """
    names = sorted({name.removesuffix(COPY) for name in folder.names("keys")})
    if not names:
        raise Corrupt(f"{folder.shown}/keys is empty: the repository cannot be opened")
    found: list[Way] = []
    notes: list[str] = []
    lost: list[str] = []
    for name in names:
        try:
            data, said = read_twice(folder, f"keys/{name}", format.unstamp, heal=heal)
        except Corrupt as error:
            lost.append(str(error))
            continue
        notes += said
        fields = format.unstamp(data)
        if "rights" not in fields:
            raise MtadError(
                f"the repository {folder.shown} was made before its format was settled, by an "
                "unreleased mtad; move it away and take new snapshots"
            )
        kind, rights, label = (str(fields.get(each, "")) for each in ("kind", "rights", "label"))
        made = fields.get("created_us", 0)
        at = made if isinstance(made, int) else 0
        found.append(Way(name.removesuffix(".json"), kind, rights, label, at, fields))
    return found, notes, lost


def unlock(folder: Storage, key_file: Path, *, heal: bool) -> "Unlocked":
    """Open a repository with a key file.

    Raises Corrupt (both copies of something are bad) or NotPermitted (the key
    is whole and opens nothing: it belongs to another repository).
    """
    require(folder)
    secret = read_secret(key_file)
    repository, notes = repository_id(folder, heal=heal)
    found, said, lost = ways(folder, heal=heal)
    for way in found:
        try:
            held = way.open(secret, bytes.fromhex(repository))
            keys = subkeys.opened(way.rights, held, bytes.fromhex(repository))
        except Damaged:
            continue
        return Unlocked(repository, keys, way, held, notes + said + lost)
    if lost:
        raise Corrupt("; ".join(lost))
    what = f"key {subkeys.key_id(secret)}" if isinstance(secret, bytes) else "a passphrase"
    known = ", ".join(f"{way.id} ({way.kind})" for way in found)
    raise NotPermitted(
        f"{key_file} is not the key of the repository {folder.shown}: it is {what}, the "
        f"repository opens with {known}"
    )


@dataclass(frozen=True, slots=True)
class Unlocked:
    """A repository that was opened: its id, subkeys, by which way, and what the way holds."""

    repository: str
    keys: Keys
    way: Way
    held: bytes
    notes: list[str]
    """What was wrong with copies."""
