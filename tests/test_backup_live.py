"""Snapshots of a box that never rests: none lost, none doubled, flags as they were then.

The soak version (MTAD_SOAK) has 20,000 messages, 2,000 renames a second and 100 snapshots.
"""

import multiprocessing
import os
import random
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from backup.format import Entry
from mtad.store import names
from tests import mails
from tests.backup_yard import ANNA, Yard

SOAK = bool(os.environ.get("MTAD_SOAK"))
MESSAGES, SNAPSHOTS = (20_000, 100) if SOAK else (500, 3)
RENAMES = 2_000
"""A second."""
GONE = "gone"
State = tuple[float, str]


@dataclass
class Life:
    """What became of each message: from when on it had which flags, or was gone."""

    states: dict[str, list[State]] = field(default_factory=lambda: defaultdict(list))

    def had(self, base: str, since: float, until: float) -> set[str]:
        """Every state between two times; the one it had at the beginning is among them."""
        found = {""} if not self.states[base] else set()
        for number, (at, flags) in enumerate(self.states[base]):
            ended = self.states[base][number + 1 : number + 2]
            if at <= until and not (ended and ended[0][0] < since):
                found.add(flags)
        return found


def live(maildir: Path, seed: int, pipe: Connection) -> None:
    """Rename, deliver and expunge at a pace, until told to stop; then tell what was done.

    A state counts from before it is made, and the former one until after, for nobody can say
    when in between the file was renamed.
    """
    rng = random.Random(seed)
    where = {names.split(one)[0]: one for one in os.listdir(maildir / "cur")}
    told: list[tuple[str, float, float, str]] = []
    bases = sorted(where)
    began = time.monotonic()
    for done in range(1 << 40):
        if done % 64 == 0 and pipe.poll():
            break
        kind = rng.random()
        before = time.monotonic()
        if kind < 0.01:
            base = f"{1_800_000_000 + done}.M{seed}P1.mx1"
            (maildir / "tmp" / base).write_bytes(b"Subject: new\n\n%d\n" % done)
            os.rename(maildir / "tmp" / base, maildir / "new" / base)
            told.append((base, before, time.monotonic(), ""))
        elif kind < 0.02:
            base = bases.pop(rng.randrange(len(bases)))
            os.unlink(maildir / "cur" / where.pop(base))
            told.append((base, before, time.monotonic(), GONE))
        else:
            base = rng.choice(bases)
            flags = set(where[base].partition(":2,")[2]) ^ {rng.choice("FRST")}
            name = names.join(base, "".join(sorted(flags)))
            os.rename(maildir / "cur" / where[base], maildir / "cur" / name)
            where[base] = name
            told.append((base, before, time.monotonic(), "".join(sorted(flags))))
        ahead = began + done / RENAMES - time.monotonic()
        if ahead > 0.001:
            time.sleep(ahead)
    pipe.send(told)


def check(entries: list[Entry], life: Life, first: set[str], since: float, until: float) -> None:
    """What a snapshot taken between two times holds."""
    bases = Counter(entry.base for entry in entries)
    assert not [base for base, count in bases.items() if count > 1]
    for entry in entries:
        assert entry.flags in life.had(entry.base, since, until), entry.base
    for base in first | life.states.keys():
        states = life.had(base, since, until)
        was_there = base in first or life.states[base][0][0] < since
        if was_there and GONE not in states:
            assert base in bases, f"{base} is lost"
        if states == {GONE}:
            assert base not in bases, f"{base} was gone before"


def test_another_program_never_rests(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    maildir = yard.box(ANNA) / "Maildir"
    first = {f"{1_700_000_000 + number}.M{number}P1.mx1" for number in range(MESSAGES)}
    for base in first:
        (maildir / "cur" / f"{base}:2,").write_bytes(b"Subject: %b\n\nhello\n" % base.encode())
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    other = multiprocessing.get_context("fork").Process(target=live, args=(maildir, 7, theirs))
    other.start()
    taken: list[tuple[str, float, float]] = []
    try:
        for _ in range(SNAPSHOTS):
            since = time.monotonic()
            snapshot = yard.take()
            assert snapshot.commit.unread == ()
            taken.append((snapshot.name, since, time.monotonic()))
    finally:
        ours.send("stop")
        told = ours.recv()
        other.join()
    life = Life()
    for base in first:
        life.states[base].append((0.0, ""))
    for base, before, after, flags in told:
        if life.states[base]:
            # the former state may be seen until the rename is over
            life.states[base].append((before, flags))
            life.states[base].append((after, flags))
        else:
            life.states[base].append((before, flags))
    assert len(told) > 100
    for name, since, until in taken:
        check(yard.entries(ANNA, name), life, first, since, until)
    assert yard.verify().is_clean


def test_its_owner_never_rests(tmp_path: Path) -> None:
    """Acts of the owner meanwhile: each is one transaction, so flags and places fit together."""
    yard = Yard(tmp_path)
    for number in range(300):
        yard.deliver(ANNA, mails.plain(str(number)), letters="S")
    stop = threading.Event()
    failed: list[BaseException] = []
    with yard.owner() as owners:
        owners.create(ANNA, "Other", actor=ANNA)
        owners.sync(ANNA)
        first = {one.base for one in owners.of(ANNA).messages()}
        gone: set[str] = set()

        def act() -> None:
            rng = random.Random(3)
            owner = owners.of(ANNA)
            try:
                while not stop.is_set():
                    name, other = rng.choice((("INBOX", "Other"), ("Other", "INBOX")))
                    there = owner.messages(name)
                    few = rng.sample(there, min(len(there), 20))
                    uids = [one.uid for one in few]
                    kind = rng.random()
                    if kind < 0.4:
                        owner.flags(name, uids, ["\\Flagged"], ["\\Seen"], actor=ANNA)
                        owner.flags(name, uids, ["\\Seen"], ["\\Flagged"], actor=ANNA)
                    elif kind < 0.9:
                        owner.move(name, uids, other, actor=ANNA)
                    elif few and len(gone) < 100:
                        gone.add(few[0].base)
                        owner.expunge(name, uids[:1], actor=ANNA)
            except BaseException as error:
                failed.append(error)
                raise

        worker = threading.Thread(target=act)
        worker.start()
        try:
            for _ in range(SNAPSHOTS):
                before = set(gone)
                name = yard.take().name
                bases = Counter(one.base for one in yard.entries(ANNA, name))
                assert not [base for base, count in bases.items() if count > 1]
                assert first - gone <= bases.keys() <= first - (before - gone)
                states = {one.flags for one in yard.entries(ANNA, name)}
                assert states <= {"S", "F", "FS", ""}
        finally:
            stop.set()
            worker.join()
    assert failed == []


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [(0.0, 0.5, {""}), (0.5, 1.5, {"", "S"}), (1.6, 1.9, {"S"}), (2.5, 3.0, {GONE})],
)
def test_what_it_had(since: float, until: float, expected: set[str]) -> None:
    life = Life()
    life.states["a"] = [(0.0, ""), (1.0, "S"), (2.0, GONE)]
    assert life.had("a", since, until) == expected
