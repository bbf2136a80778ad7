"""Lines of Postfix's log: what its daemons say of a message (PURE).

What they write is in log_adhoc(3), smtpd(8), cleanup(8), qmgr(8) and postsuper(1).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tracing import events, sending
from tracing.event import Event
from tracing.history.told import MAX_TEXT, Told, number, remote_id, reply_codes

_KEY = re.compile(r"([0-9A-Za-z]{5,20}): ")
_NO_KEYS = frozenset(
    {"warning", "error", "fatal", "panic", "statistics", "timeout", "lost", "connect", "NOQUEUE"}
)
_CLIENT = re.compile(r"(\S{0,255})\[([0-9A-Fa-f.:]{2,45}|unknown)\](?::\d+)?")
_SAID = re.compile(r"host (\S{1,255})\[([^\]\s]{2,45})\](?::\d+)? (?:said|refused to talk to me): ")
_IN_REPLY = re.compile(r" \(in reply to (.{2,40}?)(?: command)?\)$")
_RELAY = re.compile(r"([^\s\[,]{1,255})(?:\[([^\]\s]{1,255})\])?")
_STAGES = {
    "HELO": "ehlo",
    "EHLO": "ehlo",
    "LHLO": "ehlo",
    "STARTTLS": "starttls",
    "AUTH": "auth",
    "MAIL FROM": "mail",
    "RCPT TO": "rcpt",
    "DATA": "data",
    "end of DATA": "dot",
}
_REFUSED_AT = {
    "CONNECT": "connect",
    "HELO": "helo",
    "EHLO": "helo",
    "MAIL": "mail",
    "RCPT": "rcpt",
    "DATA": "data",
    "END-OF-MESSAGE": "dot",
}
_FOUND_OUT = (
    ("connect to ", "connect"),
    ("Host or domain name not found", "dns"),
    ("Name service error", "dns"),
    ("does not accept mail (nullMX)", "dns"),
    ("TLS is required", "starttls"),
    ("Cannot start TLS", "starttls"),
    ("Server certificate not", "starttls"),
    ("SASL authentication failed", "auth"),
    ("initial server greeting", "banner"),
    ("while performing the EHLO", "ehlo"),
    ("while sending RCPT", "rcpt"),
    ("while sending MAIL", "mail"),
    ("while sending end of data", "dot"),
    ("while sending message body", "data"),
)
_OURSELVES = ("local", "virtual", "pipe", "none")


def told(daemon: str, at: int, text: str) -> Told | None:
    """What a daemon says, None where it concerns no message or adds nothing."""
    found = _KEY.match(text)
    key, said = (found[1], text[found.end() :]) if found else ("", text)
    if key in _NO_KEYS:
        key, said = "", text.removeprefix("NOQUEUE: ")
    if said.startswith(("reject: ", "milter-reject: ")):
        return _rejected(key, at, said.partition(": ")[2])
    read = _DAEMONS.get(daemon)
    return read(key, at, said) if read is not None and key else None


def _smtpd(key: str, _: int, said: str) -> Told | None:
    if not said.startswith("client="):
        return None
    fields = _fields(said)
    client = _CLIENT.match(fields.get("client", ""))
    if client is None:
        return None
    name = "" if client[1] == "unknown" else client[1]
    ip = "" if client[2] == "unknown" else client[2]
    return Told(key, ip=ip, helo=name, login=fields.get("sasl_username"))


def _pickup(key: str, _: int, said: str) -> Told | None:
    fields = _fields(said.replace(" from=", ", from="))
    return Told(key, sender=_address(fields["from"]), local=True) if "from" in fields else None


def _cleanup(key: str, at: int, said: str) -> Told | None:
    for name in ("message-id=", "resent-message-id="):
        if said.startswith(name):
            return Told(key, message_id=said.removeprefix(name)[:MAX_TEXT])
    if said.startswith("hold: "):
        return Told(key, event=sending.QueueHold(at=at, trace=0, why=_cut(said[6:])))
    return None


def _qmgr(key: str, at: int, said: str) -> Told | None:
    if said == "removed":
        return Told(key, over=True)
    if not said.startswith("from="):
        return None
    fields = _fields(said)
    sender = _address(fields["from"])
    if fields.get("status") == "expired":
        gone = sending.QueueExpire(at=at, trace=0, hours=0, tries=0)
        return Told(key, sender=sender, event=gone)
    return Told(key, sender=sender, size=number(fields.get("size", "")))


def _postsuper(key: str, at: int, said: str) -> Told | None:
    made: Event | None = None
    if said == "removed":
        made = sending.QueueDrop(at=at, trace=0, actor="admin", why="removed from the queue")
        return Told(key, event=made, over=True)
    if said == "placed on hold":
        made = sending.QueueHold(at=at, trace=0, actor="admin", why="placed on hold")
    elif said == "released from hold":
        made = sending.QueueRelease(at=at, trace=0, actor="admin", next_try=at)
    return Told(key, event=made) if made is not None else None


def _bounce(key: str, at: int, said: str) -> Told | None:
    what, colon, report = said.partition(" notification: ")
    sort = {"sender non-delivery": "failed", "sender delay": "delayed"}.get(what)
    if not colon or sort is None:
        return None
    return Told(key, event=sending.DsnMade(at=at, trace=0, what=sort, report=report[:20]))


def _agent(key: str, at: int, said: str) -> Told | None:
    """A delivery agent's account of one recipient."""
    fields = _fields(said)
    status, _, text = fields.get("status", "").partition(" ")
    address = _address(fields.get("to", ""))
    if not status or not address:
        return None
    text = text.removeprefix("(").removesuffix(")")
    relay = _RELAY.match(fields.get("relay", ""))
    host, ip = (relay[1], relay[2] or "") if relay else ("", "")
    host = "" if host in _OURSELVES else host
    event: Event
    if status == "sent":
        event = _sent(at, text, fields, host, ip)
    elif status in ("deferred", "bounced"):
        event = _failed(at, text, fields, host, ip, is_final=status == "bounced")
    elif status == "expired":
        event = sending.QueueExpire(at=at, trace=0, hours=0, tries=0, reply=_cut(text))
    else:
        return None
    return Told(key, event=_about(event, address), original=_address(fields.get("orig_to", "")))


