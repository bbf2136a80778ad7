"""The third program of the storm: mail comes, is moved and deleted, so many times a second.

``python -m tests.storm`` runs it beside a server, told what to do by one JSON object on standard
input; it prints what must be there in the end. Mail comes by SMTP and into ``new/``; it is moved
and deleted by IMAP, and now and then by whoever renames and removes files of a Maildir.
"""

import contextlib
import imaplib
import json
import os
import random
import re
import smtplib
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAILBOXES = ("INBOX", "Work")
SECRET = "long-enough-1"
TURN_SECONDS = 0.05
SUBJECT = re.compile(rb"^Subject: (\S+)", re.M)
COPIED = re.compile(r"(\d+) ([\d:,]+) ([\d:,]+)")


def numbers(said: str) -> list[int]:
    """The UIDs of a set as servers send it."""
    found: list[int] = []
    for part in said.split(","):
        first, _, last = part.partition(":")
        found += range(int(first), int(last or first) + 1)
    return found


def message(token: str, number: int) -> tuple[str, str]:
    """A message with its token; a short one or a longer one."""
    return token, f"Subject: {token}\n\n{'x' * (10, 1000)[number % 2]}\n"


def at_pace(end: float, do: Callable[[], None]) -> None:
    """Do something each turn until the end; what is late is done at once."""
    turn = time.monotonic()
    while time.monotonic() < end:
        time.sleep(max(0.0, turn - time.monotonic()))
        do()
        turn += TURN_SECONDS


