"""The access role is killed while clients change mail: what was acknowledged holds.

Nothing acknowledged is lost or doubled, a UID never means another message, mod-sequences only
rise, and mail is taken meanwhile. Of a command whose answer never came either outcome is right.
"""

import contextlib
import imaplib
import os
import random
import re
import signal
import smtplib
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from tests.server import Server, until

SOAK = bool(os.environ.get("MTAD_SOAK"))
KILLS = 40 if SOAK else 5
CLIENTS = 4
BOXES = ("INBOX", "Work", "Done")
TOKEN = re.compile(rb"Subject: (\S+)")
GONE = (OSError, imaplib.IMAP4.abort, imaplib.IMAP4.error)

State = tuple[str, frozenset[str]]
"""The mailbox of a message and its flags."""


class Client(threading.Thread):
    """One user's program: changes its box at random, and knows what must be there."""

    def __init__(self, server: Server, address: str, password: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.server, self.address, self.password, self.stop = server, address, password, stop
        self.rng = random.Random(address)
        self.sure: dict[str, State] = {}
        self.unsure: dict[str, set[State | None]] = {}
        """Tokens of commands without an answer, with all that may have become of them."""
        self.uids: dict[tuple[str, int, int], str] = {}
        self.modseqs: dict[str, int] = {}
        self.count = self.done = self.broken = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        while not self.stop.is_set() and not self.wrong:
            try:
                self.session()
            except GONE:
                self.broken += 1
                time.sleep(0.05)
            except AssertionError as error:
                self.wrong.append(f"{self.address}: {error}")

    def open(self) -> imaplib.IMAP4:
        link = imaplib.IMAP4("127.0.0.1", int(self.server.made["imap"]), timeout=20)
        try:
            link.login(self.address, self.password)
        except GONE:
            link.sock.close()
            raise
        return link

    def session(self) -> None:
        link = self.open()
        try:
            for name in BOXES[1:]:
                link.create(name)
            self.look(link)
            while not self.stop.is_set():
                self.act(link)
        finally:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                link.shutdown()

    # ------------------------------------------------------------------- acting

    def act(self, link: imaplib.IMAP4) -> None:
        """One command on one to three messages of a mailbox, or an APPEND."""
        name = self.rng.choice(BOXES)
        tokens = [token for token, (mailbox, _) in self.sure.items() if mailbox == name]
        if len(tokens) < 3 or self.rng.random() < 0.2:
            self.append(link, name)
            return
        chosen = self.rng.sample(tokens, self.rng.randint(1, 3))
        found = self.found(link, name)
        numbers = ",".join(str(uid) for uid, (token, _) in found.items() if token in chosen)
        what = self.rng.choice(("store", "store", "move", "copy away", "expunge"))
        before = {token: self.sure[token] for token in chosen}
        after: dict[str, State | None] = {}
        if what == "store":
            sign, flag = self.rng.choice("+-"), self.rng.choice(("\\Flagged", "\\Answered", "todo"))
            for token, (_, flags) in before.items():
                after[token] = (name, flags | {flag} if sign == "+" else flags - {flag})
            words: tuple[str, ...] = ("STORE", numbers, f"{sign}FLAGS", f"({flag})")
        elif what in ("move", "copy away"):
            target = self.rng.choice([one for one in BOXES if one != name])
            after = {token: (target, flags) for token, (_, flags) in before.items()}
            words = ("MOVE", numbers, target)
        else:
            after = dict.fromkeys(chosen)
            self.uid(link, {t: {s, (name, s[1] | {"\\Deleted"})} for t, s in before.items()},
                     "STORE", numbers, "+FLAGS", "(\\Deleted)")  # fmt: skip
            before = {token: (name, flags | {"\\Deleted"}) for token, (_, flags) in before.items()}
            self.sure.update(before)
            words = ("EXPUNGE", numbers)
        self.uid(link, {token: {before[token], after[token]} for token in chosen}, *words)
        for token in chosen:
            state = after[token]
            if state is None:
                del self.sure[token]
            else:
                self.sure[token] = state

    def append(self, link: imaplib.IMAP4, name: str) -> None:
        self.count += 1
        token = f"{self.address.partition('@')[0]}-{self.count}"
        text = f"Subject: {token}\r\n\r\n{'x' * self.rng.choice((10, 2_000, 50_000))}\r\n".encode()
        self.unsure[token] = {None, (name, frozenset({"\\Seen"}))}
        status, _ = link.append(name, "(\\Seen)", "", text)
        assert status == "OK"
        del self.unsure[token]
        self.sure[token] = (name, frozenset({"\\Seen"}))
        self.done += 1

    def uid(self, link: imaplib.IMAP4, outcomes: dict[str, set[State | None]], *words: str) -> None:
        """A command whose outcome is not known until it is answered."""
        self.unsure.update(outcomes)
        status, said = link.uid(*words)
        assert status == "OK", (words, said)
        for token in outcomes:
            del self.unsure[token]
        self.done += 1

    # ------------------------------------------------------------------ looking

    def found(self, link: imaplib.IMAP4, name: str) -> dict[int, tuple[str, frozenset[str]]]:
        """What a mailbox holds by UID; no UID may mean another message than before."""
        status, _ = link.select(name)
        assert status == "OK"
        validity = int((link.response("UIDVALIDITY")[1][0] or b"0").decode())
        modseq = int((link.response("HIGHESTMODSEQ")[1][0] or b"0").decode())
        assert modseq >= self.modseqs.get(name, 0), f"{name}: HIGHESTMODSEQ fell to {modseq}"
        self.modseqs[name] = modseq
        status, lines = link.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        assert status == "OK"
        found: dict[int, tuple[str, frozenset[str]]] = {}
        for line in lines:
            if not isinstance(line, tuple):
                continue
            uid = int(re.search(rb"UID (\d+)", line[0])[1])  # type: ignore[index]
            flags = re.search(rb"FLAGS \(([^)]*)\)", line[0])[1].decode().split()  # type: ignore[index]
            token = TOKEN.search(line[1])[1].decode()  # type: ignore[index]
            known = self.uids.setdefault((name, validity, uid), token)
            assert known == token, f"{name} UID {uid} was {known} and is {token}"
            found[uid] = token, frozenset(flags) - {"\\Recent"}
        return found

    def look(self, link: imaplib.IMAP4) -> None:
        """Everything acknowledged is there, once, as it was left."""
        there: dict[str, State] = {}
        for name in BOXES:
            for uid, (token, flags) in self.found(link, name).items():
                assert token not in there, f"{token} is there twice: {there[token]}, {name} {uid}"
                there[token] = name, flags
        for token, outcomes in self.unsure.items():
            state = there.get(token)
            assert state in outcomes, f"{token} is {state}, and may be {outcomes}"
            self.sure.pop(token, None)
            if state is not None:
                self.sure[token] = state
        self.unsure.clear()
        arrived = {token for token in there if token.startswith("mail-")}
        for token in arrived:
            self.sure.setdefault(token, there[token])
        assert there == self.sure, {
            token: (there.get(token), self.sure.get(token))
            for token in there.keys() | self.sure.keys()
            if there.get(token) != self.sure.get(token)
        }


def access(server: Server) -> int:
    """The process of the access role, once it answers: who listens on its socket."""
    until(server.ready, 60, "the access role")
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(server.places.socket("access")))
        found = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", found)[0])


