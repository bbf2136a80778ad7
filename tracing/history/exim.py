"""Lines of Exim's main log: arrivals, deliveries, failures, refusals (PURE).

The flags and fields are those of Exim's specification, chapter "Log files".
"""

import re
from collections.abc import Mapping
from typing import Any

from tracing import events, sending
from tracing.event import Event
from tracing.history.told import MAX_TEXT, Told, number, remote_id, reply_codes

_KEY = re.compile(
    r"(?:\[\d{1,10}\] )?"
    r"([0-9A-Za-z]{6}-(?:[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[0-9A-Za-z]{11}-[0-9A-Za-z]{4})) "
)
_FIELD = re.compile(r'(?<!\S)([A-Za-z]{1,3})=("(?:[^"\\]|\\.)*"|<[^>\s]*>|\S*)')
_CLIENT = re.compile(r"(?:([^\s(\[]{1,255}) )?(?:\((\S{0,255})\) )?\[([0-9A-Fa-f.:]{2,45})\]")
_REFUSAL = re.compile(
    r"(temporarily )?rejected (connection|EHLO|HELO|MAIL|RCPT|DATA|after DATA|AUTH|ETRN|VRFY)"
)
_REFUSED_TO = re.compile(r" ?(?:or HELO \S*|FROM:? ?)?(?:<([^>\s]*)>)?[^:]{0,255}: ")
_REFUSED_AT = {
    "connection": "connect",
    "EHLO": "helo",
    "HELO": "helo",
    "AUTH": "auth",
    "MAIL": "mail",
    "RCPT": "rcpt",
    "DATA": "data",
    "after DATA": "dot",
}
_AFTER = re.compile(
    r"after (initial connection|EHLO|HELO|LHLO|STARTTLS|AUTH|MAIL FROM|RCPT TO|DATA|"
    r"end of data|sending data block|pipelined \w+)"
)
_STAGES = {
    "initial connection": "banner",
    "EHLO": "ehlo",
    "HELO": "ehlo",
    "LHLO": "ehlo",
    "STARTTLS": "starttls",
    "AUTH": "auth",
    "MAIL FROM": "mail",
    "RCPT TO": "rcpt",
    "DATA": "data",
    "end of data": "dot",
    "sending data block": "dot",
    "pipelined end": "dot",
    "pipelined MAIL": "mail",
    "pipelined RCPT": "rcpt",
    "pipelined DATA": "data",
}
_FOUND_OUT = (
    ("host lookup did not complete", "dns"),
    ("lookup failed", "dns"),
    ("all relevant MX records point to non-existent hosts", "dns"),
    ("Connection refused", "connect"),
    ("Connection timed out", "connect"),
    ("Network is unreachable", "connect"),
    ("No route to host", "connect"),
    ("TLS session is required", "starttls"),
    ("a TLS session", "starttls"),
    ("Unrouteable address", "rcpt"),
    ("Unknown user", "rcpt"),
    ("mailbox is full", "rcpt"),
)
_DELIVERED = ("=> ", "-> ", ">> ")
_TARGET = re.compile(r"(\S{1,1000})(?: \([^()]{0,255}\))?(?: <([^>\s]{0,1000})>)?:?(?= |$)")


def told(at: int, text: str) -> Told | None:
    """What a line says behind its time, None where it concerns no message."""
    found = _KEY.match(text)
    key, said = (found[1], text[found.end() :]) if found else ("", text)
    if refusal := _REFUSAL.search(said):
        return _rejected(key, at, said, refusal)
    if not key:
        return None
    sign, rest = said[:3], said[3:]
    if sign == "<= ":
        return _arrived(key, rest)
    if sign in _DELIVERED:
        return _delivered(key, at, rest)
    if sign in ("** ", "== "):
        return _trouble(key, at, rest, is_final=sign == "** ")
    return _rest(key, at, said)


def is_ours(text: str) -> bool:
    """Whether a line has an id of Exim's behind its time, or reads like a refusal."""
    return bool(
        _KEY.match(text) or _REFUSAL.search(text) or text.startswith(("Start queue", "End "))
    )


def _rest(key: str, at: int, said: str) -> Told | None:
    event: Event | None = None
    if said.startswith("Completed"):
        return Told(key, over=True)
    if said.startswith("Frozen"):
        event = sending.QueueHold(at=at, trace=0, why=said[:MAX_TEXT])
    elif said.startswith("Unfrozen"):
        event = sending.QueueRelease(at=at, trace=0, actor="admin", next_try=at)
    elif said.startswith(("removed by ", "cancelled by ")):
        event = sending.QueueDrop(at=at, trace=0, actor="admin", why=said[:MAX_TEXT])
    return Told(key, event=event) if event is not None else None


def _arrived(key: str, rest: str) -> Told:
    sender, _, tail = rest.partition(" ")
    fields = _fields(tail)
    recipients: tuple[str, ...] = ()
    head, named, listed = tail.rpartition(" for ")
    if named and "@" in listed and "=" not in listed.partition("@")[0]:
        recipients = tuple(listed.split()[:10_000])
        fields = _fields(head)
    subject = fields.get("T", "")
    login = fields.get("A", "").partition(":")[2] or None
    client = _CLIENT.search(_after(tail, "H=")) if "H=" in tail else None
    return Told(
        key,
        sender="" if sender == "<>" else sender[:MAX_TEXT],
        ip=client[3] if client else None,
        helo=(client[2] or client[1] or "") if client else None,
        login=login,
        message_id=f"<{fields['id']}>"[:MAX_TEXT] if fields.get("id") else None,
        subject=_unquoted(subject)[:MAX_TEXT] if subject else None,
        size=number(fields.get("S", "")),
        recipients=recipients,
        local=client is None,
    )


