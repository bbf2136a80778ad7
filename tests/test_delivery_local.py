"""Taking responsibility: the frame says everything, and a failure promises nothing."""

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtad.delivery import holds
from mtad.delivery.framing import Envelope
from mtad.delivery.local import Delivery
from mtad.delivery.route import Accepted
from mtad.journal import content, disk, frame
from mtad.journal.reader import Reader
from mtad.journal.writer import Journal, JournalBroken, JournalFull
from mtad.store.names import size_of, split, st_of
from mtad.where import Places
from tests.dialog import Memory
from tracing import ids, sending


def envelope(m: int, *recipients: Accepted) -> Envelope:
    at = time.time_ns()
    return Envelope(
        m=m,
        sender="s@x.test",
        recipients=recipients or (Accepted(1, "a@y.test", ("a@y.test",)),),
        arrived_ns=at,
        started_us=at // 1000 - 2500,
        reply="250 2.0.0 queued",
        message_id="<1@x>",
    )


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_the_frame_of_a_small_message(tmp_path: Path) -> None:
    journal = Memory()
    m = journal.mint.new()
    delivery = Delivery(journal, Places(tmp_path), "mx.y.test")
    sent = envelope(
        m,
        Accepted(1, "A@y.test", ("a@y.test",)),
        Accepted(2, "all@y.test", ("a@y.test", "b@y.test"), alias=True),
    )
    parts = [b"Received: us\n", b"Subject: x\n\n", b"body\n"]
    assert await delivery.accept(sent, parts) == len(b"".join(parts))
    (meta, body), data = journal.frames[0], b"".join(parts)
    assert body == data
    assert meta.content == frame.Content(
        m, len(data), hashlib.sha256(data).digest(), sent.arrived_ns, inline=True
    )
    assert [(link.n, link.box, link.mailbox) for link in meta.links] == [
        (1, "a@y.test", "INBOX"),
        (3, "b@y.test", "INBOX"),
    ]
    for link in meta.links:
        assert st_of(link.base) == link.st > m
        assert size_of(link.base) == len(data)
        assert split(link.base + ":2,S") == (link.base, "S")
        assert link.base.endswith(f",W={len(data) + 4}")
        assert ".mx.y.test," in link.base
    assert journal.kinds == ["route.alias", "route.duplicate", "route.alias", "smtp.accept"]
    accept: Any = journal.one("smtp.accept")
    assert accept.trace == m
    assert accept.count == 3
    assert accept.ms == pytest.approx(2.5, abs=0.1)
    assert (accept.code, accept.enh, accept.reply) == (250, "2.0.0", "250 2.0.0 queued")
    assert not files_below(tmp_path)


async def test_a_large_message_is_a_synced_file_before_its_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, places = Memory(), Places(tmp_path)
    m = journal.mint.new()
    synced: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    monkeypatch.setattr(disk, "fsync", fsync)
    path = content.path_of(places, m)

    async def look() -> None:
        assert path.read_bytes() == b"x" * frame.MAX_BODY + b"\n"
        assert str(path) in synced

    journal.before_commit = look
    sent = envelope(m)
    parts = [b"x" * frame.MAX_BODY, b"\n"]
    assert await Delivery(journal, places, "h").accept(sent, parts) == frame.MAX_BODY + 1
    meta, body = journal.frames[0]
    assert body == b""
    assert meta.content is not None
    assert not meta.content.inline
    assert meta.content.sha256 == hashlib.sha256(b"".join(parts)).digest()
    assert path.stat().st_mtime_ns == sent.arrived_ns
    assert meta.links[0].base.endswith(f",W={frame.MAX_BODY + 2}")


@pytest.mark.parametrize("size", [frame.MAX_BODY, frame.MAX_BODY + 1])
async def test_the_border_between_frame_and_file(size: int, tmp_path: Path) -> None:
    journal = Memory()
    delivery = Delivery(journal, Places(tmp_path), "h")
    await delivery.accept(envelope(journal.mint.new()), [b"x" * size])
    meta, body = journal.frames[0]
    assert meta.content is not None
    assert meta.content.inline is (size <= frame.MAX_BODY)
    assert len(body) == (size if meta.content.inline else 0)


