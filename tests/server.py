"""A real ``mtad serve`` in processes of its own, on loopback, for tests from outside."""

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from mtad import where
from mtad.control import ask
from mtad.directory.changes import Changes
from mtad.errors import MtadError
from mtad.journal.command import command_journal

MTAD = [sys.executable, "-m", "mtad"]
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_FIRST = 10_000 + _WORKER % 2 * 10_000
_SLOTS = itertools.count(os.getpid())
PORTS = (_FIRST + slot % 500 * 20 for slot in _SLOTS)
"""Where each server looks for its ports: test processes beside each other have others, all
below those that the system gives out by itself."""


def until(true: Callable[[], object], seconds: float = 30, what: str = "it") -> None:
    """Wait until ``true()``; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds} s"
        time.sleep(0.02)


class Server:
    """A quickstarted directory and the server on it."""

    def __init__(self, folder: Path, address: str = "you@example.org") -> None:
        self.folder = folder
        words = ("--dir", str(folder), "--local", "--first-port", str(next(PORTS)), "--json")
        done = self.mtad("quickstart", address, *words)
        self.made: dict[str, Any] = json.loads(done.stdout)
        self.config = Path(self.made["config"])
        self.places = where.places(self.config)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what a failed test left running."""
        if self.process is not None and self.process.poll() is None:
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait(10)

    @property
    def smtp(self) -> tuple[str, int]:
        """Where it takes mail."""
        return "127.0.0.1", int(self.made["smtp"])

    def mtad(
        self, *words: str, code: int | None = 0, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; its exit status must be ``code`` unless that is None."""
        environment = os.environ | {"COLUMNS": "200", "LC_ALL": "C.UTF-8"}
        if config := getattr(self, "config", None):
            environment["MTAD_CONFIG"] = str(config)
        done = subprocess.run(
            [*MTAD, *words],
            capture_output=True,
            text=True,
            input=text or "",
            timeout=300,
            env=environment,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if code is not None:
            assert done.returncode == code, (
                f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    @contextlib.contextmanager
    def changes(self) -> Iterator[Changes]:
        """Changes to the directory without a process each."""
        with command_journal(self.places) as journal:
            yield Changes(self.places.state_db, journal, "admin:test")

    def start(self) -> None:
        """Start serving and wait until every role answers."""
        with (self.folder / "serve.out").open("ab") as out:
            self.process = subprocess.Popen(
                [*MTAD, "serve", "--config", str(self.config)],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        until(self.ready, 60, "the server to be ready")

    def ready(self) -> bool:
        """Whether every role answers on its socket."""
        assert self.process is not None
        assert self.process.poll() is None, self.output()
        try:
            for role in ("log", "access", "jobs", "mta"):
                ask(self.places.socket(role), "status", seconds=5)
        except MtadError:
            return False
        return True

    def output(self) -> str:
        """What it printed."""
        return (self.folder / "serve.out").read_text(errors="replace")

    def processes(self) -> list[int]:
        """The supervisor and its roles."""
        assert self.process is not None
        return [self.process.pid, *children(self.process.pid)]

    def settle(self) -> None:
        """Wait until everything durable is in the log and in the boxes."""
        ask(self.places.socket("log"), "position", seconds=120)

    def stop(self) -> None:
        """SIGTERM, and wait for a clean end."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(60) == 0, self.output()
        self.process = None

    def kill_one(self, rng: random.Random) -> int:
        """SIGKILL one of its processes; restart the supervisor when it was that one."""
        assert self.process is not None
        everyone = self.processes()
        victim = rng.choice(everyone)
        os.kill(victim, signal.SIGKILL)
        if victim == self.process.pid:
            self.process.wait(10)
            until(lambda: not any(map(alive, everyone)), 60, "the roles to end")
            self.start()
        return victim


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(parent: int) -> Iterator[int]:
    """The live children of a process."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                yield int(name)
