"""``mtad serve``: a supervisor and four roles, each in a process of its own.

The supervisor reads the settings, binds the sockets, loads every role's code once and forks.
It parses nothing that comes from outside. A role that fails is started again, after a pause
that grows, while the others go on. ``log`` starts first, since the journals must be replayed
before anyone may look at a box, and stops last, since it writes down how the others ended.
"""

import asyncio
import contextlib
import ctypes
import gc
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import click
import uvloop

from mtad import clock, config, databases, identity, tls_exporter, where
from mtad.access import role as access_role
from mtad.access.listener import SERVICES as READING
from mtad.cli_options import config_option
from mtad.config import Loaded
from mtad.errors import MtadError, NotPermitted, Unreachable
from mtad.jobs import role as jobs_role
from mtad.journal.command import command_journal
from mtad.journal.frame import Meta, raw
from mtad.materialise import role as log_role
from mtad.reload import Change, InForce, said
from mtad.serve_lock import only_one
from mtad.signals import Signals
from mtad.smtp import role as mta_role
from mtad.sockets import Sockets, bind_paths, bind_ports, forget, place, together
from mtad.where import Places
from tracing.events import AdminChange
from tracing.render import safe

Serve = Callable[[Loaded, Sockets, Signals], Awaitable[None]]

SENDING = ("smtp", "lmtp", "submission", "submissions")
SERVED = (*SENDING, *READING)
"""The services of ``[listen]`` that this version serves."""

STOP_SECONDS = 20
"""How long a stage of the shutdown may drain before it is ended by force."""
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 30
"""A role that lived this long starts again without a longer pause."""

PR_SET_PDEATHSIG = 1


async def _log(loaded: Loaded, _: Sockets, signals: Signals) -> None:
    await log_role.serve(loaded, signals)


async def _access(loaded: Loaded, sockets: Sockets, signals: Signals) -> None:
    await access_role.serve(loaded, _only(sockets, READING), signals)


async def _jobs(loaded: Loaded, _: Sockets, signals: Signals) -> None:
    await jobs_role.serve(loaded, signals)


async def _mta(loaded: Loaded, sockets: Sockets, signals: Signals) -> None:
    await mta_role.serve(loaded, _only(sockets, SENDING), signals)


def _only(sockets: Sockets, services: Sequence[str]) -> Sockets:
    """One role's sockets; the others are closed in its process."""
    for name in sockets.keys() - set(services):
        for link in sockets[name]:
            link.close()
    return {name: sockets[name] for name in services if name in sockets}


ROLES: Mapping[str, Serve] = {"log": _log, "access": _access, "jobs": _jobs, "mta": _mta}
"""In the order of starting."""
STOPPING = (("mta", "jobs"), ("access",), ("log",))
"""Stages of the shutdown: who takes from outside stops first."""


@dataclass(slots=True)
class Child:
    """A running or waiting role."""

    pid: int = 0
    started: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    due: float = 0.0


