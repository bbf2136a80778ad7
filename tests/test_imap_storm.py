"""Two clients that resynchronise (QRESYNC, RFC 7162) while a third program stirs the box.

Each keeps a view as RFC 7162 lets it: what it was told, and never more than that. In the end
both views, the mailboxes and what the third program did are one; no UID ever meant two
messages, and no mod-sequence was given to two changes.
"""

import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mtad import address
from mtad.journal.reader import Reader
from tests.server import Server
from tests.storm import MAILBOXES, SECRET, SUBJECT, numbers

SOAK = bool(os.environ.get("MTAD_SOAK"))
SECONDS = 60 if SOAK else 4
RATE = 200
BOX = "u@example.org"
LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")
FETCHED = re.compile(rb"\* (\d+) FETCH \((.*)\)\r\n\Z", re.S)


class Link:
    """A connection that hands over whole lines, literals in them."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._file = self._socket.makefile("rb")
        self._count = 0
        self.line()
        self.ok(f"LOGIN {BOX} {SECRET}")
        self.ok("ENABLE QRESYNC")

    def line(self) -> bytes:
        line = self._file.readline()
        while found := LITERAL.search(line):
            line += self._file.read(int(found[1])) + self._file.readline()
        assert line.endswith(b"\r\n"), line
        return line

    def ok(self, command: str) -> list[bytes]:
        """The lines of a command that succeeds, the tagged one last."""
        self._count += 1
        tag = b"t%d " % self._count
        self._socket.sendall(tag + command.encode() + b"\r\n")
        lines = [self.line()]
        while not lines[-1].startswith(tag):
            lines.append(self.line())
        assert lines[-1].startswith(tag + b"OK"), (command, lines[-1])
        return lines

    def close(self) -> None:
        """Go without a word."""
        self._file.close()
        self._socket.close()


@dataclass
class Picture:
    """A mailbox as a client has it."""

    uidvalidity: int = 0
    modseq: int = 0
    """All changes up to it were told."""
    order: list[int] = field(default_factory=list)
    """UIDs by sequence number, 0 where the client was not told yet."""
    flags: dict[int, frozenset[bytes]] = field(default_factory=dict)


class Client(threading.Thread):
    """Looks, sets flags, loses its connection, comes back and resynchronises."""

    def __init__(self, port: int, number: int, tokens: dict[tuple[str, int], str]) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.rng = random.Random(number)
        self.pictures = {name: Picture() for name in MAILBOXES}
        self.tokens = tokens
        """What each UID meant to whoever saw it first."""
        self.said: dict[tuple[str, int, int], frozenset[bytes]] = {}
        """Flags by mailbox, UID and mod-sequence."""
        self.stop = threading.Event()
        self.wrong = ""
        self.resyncs = self.changes = 0
        self.mailbox, self.picture = "", Picture()
        self.top = 0
        """The highest mod-sequence told since the mailbox was selected."""

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                with closing(Link(self.port)) as link:
                    self.resync(link, self.rng.choice(MAILBOXES))
                    end = time.monotonic() + self.rng.uniform(0.1, 0.8)
                    while time.monotonic() < end:
                        self.act(link)
                        time.sleep(0.03)
        except Exception as error:
            self.wrong = f"{type(error).__name__}: {error}"

    def resync(self, link: Link, name: str) -> None:
        """Select a mailbox, telling what is known of it, in one of the ways there are."""
        self.mailbox, self.picture, self.top = name, self.pictures[name], 0
        picture = self.picture
        if picture.uidvalidity and picture.order:
            known = [f"{picture.uidvalidity} {picture.modseq}"]
            if self.rng.random() < 0.5:
                known.append(f"1:{picture.order[-1]}")
                if self.rng.random() < 0.5:
                    places = sorted({len(picture.order) // 2 + 1, len(picture.order)})
                    uids = [picture.order[at - 1] for at in places]
                    known.append(f"({','.join(map(str, places))} {','.join(map(str, uids))})")
            lines = link.ok(f"SELECT {name} (QRESYNC ({' '.join(known)}))")
            self.resyncs += 1
        else:
            lines = link.ok(f"SELECT {name}")
        said = b"".join(lines)
        validity = int(re.search(rb"UIDVALIDITY (\d+)", said)[1])  # type: ignore[index]
        highest = int(re.search(rb"HIGHESTMODSEQ (\d+)", said)[1])  # type: ignore[index]
        assert picture.uidvalidity in (0, validity)
        assert highest >= picture.modseq, f"HIGHESTMODSEQ fell to {highest}"
        picture.uidvalidity = validity
        exists = next(line for line in lines if line.endswith(b" EXISTS\r\n"))
        gone = [line for line in lines if line.startswith(b"* VANISHED (EARLIER)")]
        for line in gone:
            self.vanish(line)
        self.exist(int(exists.split()[1]))
        for line in lines:
            if line not in gone and line != exists:
                self.hear(line)
        self.learn(link)
        assert picture.order == sorted(picture.flags)
        picture.modseq = max(picture.modseq, highest)

    def act(self, link: Link) -> None:
        """Look for news, or set a flag."""
        picture = self.picture
        if picture.order and self.rng.random() < 0.3:
            uid, sign = self.rng.choice(picture.order), self.rng.choice("+-")
            flag = self.rng.choice(("\\Flagged", "\\Seen", "todo"))
            self.tell(link, f"UID STORE {uid} {sign}FLAGS ({flag})")
            self.changes += 1
        self.tell(link, "NOOP")
        self.learn(link)
        picture.modseq = max(picture.modseq, self.top)

    def tell(self, link: Link, command: str) -> None:
        for line in link.ok(command):
            self.hear(line)

    def learn(self, link: Link) -> None:
        """Ask for what was only counted so far, until nothing is."""
        picture = self.picture
        while 0 in picture.order:
            last = max(picture.order, default=0)
            items = "(FLAGS MODSEQ BODY.PEEK[HEADER.FIELDS (SUBJECT)])"
            self.tell(link, f"UID FETCH {last + 1}:* {items}")
            self.tell(link, "NOOP")

    # ------------------------------------------------------------------ hearing

    def hear(self, line: bytes) -> None:
        """Take in one line."""
        if line.startswith(b"* VANISHED "):
            self.vanish(line)
        elif line.endswith(b" EXISTS\r\n"):
            self.exist(int(line.split()[1]))
        elif found := FETCHED.match(line):
            self.fetched(int(found[1]), found[2])

    def vanish(self, line: bytes) -> None:
        picture = self.picture
        is_earlier = b"(EARLIER)" in line
        for uid in numbers(line.split()[-1].decode()):
            if uid in picture.flags:
                del picture.flags[uid]
                picture.order.remove(uid)
            elif not is_earlier:  # one that was counted and never named
                picture.order.remove(0)

    def exist(self, count: int) -> None:
        order = self.picture.order
        assert count >= len(order), f"{self.mailbox}: {len(order)} are known, {count} EXISTS"
        order += [0] * (count - len(order))

    def fetched(self, number: int, said: bytes) -> None:
        picture = self.picture
        uid = int(re.search(rb"UID (\d+)", said)[1])  # type: ignore[index]
        assert picture.order[number - 1] in (0, uid), f"{self.mailbox}: {number} is not UID {uid}"
        picture.order[number - 1] = uid
        flags = frozenset(re.search(rb"FLAGS \(([^)]*)\)", said)[1].split())  # type: ignore[index]
        modseq = int(re.search(rb"MODSEQ \((\d+)\)", said)[1])  # type: ignore[index]
        self.top = max(self.top, modseq)
        flags -= {b"\\Recent"}
        picture.flags[uid] = flags
        assert self.said.setdefault((self.mailbox, uid, modseq), flags) == flags
        if subject := SUBJECT.search(said):
            token = subject[1].decode()
            assert self.tokens.setdefault((self.mailbox, uid), token) == token


def final(port: int) -> tuple[dict[str, dict[int, frozenset[bytes]]], dict[str, dict[int, str]]]:
    """Flags and tokens of all there is, as one sees them who never was there before."""
    fresh = Client(port, 0, {})
    with closing(Link(port)) as link:
        for name in MAILBOXES:
            fresh.resync(link, name)
    flags = {name: picture.flags for name, picture in fresh.pictures.items()}
    return flags, {
        name: {uid: token for (mailbox, uid), token in fresh.tokens.items() if mailbox == name}
        for name in MAILBOXES
    }


def given(server: Server) -> list[int]:
    """The mod-sequences of the acts that are in the journal of the boxes' owner."""
    with closing(Reader(server.places.journal / "access-0")) as reader:
        return [act.modseq for frame in reader.frames(0) for act in frame.meta.acts]