def _sent(at: int, text: str, fields: Mapping[str, str], host: str, ip: str) -> Event:
    delays = [_seconds(part) for part in fields.get("delays", "").split("/")]
    before, queued, connect, transfer = delays if len(delays) == 4 else (0.0, 0.0, 0.0, 0.0)
    code = reply_codes(text[:40])[0]
    return sending.OutDelivered(
        at=at,
        trace=0,
        attempt=0,
        host=host,
        ip=ip if ":" in ip or ip[:1].isdigit() else "",
        code=code or 250,
        enh=fields.get("dsn", "")[:12],
        reply=_cut(text),
        rqid=remote_id(text) if code else "",
        wait=(before + queued) * 1000,
        connect=connect * 1000,
        ms=transfer * 1000,
        lmtp=not host or not ip,
    )


def _failed(
    at: int, text: str, fields: Mapping[str, str], host: str, ip: str, *, is_final: bool
) -> Event:
    said = _SAID.search(text)
    stage = next((stage for words, stage in _FOUND_OUT if words in text), "")
    reply = why = ""
    code = 0
    if said is not None:
        host, ip = said[1], said[2]
        reply = text[said.end() :]
        if at_command := _IN_REPLY.search(reply[-64:]):
            stage = _STAGES.get(at_command[1], "")
            reply = reply[: len(reply) - len(at_command[0])]
        elif "refused to talk" in said[0]:
            stage = "banner"
        code = reply_codes(reply[:40])[0]
    else:
        why = _cut(text)
        if not stage and not host:
            # A delivery agent of its own found out what a server would say to RCPT.
            stage = "rcpt"
    common: dict[str, Any] = {
        "at": at,
        "trace": 0,
        "attempt": 0,
        "stage": stage,
        "host": host,
        "ip": ip if ":" in ip or ip[:1].isdigit() else "",
        "code": code,
        "enh": fields.get("dsn", "")[:12],
        "reply": _cut(reply),
        "why": why,
    }
    if is_final:
        return sending.OutFailed(**common)
    return sending.OutDeferred(**common, next_try=0)


