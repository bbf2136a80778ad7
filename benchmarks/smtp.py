#!/usr/bin/env python3
"""Mail accepted and delivered per second, from outside, by Postfix' smtp-source.

``serve`` makes a site with the boxes that smtp-source writes to (0u to 10u and u at bench.test),
serves it, and prints where: give that to a side-by-side run against other servers. With
``--relay HOST:PORT`` it passes everything on to there instead (smtp-sink, say). ``run`` makes
its own load and prints medians: messages accepted and delivered per second, CPU per message.
Needs smtp-source (Debian package postfix). Everything stays on 127.0.0.1.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.server import Server, children

DOMAIN = "bench.test"
BOXES = [f"{i}u" for i in range(11)] + ["u"]


def site(folder: Path, relay: str = "") -> Server:
    """A served site with the boxes of the load, or one that passes it on."""
    if relay:
        server = Server(folder)
        server.mtad("domain", "add", DOMAIN, "--relay")
        server.mtad("transport", "set", DOMAIN, "relay", relay)
        server.start()
        return server
    server = Server(folder, f"u@{DOMAIN}")
    with server.changes() as changes:
        for name in BOXES[:-1]:
            changes.add_box(f"{name}@{DOMAIN}", "a password of the load")
    server.start()
    return server


def tree(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for child in children(pid):
        yield from tree(child)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process tree."""
    ticks = 0
    for one in tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def delivered(boxes: Path) -> int:
    """Messages in the boxes."""
    return sum(
        len(os.listdir(folder))
        for kind in ("new", "cur")
        for folder in boxes.glob(f"*/*/Maildir/{kind}")
    )


def one_run(
    server: Server, size: int, sessions: int, messages: int, rcpts: int
) -> dict[str, float]:
    """One load; figures from the first connection until the last file is there."""
    assert server.process is not None
    common = ["smtp-source", "-l", str(size), "-f", f"s@{DOMAIN}", "-M", "load.bench.test"]
    host = f"127.0.0.1:{server.made['smtp']}"
    parts = 1 if rcpts > 1 else min(sessions, 10)
    before, used = delivered(server.places.boxes), cpu_seconds(server.process.pid)
    start = time.perf_counter()
    loads = []
    for i in range(parts):
        share = [str(total // parts + (i < total % parts)) for total in (sessions, messages)]
        to = ["-r", str(rcpts), "-t", f"u@{DOMAIN}"] if rcpts > 1 else ["-t", f"{i}u@{DOMAIN}"]
        loads.append(subprocess.Popen([*common, "-s", share[0], "-m", share[1], *to, host]))
    if any(load.wait(300) for load in loads):
        sys.exit("smtp-source failed")
    accepted = time.perf_counter() - start
    while delivered(server.places.boxes) - before < messages * rcpts:
        if time.perf_counter() - start > 120:
            sys.exit("mail is missing")
        time.sleep(0.01)
    done = time.perf_counter() - start
    return {
        "accepted/s": messages / accepted,
        "delivered/s": messages / done,
        "cpu ms": 1000 * (cpu_seconds(server.process.pid) - used) / messages,
    }


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("serve", "run"))
    parser.add_argument("--folder", type=Path, help="where the site is made (default: temporary)")
    parser.add_argument("--relay", default="", help="serve: pass everything on to HOST:PORT")
    parser.add_argument("--sizes", default="2000,20000", help="octets, comma separated")
    parser.add_argument("--sessions", default="1,50", help="parallel sessions, comma separated")
    parser.add_argument("--rcpts", type=int, default=1)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        server = site(options.folder or Path(scratch) / "site", options.relay)
        assert server.process is not None
        if options.what == "serve":
            pids = server.folder / "pids"
            pids.write_text(f"{server.process.pid}\n")
            print(f"mtad=127.0.0.1:{server.made['smtp']},{server.places.boxes},{pids}", flush=True)
            server.process.wait()
            return
        for size in map(int, options.sizes.split(",")):
            for sessions in map(int, options.sessions.split(",")):
                messages = min(options.messages, 200) if sessions == 1 else options.messages
                runs = [
                    one_run(server, size, sessions, messages, options.rcpts)
                    for _ in range(options.repeats)
                ]
                middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
                print(f"{size} octets, {sessions} sessions, {options.rcpts} recipients:", middle)
        server.stop()


if __name__ == "__main__":
    main()