@pytest.mark.parametrize("trouble", [JournalFull("full"), JournalBroken("broken")])
@pytest.mark.parametrize("size", [10, frame.MAX_BODY + 1])
async def test_a_refused_frame_leaves_nothing(
    trouble: Exception, size: int, tmp_path: Path
) -> None:
    journal = Memory()

    async def fail() -> None:
        raise trouble

    journal.before_commit = fail
    delivery = Delivery(journal, Places(tmp_path), "h")
    with pytest.raises(type(trouble)):
        await delivery.accept(envelope(journal.mint.new()), [b"x" * size])
    assert not journal.frames
    assert not files_below(tmp_path)


async def test_no_space_for_a_large_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk, "fsync", full)
    journal = Memory()
    delivery = Delivery(journal, Places(tmp_path), "h")
    with pytest.raises(OSError, match="No space"):
        await delivery.accept(envelope(journal.mint.new()), [b"x" * (frame.MAX_BODY + 1)])
    assert not journal.frames
    assert not files_below(tmp_path)


def remote(n: int, *addresses: str, **more: Any) -> Accepted:
    return Accepted(n, more.pop("given", addresses[0]), remotes=addresses, **more)


async def test_recipients_elsewhere_are_queued_with_what_was_said(tmp_path: Path) -> None:
    journal = Memory()
    m = journal.mint.new()
    sent = replace(
        envelope(
            m,
            Accepted(1, "a@y.test", ("a@y.test",)),
            remote(2, "Bob@there.test", notify="NEVER", orcpt="rfc822;b+40x"),
            remote(3, "f@other.test", given="fw@y.test", alias=True, resent_from="SRS0=x@y.test"),
            remote(4, "Bob@there.test"),
        ),
        sender="Prvs=1@x.test",
        ret="HDRS",
        envid="e1",
        body="8BITMIME",
        smtputf8=True,
        requiretls=True,
        priority=3,
    )
    await Delivery(journal, Places(tmp_path), "h").accept(sent, [b"Subject: x\n\n"])
    meta, _ = journal.frames[0]
    assert [link.n for link in meta.links] == [1]
    assert journal.kinds == [
        "route.alias",
        "route.duplicate",
        "smtp.accept",
        "queue.add",
        "queue.add",
    ]
    first, second = journal.all("queue.add")
    said: dict[str, Any] = {
        "ret": "HDRS",
        "envid": "e1",
        "body": "8BITMIME",
        "smtputf8": True,
        "requiretls": True,
        "priority": 3,
        "next_try": sent.at,
    }
    assert first == sending.QueueAdd(
        at=sent.at,
        trace=m,
        n=2,
        addr="Bob@there.test",
        sender="Prvs=1@x.test",
        notify="NEVER",
        orcpt="rfc822;b+40x",
        **said,
    )
    assert second == sending.QueueAdd(
        at=sent.at,
        trace=m,
        n=3,
        addr="f@other.test",
        original="fw@y.test",
        sender="SRS0=x@y.test",
        resent=True,
        came_from="Prvs=1@x.test",
        **said,
    )
    accept = journal.one("smtp.accept")
    assert [(one.n, one.addr) for one in accept.recipients] == [
        (1, "a@y.test"),
        (2, "Bob@there.test"),
        (3, "f@other.test"),
        (4, "Bob@there.test"),
    ]


async def test_a_message_made_here_brings_what_led_to_it(tmp_path: Path) -> None:
    journal = Memory()
    parent, m = journal.mint.new(), journal.mint.new()
    failed = sending.OutFailed(at=1, trace=parent, n=1, attempt=3, stage="rcpt")
    sent = replace(
        envelope(m, remote(1, "s@x.test")), sender="", rel="dsn", parent=parent, before=(failed,)
    )
    await Delivery(journal, Places(tmp_path), "h").accept(sent, [b"Subject: x\n\n"])
    assert journal.kinds == ["out.failed", "mail.made", "queue.add"]
    made = journal.one("mail.made")
    assert (made.addr, made.rel, made.parent) == ("", "dsn", parent)


class Heard:
    """What the queue was told."""

    def __init__(self, journal: Memory) -> None:
        self.journal = journal
        self.calls: list[tuple[int, list[int], int, bytes | None]] = []
        self.called = asyncio.Event()

    def __call__(
        self, envelope: Envelope, told: Sequence[Any], size: int, body: bytes | None
    ) -> None:
        assert self.journal.frames, "told before it is durable"
        self.called.set()
        self.calls.append((envelope.m, [event.n for event in told], size, body))


