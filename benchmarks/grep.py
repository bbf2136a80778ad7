"""The trace of a message beside ``grep`` over the Postfix log that says the same.

    python benchmarks/grep.py DIRECTORY [--runs 20]

DIRECTORY is one that ``benchmarks/log.py DIRECTORY`` filled. The log is written beside it as
``mail.log`` if it is not there, once whole and once as ``logrotate`` leaves it: one part plain,
five compressed. By hand a trace is two searches: for the Message-ID, then for the queue id.
"""

import argparse
import gzip
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tracing import ids, postfixlog, search
from tracing.queries import Log

PARTS = 6
SAMPLE = 200_000
"""Messages from the newest, among which those to look for are chosen."""


def write(directory: Path, target: Path) -> None:
    """The log in the manner of Postfix, whole and rotated."""
    made = postfixlog.PostfixLog("mx.example.org")
    with closing(Log(directory)) as log, open(target, "w", encoding="utf-8") as out:
        cursor: dict[str, int] = {}
        while part := log.events_after(cursor, 20_000):
            for one in part:
                cursor[one.month] = one.seq
                out.writelines(f"{line}\n" for line in made.lines(one.event, wanted=True))
    size = target.stat().st_size
    with open(target, "rb") as whole:
        for number in range(PARTS, 0, -1):
            octets = whole.read(size // PARTS) + whole.readline() if number > 1 else whole.read()
            name = f"mail.log.{number - 1}"
            if number == 1:
                target.with_name(name).write_bytes(octets)
            else:
                with gzip.open(target.with_name(f"{name}.gz"), "wb", 6) as packed:
                    packed.write(octets)


def by_hand(command: str, files: list[str], message_id: str) -> int:
    """Lines that two searches show."""
    found = subprocess.run(
        [command, "-hF", f"message-id={message_id}", *files], capture_output=True, text=True
    ).stdout
    queue_id = found.split(": message-id=")[0].split(" ")[-1]
    said = subprocess.run([command, "-hF", queue_id, *files], capture_output=True, text=True)
    return len(said.stdout.splitlines())


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("directory", type=Path)
    options.add_argument("--runs", type=int, default=20)
    given = options.parse_args()
    directory, text = given.directory / "log", given.directory / "mail.log"
    if not text.exists():
        write(directory, text)
    rotated = sorted(str(one) for one in given.directory.glob("mail.log.*"))
    print(f"{text.stat().st_size / 1e6:.0f} MB")
    with closing(Log(directory)) as log:
        newest = log.ids(search.EVERYTHING, SAMPLE)
        rows = log.rows(random.Random(3).sample(newest, 4 * given.runs))
        wanted = [row.message_id for row in rows.values() if row.message_id][: given.runs]
        now = ids.time_us(newest[0])

        def query(message_id: str) -> int:
            (found,) = log.ids(search.parse(f"msgid:{message_id}", now), 2)
            return len(log.timeline(found))

        asked = timed("query inside the process", query, wanted)
        grep = timed("grep", lambda one: by_hand("grep", [str(text)], one), wanted[:5])
        zgrep = timed("zgrep, rotated", lambda one: by_hand("zgrep", rotated, one), wanted[:3])
    settings = given.directory / "mtad.toml"
    settings.write_text('hostname = "mx.example.org"\ndata_dir = "."\n')
    command = [sys.executable, "-m", "mtad", "trace", "--config", str(settings)]

    def whole(message_id: str) -> int:
        said = subprocess.run([*command, f"msgid:{message_id}"], capture_output=True, check=True)
        return len(said.stdout.splitlines())

    process = timed("mtad trace, whole command, from the files", whole, wanted[:10])
    for name, other in (("grep", grep), ("zgrep", zgrep)):
        print(
            f"{name}: {other / asked:.0f} times the query, {other / process:.1f} times the command"
        )


def timed(name: str, work: Callable[[str], int], wanted: list[str]) -> float:
    """Median seconds."""
    taken = []
    lines = work(wanted[0])
    for one in wanted:
        begin = time.perf_counter()
        assert work(one)
        taken.append(time.perf_counter() - begin)
    print(f"{name:<45}{statistics.median(taken) * 1000:12.2f} ms; {lines} lines", flush=True)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
