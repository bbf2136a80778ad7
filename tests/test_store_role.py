"""The access role over its socket, commands with and without it, and the log it asks."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mtad import address, clock, config, control
from mtad.access import role
from mtad.cli import root
from mtad.config import Loaded
from mtad.errors import Locked, MtadError, NothingFound, UsageError
from mtad.journal.reader import Reader
from mtad.signals import Signals
from mtad.store import acls, maildir, names, numbering, shelf, subscriptions, uses
from mtad.store.client import Boxes
from mtad.store.values import Prepared
from tests.test_store_box import MAIL
from tracing import ids
from tracing.events import BoxExpunge, BoxNumbered, Event, SmtpAccept, SmtpMail, StoreDelivered
from tracing.events import Recipient as Accepted
from tracing.log import Applied, Recorder

ANN = "ann@example.org"
BOB = "bob@example.org"
PATIENCE = 20.0


class Site:
    """Settings and a data directory; the access role when it is wanted."""

    def __init__(self, path: Path) -> None:
        self.file = path / "mtad.toml"
        self.file.write_text('hostname = "mx.example.org"\n')
        self.loaded: Loaded = config.load(self.file)
        self.places = self.loaded.places
        self.mint = ids.Mint(1)

    def folder(self, box: str) -> Path:
        return self.places.boxes / address.box_folder(box)

    def deliver(self, box: str, count: int = 1) -> list[int]:
        root = self.folder(box) / "Maildir"
        maildir.ensure(root)
        sts = []
        for number in range(count):
            st = self.mint.new()
            data = MAIL % number
            base = names.base_name(st, clock.now_us() * 1000, "mx", len(data), len(data) + 4)
            (root / "new" / base).write_bytes(data)
            sts.append(st)
        return sts

    @contextmanager
    def serving(self) -> Iterator[None]:
        """The role in a thread with a loop of its own."""
        ready, failures = threading.Event(), []
        signals: list[Signals] = []
        loops: list[asyncio.AbstractEventLoop] = []

        async def main() -> None:
            signals.append(Signals(ready=ready.set))
            loops.append(asyncio.get_running_loop())
            await role.serve(self.loaded, {}, signals[0])

        def run() -> None:
            try:
                asyncio.run(main())
            except BaseException as error:
                failures.append(error)
                ready.set()

        thread = threading.Thread(target=run)
        thread.start()
        assert ready.wait(PATIENCE)
        try:
            assert not failures, failures
            yield
        finally:
            if not failures:
                loops[0].call_soon_threadsafe(signals[0].stop.set)
            thread.join(PATIENCE)
            assert not thread.is_alive()
            assert not failures, failures

    def ring(self, *boxes: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.connect(os.fspath(self.places.run / role.BELL))
            link.send(json.dumps(boxes).encode())

    def events(self, journal: str) -> list[Event]:
        reader = Reader(self.places.journal / journal)
        try:
            return [event for frame in reader.frames(0) for event in frame.events]
        finally:
            reader.close()

    def mtad(self, *words: str, text: str | None = None) -> Result:
        return CliRunner().invoke(root, ["--config", str(self.file), "mail", *words], input=text)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def numbered(site: Site) -> list[int]:
    return [
        item.uid
        for event in site.events(role.JOURNAL)
        if isinstance(event, BoxNumbered)
        for item in event.items
    ]


def test_the_bell_has_new_mail_numbered_once_a_second(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbering, "LOOK_SECONDS", 0.1)
    site.deliver(ANN, 2)
    with site.serving():
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.connect(os.fspath(site.places.run / role.BELL))
            for junk in (b"no json", b"{}", b"[1, null]", b"\xff", b'["nobody@example.org"]'):
                link.send(junk)
        for _ in range(50):
            site.ring(ANN)
        until(lambda: numbered(site) == [1, 2])
        site.deliver(ANN, 1)
        site.ring(ANN, BOB)
        until(lambda: numbered(site) == [1, 2, 3])


@pytest.mark.parametrize("daemon", [True, False], ids=["daemon", "alone"])
def test_every_act_through_the_client(site: Site, daemon: bool) -> None:
    sts = site.deliver(ANN, 3)
    with site.serving() if daemon else _nothing(), Boxes(site.loaded) as boxes:
        listed = boxes.list(ANN)
        assert boxes.through_daemon is daemon
        assert [(m.uid, m.st) for m in listed.messages] == list(enumerate(sts, 1))
        assert [(m.name, m.messages) for m in listed.mailboxes] == [("INBOX", 3)]
        assert boxes.sync(ANN) == 0
        who = {"actor": "admin:x", "client": "test"}
        assert boxes.flags(ANN, "INBOX", [1], ["\\Seen", "Junk"], **who) == 1
        assert boxes.create(ANN, "Архив/А", actor="admin:x")
        assert [*boxes.move(ANN, "INBOX", [1, 2], "Архив/А", **who)] == [1, 2]
        assert boxes.expunge(ANN, "INBOX", [3], **who) == 1
        boxes.rename(ANN, "Архив", "Archive", **who)
        boxes.rename(ANN, "Archive", "Архив", **who)
        assert boxes.create(ANN, "Brief", actor="admin:x")
        assert boxes.share(ANN, "Brief", BOB, "lr", **who).of(BOB) == "lr"
        assert boxes.share(ANN, "Brief", BOB, "", **who).entries == {}
        assert boxes.delete(ANN, "Brief", **who) == 0
        lines = ("anyone l", "group=staff lr")
        assert boxes.create(ANN, "Made", uses=["\\Junk"], rights=lines, **who)
        folder = site.folder(ANN) / "Maildir" / ".Made"
        assert (acls.read(folder).lines(), uses.read(folder)) == (lines, ("\\Junk",))
        assert boxes.subscribe(ANN, "Made", True, **who)
        assert not boxes.subscribe(ANN, "Made", True, **who)
        assert subscriptions.read(folder.parent) == {"Made"}
        assert boxes.subscribe(ANN, "Made", False, **who)
        assert boxes.delete(ANN, "Made", **who) == 0
        seen = {"reader": BOB, **who}
        assert boxes.flags(ANN, "Архив/А", [1], ["\\Seen"], **seen) == 1
        assert boxes.flags(ANN, "Архив/А", [1], ["\\Seen"], **seen) == 0
        assert boxes.flags(ANN, "Архив/А", [1], [], ["\\Seen"], **seen) == 1
        tmp = site.folder(ANN) / "Maildir" / "tmp" / "p1"
        tmp.write_bytes(MAIL)
        item = Prepared("p1", "", "F", ("a",), 10**18 + 7, len(MAIL), b"\x00" * 32, 5, 6)
        assert [*boxes.put(ANN, "New", [item], snapshot="s1", actor="admin:x")] == [1]
        found = {(m.mailbox, m.uid): m for m in boxes.list(ANN).messages}
        assert sorted(found) == [("New", 1), ("Архив/А", 1), ("Архив/А", 2)]
        put = found["New", 1]
        assert (put.flags, put.keywords, put.m, put.sha256) == ("F", ("a",), 5, b"\x00" * 32)
        assert put.internaldate_ns == 10**18 + 7
        assert boxes.list(ANN, "Архив/А").messages == [
            found["Архив/А", 1],
            found["Архив/А", 2],
        ]
        for attempt in (
            lambda: boxes.list("nobody@example.org"),
            lambda: boxes.list("no address"),
            lambda: boxes.list(ANN, "Nowhere"),
            lambda: boxes.move(ANN, "INBOX", [9], "None", **who),
        ):
            with pytest.raises(MtadError) as caught:
                attempt()
            assert caught.value.exit_code == NothingFound.exit_code
        with pytest.raises(MtadError) as caught:
            boxes.flags(ANN, "New", [1], ["two words"], **who)
        assert caught.value.exit_code == UsageError.exit_code
        assert boxes.create(BOB, "Sub", actor="admin:x")
    journal = role.JOURNAL if daemon else "cli-40"
    (gone,) = (e for e in site.events(journal) if isinstance(e, BoxExpunge))
    assert (gone.actor, gone.client, gone.items[0].st) == ("admin:x", "test", sts[2])


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def test_malformed_requests_are_answered(site: Site) -> None:
    site.deliver(ANN)
    path = site.places.socket("access")
    with site.serving():
        for arguments in (
            {},
            {"box": 7},
            {"box": ANN, "mailbox": "INBOX", "uids": "1", "actor": "x"},
            {"box": ANN, "mailbox": "INBOX", "uids": [True], "actor": "x"},
            {"box": ANN, "mailbox": None, "uids": [1], "actor": "x"},
        ):
            with pytest.raises(control.Remote):
                control.ask(path, "box.expunge", **arguments)
        with pytest.raises(control.Remote, match="malformed"):
            control.ask(path, "box.put", box=ANN, mailbox="x", items=[{"tmp": 1}], actor="x")
        assert len(Boxes(site.loaded).list(ANN).messages) == 1


def test_a_box_has_one_owner_at_a_time(site: Site) -> None:
    """Another process holds the box; the role says so, and numbers as soon as it lets go."""
    site.deliver(ANN)
    code = (
        "import fcntl, sys\n"
        "file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with site.serving():
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(site.folder(ANN) / "lock")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(MtadError, match="another process") as caught:
            Boxes(site.loaded).list(ANN)
        assert caught.value.exit_code == Locked.exit_code
        site.ring(ANN)
        other.communicate(b"")
        until(lambda: numbered(site) == [1])


def test_few_boxes_stay_open(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "MAX_OPEN", 4)
    addresses = [f"box{number}@example.org" for number in range(10)]
    for one in addresses:
        site.deliver(one)
    with site.serving(), Boxes(site.loaded) as boxes:
        for _ in range(2):
            for one in addresses:
                assert [m.uid for m in boxes.list(one).messages] == [1]
        answer = control.ask(site.places.socket("access"), "status")
        assert answer["open"] == answer["limit"] == 4


def test_acts_of_a_command_that_died_are_finished_by_the_role(site: Site) -> None:
    """The command is killed after its promise: the role starts, and the act is done."""
    site.deliver(ANN, 2)
    with Boxes(site.loaded) as boxes:
        boxes.sync(ANN)
    code = """
