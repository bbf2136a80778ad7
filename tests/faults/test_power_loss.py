"""The power goes at any moment: what was acknowledged is there, once and whole, and explained."""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mtad.journal import content, disk, frame
from mtad.journal.reader import Reader
from mtad.journal.writer import Journal
from mtad.materialise import recycle
from mtad.store import maildir, names
from tests.faults.power import Tape, cut
from tests.materialise_bench import ARRIVED_NS, Bench
from tracing import events, ids
from tracing.log import Recorder
from tracing.states import State

SOAK = bool(os.environ.get("MTAD_SOAK"))
RUNS, CUTS, STEPS = (10, 20, 300) if SOAK else (3, 5, 120)
BOXES = ("a@one.test", "b@one.test", "c@two.test")
FILED = "Filed"


@dataclass
class Mail:
    """A message of the run; numbers are places on the tape, -1 for never."""

    meta: frame.Meta
    body: bytes
    acknowledged: int = -1
    deleting: dict[int, int] = field(default_factory=dict)
    deleted: dict[int, int] = field(default_factory=dict)
    moving: dict[int, int] = field(default_factory=dict)
    moved: dict[int, int] = field(default_factory=dict)


class Run:
    """Random work on a bench, with everything that reaches the disk on tape."""

    def __init__(self, folder: Path, seed: int, patch: pytest.MonkeyPatch) -> None:
        self.rng = random.Random(seed)
        self.root = folder / "site"
        self.logs = folder / "logs"
        self.root.mkdir()
        self.tape = Tape(self.root, patch)
        self.states: list[tuple[int, int, Path | None]] = [(0, 0, None)]
        """(place on the tape, place of the last checkpoint, copy of the log) of each state."""
        self.checkpointed = 0
        self.mails: list[Mail] = []
        self.highest = 0
        patch.setattr(recycle, "LOOK_SECONDS", 0)
        self._watch(patch, "apply", checkpoint=False)
        self._watch(patch, "checkpoint", checkpoint=True)
        self.bench = Bench(self.root, keep_seconds=0)

    def _watch(self, patch: pytest.MonkeyPatch, name: str, *, checkpoint: bool) -> None:
        """Copy the log after each transaction and each checkpoint."""
        real: Callable[..., Any] = getattr(Recorder, name)

        def watched(recorder: Recorder, *arguments: Any) -> Any:
            done = real(recorder, *arguments)
            copy = self.logs / str(len(self.states))
            shutil.copytree(self.root / "log", copy)
            if checkpoint:
                self.checkpointed = len(self.states)
                for path in copy.iterdir():
                    if path.name.endswith(("-wal", "-shm")):
                        path.unlink()
            self.states.append((len(self.tape), self.checkpointed, copy))
            return done

        patch.setattr(Recorder, name, watched)

    # -------------------------------------------------------------------- work

    def work(self, steps: int) -> None:
        """Do random things."""
        doings = (
            (self.accept, 10),
            (self.note, 3),
            (self.turn, 6),
            (self.delete, 2),
            (self.move, 2),
            (self.read, 2),
            (self.restart_writer, 0.3),
            (self.restart_log, 0.3),
        )
        chosen = self.rng.choices(*zip(*doings, strict=True), k=steps)
        for doing in chosen:
            doing()
        self.bench.close()

    def accept(self) -> None:
        size = self.rng.choice((200, 2_000, 60_000, 200_000, frame.MAX_BODY + 5_000))
        body = self.rng.randbytes(size)
        boxes = self.rng.sample(BOXES, self.rng.randint(1, 3))
        mail = Mail(self.bench.plan(*boxes, body=body), body)
        self.mails.append(mail)
        assert mail.meta.content is not None
        self.bench.journal.commit_now(mail.meta, body if mail.meta.content.inline else b"")
        mail.acknowledged = len(self.tape)
        self.highest = self.bench.journal.mint.last

    def note(self) -> None:
        trace = self.bench.journal.mint.new()
        self.bench.journal.note(events.ConnOpen(at=ids.time_us(trace), trace=trace, listener="x"))
        if self.rng.random() < 0.5:  # what the timer does in a process with a loop
            self.bench.journal._enqueue(None, b"")
            self.bench.journal._write_pending()

    def turn(self) -> None:
        assert self.bench.worker.turn(), self.bench.worker.standing.problem

    def _some(self) -> tuple[Mail, frame.Link, Path] | None:
        """A delivered copy that nobody deleted."""
        mails = [mail for mail in self.mails if mail.acknowledged >= 0]
        for mail in self.rng.sample(mails, min(5, len(mails))):
            for link in mail.meta.links:
                if link.st not in mail.deleting:
                    found = find(self.root, link)
                    if found:
                        return mail, link, found[0]
        return None

    def delete(self) -> None:
        some = self._some()
        if some is not None:
            mail, link, path = some
            mail.deleting[link.st] = len(self.tape)
            self.bench.owner.commit_now(_act(mail, link, "expunge"))
            mail.deleted[link.st] = len(self.tape)
            disk.unlink(path)

    def move(self) -> None:
        some = self._some()
        if some is not None and some[1].st not in some[0].moving:
            mail, link, path = some
            mail.moving[link.st] = len(self.tape)
            self.bench.owner.commit_now(_act(mail, link, "move"))
            mail.moved[link.st] = len(self.tape)
            root = path.parent.parent
            maildir.ensure(root, f".{FILED}")
            disk.rename(path, root / f".{FILED}" / "cur" / f"{link.base}:2,S")

    def read(self) -> None:
        some = self._some()
        if some is not None:
            _, link, path = some
            cur = path.parent.parent / "cur"
            disk.rename(path, cur / f"{link.base}:2,{self.rng.choice(('S', 'FS', ''))}")

    def restart_writer(self) -> None:
        if self.rng.random() < 0.5:
            self.bench.journal.close_now()
        else:
            self.bench.journal._release()
        self.bench.journal = Journal.open(
            self.bench.places.journal / "mta-0", node=1, segment_bytes=2**20, cap_bytes=2**23
        )

    def restart_log(self) -> None:
        self.bench.again()

    # ---------------------------------------------------------------- the cut

    def cut(self, count: int, target: Path) -> None:
        """The folder after a power cut, with a log that lost what it may lose."""
        cut(self.tape, count, target, self.rng)
        before = [number for number, state in enumerate(self.states) if state[0] <= count]
        oldest = self.states[before[-1]][1]
        copy = self.states[self.rng.randint(oldest, before[-1])][2]
        if copy is not None:
            shutil.copytree(copy, target / "log")


