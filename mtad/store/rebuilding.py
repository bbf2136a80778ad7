"""An index made again from what else knows the numbers, so that no client loads a box afresh.

UIDs come from the former index as far as it can be read, else from the log's events, else from
the lists that Dovecot left. They are written down as such a list (``mtad.store.uidlist``), the
former index is put aside, and the box is opened as one that Dovecot had: what the lists say is
taken over, everything else is read from the files. Mod-sequences go on far above any former one.
Acts that journals still hold count as done, except those of which a former index says otherwise.
"""

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mtad.address import box_folder
from mtad.errors import Corrupt, MtadError, NothingFound
from mtad.journal import disk
from mtad.store import maildir, names, uidlist
from mtad.store.desk import Desk
from mtad.store.holding import MAILDIR, take_lock
from mtad.store.index import BLOCK
from mtad.store.owner import Owner
from mtad.store.reading import applied, read_index, seen
from mtad.store.replay import Replay
from mtad.store.rows import Row
from mtad.where import Places
from tracing import boxlog
from tracing.events import RestoreMessage
from tracing.stored import (
    BoxAppend,
    BoxCopy,
    BoxEvent,
    BoxExpunge,
    BoxForeign,
    BoxMailbox,
    BoxMove,
    BoxNumbered,
    BoxSeen,
    BoxVanished,
)

ASIDE = "index.db.former"
_OURS = 1 << 63
"""Below it are object ids that this program gave."""


@dataclass(slots=True)
class Numbers:
    """What is known of one mailbox's numbers; ``uids`` by stored copy or base name."""

    uidvalidity: int = 0
    uidnext: int = 1
    uids: dict[int | str, int] = field(default_factory=dict)

    def give(self, uid: int, *keys: int | str) -> None:
        """A message got a UID."""
        if uid:
            self.uidnext = max(self.uidnext, uid + 1)
            self.uids.update((key, uid) for key in keys if key)


@dataclass(slots=True)
class Known:
    """What is known of a box from elsewhere than its files."""

    mailboxes: dict[str, Numbers] = field(default_factory=dict)
    copies: dict[str, int] = field(default_factory=dict)
    """Stored copies by base name."""
    rows: dict[str, Row] = field(default_factory=dict)
    """The former index's messages by base name."""
    objectids: dict[str, int] = field(default_factory=dict)
    seen: set[tuple[str, str]] = field(default_factory=set)
    """Users other than the owner, and base names of what they have seen."""
    applied: dict[str, int] | None = None
    """What it says it did of each journal; None where it cannot be read."""

    def of(self, mailbox: str) -> Numbers:
        """What is known of a mailbox."""
        return self.mailboxes.setdefault(mailbox, Numbers())


def reindex(places: Places, address: str, hostname: str, desk: Desk) -> tuple[int, int]:
    """Make a box's index again; returns how many messages there are, and how many kept UIDs.

    Raises Locked while another process has the box, NothingFound where there is no Maildir, and
    MtadError.
    """
    folder = places.boxes / box_folder(address)
    root = folder / MAILDIR
    if not root.is_dir():
        raise NothingFound(f"there is no mail of {address} in {root}")
    lock = take_lock(folder, address)
    try:
        known = Known()
        _from_lists(root, known)
        _from_log(boxlog.acts(places.log, address), known)
        _from_index(folder / "index.db", known)
        for name, sub in maildir.folders(root).items():
            numbers = known.mailboxes.get(name)
            if numbers is not None and numbers.uidvalidity:
                _write(root / sub, numbers)
        for suffix in ("-wal", "-shm", ""):
            path = folder / f"index.db{suffix}"
            if path.exists():
                disk.rename(path, folder / f"{ASIDE}{suffix}")
        maildir.sync_folder(folder)
    finally:
        os.close(lock)
    replay = Replay(places.journal, log=places.log)
    owner = Owner(folder, address, hostname, replay, desk)
    try:
        replay.scan()
        owner.copies = known.copies
        owner.sync()
        done = dict(replay.last(address)) if known.applied is None else known.applied
        owner.remember(known.rows, known.objectids, known.seen, done)
        kept = sum(
            known.of(box.name).uids.get(row.st, known.of(box.name).uids.get(row.base)) == row.uid
            for box in owner.index.mailboxes.values()
            for row in owner.index.of_mailbox(box)
        )
        return owner.index.messages, kept
    finally:
        owner.close()
        replay.close()


