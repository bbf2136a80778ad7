"""The main job from outside: in over SMTP, stored, traced, snapshotted, deleted, put back."""

import hashlib
import json
import math
import re
import smtplib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mtad.config import load
from mtad.store.client import Boxes
from tests.corpus import Mail
from tests.server import Server

DOMAINS = ("alpha.test", "beta.test", "gamma.test")
BOXES = [f"box{i:02}@{DOMAINS[i % 3]}" for i in range(50)]
OWN_LINES = re.compile(
    rb"\AReturn-Path: [^\n]*\nReceived: [^\n]*\n(?:\t[^\n]*\n)*?\t[^\n]* [+-]\d{4}\n"
)

Found = dict[tuple[str, str, str], tuple[str, str, int]]


def files(boxes: Path) -> Iterator[tuple[str, str, Path]]:
    """Box, mailbox folder and path of every stored message."""
    for path in sorted(boxes.rglob("Maildir/**/*")):
        if path.is_file() and path.parent.name in ("new", "cur"):
            domain, local, *_ = path.relative_to(boxes).parts
            folder = path.parent.parent.name
            yield f"{local}@{domain}", "" if folder == "Maildir" else folder, path


def state(boxes: Path) -> Found:
    """(box, folder, base name) -> (flags, sha256, mtime in ns)."""
    found: Found = {}
    for box, folder, path in files(boxes):
        base, _, flags = path.name.partition(":2,")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert (box, folder, base) not in found, f"{path} is there twice"
        found[box, folder, base] = flags, digest, path.stat().st_mtime_ns
    return found


def wire(raw: bytes) -> bytes:
    """A message as a client sends it: CRLF; a bare CR stays what it is."""
    text = re.sub(rb"(?<!\r)\n", b"\r\n", raw)
    return text if text.endswith(b"\r\n") or not text else text + b"\r\n"


def send(
    server: Server,
    messages: Sequence[tuple[str, bytes]],
    part: int,
    parts: int,
    result: list[tuple[str, str, bytes]],
) -> None:
    """Send every ``parts``-th message to a box of its own turn; note code and reply of each."""
    client = smtplib.SMTP(*server.smtp, timeout=60)
    client.ehlo("corpus.test")
    for number in range(part, len(messages), parts):
        name, raw = messages[number]
        box = BOXES[number % len(BOXES)]
        try:
            client.mail("sender@corpus.test", ["BODY=8BITMIME"])
            client.rcpt(box)
            client.putcmd("DATA")
            assert client.getreply()[0] == 354
            stuffed = re.sub(rb"(?m)^\.", b"..", wire(raw))
            client.send(stuffed + b".\r\n")
            code, reply = client.getreply()
            result.append((name, box, str(code).encode() + b" " + reply))
        except (smtplib.SMTPServerDisconnected, ConnectionError):
            code = -1
        if code != 250:
            client.close()
            client = smtplib.SMTP(*server.smtp, timeout=60)
            client.ehlo("corpus.test")
    client.quit()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("whole") / "site")
    with server.changes() as changes:
        for domain in DOMAINS:
            changes.add_domain(domain)
        for box in BOXES:
            changes.add_box(box, "a password of the test")
    with server:
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="module")
def messages(corpus: Sequence[Mail]) -> Sequence[tuple[str, bytes]]:
    """The corpus, as often as gives every box some mail."""
    rounds = range(math.ceil(4 * len(BOXES) / len(corpus)))
    return [(f"{mail.path} {number}", mail.data) for number in rounds for mail in corpus]


def test_the_whole_path(server: Server, messages: Sequence[tuple[str, bytes]]) -> None:
    result: list[tuple[str, str, bytes]] = []
    parts = 8
    threads = [
        threading.Thread(target=send, args=(server, messages, part, parts, result))
        for part in range(parts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.settle()

    # None refused but those that hold a bare CR (RFC 5321 2.3.8).
    raw_of = dict(messages)
    assert len(result) == len(messages)
    accepted = [(name, box) for name, box, reply in result if reply.startswith(b"250 2.0.0 queued")]
    for name, _, reply in result:
        bare = re.search(rb"\r(?!\n)", wire(raw_of[name])) is not None
        assert reply.startswith(b"550 5.6.11" if bare else b"250"), (name, reply)

    # Each stored byte for byte, line ends and our header lines aside.
    stored: Counter[tuple[str, bytes]] = Counter()
    for box, _, path in files(server.places.boxes):
        kept = path.read_bytes()
        assert OWN_LINES.match(kept), kept[:200]
        stored[box, hashlib.sha256(OWN_LINES.sub(b"", kept)).digest()] += 1
    expected: Counter[tuple[str, bytes]] = Counter()
    for name, box in accepted:
        expected[box, hashlib.sha256(wire(raw_of[name]).replace(b"\r\n", b"\n")).digest()] += 1
    assert stored == expected

    # Each with a complete trace; and the books balance.
    kinds = {"conn.open", "smtp.ehlo", "smtp.mail", "smtp.rcpt", "smtp.accept", "store.delivered"}
    for reply in [reply for *_, reply in result if b"queued as" in reply][
        :: max(1, len(result) // 20)
    ]:
        found = json.loads(server.mtad("trace", reply.split()[-1].decode(), "--json").stdout)
        assert kinds <= {event["kind"] for event in found["events"]}, found
    server.mtad("audit")

    # Flags and folders of some, then a snapshot; everything deleted; put back as it was.
    loaded = load(server.config)
    with Boxes(loaded) as boxes:
        for number, box in enumerate(BOXES):
            boxes.sync(box)
            uids = [message.uid for message in boxes.list(box).messages]
            assert uids == sorted(set(uids))
            boxes.flags(box, "INBOX", uids[::3], ["\\Seen"], [], actor=f"user:{box}")
            boxes.flags(box, "INBOX", uids[::7], ["\\Flagged", "Work"], [], actor=f"user:{box}")
            if number % 2:
                boxes.create(box, "Архив/2026", actor=f"user:{box}")
                boxes.move(box, "INBOX", uids[::5], "Архив/2026", actor=f"user:{box}")
            boxes.sync(box)  # files have followed the flags
        before = state(server.places.boxes)
        server.mtad("snapshot", "create")
        for box in BOXES:
            for mailbox in ("INBOX", "Архив/2026"):
                uids = [m.uid for m in boxes.list(box).messages if m.mailbox == mailbox]
                if uids:
                    boxes.expunge(box, mailbox, uids, actor=f"user:{box}", client="test client")
    assert state(server.places.boxes) == {}
    server.mtad("audit")
    one = next(reply for *_, reply in result if b"queued as" in reply).split()[-1].decode()
    assert "test client" in server.mtad("trace", one, "--json").stdout
    for box in BOXES:
        server.mtad("restore", "--box", box, "--yes")
    assert state(server.places.boxes) == before
    for box in BOXES[:5]:
        again = json.loads(server.mtad("restore", "--box", box, "--yes", "--json").stdout)
        assert again["restored"] == 0
    assert state(server.places.boxes) == before
    server.mtad("snapshot", "verify", "--read-data")
    server.mtad("audit")
    assert "Traceback" not in server.output()
