"""Messages of our own for the tests of tracing: their events, as SMTP and the store make them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tracing import events, ids

AT = 1_795_000_000_000_000
"""A time in November 2026."""
DECEMBER = 1_796_083_200_000_000
"""The first moment of December 2026 (UTC)."""


@dataclass
class Mail:
    """One message on its way; ids and times from ``clock``."""

    mint: ids.Mint
    at: int = AT
    sender: str = "sender@example.net"
    to: Sequence[str] = ("alice@example.org",)
    box: str = ""
    subject: str = "Quarterly figures"
    message_id: str = "<1@example.net>"
    ip: str = "192.0.2.7"
    cn: int = 0
    m: int = 0
    sts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cn = self.cn or self.mint.new()
        self.m = self.mint.new()

    def begin(self) -> list[events.Event]:
        """Up to RCPT."""
        told: list[events.Event] = [
            events.ConnOpen(at=self.at, trace=self.cn, ip=self.ip, listener="127.0.0.1:25"),
            events.SmtpEhlo(at=self.at, trace=self.cn, ip=self.ip, helo="mx.example.net"),
            events.SmtpMail(
                at=self.at,
                trace=self.m,
                addr=self.sender,
                ip=self.ip,
                cn=self.cn,
                helo="mx.example.net",
            ),
        ]
        told += [
            events.SmtpRcpt(at=self.at, trace=self.m, n=n, addr=address, code=250)
            for n, address in enumerate(self.to, 1)
        ]
        return told

    def accept(self) -> list[events.Event]:
        """The acceptance."""
        recipients = tuple(
            events.Recipient(n, self.box or address.lower(), address)
            for n, address in enumerate(self.to, 1)
        )
        return [
            events.SmtpAccept(
                at=self.at,
                trace=self.m,
                addr=self.sender,
                code=250,
                reply=f"250 2.0.0 queued as {ids.text(self.m)}",
                size=2000,
                sha256="ab" * 32,
                count=len(recipients),
                recipients=recipients,
                message_id=self.message_id,
                subject=self.subject,
                header_from=f"Someone <{self.sender}>",
            )
        ]

    def base(self, st: int) -> str:
        """The file name of a copy."""
        return f"{self.at // 1_000_000}.{ids.text(st)}.mx,S=2000,W=2050"

    def deliver(self) -> list[events.Event]:
        """The copies."""
        told: list[events.Event] = []
        for n, address in enumerate(self.to, 1):
            st = self.mint.new()
            self.sts.append(st)
            told.append(
                events.StoreDelivered(
                    at=self.at,
                    trace=self.m,
                    n=n,
                    addr=self.box or address.lower(),
                    st=st,
                    mailbox="INBOX",
                    base=self.base(st),
                    size=2000,
                )
            )
        return told

    def close(self) -> list[events.Event]:
        """The end of the connection."""
        return [events.ConnClose(at=self.at, trace=self.cn, why="quit", commands=5, messages=1)]

    def whole(self) -> list[events.Event]:
        """All of it."""
        return self.begin() + self.accept() + self.deliver() + self.close()

    def item(self, number: int = 0) -> events.Item:
        """A copy as an act names it."""
        st = self.sts[number]
        return events.Item(st, self.m, 1, self.base(st))


def mint(at: int = AT, node: int = 1) -> ids.Mint:
    """Ids of a time."""
    return ids.Mint(node, clock_ns=lambda: at * 1000)
