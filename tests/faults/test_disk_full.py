"""A disk that is full: mail is asked to come later, nothing is lost, and it goes on by itself."""

import contextlib
import os
import smtplib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import Server, until

DISK_BYTES = 96 * 2**20
SETTINGS = """[journal]
segment_bytes = 1048576
cap_bytes = 8388608
keep_seconds = 0
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    if os.geteuid():
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "mtad-test", folder], check=True
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def send(server: Server, size: int = 1000) -> tuple[int, bytes]:
    """One message; the reply that ended it, at whichever command."""
    with smtplib.SMTP(*server.smtp, timeout=30) as client:
        client.ehlo("sender.test")
        for said in ("MAIL FROM:<a@sender.test>", "RCPT TO:<you@example.org>"):
            code, reply = client.docmd(said)
            if code != 250:
                return code, reply
        return client.data(b"Subject: full\r\n\r\n" + b"x" * 70 + b"\r\n" * (size // 70))


def fill(path: Path) -> None:
    """Take all the space there is."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(2**16))


def stored(server: Server) -> int:
    """Messages in the box."""
    maildir = server.places.boxes / "example.org" / "you" / "Maildir"
    return sum(len(os.listdir(maildir / sub)) for sub in ("new", "cur") if (maildir / sub).is_dir())


def test_a_full_disk_loses_nothing_and_recovers(disk: Path) -> None:
    with Server(disk / "site") as server:
        server.config.write_text(server.config.read_text().replace("[journal]\n", SETTINGS))
        server.start()
        for _ in range(10):
            assert send(server)[0] == 250
        server.settle()

        filler = disk / "filler"
        fill(filler)
        until(lambda: send(server)[0] != 250, 10, "a refusal")
        for _ in range(5):
            code, reply = send(server)
            assert (code, reply[:5]) == (452, b"4.3.1"), reply
            time.sleep(0.05)
        assert server.mtad("trace", "from:a@sender.test", code=None).returncode == 0

        filler.unlink()
        until(lambda: send(server)[0] == 250, 30, "mail to be taken again")
        server.settle()
        found = server.mtad("trace", "state:delivered", "--jsonl", "--limit", "1000").stdout
        assert found.count("\n") == stored(server) > 10
        server.mtad("audit")
        server.stop()
        assert "Traceback" not in server.output()