def _rejected(key: str, at: int, said: str) -> Told | None:
    """``RCPT from host[ip]: 550 5.1.1 ...; from=<a> to=<b> proto=ESMTP helo=<c>``."""
    stage, _, rest = said.partition(" from ")
    client = _CLIENT.match(rest)
    if client is None or _REFUSED_AT.get(stage) is None:
        return None
    rest = rest[client.end() :].removeprefix(": ")
    reply, named, envelope = rest.rpartition("; from=<")
    if not named:
        reply, named, envelope = rest.rpartition("; proto=")
        envelope = "" if named else envelope
        reply = reply or rest
    sender, to, helo = _envelope(envelope)
    code, enh = reply_codes(reply[:40])
    cls = events.SmtpTempfail if 400 <= code < 500 else events.SmtpReject
    is_rcpt = _REFUSED_AT[stage] == "rcpt"
    event = cls(
        at=at,
        trace=0,
        addr=to if is_rcpt else "",
        code=code,
        enh=enh,
        reply=_cut(reply),
        stage=_REFUSED_AT[stage],
        check=_check(reply),
    )
    ip = "" if client[2] == "unknown" else client[2]
    name = helo or ("" if client[1] == "unknown" else client[1])
    known = sender if named == "; from=<" else None
    return Told(key, sender=known, ip=ip, helo=name, event=event, original="")


_CHECKS = (
    ("reylist", "greylist"),
    ("User unknown in", "unknown_box"),
    ("Relay access denied", "relay_denied"),
    ("not owned by user", "not_own_address"),
    ("not logged in", "auth_required"),
    ("Must issue a STARTTLS", "tls_required"),
    ("Message size exceeds", "too_large"),
    ("message size limit", "too_large"),
    ("Too many recipients", "too_many_recipients"),
    ("Insufficient system storage", "journal_room"),
    ("Mailbox full", "quota"),
    ("mailbox is full", "quota"),
    ("uota exceeded", "quota"),
    ("too many hops", "mail_loop"),
    ("improper command pipelining", "pipelining"),
)


def _check(reply: str) -> str:
    """The name that the check has here which refuses for the same reason, if there is one."""
    known = next((name for words, name in _CHECKS if words in reply), "")
    return known or ("unknown_box" if reply_codes(reply[:40])[1] == "5.1.1" else "")


def _envelope(text: str) -> tuple[str, str, str]:
    """Sender, recipient and HELO of ``a> to=<b> proto=ESMTP helo=<c>``; commas do not matter."""
    sender = text.partition(">")[0]
    to = text.partition(" to=<")[2].partition(">")[0]
    helo = text.partition(" helo=<")[2].partition(">")[0]
    return sender[:MAX_TEXT], to[:MAX_TEXT], helo[:255]


def _fields(text: str) -> dict[str, str]:
    """``name=value, name=value``; the value of ``status`` is all that follows it."""
    head, status, rest = text.partition(", status=")
    found: dict[str, str] = {}
    for part in head.split(", "):
        name, sign, value = part.partition("=")
        if sign:
            found.setdefault(name.strip(), value)
    if status:
        found["status"] = rest.partition(",")[0] if rest.startswith("expired,") else rest
    return found


def _address(text: str) -> str:
    return text.partition(" ")[0].strip("<>")[:MAX_TEXT]


def _about(event: Event, address: str) -> Event:
    return msgspec.structs.replace(event, addr=address)


def _seconds(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1e9)
    except ValueError:
        return 0.0


def _cut(text: str) -> str:
    return text[:MAX_TEXT].strip()


_DAEMONS: dict[str, Callable[[str, int, str], Told | None]] = {
    "smtpd": _smtpd,
    "pickup": _pickup,
    "cleanup": _cleanup,
    "qmgr": _qmgr,
    "postsuper": _postsuper,
    "bounce": _bounce,
    **dict.fromkeys(
        ("smtp", "lmtp", "local", "virtual", "pipe", "error", "retry", "discard", "relay"), _agent
    ),
}