@pytest.mark.timeout(1800 if SOAK else 300)
def test_what_was_acknowledged_survives(tmp_path: Path) -> None:
    rng = random.Random(7)
    with Server(tmp_path / "site") as server:
        addresses = [f"c{number}@example.org" for number in range(CLIENTS)]
        for address in addresses:
            server.mtad("box", "add", address, "--password-stdin", text="long-enough-1\n")
        server.start()
        stop = threading.Event()
        clients = [Client(server, address, "long-enough-1", stop) for address in addresses]
        for client in clients:
            client.start()
        sent = 0
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.5, 2.0))
            os.kill(access(server), signal.SIGKILL)
            with smtplib.SMTP(*server.smtp, timeout=20) as smtp:
                sent += 1
                text = f"Subject: mail-{sent}\r\n\r\nhello\r\n"
                smtp.sendmail("a@sender.test", addresses, text)
        access(server)
        time.sleep(1)
        stop.set()
        for client in clients:
            client.join(60)
            assert not client.is_alive()
        assert [wrong for client in clients for wrong in client.wrong] == []
        server.settle()
        for client in clients:
            link = client.open()
            client.look(link)
            tokens = {token for token in client.uids.values() if token.startswith("mail-")}
            assert tokens == {f"mail-{number}" for number in range(1, sent + 1)}
            link.logout()
        assert sum(client.done for client in clients) > 3 * KILLS
        assert sum(client.broken for client in clients) > 0
        server.stop()
        server.mtad("audit")
