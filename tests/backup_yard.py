"""Boxes and a repository for tests of snapshots: real Maildirs, real owners, no daemon."""

import contextlib
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from backup import choosing, repository, restore, snapshot, verify
from backup.format import BoxRoot, Entry
from backup.past import History, box_root
from backup.places import Folder, Storage
from backup.planning import Wish, make_plan
from backup.repository import Repository
from mtad import cli, clock, config
from mtad.address import box_folder
from mtad.config import Loaded
from mtad.errors import MtadError
from mtad.journal.writer import Journal
from mtad.store import names, private, reading
from mtad.store.client import Boxes, Listed
from mtad.store.desk import Desk
from mtad.store.owner import Owner
from mtad.store.values import Prepared
from tests import mails
from tracing import ids

Run = Callable[..., dict[str, Any]]
ANNA = "anna@alpha.example"
BORIS = "boris@beta.example"
START_NS = 1_700_000_000_123_456_789
FOLDERS = ("INBOX", "Archive/2024", "Входящие", "Sent")
LETTERS = ("", "S", "RS", "F", "T", "DFS")


class Yard:
    """Boxes below ``root/boxes``, a repository and its key beside them."""

    def __init__(
        self,
        root: Path,
        folder: Folder | None = None,
        *,
        place: Callable[[], Storage] | None = None,
    ) -> None:
        """``place`` connects with where the repository is, when that is no folder."""
        self.root = root
        self.folder = folder or Folder(root / "repository")
        self._place = place or (lambda: self.folder)
        self.key = root / "repository.key"
        self.mint = ids.Mint(1)
        self.boxes: dict[str, Path] = {}
        with contextlib.closing(self._place()) as found:
            if not found.exists("config.json"):
                repository.create(found, self.key)

    @contextlib.contextmanager
    def open(self, *, heal: bool = False) -> Iterator[Repository]:
        with Repository(self._place(), self.key, self.root / "cache", heal=heal) as store:
            yield store

    # -------------------------------------------------------------------- boxes

    def box(self, address: str) -> Path:
        folder = self.root / "boxes" / box_folder(address)
        self.boxes[address] = folder
        for sub in ("tmp", "new", "cur"):
            (folder / "Maildir" / sub).mkdir(parents=True, exist_ok=True)
        return folder

    def deliver(self, address: str, raw: bytes, mailbox: str = "INBOX", letters: str = "") -> Path:
        maildir = self.box(address) / "Maildir" / names.mailbox_folder(mailbox)
        for sub in ("tmp", "new", "cur"):
            (maildir / sub).mkdir(parents=True, exist_ok=True)
        (maildir / "maildirfolder").touch()
        st = self.mint.new()
        at_ns = START_NS + (st & 0xFFFFFF) * 1_000_000_007
        base = names.base_name(st, at_ns, "mail.alpha.example", len(raw), len(raw))
        path = maildir / ("cur" if letters else "new") / base
        path = path.with_name(names.join(base, letters)) if letters else path
        draft = maildir / "tmp" / base
        draft.write_bytes(raw)
        os.utime(draft, ns=(at_ns, at_ns))
        return draft.rename(path)

    def fill(self, raws: Sequence[bytes], addresses: Sequence[str] = (ANNA, BORIS)) -> None:
        """Deliver messages over boxes, mailboxes and flags."""
        choose = random.Random(len(raws))
        for raw in raws:
            for address in addresses if choose.random() < 0.2 else [choose.choice(addresses)]:
                self.deliver(address, raw, choose.choice(FOLDERS), choose.choice(LETTERS))

    def state(self, address: str) -> dict[tuple[str, str], tuple[bytes, str, tuple[str, ...], int]]:
        """Bytes, flags, keywords and nanosecond time of every message, by mailbox and base."""
        folder = self.boxes[address]
        found = {}
        for message in reading.read_box(folder, address).messages:
            assert message.path.stat().st_mtime_ns == message.internaldate_ns
            found[message.mailbox, message.base] = (
                message.path.read_bytes(),
                message.flags,
                message.keywords,
                message.internaldate_ns,
            )
        return found

    @contextlib.contextmanager
    def owner(self) -> Iterator["Owners"]:
        journal = Journal.open(self.root / "journal" / "cli-40", node=40)
        owners = Owners(self, journal)
        try:
            yield owners
        finally:
            owners.close()
            journal.close_now()

    # ------------------------------------------------------ snapshots and restores

    def take(self, **options: object) -> snapshot.Taken:
        with self.open() as store:
            return snapshot.create(
                store,
                sorted(self.boxes.items()),
                scope="all boxes",
                aside=self.root / "aside",
                **options,  # type: ignore[arg-type]
            )

    def verify(self, *, read_data: bool = True) -> verify.Report:
        with self.open(heal=True) as store:
            return verify.verify(store, read_data=read_data)

    def root_of(self, store: Repository, address: str, given: str = "latest") -> BoxRoot:
        name, commit = store.resolve(given)
        return box_root(store, name, commit, address)

    def entries(self, address: str, given: str = "latest") -> list[Entry]:
        with self.open() as store:
            return store.entries(self.root_of(store, address, given))

    def put_back(
        self,
        address: str,
        owners: "Owners",
        *,
        mailbox: str | None = None,
        terms: Sequence[str] = (),
        given: str = "latest",
    ) -> restore.Result:
        with self.open() as store:
            history = self.history(store)
            wish = Wish(choosing.parse(" ".join(terms), clock.now_us()), mailbox)
            past = history.of_snapshot(address, given)
            todo = make_plan(history, past, wish, self.boxes[address])
            return restore.Applying(
                history.contents,
                todo,
                owners,
                self.boxes[address],
                operation=ids.text(self.mint.new()),
                actor="admin:test",
            ).run()

    def history(self, store: Repository) -> History:
        """The past of the boxes, without any log."""
        settings = self.root / "mtad.toml"
        if not settings.exists():
            settings.write_text(f'hostname = "mail.alpha.example"\ndata_dir = "{self.root}"\n')
        return History(config.load(settings), store)


