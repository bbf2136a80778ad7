"""Making, renaming and deleting mailboxes: the folders first, then the index, as often as it takes.

As with acts on messages the frame is durable before anything here runs, and each step is
harmless when it was done before. Whoever promises a renaming or a deletion makes durable first
what was done to the messages (``Owner``): acts that were lost with the power could not be done
once more in a mailbox that has another name by then.
"""

import os
from pathlib import Path

from mtad.journal import disk
from mtad.store import acls, keywords, maildir, names, subscriptions, uses
from mtad.store.acts import Ground
from mtad.store.rows import MailboxRow
from tracing import ids
from tracing.events import BoxAcl, BoxMailbox

CREATED, RENAMED, DELETED = "created", "renamed", "deleted"
SUBSCRIBED, UNSUBSCRIBED = "subscribed", "unsubscribed"
NUMBERED = "numbered"
SHARED = "shared"
"""What listeners are told when rights change; its event is ``BoxAcl``."""
ANNOTATED = "annotated"
"""What they are told when entries of metadata were written."""
ACTS = frozenset((CREATED, RENAMED, DELETED, SUBSCRIBED, UNSUBSCRIBED, NUMBERED))
"""What ``BoxMailbox`` says of an owner's act; of other programs' doings it says other words."""


def perform(ground: Ground, event: BoxMailbox | BoxAcl, journal: str, seq: int) -> None:
    """Do what an event of frame ``seq`` says; to be repeated when it raises."""
    index = ground.index
    if isinstance(event, BoxAcl):
        _share(ground, event, journal, seq)
    elif event.what == CREATED:
        made = ground.mailbox(event.mailbox, event.trace)
        if event.uses:
            uses.write(ground.files.mailbox(made.folder), event.uses)
        if event.acl:
            acls.write(ground.files.mailbox(made.folder), event.acl)
        with index.transaction():
            if event.acl:  # who heard of the mailbox before could not see the rights yet
                index.note_shape(event.mailbox, SHARED, event.acl)
            index.set_applied(journal, seq)
    elif event.what == RENAMED:
        renamed = _rename(ground, event)
        with index.durably():
            for row, name, folder in renamed:
                index.rename_mailbox(row, name, folder)
            index.set_applied(journal, seq)
    elif event.what == NUMBERED:
        _number(ground, event, journal, seq)
    elif event.what in (SUBSCRIBED, UNSUBSCRIBED):
        _subscribe(ground, event.mailbox, event.what == SUBSCRIBED)
        with index.transaction():
            index.note_shape(event.mailbox, event.what)
            index.set_applied(journal, seq)
    else:
        gone = index.mailboxes.get(event.mailbox)
        if gone is not None:
            _delete(ground, gone.folder, ids.text(event.trace))
        with index.durably():
            if gone is not None:
                index.drop_mailbox(gone)
            index.set_applied(journal, seq)


def below(ground: Ground, name: str) -> list[str]:
    """A mailbox, if there is one of that name, and those below it in the hierarchy."""
    every = ground.index.mailboxes
    return [one for one in every if one == name or one.startswith(f"{name}/")]


def _share(ground: Ground, event: BoxAcl, journal: str, seq: int) -> None:
    index = ground.index
    row = index.mailboxes.get(event.mailbox)
    if row is not None:
        maildir.ensure(ground.files.root, row.folder)
        acls.write(ground.files.mailbox(row.folder), event.acl)
    with index.transaction():
        index.note_shape(event.mailbox, SHARED, event.acl)
        index.set_applied(journal, seq)


def may_be_numbered(ground: Ground, row: MailboxRow) -> bool:
    """Whether a mailbox has had no message yet, so that it may get other numbers.

    Its next UID says nothing: acts of a box that was lost are done once more in its place.
    """
    return not ground.index.highest_uid(row)


def _number(ground: Ground, event: BoxMailbox, journal: str, seq: int) -> None:
    """For clients it is another mailbox; mod-sequences are above any it had.

    Whoever counts those from 1 is below the time in milliseconds.
    """
    index = ground.index
    row = index.mailboxes.get(event.mailbox)
    if row is not None and row.uidvalidity != event.uidvalidity and may_be_numbered(ground, row):
        with index.durably():
            index.drop_mailbox(row)
            row = index.add_mailbox(row.name, row.folder, row.objectid, event.uidvalidity)
            keywords.load(index, row, ground.files.mailbox(row.folder))
        ground.files.forget(row.folder)
    if row is not None and row.uidvalidity == event.uidvalidity:
        index.claim(row, event.uidnext - 1, event.at // 1000)
        row.highestmodseq = max(row.highestmodseq, index.modseq)
    with index.durably():
        if row is not None:
            index.save_mailbox(row)
        index.set_applied(journal, seq)


def _subscribe(ground: Ground, name: str, on: bool) -> None:
    root = ground.files.root
    there = subscriptions.read(root)
    wanted = there | {name} if on else there - {name}
    if wanted != there:
        maildir.ensure(root)
        subscriptions.write(root, wanted)


def _rename(ground: Ground, event: BoxMailbox) -> list[tuple[MailboxRow, str, str]]:
    """Rename the folders; returns each mailbox with its other name and folder."""
    files = ground.files
    renamed = []
    for former in below(ground, event.mailbox):
        row = ground.index.mailboxes[former]
        name = event.target + former.removeprefix(event.mailbox)
        folder = names.mailbox_folder(name)
        renamed.append((row, name, folder))
        source, target = files.mailbox(row.folder), files.mailbox(folder)
        if not target.is_dir():
            if source.is_dir():
                disk.rename(source, target)
            else:
                maildir.ensure(files.root, folder)
        files.forget(row.folder)
        files.forget(folder)
    maildir.sync_folder(files.root)
    return renamed


def _delete(ground: Ground, folder: str, act: str) -> None:
    """Take the folder aside in one step, then away; mail that came at the last moment is kept."""
    files = ground.files
    maildir.ensure(files.root)
    aside = files.root / "tmp" / f"deleted-{act}"
    if not aside.exists() and files.mailbox(folder).is_dir():
        disk.rename(files.mailbox(folder), aside)
    _give_back(files.root, folder, aside)
    maildir.sync_folder(files.root)
    maildir.sync_folder(aside.parent)
    if aside.exists():
        _wipe(aside)
        maildir.sync_folder(aside.parent)
    files.forget(folder)


def _give_back(root: Path, folder: str, aside: Path) -> None:
    """Messages that nobody deleted: their mailbox is made again, and is noticed as another."""
    came = [entry for sub in ("new", "cur") for entry in maildir.scan(aside, sub)]
    if came:
        maildir.ensure(root, folder)
        for entry in came:
            maildir.rename(entry.below(aside), entry.below(root / folder))
        for sub in ("new", "cur"):
            maildir.sync_folder(root / folder / sub)


def _wipe(folder: Path) -> None:
    for path, folders, files in os.walk(folder, topdown=False):
        for name in files:
            disk.unlink(Path(path, name))
        for name in folders:
            inner = Path(path, name)
            if inner.is_symlink():
                disk.unlink(inner)
            else:
                disk.rmdir(inner)
    disk.rmdir(folder)
