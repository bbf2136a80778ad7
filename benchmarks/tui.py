"""Time the terminal UI over a pseudo terminal, on a long log.

    python benchmarks/tui.py [DIRECTORY] [--rows 1000000] [--runs 7] [--beside CHECKOUT] [--json]

The log is made once in DIRECTORY by writing rows directly (a temporary one is removed
afterwards). Each run starts ``mtad tui`` in a process of its own and measures, from before
the fork, when the first row of the newest message is on the screen and when all ids are in;
then how long one key takes until the last octet of the list's repaint, before the detail pane
follows; and the memory held. A first run that is not counted compiles the modules, as an
installation does. With --beside another checkout takes turns with this one.
"""

import argparse
import codecs
import fcntl
import json
import os
import pty
import select
import signal
import sqlite3
import statistics
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path

from tracing import events, ids, months
from tracing.log import Applied, Recorder

COLUMNS, ROWS = 120, 36
FIRST = "the newest message of all"
HERE = Path(__file__).resolve().parent.parent
QUIET_SECONDS = 0.012
"""Less than a frame of 60 a second: what is painted in a later frame is not waited for."""
PATIENCE_SECONDS = 60
KEYS = {"down": b"\x1b[B", "page down": b"\x1b[6~", "end": b"\x1b[F"}
HOME = b"\x1b[H"


