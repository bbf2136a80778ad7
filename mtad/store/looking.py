"""How a box's files and its index differ, found by listing no more than has to be.

A folder whose times are as they were is not listed; ``new/`` alone when only mail came. What
seems gone may only have moved meanwhile, so before anything counts as gone the whole box is
listed until no base name appears anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mtad.store import maildir, names
from mtad.store.files import Files
from mtad.store.index import Index
from mtad.store.maildir import Entry
from mtad.store.rows import MailboxRow, Row


@dataclass(slots=True)
class Arrival:
    """A file without a row; ``st`` is set when it was given a name of ours."""

    mailbox: MailboxRow
    entry: Entry
    base: str
    st: int = 0


@dataclass(slots=True)
class Findings:
    """How files and index differ."""

    arrivals: list[Arrival] = field(default_factory=list)
    vanished: list[tuple[MailboxRow, Row]] = field(default_factory=list)
    renamed: list[tuple[MailboxRow, Row, Entry]] = field(default_factory=list)
    doubles: list[Arrival] = field(default_factory=list)


class Look:
    """Compares the files of a box with its index."""

    def __init__(self, index: Index, files: Files) -> None:
        self._index = index
        self._files = files

    def look(self, *, doubt: bool = True) -> Findings:
        """Compare, listing no more than has to be: one folder, a mailbox, or the whole box.

        Without ``doubt`` folders whose mtimes are as they were are taken for unchanged.
        """
        findings = Findings()
        full = []
        every = list(self._index.mailboxes.values())
        for mailbox in every:
            new = self._files.changed(mailbox.folder, "new", doubt=doubt)
            cur = self._files.changed(mailbox.folder, "cur", doubt=doubt)
            if cur and self._is_same(mailbox, "cur"):
                cur = False
            if cur or (new and not self._only_new(mailbox, findings)):
                full.append(mailbox)
        if full:
            self._compare(full, findings)
        if findings.vanished or self.known(findings.arrivals):
            findings = Findings()
            self._compare(every, findings)
        return findings

    def _only_new(self, mailbox: MailboxRow, findings: Findings) -> bool:
        """Look at ``new/`` alone; False when something left it and more must be looked at."""
        seen = self._files.begin(mailbox.folder, "new")
        path = self._files.mailbox(mailbox.folder)
        listed = {entry.name: entry for entry in maildir.scan(path, "new")}
        known = self._index.names(mailbox, fresh=True)
        if not known <= listed.keys():
            return False
        arrivals: dict[str, Arrival] = {}
        for name in listed.keys() - known:
            base = names.split(name)[0]
            if base in arrivals or not is_text(name):
                return False
            arrivals[base] = Arrival(mailbox, listed[name], base)
        findings.arrivals += arrivals.values()
        self._files.listed(mailbox.folder, "new", seen)
        return True

    def _is_same(self, mailbox: MailboxRow, sub: str) -> bool:
        """Whether a folder holds the very names the index has for it."""
        seen = self._files.begin(mailbox.folder, sub)
        path = self._files.mailbox(mailbox.folder)
        listed = {entry.name for entry in maildir.scan(path, sub)}
        if listed != self._index.names(mailbox, fresh=sub == "new"):
            return False
        self._files.listed(mailbox.folder, sub, seen)
        return True

    def known(self, arrivals: Sequence[Arrival]) -> set[str]:
        """The base names among arrivals that messages of the box have."""
        return self._index.knows(one.base for one in arrivals if is_text(one.base))

    def _compare(self, mailboxes: Sequence[MailboxRow], findings: Findings) -> None:
        """List mailboxes together until no base name appears anywhere, then compare."""
        found: dict[int, dict[str, Entry]] = {mailbox.id: {} for mailbox in mailboxes}
        doubles: dict[int, list[Entry]] = {}
        seen = {
            (mailbox.folder, sub): self._files.begin(mailbox.folder, sub)
            for mailbox in mailboxes
            for sub in ("new", "cur")
        }
        for _ in range(maildir.MAX_PASSES):
            appeared = False
            for mailbox in mailboxes:
                listing = maildir.listing(self._files.mailbox(mailbox.folder))
                appeared |= not listing.entries.keys() <= found[mailbox.id].keys()
                found[mailbox.id] |= listing.entries
                doubles[mailbox.id] = listing.doubles
            if not appeared or len(mailboxes) == 1:
                break
        for (folder, sub), value in seen.items():
            self._files.listed(folder, sub, value)
        for mailbox in mailboxes:
            entries = found[mailbox.id]
            for row in self._index.of_mailbox(mailbox):
                entry = entries.pop(row.base, None)
                if entry is not None and not is_text(entry.name):
                    entry = self._spell(mailbox, entry)
                if entry is None:
                    findings.vanished.append((mailbox, row))
                elif entry.name != row.name or entry.fresh != bool(row.fresh):
                    findings.renamed.append((mailbox, row, entry))
            for base, entry in entries.items():
                if is_text(base) and not is_text(entry.name):
                    entry = self._spell(mailbox, entry)
                findings.arrivals.append(Arrival(mailbox, entry, base))
            findings.doubles += [
                Arrival(mailbox, entry, names.split(entry.name)[0]) for entry in doubles[mailbox.id]
            ]

    def _spell(self, mailbox: MailboxRow, entry: Entry) -> Entry:
        """Take from a file name what no text has: flags that are no letters."""
        spelt = Entry(False, names.join(*names.split(entry.name)))
        folder = mailbox.folder
        with self._files.changing((folder, "new"), (folder, "cur")):
            self._files.rename(folder, entry, folder, spelt)
        return spelt


def is_text(base: str) -> bool:
    """Whether a name can be written down: events, frames and the index hold UTF-8."""
    try:
        base.encode()
    except UnicodeEncodeError:
        return False
    return bool(base)


def key_of(base: str) -> str:
    """What stays when another program adds to a base name (``,U=`` of mbsync)."""
    return base.partition(",")[0]
