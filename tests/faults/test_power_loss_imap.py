"""The power goes while a client changes its mail through IMAP: what it was told holds.

As in ``test_power_loss``, but with all there is between a client and the disk: a session, the
shelf, acts in threads, files that follow, boxes that rest. One client says one command after
the other, so that at any moment its box is as after the last answer, or as after the next.
"""

import asyncio
import os
import random
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from mtad.journal import writer
from mtad.journal.writer import Journal
from mtad.materialise import recycle
from mtad.store import cache_filling, index
from mtad.store.recovery import recover
from mtad.store.replay import Replay
from mtad.where import Places
from tests import imap
from tests.faults.power import Tape, cut
from tests.faults.test_power_loss import balanced, living
from tests.imap import ALICE, Client, Running, serving
from tests.materialise_bench import Bench
from tests.submission import house

SOAK = bool(os.environ.get("MTAD_SOAK"))
RUNS, CUTS, STEPS = (10, 20, 300) if SOAK else (2, 4, 80)
BOXES = ("INBOX", "Work", "Done")
SEGMENT = 2**13

State = Mapping[str, tuple[str, frozenset[str]]]
"""The mailbox and the flags of each message, by its token."""


@dataclass
class Told:
    """What the client was told: UIDs, and the highest of each number, by mailbox and validity."""

    uids: dict[tuple[str, str, int], str] = field(default_factory=dict)
    uidnext: dict[tuple[str, str], int] = field(default_factory=dict)
    modseq: dict[tuple[str, str], int] = field(default_factory=dict)

    def copy(self) -> "Told":
        return Told(dict(self.uids), dict(self.uidnext), dict(self.modseq))


def one(what: str, said: str) -> str:
    """What the server said; its other words are shown where it did not."""
    found = re.search(what, said)
    assert found is not None, (what, said[:500])
    return found[1]


async def look(client: Client, told: Told) -> State:
    """All that is there, each message once; no number ever meant anything else."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for name in BOXES:
        said = " ".join(await client.ok(f"SELECT {name}"))
        validity, uidnext, modseq = (
            one(rf"\[{what} (\d+)", said) for what in ("UIDVALIDITY", "UIDNEXT", "HIGHESTMODSEQ")
        )
        place = (name, validity)
        assert int(uidnext) >= told.uidnext.get(place, 1)
        assert int(modseq) >= told.modseq.get(place, 1)
        told.uidnext[place], told.modseq[place] = int(uidnext), int(modseq)
        said_of_all = await client.ok("UID FETCH 1:* (FLAGS BODY.PEEK[])")
        for line in (line for line in said_of_all if " FETCH (" in line):
            flags, uid, token = (
                one(what, line) for what in (r"FLAGS \(([^)]*)\)", r"UID (\d+)", r"Subject: (\S+)")
            )
            assert token not in found, f"{token} is there twice"
            assert line.count("x") >= int(token.rpartition("-")[2]), "it is not whole"
            found[token] = name, frozenset(flags.split()) - {"\\Recent"}
            known = told.uids.setdefault((*place, int(uid)), token)
            assert known == token, f"UID {uid} of {name} was {known}'s and is {token}'s"
            assert int(uid) < int(uidnext)
    return found


class Work:
    """A client's commands, and what reached the disk meanwhile."""

    def __init__(self, tape: Tape, rng: random.Random, running: Running, worker: Bench) -> None:
        self.tape, self.rng, self.running, self.worker = tape, rng, running, worker
        self.now: dict[str, tuple[str, frozenset[str]]] = {}
        self.steps: list[tuple[int, int, State]] = [(0, len(tape), {})]
        """Where on the tape a command began, where its answer had come, and what it left."""
        self.told = Told()
        self.tellings: list[tuple[int, Told]] = []

    async def run(self, client: Client) -> None:
        for name in BOXES[1:]:
            await client.ok(f"CREATE {name}")
        self.steps = [(len(self.tape), len(self.tape), {})]
        for number in range(STEPS):
            began = len(self.tape)
            after = await self.act(client, number)
            self.now = after
            self.steps.append((began, len(self.tape), dict(after)))
            if number % 10 == 9:
                assert await look(client, self.told) == self.now
                self.tellings.append((len(self.tape), self.told.copy()))
                assert await asyncio.to_thread(self.worker.worker.turn)
            if self.rng.random() < 0.1:
                async with self.running.box() as box:
                    await asyncio.to_thread(box.rest, time.monotonic() + 1)

    async def act(self, client: Client, number: int) -> dict[str, tuple[str, frozenset[str]]]:
        """One command; what is there after it."""
        name = self.rng.choice(BOXES)
        here = [token for token, (mailbox, _) in self.now.items() if mailbox == name]
        after = dict(self.now)
        if len(here) < 3 or self.rng.random() < 0.2:
            size = self.rng.choice((10, 2_000, 300_000))
            token = f"t{number}-{size}"
            await client.ok(f"APPEND {name} (\\Seen) {{}}", f"Subject: {token}\r\n\r\n{'x' * size}")
            after[token] = name, frozenset({"\\Seen"})
            return after
        chosen = self.rng.sample(here, self.rng.randint(1, 3))
        uids = await self.numbers(client, name, chosen)
        what = self.rng.choice(("store", "store", "replace", "move", "expunge"))
        if what in ("store", "replace"):
            flag = self.rng.choice(("\\Flagged", "\\Answered", "todo"))
            sign = "" if what == "replace" else self.rng.choice("+-")
            for token in chosen:
                had = after[token][1]
                made = {"+": had | {flag}, "-": had - {flag}, "": frozenset({flag})}[sign]
                after[token] = name, made
            await client.ok(f"UID STORE {uids} {sign}FLAGS ({flag})")
        elif what == "move":
            target = self.rng.choice([one for one in BOXES if one != name])
            after |= {token: (target, after[token][1]) for token in chosen}
            await client.ok(f"UID MOVE {uids} {target}")
        else:
            marked = {t: (name, after[t][1] | {"\\Deleted"}) for t in chosen}
            began = len(self.tape)
            await client.ok(f"UID STORE {uids} +FLAGS (\\Deleted)")
            self.steps.append((began, len(self.tape), {**after, **marked}))
            await client.ok(f"UID EXPUNGE {uids}")
            for token in chosen:
                del after[token]
        return after

    async def numbers(self, client: Client, name: str, tokens: list[str]) -> str:
        await client.ok(f"SELECT {name}")
        found = []
        for line in await client.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])"):
            if one(r"Subject: (\S+)", line) in tokens:
                found.append(one(r"UID (\d+)", line))
        assert len(found) == len(tokens)
        return ",".join(found)

    def expected(self, count: int) -> list[State]:
        """What may be there after so many operations: all that was answered, and what was begun."""
        done = max(at for at, (_, answered, _) in enumerate(self.steps) if answered <= count)
        later = [step for step in self.steps[done + 1 : done + 2] if step[0] <= count]
        return [self.steps[done][2], *(state for _, _, state in later)]

    def seen(self, count: int) -> Told:
        """What the client had been told by then."""
        known = [told for place, told in self.tellings if place <= count]
        return known[-1].copy() if known else Told()