class Supervisor:
    """Starts, watches and ends the roles."""

    def __init__(self, loaded: Loaded, sockets: Sockets) -> None:
        self._settings = InForce(loaded)
        self._sockets = sockets
        self._children = {name: Child() for name in ROLES}
        self._stopping = False
        self._reload = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        gc.collect()
        gc.freeze()
        loaded = self._settings.loaded
        for name in ROLES:
            if not self._stopping:
                self._await(self._start(name))
        _say(f"serving on {', '.join(_names(self._sockets))}; data in {loaded.places.data}")
        while not self._stopping:
            self._reap()
            if self._reload:
                self._reload = False
                self._read_again()
            for name, child in self._children.items():
                if not child.pid and time.monotonic() >= child.due:
                    os.close(self._start(name))
            self._wait(self._next_due())
        self._drain()

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _on_reload(self, _number: int, _frame: FrameType | None) -> None:
        self._reload = True

    def _read_again(self) -> None:
        """Read the settings, write down what changed, say it, and let the roles read them."""
        changed = self._settings.read_again()
        line = said(self._settings, changed)
        try:
            _write_down(self._settings.loaded.places, changed)
        except (MtadError, OSError) as error:
            line += f"; this is NOT in the log: {error}"
        _say(safe(line))
        self._signal(ROLES, signal.SIGHUP)

    def _start(self, name: str) -> int:
        """Fork a role; returns the descriptor on which it says that it serves."""
        ready, tell = os.pipe2(os.O_CLOEXEC)
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(ready)
            _become(name, self._settings.loaded, self._sockets, supervisor, tell)
        os.close(tell)
        child = self._children[name]
        child.pid, child.started = pid, time.monotonic()
        return ready

    def _await(self, ready: int) -> None:
        """Wait until a role serves or has failed, or we are told to stop."""
        try:
            while not self._stopping:
                readable, _, _ = select.select([ready, self._wake_read], [], [])
                if ready in readable:
                    break
                self._swallow()
        finally:
            os.close(ready)

    def _next_due(self) -> float:
        dues = [child.due for child in self._children.values() if not child.pid]
        return max(0.0, min(dues) - time.monotonic()) if dues else 60.0

    def _wait(self, seconds: float) -> None:
        select.select([self._wake_read], [], [], seconds)
        self._swallow()

    def _swallow(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_read, 512):
                pass

    def _reap(self) -> None:
        """Note which roles ended and when each is due again."""
        for name, child in self._children.items():
            if not child.pid or not _ended(child.pid):
                continue
            lived = time.monotonic() - child.started
            child.pid = 0
            child.pause = (
                FIRST_PAUSE_SECONDS
                if lived > STEADY_SECONDS
                else min(LONGEST_PAUSE_SECONDS, child.pause * 2)
            )
            child.due = time.monotonic() + child.pause
            if not self._stopping:
                _say(f"role {name} ended; starting it again in {child.pause:.1f} s")

    def _signal(self, names: Sequence[str] | Mapping[str, Serve], number: int) -> None:
        for name in names:
            if pid := self._children[name].pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def _drain(self) -> None:
        for stage in STOPPING:
            self._signal(stage, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while any(self._children[name].pid for name in stage):
                self._wait(0.1)
                self._reap()
                if time.monotonic() > deadline:
                    late = [name for name in stage if self._children[name].pid]
                    _say(f"{', '.join(late)} did not stop within {STOP_SECONDS} s; ended by force")
                    self._signal(late, signal.SIGKILL)
                    deadline += STOP_SECONDS
        _say("stopped")


def _write_down(places: Places, changed: Sequence[Change]) -> None:
    """An event for each setting that changed, durable before it counts. Raises MtadError."""
    if not changed:
        return
    with command_journal(places) as journal:
        events = [
            AdminChange(
                at=clock.now_us(),
                trace=journal.mint.new(),
                actor="admin:SIGHUP",
                what="setting",
                name=one.name,
                before=one.before,
                after=one.after,
            )
            for one in changed
        ]
        journal.commit_now(Meta(events=tuple(map(raw, events))))


def _ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _become(name: str, loaded: Loaded, sockets: Sockets, supervisor: int, tell: int) -> None:
    """Be a role until it ends; never returns. A failure leaves its details in a file."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == supervisor:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve_role(name, loaded, sockets, tell))
        status = 0
    except MtadError as error:
        _say(f"role {name}: {error}")
    except BaseException as error:
        _say(f"role {name} failed: {error!r}; details in {_crash(loaded, name)}")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _crash(loaded: Loaded, name: str) -> Path:
    """Keep what only a developer wants to read; returns where."""
    path = loaded.places.run / f"{name}.crash"
    with contextlib.suppress(OSError), path.open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{traceback.format_exc()}\n")
    return path


async def _serve_role(name: str, loaded: Loaded, sockets: Sockets, tell: int) -> None:
    """Run a role's coroutine with its signals bound."""

    def ready() -> None:
        with contextlib.suppress(OSError):
            os.write(tell, b"1")
            os.close(tell)

    signals = Signals(ready=ready)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, signals.stop.set)
    loop.add_signal_handler(signal.SIGHUP, signals.hang_up)
    await ROLES[name](loaded, sockets, signals)


# ----------------------------------------------------------------- starting


def _raise_limits() -> None:
    """As many open files as the system lets us have: connections and boxes need them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _names(sockets: Sockets) -> Iterator[str]:
    for service, links in sockets.items():
        yield from (f"{service} {place(link)}" for link in links)


def _say(text: str) -> None:
    click.echo(f"mtad: {text}", err=True)


@click.command()
@config_option
@click.pass_context
def serve(context: click.Context) -> None:
    """Run the server in the foreground until SIGTERM; SIGHUP reads the settings again.

    Root is needed for ports below 1024 alone: started as root, the server becomes the owner of
    its data directory once it listens.
    """
    run_server(config.load(where.settings_file(context.ensure_object(dict).get("config"))))


def run_server(loaded: config.Loaded) -> None:
    """Check, bind, step down, fork, serve. Raises MtadError before anything is started."""
    data, run = loaded.places.data, loaded.places.run
    if not data.is_dir():
        raise MtadError(f"the data directory {data} does not exist; 'mtad quickstart' makes one")
    try:
        ports = bind_ports(loaded, SERVED)
    except Unreachable:
        identity.step_down(data)
        with only_one(run):  # that a server runs here already is what to say first
            raise
    try:
        identity.step_down(data)
        if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
            raise NotPermitted(f"the data directory {data} is not writable for this user")
        os.umask(0o077)
        _raise_limits()
        with only_one(run):
            databases.prepare(loaded.places)
            tls_exporter.is_usable()  # found out once for all roles
            paths = bind_paths(loaded, SERVED)
            if os.geteuid() == identity.ROOT:
                _say(f"serving as root, since {data} is root's; 'chown -R USER' on it changes that")
            try:
                Supervisor(loaded, together(ports, paths)).run()
            finally:
                forget(paths)
    finally:
        forget(ports)
