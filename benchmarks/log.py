"""Fill a log with events like a server's, then time what people ask of it.

    python benchmarks/log.py [DIRECTORY] [--events 1000000] [--batch 100] [--bare 0] [--keep]

Everything goes through the recorder as frames would; every question is asked of the log as
the product asks it: inside this process, and as ``mtad trace`` in a process of its own that
reads the files or asks a running log role.
"""

import argparse
import asyncio
import contextlib
import cProfile
import multiprocessing
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

from bare import Twin
from traffic import Traffic

from mtad import config, control, where
from mtad.materialise import role
from mtad.signals import Signals
from mtad.where import Kept
from tracing import answers, ids, search
from tracing.log import Applied, Recorder
from tracing.queries import Log

RUNS = 100
"""Runs of one question, fewer where they would take longer than ``SECONDS``."""
SECONDS = 1.0
PROCESSES = 25


@dataclass
class Filled:
    """How a log was filled; seconds, of which ``bare_*`` are those of sqlite3 alone."""

    events: int = 0
    messages: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    compared: int = 0
    own_wall: float = 0.0
    own_cpu: float = 0.0
    bare_wall: float = 0.0
    bare_cpu: float = 0.0

    def report(self) -> None:
        """Say it."""
        print(
            f"{self.events} events of {self.messages} messages: {self.wall:.1f} s, "
            f"{self.events / self.wall:.0f} events/s, {self.events / self.cpu:.0f} a second of "
            f"processor; per message {self.wall / self.messages * 1e6:.0f} us wall, "
            f"{self.cpu / self.messages * 1e6:.0f} us processor"
        )
        if self.compared:
            own, bare = self.compared / self.own_wall, self.compared / self.bare_wall
            print(
                f"the first {self.compared} beside sqlite3 alone: {own:.0f} and {bare:.0f} "
                f"events/s, ratio {own / bare:.2f}; of processor {self.bare_cpu / self.own_cpu:.2f}"
            )


def fill(directory: Kept, wanted: int, batch: int, compared: int = 0) -> Filled:
    """Record at least ``wanted`` events in transactions of ``batch``.

    The first ``compared`` are written by sqlite3 alone too, batch by batch in turns.
    """
    recorder = Recorder(directory)
    twin = Twin(recorder, directory.with_name("bare")) if compared else None
    source = Traffic().messages()
    done = Filled()
    seq = recorder.applied("mta-0")
    while done.events < wanted:
        frames: list[Applied] = []
        here = 0
        while here < batch:
            m, told = next(source)
            seq += 1
            frames.append(Applied("mta-0", seq, m, told))
            here += len(told)
        done.messages += len(frames)
        done.events += here
        begin, used = time.perf_counter(), time.process_time()
        recorder.apply(frames)
        taken, spent = time.perf_counter() - begin, time.process_time() - used
        done.wall += taken
        done.cpu += spent
        if twin is not None:
            twin.write()
            twin.listen()
            if done.events - here:  # the first batch made the file
                done.compared, done.own_wall = done.compared + here, done.own_wall + taken
                done.own_cpu += spent
            if done.events >= compared:
                done.bare_wall, done.bare_cpu = twin.wall, twin.cpu
                twin.close()
                twin = None
    recorder.analyze()
    recorder.checkpoint()
    recorder.close()
    return done


QUESTIONS = (
    "",
    "to:user7",
    "to:user7@company1.example.org",
    "to:@company1.example.org",
    "to:nobody17",
    "from:person77@sender77.example.net",
    "from:@sender77.example.net",
    "from:bounce-0000",
    "from:lists7",
    "subj:отчет",
    "subj:invoice budget",
    "ip:198.51.7.7",
    "ip:198.51.7.0/24",
    "state:delivered",
    "state:refused",
    "invoice",
    "person77",
    "to:user7 from:@sender77.example.net",
    "to:@company1.example.org subj:invoice since:1d",
    "!state:delivered",
)


