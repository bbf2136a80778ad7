"""The files of one box: its changes to names, and whether anyone else made some.

A folder whose mtime is as it was holds the same names, so it need not be listed. Two changes
within the clock's grain share an mtime, hence the rule: an mtime younger than two seconds when
it was seen is not trusted yet. Our own renames change mtimes as well; what they made of them
is remembered, and the folder listed once more only after those two seconds, by a look that
doubts. Acts look without doubt: they find a file that is not where it should be anyway.
"""

import errno
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mtad.journal import disk
from mtad.store import maildir, names
from mtad.store.maildir import Entry

_NO_LINK = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP}
GRAIN_NS = 2_000_000_000
"""Age from which an mtime tells all changes apart; coarse clocks of file systems included."""


class Seen(NamedTuple):
    """A folder's mtime when its names were known, and whether that excludes later changes."""

    mtime_ns: int
    settled: bool
    own: bool


class Files:
    """The Maildir++ of one box. Not safe for concurrent threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.touched: set[Path] = set()
        self.unsynced = False
        """Whether there may be files whose octets are not durable but in a frame."""
        self._seen: dict[tuple[str, str], Seen] = {}
        self._listings: dict[str, maildir.Listing] = {}
        self._places: dict[tuple[str, str], Path] = {}

    def mailbox(self, folder: str) -> Path:
        """The folder of a mailbox ("" is INBOX)."""
        return self.root / folder if folder else self.root

    def path(self, folder: str, entry: Entry) -> Path:
        """The path of a message's file."""
        return entry.below(self.mailbox(folder))

    def place(self, folder: str, sub: str) -> Path:
        """The path of ``new`` or ``cur`` of a mailbox, or of the Maildir with both empty."""
        known = self._places.get((folder, sub))
        if known is None:
            known = self._places[folder, sub] = self.mailbox(folder) / sub
        return known

    # ------------------------------------------------------------------ changes

    @contextmanager
    def changing(self, *places: tuple[str, str]) -> Iterator[None]:
        """Renames of ours in folders given as (mailbox folder, ``new`` or ``cur``)."""
        current = [place for place in dict.fromkeys(places) if self._is_current(place)]
        try:
            yield
        finally:
            self._listings.clear()
            for place in current:
                mtime = self._mtime(place)
                if mtime != self._seen[place].mtime_ns:
                    self._seen[place] = Seen(mtime, settled=False, own=True)

    def find(self, folder: str, base: str) -> Entry | None:
        """Where a file is that is not where it should be; one listing serves a whole act."""
        listing = self._listings.get(folder)
        if listing is None:
            listing = maildir.listing(self.mailbox(folder), calm=2)
            self._listings[folder] = listing
        entry = listing.entries.get(base)
        if entry is None or self.path(folder, entry).exists():
            return entry
        return maildir.locate(self.mailbox(folder), base)

    def rename(self, folder: str, entry: Entry, target: str, wanted: Entry) -> bool:
        """Give a message its other name, wherever its file is now; False when it is gone.

        A file that has the name already is left as it is, so that doing it twice is harmless.
        """
        came, goes = self._home(folder, entry), self._home(target, wanted)
        source, destination = f"{came}/{entry.name}", f"{goes}/{wanted.name}"
        if source == destination and os.path.lexists(source):
            return True
        try:
            maildir.rename(source, destination)
        except FileNotFoundError:
            if os.path.lexists(destination):
                return True
            found = self.find(folder, names.split(entry.name)[0])
            if found is None:
                return False
            came = self._home(folder, found)
            try:
                maildir.rename(f"{came}/{found.name}", destination)
            except FileNotFoundError:
                return False
        self.touched.add(came)
        self.touched.add(goes)
        return True

    def _home(self, folder: str, entry: Entry) -> Path:
        return self.place(folder, "new" if entry.fresh else "cur")

    def remove(self, folder: str, entry: Entry, keep: str = "") -> None:
        """Take a message's file away; one that is gone already is no error.

        A file without another name gets that of ``keep``, if any is given, and stays.
        """
        home = self._home(folder, entry)
        try:
            self._remove(home, entry.name, keep)
        except FileNotFoundError:
            found = self.find(folder, names.split(entry.name)[0])
            if found is None:
                return
            home = self._home(folder, found)
            self._remove(home, found.name, keep)
        self.touched.add(home)

    def _remove(self, home: Path, name: str, keep: str) -> None:
        """The other name first: a crash in between leaves both, and the act is done again."""
        path = f"{home}/{name}"
        if keep and os.lstat(path).st_nlink == 1:
            try:
                self._keep(path, Path(keep))
            except FileExistsError:
                pass
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
        maildir.remove(path)

    def _keep(self, path: str, keep: Path) -> None:
        try:
            disk.link(path, keep)
        except FileNotFoundError:
            disk.make_folder(keep.parent)
            disk.link(path, keep)
        self.touched.add(keep.parent)

    def sync(self) -> None:
        """Make every change so far durable; may run in a thread beside one that changes."""
        if self.unsynced:
            self.unsynced = False
            try:
                disk.sync_file_system(self.root)
            except BaseException:
                self.unsynced = True
                raise
        self.sync_names()

    def sync_names(self) -> None:
        """The same for what names there are, whatever the files hold."""
        while self.touched:
            try:
                folder = self.touched.pop()
            except KeyError:
                return
            try:
                maildir.sync_folder(folder)
            except BaseException:
                self.touched.add(folder)
                raise

    # ---------------------------------------------------------------- noticing

    def changed(self, folder: str, sub: str, *, doubt: bool = True) -> bool:
        """Whether a folder may hold other names than when it was last listed.

        Without ``doubt`` an mtime that is as it was says that it does not.
        """
        place = (folder, sub)
        seen = self._seen.get(place)
        mtime = self._mtime(place)
        if seen is None or seen.mtime_ns != mtime:
            return True
        if seen.settled or not doubt:
            return False
        return not (seen.own and 0 <= time.time_ns() - mtime < GRAIN_NS)

    def unsettle(self, sub: str) -> None:
        """List each ``new`` or each ``cur`` at the next look where a change could have hidden."""
        for place, seen in list(self._seen.items()):
            if place[1] == sub and not seen.settled:
                del self._seen[place]

    def begin(self, folder: str, sub: str) -> Seen:
        """What to remember once the listing that begins now has been taken in."""
        mtime = self._mtime((folder, sub))
        return Seen(mtime, settled=time.time_ns() - mtime > GRAIN_NS, own=False)

    def listed(self, folder: str, sub: str, seen: Seen) -> None:
        """The names in a folder are known as they were when the listing began."""
        self._seen[folder, sub] = seen

    def forget(self, folder: str) -> None:
        """List a mailbox at the next look whatever its times say."""
        for sub in ("new", "cur"):
            self._seen.pop((folder, sub), None)

    def is_stale(self, folders: Iterable[str]) -> bool:
        """Whether a look that doubts would list any mailbox; in any thread, beside acts."""
        places = [(folder, sub) for folder in folders for sub in ("new", "cur")]
        return any(self.changed(*place) for place in (*places, ("", "")))

    def settled_mtime(self, folder: str, sub: str) -> int | None:
        """The mtime with which a folder's names can be trusted at a later start."""
        seen = self._seen.get((folder, sub))
        return seen.mtime_ns if seen and seen.settled else None

    def trust(self, folder: str, sub: str, mtime_ns: int | None) -> None:
        """Take over what an orderly end remembered."""
        if mtime_ns is not None:
            self._seen[folder, sub] = Seen(mtime_ns, settled=True, own=False)

    def _is_current(self, place: tuple[str, str]) -> bool:
        seen = self._seen.get(place)
        return seen is not None and seen.mtime_ns == self._mtime(place)

    def _mtime(self, place: tuple[str, str]) -> int:
        try:
            return os.lstat(self.place(*place)).st_mtime_ns
        except FileNotFoundError:
            return 0
