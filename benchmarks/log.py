"""Fill a log with events like a server's, then time what people ask of it.

    python benchmarks/log.py [DIRECTORY] [--events 1000000] [--batch 75] [--keep]

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
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

from mtad import config, control, where
from mtad.materialise import role
from mtad.signals import Signals
from mtad.where import Kept
from tracing import answers, events, ids, search
from tracing.log import Applied, Recorder
from tracing.queries import Log

RUNS = 100
"""Runs of one question, fewer where they would take longer than ``SECONDS``."""
SECONDS = 1.0
PROCESSES = 25

FIRST_US = 1_795_000_000_000_000
_WORDS = (
    "отчёт счёт договор заявка встреча оплата заказ график invoice report meeting order figures "
    "draft agenda update release travel contract budget question answer reminder photos summer "
    "notes plan supply delivery sample offer price list stock review"
)
WORDS = _WORDS.split()
HOSTS = [f"mx{i}.sender{i % 900}.example.net" for i in range(3000)]


class Traffic:
    """Endless plausible mail, the same for the same seed; 135,000 messages a day."""

    def __init__(self, seed: int = 7) -> None:
        self.random = random.Random(seed)
        self.at = FIRST_US
        self._mint = ids.Mint(1, 0, lambda: self.at * 1000)
        self.boxes = [f"user{i}@company{i % 3}.example.org" for i in range(300)]
        self.senders = [f"person{i}@sender{i % 900}.example.net" for i in range(20_000)]

    def messages(self) -> Iterator[tuple[int, list[events.Event]]]:
        """The last id and the events of one message after the other."""
        number = 0
        while True:
            number += 1
            self.at += self.random.randrange(1_000, 1_275_000)
            yield self._one(number)

    def _one(self, number: int) -> tuple[int, list[events.Event]]:
        pick, new, at = self.random, self._mint.new, self.at
        cn, m = new(), new()
        shown = ids.text(m)
        ip = f"198.51.{pick.randrange(100)}.{pick.randrange(250)}"
        host = pick.choice(HOSTS)
        sender = pick.choice(self.senders)
        if pick.random() < 0.25:
            sender = f"bounce-{number:08x}@lists{number % 40}.example.com"
        box = self.boxes[int(pick.random() ** 2 * len(self.boxes))]
        told: list[events.Event] = [
            events.ConnOpen(at=at, trace=cn, ip=ip, listener="127.0.0.1:25"),
            events.SmtpEhlo(at=at, trace=cn, ip=ip, host=host, actor="remote", helo=host),
            events.SmtpMail(
                at=at, trace=m, addr=sender, ip=ip, host=host, actor="remote", cn=cn, helo=host
            ),
        ]
        if pick.random() < 0.08:
            told += [
                events.SmtpReject(
                    at=at,
                    trace=m,
                    addr=f"nobody{number % 500}@company0.example.org",
                    ip=ip,
                    code=550,
                    enh="5.1.1",
                    reply=f"550 5.1.1 <nobody{number % 500}@company0.example.org> no such box",
                    stage="rcpt",
                    check="box",
                ),
                events.SmtpAbort(at=at, trace=m, addr=sender, ip=ip, stage="rcpt", why="quit"),
                events.ConnClose(at=at, trace=cn, ip=ip, why="quit", commands=4),
            ]
            return m, told
        st = new()
        subject = " ".join(pick.choices(WORDS, k=4)) + f" {number}"
        told += [
            events.SmtpRcpt(
                at=at, trace=m, n=1, addr=box, ip=ip, code=250, enh="2.1.5", actor="remote"
            ),
            events.SmtpAccept(
                at=at,
                trace=m,
                addr=sender,
                ip=ip,
                host=host,
                code=250,
                enh="2.0.0",
                reply=f"250 2.0.0 queued as {shown}",
                actor="remote",
                size=2000 + number % 9000,
                sha256=f"{pick.getrandbits(256):064x}",
                count=1,
                recipients=(events.Recipient(1, box, box),),
                message_id=f"<{number}.{pick.getrandbits(40):x}@{host}>",
                subject=subject,
                header_from=f"Someone <{sender}>",
                ms=1.25,
            ),
            events.StoreDelivered(
                at=at,
                trace=m,
                n=1,
                addr=box,
                st=st,
                mailbox="INBOX",
                base=f"{at // 1_000_000}.{ids.text(st)}.mx,S=2000,W=2050",
                size=2000,
            ),
            events.ConnClose(at=at, trace=cn, ip=ip, why="quit", commands=5, messages=1),
        ]
        if pick.random() < 0.5:
            told.append(
                events.BoxFlags(
                    at=at,
                    trace=m,
                    addr=box,
                    actor=f"user:{box}",
                    mailbox="INBOX",
                    items=(events.Item(st, m, number),),
                    added=("\\Seen",),
                )
            )
        return m, told


def fill(directory: Kept, wanted: int, batch: int) -> tuple[int, int, float, float]:
    """Record at least ``wanted`` events: events, messages, wall and processor seconds."""
    recorder = Recorder(directory)
    source = Traffic().messages()
    count = messages = 0
    wall = cpu = 0.0
    seq = recorder.applied("mta-0")
    while count < wanted:
        frames = []
        for _ in range(batch):
            m, told = next(source)
            seq += 1
            frames.append(Applied("mta-0", seq, m, told))
            count += len(told)
        messages += batch
        begin, used = time.perf_counter(), time.process_time()
        recorder.apply(frames)
        wall += time.perf_counter() - begin
        cpu += time.process_time() - used
    recorder.analyze()
    recorder.checkpoint()
    recorder.close()
    return count, messages, wall, cpu


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
        count, messages, wall, cpu = fill(directory, given.events, given.batch)
        profile.disable()
        octets = sum(file.stat().st_size for file in directory.glob("*.db"))
        print(
            f"{count} events of {messages} messages in batches of {given.batch}: "
            f"{wall:.1f} s, {count / wall:.0f} events/s; per message "
            f"{wall / messages * 1e6:.0f} us wall, "
            f"{cpu / messages * 1e6:.0f} us processor; {octets / count:.0f} octets/event"
        )
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
    options.add_argument("--batch", type=int, default=75, help="messages in a transaction")
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