def show(name: str, work: Callable[[], object], runs: int = RUNS, found: object = "") -> None:
    """Run it several times and print median and 99th percentile in milliseconds."""
    taken: list[float] = []
    while len(taken) < 5 or (len(taken) < runs and sum(taken) < SECONDS * 1000):
        begin = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begin) * 1000)
    p99 = sorted(taken)[min(len(taken) - 1, len(taken) * 99 // 100)]
    print(f"{name:<50}{statistics.median(taken):8.2f} {p99:8.2f} {found:>8}", flush=True)


def ask(directory: Kept) -> None:
    """Time the questions inside the process."""
    with contextlib.closing(Log(directory)) as log:
        newest = log.ids(search.EVERYTHING, 1)[0]
        now = ids.time_us(newest)
        print(f"{'inside the process, ms':<50}{'p50':>8} {'p99':>8} {'found':>8}")
        for text in QUESTIONS:
            query = search.parse(text, now)

            def page(query: search.Query = query) -> None:
                log.rows(log.ids(query, 50))

            show(f"50 rows: {text or 'all'}", page, found=len(log.ids(query, 1_000_000)))
        for text in ("", "to:user7", "subj:invoice"):
            query = search.parse(text, now)

            def first(query: search.Query = query) -> None:
                next(iter(log.id_chunks(query)))

            def every(query: search.Query = query) -> None:
                for _ in log.id_chunks(query):
                    pass

            show(f"first 200 ids: {text or 'all'}", first)
            show(f"every id: {text or 'all'}", every)
        show("timeline by id", lambda: log.timeline(newest))
        hour = 3_600_000_000
        show("overview of 24 h", lambda: log.overview(now - 24 * hour, now, 12, now - hour))
    for text in ("to:user7", "from:bounce-0000", "person", "!state:delivered"):

        def answer(text: str = text) -> dict[str, object]:
            return answers.answer(directory, text)

        show(f"answer to mtad trace {text}", answer, found=answer()["left_out"])


def ask_as_process(settings: Path) -> None:
    """Time ``mtad trace`` as a process that reads the files, then as one that asks the role."""
    command = [sys.executable, "-m", "mtad", "trace", "--config", str(settings), "to:user7"]

    def run() -> None:
        subprocess.run(command, check=True, capture_output=True)

    show("mtad trace to:user7, a process, files", run, PROCESSES)
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=be_log_role, args=(settings, ready), daemon=True)
    process.start()
    try:
        if not ready.wait(30):
            raise SystemExit("the log role does not start")
        socket = where.places(settings).socket("log")
        show("trace to:user7, socket", lambda: control.ask(socket, "trace", query="to:user7"))
        show("mtad trace to:user7, a process, socket", run, PROCESSES)
    finally:
        process.terminate()
        process.join()


def be_log_role(settings: Path, ready: Event) -> None:
    """The log role as ``mtad serve`` runs it."""
    asyncio.run(role.serve(config.load(settings), Signals(ready=ready.set)))


def measure(folder: Path, given: argparse.Namespace) -> None:
    """Fill and ask the log below a folder."""
    directory = folder / "log"
    if not given.keep:
        profile = cProfile.Profile()
        if given.profile:
            profile.enable()
        done = fill(directory, given.events, given.batch, given.bare)
        profile.disable()
        done.report()
        octets = sum(file.stat().st_size for file in directory.glob("*.db"))
        print(f"{octets / done.events:.1f} octets an event")
        if given.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(30)
    ask(directory)
    settings = folder / "mtad.toml"
    settings.write_text('hostname = "mx.example.org"\ndata_dir = "."\n')
    ask_as_process(settings)


def main() -> None:
    """Run it."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("directory", type=Path, nargs="?", help="kept; else one that goes")
    options.add_argument("--events", type=int, default=200_000)
    options.add_argument("--batch", type=int, default=100, help="events in a transaction")
    options.add_argument(
        "--bare", type=int, default=0, help="events that sqlite3 alone writes too, to compare"
    )
    options.add_argument("--keep", action="store_true", help="use the log that is there")
    options.add_argument("--profile", action="store_true")
    given = options.parse_args()
    if given.directory is None:
        with tempfile.TemporaryDirectory(prefix="mtad-log-") as made:
            measure(Path(made), given)
        return
    there = (given.directory / "log").exists()
    if there != given.keep:
        options.error("there is a log; say --keep" if there else "--keep, but there is no log")
    measure(given.directory, given)


if __name__ == "__main__":
    main()
