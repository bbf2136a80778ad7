"""A journal and a log role in one process, for tests that drive them step by step."""

import hashlib
import os
from collections import Counter
from pathlib import Path

from mtad.journal import content, frame
from mtad.journal.writer import Journal
from mtad.materialise.worker import Worker
from mtad.store import names
from mtad.where import Places
from tracing import events, ids, sending
from tracing.queries import Log, Recipient

ARRIVED_NS = 1_790_000_000_123_456_789


def messages(places: Places, box: str, mailbox: str = "INBOX") -> dict[str, bytes]:
    """Base name -> octets of a mailbox; a base name that is there twice fails."""
    local, _, domain = box.partition("@")
    folder = places.boxes / domain / local / "Maildir" / names.mailbox_folder(mailbox)
    found: dict[str, bytes] = {}
    for sub in ("new", "cur"):
        if (folder / sub).is_dir():
            for path in (folder / sub).iterdir():
                base = names.split(path.name)[0]
                assert base not in found, f"{base} is there twice"
                found[base] = path.read_bytes()
    return found


class Bench:
    """Accepts mail into ``mta-0`` as the SMTP side does; ``worker`` executes it."""

    def __init__(self, folder: Path, *, keep_seconds: float = 45) -> None:
        self.places = Places(folder)
        self.keep_seconds = keep_seconds
        self.journal = Journal.open(
            self.places.journal / "mta-0", node=1, segment_bytes=2**20, cap_bytes=8 * 2**20
        )
        self.owner = Journal.open(self.places.journal / "access-0", node=16)
        self.rung: list[int] = []
        self.worker = self.new_worker()

    def new_worker(self) -> Worker:
        """A log role that has replayed."""
        worker = Worker(
            self.places,
            keep_seconds=self.keep_seconds,
            cap_bytes=8 * 2**20,
            on_round=self.rung.append,
        )
        worker.start()
        return worker

    def again(self) -> Worker:
        """The log role killed and started again."""
        self.worker.close()
        self.worker = self.new_worker()
        return self.worker

    def accept(self, *boxes: str, body: bytes = b"Subject: x\n\nbody\n") -> frame.Meta:
        """Commit a message for boxes."""
        meta = self.plan(*boxes, body=body)
        assert meta.content is not None
        self.journal.commit_now(meta, body if meta.content.inline else b"")
        return meta

    def plan(self, *boxes: str, body: bytes) -> frame.Meta:
        """The frame of a message; a long one's content is written."""
        m = self.journal.mint.new()
        at = ids.time_us(m)
        digest = hashlib.sha256(body)
        if len(body) > frame.MAX_BODY:
            kept = content.write_content(self.places, m, body, ARRIVED_NS)
        else:
            kept = frame.Content(m, len(body), digest.digest(), ARRIVED_NS, inline=True)
        links = []
        for n, box in enumerate(boxes, 1):
            st = self.journal.mint.new()
            base = names.base_name(st, ARRIVED_NS, "host", len(body), len(body))
            links.append(frame.Link(n, st, box, "INBOX", base))
        told: list[events.Event] = [events.SmtpMail(at=at, trace=m, addr="a@sender.test", cn=1)]
        told += (events.SmtpRcpt(at=at, trace=m, n=n, addr=box) for n, box in enumerate(boxes, 1))
        recipients = tuple(events.Recipient(n, box, box) for n, box in enumerate(boxes, 1))
        told.append(
            events.SmtpAccept(
                at=at,
                trace=m,
                addr="a@sender.test",
                size=len(body),
                sha256=digest.hexdigest(),
                count=len(boxes),
                recipients=recipients,
            )
        )
        return frame.Meta(events=tuple(map(frame.raw, told)), content=kept, links=tuple(links))

    def queue(self, *addresses: str, body: bytes = b"Subject: x\n\nbody\n") -> int:
        """Commit a message for recipients elsewhere; its id."""
        m = self.journal.mint.new()
        at = ids.time_us(m)
        if len(body) > frame.MAX_BODY:
            kept = content.write_content(self.places, m, body, ARRIVED_NS)
        else:
            digest = hashlib.sha256(body).digest()
            kept = frame.Content(m, len(body), digest, ARRIVED_NS, inline=True)
        recipients = tuple(
            events.Recipient(n, address, address) for n, address in enumerate(addresses, 1)
        )
        told: list[events.Event] = [
            events.SmtpMail(at=at, trace=m, addr="a@sender.test", cn=1),
            events.SmtpAccept(
                at=at,
                trace=m,
                addr="a@sender.test",
                size=len(body),
                sha256=kept.sha256.hex(),
                count=len(addresses),
                recipients=recipients,
            ),
        ]
        told += (sending.QueueAdd(at=at, trace=m, n=one.n, addr=one.addr) for one in recipients)
        meta = frame.Meta(events=tuple(map(frame.raw, told)), content=kept)
        self.journal.commit_now(meta, body if kept.inline else b"")
        return m

    def tell(self, *told: events.Event, journal: Journal | None = None) -> None:
        """Commit events."""
        (journal or self.journal).commit_now(frame.Meta(events=tuple(map(frame.raw, told))))

    def path(self, link: frame.Link, mailbox: str = "INBOX", sub: str = "new") -> Path:
        """Where a stored copy lies."""
        local, _, domain = link.box.partition("@")
        maildir = self.places.boxes / domain / local / "Maildir"
        return maildir / names.mailbox_folder(mailbox) / sub / link.base

    def expunge(self, meta: frame.Meta, link: frame.Link, path: Path) -> None:
        """What a box's owner does to delete a message."""
        assert meta.content is not None
        copy = frame.Copy(link.st, meta.content.m, 1, link.base)
        item = events.Item(link.st, meta.content.m, 1, link.base)
        self.owner.commit_now(
            frame.Meta(
                events=(
                    frame.raw(
                        events.BoxExpunge(
                            at=ids.time_us(link.st),
                            trace=meta.content.m,
                            addr=link.box,
                            mailbox="INBOX",
                            items=(item,),
                            actor=f"user:{link.box}",
                        )
                    ),
                ),
                acts=(frame.Expunge(link.box, "INBOX", (copy,), 1),),
            )
        )
        os.unlink(path)

    def kinds(self) -> Counter[str]:
        """Events in the log by kind."""
        log = Log(self.places.log)
        try:
            return Counter(one.event.kind for one in log.events_after({}, 100_000))
        finally:
            log.close()

    def recipients(self, m: int) -> list[Recipient]:
        """What the log says of a message's recipients."""
        log = Log(self.places.log)
        try:
            return log.recipients(m)
        finally:
            log.close()

    def close(self) -> None:
        """Let everything go."""
        self.worker.close()
        self.journal.close_now()
        self.owner.close_now()
