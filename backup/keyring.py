"""The ways into a repository, added and taken away; nothing that is stored is written anew.

A way that is taken away stays good for whoever copied the repository before: he may have opened
it and kept the master key. What was stored until then must be taken for read.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from backup import keys, subkeys
from backup.format import Damaged
from backup.keys import COPY, Unlocked, Way
from backup.places import Storage, sync_folder
from mtad.errors import MtadError, NothingFound, UsageError


def add(
    folder: Storage, opened: Unlocked, secret: bytes | str, *, put: bool = False, label: str = ""
) -> str:
    """Let another key or passphrase in; returns its id. ``put`` lets it add, not read.

    Raises UsageError for a passphrase that is too short, and where a key that may only put
    would give more than it has.
    """
    if isinstance(secret, str) and len(secret) < MIN_PASSPHRASE:
        raise UsageError(f"a passphrase has at least {MIN_PASSPHRASE} characters")
    rights, held = opened.way.rights, opened.held
    if rights == subkeys.PUT and not put:
        raise UsageError(
            "this server's key may only put, so it cannot let others read; name a key with all "
            "rights in the variable MTAD_SNAPSHOT_KEY, or give --put-only"
        )
    if put:
        rights, held = subkeys.PUT, subkeys.put_only(opened.keys)
    name, data = keys.wrapped(secret, bytes.fromhex(opened.repository), rights, held, label)
    keys.twice(folder, name, data)
    return name.removeprefix("keys/").removesuffix(".json")


MIN_PASSPHRASE = 12


def find(found: list[Way], given: str) -> Way:
    """The way whose id begins so. Raises NothingFound."""
    fits = [way for way in found if way.id.startswith(given)]
    if len(fits) != 1:
        what = "is no key of this repository" if not fits else "may be any of several keys"
        raise NothingFound(f"{given!r} {what}; 'mtad snapshot key list' shows them")
    return fits[0]


def remove(folder: Storage, opened: Unlocked, given: str) -> Way:
    """Take a way away. Raises UsageError for the one in use, and the last with all rights."""
    found, _, _ = keys.ways(folder)
    way = find(found, given)
    if way.id == opened.way.id:
        raise UsageError(
            f"key {way.id} is the one in use; 'mtad snapshot key rotate' replaces it, or name "
            "another key's file in the variable MTAD_SNAPSHOT_KEY"
        )
    if [one.id for one in found if one.rights == subkeys.ALL] == [way.id]:
        raise UsageError(
            f"key {way.id} is the last with all rights: without it no message could ever be read"
        )
    _drop(folder, way.id)
    return way


def _drop(folder: Storage, key: str) -> None:
    """Remove both copies, the second first: the first heals it if this is interrupted."""
    for name in (f"keys/{key}.json{COPY}", f"keys/{key}.json"):
        folder.remove(name)


def rotate(
    folder: Storage,
    opened: Unlocked,
    key_file: Path,
    say: Callable[[str], None] = lambda sentence: None,
) -> str:
    """Replace the key in a key file by another; returns the new one's id.

    Order: the new key beside the old, durable; its way into the repository; renamed over the
    old; the old way removed. Interrupted anywhere, the file that lies there opens the
    repository, and a repetition goes on with the key that lies beside it.
    """
    if opened.way.kind != keys.FILE:
        raise UsageError(f"{key_file} holds a passphrase: add another, and remove this one")
    fresh = key_file.with_name(key_file.name + ".new")
    key = keys.read_key(fresh) if fresh.exists() else keys.make_key(fresh)
    name = subkeys.key_id(key)
    if not folder.exists(f"keys/{name}.json"):
        put = opened.way.rights == subkeys.PUT
        add(folder, opened, key, put=put, label=opened.way.label)
    os.rename(fresh, key_file)
    sync_folder(key_file.parent)
    try:
        _drop(folder, opened.way.id)
    except OSError as error:
        say(
            f"the old key {opened.way.id} could not be taken away: {error}; "
            f"'mtad snapshot key remove {opened.way.id}'"
        )
    return name


def take_back(folder: Storage | None, key: bytes, key_file: Path) -> bool:
    """Write a key that was typed as the key file; whether it is proven to open the repository.

    Raises MtadError when the repository does not know it, UsageError when there is another
    key file.
    """
    proven = False
    if folder is not None:
        repository, _ = keys.repository_id(folder)
        found, _, _ = keys.ways(folder)
        for way in found:
            with contextlib.suppress(Damaged):
                way.open(key, bytes.fromhex(repository))
                proven = True
        if not proven:
            raise MtadError(
                f"this is key {subkeys.key_id(key)}, and the repository {folder.shown} opens "
                f"only with {', '.join(way.id for way in found)}"
            )
    if key_file.exists() and key_file.read_bytes() != key:
        raise UsageError(f"{key_file} is there and holds another key; move it away first")
    if not key_file.exists():
        keys.keep_key(key, key_file)
    return proven
