"""Processes are killed while mail goes out: nothing is lost, and repeats are only the unavoidable.

A message whose 250 was on the wire when its sender died has to be sent once more (RFC 5321
4.5.4.1). The remote of this test writes down when it said 250 and for what; every copy before
the last must have been acknowledged at a moment when a process was being killed.
"""

import contextlib
import os
import random
import re
import smtplib
import socketserver
import threading
import time
from collections import defaultdict
from pathlib import Path

from tests.server import Server, until

SOAK = bool(os.environ.get("MTAD_SOAK"))
KILLS = 100 if SOAK else 8
SENDERS = 10
TOKEN = re.compile(rb"^Token: (\S+)", re.MULTILINE)
KILL_SECONDS = 0.1
"""Until a process that is told to die has died."""
SUBSIDE_SECONDS = 3.0
"""How long before a kill a 250 may have come whose outcome the dead process could not write
down. It is milliseconds on a machine at rest; this one runs 30 threads on two cores."""


class Remote(socketserver.ThreadingTCPServer):
    """A server that takes everything, slowly at times, and remembers each copy."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.lock = threading.Lock()
        self.copies: dict[str, list[float]] = defaultdict(list)
        """When 250 was said, for each copy of each token."""
        self.recipients: dict[str, set[str]] = defaultdict(set)


class Conversation(socketserver.StreamRequestHandler):
    """One SMTP session of the remote."""

    server: Remote

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self._talk()

    def _talk(self) -> None:
        self._say("220 remote.test ESMTP")
        to: list[str] = []
        while line := self.rfile.readline(4096):
            verb = line[:4].upper()
            if verb == b"EHLO":
                self._say("250-remote.test\r\n250-PIPELINING\r\n250 8BITMIME")
            elif verb == b"MAIL":
                to = []
                self._say("250 2.1.0 ok")
            elif verb == b"RCPT":
                to.append(line.decode().partition("<")[2].partition(">")[0])
                self._say("250 2.1.5 ok")
            elif verb == b"DATA":
                self._say("354 go")
                self._take(to)
            elif verb == b"QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _take(self, to: list[str]) -> None:
        lines = []
        while (line := self.rfile.readline(1 << 20)) != b".\r\n":
            if not line:
                return
            lines.append(line)
        found = TOKEN.search(b"".join(lines))
        assert found is not None
        token = found[1].decode()
        if hash(token) % 7 == 0:
            time.sleep(0.02)
        with self.server.lock:
            self.server.copies[token].append(time.monotonic())
            self.server.recipients[token].update(to)
        self._say(f"250 2.0.0 Ok: queued as {token}")

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


class Sender(threading.Thread):
    """Sends mail until told to stop; remembers what was acknowledged."""

    def __init__(self, server: Server, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.server, self.number, self.stop = server, number, stop
        self.acknowledged: dict[str, int] = {}

    def run(self) -> None:
        count = 0
        while not self.stop.is_set():
            try:
                with smtplib.SMTP(*self.server.smtp, timeout=20) as client:
                    client.ehlo("sender.test")
                    while not self.stop.is_set():
                        count += 1
                        self._one(client, f"t{self.number}-{count}", count)
                        time.sleep(0.01)
            except (OSError, smtplib.SMTPException):
                time.sleep(0.05)

    def _one(self, client: smtplib.SMTP, token: str, count: int) -> None:
        many = count % 5 == 0
        body = "x" * 70 + "\r\n"
        text = (
            f"Token: {token}\r\nSubject: {token}\r\n\r\n{body * (4000 if count % 50 == 0 else 10)}"
        )
        client.mail("sender@sender.test")
        client.rcpt("three@example.org" if many else "one@example.org")
        code, reply = client.data(text)
        if code != 250:
            raise smtplib.SMTPResponseException(code, reply)
        self.acknowledged[token] = 3 if many else 1


def test_killing_any_process_loses_nothing_that_leaves(tmp_path: Path) -> None:
    remote = Remote()
    threading.Thread(target=remote.serve_forever, daemon=True).start()
    try:
        with Server(tmp_path / "site") as server:
            kills, acknowledged = kill_while_mail_goes_out(server, remote, random.Random(7))
    finally:
        remote.shutdown()
        remote.server_close()
    repeated = 0
    for token, recipients in acknowledged.items():
        assert len(remote.recipients[token]) == recipients, f"{token} is lost"
        *before, _ = sorted(remote.copies[token])
        for said in before:
            repeated += 1
            assert any(0 <= kill - said < SUBSIDE_SECONDS for kill in kills), (
                f"{token} was sent again, and nobody was killed after its 250"
            )
    print(f"{len(acknowledged)} messages, {len(kills)} kills, {repeated} repeated")
    assert repeated <= len(kills) * 20


def kill_while_mail_goes_out(
    server: Server, remote: Remote, rng: random.Random
) -> tuple[list[float], dict[str, int]]:
    """When processes were killed, and how many recipients each acknowledged token had."""
    port = str(remote.server_address[1])
    server.mtad("transport", "set", "far.test", "relay", f"127.0.0.1:{port}")
    server.mtad("alias", "add", "one@example.org", "a@far.test")
    server.mtad("alias", "add", "three@example.org", "a@far.test", "b@far.test", "c@far.test")
    server.mtad("config", "check")
    server.start()
    stop = threading.Event()
    senders = [Sender(server, number, stop) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    kills: list[float] = []
    try:
        for _ in range(KILLS):
            before = len(remote.copies)
            until(lambda before=before: len(remote.copies) > before + 40, 60, "mail to go out")  # type: ignore[misc]
            time.sleep(rng.random() * 0.3)
            at = time.monotonic()
            server.kill_one(rng)
            kills.append(at + KILL_SECONDS)
    finally:
        stop.set()
        for sender in senders:
            sender.join(60)
    until(server.ready, 60, "the server to be whole again")
    acknowledged = {k: v for sender in senders for k, v in sender.acknowledged.items()}
    until(
        lambda: all(len(remote.recipients[t]) == n for t, n in acknowledged.items()),
        60,
        "everything to arrive",
    )
    server.settle()
    assert len(acknowledged) > 30 * KILLS
    server.mtad("trace", "state:queued", code=4)
    server.mtad("audit")
    server.stop()
    server.mtad("audit")
    return kills, acknowledged