import os, sys
from pathlib import Path
from mtad import config
from mtad.store import acts
from mtad.store.client import Boxes
acts.perform = lambda *_: os._exit(9)
with Boxes(config.load(Path(sys.argv[1]))) as boxes:
    boxes.expunge(sys.argv[2], "INBOX", [1], actor="admin:x")
"""
    done = subprocess.run([sys.executable, "-c", code, str(site.file), ANN], check=False)
    assert done.returncode == 9
    assert len(list((site.folder(ANN) / "Maildir" / "new").iterdir())) == 2
    with site.serving():
        assert len(list((site.folder(ANN) / "Maildir" / "new").iterdir())) == 1
        assert [m.uid for m in Boxes(site.loaded).list(ANN).messages] == [2]


def test_the_log_tells_message_and_digest(site: Site) -> None:
    (st,) = site.deliver(ANN)
    late, elsewhere = site.deliver(ANN, 2)
    m, digest = site.mint.new(), "ab" * 32
    recorder = Recorder(site.places.log)
    seq = iter(range(1, 100))

    def delivered(copy: int, box: str) -> None:
        message = m if copy == st else site.mint.new()
        at = clock.now_us()
        events = (
            SmtpMail(at=at, trace=message, addr="a@example.net", cn=site.mint.new()),
            SmtpAccept(
                at=at,
                trace=message,
                size=10,
                sha256=digest,
                count=1,
                recipients=(Accepted(1, box, box),),
            ),
            StoreDelivered(
                at=at, trace=message, n=1, addr=box, st=copy, mailbox="INBOX", base="b", size=10
            ),
        )
        recorder.apply([Applied("mta-0", next(seq), site.mint.new(), events)])

    delivered(st, ANN)
    delivered(elsewhere, BOB)
    with Boxes(site.loaded) as boxes:
        found = {message.st: message for message in boxes.list(ANN).messages}
        assert (found[st].m, found[st].sha256) == (m, bytes.fromhex(digest))
        assert (found[late].m, found[late].sha256) == (0, None)
        assert elsewhere not in found, "a copy of another box is foreign here"
        assert len(found) == 3
        delivered(late, ANN)
        time.sleep(1.1)
        boxes.sync(ANN)
        again = {message.st: message for message in boxes.list(ANN).messages}
        assert again[late].m
    recorder.close()


@pytest.mark.parametrize("daemon", [True, False], ids=["daemon", "alone"])
def test_the_commands(site: Site, daemon: bool) -> None:
    site.deliver(ANN, 5)
    box = ("--box", ANN)
    with site.serving() if daemon else _nothing():
        listed = site.mtad("list", *box)
        assert listed.exit_code == 0, listed.output
        assert "INBOX: 5 messages" in listed.output
        assert "Привет 3" in listed.output
        document = json.loads(site.mtad("list", *box, "--json").output)
        assert [one["uid"] for one in document["messages"]] == [1, 2, 3, 4, 5]
        assert site.mtad("flag", *box, "1:2", "--add", "seen", "--add", "Важно").exit_code != 0
        done = site.mtad("flag", *box, "1:2", "--add", "seen", "--add", "Todo")
        assert "changed 2 messages of 2" in done.output
        done = site.mtad("move", *box, "2", "--to", "Old/Mail")
        assert "moved 1 message to ann@example.org/Old/Mail" in done.output
        copy = document["messages"][1]["copy"]
        done = site.mtad("move", *box, copy, "--to", "INBOX")
        assert "moved 1 message to" in done.output
        refused = site.mtad("delete", *box, "1")
        assert isinstance(refused.exception, UsageError)
        assert "--yes" in str(refused.exception)
        none = (["99"], ["7:9"], [ids.text(1)], ["--mailbox", "Old/Mail", "--all"])
        for nothing in none:
            missing = site.mtad("delete", *box, *nothing, "--yes")
            assert isinstance(missing.exception, MtadError)
            assert missing.exception.exit_code == 4
        wrongs: tuple[tuple[str, ...], ...] = ((), ("1", "--all"), ("x y",), ("-",))
        for words in wrongs:
            wrong = site.mtad("delete", *box, *words, "--yes")
            assert isinstance(wrong.exception, UsageError)
        done = site.mtad("delete", *box, "1", "3:4", "--yes")
        assert "deleted 3 messages from ann@example.org" in done.output
        left = json.loads(site.mtad("list", *box, "--json").output)["messages"]
        assert [(one["uid"], one["flags"], one["keywords"]) for one in left] == [
            (5, [], []),
            (6, ["\\Seen"], ["Todo"]),
        ]
        assert "deleted 2 messages" in site.mtad("delete", *box, "--all", "--yes").output


def test_a_hostile_subject_stays_on_its_line(site: Site) -> None:
    (st,) = site.deliver(ANN)
    (path,) = (site.folder(ANN) / "Maildir" / "new").iterdir()
    path.write_bytes(b"Subject: a\x1b[2Jb\x07 =?utf-8?q?=1b]0;x=0a=00?= [/nope]\n\nx")
    output = site.mtad("list", "--box", ANN).output
    assert ids.text(st) in output
    assert not {"\x1b", "\x07", "\x00"} & set(output)
    assert len(output.splitlines()) == 2
