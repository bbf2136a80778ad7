"""What a delivery status notification is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from mtad.reports.words import Lang, What


@dataclass(frozen=True, slots=True)
class Original:
    """The message a report is about; ``content`` as it is stored, line ends LF.

    ``sender`` is its reverse-path; ``envid`` and ``ret`` are those of RFC 3461, ``envid`` in
    xtext as MAIL gave it. ``arrived`` is in microseconds.
    """

    m: int
    sender: str
    content: bytes
    arrived: int
    envid: str = ""
    ret: str = ""
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class Reported:
    """One recipient and what became of it.

    ``addr`` is the final address, ``original`` the one in RCPT when it led there, ``orcpt``
    that of RFC 3461 in xtext. ``reply`` is what the remote ``host`` at ``ip`` said, verbatim,
    lines separated by LF; ``why`` our own words where it said nothing. ``last_attempt`` and
    ``retry_until`` are in microseconds, 0 for none.
    """

    addr: str
    status: str = ""
    reply: str = ""
    why: str = ""
    host: str = ""
    ip: str = ""
    original: str = ""
    orcpt: str = ""
    last_attempt: int = 0
    retry_until: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """A notification to make: ``what`` became of all ``recipients`` of ``original``.

    ``m`` is the report's own id, ``at`` its time in microseconds, ``postmaster`` the address
    it comes from. It goes to the sender of the original, or ``to`` another where there is none
    to tell (a double bounce).
    """

    m: int
    at: int
    what: What
    original: Original
    recipients: Sequence[Reported]
    hostname: str
    postmaster: str
    lang: Lang = "en"
    to: str = ""

    @property
    def receiver(self) -> str:
        """Whom it is addressed to."""
        return self.to or self.original.sender

    @property
    def is_global(self) -> bool:
        """Whether it has addresses that only SMTPUTF8 can carry (RFC 6533)."""
        return self.original.smtputf8 and not (
            self.receiver.isascii()
            and all(r.addr.isascii() and r.original.isascii() for r in self.recipients)
        )