def make(directory: Path, messages: int) -> Path:
    """A settings file beside a log of so many messages; made only when it is not there."""
    settings = directory / "mtad.toml"
    log = directory / "data" / "log"
    if settings.exists():
        return settings
    log.mkdir(parents=True)
    now = time.time_ns() // 1000
    begin = months.times(ids.month_at(now))[0]
    step = max(1, (now - begin) // (messages + 1))
    recorder = Recorder(log)
    recorder.apply([Applied("mta-0", 1, 1, _one(now))])
    recorder.checkpoint()
    recorder.close()
    link = sqlite3.connect(months.path(log, ids.month_at(now)))
    with link:
        link.executemany(
            "INSERT INTO addr(id, dom, local) SELECT ?, min(id), ? FROM dom",
            [(1000 + n, f"person{n}") for n in range(500)],
        )
        (dom,) = link.execute("SELECT min(id) FROM dom").fetchone()
        numbers = [ids.lowest(now - (n + 1) * step) | 1 << 16 | n & 0xFFFF for n in range(messages)]
        link.executemany(
            "INSERT INTO msg(id, ts, last, dir, sender, sdom, status, nrcpt, size, subject) "
            "VALUES (?, ?, ?, 0, ?, ?, ?, 1, ?, ?)",
            (
                (m, ids.time_us(m), ids.time_us(m), 1000 + n % 500, dom, 30 if n % 9 == 0 else 10,
                 500 + n % 90_000, f"Message {n} of the benchmark")
                for n, m in enumerate(numbers)
            ),
        )  # fmt: skip
        link.executemany(
            "INSERT INTO rcpt(msg, n, addr, dom, ts, last, status, tries, code) "
            "VALUES (?, 1, ?, ?, ?, ?, 10, 0, 250)",
            ((m, 1000 + n * 7 % 500, dom, ids.time_us(m), ids.time_us(m))
             for n, m in enumerate(numbers)),
        )  # fmt: skip
        link.execute("DELETE FROM stat_hour")
        link.execute(
            "INSERT INTO stat_hour SELECT id/?, status, count(*), sum(size) FROM msg GROUP BY 1, 2",
            (ids.HOUR,),
        )
    link.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    link.close()
    settings.write_text('hostname = "mail.example.org"\n')
    return settings


def _one(at: int) -> list[events.Event]:
    m = ids.lowest(at) | 1 << 16
    to = "first@example.org"
    return [
        events.SmtpMail(at=at, trace=m, addr="sender@mail.example", ip="192.0.2.1", cn=m + 1),
        events.SmtpAccept(
            at=at, trace=m, addr="sender@mail.example", size=1000, sha256="ab" * 32, count=1,
            recipients=(events.Recipient(1, to, to),), subject=FIRST, code=250, reply="2.0.0 ok",
        ),
    ]  # fmt: skip


class Terminal:
    """A checkout's ``mtad tui`` in a pseudo terminal, and what it has written."""

    def __init__(self, checkout: Path, compiled: Path, settings: Path, screen: str) -> None:
        self.begun = time.perf_counter()
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
            os.environ |= {
                "TERM": "xterm-256color",
                "TEXTUAL_ANIMATIONS": "none",
                "LANG": "C.UTF-8",
                "PYTHONPYCACHEPREFIX": str(compiled),
            }
            os.chdir(checkout)
            size = struct.pack("HHHH", ROWS, COLUMNS, 0, 0)
            fcntl.ioctl(1, termios.TIOCSWINSZ, size)
            command = [sys.executable, "-m", "mtad", "tui", "--config", str(settings)]
            os.execv(sys.executable, [*command, "--screen", screen])
        self.text = ""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def read(self, seconds: float) -> bool:
        """Take what has been written; False when nothing came in time."""
        if not select.select([self.file], [], [], max(0.0, seconds))[0]:
            return False
        self.text += self._decode(os.read(self.file, 65536))
        return True

    def until(self, found: Callable[[str], bool]) -> float:
        """Seconds since the start until what is on the screen contains something."""
        deadline = time.perf_counter() + PATIENCE_SECONDS
        while not found(self.text):
            if not self.read(deadline - time.perf_counter()):
                raise SystemExit(f"it never came; the last was {self.text[-400:]!r}")
        return time.perf_counter() - self.begun

    def quiet(self) -> float:
        """When the last octet came before a silence."""
        last = time.perf_counter()
        while self.read(QUIET_SECONDS):
            last = time.perf_counter()
        return last

    def settle(self) -> None:
        """Wait until the detail pane has followed the cursor."""
        time.sleep(0.2)
        self.quiet()

    def key(self, octets: bytes) -> float:
        """Seconds from a key to the last octet of what it changed."""
        begun = time.perf_counter()
        os.write(self.file, octets)
        self.read(PATIENCE_SECONDS)
        return self.quiet() - begun

    @property
    def megabytes(self) -> float:
        """Memory of the process's own; pages of the log's file that it maps do not count."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("RssAnon"))
        return int(line.split()[1]) / 1024

    def close(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.file)


def measure(checkout: Path, compiled: Path, settings: Path, messages: int) -> dict[str, float]:
    """One run: seconds, but for memory in MB."""
    terminal = Terminal(checkout, compiled, settings, "trace")
    try:
        found = {
            "start to first row": terminal.until(lambda text: FIRST in text),
            "start to all ids": terminal.until(lambda text: f"{messages + 1:,}" in text),
        }
        for name, octets in KEYS.items():
            taken = []
            for _ in range(9):
                if name == "end":
                    terminal.key(HOME)
                terminal.settle()
                taken.append(terminal.key(octets))
            found[name] = statistics.median(taken)
        found["memory, MB"] = terminal.megabytes
    finally:
        terminal.close()
    terminal = Terminal(checkout, compiled, settings, "overview")
    try:
        found["overview: start to figures"] = terminal.until(lambda text: "delivered " in text)
    finally:
        terminal.close()
    return found


def main() -> None:
    """Measure and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    checkouts = [HERE, options.beside.resolve()] if options.beside else [HERE]
    taken: dict[Path, list[dict[str, float]]] = {checkout: [] for checkout in checkouts}
    with tempfile.TemporaryDirectory() as aside:
        settings = make((options.directory or Path(aside)).resolve(), options.rows)
        for run in range(-1, options.runs):
            for checkout in checkouts:
                found = measure(checkout, Path(aside), settings, options.rows)
                if run >= 0:
                    taken[checkout].append(found)
    for checkout, runs in taken.items():
        report(checkout, options.rows, runs, as_json=options.json)


def report(checkout: Path, rows: int, runs: list[dict[str, float]], *, as_json: bool) -> None:
    """Print medians, and the worst of each."""
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    worst = {name: max(run[name] for run in runs) for name in medians}
    if as_json:
        head = {"checkout": str(checkout), "messages": rows, "runs": len(runs)}
        print(json.dumps({**head, **medians, "worst": worst}))
        return
    print(f"{checkout}: {rows:,} messages, {COLUMNS}x{ROWS}, medians of {len(runs)} runs")
    for name, value in medians.items():
        factor, unit = (1, "MB") if name.endswith("MB") else (1000, "ms")
        print(f"  {name:<28}{factor * value:8.1f} {unit}  (worst {factor * worst[name]:.1f})")


if __name__ == "__main__":
    main()
