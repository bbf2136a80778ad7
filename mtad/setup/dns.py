"""What the owner of a domain publishes so that mail comes here and is believed (PURE)."""

from collections.abc import Sequence

from mtad.zone import Record, text


def records(domain: str, hostname: str, dkim: Sequence[Record]) -> list[Record]:
    """The records for a domain: MX, addresses, SPF, DKIM, DMARC.

    ``dkim`` are those of its keys. The server's addresses cannot be known from here; their
    records carry a hint instead.
    """
    return [
        Record(f"{domain}.", "MX", f"10 {hostname}."),
        Record(f"{hostname}.", "A", "<this server's public IPv4 address>"),
        Record(f"{hostname}.", "AAAA", "<its IPv6 address, or leave this out>"),
        Record(f"{domain}.", "TXT", text("v=spf1 mx -all")),
        *dkim,
        Record(
            f"_dmarc.{domain}.", "TXT", text(f"v=DMARC1; p=none; rua=mailto:postmaster@{domain}")
        ),
    ]