class Owners:
    """The boxes' owners, as a restore sees them."""

    def __init__(self, yard: Yard, journal: Journal) -> None:
        self._yard = yard
        self._desk = Desk(journal)
        self._open: dict[str, Owner] = {}

    def of(self, box: str) -> Owner:
        if box not in self._open:
            folder = self._yard.boxes[box]
            self._open[box] = Owner.open(folder, box, "mail.alpha.example", self._desk)
        return self._open[box]

    def sync(self, box: str) -> int:
        return self.of(box).sync()

    def create(
        self,
        box: str,
        mailbox: str,
        *,
        uses: Sequence[str] = (),
        rights: Sequence[str] | None = None,
        actor: str,
        client: str = "",
    ) -> bool:
        owner = self.of(box)
        return owner.create(mailbox, wanted=uses, rights=rights, actor=actor, client=client)

    def delete(self, box: str, mailbox: str, *, actor: str, client: str = "") -> int:
        return self.of(box).delete(mailbox, actor=actor, client=client)

    def share(
        self, box: str, mailbox: str, who: str, rights: str, *, actor: str, client: str = ""
    ) -> object:
        return self.of(box).share(mailbox, who, rights, actor=actor, client=client)

    def subscribe(self, box: str, mailbox: str, on: bool, *, actor: str, client: str = "") -> bool:
        return self.of(box).subscribe(mailbox, on, actor=actor, client=client)

    def put(
        self,
        box: str,
        mailbox: str,
        items: Sequence[Prepared],
        *,
        actor: str,
        client: str = "",
        snapshot: str | None = None,
        over_quota: bool = False,
    ) -> list[int]:
        owner = self.of(box)
        placed = owner.put(
            mailbox,
            items,
            actor=actor,
            client=client,
            snapshot=snapshot,
            over_quota=over_quota,
        )
        return list(placed.uids)

    def list(self, box: str, mailbox: str | None = None) -> Listed:
        owner = self.of(box)
        owner.sync()
        return Listed(owner.mailboxes(), owner.messages(mailbox))

    def renumber(
        self,
        box: str,
        mailbox: str,
        uidvalidity: int,
        uidnext: int,
        *,
        actor: str,
        client: str = "",
    ) -> bool:
        owner = self.of(box)
        return owner.renumber(mailbox, uidvalidity, uidnext, actor=actor, client=client)

    def move(
        self,
        box: str,
        mailbox: str,
        uids: Sequence[int],
        target: str,
        *,
        actor: str,
        client: str = "",
    ) -> Sequence[int]:
        return self.of(box).move(mailbox, uids, target, actor=actor, client=client).targets

    def flags(
        self,
        box: str,
        mailbox: str,
        uids: Sequence[int],
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        *,
        reader: str = "",
        actor: str,
        client: str = "",
    ) -> int:
        owner = self.of(box)
        act = partial(private.flags, owner, reader) if reader else owner.flags
        return len(act(mailbox, uids, add, remove, actor=actor, client=client).changed)

    def expunge(
        self, box: str, mailbox: str, uids: Sequence[int], *, actor: str, client: str = ""
    ) -> int:
        return len(self.of(box).expunge(mailbox, uids, actor=actor, client=client))

    def expunge_all(self, box: str) -> int:
        gone = 0
        owner = self.of(box)
        owner.sync()
        for mailbox in owner.mailboxes():
            uids = [each.uid for each in owner.messages(mailbox.name)]
            if uids:
                gone += len(owner.expunge(mailbox.name, uids, actor="admin:test"))
        return gone

    def close(self) -> None:
        for owner in self._open.values():
            owner.close()
        self._open.clear()


def settings(root: Path) -> Loaded:
    """Settings with their data directory below ``root``."""
    (root / "mtad.toml").write_text('hostname = "mail.alpha.example"\n')
    return config.load(root / "mtad.toml")


def three_messages(loaded: Loaded) -> Yard:
    """Three messages in INBOX, the first seen; a snapshot has them; no daemon runs."""
    key = loaded.beside(loaded.config.backup.key_file)
    yard = Yard(loaded.places.data)
    key.write_bytes(yard.key.read_bytes())
    for number, letters in enumerate(("S", "F", "")):
        yard.deliver(ANNA, mails.plain(f"order-{number}"), letters=letters)
    with Boxes(loaded) as boxes:
        boxes.sync(ANNA)
    yard.take()
    return yard


def command(loaded: Loaded) -> Run:
    """Runs commands for their JSON document; ``code`` is how one must end."""

    def run(*arguments: str, code: int = 0) -> dict[str, Any]:
        line = ["--config", str(loaded.path), *arguments, "--json"]
        result = CliRunner().invoke(cli.root, line, standalone_mode=False)
        status = int(result.return_value or 0)
        if isinstance(result.exception, MtadError):
            status = int(result.exception.exit_code)
        elif result.exception is not None:
            raise result.exception
        assert status == code, (result.output, result.exception)
        found: dict[str, Any] = json.loads(result.stdout) if result.stdout else {}
        return found

    return run
