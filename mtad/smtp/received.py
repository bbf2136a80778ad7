"""The header lines we put on top of a message: Return-Path and Received (RFC 5321 4.4).

Pure. What the client said of itself is shown only in characters that can stand in a header
without meaning anything.
"""

import re
import time
from dataclasses import dataclass

from mtad.address import domain
from mtad.smtp.command import Path
from tracing import ids

_OTHER = re.compile(r"[^A-Za-z0-9._:\[\]-]")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)
_last_date: tuple[int, str] = (-1, "")


@dataclass(frozen=True, slots=True)
class Client:
    """The other side of a session: its address, its name as it says, how it talks.

    ``ip`` is empty behind a unix socket.
    """

    ip: str
    helo: str = ""
    extended: bool = True
    """Whether it said EHLO."""
    tls: str = ""
    """Version and cipher, e.g. ``TLSv1.3 TLS_AES_256_GCM_SHA384``; empty without TLS."""
    is_known: bool = False
    """Whether it has logged in."""
    is_local: bool = False
    """Whether it talks LMTP."""


def lines(
    client: Client,
    *,
    hostname: str,
    m: int,
    sender: str,
    recipient: Path | None,
    smtputf8: bool,
    at: int,
) -> bytes:
    """Return-Path and Received, line ends LF.

    ``recipient`` is the sole recipient as given, or None when there are several: naming one
    would tell the others' secret (RFC 5321 7.2). ``at`` is in seconds.
    """
    shown = _OTHER.sub("?", client.helo) or "unknown"
    address = f"IPv6:{client.ip}" if ":" in client.ip else client.ip
    peer = f" (unknown [{address}])" if address else ""
    secure = f"\n\t({client.tls})" if client.tls else ""
    only = f"\n\tfor <{_shown(recipient)}>" if recipient is not None else ""
    return (
        f"Return-Path: <{sender}>\n"
        f"Received: from {shown}{peer}\n"
        f"\tby {hostname} (mtad) with {protocol(client, smtputf8)} id {ids.text(m)}"
        f"{secure}{only};\n\t{date(at)}\n"
    ).encode()


def _shown(recipient: Path) -> str:
    """A recipient as it was given, but a domain in Unicode as A-labels.

    They say the same, and the header does not need SMTPUTF8 on the rest of its way.
    """
    if recipient.domain.isascii():
        return recipient.text
    try:
        return recipient.text.removesuffix(recipient.domain) + domain(recipient.domain)
    except ValueError:
        return recipient.text


def mark(hostname: str) -> bytes:
    """What stands in a Received line of this server and in no other's."""
    return f"by {hostname} (mtad) with ".encode()


def protocol(client: Client, smtputf8: bool) -> str:
    """The word after ``with`` (RFC 3848, RFC 6531 4.3)."""
    secure, known = "S" if client.tls else "", "A" if client.is_known else ""
    if client.is_local:
        return ("UTF8LMTP" if smtputf8 else "LMTP") + secure + known
    if not client.extended and not smtputf8:
        return "SMTP"
    return ("UTF8SMTP" if smtputf8 else "ESMTP") + secure + known


def date(at: int) -> str:
    """A time in seconds as RFC 5322 3.3 writes it, in UTC."""
    global _last_date
    last, written = _last_date
    if last != at:
        t = time.gmtime(at)
        written = (
            f"{_DAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year:04} "
            f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} +0000"
        )
        _last_date = at, written
    return written
