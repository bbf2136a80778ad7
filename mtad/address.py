"""Mail addresses as values, and the folder names made of them.

An address is compared in its normal form: domain in lower case as A-labels (RFC 5890), local
part NFC and in lower case. RFC 5321 2.4 lets a local part be case-sensitive; no system in use
is, and two boxes that differ only in case would be a trap.
"""

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote

MAX_LOCAL = 64
"""Octets in a local part (RFC 5321 4.5.3.1.1)."""
MAX_DOMAIN = 255
"""Octets in a domain (RFC 5321 4.5.3.1.2)."""

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_PLAIN = re.compile(r"[a-z0-9._+=-]")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A normalised address; ``str()`` gives ``local@domain``."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


def domain(text: str) -> str:
    """A domain in normal form. Raises ValueError with what is wrong."""
    name = unicodedata.normalize("NFC", text).rstrip(".").lower()
    if not name:
        raise ValueError("the domain is empty")
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise ValueError(f"{text!r} is not a domain name") from error
    if len(name) > MAX_DOMAIN or not all(_LABEL.fullmatch(part) for part in name.split(".")):
        raise ValueError(f"{text!r} is not a domain name")
    return name


def parse(text: str) -> Address:
    """An address in normal form. Raises ValueError with what is wrong."""
    local, at, host = text.strip().rpartition("@")
    if not at or not local:
        raise ValueError(f"{text!r} is not an address: expected name@domain")
    local = unicodedata.normalize("NFC", local).lower()
    if _FORBIDDEN.search(local) or any(char.isspace() for char in local):
        raise ValueError(f"{text!r} has characters that no address may have")
    if len(local.encode()) > MAX_LOCAL:
        raise ValueError(f"{text!r}: the part before @ is longer than {MAX_LOCAL} octets")
    return Address(local, domain(host))


def folder(text: str) -> str:
    """A file name for any text, reversible and without ``/``, ``..`` or a leading dot.

    Lower-case ASCII letters, digits and ``._+=-`` stay; all else is %XX of its UTF-8.
    """
    name = "".join(
        char if _PLAIN.match(char) else "".join(f"%{octet:02x}" for octet in char.encode())
        for char in text
    )
    return "%2e" + name[1:] if name.startswith(".") else name


def box_folder(address: str) -> str:
    """Where a box lies below the boxes directory: ``domain/local``, both made safe."""
    local, _, host = address.rpartition("@")
    return f"{folder(host)}/{folder(local)}"


def box_address(folder: str) -> str:
    """The address whose box lies in ``domain/local``: the way back from ``box_folder``."""
    host, _, local = folder.partition("/")
    return f"{unquote(local)}@{unquote(host)}"
