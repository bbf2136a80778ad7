"""Who a message handed over by a local program is for (PURE).

With ``-t`` the recipients stand in To, Cc and Bcc, or in their Resent- twins where the message
was resent (RFC 5322 3.6.6). Addresses on the command line are added to them.
"""

from collections.abc import Iterable, Iterator
from email.utils import getaddresses

from mtad import completion

MAX_RECIPIENTS = 10_000
_TO = (b"to", b"cc", b"bcc")
_RESENT = (b"resent-to", b"resent-cc", b"resent-bcc")


def recipients(message: bytes) -> list[str]:
    """The addresses its header names as recipients, each once, in order."""
    named = [(completion.name_of(one), one) for one in completion.fields(message)[0]]
    resent = [one for name, one in named if name in _RESENT]
    lines = resent or [one for name, one in named if name in _TO]
    values = [completion.value_of(one).decode("utf-8", "replace") for one in lines]
    return list(dict.fromkeys(_addresses(values)))[:MAX_RECIPIENTS]


def _addresses(values: Iterable[str]) -> Iterator[str]:
    for _, address in getaddresses(list(values)):
        if address.strip():
            yield address.strip()


def until_dot(message: bytes) -> bytes:
    """The message up to a line with one dot, as ``sendmail`` without ``-i`` reads it."""
    if message.startswith((b".\n", b".\r\n")):
        return b""
    for end in (b"\n.\n", b"\n.\r\n"):
        at = message.find(end)
        if at >= 0:
            message = message[: at + 1]
    if message.endswith(b"\n."):
        return message[:-1]
    return message


def with_domain(address: str, hostname: str) -> str:
    """An address with the domain it lacks: programs write to ``root``."""
    return address if "@" in address else f"{address}@{hostname}"
