"""Reports to senders, made ready to be taken in like any other message (RFC 3464).

A report has the null reverse-path. Nobody is told about a report that cannot be delivered but
the postmaster, once; what fails on its way to the postmaster is dropped, and the log says so.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from mtad.address import Address, domain, parse
from mtad.delivery.framing import Envelope
from mtad.delivery.route import Accepted
from mtad.directory.lookup import Target
from mtad.errors import MtadError
from mtad.headers import Block, message_id, text
from mtad.queue.bodies import Bodies, NotReadable
from mtad.queue.entries import Letter
from mtad.queue.outcomes import DOUBLE, DSN, Settled, suppressed
from mtad.reports import dsn_build
from mtad.reports.values import Original, Report
from mtad.reports.words import Lang, What
from tracing import ids
from tracing.events import Event
from tracing.sending import DsnMade

log = logging.getLogger("mtad.queue")

_AT_ONCE = 64 * 1024
"""Octets of a message that is put into a report without a thread."""


class Directory(Protocol):
    """Who receives mail here (``mtad.directory.lookup.Directory``)."""

    def is_local(self, domain: str) -> bool:
        """Whether we take mail for a domain in normal form."""

    def resolve(self, address: Address) -> Sequence[Target]:
        """Where an address leads; empty when it is unknown."""

    def postmaster(self) -> Address:
        """Where mail for the postmaster goes."""

    def language(self, address: str) -> Lang | None:
        """What reports to an address are written in; None where nothing was said."""

    def refresh(self) -> None:
        """Take over what has changed. Raises MtadError."""


class Reporter:
    """Makes reports; in ``language`` where the directory knows of no other for an address."""

    def __init__(
        self,
        directory: Directory,
        bodies: Bodies,
        new_id: Callable[[], int],
        hostname: str,
        language: Lang = "en",
    ) -> None:
        self._directory = directory
        self._bodies = bodies
        self._new_id = new_id
        self.hostname = hostname
        self.language = language

    async def make(
        self, what: What, settled: Sequence[Settled], now: int
    ) -> tuple[Envelope, bytes] | Sequence[Event]:
        """The report about recipients of one message, their events before its own.

        Where nobody can be told, the events alone, with what says why.
        """
        self._refresh()
        letter = settled[0].entry.letter
        to, rel = letter.sender, DSN
        recipient = None if settled[0].to_postmaster else self._to(to)
        why = f"nobody receives mail for {to} here"
        if recipient is None and what == "failed":
            to, rel = str(self._directory.postmaster()), DOUBLE
            recipient = self._to(to)
            why = "the postmaster has no box"
        told = [event for one in settled for event in one.events]
        if recipient is None:
            told += [suppressed(one.entry, now, what, why) for one in settled]
            return told
        m = self._new_id()
        report = Report(
            m=m,
            at=now,
            what=what,
            original=await self._original(letter),
            recipients=[one.reported for one in settled if one.reported is not None],
            hostname=self.hostname,
            postmaster=str(self._directory.postmaster()),
            lang=self._directory.language(to) or self.language,
            to=to if rel == DOUBLE else "",
        )
        octets = await _build(report)
        told += [
            DsnMade(
                at=now,
                trace=letter.m,
                n=one.entry.n,
                addr=one.entry.addr,
                what=what,
                report=ids.text(m),
            )
            for one in settled
        ]
        return self._envelope(report, octets, recipient, rel, told), octets

    def _refresh(self) -> None:
        try:
            self._directory.refresh()
        except MtadError as error:
            log.warning("reports go by the directory as it was: %s", error)

    def _envelope(
        self, report: Report, octets: bytes, recipient: Accepted, rel: str, told: Sequence[Event]
    ) -> Envelope:
        head = Block(octets)
        return Envelope(
            m=report.m,
            sender="",
            recipients=(recipient,),
            arrived_ns=report.at * 1000,
            started_us=report.at,
            message_id=message_id(head.first(b"message-id")),
            subject=text(head.first(b"subject")),
            header_from=text(head.first(b"from")),
            actor="system",
            body="" if octets.isascii() else "8BITMIME",
            smtputf8=report.is_global,
            rel=rel,
            parent=report.original.m,
            before=told,
        )

    def _to(self, address: str) -> Accepted | None:
        """A report's recipient; None for an address of ours that leads nowhere, or for none."""
        local, _, host = address.rpartition("@")
        try:
            host = domain(host)
        except ValueError:
            return None
        if not local:
            return None
        if not self._directory.is_local(host):
            return Accepted(1, address, remotes=(address,))
        try:
            targets = self._directory.resolve(parse(address))
        except ValueError:
            return None
        boxes = tuple(target.box for target in targets if not target.remote)
        remotes = tuple(target.box for target in targets if target.remote)
        is_alias = any(target.alias for target in targets)
        is_forward = any(target.forward for target in targets)
        accepted = Accepted(1, address, boxes, is_alias, remotes, forward=is_forward)
        return accepted if targets else None

    async def _original(self, letter: Letter) -> Original:
        try:
            content = await self._bodies.get(letter.m)
            if isinstance(content, Path):
                content = await asyncio.to_thread(_beginning, content)
        except (NotReadable, OSError):
            content = b""
        return Original(
            letter.m,
            letter.sender,
            content,
            letter.arrived,
            envid=letter.envid,
            ret=letter.ret,
            smtputf8=letter.smtputf8,
        )


def _beginning(path: Path) -> bytes:
    """As much of a long message as tells that it is too long to be returned whole."""
    with path.open("rb") as file:
        return file.read(dsn_build.MAX_RETURNED + 1)


async def _build(report: Report) -> bytes:
    if len(report.original.content) <= _AT_ONCE:
        return dsn_build.build(report)
    return await asyncio.to_thread(dsn_build.build, report)
