"""Endless plausible mail for a log: what strangers send, what users send, what is refused.

A message has twelve or thirteen events, those of its connection and of the clients that read it
included. Six in ten come from elsewhere, a quarter of them from a sender used once (VERP); one in
four goes out; the rest is refused.
"""

import random
from collections.abc import Iterator

from tracing import access, events, ids, sending

FIRST_US = 1_793_500_000_000_000
"""The second of a month, so that ten million events have room in it."""
_WORDS = (
    "отчёт счёт договор заявка встреча оплата заказ график invoice report meeting order figures "
    "draft agenda update release travel contract budget question answer reminder photos summer "
    "notes plan supply delivery sample offer price list stock review"
)
WORDS = _WORDS.split()
HOSTS = [f"mx{i}.sender{i % 900}.example.net" for i in range(3000)]
_REMOTES = [f"mail.there{i}.example.com" for i in range(700)]
_CIPHERS = ("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256")
_CLIENTS = ("Thunderbird 140.4", "K-9 Mail 16", "iPhone Mail 22G86", "")


class Traffic:
    """The same mail for the same seed; ``pace`` is the mean of microseconds between messages."""

    def __init__(self, seed: int = 7, pace: int = 638_000) -> None:
        self.random = random.Random(seed)
        self.at = FIRST_US
        self._pace = pace
        self._mint = ids.Mint(1, 0, lambda: self.at * 1000)
        self.boxes = [f"user{i}@company{i % 3}.example.org" for i in range(300)]
        self.senders = [f"person{i}@sender{i % 900}.example.net" for i in range(20_000)]
        self.others = [f"contact{i}@there{i % 700}.example.com" for i in range(8_000)]

    def messages(self) -> Iterator[tuple[int, list[events.Event]]]:
        """The last id and the events of one message after the other."""
        number = 0
        while True:
            number += 1
            self.at += self.random.randrange(1_000, 2 * self._pace)
            kind = self.random.random()
            if kind < 0.6:
                yield self._incoming(number)
            elif kind < 0.85:
                yield self._outgoing(number)
            else:
                yield self._refused(number)

    # ------------------------------------------------------------------ pieces

    def _box(self) -> str:
        return self.boxes[int(self.random.random() ** 2 * len(self.boxes))]

    def _later(self, most: int) -> int:
        """Some microseconds later."""
        self.at += self.random.randrange(most)
        return self.at

    def _begin(self, cn: int, ip: str, host: str, listener: str, tls: bool) -> list[events.Event]:
        told: list[events.Event] = [
            events.ConnOpen(at=self._later(300), trace=cn, ip=ip, listener=listener),
            events.SmtpEhlo(
                at=self._later(900), trace=cn, ip=ip, host=host, actor="remote", helo=host
            ),
        ]
        if tls:
            told += [
                events.TlsOk(
                    at=self._later(900),
                    trace=cn,
                    ip=ip,
                    version="TLSv1.3",
                    cipher=self.random.choice(_CIPHERS),
                ),
                events.SmtpEhlo(
                    at=self._later(900), trace=cn, ip=ip, host=host, actor="remote", helo=host
                ),
            ]
        return told

    def _end(self, cn: int, ip: str, commands: int, messages: int) -> events.Event:
        return events.ConnClose(
            at=self._later(900),
            trace=cn,
            ip=ip,
            why="quit",
            commands=commands,
            messages=messages,
            seconds=round(self.random.uniform(0.05, 2), 3),
        )

    def _accept(
        self, m: int, number: int, sender: str, to: list[str], ip: str, host: str
    ) -> events.Event:
        pick = self.random
        return events.SmtpAccept(
            at=self._later(2_000),
            trace=m,
            addr=sender,
            ip=ip,
            host=host,
            code=250,
            enh="2.0.0",
            reply=f"250 2.0.0 queued as {ids.text(m)}",
            actor="remote",
            size=2000 + int(pick.paretovariate(1.2) * 900),
            sha256=f"{pick.getrandbits(256):064x}",
            count=len(to),
            recipients=tuple(events.Recipient(n, box, box) for n, box in enumerate(to, 1)),
            message_id=f"<{number}.{pick.getrandbits(40):x}@{host}>",
            subject=" ".join(pick.choices(WORDS, k=4)) + f" {number}",
            header_from=f"Someone <{sender}>",
            ms=round(pick.uniform(0.6, 4), 2),
        )

    def _asked(
        self, m: int, sender: str, to: list[str], ip: str, host: str, cn: int, login: str = ""
    ) -> list[events.Event]:
        told: list[events.Event] = [
            events.SmtpMail(
                at=self._later(900),
                trace=m,
                addr=sender,
                ip=ip,
                host=host,
                actor="remote",
                cn=cn,
                helo=host,
                login=login,
                size=self.random.randrange(2000, 60_000),
            )
        ]
        told += (
            events.SmtpRcpt(
                at=self._later(900),
                trace=m,
                n=n,
                addr=box,
                ip=ip,
                code=250,
                enh="2.1.5",
                actor="remote",
            )
            for n, box in enumerate(to, 1)
        )
        return told

    # ---------------------------------------------------------------- messages

    def _incoming(self, number: int) -> tuple[int, list[events.Event]]:
        pick = self.random
        cn, m = self._mint.new(), self._mint.new()
        ip = f"198.51.{pick.randrange(100)}.{pick.randrange(250)}"
        host, sender = pick.choice(HOSTS), pick.choice(self.senders)
        if pick.random() < 0.25:
            sender = f"bounce-{number:08x}@lists{number % 40}.example.com"
        to = [self._box() for _ in range(1 if pick.random() < 0.9 else 2)]
        told = self._begin(cn, ip, host, "192.0.2.1:25", pick.random() < 0.9)
        told += self._asked(m, sender, to, ip, host, cn)
        told.append(self._accept(m, number, sender, to, ip, host))
        told.append(self._end(cn, ip, 7, 1))
        last = m
        for n, box in enumerate(to, 1):
            last = self._mint.new()
            told.append(
                events.StoreDelivered(
                    at=self._later(2_000),
                    trace=m,
                    n=n,
                    addr=box,
                    st=last,
                    mailbox="INBOX",
                    base=f"{ids.time_us(last) // 1_000_000}.{ids.text(last)}.mx,S=2000,W=2050",
                    size=2000,
                )
            )
        return self._read(to[-1], last, m, number, told)

    def _read(
        self, box: str, st: int, m: int, number: int, told: list[events.Event]
    ) -> tuple[int, list[events.Event]]:
        """What a client does with a message that it finds."""
        pick = self.random
        item = (events.Item(st, m, number),)
        ip, last = f"203.0.113.{number % 250}", st
        shared = {
            "trace": m,
            "addr": box,
            "ip": ip,
            "actor": f"user:{box}",
            "mailbox": "INBOX",
            "items": item,
            "client": pick.choice(_CLIENTS),
        }
        if number % 6 == 0:
            cn = last = self._mint.new()
            told += [
                events.ConnOpen(at=self._later(900), trace=cn, ip=ip, listener="192.0.2.1:993"),
                events.TlsOk(
                    at=self._later(900), trace=cn, ip=ip, version="TLSv1.3", cipher=_CIPHERS[0]
                ),
                access.AuthOk(
                    at=self._later(900),
                    trace=cn,
                    addr=box,
                    ip=ip,
                    login=box,
                    mechanism="PLAIN",
                    service="imap",
                ),
                access.AuthLogout(
                    at=self._later(900),
                    trace=cn,
                    addr=box,
                    ip=ip,
                    service="imap",
                    why="logout",
                    client=pick.choice(_CLIENTS),
                    commands=pick.randrange(5, 300),
                ),
            ]
        if pick.random() < 0.75:
            told += [
                events.BoxRead(at=self._later(900), **shared),
                events.BoxFlags(at=self._later(900), added=("\\Seen",), **shared),
            ]
        if pick.random() < 0.25:
            target = pick.choice(("Archive", "Trash", "Projects/2026"))
            told.append(events.BoxMove(at=self._later(900), target=target, **shared))
        elif pick.random() < 0.15:
            told.append(events.BoxExpunge(at=self._later(900), **shared))
        return last, told

    def _outgoing(self, number: int) -> tuple[int, list[events.Event]]:
        pick = self.random
        cn, m, out = self._mint.new(), self._mint.new(), self._mint.new()
        ip, box = f"203.0.113.{number % 250}", self._box()
        to = [pick.choice(self.others) for _ in range(1 if pick.random() < 0.8 else 2)]
        host = f"pc{number % 400}.example.org"
        told = self._begin(cn, ip, host, "192.0.2.1:587", True)
        told.append(
            access.AuthOk(
                at=self._later(900),
                trace=cn,
                addr=box,
                ip=ip,
                login=box,
                mechanism="PLAIN",
                service="submission",
            )
        )
        told += self._asked(m, box, to, ip, host, cn, login=box)
        told.append(self._accept(m, number, box, to, ip, host))
        told += (
            sending.QueueAdd(at=self.at, trace=m, n=n, addr=one, next_try=self.at)
            for n, one in enumerate(to, 1)
        )
        told.append(self._end(cn, ip, 8, 1))
        for n, one in enumerate(to, 1):
            told += self._passed_on(m, n, one, out, number)
        return out, told

    def _passed_on(self, m: int, n: int, to: str, cn: int, number: int) -> list[events.Event]:
        pick = self.random
        domain = to.partition("@")[2]
        remote = _REMOTES[number % 700]
        ip = f"100.64.{number % 7}.{number % 100}"
        shared = {"trace": m, "ip": ip, "host": remote}
        answer = {**shared, "n": n, "addr": to, "attempt": 1, "cn": cn}
        told: list[events.Event] = [
            sending.OutDns(at=self._later(900), trace=m, domain=domain, found=remote, why="mx"),
            sending.OutTry(at=self._later(900), cn=cn, **shared),
            sending.OutTls(
                at=self._later(900),
                cn=cn,
                policy="opportunistic",
                verdict="trusted",
                version="TLSv1.3",
                cipher=_CIPHERS[0],
                domain=domain,
                **shared,
            ),
        ]
        if pick.random() < 0.04:
            told.append(
                sending.OutFailed(
                    at=self._later(9_000),
                    code=550,
                    enh="5.1.1",
                    reply=f"550 5.1.1 <{to}>: user unknown",
                    stage="rcpt",
                    **answer,
                )
            )
            return told
        rqid = f"{pick.getrandbits(44):011X}"
        told.append(
            sending.OutDelivered(
                at=self._later(9_000),
                code=250,
                enh="2.0.0",
                reply=f"250 2.0.0 Ok: queued as {rqid}",
                rqid=rqid,
                tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
                verdict="trusted",
                wait=round(pick.uniform(1, 90), 1),
                connect=round(pick.uniform(5, 90), 1),
                ms=round(pick.uniform(5, 900), 1),
                **answer,
            )
        )
        return told

    def _refused(self, number: int) -> tuple[int, list[events.Event]]:
        pick = self.random
        cn, m = self._mint.new(), self._mint.new()
        ip = f"198.51.{pick.randrange(100)}.{pick.randrange(250)}"
        host, sender = pick.choice(HOSTS), pick.choice(self.senders)
        nobody = f"nobody{number % 500}@company0.example.org"
        told = self._begin(cn, ip, host, "192.0.2.1:25", pick.random() < 0.5)
        told += self._asked(m, sender, [], ip, host, cn)
        told += [
            events.SmtpReject(
                at=self._later(900),
                trace=m,
                addr=nobody,
                ip=ip,
                code=550,
                enh="5.1.1",
                reply=f"550 5.1.1 <{nobody}> no such box",
                stage="rcpt",
                check="box",
            ),
            events.SmtpAbort(
                at=self._later(900), trace=m, addr=sender, ip=ip, stage="rcpt", why="quit"
            ),
            self._end(cn, ip, 5, 0),
        ]
        return m, told