@asynccontextmanager
async def life(folder: Path) -> AsyncIterator[tuple[Running, Bench]]:
    """The log role and the access role, started in the order of ``mtad serve``."""
    bench = Log(folder)
    try:
        replay = Replay(Places(folder).journal)
        _, problems = await asyncio.to_thread(recover, Places(folder), imap.HOST, replay)
        assert not problems
        replay.close()
        async with serving(folder, boxes=(ALICE,)) as running:
            yield running, bench
        assert bench.worker.turn()
    finally:
        bench.worker.close()


class Log(Bench):
    """The log role alone."""

    def __init__(self, folder: Path) -> None:
        self.places = Places(folder)
        self.keep_seconds = 0
        self.rung = []
        self.worker = self.new_worker()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments are used again soon; what workers would write is written here."""
    monkeypatch.setattr(recycle, "LOOK_SECONDS", 0)
    monkeypatch.setattr(writer, "FIRST_BYTES", SEGMENT)
    monkeypatch.setattr(cache_filling, "FEW", 10_000)
    opened = partial(Journal.open, segment_bytes=SEGMENT, cap_bytes=2**23)

    class Small:
        """Journals of small segments."""

        open = staticmethod(opened)

    monkeypatch.setattr(imap, "Journal", Small)


def given(folder: Path) -> None:
    """What was made long before."""
    folder.mkdir()
    for name, octets in house().files.items():
        (folder / name).write_bytes(octets)


async def survives(work: Work, count: int, folder: Path) -> None:
    """Cut after ``count`` operations and start again, cut that and start once more."""
    tape, told = work.tape, work.seen(count)
    expected = work.expected(count)
    for number, boot in enumerate(("the second life", "the third life")):
        target = folder / f"life{number}"
        target.mkdir(parents=True)
        cut(tape, count, target, work.rng)
        with living(target, boot) as tape:
            async with life(target) as (running, _), running.client() as client:
                for name in BOXES[1:]:
                    await client.ok(f"CREATE {name}") if not await there(client, name) else None
                state = await look(client, told)
                assert state in expected
                answered = len(tape)
        balanced(target)
        count = work.rng.randint(tape.begin, len(tape))
        told = told.copy() if count >= answered else work.seen(0)


async def there(client: Client, name: str) -> bool:
    return bool(await client.ok(f'LIST "" {name}'))


@pytest.mark.timeout(1800 if SOAK else 300)
@pytest.mark.parametrize("seed", range(RUNS))
async def test_what_a_client_was_told_holds(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(tmp_path / "site")
    with monkeypatch.context() as patch:
        patch.setattr(index, "boot_id", lambda: "the life before")
        tape = Tape(tmp_path / "site", patch)
        async with life(tmp_path / "site") as (running, log), running.client() as client:
            work = Work(tape, random.Random(seed), running, log)
            await work.run(client)
    for number in range(CUTS):
        count = work.rng.randint(work.steps[0][0], len(tape))
        await survives(work, count, tmp_path / f"cut{number}")
