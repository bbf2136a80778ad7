"""Deliver, flag, move, delete, snapshot, forget, prune and compact in any order, beside a model."""

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from backup.prune import How
from mtad.store import names
from tests import mails
from tests.backup_yard import ANNA, Yard
from tests.test_backup_forget import forgotten
from tests.test_backup_prune import pruned

SOAK = bool(os.environ.get("MTAD_SOAK"))
FOLDERS = ("INBOX", "Archive/2024")
State = dict[str, tuple[str, str, bytes]]
"""Mailbox, flags and octets by base name."""


class Machine(RuleBasedStateMachine):
    """The model is a dictionary of the box, and one of each snapshot that is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.yard = Yard(self.root)
        self.yard.box(ANNA)
        self.box: State = {}
        self.kept: dict[str, State] = {}
        self.count = 0

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    def _path(self, base: str) -> Path:
        (path,) = (self.yard.boxes[ANNA] / "Maildir").rglob(f"{base}*")
        return path

    def _chosen(self, number: int) -> str:
        return sorted(self.box)[number % len(self.box)]

    @rule(mailbox=st.sampled_from(FOLDERS), attached=st.booleans())
    def deliver(self, mailbox: str, attached: bool) -> None:
        self.count += 1
        number = self.count % 4  # the same attachments come again
        raw = mails.with_attachment(number) if attached else mails.plain(str(self.count))
        path = self.yard.deliver(ANNA, raw, mailbox, "S")
        self.box[names.split(path.name)[0]] = (mailbox, "S", raw)

    @precondition(lambda self: self.box)
    @rule(number=st.integers(0, 99), letters=st.sampled_from(["S", "FS", "RS"]))
    def flag(self, number: int, letters: str) -> None:
        base = self._chosen(number)
        path = self._path(base)
        path.rename(path.with_name(names.join(base, letters)))
        mailbox, _, raw = self.box[base]
        self.box[base] = (mailbox, letters, raw)

    @precondition(lambda self: self.box)
    @rule(number=st.integers(0, 99), mailbox=st.sampled_from(FOLDERS))
    def move(self, number: int, mailbox: str) -> None:
        base = self._chosen(number)
        path = self._path(base)
        folder = self.yard.boxes[ANNA] / "Maildir" / names.mailbox_folder(mailbox)
        for sub in ("tmp", "new", "cur"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        (folder / "maildirfolder").touch()
        path.rename(folder / "cur" / path.name)
        self.box[base] = (mailbox, *self.box[base][1:])

    @precondition(lambda self: self.box)
    @rule(number=st.integers(0, 99))
    def expunge(self, number: int) -> None:
        base = self._chosen(number)
        self._path(base).unlink()
        del self.box[base]

    @rule()
    def snapshot(self) -> None:
        self.kept[self.yard.take().name] = dict(self.box)

    @precondition(lambda self: self.kept)
    @rule(count=st.integers(1, 3))
    def forget(self, count: int) -> None:
        forgotten(self.yard, f"last {count}")
        self.kept = dict(list(self.kept.items())[-count:])

    @rule(compact=st.booleans(), everything=st.booleans())
    def prune(self, compact: bool, everything: bool) -> None:
        pruned(self.yard, How(compact=compact, everything=everything))

    @rule()
    def lose_the_cache(self) -> None:
        shutil.rmtree(self.root / "cache", ignore_errors=True)

    @invariant()
    def every_snapshot_is_as_it_was(self) -> None:
        with self.yard.open() as store:
            assert list(store.snapshots()) == list(self.kept)
            for name, state in self.kept.items():
                entries = store.entries(self.yard.root_of(store, ANNA, name))
                found = {
                    one.base: (one.mailbox, one.flags, store.message(one.id)[0]) for one in entries
                }
                assert found == state


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=200 if SOAK else 8, stateful_step_count=30 if SOAK else 15, deadline=None
)
