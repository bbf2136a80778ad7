"""A server rebuilt from a snapshot onto a machine that has nothing: all of it, or nothing.

Settings, secrets, directory and log are written as they were; boxes as the Maildirs they were,
under the same names, with lists of their UIDs, of which their indexes are made (``mtad box
reindex``). So the log's rows fit the files, and clients find their UIDs. What the log knows and
the snapshot has not, because it came or went while the snapshot was taken, is told as vanished.
It is built beside its place, synced, and renamed at last.
"""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from backup import server_part
from backup.format import BoxLine, BoxRoot, Commit, Damaged, Entry, MailboxRoot
from backup.places import Storage
from backup.repository import Repository
from backup.telling import telling
from mtad import clock, config
from mtad.address import box_folder
from mtad.config import Loaded
from mtad.errors import Corrupt, MtadError, NothingFound, UsageError
from mtad.journal import disk
from mtad.store import acls, annotations, keywords, maildir, names, subscriptions, uidlist, uses
from mtad.store.client import Boxes
from tracing import answers, events
from tracing.facts import LogFacts
from tracing.stored import Item

CLIENT = "mtad snapshot bootstrap"
SETTINGS_FILE = "mtad.toml"
_DATA_DIR = re.compile(r"^(\s*data_dir\s*=).*$", re.MULTILINE)
_ITEMS = 1000
"""Messages in one event."""


@dataclass(slots=True)
class Built:
    """What was rebuilt. ``vanished`` are messages that only the log knows."""

    folder: Path
    snapshot: str
    at: int
    boxes: int = 0
    messages: int = 0
    files: int = 0
    vanished: int = 0
    elsewhere: list[str] = field(default_factory=list)
    """Files that were outside of the server's folders; they are below ``elsewhere/`` now."""
    lost: list[str] = field(default_factory=list)
    """What cannot be read any more, in sentences."""