class Storm:
    """Who does it, and what it knows to be where."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self.box = orders["box"]
        self.maildir = Path(orders["maildir"])
        self.rng = random.Random(orders["seed"])
        self.tenth = max(1, round(orders["rate"] * TURN_SECONDS / 10))
        self.smtp = smtplib.SMTP("127.0.0.1", orders["smtp"], timeout=30)
        self.link = imaplib.IMAP4("127.0.0.1", orders["imap"], timeout=30)
        self.link.login(self.box, SECRET)
        self.there: dict[str, str] = {}
        """The mailbox of each message that was delivered and not deleted."""
        self.tokens: dict[str, dict[int, str]] = {name: {} for name in MAILBOXES}
        """By UID, as far as this program has seen them."""
        self.name = ""
        """The mailbox that is selected."""
        self.turns = 0
        self.count = 0
        """Messages that came by SMTP."""
        self.done = 0
        """All else."""

    def run(self, seconds: float) -> None:
        """Do things until the time is over: mail comes beside all else."""
        end = time.monotonic() + seconds
        mail = threading.Thread(target=at_pace, args=(end, self.deliver))
        mail.start()
        at_pace(end, self.stir)
        mail.join()

    def deliver(self) -> None:
        """A turn's arrivals, four in ten of what is done."""
        for _ in range(4 * self.tenth):
            self.count += 1
            token, text = message(f"m{self.count}", self.count)
            self.smtp.sendmail("a@sender.test", [self.box], text)
            self.there[token] = "INBOX"

    def stir(self) -> None:
        """Of the rest three are moved, two deleted, one is by hand."""
        if self.turns % 8 == 0:
            self.select(self.rng.choice(MAILBOXES))
        self.turns += 1
        self.learn()
        name = self.name
        self.move(name, 3 * self.tenth)
        self.expunge(name, 2 * self.tenth)
        for _ in range(self.tenth):
            self.rng.choice((self.deliver_file, self.move_file, self.delete_file))()

    # -------------------------------------------------------------------- by IMAP

    def select(self, name: str) -> None:
        """Turn to a mailbox."""
        status, _ = self.link.select(name)
        assert status == "OK"
        self.name = name

    def learn(self) -> None:
        """Learn the tokens of what came to it."""
        known = self.tokens[self.name]
        _, lines = self.link.uid(
            "FETCH", f"{max(known, default=0) + 1}:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])"
        )
        for line in lines:
            if isinstance(line, tuple):
                uid = int(re.search(rb"UID (\d+)", line[0])[1])  # type: ignore[index]
                token = SUBJECT.search(line[1])[1].decode()  # type: ignore[index]
                assert known.setdefault(uid, token) == token

    def some(self, name: str, count: int) -> list[int]:
        """UIDs of messages that should be in a mailbox."""
        known = self.tokens[name]
        every = [uid for uid, token in known.items() if self.there.get(token) == name]
        return self.rng.sample(every, min(count, len(every)))

    def move(self, name: str, count: int) -> None:
        """To the other mailbox, as far as they are still there by these UIDs."""
        target = MAILBOXES[1 - MAILBOXES.index(name)]
        chosen = self.some(name, count)
        if not chosen:
            return
        self.link.untagged_responses.clear()
        status, said = self.link.uid("MOVE", ",".join(map(str, chosen)), target)
        assert status == "OK", said
        _, told = self.link.response("COPYUID")
        for one in told:
            if one is None:
                continue
            _, sources, targets = COPIED.fullmatch(one.decode()).groups()  # type: ignore[union-attr]
            for uid, moved in zip(numbers(sources), numbers(targets), strict=True):
                token = self.tokens[name].pop(uid)
                assert self.tokens[target].setdefault(moved, token) == token
                self.there[token] = target
                self.done += 1

    def expunge(self, name: str, count: int) -> None:
        """The server says which of them were there."""
        chosen = self.some(name, count)
        if not chosen:
            return
        uids = ",".join(map(str, chosen))
        _, lines = self.link.uid("FETCH", uids, "(UID)")
        found = {int(re.search(rb"UID (\d+)", line)[1]) for line in lines if line}  # type: ignore[index]
        assert self.link.uid("STORE", uids, "+FLAGS.SILENT", "(\\Deleted)")[0] == "OK"
        assert self.link.uid("EXPUNGE", uids)[0] == "OK"
        for uid in found & {*chosen}:
            token = self.tokens[name].pop(uid)
            del self.there[token]
            self.done += 1

    # ------------------------------------------------------------------- by files

    def deliver_file(self) -> None:
        """As a delivery agent that knows of no server does."""
        self.done += 1
        token, text = message(f"f{self.done}", self.done)
        made = self.maildir / "tmp" / f"{token}.storm"
        made.write_text(text)
        made.rename(self.maildir / "new" / f"{token}.storm")
        self.there[token] = "INBOX"

    def a_file(self) -> tuple[str, Path] | None:
        """Any message's file with its token."""
        for name in self.rng.sample(MAILBOXES, 2):
            folder = self.maildir if name == "INBOX" else self.maildir / f".{name}"
            entries = os.listdir(folder / "cur")
            if entries:
                path = folder / "cur" / self.rng.choice(entries)
                with contextlib.suppress(FileNotFoundError):
                    return SUBJECT.search(path.read_bytes())[1].decode(), path  # type: ignore[index]
        return None

    def move_file(self) -> None:
        """As another program that serves the Maildir does."""
        found = self.a_file()
        if found is None:
            return
        token, path = found
        target = MAILBOXES[self.there[token] == "INBOX"]
        folder = self.maildir if target == "INBOX" else self.maildir / f".{target}"
        with contextlib.suppress(FileNotFoundError):
            path.rename(folder / "cur" / path.name)
            self.there[token] = target
            self.done += 1

    def delete_file(self) -> None:
        """The same."""
        found = self.a_file()
        if found is not None:
            with contextlib.suppress(FileNotFoundError):
                found[1].unlink()
                del self.there[found[0]]
                self.done += 1


def main() -> None:
    """Read the orders, do them, tell what came of it."""
    orders = json.load(sys.stdin)
    storm = Storm(orders)
    began = time.monotonic()
    storm.run(orders["seconds"])
    rate = (storm.count + storm.done) / (time.monotonic() - began)
    json.dump({"there": storm.there, "rate": rate}, sys.stdout)


if __name__ == "__main__":
    main()
