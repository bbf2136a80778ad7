"""Whatever a client sends, in whatever pieces: every transaction ends once, and is in the log."""

import asyncio
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtad.config import Lmtp
from mtad.delivery.local import Delivery
from mtad.delivery.route import Accepted
from mtad.errors import Refusal
from mtad.smtp.checks.standard import INBOUND
from mtad.smtp.lmtp import LmtpReceiver
from mtad.smtp.policy import Transaction
from mtad.smtp.receiver import Receiver
from mtad.smtp.service import Service
from mtad.where import Places
from tests.dialog import HOST, Memory, book, empty, unhurried, until

REPLY = re.compile(r"[2345][0-9]{2}[ -][\x20-\x7e]*")


class Plug(asyncio.Transport):
    """A transport without a socket: what is written is kept."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 25)})
        self.written = b""
        self.closed = False
        self.paused = False

    def write(self, data: Any) -> None:
        if not self.closed:
            self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return 0


def plugged(folder: Path) -> tuple[Service, Memory]:
    """A service for sessions without sockets."""
    journal = Memory()
    service = Service(
        HOST,
        unhurried(max_errors=8, max_message_bytes=65536, max_recipients=3, strict_pipelining=False),
        journal,
        book(),
        Delivery(journal, Places(folder), HOST),
        INBOUND,
        empty,
    )
    return service, journal


async def not_bob(transaction: Transaction, recipient: Accepted) -> Refusal | None:
    """One whom no message pleases, once it is there."""
    if "bob@local.test" in recipient.boxes:
        return Refusal(452, "4.2.2", "bob has too much")
    return None


async def hold(
    folder: Path,
    chunks: list[bytes],
    *,
    quick: bool,
    patient: bool = False,
    kind: type[Receiver] = Receiver,
) -> tuple[Memory, Plug]:
    """A session that gets the chunks and then a hang-up."""
    service, journal = plugged(folder)
    service.lmtp = Lmtp(trusted_networks=("192.0.2.0/24",))
    service.lmtp_policy = replace(service.lmtp_policy, recipient=(not_bob,))
    session, plug = kind(service, "smtp", asyncio.get_running_loop()), Plug()
    session.connection_made(plug)
    task = session.task
    assert task is not None
    await asyncio.sleep(0)
    for chunk in chunks:
        if plug.closed:
            break
        session.data_received(chunk)
        if not quick:
            await asyncio.sleep(0)
    if patient:
        await until(lambda: plug.closed)
    session.connection_lost(None)
    await asyncio.wait_for(task, 10)
    assert not service.sessions
    assert not service.held
    return journal, plug


def balanced(journal: Memory) -> None:
    """Each transaction has one end; each connection one beginning and one end."""
    ends: Counter[int] = Counter()
    for event in journal.log:
        fields: Any = event
        assert getattr(fields, "check", "") != "internal"
        if event.kind in ("smtp.accept", "smtp.abort"):
            ends[event.trace] += 1
        elif event.kind in ("smtp.reject", "smtp.tempfail") and fields.check != "max_errors":
            whole = not (fields.stage == "dot" and fields.n)
            ends[event.trace] += whole and fields.stage in ("mail", "dot")
    for mail in journal.all("smtp.mail"):
        accepted = [e for e in journal.all("smtp.rcpt") if e.trace == mail.trace]
        negative = [
            e
            for e in journal.all("smtp.reject") + journal.all("smtp.tempfail")
            if e.trace == mail.trace and e.n
        ]
        refused = [e for e in negative if e.stage == "rcpt"]
        late = {e.n for e in negative if e.stage == "dot"}
        assert late <= {e.n for e in accepted}
        only_refused = negative and len(late) == len(accepted)
        assert ends[mail.trace] == (0 if only_refused else 1), journal.kinds
        numbers = [e.n for e in accepted + refused]
        assert len(set(numbers)) == len(numbers)
    assert journal.kinds[0] == "conn.open"
    assert journal.kinds.count("conn.open") == journal.kinds.count("conn.close") == 1
    assert len(journal.frames) == journal.kinds.count("smtp.accept")


LINES = st.sampled_from(
    [
        b"EHLO c\r\n",
        b"HELO c\r\n",
        b"MAIL FROM:<a@x.test>\r\n",
        b"MAIL FROM:<>\r\n",
        b"MAIL FROM:<a@x.test> SIZE=99999999\r\n",
        b"RCPT TO:<alice@local.test>\r\n",
        b"RCPT TO:<all@local.test>\r\n",
        b"RCPT TO:<nobody@local.test>\r\n",
        b"RCPT TO:<a@other.test>\r\n",
        b"RCPT TO:<\x00>\r\n",
        b"DATA\r\n",
        b"Subject: x\r\n\r\nbody\r\n",
        b".\r\n",
        b"x\r\n.\r\n",
        b"bare\n",
        b"\r",
        b".\n",
        b"x" * 3000,
        b"y" * 70_000 + b"\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"QUIT\r\n",
        b"VRFY x\r\n",
        b"STARTTLS\r\n",
        b"BDAT 5\r\n",
        b"BDAT 12\r\nx: y\r\n\r\nMAIL",
        b"BDAT 9 LAST\r\n.\r\nDATA\r\n",
        b"BDAT 0 LAST\r\n",
        b"BDAT 3 last\r\na\nb",
        b"BDAT 70000\r\n",
        b"BDAT x\r\n",
        b"\xff\xfe\r\n",
        b"\r\n",
    ]
)
ORDER = st.sampled_from(
    [
        b"EHLO c\r\nMAIL FROM:<a@x.test>\r\n" + recipients + b"DATA\r\nx\r\n.\r\n"
        for recipients in (
            b"RCPT TO:<alice@local.test>\r\n",
            b"RCPT TO:<alice@local.test>\r\nRCPT TO:<bob@local.test>\r\n",
            b"RCPT TO:<bob@local.test>\r\n",
        )
    ]
)
KINDS = [(Receiver, b"EHLO"), (LmtpReceiver, b"LHLO")]
STREAMS = st.lists(st.one_of(LINES, LINES, ORDER, st.binary(max_size=12)), max_size=25)


@pytest.mark.parametrize(("kind", "hello"), KINDS)
@settings(max_examples=300, deadline=None)
@given(STREAMS.map(b"".join), st.data())
def test_every_transaction_ends_once(
    kind: type[Receiver], hello: bytes, octets: bytes, draw: st.DataObject
) -> None:
    octets = octets.replace(b"EHLO", hello)
    places = sorted(draw.draw(st.sets(st.integers(0, len(octets)), max_size=8)))
    chunks = [octets[a:b] for a, b in zip([0, *places], [*places, len(octets)], strict=True)]
    quick = draw.draw(st.booleans())
    journal, plug = asyncio.run(
        hold(Path("unused"), [c for c in chunks if c], quick=quick, kind=kind)
    )
    balanced(journal)
    text = plug.written.decode("ascii")
    assert text.endswith("\r\n") or not text
    for line in text.split("\r\n")[:-1]:
        assert REPLY.fullmatch(line), line
    if "early_talk" not in str(journal.log):
        assert text.startswith("220 ")


@pytest.mark.parametrize(("kind", "hello"), KINDS)
def test_chunking_changes_nothing(kind: type[Receiver], hello: bytes) -> None:
    """Octet by octet the session says and does the same as with all at once."""
    octets = (
        b"EHLO c\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<nobody@local.test>\r\n"
        b"RCPT TO:<all@local.test>\r\nDATA\r\n..x\r\n\r\n.\r\nMAIL FROM:<>\r\nRSET\r\n"
        b"MAIL FROM:<b@x.test>\r\nRCPT TO:<bob@local.test>\r\nDATA\r\n.\r\nFOO\r\nQUIT\r\n"
    ).replace(b"EHLO", hello)
    seen = set()
    for size in (1, 2, 5, len(octets)):
        chunks = [octets[at : at + size] for at in range(0, len(octets), size)]
        for quick in (True, False):
            journal, plug = asyncio.run(
                hold(Path("unused"), chunks, quick=quick, patient=True, kind=kind)
            )
            balanced(journal)
            said = re.sub(rb"queued as \w+", b"", plug.written)
            seen.add((said, tuple(journal.kinds)))
    assert len(seen) == 1
