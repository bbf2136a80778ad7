"""Follow a running log role from several processes: what is lost, and how late events are.

    python benchmarks/tail.py [--rate 5000] [--seconds 20] [--processes 3]

A journal is written at a steady rate by this process, a log role in another one records it, and
each ``mtad tail --format json`` says every event when it hears of it.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path

from log import be_log_role

from mtad import where
from mtad.journal.frame import Meta, raw
from mtad.journal.writer import Journal
from tracing import events

OF_MAIL = 4
"""Events of one message."""


class Reader:
    """One ``mtad tail``, and when each piece of what it said came."""

    def __init__(self, settings: Path) -> None:
        words = [sys.executable, "-m", "mtad", "tail", "--format", "json"]
        self.process = subprocess.Popen(
            [*words, "--config", str(settings)], stdout=subprocess.PIPE, bufsize=0
        )
        self.pieces: list[tuple[float, bytes]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        while piece := os.read(self.process.stdout.fileno(), 1 << 20):
            self.pieces.append((time.time(), piece))

    def lines(self) -> list[tuple[float, dict[str, object]]]:
        """Each event with when its line was whole."""
        found, rest = [], b""
        for came, piece in self.pieces:
            *whole, rest = (rest + piece).split(b"\n")
            found += [(came, json.loads(line)) for line in whole]
        return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=5000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=3)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "mtad.toml"
        settings.write_text('hostname = "mx.example.org"\n')
        context = multiprocessing.get_context("spawn")
        ready = context.Event()
        role = context.Process(target=be_log_role, args=(settings, ready), daemon=True)
        role.start()
        try:
            if not ready.wait(60):
                raise SystemExit("the log role does not start")
            _measure(settings, wanted.rate, wanted.seconds, wanted.processes)
        finally:
            role.terminate()
            role.join()


def _measure(settings: Path, rate: int, seconds: int, processes: int) -> None:
    places = where.places(settings)
    journal = Journal.open(places.journal / "mta-0", node=1, doorbell=places.doorbell)
    readers = [Reader(settings) for _ in range(processes)]
    while not all(reader.pieces for reader in readers):
        _write(journal)
        time.sleep(0.05)
    began, sent = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        while sent < passed * rate:
            _write(journal)
            sent += OF_MAIL
        time.sleep(0.002)
    time.sleep(2)
    for reader in readers:
        reader.process.terminate()
        reader.process.wait()
        lines = reader.lines()
        seqs = [one["seq"] for _, one in lines]
        lost = seqs[-1] - seqs[0] + 1 - len(set(seqs))  # type: ignore[operator]
        late = sorted(
            came - datetime.fromisoformat(str(one["at"])).timestamp()
            for came, one in lines[len(lines) // 10 :]
        )
        print(
            f"{len(lines)} events, {sent / seconds:.0f} a second: {lost} lost, in order: "
            f"{seqs == sorted(seqs)}; late by {statistics.median(late) * 1000:.1f} ms (median), "  # type: ignore[type-var]
            f"{late[len(late) * 99 // 100] * 1000:.1f} ms (99th percentile)"
        )
    asyncio.run(journal.close())


def _write(journal: Journal) -> None:
    """One message in one frame, as a session makes it durable."""
    at, m = time.time_ns() // 1000, journal.mint.new()
    sender, box = "sender@example.net", "alice@example.org"
    told = (
        events.SmtpMail(at=at, trace=m, addr=sender, ip="192.0.2.7", cn=1, helo="mx.example.net"),
        events.SmtpRcpt(at=at, trace=m, n=1, addr=box, code=250),
        events.SmtpAccept(
            at=at,
            trace=m,
            addr=sender,
            size=2000,
            sha256="ab" * 32,
            count=1,
            recipients=(events.Recipient(1, box, box),),
            subject="Quarterly figures",
        ),
        events.StoreDelivered(
            at=at, trace=m, n=1, addr=box, st=m + 1, mailbox="INBOX", base="b", size=2000
        ),
    )
    journal.commit_now(Meta(events=tuple(map(raw, told))))


if __name__ == "__main__":
    main()
