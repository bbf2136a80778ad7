"""Taking in what local programs left in the drop; runs in the ``mta`` role.

Order of steps for a file: it gets a message id and is renamed to a name that holds it, durably;
the message becomes ours (frame, barrier) under that id; the file is removed. So a crash in
between is seen at the next start, and the log tells whether the message is ours already.
A file that cannot be read as one is set aside as ``.bad`` and told of.
"""

import asyncio
import logging
import os
import pwd
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from mtad import address, completion, control
from mtad.clock import now_us
from mtad.delivery.local import Barrier, Delivery, Envelope
from mtad.delivery.route import Accepted
from mtad.errors import MtadError
from mtad.headers import Block, message_id, text
from mtad.journal import disk
from mtad.journal.errors import JournalBroken, JournalFull
from mtad.submit import drop
from tracing import ids
from tracing.access import CheckResult

log = logging.getLogger("mtad.submit")

POLL_SECONDS = 0.5
PAUSE_SECONDS = 10.0
"""After a message could not be taken for want of room."""
MAX_RECIPIENTS = 10_000
TAKEN = ".taken"
BAD = ".bad"


class Directory(Protocol):
    """Who receives mail here."""

    def is_local(self, domain: str) -> bool:
        """Whether we take mail for a domain in normal form."""

    def resolve(self, address: address.Address) -> Sequence[Any]:
        """Where an address leads."""

    def refresh(self) -> None:
        """Take over changes made by other processes."""


@dataclass(slots=True)
class Pickup:
    """Watches one drop. ``is_known`` asks the log whether a message is ours; it may wait."""

    folder: Path
    journal: Barrier
    directory: Directory
    delivery: Delivery
    is_known: Callable[[int], bool]
    hostname: str
    max_message_bytes: int
    taken: int = 0
    """Messages taken since the start."""

    async def run(self) -> None:
        """Take what comes until cancelled."""
        while True:
            try:
                await self.look()
                pause = POLL_SECONDS
            except (JournalFull, JournalBroken, OSError, MtadError) as error:
                log.error("what lies in the drop waits: %s", error)
                pause = PAUSE_SECONDS
            except Exception:
                log.exception("what lies in the drop waits, by a mistake of ours")
                pause = PAUSE_SECONDS
            await asyncio.sleep(pause)

    async def look(self) -> None:
        """Take every file there is, eldest first. Raises what stopped it; all is tried again."""
        for path in await _thread(waiting, self.folder):
            # Shielded: a stop lets the message at hand become ours and its file go.
            await asyncio.shield(self._take(path))

    async def _take(self, path: Path) -> None:
        m = _id_in(path)
        if m is None:
            m = self.journal.mint.new()
            path = await _thread(_claim, path, m)
        elif await _thread(self.is_known, m):
            await _thread(_remove, path)
            return
        try:
            found = await _thread(drop.read, path, self.max_message_bytes)
            envelope, parts = self._made(m, found)
        except drop.Damaged as damage:
            await _thread(_set_aside, path)
            self._tell(path, str(damage))
            return
        await self.delivery.accept(envelope, parts)
        self.taken += 1
        await _thread(_remove, path)

    def _made(self, m: int, found: drop.Dropped) -> tuple[Envelope, list[bytes]]:
        """The message as it is stored, and its envelope. Raises Damaged."""
        told, login = found.envelope, _login(found.uid)
        arrived = time.time_ns()
        at = arrived // 1_000_000_000
        message = completion.complete(
            found.message, at=at, message_id=f"{ids.text(m)}@{self.hostname}"
        )
        block = Block(message)
        top = (
            f"Return-Path: <{_printable(told.sender)}>\n"
            f"Received: by {self.hostname} (mtad, from user {_printable(login)})\n"
            f"\tid {ids.text(m)};\n\t{completion.date(at)}\n"
        ).encode()
        envelope = Envelope(
            m=m,
            sender=told.sender,
            recipients=self._recipients(told),
            arrived_ns=arrived,
            started_us=found.mtime_ns // 1000,
            message_id=message_id(block.first(b"message-id")),
            subject=text(block.first(b"subject")),
            header_from=text(block.first(b"from")),
            actor=f"user:{login}",
            ret=told.ret if told.ret in ("FULL", "HDRS") else "",
            envid=told.envid,
            rel="local",
        )
        return envelope, [top, message]

    def _recipients(self, told: drop.Envelope) -> list[Accepted]:
        self.directory.refresh()
        if len(told.recipients) > MAX_RECIPIENTS:
            raise drop.Damaged(f"more than {MAX_RECIPIENTS} recipients")
        accepted: list[Accepted] = []
        n = 1
        for given in told.recipients:
            one = self._accepted(n, given, told.notify)
            accepted.append(one)
            n += one.numbers
        return accepted

    def _accepted(self, n: int, given: str, notify: str) -> Accepted:
        """Where a recipient leads; one of ours that leads nowhere is the queue's to bounce."""
        try:
            wanted = address.parse(given)
        except ValueError as error:
            raise drop.Damaged(str(error)) from None
        targets = self.directory.resolve(wanted)
        if not targets:
            return Accepted(n, given, remotes=(given,), notify=notify)
        return Accepted(
            n,
            given,
            tuple(target.box for target in targets if not target.remote),
            any(target.alias for target in targets),
            tuple(target.box for target in targets if target.remote),
            notify=notify,
            forward=any(target.forward for target in targets),
        )

    def _tell(self, path: Path, why: str) -> None:
        log.error("%s in the drop is no message: %s; kept as %s", path.name, why, BAD)
        event = CheckResult(
            at=now_us(), trace=self.journal.mint.new(), name="drop", found=f"{path.name}: {why}"
        )
        self.journal.note(event)


def asking(socket: Path) -> Callable[[int], bool]:
    """Asks the log role, once it has applied all that is durable. Raises Unreachable."""

    def is_known(m: int) -> bool:
        control.ask(socket, "position")
        return control.ask(socket, "trace", query=ids.text(m), limit=1).get("message") is not None

    return is_known


def waiting(folder: Path) -> list[Path]:
    """What is to be taken: first what a crash left half taken."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    halfway = sorted(folder / name for name in names if name.endswith(TAKEN))
    return [*halfway, *drop.waiting(folder)]


def _id_in(path: Path) -> int | None:
    """The message id in the name of a file that is being taken; None for another file."""
    if not path.name.endswith(TAKEN):
        return None
    return ids.parse(path.name.removesuffix(TAKEN).rpartition(".")[2])


def _claim(path: Path, m: int) -> Path:
    claimed = path.with_name(f"{path.name.removesuffix(drop.SUFFIX)}.{ids.text(m)}{TAKEN}")
    disk.rename(path, claimed)
    disk.sync_path(path.parent)
    return claimed


def _remove(path: Path) -> None:
    disk.unlink(path)
    disk.sync_path(path.parent)


def _set_aside(path: Path) -> None:
    disk.rename(path, path.with_suffix(BAD))
    disk.sync_path(path.parent)


def _login(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid{uid}"


def _printable(value: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in value)


async def _thread(work: Callable[..., Any], *words: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, partial(work, *words))
