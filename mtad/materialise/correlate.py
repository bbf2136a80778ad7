"""Ties reports from elsewhere to the traces of the messages they are about.

A message that looks like a report is read as its frame is executed; once what came before it
is in the log, the message it tells of is looked up, and the finding becomes events there:
``dsn.got`` for each recipient, ``report.got`` for abuse and disposition. Doing it again adds
nothing, so frames that may have been seen before a crash are simply seen once more.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from mtad.headers import Block
from mtad.journal.frame import Frame
from mtad.reports import match, mime
from mtad.reports.match import Key
from mtad.reports.read import Incoming, is_candidate, read
from mtad.reports.status_fields import Told
from mtad.reports.token import Tokens
from mtad.where import Kept
from tracing import ids, search
from tracing.events import Event, SmtpAccept
from tracing.queries import Log
from tracing.sending import DsnGot, ReportGot

MAX_REPORTS = 50
"""Reports about one message that are recorded; a flood of them tells nothing more."""
MAX_TWINS = 10
"""Messages with one Message-ID among which the recipient decides."""
MAX_UNKNOWN = 10
"""Recipients that are none of the message's, of which a report tells."""

log = logging.getLogger("mtad.materialise")


@dataclass(frozen=True, slots=True)
class Seen:
    """A report that came as message ``m`` to ``receivers`` at ``at``, microseconds."""

    m: int
    at: int
    report: Incoming
    receivers: Sequence[str]


class Correlator:
    """Reports of executed frames; for the worker's thread."""

    def __init__(
        self, directory: Kept, content_path: Callable[[int], str], tokens: Tokens | None = None
    ) -> None:
        self._directory = directory
        self._content_path = content_path
        self._tokens = tokens
        self._seen: dict[int, Seen] = {}

    def see(self, frame: Frame) -> None:
        """Read the frame's message if it may be a report from elsewhere.

        Never raises: a report that cannot be read or tied is mail like any other, and must not
        stop the log.
        """
        content = frame.meta.content
        if content is None:
            return
        try:
            body = frame.body if content.inline else self._beginning(content.m)
            report = _read(body, content.m)
            receivers = (*_receivers(frame), *report.receivers) if report else ()
        except Exception as error:
            log.warning("message %s is not read as a report: %r", ids.text(content.m), error)
            return
        if report:
            self._seen[content.m] = Seen(content.m, content.mtime_ns // 1000, report, receivers)

    def _beginning(self, m: int) -> bytes:
        with open(self._content_path(m), "rb") as file:
            return file.read(mime.MAX_MESSAGE)

    def events(self) -> list[Event]:
        """What the reports seen so far tell, once each."""
        seen, self._seen = self._seen, {}
        told: list[Event] = []
        if seen:
            with closing(Log(self._directory)) as known:
                for one in seen.values():
                    try:
                        told += _events(known, one, self._tokens)
                    except Exception as error:
                        log.warning("report %s is not tied: %r", ids.text(one.m), error)
        return told


def _read(body: bytes, m: int) -> Incoming | None:
    """The report that message ``m`` is, if it comes from elsewhere."""
    header = Block(body, mime.MAX_HEADER)
    if header.first(b"message-id").strip().startswith(f"<{ids.text(m)}@".encode("ascii")):
        # A report made here has its own id in its Message-ID, which nobody else can know.
        return None
    sender = header.first(b"return-path").strip().decode("utf-8", "replace")
    return read(body) if is_candidate(header, sender) else None


def _receivers(frame: Frame) -> Iterator[str]:
    """The recipients of a message's envelope, as they were given."""
    for event in frame.events:
        if isinstance(event, SmtpAccept):
            for recipient in event.recipients:
                yield recipient.original or recipient.addr


def _events(known: Log, seen: Seen, tokens: Tokens | None) -> Iterator[Event]:
    """A report's events; none for a notification about nothing we know."""
    if _recorded(known, seen.m, seen):
        return
    for key in match.keys(seen.report, seen.receivers, tokens=tokens, at=seen.at):
        messages = _messages(known, key)
        for m in messages:
            about = _about(known, key, m, seen, is_sure=len(messages) == 1)
            if about is not None:
                yield from about
                return
    if seen.report.kind in ("arf", "mdn"):
        yield _got(seen, seen.m, 0, seen.report.recipients[0] if seen.report.recipients else None)


def _messages(known: Log, key: Key) -> Sequence[int]:
    """The messages that a key may mean, the newest first."""
    if key.m:
        return (key.m,)
    term = search.Term(search.MessageId(key.message_id), False, key.message_id)
    return known.ids(search.Query(key.message_id, (term,)), MAX_TWINS)


def _about(known: Log, key: Key, m: int, seen: Seen, *, is_sure: bool) -> list[Event] | None:
    """The events on message ``m``; None where the report is not about it."""
    recipients = [
        match.Recipient(one.n, one.addr, one.original) for one in known.recipients(m) if one.n
    ]
    if not recipients or m == seen.m:
        return None
    paired = match.pairs(seen.report, recipients, key.n, is_sure=is_sure)
    found = [(one.n, told) for one, told in paired]
    if not found:
        if key.message_id:
            return None
        # The id is ours, so the message is, whoever the remote side passed it to.
        found = [(0, told) for told in seen.report.recipients[:MAX_UNKNOWN]]
    if _recorded(known, m, seen):
        return []
    if seen.report.kind in ("arf", "mdn"):
        return [_got(seen, m, *(found[0] if found else (0, None)))]
    return [_told(seen, m, n, told, key) for n, told in found]


def _recorded(known: Log, m: int, seen: Seen) -> bool:
    """Whether this report is on the message's trace already, or too many are."""
    reports = {
        one.event.report for one in known.timeline(m) if isinstance(one.event, DsnGot | ReportGot)
    }
    return ids.text(seen.m) in reports or len(reports) >= MAX_REPORTS


def _told(seen: Seen, m: int, n: int, told: Told, key: Key) -> DsnGot:
    digits = told.diagnostic[:3]
    return DsnGot(
        at=seen.at,
        trace=m,
        n=n,
        addr=told.final,
        host=told.remote_mta,
        code=int(digits) if digits.isascii() and digits.isdigit() else 0,
        enh=told.status,
        actor="remote",
        action=told.action,
        report=ids.text(seen.m),
        by=key.by,
        reporter=seen.report.reporter,
        diagnostic=told.diagnostic,
    )


def _got(seen: Seen, m: int, n: int, told: Told | None) -> ReportGot:
    report = seen.report
    return ReportGot(
        at=seen.at,
        trace=m,
        n=n,
        addr=told.final if told else "",
        actor="remote",
        what=report.kind,
        summary=": ".join(filter(None, (report.what, report.subject))),
        report=ids.text(seen.m),
        reporter=report.reporter,
    )