@pytest.mark.parametrize("size", [10, frame.MAX_BODY + 1])
async def test_the_queue_hears_of_it_once_it_is_durable(size: int, tmp_path: Path) -> None:
    journal = Memory()
    heard = Heard(journal)
    delivery = Delivery(journal, Places(tmp_path), "h")
    delivery.on_queued = heard
    await delivery.accept(envelope(journal.mint.new()), [b"x" * size])
    assert heard.calls == []
    m = journal.mint.new()
    await delivery.accept(envelope(m, remote(1, "b@there.test")), [b"x" * size])
    body = b"x" * size if size < frame.MAX_BODY else None
    assert heard.calls == [(m, [1], size, body)]


async def test_the_queue_hears_of_it_though_the_client_is_gone(tmp_path: Path) -> None:
    journal = Memory()
    heard = Heard(journal)
    delivery = Delivery(journal, Places(tmp_path), "h")
    delivery.on_queued = heard
    began, go = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        began.set()
        await go.wait()

    journal.before_commit = slow
    sent = envelope(journal.mint.new(), remote(1, "b@there.test"))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(delivery.accept(sent, [b"x"]))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        await heard.called.wait()


async def test_a_refused_frame_is_not_queued(tmp_path: Path) -> None:
    journal = Memory()
    heard = Heard(journal)

    async def fail() -> None:
        raise JournalFull("full")

    journal.before_commit = fail
    delivery = Delivery(journal, Places(tmp_path), "h")
    delivery.on_queued = heard
    with pytest.raises(JournalFull):
        await delivery.accept(envelope(journal.mint.new(), remote(1, "b@there.test")), [b"x"])
    assert heard.calls == []


RULES = ("to:@slow.test", "from:Boss@x.test", "from:<>", "to:one@fine.test")


@pytest.mark.parametrize(
    ("sender", "recipient", "rule"),
    [
        ("s@x.test", "a@slow.test", "to:@slow.test"),
        ("s@x.test", "a@deep.Slow.test", "to:@slow.test"),
        ("s@x.test", "a@notslow.test", ""),
        ("boss@X.test", "a@fine.test", "from:Boss@x.test"),
        ("boss@x.test.evil.test", "a@fine.test", ""),
        ("", "a@fine.test", "from:<>"),
        ("s@x.test", "ONE@fine.test", "to:one@fine.test"),
        ("s@x.test", "", ""),
    ],
)
def test_hold_rules(sender: str, recipient: str, rule: str) -> None:
    assert holds.rules(RULES)(sender, recipient) == rule
    assert holds.rules(())(sender, recipient) == ""


async def test_what_a_rule_holds_is_queued_held(tmp_path: Path) -> None:
    journal = Memory()
    delivery = Delivery(journal, Places(tmp_path), "h")
    delivery.hold = holds.rules(RULES)
    sent = envelope(journal.mint.new(), remote(1, "a@slow.test"), remote(2, "b@fine.test"))
    await delivery.accept(sent, [b"x"])
    assert journal.kinds == ["smtp.accept", "queue.add", "queue.hold", "queue.add"]
    held = journal.one("queue.hold")
    assert (held.n, held.why, held.actor) == (1, "the rule to:@slow.test", "rule:to:@slow.test")


async def test_through_a_real_journal(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal" / "mta-0", node=1)
    try:
        delivery = Delivery(journal, Places(tmp_path), "h")
        wanted = []
        for number in range(20):
            m = journal.mint.new()
            wanted.append(m)
            await delivery.accept(envelope(m), [b"Subject: %d\n\n" % number])
        found = [
            (found.meta.content.m, found.body, [event.kind for event in found.events])
            for found in Reader(tmp_path / "journal" / "mta-0").frames(0)
            if found.meta.content
        ]
        assert [m for m, _, _ in found] == wanted
        assert found[7][1] == b"Subject: 7\n\n"
        assert found[7][2][-1] == "smtp.accept"
        assert all(ids.text(m) for m in wanted)
    finally:
        await journal.close()


async def test_what_is_made_here_is_signed_and_nothing_else(tmp_path: Path) -> None:
    async def sign(parts: Sequence[bytes]) -> Sequence[bytes]:
        return [b"Signed: yes\n", *parts]

    journal = Memory()
    delivery = Delivery(journal, Places(tmp_path), "mx.y.test")
    delivery.sign = sign
    for rel in ("", "dsn"):
        sent = replace(envelope(journal.mint.new()), rel=rel)
        assert await delivery.accept(sent, [b"X: y\n\n"]) == (18 if rel else 6)
    assert [body for _, body in journal.frames] == [b"X: y\n\n", b"Signed: yes\nX: y\n\n"]
