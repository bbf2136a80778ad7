"""Every event there is, each declared once: here or beside.

Beside are ``sending``, ``access``, ``stored`` and ``snapshots``.

A declaration is a frozen struct: its tag is the stored name and stable for ever, ``text`` is
the one line people read, the docstring says when it happens, the fields say what is known.
Journal frames, rows, CLI lines, the TUI, docs/events.md and the round-trip tests derive from
it. The fields of ``Event`` itself have columns; a subclass's own fields go to the JSON
``detail``, so that a further event or field needs no migration. A field is only ever added,
with a default; a reader skips what it does not know and shows an unknown kind as ``Unknown``.

All times are microseconds since the Unix epoch in UTC; sizes are octets; ``trace``, ``st``
and ``cn`` are ids of ``tracing.ids``.
"""

from typing import Any, Union

import msgspec

from tracing import access, sending  # noqa: F401 - they declare the rest
from tracing.event import COLUMNS as COLUMNS
from tracing.event import REGISTRY as REGISTRY
from tracing.event import Event as Event
from tracing.event import Outcome as Outcome
from tracing.event import Unknown as Unknown
from tracing.event import declare as declare
from tracing.event import kind_of as kind_of
from tracing.snapshots import BackupCopied as BackupCopied
from tracing.snapshots import BackupDone as BackupDone
from tracing.snapshots import BackupDrilled as BackupDrilled
from tracing.snapshots import BackupFail as BackupFail
from tracing.snapshots import BackupForgot as BackupForgot
from tracing.snapshots import BackupHeld as BackupHeld
from tracing.snapshots import BackupKey as BackupKey
from tracing.snapshots import BackupPruned as BackupPruned
from tracing.snapshots import BackupReleased as BackupReleased
from tracing.snapshots import BackupStart as BackupStart
from tracing.snapshots import BackupVerified as BackupVerified
from tracing.snapshots import RestoreDone as RestoreDone
from tracing.snapshots import RestoreMessage as RestoreMessage
from tracing.snapshots import RestoreStart as RestoreStart
from tracing.stored import BoxAcl as BoxAcl
from tracing.stored import BoxAppend as BoxAppend
from tracing.stored import BoxCopy as BoxCopy
from tracing.stored import BoxEvent as BoxEvent
from tracing.stored import BoxExpunge as BoxExpunge
from tracing.stored import BoxFlags as BoxFlags
from tracing.stored import BoxForeign as BoxForeign
from tracing.stored import BoxMailbox as BoxMailbox
from tracing.stored import BoxMove as BoxMove
from tracing.stored import BoxNumbered as BoxNumbered
from tracing.stored import BoxRead as BoxRead
from tracing.stored import BoxSeen as BoxSeen
from tracing.stored import BoxVanished as BoxVanished
from tracing.stored import Item as Item
from tracing.stored import Pop3Dele as Pop3Dele
from tracing.stored import Pop3Retr as Pop3Retr

# ------------------------------------------------------------- connections


@declare("connection from {ip} to {listener}")
class ConnOpen(Event, frozen=True, kw_only=True, tag="conn.open"):
    """A peer connected; ``trace`` is the connection's id from here on.

    ``proxy`` is the address of the proxy that it came through, empty without one.
    """

    listener: str
    proxy: str = ""


@declare("connection from {ip} refused: {why}", Outcome.FAIL)
class ConnRefused(Event, frozen=True, kw_only=True, tag="conn.refused"):
    """A peer was turned away before any command (limit, ban, network rule)."""

    why: str


@declare("connection closed: {why}, {commands:command}, {messages:message}")
class ConnClose(Event, frozen=True, kw_only=True, tag="conn.close"):
    """The connection is over.

    ``why`` is quit, lost, timeout, slow (a message came too slowly), age (connected for too long),
    errors, shutdown, refused, or error (a failure of ours).
    """

    why: str
    commands: int = 0
    messages: int = 0
    seconds: float = 0.0


@declare("TLS {version} {cipher}", Outcome.OK)
class TlsOk(Event, frozen=True, kw_only=True, tag="tls.ok"):
    """A TLS handshake succeeded."""

    version: str
    cipher: str


@declare("TLS handshake failed: {why}", Outcome.FAIL)
class TlsFail(Event, frozen=True, kw_only=True, tag="tls.fail"):
    """A TLS handshake failed; the connection is over."""

    why: str


# -------------------------------------------------------------------- SMTP


@declare("{verb} {helo}")
class SmtpEhlo(Event, frozen=True, kw_only=True, tag="smtp.ehlo"):
    """The client said who it claims to be; ``verb`` is EHLO, HELO or LHLO."""

    helo: str
    verb: str = "EHLO"


@declare("MAIL FROM:<{addr}>")
class SmtpMail(Event, frozen=True, kw_only=True, tag="smtp.mail"):
    """A mail transaction began; ``trace`` is the message id, ``cn`` its connection.

    ``addr`` is the reverse-path, empty for the null sender. ``size`` is what the client
    declared (RFC 1870), 0 when it did not.
    """

    cn: int
    helo: str = ""
    size: int = 0
    login: str = ""
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    body: str = ""
    requiretls: bool = False


