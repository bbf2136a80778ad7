"""A whole server in one process, started and stopped in the order of ``mtad serve``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtad import address
from mtad.journal.command import command_journal
from mtad.journal.writer import Journal
from mtad.store.desk import Desk
from mtad.store.owner import Owner
from mtad.store.recovery import recover
from mtad.store.replay import Replay
from mtad.where import Places
from tests.materialise_bench import Bench

HOST = "host"
SEGMENT = 2**13


class Site(Bench):
    """The log role, then the owner of the boxes, then who takes mail in."""

    def __init__(self, folder: Path, *, keep_seconds: float = 45) -> None:
        self.places = Places(folder)
        self.keep_seconds = keep_seconds
        self.rung = []
        self.worker = self.new_worker()
        self.owners: dict[str, Owner] = {}
        self.start_access()
        self.start_mta()

    def start_access(self) -> None:
        """What the access role does: first what journals promise, then its own journal."""
        self.replay = Replay(self.places.journal)
        _, problems = recover(self.places, HOST, self.replay)
        assert not problems
        self.replay.skip_own("access-0")
        self.owner = Journal.open(
            self.places.journal / "access-0", node=16, segment_bytes=SEGMENT, cap_bytes=2**23
        )
        self.owner.before_reuse = self.settle

    def start_mta(self) -> None:
        """A journal for mail that comes in."""
        self.journal = Journal.open(
            self.places.journal / "mta-0", node=1, segment_bytes=2**20, cap_bytes=2**23
        )

    def box(self, name: str) -> Owner:
        """A box, open."""
        if name not in self.owners:
            self.replay.scan()
            desk = Desk(self.owner)
            self.owners[name] = Owner(self.folder(name), name, HOST, self.replay, desk)
        return self.owners[name]

    def folder(self, name: str) -> Path:
        """Where a box lies."""
        return self.places.boxes / address.box_folder(name)

    @contextmanager
    def command(self, name: str, *, orderly: bool) -> Iterator[Owner]:
        """A box opened by a command, while the access role is down or has let it go."""
        if name in self.owners:
            self.owners.pop(name).close()
        with command_journal(self.places) as journal:
            owner = Owner.open(self.folder(name), name, HOST, Desk(journal))
            journal.before_reuse = owner.settle
            yield owner
            if orderly:
                owner.close()
            else:
                kill(owner)
                journal._release()
                journal._closed = True

    def settle(self) -> None:
        """What the access role does before it uses a segment again."""
        for owner in self.owners.values():
            owner.settle()

    def stop_access(self, *, orderly: bool) -> None:
        """The access role ends."""
        while self.owners:
            owner = self.owners.popitem()[1]
            if orderly:
                owner.close()
            else:
                kill(owner)
        if orderly:
            self.owner.close_now()
        else:
            self.owner._release()
        self.replay.close()

    def close(self) -> None:
        """An orderly end of everything."""
        self.stop_access(orderly=True)
        self.journal.close_now()
        assert self.worker.turn()
        self.worker.close()


def kill(owner: Owner) -> None:
    """What is left of an owner whose process was killed."""
    owner.index.abandon()
    owner._ledger.close()
    os.close(owner._lock)
