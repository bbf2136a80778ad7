"""DNS records as a zone file writes them, for people to publish (RFC 1035 5; PURE)."""

from dataclasses import dataclass

MAX_STRING = 255
"""Octets in one character-string of a TXT record (RFC 1035 3.3)."""


@dataclass(frozen=True, slots=True)
class Record:
    """A DNS record: absolute name, type, and value as a zone file writes it."""

    name: str
    type: str
    value: str


def text(value: str) -> str:
    """A TXT value as quoted strings of at most 255 octets, which readers join (RFC 7208 3.3)."""
    parts = [value[start : start + MAX_STRING] for start in range(0, len(value), MAX_STRING)]
    return " ".join(f'"{part}"' for part in parts)
