"""A log of two months for the tests of sealed months, and all that one can ask of it."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from tests.tracing_events import AT, DECEMBER, Mail, mint
from tracing import daybook, eventexamples, events, ids, misses, months, search
from tracing.archive import keeping
from tracing.archive.seals import Seal
from tracing.events import REGISTRY
from tracing.log import Applied, Recorder
from tracing.queries import Log
from tracing.words import book

NOVEMBER = "2026-11"
LATER = DECEMBER + 40 * 86_400_000_000
"""A time when November is to be sealed."""

QUERIES = (
    "",
    "to:alice",
    "to:bob@example.org",
    "from:sender@example.net",
    "subj:figures",
    "subj:отчет",
    "msgid:<1@example.net>",
    "ip:192.0.2.7",
    "ip:192.0.2.0/24",
    "state:delivered",
    "state:refused",
    "!state:delivered",
    "ev:box.expunge",
    "ev:smtp.accept",
    "actor:alice@example.org",
    "actor:remote",
    "stage:rcpt",
    "rule:unknown_box",
    "snap:20261120T030000Z-1",
    "tls:any",
    "tls:none",
    "has:copy",
    "has:msgid",
    "has:login",
    "dur:<5s",
    "figures",
    "nobody",
    "dir:in",
    "to:alice subj:figures",
)


def fill(directory: Path, copies: int = 30) -> list[Mail]:
    """November has mail of all sorts, acts on it, and one of each event; December a message."""
    new, later = mint(), mint(DECEMBER + 5_000_000)
    mails = [
        Mail(
            new,
            at=AT + n * 1_000_000,
            subject=f"Quarterly figures {n}",
            message_id=f"<{n}@example.net>",
        )
        for n in range(copies)
    ]
    mails += [
        Mail(new, to=("Bob@Example.org", "carol@example.org"), subject="счёт и отчёт"),
        Mail(new, sender="", to=("sales@example.org",), box="alice@example.org"),
    ]
    frames = [mail.whole() for mail in mails]
    refused = Mail(new, to=("nobody@example.org",))
    frames.append(
        [
            *refused.begin()[:3],
            events.SmtpReject(
                at=AT,
                trace=refused.m,
                addr="nobody@example.org",
                ip="192.0.2.7",
                code=550,
                enh="5.1.1",
                reply="550 5.1.1 <nobody@example.org> no such box",
                stage="rcpt",
                check="unknown_box",
            ),
            *refused.close(),
        ]
    )
    first, second = mails[0], mails[1]
    frames.append(
        [expunge(first, AT + 5), expunge(second, AT + 6, second, first=mails[2], new=new)]
    )
    frames.append(
        [
            msgspec.structs.replace(
                eventexamples.example(kind), at=AT + 7, trace=new.new(), also=()
            )
            for kind in REGISTRY
            if not kind.startswith(("smtp.", "store.", "box.", "queue.", "out.", "mail.", "route."))
        ]
    )
    last = Mail(later, at=DECEMBER + 5_000_000, subject="December")
    frames.append(last.whole())
    with closing(Recorder(directory)) as recorder:
        for seq, told in enumerate(frames, 1):
            recorder.apply([Applied("mta-0", seq, told[-1].trace, told)])
    return [*mails, refused, last]


def expunge(
    mail: Mail, at: int, *others: Mail, first: Mail | None = None, new: ids.Mint | None = None
) -> events.BoxExpunge:
    """A deletion, of one message or of several."""
    gone = [*others, first] if first is not None else [mail]
    items = tuple(one.item() for one in gone if one is not None)
    return events.BoxExpunge(
        at=at,
        trace=mail.m if new is None else new.new(),
        addr="alice@example.org",
        actor="user:alice@example.org",
        mailbox="INBOX",
        items=items,
        also=() if new is None else tuple(item.m for item in items),
        client="imap test",
    )


def told(directory: Path) -> dict[str, Any]:
    """Everything that can be asked, by question."""
    found: dict[str, Any] = {}
    now = DECEMBER + 86_400_000_000
    with closing(Log(directory)) as log:
        every = log.ids(search.EVERYTHING, 10_000)
        found["rows"] = log.rows(every)
        found["recipients"] = {m: log.recipients(m) for m in every}
        found["timelines"] = {m: log.timeline(m) for m in every}
        connections = {one.event.trace for line in found["timelines"].values() for one in line}
        found["others"] = {trace: log.timeline(trace) for trace in sorted(connections)}
        found["family"] = [log.family(m, 100) for m in every]
        for text in QUERIES:
            query = search.parse(text, now)
            found[f"query {text}"] = log.ids(query, 1000)
            found[f"page {text}"] = log.page(query, 5, 100, 100)
        found["after"] = log.events_after({}, 10_000)
        found["cursor"] = log.cursor()
        for kind, declared in REGISTRY.items():
            found[f"of {kind}"] = list(log.of_kind(declared, 0, now))
            found[f"latest {kind}"] = list(log.latest((kind,), 0, lambda event: True, step=1))
        found["overview"] = log.overview(AT - 1, now, 5)
        found["total"] = log.total()
    found["day"] = daybook.day(directory, AT - 1_000_000, AT + 86_400_000_000, book("en"))
    found["misses"] = misses.of(directory, "to:alise@example.org")
    return found


class Owner:
    """The log's owner in this process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def _do(self, work: Callable[[Recorder], Any]) -> Any:
        with closing(Recorder(self.directory)) as recorder:
            return work(recorder)

    def replace(self, month: str, draft: Path, position: dict[str, bytes]) -> bool:
        """As a recorder does it."""
        return bool(self._do(lambda recorder: recorder.replace(month, draft, position)))

    def drop(self, month: str) -> bool:
        """As a recorder does it."""
        return bool(self._do(lambda recorder: recorder.drop(month)))

    def forget(self) -> None:
        """As a recorder does it."""
        self._do(lambda recorder: recorder.forget())


def keeper(directory: Path, heard: list[Seal] | None = None) -> keeping.Keeper:
    """What keeps the months of a log that nothing else writes."""

    def tell(seal: Seal, head: str, octets: int) -> None:
        if heard is not None:
            heard.append(seal)

    return keeping.Keeper(directory, Owner(directory), tell, lambda: LATER)


def form(directory: Path, month: str = NOVEMBER) -> str:
    """The form in which a month is there."""
    return months.path(directory, month).suffix