def _from_lists(root: Path, known: Known) -> None:
    for name, folder in maildir.folders(root).items():
        for file in (uidlist.FILE, uidlist.TAKEN):
            listed = uidlist.read(root / folder, file)
            if listed is not None:
                numbers = known.of(name)
                numbers.uidvalidity = listed.uidvalidity
                numbers.uids.update(listed.uids)
                numbers.uidnext = listed.uidnext
                if 0 < listed.guid < _OURS:
                    known.objectids[name] = listed.guid
                break


def _from_log(acts: Iterator[BoxEvent], known: Known) -> None:
    """What the log says; a month that cannot be read tells nothing."""
    try:
        for act in acts:
            _learn(act, known)
    except (sqlite3.Error, MtadError):
        return


def _learn(act: BoxEvent, known: Known) -> None:
    if isinstance(act, BoxMailbox):
        _shape(act, known)
        return
    if isinstance(act, BoxSeen):
        found = {(act.who, item.base) for item in act.items}
        known.seen = known.seen | found if act.seen else known.seen - found
        return
    known.copies.update((item.base, item.st) for item in act.items if item.base)
    if isinstance(act, BoxExpunge | BoxVanished | BoxMove):
        for item in act.items:
            known.of(act.mailbox).uids.pop(item.st, None)
            known.of(act.mailbox).uids.pop(item.base, None)
    mailbox = act.target if isinstance(act, BoxMove | BoxCopy) else act.mailbox
    numbers = known.of(mailbox)
    if act.uidvalidity and act.uidvalidity != numbers.uidvalidity:
        known.mailboxes[mailbox] = numbers = Numbers(act.uidvalidity)
    if isinstance(act, BoxNumbered | BoxAppend | BoxForeign | BoxCopy | BoxMove | RestoreMessage):
        for item in act.items:
            numbers.give(item.uid, item.st, item.base)


def _shape(act: BoxMailbox, known: Known) -> None:
    if act.what == "renamed":
        for name in list(known.mailboxes):
            if f"{name}/".startswith(f"{act.mailbox}/"):
                other = act.target + name.removeprefix(act.mailbox)
                known.mailboxes[other] = known.mailboxes.pop(name)
    elif act.what == "numbered":
        known.mailboxes[act.mailbox] = Numbers(act.uidvalidity, act.uidnext)
    elif act.what in ("deleted", "vanished"):
        known.mailboxes.pop(act.mailbox, None)


def _from_index(path: Path, known: Known) -> None:
    """What the former index says; it overrules everything else where it can be read."""
    try:
        mailboxes, rows, _ = read_index(path)
        known.applied = applied(path)
        if known.applied is not None:
            known.seen = seen(path)
    except (Corrupt, sqlite3.Error):
        return
    by_id = {}
    for mailbox in mailboxes:
        numbers = known.of(mailbox.name)
        if numbers.uidvalidity != mailbox.uidvalidity:
            known.mailboxes[mailbox.name] = numbers = Numbers(mailbox.uidvalidity)
        numbers.uidnext = max(numbers.uidnext, mailbox.uidnext, mailbox.uid_reserved)
        by_id[mailbox.id] = numbers
        known.objectids[mailbox.name] = mailbox.objectid
    for row in rows:
        by_id[row.mailbox].give(row.uid, row.st, row.base)
        known.copies[row.base] = row.st
        known.rows[row.base] = row


def _write(folder: Path, numbers: Numbers) -> None:
    """Write down what messages that are there keep; UIDs given and not told of are passed by."""
    uids: dict[int, str] = {}
    for base in maildir.listing(folder).entries:
        st = names.st_of(base)
        uid = numbers.uids.get(base) or (numbers.uids.get(st) if st else None)
        if uid:
            uids.setdefault(uid, base)
    uidnext = numbers.uidnext + BLOCK
    uidlist.write(folder, numbers.uidvalidity, uidnext, 0, sorted(uids.items()))
