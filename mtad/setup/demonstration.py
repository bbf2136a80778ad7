"""The whole story on a running server, told by the commands that anyone would use for it.

Each step prints the command and what it answered. Nothing is shown that was not run.
"""

import hashlib
import json
import os
import re
import shlex
import smtplib
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import sqlalchemy as sa

from mtad import clock, control
from mtad.address import box_folder
from mtad.config import Loaded
from mtad.directory import connections, tables
from mtad.errors import MtadError, NothingFound, Unreachable
from mtad.setup import samples
from mtad.store.names import mailbox_folder

SMTP_SECONDS = 20
COMMAND_SECONDS = 60
QUEUED_AS = re.compile(rb"queued as ([0-9a-z]{13})")

Say = Callable[[str], None]


def tell(loaded: Loaded, say: Say) -> None:
    """Send, trace, snapshot, delete, see who deleted, restore, compare the dates.

    Raises Unreachable when no server runs, MtadError when a step does not do what it must.
    """
    if any(not loaded.places.socket(role).exists() for role in ("mta", "log", "access")):
        raise Unreachable(
            f"no server runs on {loaded.places.data}; 'mtad serve' (or 'make run') starts one"
        )
    story = _Story(loaded, say)
    box = _first_box(loaded)
    say(f"The story of a message to {box}, as the server's own commands tell it.")

    say("\n1. Mail comes in over SMTP. With its 250 it is ours, and safe from a power cut.\n")
    trace = story.send(box)
    control.ask(loaded.places.socket("log"), "position", seconds=COMMAND_SECONDS)

    say("\n2. What happened to it?\n")
    story.run("trace", trace)

    say("\n3. A snapshot keeps it.\n")
    story.run("snapshot", "create", "--box", box)
    before = story.stored(box, trace)

    say("\n4. Someone deletes it.\n")
    story.run("mail", "delete", "--box", box, trace, "--yes")

    say("\n5. Who was that?\n")
    story.run("trace", trace)
    if story.find(box, trace) is not None:
        raise MtadError("the message is still there after it was deleted")

    say("\n6. Put it back.\n")
    story.run("restore", "--box", box, trace, "--yes")
    after = story.stored(box, trace)

    say("\n7. Is it the same?\n")
    _compare(before, after, say)


class _Story:
    """Runs commands as a person would, and shows them."""

    def __init__(self, loaded: Loaded, say: Say) -> None:
        self._loaded = loaded
        self._say = say

    def send(self, box: str) -> str:
        """Send the samples; returns the id of the last one, as its 250 named it."""
        host, _, port = self._loaded.config.listen.smtp[0].rpartition(":")
        host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104
        trace = ""
        try:
            with smtplib.SMTP(host, int(port), "demo.mail.example", SMTP_SECONDS) as link:
                for subject, message in samples.samples(box):
                    trace = _deliver(link, box, message)
                    self._say(f"   250 queued as {trace}   {subject}")
        except (OSError, smtplib.SMTPException) as error:
            raise Unreachable(f"SMTP on {host}:{port} failed: {error}") from error
        return trace

    def run(self, *words: str) -> str:
        """Run one command of mtad, show it with what it printed; returns that."""
        self._say(f"   $ mtad {shlex.join(words)}")
        printed = self._command(words)
        for line in printed.rstrip().split("\n"):
            self._say(f"   {line}")
        return printed

    def find(self, box: str, trace: str) -> "Stored | None":
        """A message's file as it lies in the box, or None when it is not there."""
        listed = json.loads(self._command(("mail", "list", "--box", box, "--json")))
        maildir = self._loaded.places.boxes / box_folder(box) / "Maildir"
        for one in listed["messages"]:
            if one["id"] == trace:
                return Stored.read(maildir / mailbox_folder(one["mailbox"]) / one["file"])
        return None

    def stored(self, box: str, trace: str) -> "Stored":
        """The same of a message that must be there."""
        found = self.find(box, trace)
        if found is None:
            raise MtadError(f"the message {trace} is not in {box}")
        return found

    def _command(self, words: Sequence[str]) -> str:
        command = [sys.executable, "-m", "mtad", "--config", str(self._loaded.path), *words]
        done = subprocess.run(  # noqa: S603 - our own command
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            env=os.environ | {"PYTHONIOENCODING": "utf-8"},
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip() or done.stdout.strip()
            raise MtadError(f"'mtad {shlex.join(words)}' failed: {said}")
        return done.stdout


def _deliver(link: smtplib.SMTP, box: str, message: bytes) -> str:
    """One transaction; returns the queue id in the 250."""
    link.ehlo_or_helo_if_needed()
    utf8 = [] if box.isascii() else ["SMTPUTF8"]
    for code, said in (
        link.mail(samples.SENDER, utf8),
        link.rcpt(box),
        link.data(message),
    ):
        if code != 250:
            raise smtplib.SMTPResponseException(code, said)
    queued = QUEUED_AS.search(said)
    if queued is None:
        raise smtplib.SMTPResponseException(code, said)
    return queued[1].decode()


def _first_box(loaded: Loaded) -> str:
    with connections.reading(loaded.places.state_db) as connection:
        first = connection.scalar(
            sa.select(tables.box.c.address).order_by(tables.box.c.added).limit(1)
        )
    if first is None:
        raise NothingFound("there is no box yet; 'mtad box add' makes one")
    return str(first)


@dataclass(frozen=True, slots=True)
class Stored:
    """What must be the same afterwards, read from the file itself."""

    date: str
    octets: str
    sha256: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read one message file."""
        data, at = path.read_bytes(), path.stat().st_mtime_ns
        when = clock.from_us(at // 1000).astimezone()
        return cls(
            f"{when:%Y-%m-%d %H:%M:%S}.{at % 1_000_000_000:09}",
            str(len(data)),
            hashlib.sha256(data).hexdigest(),
        )


def _compare(before: Stored, after: Stored, say: Say) -> None:
    """Show date, size and content before and after; raise MtadError where they differ."""
    for name in ("date", "octets", "sha256"):
        was, is_now = getattr(before, name), getattr(after, name)
        say(f"   {name:<8} before  {was}")
        say(f"   {'':<8} after   {is_now}  {'equal' if was == is_now else 'DIFFERENT'}")
        if was != is_now:
            raise MtadError(f"the restored message has another {name}")
