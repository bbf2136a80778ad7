"""What the owner of a domain publishes so that mail comes here and is believed (PURE)."""

from dataclasses import dataclass

MAX_STRING = 255
"""Octets in one character-string of a TXT record (RFC 1035 3.3)."""


@dataclass(frozen=True, slots=True)
class Record:
    """A DNS record: absolute name, type, and value as a zone file writes it."""

    name: str
    type: str
    value: str


def records(domain: str, hostname: str, selector: str, dkim_key: str) -> list[Record]:
    """The records for a domain: MX, addresses, SPF, DKIM, DMARC.

    ``dkim_key`` is the public key as base64 of its SubjectPublicKeyInfo (RFC 6376 3.6.1). The
    server's addresses cannot be known from here; their records carry a hint instead.
    """
    return [
        Record(f"{domain}.", "MX", f"10 {hostname}."),
        Record(f"{hostname}.", "A", "<this server's public IPv4 address>"),
        Record(f"{hostname}.", "AAAA", "<its IPv6 address, or leave this out>"),
        Record(f"{domain}.", "TXT", text("v=spf1 mx -all")),
        Record(f"{selector}._domainkey.{domain}.", "TXT", text(f"v=DKIM1; k=rsa; p={dkim_key}")),
        Record(
            f"_dmarc.{domain}.", "TXT", text(f"v=DMARC1; p=none; rua=mailto:postmaster@{domain}")
        ),
    ]


def text(value: str) -> str:
    """A TXT value as quoted strings of at most 255 octets, which readers join (RFC 7208 3.3)."""
    parts = [value[start : start + MAX_STRING] for start in range(0, len(value), MAX_STRING)]
    return " ".join(f'"{part}"' for part in parts)