def _delivered(key: str, at: int, rest: str) -> Told | None:
    target = _TARGET.match(rest)
    if target is None:
        return None
    tail = rest[target.end() :]
    fields, (host, ip) = _fields(tail), _host(tail)
    address, original = _addresses(target)
    event: Event
    if target[1] in (":blackhole:", "/dev/null"):
        by = f"rule:{fields.get('R', 'router')}"
        event = sending.QueueDrop(at=at, trace=0, addr=address, actor=by, why="discarded")
    else:
        reply = _unquoted(fields.get("C", ""))[:MAX_TEXT]
        code, enh = reply_codes(reply[:40])
        event = sending.OutDelivered(
            at=at,
            trace=0,
            addr=address,
            attempt=0,
            host=host,
            ip=ip,
            code=code or 250,
            enh=enh,
            reply=reply or f"delivered by {fields.get('T', 'a transport')}"[:MAX_TEXT],
            rqid=remote_id(reply),
            tls=fields.get("X", "")[:80],
            lmtp=not host,
        )
    return Told(key, event=event, original=original)


def _trouble(key: str, at: int, rest: str, *, is_final: bool) -> Told | None:
    target = _TARGET.match(rest)
    if target is None:
        return None
    tail = rest[target.end() :]
    host, ip = _host(tail)
    address, original = _addresses(target)
    stage, reply = "", ""
    if after := _AFTER.search(tail):
        stage = _STAGES.get(after[1], "")
        found = re.search(r": ([245]\d\d[ -].{0,1000})", tail[after.end() :])
        reply = found[1] if found else ""
    why = "" if reply else _reason(tail)
    stage = stage or next((stage for words, stage in _FOUND_OUT if words in tail), "")
    code, enh = reply_codes(reply[:40])
    if is_final and "retry timeout exceeded" in tail:
        event: Event = sending.QueueExpire(
            at=at, trace=0, addr=address, host=host, ip=ip, code=code, enh=enh,
            reply=(reply or why)[:MAX_TEXT], hours=0, tries=0,
        )  # fmt: skip
        return Told(key, event=event, original=original)
    common: dict[str, Any] = {
        "at": at, "trace": 0, "addr": address, "attempt": 0, "stage": stage, "host": host,
        "ip": ip, "code": code, "enh": enh, "reply": reply[:MAX_TEXT], "why": why,
    }  # fmt: skip
    if not is_final:
        common["next_try"] = 0
    event = (sending.OutFailed if is_final else sending.OutDeferred)(**common)
    return Told(key, event=event, original=original)


def _rejected(key: str, at: int, said: str, refusal: "re.Match[str]") -> Told | None:
    head, tail = said[: refusal.start()], said[refusal.end() :]
    client = _CLIENT.search(_after(head, "H="))
    stage = _REFUSED_AT.get(refusal[2])
    if client is None or stage is None:
        return None
    named = _REFUSED_TO.match(tail)
    to = named[1] or "" if named else ""
    reply = (tail[named.end() :] if named else tail.lstrip(": "))[:MAX_TEXT]
    code, enh = reply_codes(reply[:40])
    later = bool(refusal[1])
    cls = events.SmtpTempfail if later else events.SmtpReject
    event = cls(
        at=at,
        trace=0,
        addr=to if stage == "rcpt" else "",
        code=code or (451 if later else 550),
        enh=enh,
        reply=reply,
        stage=stage,
        check=_check(reply),
    )
    sender = _fields(head).get("F")
    if stage == "mail":
        sender = to
    return Told(
        key,
        sender=sender.strip("<>")[:MAX_TEXT] if sender is not None else None,
        ip=client[3],
        helo=client[2] or client[1] or "",
        event=event,
    )


_CHECKS = (
    ("reylist", "greylist"),
    ("relay not permitted", "relay_denied"),
    ("Unrouteable address", "unknown_box"),
    ("Unknown user", "unknown_box"),
    ("message too big", "too_large"),
    ("message size exceeds", "too_large"),
    ("too many recipients", "too_many_recipients"),
    ("mailbox is full", "quota"),
    ("uthentication required", "auth_required"),
)


def _check(reply: str) -> str:
    return next((name for words, name in _CHECKS if words in reply), "")


def _addresses(target: "re.Match[str]") -> tuple[str, str]:
    """The address and the one that led to it; files, pipes and local parts are no addresses."""
    shown, original = target[1].rstrip(":"), target[2] or ""
    if original and ("@" not in shown or shown.startswith(("/", "|"))):
        return original, ""
    return shown, original


def _host(tail: str) -> tuple[str, str]:
    found = _CLIENT.match(_after(tail, "H="))
    return (found[1] or "", found[3]) if found else ("", "")


def _reason(tail: str) -> str:
    """The words behind the fields of a failure."""
    head, colon, rest = tail.partition(": ")
    is_behind = bool(colon) and ("=" in head or " defer (" in head or not head.strip())
    return (rest if is_behind else tail).strip(" :")[:MAX_TEXT]


def _fields(text: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for one in _FIELD.finditer(text):
        found.setdefault(one[1], one[2])
    return found


def _after(text: str, name: str) -> str:
    return text.partition(name)[2]


_ESCAPED = re.compile(r"\\([0-7]{3}|.)")


def _unquoted(text: str) -> str:
    """What stands in quotation marks; octets as Exim writes them, in octal."""
    if not text.startswith('"'):
        return text
    plain = _ESCAPED.sub(
        lambda one: chr(int(one[1], 8) & 0xFF) if len(one[1]) == 3 else one[1], text[1:-1]
    )
    try:
        return plain.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return plain
