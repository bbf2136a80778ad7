"""Processes are killed while mail comes in: what got a 250 is there once, with its trace."""

import os
import random
import re
import smtplib
import threading
import time
from collections import Counter
from pathlib import Path

from tests.server import Server, until

SOAK = bool(os.environ.get("MTAD_SOAK"))
KILLS = 50 if SOAK else 8
SENDERS = 20
BOXES = [f"box{i}@example.org" for i in range(5)]
TOKEN = re.compile(rb"^Token: (\S+)", re.MULTILINE)


class Sender(threading.Thread):
    """Sends mail until told to stop; remembers what was acknowledged."""

    def __init__(self, server: Server, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.server, self.number, self.stop = server, number, stop
        self.acknowledged: dict[str, str] = {}
        self.failed = 0

    def run(self) -> None:
        count = 0
        rng = random.Random(self.number)
        while not self.stop.is_set():
            try:
                with smtplib.SMTP(*self.server.smtp, timeout=20) as client:
                    client.ehlo("sender.test")
                    while not self.stop.is_set():
                        count += 1
                        self._one(client, f"t{self.number}-{count}", rng)
            except (OSError, smtplib.SMTPException):
                self.failed += 1
                time.sleep(0.05)

    def _one(self, client: smtplib.SMTP, token: str, rng: random.Random) -> None:
        to = rng.sample(BOXES, rng.randint(1, 2))
        size = rng.choice((500, 2_000, 20_000, 300_000) if rng.random() < 0.1 else (500, 2_000))
        body = "x" * 70 + "\r\n"
        text = f"Token: {token}\r\nSubject: {token}\r\n\r\n{body * (size // 72)}"
        client.mail("sender@sender.test")
        for address in to:
            code, reply = client.rcpt(address)
            if code != 250:
                raise smtplib.SMTPResponseException(code, reply)
        code, reply = client.data(text)
        if code != 250:
            raise smtplib.SMTPResponseException(code, reply)
        found = re.search(rb"queued as (\w+)", reply)
        assert found is not None
        self.acknowledged[token] = f"{found[1].decode()} {len(to)}"


def stored(boxes: Path) -> Counter[str]:
    """How often each token lies in a mailbox."""
    seen: Counter[str] = Counter()
    for path in boxes.rglob("Maildir/*/*"):
        if path.parent.name in ("new", "cur"):
            found = TOKEN.search(path.read_bytes())
            assert found is not None, f"{path} is damaged"
            seen[found[1].decode()] += 1
    return seen


def test_killing_any_process_loses_nothing_acknowledged(tmp_path: Path) -> None:
    with Server(tmp_path / "site") as server:
        kill_while_mail_comes_in(server, random.Random(20))


def kill_while_mail_comes_in(server: Server, rng: random.Random) -> None:
    with server.changes() as changes:
        for address in BOXES:
            changes.add_box(address, "a password of the test")
    server.start()
    stop = threading.Event()
    senders = [Sender(server, number, stop) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    try:
        for _ in range(KILLS):
            before = sum(len(sender.acknowledged) for sender in senders)
            until(
                lambda before=before: sum(len(s.acknowledged) for s in senders) > before + 40,  # type: ignore[misc]
                60,
                "mail to be accepted again",
            )
            time.sleep(rng.random() * 0.3)
            server.kill_one(rng)
    finally:
        stop.set()
        for sender in senders:
            sender.join(60)
    until(server.ready, 60, "the server to be whole again")
    server.settle()
    seen = stored(server.places.boxes)
    acknowledged = {k: v for sender in senders for k, v in sender.acknowledged.items()}
    assert len(acknowledged) > 40 * KILLS
    for token, said in acknowledged.items():
        _, _, copies = said.partition(" ")
        assert seen[token] == int(copies), f"{token}: {seen[token]} copies for {said}"
    assert max(seen.values()) <= 2
    for said in rng.sample(sorted(acknowledged.values()), 20):
        found = server.mtad("trace", said.split()[0], "--json").stdout
        assert "store.delivered" in found
    server.mtad("audit")
    server.stop()
    server.mtad("audit")
