"""Fill a log with events like a server's, then time what people ask of it.

    python benchmarks/log.py DIRECTORY [--events 1000000] [--batch 75] [--keep]

Everything goes through the recorder as frames would; every question is asked of the log as
the product asks it, inside this process and as ``mtad trace`` in a process of its own.
"""

import argparse
import cProfile
import os
import pstats
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tracing import events, ids, search
from tracing.log import Applied, Recorder
from tracing.queries import Log

FIRST_US = 1_795_000_000_000_000
_WORDS = (
    "отчёт счёт договор заявка встреча оплата заказ график invoice report meeting order figures "
    "draft agenda update release travel contract budget question answer reminder photos summer "
    "notes plan supply delivery sample offer price list stock review"
)
WORDS = _WORDS.split()
HOSTS = [f"mx{i}.sender{i % 900}.example.net" for i in range(3000)]


class Traffic:
    """Endless plausible mail, the same for the same seed."""

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
            self.at += self.random.randrange(1_000, 400_000)
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


def fill(directory: Path, wanted: int, batch: int) -> tuple[int, int, float, float]:
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


def timed(work: Callable[[], object], times: int) -> str:
    """Median and worst of several runs, in milliseconds."""
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begin) * 1000)
    return f"{statistics.median(taken):8.2f} {max(taken):8.2f}"


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


def ask(directory: Path, times: int) -> None:
    """Time the questions inside the process."""
    log = Log(directory)
    newest = log.ids(search.EVERYTHING, 1)[0]
    now = ids.time_us(newest)
    print(f"{'inside the process, ms':<50}{'median':>8} {'worst':>8}  found")
    for text in QUESTIONS:
        query = search.parse(text, now)

        def page(query: search.Query = query) -> None:
            log.rows(log.ids(query, 50))

        print(f"{'50 rows: ' + (text or 'all'):<50}{timed(page, times)}  {log.count(query)}")
    for text in ("", "to:user7", "subj:invoice"):
        query = search.parse(text, now)

        def first(query: search.Query = query) -> None:
            next(iter(log.id_chunks(query)))

        def every(query: search.Query = query) -> None:
            for _ in log.id_chunks(query):
                pass

        print(f"{'first 200 ids: ' + (text or 'all'):<50}{timed(first, times)}")
        print(f"{'every id: ' + (text or 'all'):<50}{timed(every, 5)}")
    print(f"{'timeline by id':<50}{timed(lambda: log.timeline(newest), times)}")
    hour = 3_600_000_000
    print(f"{'overview of the last hour':<50}{timed(lambda: log.overview(now - hour, now), 5)}")
    log.close()


def ask_as_process(directory: Path, times: int) -> None:
    """Time ``mtad trace`` as a process that reads the files."""
    settings = directory.parent / "mtad.toml"
    settings.write_text(f'hostname = "mx.example.org"\ndata_dir = "{directory.parent}"\n')
    command = [sys.executable, "-m", "mtad", "trace", "--config", str(settings), "to:user7"]

    def run() -> None:
        subprocess.run(command, check=True, capture_output=True, env=os.environ)

    run()
    print(f"{'mtad trace to:user7, a process, files':<50}{timed(run, times)}")


def main() -> None:
    """Run it."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("directory", type=Path)
    options.add_argument("--events", type=int, default=1_000_000)
    options.add_argument("--batch", type=int, default=75, help="messages in a transaction")
    options.add_argument("--keep", action="store_true", help="use the log that is there")
    options.add_argument("--profile", action="store_true")
    given = options.parse_args()
    directory = given.directory / "log"
    if not given.keep:
        shutil.rmtree(directory, ignore_errors=True)
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
    ask(directory, 15)
    ask_as_process(directory, 7)


if __name__ == "__main__":
    main()
