"""Files that a power cut took back to former names, put where the index says they are.

Renames and removals are not synced act by act: their frame is durable, and what the index
says it has done need not have reached the disk with it. The index's commits and the names in
a folder become durable apart from each other, so after the end of the kernel that wrote them
the files of all acts that journals still hold are compared with the index; what other programs
did is then noticed as always. Frames whose segments are used again were settled before.

Of a message that its frame has as well neither the file nor its octets need be there.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress

from mtad.journal.frame import Expunge, Put
from mtad.store import maildir
from mtad.store.acts import Ground
from mtad.store.maildir import Entry
from mtad.store.replay import Promised, Todo
from mtad.store.telling import CHUNK
from tracing.events import BoxAcl, BoxForeign, BoxMailbox

OWN = ("copy-", "draft-")
"""How names in ``tmp`` begin that mean nothing unless a frame names them."""


def mend(ground: Ground, held: Callable[[], Iterable[Todo]]) -> None:
    """Give the files of acts that were done the names they got by them, and their octets.

    ``held`` tells all that journals hold of the box. A message without a row whose last act was
    its deletion is removed once more; any other file without a row is left to be found.
    """
    index, files = ground.index, ground.files
    gone = _touched(held())
    there: dict[str, list[tuple[str, Entry]]] = {}
    for mailbox in index.mailboxes.values():
        for base, entry in maildir.listing(files.mailbox(mailbox.folder)).entries.items():
            if base in gone:
                there.setdefault(base, []).append((mailbox.folder, entry))
    folders = {mailbox.id: mailbox.folder for mailbox in index.mailboxes.values()}
    for row in index.of_bases(there):
        places = there.pop(row.base)
        wanted = (folders[row.mailbox], ground.entry(row))
        if wanted not in places:
            files.rename(*places[0], *wanted)
    for base, places in there.items():
        if gone[base]:
            for folder, entry in places:
                files.remove(folder, entry)
    _refill(ground, held(), {base for base, deleted in gone.items() if not deleted})


def _refill(ground: Ground, held: Iterable[Todo], wanted: set[str]) -> None:
    """Write the files of messages in frames again that are not as they were promised.

    A file goes where the index has it. Where the index has not done the frame it goes to where
    it is or, to be taken in from there, to ``tmp``. Done and without a row it was taken away
    since.
    """
    index, files = ground.index, ground.files
    folders = {mailbox.id: mailbox.folder for mailbox in index.mailboxes.values()}
    for one in held:
        if not isinstance(one.what, Put) or not all(item.inline for item in one.what.items):
            continue
        for item in one.what.items:
            base = item.copy.base
            if base not in wanted:
                continue
            place: tuple[str, Entry] | None = None
            for row in index.of_bases((base,)):
                place = (folders[row.mailbox], ground.entry(row))
            if place is None and one.seq <= index.applied.get(one.journal, 0):
                continue
            if place is None:
                place = next(
                    (
                        (folder, entry)
                        for folder in folders.values()
                        if (entry := files.find(folder, base)) is not None
                    ),
                    None,
                )
            tmp = files.place("", "tmp")
            aside = tmp / item.tmp
            path = files.path(*place) if place else aside
            if maildir.holds(path, one.body) or not path.parent.is_dir():
                continue  # a mailbox that was renamed or deleted was settled before
            maildir.write_again(tmp, path, one.body, item.mtime_ns)
            files.touched.add(path.parent)
            if path != aside and maildir.holds(aside, one.body):
                maildir.remove(aside)


def sweep(ground: Ground) -> None:
    """Remove what acts and appends of a former life left in ``tmp`` without a promise."""
    with suppress(FileNotFoundError), os.scandir(ground.files.root / "tmp") as listing:
        for entry in listing:
            if entry.name.startswith(OWN) and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    maildir.remove(entry.path)


def measure(ground: Ground) -> None:
    """Count the octets on the wire of messages that an index of a former format has."""
    index, files = ground.index, ground.files
    folders = {mailbox.id: mailbox.folder for mailbox in index.mailboxes.values()}
    after = (0, 0)
    while rows := index.unmeasured(after, CHUNK):
        for row in rows:
            path = files.path(folders[row.mailbox], ground.entry(row))
            row.wire = maildir.measure(path, row.base, row.size)
        with index.transaction():
            index.learn(rows)
        after = (rows[-1].mailbox, rows[-1].uid)


def _touched(held: Iterable[Todo]) -> dict[str, bool]:
    """The base names that acts were about, and whether the last one was a deletion.

    Mod-sequences order the acts of a box across journals; foreign files have none of their
    own and come after what their journal says before them.
    """
    found: dict[str, tuple[int, bool]] = {}
    journal, modseq = "", 0
    for one in held:
        if one.journal != journal:
            journal, modseq = one.journal, 0
        if not isinstance(one.what, BoxForeign | BoxMailbox | BoxAcl):
            modseq = one.what.modseq
        for base in _bases(one.what):
            if modseq >= found.get(base, (0, False))[0]:
                found[base] = (modseq, isinstance(one.what, Expunge))
    return {base: gone for base, (_, gone) in found.items()}


def _bases(what: Promised) -> Iterable[str]:
    if isinstance(what, BoxMailbox | BoxAcl):
        return ()
    if isinstance(what, BoxForeign):
        return [item.base for item in what.items]
    if isinstance(what, Put):
        return [item.copy.base for item in what.items]
    return [copy.base for copy in what.copies]