@declare("RCPT TO:<{addr}> accepted")
class SmtpRcpt(Event, frozen=True, kw_only=True, tag="smtp.rcpt"):
    """A recipient was accepted; ``addr`` is the address as given.

    ``notify`` (comma-separated) and ``orcpt`` (xtext) are the client's (RFC 3461).
    """

    notify: str = ""
    orcpt: str = ""


@declare("{original} is an alias of {addr}")
class RouteAlias(Event, frozen=True, kw_only=True, tag="route.alias"):
    """An alias led to a final recipient; ``n`` is the final recipient's number."""

    original: str


@declare("mail for {original} is passed on to {addr}")
class RouteForward(Event, frozen=True, kw_only=True, tag="route.forward"):
    """A box passes its mail on; ``n`` is the final recipient's number."""

    original: str


@declare("{addr} was reached already as recipient {first}; one copy is enough")
class RouteDuplicate(Event, frozen=True, kw_only=True, tag="route.duplicate"):
    """Two accepted addresses lead to one box; only the first gets a copy."""

    original: str
    first: int


class Recipient(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True, gc=False):
    """One accepted final recipient: number, box address, address as given in RCPT."""

    n: int
    addr: str
    original: str


@declare("accepted {size:octet} for {count:recipient}: {reply}", Outcome.OK)
class SmtpAccept(Event, frozen=True, kw_only=True, tag="smtp.accept"):
    """The message and this event are durable and 250 is about to be sent.

    ``addr`` is the sender. ``size`` and ``sha256`` (hex) are of the stored bytes, our
    Return-Path and Received lines included, line ends LF.
    """

    size: int
    sha256: str
    count: int
    recipients: tuple[Recipient, ...]
    message_id: str = ""
    subject: str = ""
    header_from: str = ""
    ms: float = 0.0


@declare("message of ours for {count:recipient}: {rel}", Outcome.OK)
class MailMade(SmtpAccept, frozen=True, kw_only=True, tag="mail.made"):
    """A message made here is ours, durable like any other; fields as in ``smtp.accept``.

    ``rel`` says what it is to ``parent`` (a message id, 0 for none): dsn, report, notice, local
    (handed over by a program on this machine).
    """

    rel: str
    parent: int = 0


@declare("read from {source}, a log of {server}, where it is {key}")
class MailImported(Event, frozen=True, kw_only=True, tag="mail.imported"):
    """What another server's log told of a message was read in, at ``at``; it was never ours.

    ``lines`` are the numbers of the first lines that told of it, ``over`` says whether they
    reach to its end.
    """

    source: str
    server: str
    key: str
    lines: tuple[int, ...] = ()
    over: bool = False


@declare("refused at {stage}: {reply}", Outcome.FAIL)
class SmtpReject(Event, frozen=True, kw_only=True, tag="smtp.reject"):
    """A permanent negative reply; ``check`` names the check that objected.

    ``stage`` is connect, helo, auth, mail, rcpt, data or dot; ``argument`` is what was said.
    """

    stage: str
    argument: str = ""
    check: str = ""


@declare("try later at {stage}: {reply}", Outcome.DEFER)
class SmtpTempfail(Event, frozen=True, kw_only=True, tag="smtp.tempfail"):
    """A transient negative reply; fields as in ``smtp.reject``."""

    stage: str
    argument: str = ""
    check: str = ""


@declare("transaction ended at {stage} without a message: {why}", Outcome.FAIL)
class SmtpAbort(Event, frozen=True, kw_only=True, tag="smtp.abort"):
    """The client left or reset after MAIL FROM and before we took responsibility.

    ``why`` is reset, or as in ``conn.close``; ``received`` counts octets of DATA.
    """

    stage: str
    why: str
    received: int = 0


@declare("client gone before it could read: {unsent}", Outcome.INFO)
class SmtpUnheard(Event, frozen=True, kw_only=True, tag="smtp.unheard"):
    """The message is ours but the client left before our 250; it may send it again."""

    unsent: str


@declare("protocol error: {argument}: {reply}", Outcome.FAIL)
class SmtpProtocol(Event, frozen=True, kw_only=True, tag="smtp.protocol"):
    """A command out of sequence, unknown, malformed or too long; ``trace`` as known.

    ``check`` is sequence, unknown_command or syntax.
    """

    stage: str
    argument: str = ""
    check: str = ""


# ------------------------------------------------------------------- store


@declare("delivered to {addr}, mailbox {mailbox}", Outcome.OK)
class StoreDelivered(Event, frozen=True, kw_only=True, tag="store.delivered"):
    """The stored copy ``st`` lies in a mailbox; ``base`` is the file's base name."""

    st: int
    mailbox: str
    base: str
    size: int