def bootstrap(
    place: Storage,
    key_file: Path,
    folder: Path,
    *,
    snapshot: str = "latest",
    actor: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Built:
    """Rebuild a server in ``folder``, which is empty or not there.

    Raises UsageError where something is in the way, NothingFound for a repository without a
    snapshot of a server, Corrupt where a file of the server cannot be read, MtadError.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty; name another with --dir")
    mask = os.umask(0o077)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            with (
                tempfile.TemporaryDirectory(dir=aside) as cache,
                Repository(place, key_file, Path(cache)) as store,
            ):
                built = _Building(store, aside, folder, actor, progress).run(snapshot)
            _keep_key(aside, key_file)
            os.sync()
            disk.rename(aside, folder)
            maildir.sync_folder(folder.parent)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    except OSError as error:
        where = error.filename or folder
        raise MtadError(f"cannot make {where}: {error.strerror or error}") from error
    finally:
        os.umask(mask)
    return built


def _keep_key(aside: Path, key_file: Path) -> None:
    """The key goes along: the new server's snapshots go on in the same repository."""
    loaded = config.load(aside / SETTINGS_FILE)
    target = loaded.beside(loaded.config.backup.key_file)
    if target.is_relative_to(aside) and not target.exists():
        _write(target, [key_file.read_bytes()])


class _Building:
    """One server in the making, in the folder ``aside``."""

    def __init__(
        self,
        store: Repository,
        aside: Path,
        folder: Path,
        actor: str,
        progress: Callable[[int, int], None],
    ) -> None:
        self._store, self._aside, self._actor = store, aside, actor
        self._folder, self._progress = folder, progress
        self._total = 0

    def run(self, given: str) -> Built:
        """Build it."""
        name, commit = self._choose(given)
        self.built = Built(self._folder, name, commit.at)
        self._total = sum(line.messages for line in commit.mail)
        for line in commit.boxes:
            if line.address == server_part.ADDRESS:
                self._files(line)
        loaded = config.load(self._aside / SETTINGS_FILE)
        boxes = [(line, self._root(line)) for line in commit.mail]
        for line, root in boxes:
            self._box(loaded, line, root)
        with Boxes(loaded) as owner:
            for _, root in boxes:
                self._index(loaded, owner, root)
        self._tell_vanished(loaded)
        return self.built

    def _choose(self, given: str) -> tuple[str, Commit]:
        """The snapshot that is meant; the latest is the last one with a server in it."""
        if given != "latest":
            name, commit = self._store.resolve(given)
            whole = [(name, commit)]
        else:
            whole = list(self._store.snapshots().items())
        fits = [
            (name, commit)
            for name, commit in whole
            if any(line.address == server_part.ADDRESS for line in commit.boxes)
        ]
        if not fits:
            raise NothingFound(
                "no such snapshot has a whole server; 'mtad snapshot create' without --box and "
                "--domain takes one, 'mtad restore' puts single boxes back"
            )
        return fits[-1]

    def _root(self, line: BoxLine) -> BoxRoot:
        try:
            return self._store.manifest(line.root, BoxRoot)
        except Damaged as error:
            raise Corrupt(f"{line.address or 'the server'}: {error}") from error

    # -------------------------------------------------------------------- files

    def _files(self, line: BoxLine) -> None:
        for file in self._root(line).mailboxes:
            room, _, name = file.name.partition("/")
            parts = Path(name).parts
            if not parts or {"..", "/"} & {*parts}:
                raise Corrupt(f"the snapshot has a file with an impossible name: {file.name!a}")
            target = self._aside / (name if room == server_part.SETTINGS else f"{room}/{name}")
            try:
                _write(target, self._pieces(file))
            except Damaged as error:
                raise Corrupt(f"the server's {file.name}: {error}") from error
            self.built.files += 1
            if room == server_part.ELSEWHERE:
                self.built.elsewhere.append(f"/{name}")
        path = self._aside / SETTINGS_FILE
        text = path.read_text()
        path.write_text(_DATA_DIR.sub(rf'\1 "{server_part.DATA}"', text, count=1))

    def _pieces(self, file: MailboxRoot) -> Iterable[bytes]:
        for entry in self._store.entries(BoxRoot("", (file,))):
            yield self._store.message(entry.id)[0]

    # -------------------------------------------------------------------- boxes

    def _box(self, loaded: Loaded, line: BoxLine, root: BoxRoot) -> None:
        """Write a box's Maildir with all that lies beside its messages."""
        folder = loaded.places.boxes / box_folder(line.address)
        maildir.ensure(folder / "Maildir")
        try:
            entries = self._store.entries(root)
        except Damaged as error:
            raise Corrupt(f"{line.address}: {error}") from error
        by_mailbox: dict[str, list[Entry]] = {one.name: [] for one in root.mailboxes}
        for entry in entries:
            by_mailbox[entry.mailbox].append(entry)
        letters = {name: _letters(of) for name, of in by_mailbox.items()}
        for one in root.mailboxes:
            self._mailbox(folder / "Maildir", one, by_mailbox[one.name], letters[one.name])
        self._messages(folder / "Maildir", line.address, entries, letters)
        if root.subscribed:
            subscriptions.write(folder / "Maildir", {*root.subscribed})
        self.built.boxes += 1

    def _mailbox(
        self, root: Path, one: MailboxRoot, entries: list[Entry], letters: dict[str, str]
    ) -> None:
        maildir.ensure(root, names.mailbox_folder(one.name))
        where = root / names.mailbox_folder(one.name)
        if one.rights:
            acls.write(where, one.rights)
        if one.uses:
            uses.write(where, one.uses)
        if letters:
            lines = "".join(f"{number} {word}\n" for number, word in enumerate(letters))
            maildir.write_small(where, keywords.FILE, lines.encode("ascii"))
        if one.uidvalidity:
            uids = sorted((entry.uid, entry.base) for entry in entries if entry.uid)
            uidlist.write(where, one.uidvalidity, one.uidnext, one.objectid, uids)

    def _messages(
        self, root: Path, address: str, entries: list[Entry], letters: dict[str, dict[str, str]]
    ) -> None:
        users: dict[bytes, list[Entry]] = {}
        for entry in entries:
            users.setdefault(entry.id, []).append(entry)
        for object_id in self._store.in_reading_order(users):
            try:
                raw = self._store.message(object_id)[0]
            except Damaged as error:
                self.built.lost += [
                    f"{address}/{entry.mailbox} UID {entry.uid}: {error}"
                    for entry in users[object_id]
                ]
                continue
            for entry in users[object_id]:
                known = letters[entry.mailbox]
                words = "".join(known[word] for word in entry.keywords if word in known)
                name = names.join(entry.base, entry.flags + words)
                path = root / names.mailbox_folder(entry.mailbox) / "cur" / name
                _write(path, [raw])
                os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
                self.built.messages += 1
            self._progress(self.built.messages, self._total)

    def _index(self, loaded: Loaded, owner: Boxes, root: BoxRoot) -> None:
        """Make a box's index; then what no file says: further keywords, and metadata."""
        owner.reindex(root.address)
        folder = loaded.places.boxes / box_folder(root.address)
        numbers = {one.name: one.id for one in owner.list(root.address, names.INBOX).mailboxes}
        for one in root.mailboxes:
            if one.notes and one.name in numbers:
                annotations.change(folder, numbers[one.name], dict(one.notes))
        for number, name, value in root.notes:
            annotations.change(folder, number, {name: value})
        with contextlib.suppress(Damaged):
            self._keywords(owner, root, self._store.entries(root))

    def _keywords(self, owner: Boxes, root: BoxRoot, entries: list[Entry]) -> None:
        """Those beyond the 26 that file names have letters for."""
        for mailbox in {entry.mailbox for entry in entries}:
            mine = [entry for entry in entries if entry.mailbox == mailbox]
            known = _letters(mine)
            wanted = {
                entry.base: set(entry.keywords) - known.keys()
                for entry in mine
                if set(entry.keywords) - known.keys()
            }
            for one in owner.list(root.address, mailbox).messages if wanted else ():
                if add := wanted.get(one.base):
                    who = {"actor": self._actor, "client": CLIENT}
                    owner.flags(root.address, mailbox, [one.uid], sorted(add), **who)

    # ---------------------------------------------------------------- the books

    def _tell_vanished(self, loaded: Loaded) -> None:
        """Say of what only the log knows that it is gone, so that the books balance."""
        if loaded.places.server is not None or not any(loaded.places.log_folder.glob("*.db")):
            return
        with (
            answers.readable(loaded.places.log),
            contextlib.closing(LogFacts(loaded.places.log)) as log,
            telling(loaded) as tell,
        ):
            for box in log.boxes():
                folder = loaded.places.boxes / box_folder(box)
                there = {names.split(path.name)[0] for path in folder.glob("Maildir/**/cur/*")}
                gone: dict[str, list[Item]] = {}
                for copy in log.copies(box):
                    if copy.base not in there:
                        item = Item(copy.st, copy.m, 0, copy.base)
                        gone.setdefault(copy.mailbox, []).append(item)
                for mailbox, items in gone.items():
                    self.built.vanished += len(items)
                    for start in range(0, len(items), _ITEMS):
                        few = tuple(items[start : start + _ITEMS])
                        also = tuple(dict.fromkeys(item.m for item in few if item.m))
                        tell(
                            events.BoxVanished(
                                at=clock.now_us(),
                                trace=tell.new_id(),
                                also=also,
                                addr=box,
                                mailbox=mailbox,
                                items=few,
                                actor=self._actor,
                                client=CLIENT,
                            )
                        )


def _letters(entries: Iterable[Entry]) -> dict[str, str]:
    """Letters for the first keywords of a mailbox, in the order of ``dovecot-keywords``."""
    words = sorted({word for entry in entries for word in entry.keywords})
    return dict(zip(words, names.KEYWORD_LETTERS, strict=False))


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    """A private file that is not there yet, in folders made as needed; synced by the caller."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as file:
        for piece in pieces:
            file.write(piece)
