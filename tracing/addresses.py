"""Addresses as the log compares them: one form for writing and for searching (PURE).

Domain in lower case as A-labels, local part NFC and in lower case: an address is found
however it was written. Domains are kept with their labels reversed, so that a domain with
all its subdomains is one range of names.
"""

import re
import unicodedata

_SURROGATE = re.compile("[\ud800-\udfff]")


def fold(text: str) -> str:
    """The form in which an address is stored and looked for; never raises."""
    if text.isascii():
        return text.lower()
    local, at, host = text.rpartition("@")
    if not at:
        return unicodedata.normalize("NFC", text).lower()
    return unicodedata.normalize("NFC", local).lower() + "@" + fold_domain(host)


def fold_domain(text: str) -> str:
    """A domain in lower case as A-labels (RFC 5890); what is no domain only in lower case."""
    name = unicodedata.normalize("NFC", text).lower()
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name


def split(folded: str) -> tuple[str, str]:
    """Local part and domain; what has no domain is all local part."""
    local, at, host = folded.rpartition("@")
    return (local, host) if at and host else (folded, "")


def join(local: str, domain: str) -> str:
    """What ``split`` took apart."""
    return f"{local}@{domain}" if domain else local


def reverse(domain: str) -> str:
    """``mail.example.org`` as ``org.example.mail``, and back."""
    return ".".join(reversed(domain.split(".")))


def rname_range(domain: str) -> tuple[str, str]:
    """Bounds [low, high) of the reversed names of a domain's subdomains."""
    name = reverse(domain)
    return name + ".", name + "/"


def storable(text: str) -> str:
    """Text with every lone surrogate as U+FFFD: what a file can hold, and be asked for."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def words(text: str) -> str:
    """Text as the full-text tables hold it: ё as е, so that either finds the other."""
    return text if text.isascii() else text.replace("ё", "е").replace("Ё", "Е")
