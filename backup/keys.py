"""The repository's key and what opens it.

A random master key encrypts everything; ``keys/<id>`` holds it wrapped by the key file, so
that later keys can open the same repository without rewriting it. ``config`` and every file
in ``keys/`` exist twice with equal octets: a damaged one is read, and healed, from the other.
"""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backup import format
from backup.format import Damaged, Keys
from backup.places import Away, Storage
from mtad import clock
from mtad.errors import Corrupt, MtadError, NothingFound, NotPermitted

KEY_BYTES = 32
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
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
    return key


def read_key(path: Path) -> bytes:
    """The key file's key. Raises NotPermitted, with what to do, when it is no key."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        raise NotPermitted(
            f"the repository's key {path} is missing: without it no snapshot can be read or "
            "taken; put your copy of the file back (backup.key_file in the settings)"
        ) from None
    except PermissionError:
        raise NotPermitted(f"may not read the repository's key {path}") from None
    if len(key) != KEY_BYTES:
        raise NotPermitted(
            f"{path} is no repository key: {len(key)} octets, expected {KEY_BYTES}; put your "
            "copy of the key file back"
        )
    return key


def initialise(folder: Storage, key: bytes) -> str:
    """Write keys and config of an empty repository; config comes last. Returns its id."""
    repository, nonce, master = (secrets.token_bytes(n) for n in (16, 12, KEY_BYTES))
    fields = {
        "kind": "file",
        "key": format.key_id(key),
        "nonce": nonce.hex(),
        "wrapped": format.wrap(key, repository, nonce, master).hex(),
    }
    twice(folder, f"keys/{format.key_id(key)}.json", format.stamp(fields))
    config = {"format": format.VERSION, "id": repository.hex(), "created_us": clock.now_us()}
    twice(folder, CONFIG, format.stamp(config))
    return repository.hex()


def require(folder: Storage) -> None:
    """Raise NoRepository unless there is a repository, readable or not."""
    if not any(folder.exists(name) for name in (CONFIG, CONFIG + COPY)):
        raise NoRepository(
            f"there is no snapshot repository in {folder.shown}; 'mtad snapshot create' makes one"
        )


def unlock(folder: Storage, key: bytes, path: Path, *, heal: bool) -> tuple[str, Keys, list[str]]:
    """The repository's id and subkeys, and what was wrong with copies.

    Raises Corrupt (both copies of something are bad) or NotPermitted (the key
    is whole and opens nothing: it belongs to another repository).
    """
    data, notes = read_twice(folder, CONFIG, format.unstamp, heal=heal)
    config = format.unstamp(data)
    if config.get("format") != format.VERSION:
        raise MtadError(
            f"the repository {folder.shown} has format {config.get('format')!r}, this mtad "
            f"reads {format.VERSION}"
        )
    repository = bytes.fromhex(config["id"])
    names = sorted({name.removesuffix(COPY) for name in folder.names("keys")})
    if not names:
        raise Corrupt(f"{folder.shown}/keys is empty: the repository cannot be opened")
    keys: Keys | None = None
    problems: list[str] = []
    for name in names:
        try:
            data, said = read_twice(folder, f"keys/{name}", format.unstamp, heal=heal)
        except Corrupt as error:
            problems.append(str(error))
            continue
        notes += said
        fields = format.unstamp(data)
        try:
            nonce, wrapped = bytes.fromhex(fields["nonce"]), bytes.fromhex(fields["wrapped"])
            master = format.unwrap(key, repository, nonce, wrapped)
        except (KeyError, Damaged):
            continue
        keys = format.derive(master, repository)
    if keys is not None:
        return config["id"], keys, notes + problems
    if problems:
        raise Corrupt("; ".join(problems))
    raise NotPermitted(
        f"{path} is not the key of the repository {folder.shown}: it is key "
        f"{format.key_id(key)}, the repository was made with "
        f"{', '.join(name.removesuffix('.json') for name in names)}"
    )