@declare("could not deliver to {addr}: {why}", Outcome.DEFER)
class StoreFailed(Event, frozen=True, kw_only=True, tag="store.failed"):
    """A stored copy could not be made yet; the journal keeps the message."""

    why: str


# --------------------------------------------------------- admin, log, system


@declare("{what} {name}: {before} -> {after} by {actor}")
class AdminChange(Event, frozen=True, kw_only=True, tag="admin.change"):
    """A domain, box, alias or setting was changed; never carries a secret."""

    what: str
    name: str
    before: str = ""
    after: str = ""


@declare("{actor} looked at mail of {addr}: {query}")
class AdminViewed(Event, frozen=True, kw_only=True, tag="admin.viewed"):
    """Someone looked into a trace: ``addr`` is whose view it was, empty for an operator's.

    ``trace`` is the message looked at, or the look's own id for a list. Told once an hour for
    the same eyes and the same question.
    """

    query: str

    def __str__(self) -> str:
        if self.addr:
            return Event.__str__(self)
        return f"{self.actor} looked at mail: {self.query}"


@declare("{role} started, version {version}")
class SysStart(Event, frozen=True, kw_only=True, tag="sys.start"):
    """A role of the daemon is up; ``trace`` is its run's id."""

    role: str
    version: str


@declare("{role} stopped: {why}")
class SysStop(Event, frozen=True, kw_only=True, tag="sys.stop"):
    """A role of the daemon ended in good order."""

    role: str
    why: str


@declare("recovered after an unclean stop: {frames:frame} replayed, {repaired:file} repaired")
class SysRecovered(Event, frozen=True, kw_only=True, tag="sys.recovered"):
    """The journals were replayed at start."""

    frames: int
    repaired: int


@declare("{count:event} of kind {lost} lost under load", Outcome.FAIL)
class LogGap(Event, frozen=True, kw_only=True, tag="log.gap"):
    """Lagging events were dropped; never silently."""

    lost: str
    count: int


@declare("month {month} of the log: {what}, {events:event}", Outcome.INFO)
class LogSealed(Event, frozen=True, kw_only=True, tag="log.sealed"):
    """Something became of a month of the log that is over: sealed, summarised, dropped ...

    ``digest`` is what it is from then on, ``head`` that of the chain of all seals
    (``mtad log verify``); ``octets`` is the size of its file.
    """

    month: str
    what: str
    events: int = 0
    octets: int = 0
    digest: str = ""
    head: str = ""


@declare("{alias} was somebody whom {actor} erased from the log", Outcome.DROP)
class LogErased(Event, frozen=True, kw_only=True, tag="log.erased"):
    """A person was taken out of the log (``mtad erase``); ``alias`` stands in the address's place.

    ``months`` were changed, with so many ``messages`` of or about the person, and ``details`` of
    events (traces, where the month was sealed).
    """

    alias: str
    months: tuple[str, ...] = ()
    messages: int = 0
    details: int = 0


@declare("the books do not balance: {what}", Outcome.FAIL)
class AuditViolation(Event, frozen=True, kw_only=True, tag="audit.violation"):
    """The auditor found something without explanation."""

    what: str


# --------------------------------------------------------------- encoding

AnyEvent = Union[(*REGISTRY.values(), Unknown)]  # type: ignore[valid-type]
"""The union of all declared events, for decoders."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(AnyEvent).decode
_encode_json = msgspec.json.Encoder().encode


def encode(event: Event) -> bytes:
    """An event as MessagePack."""
    return _encode(event)


def decode(data: bytes) -> Event:
    """The event in ``data``; ``Unknown`` when its kind or shape is of another version.

    Raises ValueError when ``data`` is no event at all.
    """
    try:
        return _decode(data)  # type: ignore[no-any-return]
    except msgspec.ValidationError:
        return unknown(msgspec.msgpack.decode(data))
    except msgspec.DecodeError as error:
        raise ValueError(f"not an event: {error}") from error


def from_fields(fields: dict[str, Any]) -> Event:
    """An event from its fields and ``kind``; ``Unknown`` when they do not fit."""
    cls = REGISTRY.get(str(fields.get("kind", "")))
    if cls is not None:
        try:
            return msgspec.convert(fields, cls)
        except msgspec.ValidationError:
            pass
    return unknown(fields)


def unknown(fields: Any) -> Event:
    """What is kept of an event this version cannot read. Raises ValueError if nothing can be."""
    if not isinstance(fields, dict):
        raise ValueError("not an event: no fields")
    common = {name: fields[name] for name in COLUMNS if name in fields}
    rest = {name: value for name, value in fields.items() if name not in COLUMNS}
    was = str(rest.pop("kind", "unknown"))
    try:
        return msgspec.convert(
            {**common, "kind": "unknown", "was": was, "fields": _encode_json(rest).decode()},
            Unknown,
        )
    except msgspec.ValidationError as error:
        raise ValueError(f"not an event: {error}") from error


def to_fields(event: Event) -> dict[str, Any]:
    """An event as plain values: what JSON output shows."""
    return msgspec.to_builtins(event)  # type: ignore[no-any-return]
