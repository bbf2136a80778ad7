"""A made-up server for the terminal UI: the same figures and messages on every run."""

import asyncio
import inspect
import os
from array import array
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from backup.catalog import Box, Mailbox, Message, Snapshot
from backup.format import Entry
from mtad.setup.doctor.check import Check, Verdict
from mtad.store.values import Message as Kept
from tracing import events, ids, search
from tracing.queries import Recipient, Row, Stored
from tracing.states import State
from tracing.views import BUILT_IN
from tui.acting import Acting
from tui.data import (
    Account,
    Around,
    Destination,
    Domain,
    Failure,
    Flow,
    Folder,
    Glance,
    Letter,
    Role,
    Story,
    Waiting,
)
from tui.disk import Disk, sentence
from tui.source import RowSource, Trouble
from tui.world import World

T = TypeVar("T")

NOW = int(datetime(2026, 11, 24, 14, 22, 7, tzinfo=UTC).timestamp()) * 1_000_000
MINUTE = 60_000_000

_PEOPLE = (
    "anna.schmidt@example.org",
    "i.petrov@example.org",
    "office@example.net",
    "li.wei@example.com",
    "maria@example.org",
)
_SUBJECTS = (
    "Contract, signed copy",
    "Отчёт за неделю 47",
    "Re: delivery on Thursday",
    "会議の資料",
    "Invoice 2026-1187",
    "Zażółć gęślą jaźń",
    "",
)
_STATES = (
    State.STORED,
    State.STORED,
    State.STORED,
    State.REFUSED,
    State.STORED,
    State.QUEUED,
    State.STORED,
    State.TEMPFAILED,
    State.STORED,
    State.ABORTED,
)


CHECKS = (
    Check("roles.mta", "up, 3 connections now", "up", Verdict.OK),
    Check(
        "ports.smtp:0.0.0.0:25", "another program listens", "this server listens", Verdict.BAD,
        "no role of this server listens there",
        "start the server, or look at listen.smtp: the port may be another program's",
    ),
    Check(
        "dns.dmarc:example.org", "none", "one v=DMARC1 record", Verdict.WARN,
        "large receivers want one, and forgeries go unreported",
        'publish one: _dmarc.example.org. IN TXT "v=DMARC1; p=none"',
    ),
    Check("dns.mx:example.org", "10 mail.example.org", "mail.example.org", Verdict.OK),
    Check("disk.space", "139.0 GB, 69% free", "10% free or more", Verdict.OK),
    Check("audit.books", "not known", "balanced", Verdict.UNKNOWN, "not audited yet",
          "run 'mtad audit'"),
)  # fmt: skip


def message(index: int, at: int = 0) -> Row:
    """The message that came ``index`` × 17 seconds before now."""
    at = at or NOW - 2_000_000 - index * 17_000_000
    number = ids.lowest(at) | 1 << 16 | (index & 0xFFFF)
    to = _PEOPLE[(index * 3 + 1) % len(_PEOPLE)]
    count = 5 if index % 11 == 3 else 1
    return Row(
        id=number,
        at=at,
        direction=0,
        sender="" if index % 13 == 5 else f"sender{index % 7}@mail{index % 5}.example",
        recipients=(to,),
        nrcpt=count,
        subject=_SUBJECTS[index % len(_SUBJECTS)],
        size=700 + (index * 7919) % 2_000_000,
        state=_STATES[index % len(_STATES)],
        message_id=f"<{index}.made-up@mail.example>",
        ip=f"192.0.2.{index % 250 + 1}",
        helo=f"mail{index % 5}.example",
        header_from=f"Sender {index % 7} <sender{index % 7}@mail{index % 5}.example>",
    )


def recipients_of(row: Row) -> list[Recipient]:
    """What became of each recipient of a made-up message."""
    stored = row.state is State.STORED
    return [
        Recipient(
            n=n + 1,
            addr=row.recipients[0] if n == 0 else _PEOPLE[(n + 1) % len(_PEOPLE)],
            original="sales@example.org" if n == 1 else "",
            state=row.state,
            code=250 if stored else 550,
            enh="2.0.0" if stored else "5.1.1",
            reply="" if stored else "550 5.1.1 No such box here",
            st=row.id + 1 + n if stored else 0,
            mailbox="INBOX" if stored and n != 2 else "",
            tries=0,
            next_try=0,
            at=row.at,
        )
        for n in range(row.nrcpt)
    ]