def _act(mail: Mail, link: frame.Link, what: str) -> frame.Meta:
    assert mail.meta.content is not None
    m = mail.meta.content.m
    copies = (frame.Copy(link.st, m, 1, link.base),)
    common: dict[str, Any] = {
        "at": ids.time_us(link.st),
        "trace": m,
        "addr": link.box,
        "mailbox": "INBOX",
        "items": (events.Item(link.st, m, 1, link.base),),
    }
    if what == "move":
        return frame.Meta(
            events=(frame.raw(events.BoxMove(target=FILED, **common)),),
            acts=(frame.Move(link.box, "INBOX", FILED, copies, (1,), 1),),
        )
    return frame.Meta(
        events=(frame.raw(events.BoxExpunge(**common)),),
        acts=(frame.Expunge(link.box, "INBOX", copies, 1),),
    )


def find(root: Path, link: frame.Link) -> list[Path]:
    """Every file of a stored copy."""
    local, _, domain = link.box.partition("@")
    top = root / "boxes" / domain / local / "Maildir"
    return [
        path
        for mailbox in (top, top / f".{FILED}")
        for sub in ("new", "cur")
        if (mailbox / sub).is_dir()
        for path in (mailbox / sub).iterdir()
        if names.split(path.name)[0] == link.base
    ]


def replay_owner(root: Path) -> None:
    """What the boxes' owner does at its start: its acts once more, where they are undone."""
    reader = Reader(root / "journal" / "access-0")
    for one in reader.frames(0):
        for act in one.meta.acts:
            assert isinstance(act, frame.Expunge | frame.Move)
            for copy in act.copies:
                link = frame.Link(1, copy.st, act.box, act.mailbox, copy.base)
                for path in find(root, link):
                    if isinstance(act, frame.Expunge):
                        path.unlink()
                    elif path.parent.parent.name != f".{FILED}":
                        maildir.ensure(path.parent.parent, f".{FILED}")
                        os.rename(
                            path,
                            path.parent.parent / f".{FILED}" / "cur" / f"{copy.base}:2,",
                        )
    reader.close()


def check(run: Run, bench: Bench, count: int) -> None:
    """Every message acknowledged before the cut is accounted for."""
    for mail in run.mails:
        kept = mail.meta.content
        assert kept is not None
        acknowledged = 0 <= mail.acknowledged <= count
        recipients = {one.st: one for one in bench.recipients(kept.m)}
        for link in mail.meta.links:
            found = find(bench.places.data, link)
            assert len(found) <= 1, found
            for path in found:
                assert path.read_bytes() == mail.body
                assert path.stat().st_mtime_ns == ARRIVED_NS
            if not acknowledged:
                continue
            assert recipients[link.st].state is State.STORED
            if mail.deleted.get(link.st, count + 1) <= count:
                assert not found, "a deleted message came back"
                assert recipients[link.st].mailbox == ""
            elif mail.deleting.get(link.st, count + 1) > count:
                assert found, "an acknowledged message is lost"
                filed = found[0].parent.parent.name == f".{FILED}"
                if mail.moved.get(link.st, count + 1) <= count:
                    assert filed
                elif mail.moving.get(link.st, count + 1) > count:
                    assert not filed
        if acknowledged and not mail.deleting:
            assert content.path_of(bench.places, kept.m).read_bytes() == mail.body


@pytest.mark.parametrize("seed", range(RUNS))
def test_any_power_cut_loses_nothing_acknowledged(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        run = Run(tmp_path, seed, patch)
        run.work(STEPS)
    recycled = sum(
        one.what == "rename" and one.target[1].endswith(".done") for one in run.tape.operations
    )
    assert recycled, "the run is too short to prove anything about recycling"
    for number in range(CUTS):
        count = run.rng.randint(1, len(run.tape))
        target = tmp_path / f"cut{number}"
        target.mkdir()
        run.cut(count, target)
        bench = Bench(target)
        try:
            assert bench.worker.turn(), bench.worker.standing.problem
            replay_owner(target)
            check(run, bench, count)
            assert bench.kinds()["audit.violation"] == 0
            recovered = bench.kinds()["sys.recovered"]
            acknowledged = [m for m in run.mails if 0 <= m.acknowledged <= count]
            if acknowledged:
                last = acknowledged[-1].meta
                assert bench.journal.mint.new() > max(link.st for link in last.links)
            bench.accept(BOXES[0])
            bench.worker.turn()
            bench.again().turn()
            check(run, bench, count)
            assert bench.kinds()["sys.recovered"] == recovered, "a second start repairs nothing"
        finally:
            bench.close()
        shutil.rmtree(target)