@pytest.mark.timeout(300)
def test_views_agree_after_a_storm(tmp_path: Path) -> None:
    with Server(tmp_path / "site") as server:
        server.mtad("box", "add", BOX, "--password-stdin", text=f"{SECRET}\n")
        server.start()
        port = int(server.made["imap"])
        with closing(Link(port)) as link:
            link.ok("CREATE Work")
        maildir = server.places.boxes / address.box_folder(BOX) / "Maildir"
        orders = {
            "box": BOX,
            "maildir": str(maildir),
            "smtp": server.smtp[1],
            "imap": port,
            "seed": 7,
            "rate": RATE,
            "seconds": SECONDS,
        }
        tokens: dict[tuple[str, int], str] = {}
        clients = [Client(port, number, tokens) for number in (1, 2)]
        for client in clients:
            client.start()
        storm = subprocess.run(
            [sys.executable, "-m", "tests.storm"],
            input=json.dumps(orders),
            capture_output=True,
            text=True,
            timeout=SECONDS + 120,
            check=False,
        )
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join(60)
        assert storm.returncode == 0, storm.stderr
        assert [client.wrong for client in clients] == ["", ""]
        done = json.loads(storm.stdout)
        server.settle()
        deadline = time.monotonic() + 10
        while True:  # what was done to files is seen within a second or so
            flags, there = final(port)
            found = [(token, name) for name in MAILBOXES for token in there[name].values()]
            if sorted(found) == sorted(done["there"].items()) or time.monotonic() > deadline:
                break
        assert sorted(found) == sorted(done["there"].items())
        for client in clients:
            with closing(Link(port)) as link:
                for name in MAILBOXES:
                    client.resync(link, name)
            assert {name: one.flags for name, one in client.pictures.items()} == flags
            assert client.resyncs > SECONDS / 2
        met = [
            (there[name][uid], token) for (name, uid), token in tokens.items() if uid in there[name]
        ]
        assert met
        assert all(now == was for now, was in met)
        modseqs = given(server)
        assert len(modseqs) == len(set(modseqs)) > SECONDS * 10
        if SOAK:
            print(
                "messages a second, resyncs and flags of each:",
                done["rate"],
                [(one.resyncs, one.changes) for one in clients],
            )
        server.stop()
        server.mtad("audit")