def events_of(row: Row) -> list[Stored]:
    """The events of a made-up message, with its connection's."""
    cn = row.id - 5
    at = row.at
    to = row.recipients[0]
    happened: list[events.Event] = [
        events.ConnOpen(at=at - 90_000, trace=cn, ip=row.ip, listener="smtp", actor="remote"),
        events.SmtpEhlo(at=at - 60_000, trace=cn, ip=row.ip, helo=row.helo, actor="remote"),
        events.TlsOk(at=at - 30_000, trace=cn, version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384"),
        events.SmtpMail(at=at, trace=row.id, addr=row.sender, ip=row.ip, cn=cn, actor="remote"),
    ]
    if row.state is State.STORED:
        happened += [
            events.SmtpRcpt(at=at + 4_000, trace=row.id, n=1, addr=to, code=250),
            events.SmtpAccept(
                at=at + 31_000,
                trace=row.id,
                addr=row.sender,
                size=row.size,
                sha256="ab" * 32,
                count=1,
                recipients=(events.Recipient(1, to, to),),
                code=250,
                reply=f"2.0.0 queued as {ids.text(row.id)}",
                subject=row.subject,
            ),
            events.StoreDelivered(
                at=at + 36_500, trace=row.id, n=1, addr=to, st=row.id + 1, mailbox="INBOX",
                base="1764000000.made-up", size=row.size,
            ),
        ]  # fmt: skip
    else:
        happened.append(
            events.SmtpReject(
                at=at + 4_000, trace=row.id, n=1, addr=to, stage="rcpt", code=550, enh="5.1.1",
                reply="550 5.1.1 No such box here", argument=f"TO:<{to}>", check="box",
            )
        )  # fmt: skip
    return [Stored("2026-11", seq + 1, event) for seq, event in enumerate(happened)]


def saved_message(row: Row, uid: int, flags: str, labelled: bool) -> Message:
    """A made-up message as it lies in a snapshot."""
    keywords = ("$label1",) if labelled else ()
    entry = Entry(
        "INBOX", uid, f"{uid}.made-up", 0, row.id, flags, keywords, row.at * 1000, row.size, b""
    )
    return Message(entry, row.subject, row.sender, row.at, row.message_id)


def letter(saved: Message) -> Letter:
    """The same message as it lies in a box."""
    entry = saved.entry
    kept = Kept(
        entry.mailbox, entry.uid, entry.st, entry.m, entry.base, entry.flags, entry.keywords, 1,
        entry.mtime_ns, entry.size, None, f"cur/{entry.base}",
    )  # fmt: skip
    return Letter(kept, saved.sender, saved.subject, saved.message_id)


@dataclass
class Messages:
    """A list of made-up messages."""

    server: "MadeUp"
    text: str = ""

    def _fits(self, row: Row) -> bool:
        wanted = self.text.lower()
        for name in ("to:", "from:", "subj:"):
            wanted = wanted.replace(name, "")
        return all(
            word in f"{row.sender} {row.recipients} {row.subject} {row.message_id}".lower()
            for word in wanted.split()
        )

    def known(self) -> None:
        """Nothing is read before it is asked for."""

    async def id_chunks(self) -> AsyncIterator["array[int]"]:
        """All at once, the first 200 before."""
        self.server.check()
        found = array("q", (row.id for row in self.server.rows.values() if self._fits(row)))
        found = array("q", sorted(found, reverse=True))
        for start in (slice(0, 200), slice(200, None)):
            if found[start]:
                yield found[start]

    async def rows(self, wanted: Sequence[int]) -> Mapping[int, Row]:
        """Rows by id."""
        self.server.check()
        return {n: self.server.rows[n] for n in wanted if n in self.server.rows}

    async def newer(self, after: int) -> "array[int]":
        """Ids above ``after``."""
        self.server.check()
        found = (row.id for row in self.server.rows.values() if row.id > after and self._fits(row))
        return array("q", sorted(found, reverse=True))


@dataclass
class MadeUp(Disk):
    """A server that does not exist; it reads nothing."""

    rows: dict[int, Row] = field(default_factory=dict)
    saved_messages: list[Message] = field(default_factory=list)
    saved_snapshots: list[Snapshot] = field(default_factory=list)
    mailbox_names: tuple[str, ...] = ("INBOX", "Projects/2026", "Trash")
    box_names: tuple[str, ...] = _PEOPLE
    trouble: str = ""
    said: str = ""
    unbalanced: str = ""
    nothing: bool = False
    domain: str = "example.org"
    page: tuple[str, ...] = ("From: ann", "", "Hello, this is the text.")
    checks: tuple[Check, ...] = CHECKS
    story_events: list[Stored] | None = None

    @classmethod
    def filled(cls, count: int = 500) -> "MadeUp":
        """A server with mail."""
        made = [message(index) for index in range(count)]
        day = 24 * 60 * MINUTE
        start = NOW - 11 * 3600 * 1_000_000 - 22 * MINUTE
        return cls(
            rows={row.id: row for row in made},
            saved_snapshots=[
                Snapshot(
                    name=f"s{index:03}",
                    at=start - index * day,
                    scope="all boxes" if index % 3 else "box anna.schmidt@example.org",
                    boxes=50,
                    messages=5307 - 31 * index,
                    size=412_000_000 - 900_000 * index,
                    added=31 + index,
                    stored=1_900_000 * (index + 1),
                    seconds=1.5,
                    unread=0,
                )
                for index in range(30)
            ],
            saved_messages=[
                saved_message(row, 100 - index, "S" if index % 2 else "", index % 5 == 0)
                for index, row in enumerate(made[:40])
            ],
        )

    def check(self) -> None:
        """Fail where a test wants it."""
        if self.trouble:
            raise Trouble(self.trouble)

    def messages(self, query: search.Query) -> RowSource[Row]:
        """The list that fits."""
        return Messages(self, query.text)

    def views(self) -> Mapping[str, str]:
        """Those that are always there."""
        return BUILT_IN

    async def total(self) -> int:
        """All."""
        self.check()
        return len(self.rows)

    async def recipients(self, m: int) -> Sequence[Recipient]:
        """Made up from the row."""
        self.check()
        return recipients_of(self.rows[m])

    async def story(self, m: int) -> Story:
        """Made up from the row."""
        self.check()
        row = self.rows.get(m)
        if row is None:
            return Story(None, (), ())
        happened = events_of(row) if self.story_events is None else self.story_events
        return Story(row, recipients_of(row), happened)

    def known_glance(self) -> None:
        """Nothing is read before it is asked for."""

    async def glance(self, now_us: int) -> Glance:
        """Fixed figures."""
        self.check()
        if self.nothing:
            return Glance()
        accepted = tuple(abs(24 - (index * 7) % 48) for index in range(60))
        failed = [row for row in self.rows.values() if row.state is State.REFUSED][:8]
        return Glance(
            flow=Flow(
                since=now_us - 60 * MINUTE,
                accepted=accepted,
                refused=tuple(3 if index % 9 == 0 else 0 for index in range(60)),
                delivered=accepted,
            ),
            outcomes={State.STORED: 4812, State.REFUSED: 1502, State.QUEUED: 7, State.ABORTED: 88},
            failures=[Failure(row, "550 5.1.1 No such box here") for row in failed],
            messages=48_120,
            day_octets=318_000_000,
            log_octets=61_000_000,
            boxes=118,
            disk_total=200_000_000_000,
            disk_free=139_000_000_000,
        )

    async def around(self) -> Around:
        """Fixed words."""
        self.check()
        if self.nothing:
            return Around()
        return Around(
            roles=(
                Role("mta", True, "connections 3"),
                Role("log", True),
                Role("access", True),
                Role("jobs", False),
            ),
            snapshots=len(self.saved_snapshots),
            last_snapshot=self.saved_snapshots[0] if self.saved_snapshots else None,
        )

    async def saved(self, *path: str) -> Sequence[Any]:
        """The made-up snapshots; each has the same boxes, mailboxes and messages."""
        self.check()
        boxes = [Box(name, 1204, 58_100_000) for name in self.box_names]
        mailboxes = [Mailbox(name, 40, 1, 41) for name in self.mailbox_names]
        return (self.saved_snapshots, boxes, mailboxes, self.saved_messages)[len(path)]

    async def saved_text(self, message: Message) -> Sequence[str]:
        """A short page."""
        self.check()
        return self.page

    async def destinations(self) -> Sequence[Destination]:
        """Those of the recipients that wait."""
        self.check()
        waiting, _ = await self.waiting("")
        domains = dict.fromkeys(one.to.rpartition("@")[2] for one in waiting)
        return [
            Destination(
                name,
                len(of := [one for one in waiting if one.to.endswith(f"@{name}")]),
                sum(bool(one.held) for one in of),
                min(one.accepted for one in of),
                max(one.next_try for one in of),
                "451 4.7.1 Greylisted, try again later",
            )
            for name in domains
        ]

    async def waiting(self, domain: str) -> tuple[Sequence[Waiting], int]:
        """A few of the messages."""
        self.check()
        return [
            Waiting(
                m=row.id,
                n=1,
                state=State.HELD if row.id % 3 == 0 else State.DEFERRED,
                sender=row.sender,
                to=row.recipients[0],
                subject=row.subject,
                size=row.size,
                accepted=row.at,
                tries=row.id % 4,
                next_try=0 if row.id % 3 == 0 else NOW + 7 * MINUTE,
                held="by hand" if row.id % 3 == 0 else "",
                reply="451 4.7.1 Greylisted, try again later",
            )
            for row in self.rows.values()
            if row.state is State.QUEUED and row.recipients[0].endswith(domain)
        ], 0

    async def held(self) -> tuple[Sequence[Waiting], int]:
        """Those of them that are held."""
        every, _ = await self.waiting("")
        return [one for one in every if one.held], 0

    async def queued(self, m: int, size: int) -> Sequence[str]:
        """A short page."""
        self.check()
        return self.page

    async def why(self, m: int) -> Sequence[str]:
        """One sentence with its evidence."""
        self.check()
        return "delivered to INBOX", f"  {ids.text(m)} stored", "  -> nothing to do"

    async def proof(self, m: int) -> Sequence[str]:
        """A short sheet."""
        self.check()
        return f"message {ids.text(m)}", "250 2.0.0 taken"

    async def export(self, m: int, path: Path) -> str:
        """Makes an empty file."""
        os.close(os.open(path, os.O_CREAT))
        return f"wrote {path}"

    async def domains(self) -> Sequence[Domain]:
        """Two, and one whose mail goes on."""
        self.check()
        if self.nothing:
            return []
        boxes = len(await self.accounts(self.domain))
        return [Domain(self.domain, boxes, 1, False), Domain("relay.example", 0, 0, True)]

    async def accounts(self, domain: str) -> Sequence[Account]:
        """The boxes, the first with all there is to say of one, and an alias."""
        self.check()
        first, *rest = self.box_names
        whole = Account(
            first, (), 58_100_000, 1204, 60_000_000, 5000, True, NOW - 90 * MINUTE,
            NOW - 5 * MINUTE,
            ("sales@example.org",), ("ann@elsewhere.example",), False,
            (f"{first} allows imap from 192.0.2.0/24 only",),
        )  # fmt: skip
        return [
            whole,
            *(Account(name, octets=1_900_000, messages=40) for name in rest),
            Account(f"sales@{domain}", (first, "bob@elsewhere.example")),
        ]

    async def folders(self, box: str) -> Sequence[Folder]:
        """The mailboxes."""
        self.check()
        return [Folder(name, 40, 3, 1_900_000) for name in self.mailbox_names]

    async def letters(self, box: str, mailbox: str) -> tuple[Sequence[Letter], int]:
        """The messages of the snapshots; more than are listed."""
        self.check()
        return [letter(one) for one in self.saved_messages], 1000

    async def letter(self, box: str, kept: Kept) -> Sequence[str]:
        """A short page."""
        self.check()
        return self.page

    async def health(self) -> Sequence[Check]:
        """One check of each verdict."""
        self.check()
        return () if self.nothing else self.checks

    async def banner(self) -> str:
        """What a test wants said."""
        return self.said

    async def books(self) -> str:
        """What a test wants said of the books."""
        return self.unbalanced

    async def bell(self) -> AsyncIterator[None]:
        """Nobody rings: the list looks by the clock."""
        for _ in ():
            yield

    async def close(self) -> None:
        """Nothing is open."""

    def arrive(self, index: int, at: int) -> Row:
        """One message more."""
        row = replace(message(index, at), id=ids.lowest(at) | 1 << 16 | index)
        self.rows[row.id] = row
        return row


class Silent(MadeUp):
    """A server none of whose answers ever comes."""

    def check(self) -> None:
        """Nothing is known yet."""

    def messages(self, query: search.Query) -> RowSource[Row]:
        """A list that does not come either."""
        return SilentMessages(self, query.text)


class SilentMessages(Messages):
    """The list of a server that does not answer."""

    async def id_chunks(self) -> AsyncIterator["array[int]"]:
        """Never any."""
        await forever()
        yield array("q")


async def forever(*_given: object) -> Any:
    """What never ends by itself."""
    await asyncio.Event().wait()


for _name, _method in vars(MadeUp).items():
    if inspect.iscoroutinefunction(_method) and _name not in ("close", "banner", "books"):
        setattr(Silent, _name, forever)


class MadeUpActing(Acting):
    """Acts on a server that does not exist: what is done is given its settings and runs here."""

    def __init__(self, loaded: Any = None) -> None:
        self.loaded = loaded

    async def run(self, do: Callable[[Any], T]) -> T:
        """Do it."""
        try:
            return do(self.loaded)
        except Exception as error:
            raise Trouble(sentence(error)) from error

    def close(self) -> None:
        """Nothing is open."""


def world(server: MadeUp, acting: Acting | None = None) -> World:
    """A screen's world with a still clock in UTC."""
    return World(server, "mail.example.org", now_us=lambda: NOW, zone=UTC, acting=acting)
