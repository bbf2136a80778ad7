"""Sending the reports about TLS: once a day, for the day before (RFC 8460).

What the log says of the day's sessions is counted; every domain that asks for reports in its
DNS gets its own, by mail (through the drop, so that it is signed and queued like any other) or
by HTTPS. A domain that cannot be told is passed over: the next day has a report of its own.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from urllib.parse import urlsplit

from mtad import clock, where
from mtad.config import Loaded
from mtad.directory.lookup import Directory
from mtad.dns import DnsError, Resolver
from mtad.outbound.courier import surroundings
from mtad.outbound.https import PORT, Https, HttpsFailed, Request
from mtad.reports import tlsrpt
from mtad.reports.tlsrpt import Report, Tally
from mtad.submit import drop
from mtad.where import Kept
from tracing import ids
from tracing.queries import Log
from tracing.sending import OutTls

PREFIX = "_smtp._tls."
MEDIA_TYPE = "application/tlsrpt+gzip"
MAX_ANSWER = 4096
"""Octets read of an answer to a report by HTTPS."""

log = logging.getLogger("mtad.tlsrpt")


class TlsReports:
    """A server's reports; ``leave`` takes a recipient and a message."""

    def __init__(
        self,
        submitter: str,
        sender: str,
        resolver: Resolver,
        https: Https,
        leave: Callable[[str, bytes], None],
        new_id: Callable[[], int],
    ) -> None:
        self._submitter = submitter
        self._sender = sender
        self._resolver = resolver
        self._https = https
        self._leave = leave
        self._new_id = new_id

    async def send(self, tally: Tally, begin: datetime, end: datetime) -> int:
        """Send the reports of a time span; how many were sent."""
        sent = 0
        for domain in tally.domains:
            try:
                texts = (await self._resolver.txt(PREFIX + domain)).records
            except DnsError as error:
                log.info("no TLS report to %s: %s", domain, error)
                continue
            if not (uris := tlsrpt.destinations(texts)):
                continue
            report = tally.report(
                domain, ids.text(self._new_id()), begin, end, self._submitter, self._sender
            )
            for uri in uris:
                sent += await self._send(report, uri)
        return sent

    async def _send(self, report: Report, uri: str) -> bool:
        try:
            if uri.lower().startswith("mailto:"):
                await asyncio.to_thread(self._mail, report, tlsrpt.mailbox(uri))
            else:
                await self._post(report, uri)
        except (OSError, ValueError, HttpsFailed) as error:
            log.warning("no TLS report for %s to %s: %s", report.domain, uri, error)
            return False
        return True

    def _mail(self, report: Report, recipient: str) -> None:
        """Raises OSError, ValueError."""
        if not recipient:
            raise ValueError("not a mail address")
        message = tlsrpt.message(
            report,
            sender=self._sender,
            recipient=recipient,
            submitter=self._submitter,
            made=clock.now_us(),
        )
        self._leave(recipient, message)

    async def _post(self, report: Report, uri: str) -> None:
        """Raises ValueError, HttpsFailed."""
        to = urlsplit(uri)
        if not to.hostname:
            raise ValueError("there is no host in it")
        path = (to.path or "/") + (f"?{to.query}" if to.query else "")
        body = report.compressed()
        headers = {"Content-Type": MEDIA_TYPE}
        request = Request(to.hostname, path, headers, body, to.port or PORT)
        answer = await self._https(request, MAX_ANSWER)
        if answer.status // 100 != 2:
            raise HttpsFailed(f"HTTP status {answer.status}")


async def send_daily(loaded: Loaded, new_id: Callable[[], int], now: datetime) -> int:
    """Send the reports of the day before ``now``, UTC. Raises MtadError, and OSError."""
    today = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    begin, end = today - timedelta(days=1), today - timedelta(seconds=1)
    tally = await asyncio.to_thread(count, loaded.places.log, begin, today)
    if not tally.domains:
        return 0
    around = await asyncio.to_thread(surroundings, loaded)
    sender = str((await asyncio.to_thread(Directory, loaded.places.state_db)).postmaster())
    folder = where.drop(loaded.path, where.read_toml(loaded.path))

    def leave(recipient: str, message: bytes) -> None:
        drop.leave(folder, drop.Envelope(sender, [recipient]), message)

    https = Https(around.resolver, around.contexts.strict, around.settings.ip_versions)
    reports = TlsReports(around.hostname, sender, around.resolver, https, leave, new_id)
    return await reports.send(tally, begin, end)


def count(folder: Kept, begin: datetime, end: datetime) -> Tally:
    """The sessions that the log knows of a time span; reads it, so not for an event loop."""
    tally = Tally()
    since, until = (int(each.timestamp() * 1_000_000) for each in (begin, end))
    with contextlib.closing(Log(folder)) as view:
        for event in view.of_kind(OutTls, since, until):
            tally.add(event)
    return tally
