#!/usr/bin/env python3
"""A long queue: how soon it is there after a start, what memory it takes, how it is looked at.

A site whose log has so many messages waiting, each for a recipient of its own, is served; the
clock runs from the start of the process until the queue is loaded. Then the command line asks
for it, holds all of it and lets it go. Nothing is sent: nothing is due.
"""

import argparse
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

# In the place of this folder: the tests have a server.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

# ruff: noqa: E402
from mtad import control
from mtad.where import Places
from tests.server import Server, until
from tracing import events, ids, sending
from tracing.log import Applied, Recorder

DOMAINS = 2_000
REPLIES = 50
HOURS = 3_600_000_000


def fill(places: Places, count: int) -> None:
    """Record messages that were put off a while ago."""
    recorder = Recorder(places.log)
    mint = ids.Mint(2)
    batch = []
    for number in range(count):
        batch.append(Applied("mta-1", number + 1, 0, list(message(mint, number))))
        if len(batch) == 500:
            recorder.apply(batch)
            batch = []
    recorder.apply(batch)
    recorder.checkpoint()
    recorder.close()


def message(mint: ids.Mint, number: int) -> Iterator[events.Event]:
    """One message for one recipient, tried a few times."""
    m, now = mint.new(), time.time_ns() // 1000
    to = f"someone.{number}@there{number % DOMAINS}.test"
    sender = f"sender{number % 500}@bench.test"
    yield events.SmtpMail(at=now, trace=m, addr=sender, cn=mint.new(), helo="x", ip="127.0.0.1")
    yield events.SmtpAccept(
        at=now,
        trace=m,
        addr=sender,
        size=20_000,
        sha256="ab" * 32,
        count=1,
        recipients=(events.Recipient(1, to, to),),
        message_id=f"<{number}@bench.test>",
        subject=f"Newsletter {number}",
    )
    yield sending.QueueAdd(at=now, trace=m, n=1, addr=to, body="8BITMIME", notify="FAILURE")
    yield sending.OutDeferred(
        at=now,
        trace=m,
        n=1,
        addr=to,
        attempt=3,
        stage="rcpt",
        host=f"mx{number % REPLIES}.there.test",
        code=450,
        enh="4.2.2",
        reply=f"450 4.2.2 <{to}>: over quota, rule {number % REPLIES}",
        next_try=now + HOURS * (2 + number % 50),
    )


def memory(pid: int) -> float:
    """Megabytes of a process: resident, and swapped out."""
    text = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in text.splitlines())
    return sum(int(fields[name].split()[0]) for name in ("VmRSS", "VmSwap")) / 1024


def role(server: Server) -> int:
    """The process that runs the queue: who answers on its socket."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(server.places.socket("mta")))
        return control.peer(link)[0]


def start(server: Server, count: int) -> dict[str, float]:
    """Start, and wait until the queue is there."""
    began = time.perf_counter()
    server.start()
    up = time.perf_counter() - began

    def loaded() -> bool:
        queue = control.ask(server.places.socket("mta"), "status")["queue"]
        assert not queue["loaded"] or queue["recipients"] == count, queue
        return bool(queue["loaded"])

    until(loaded, 120, "the queue to be loaded")
    took = time.perf_counter() - began
    return {"up_s": up, "loaded_s": took, "mta_mb": memory(role(server))}


def timed(server: Server, *words: str) -> float:
    """Seconds that a command takes."""
    began = time.perf_counter()
    server.mtad("queue", *words)
    return time.perf_counter() - began


def main() -> None:
    """Fill, start, ask, act."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "site") as server:
        server.start()
        empty = memory(role(server))
        server.stop()
        fill(server.places, options.messages)
        runs = []
        for _ in range(options.repeats):
            runs.append(start(server, options.messages))
            server.stop()
        found = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        start(server, options.messages)
        found["empty_mta_mb"] = empty
        found["list_s"] = timed(server, "list")
        found["list_one_domain_s"] = timed(server, "list", "to:@there7.test")
        found["by_destination_s"] = timed(server, "list", "--by", "destination", "--json")
        found["hold_all_s"] = timed(server, "hold", "--all", "--yes")
        found["release_one_domain_s"] = timed(server, "release", "to:@there7.test", "--yes")
        found["mta_mb_after"] = memory(role(server))
        server.stop()
    if options.json:
        print(json.dumps({"messages": options.messages, **found}))
        return
    print(f"{options.messages:,} messages in the queue, median of {options.repeats} starts")
    for name, value in found.items():
        print(f"{name:24}{value:10.2f}")


if __name__ == "__main__":
    main()
