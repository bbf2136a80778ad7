"""Seal a month, then time what people ask of it, before and after.

    python benchmarks/sealing.py [DIRECTORY] [--events 1000000]

The mail is that of ``traffic.py``. Sealing is timed alone, at the priority the daily job has;
the octets of an event are those of the whole file, with the rows of messages and recipients.
"""

import argparse
import contextlib
import os
import random
import resource
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from log import fill
from traffic import Traffic

from tracing import months, search
from tracing.archive import keeping, verify
from tracing.archive.seals import Seal
from tracing.log import Applied, Recorder
from tracing.queries import Log

TRACES = 2_000
NICE = 10


class Owner:
    """Lets a draft be the month, as the log role does between two writings."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.seconds = 0.0

    def _do(self, work: Callable[[Recorder], bool]) -> bool:
        with contextlib.closing(Recorder(self._directory)) as recorder:
            begin = time.perf_counter()
            done = work(recorder)
            self.seconds = time.perf_counter() - begin
        return done

    def replace(self, month: str, draft: Path, position: dict[str, bytes]) -> bool:
        """As a recorder does it."""
        return self._do(lambda recorder: recorder.replace(month, draft, position))

    def drop(self, month: str) -> bool:
        """As a recorder does it."""
        return self._do(lambda recorder: recorder.drop(month))

    def forget(self) -> None:
        """Nothing was read."""


def traces(directory: Path, every: list[int]) -> None:
    """Time the traces of messages taken at random; say p50 and p99 in milliseconds."""
    chosen = random.Random(1).sample(every, min(TRACES, len(every)))
    taken = []
    with contextlib.closing(Log(directory)) as log:
        for m in chosen[:50]:
            log.timeline(m)
        for m in chosen:
            begin = time.perf_counter()
            log.timeline(m)
            taken.append((time.perf_counter() - begin) * 1000)
    p99 = sorted(taken)[len(taken) * 99 // 100]
    print(f"a trace, warm: p50 {statistics.median(taken):.2f} ms, p99 {p99:.2f} ms", flush=True)


def shares(file: Path, events: int) -> None:
    """Say which tables and indexes take most, in octets an event."""
    with contextlib.closing(sqlite3.connect(file)) as link:
        try:
            rows = link.execute(
                "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 14"
            ).fetchall()
        except sqlite3.OperationalError:
            return  # this SQLite was built without dbstat
    print("  " + ", ".join(f"{name} {size / events:.1f}" for name, size in rows))


def main() -> None:
    """Do it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path)
    parser.add_argument("--events", type=int, default=1_000_000)
    given = parser.parse_args()
    directory = given.directory or Path(tempfile.mkdtemp(prefix="sealing-"))
    done = fill(directory, given.events, 1_000)
    month = months.listing(directory)[0]
    later = Traffic()
    later.at = months.times(month)[1] + 1
    with contextlib.closing(Recorder(directory)) as recorder:
        m, told = next(later.messages())
        recorder.apply([Applied("mta-0", recorder.applied("mta-0") + 1, m, told)])
    print(f"load {os.getloadavg()[0]:.1f}, {done.events} events of {done.messages} messages")
    with contextlib.closing(Log(directory)) as log:
        every = [one for one in log.ids(search.EVERYTHING, done.messages) if one < m]
    hot = months.path(directory, month)
    print(f"hot: {hot.stat().st_size / done.events:.1f} octets an event")
    shares(hot, done.events)
    traces(directory, every)
    os.nice(NICE)
    owner = Owner(directory)
    heard: list[Seal] = []
    work = keeping.Keeper(
        directory, owner, lambda seal, head, size: heard.append(seal), lambda: later.at
    )
    begin, used = time.perf_counter(), time.process_time()
    work.seal(month)
    wall, cpu = time.perf_counter() - begin, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"sealing: {wall:.1f} s, {cpu:.1f} s of processor, {done.events / wall:.0f} events/s; the "
        f"writer waited {owner.seconds * 1000:.1f} ms; peak of memory {peak:.0f} MiB"
    )
    file = months.path(directory, month)
    print(f"sealed: {file.stat().st_size / done.events:.1f} octets an event")
    shares(file, done.events)
    traces(directory, every)
    begin = time.perf_counter()
    wrong = list(verify.findings(directory, [month]))
    print(f"verified in {time.perf_counter() - begin:.1f} s: {wrong or 'as it was sealed'}")
    begin = time.perf_counter()
    owner.drop(month)
    print(
        f"dropped in {time.perf_counter() - begin:.2f} s; the writer waited "
        f"{owner.seconds * 1000:.1f} ms"
    )


if __name__ == "__main__":
    main()
