"""A whole server in a snapshot, and another one made of it on an empty machine."""

import imaplib
import json
import os
import shutil
import smtplib
import sqlite3
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup import bootstrap, runs, server_part
from backup.format import BoxRoot
from backup.repository import Repository
from backup.snapshot import Progress
from backup.telling import telling
from mtad import config, where
from mtad.errors import Corrupt, Exit, MtadError, NothingFound, UsageError
from mtad.store import annotations, maildir
from mtad.store.client import Boxes
from tests.backup_yard import ANNA, Yard, command, settings, three_messages
from tests.server import Server

YOU = "you@example.org"
WHO = {"actor": YOU, "client": "test"}
WORDS = [f"word-{number:02}" for number in range(30)]


def again(dead: Server, folder: Path) -> Server:
    """The server that was made in another folder, with the same ports and password."""
    server = Server.__new__(Server)
    server.folder, server.made, server.process = folder, dead.made, None
    server.config = folder / "mtad.toml"
    server.places = where.places(server.config)
    return server


def deliver(server: Server, *subjects: str) -> None:
    with smtplib.SMTP(*server.smtp, timeout=30) as client:
        for subject in subjects:
            text = f"Subject: {subject}\r\nMessage-ID: <{subject}@example.net>\r\n\r\nhi\r\n"
            client.sendmail("a@example.net", [YOU], text)
    server.settle()


def read(server: Server) -> dict[str, list[bytes]]:
    """What an IMAP client sees: UIDs, flags and dates of each mailbox, and its numbers."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = imaplib.IMAP4_SSL("127.0.0.1", int(server.made["imaps"]), ssl_context=context)
    client.login(YOU, server.made["password"])
    found = {}
    for name in ("INBOX", "Orders"):
        client.select(name, readonly=True)
        rows = client.uid("FETCH", "1:*", "(UID FLAGS INTERNALDATE RFC822.SIZE)")[1]
        status = client.status(name, "(UIDVALIDITY MAILBOXID)")[1]
        found[name] = sorted(one for one in [*rows, *status] if isinstance(one, bytes))
    found["subscribed"] = sorted(one for one in client.lsub()[1] if isinstance(one, bytes))
    client.logout()
    return found


@pytest.fixture
def dead(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "dead")
    with server:
        server.start()
        yield server
        server.stop()


def test_a_dead_machine_is_rebuilt(dead: Server, tmp_path: Path) -> None:
    deliver(dead, *(f"order-{number}" for number in range(12)))
    with Boxes(config.load(dead.config)) as boxes:
        boxes.create(YOU, "Orders", **WHO)
        boxes.move(YOU, "INBOX", [3, 4, 5], "Orders", **WHO)
        boxes.flags(YOU, "INBOX", [1], ["\\Seen", *WORDS], **WHO)
        boxes.share(YOU, "Orders", ANNA, "lrs", **WHO)
        boxes.subscribe(YOU, "Orders", True, **WHO)
        orders = next(one.id for one in boxes.list(YOU).mailboxes if one.name == "Orders")
    folder = dead.places.boxes / "example.org" / "you"
    annotations.change(folder, orders, {"/shared/comment": b"ours"})
    before = read(dead)

    told: list[int] = []

    def meanwhile(state: Progress) -> None:
        if state.boxes_done and not told:  # the box was read; the log was not
            told.append(1)
            deliver(dead, "too-late")

    loaded = config.load(dead.config)
    with telling(loaded) as tell:
        taken = runs.take(loaded, tell, progress=meanwhile)
    assert (len(taken.commit.mail), taken.commit.unread) == (1, ())
    assert sum(line.messages for line in taken.commit.mail) == 12
    dead.stop()
    repository, key = tmp_path / "kept", tmp_path / "kept.key"
    shutil.move(dead.places.data / "repository", repository)
    shutil.move(dead.folder / "repository.key", key)
    was = {path.relative_to(dead.folder): path.read_bytes() for path in dead.folder.rglob("*.pem")}
    shutil.rmtree(dead.folder)

    new = tmp_path / "new"
    words = (str(repository), "--key", str(key), "--dir", str(new), "--json")
    made = json.loads(dead.mtad("snapshot", "bootstrap", *words).stdout)
    assert (made["boxes"], made["messages"], made["vanished"]) == (1, 12, 1)
    assert (made["lost"], made["elsewhere"]) == ([], [])
    assert {path.relative_to(new): path.read_bytes() for path in new.rglob("*.pem")} == was
    private = [path for path in new.rglob("*") if path.stat().st_mode & 0o077]
    assert private == []
    with again(dead, new) as server:
        server.mtad("audit")
        server.start()
        assert read(server) == before
        server.mtad("audit")
        found = json.loads(server.mtad("trace", "subj:order-3", "--json").stdout)
        assert found["messages"][0]["state"] == "delivered"
        late = json.loads(server.mtad("trace", "subj:too-late", "--json").stdout)
        assert len(late["messages"]) == 1
        assert "vanish" in server.mtad("trace", late["messages"][0]["id"]).stdout
        numbers = {
            one.name: one.id for one in Boxes(config.load(server.config)).list(YOU).mailboxes
        }
        assert numbers["Orders"] == orders
        deliver(server, "after")
        server.mtad("audit")
        box = server.places.boxes / "example.org" / "you"
        assert annotations.everything(box) == {(orders, "/shared/comment"): b"ours"}
        assert (box / "Maildir" / ".Orders" / "dovecot-acl").read_text() == f"user={ANNA} lrs\n"
        server.stop()


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    (tmp_path / "old").mkdir()
    return three_messages(settings(tmp_path / "old"))


def loaded_of(yard: Yard) -> config.Loaded:
    return config.load(yard.root.parent / "mtad.toml")


def build(yard: Yard, folder: Path, snapshot: str = "latest") -> bootstrap.Built:
    return bootstrap.bootstrap(yard.folder, yard.key, folder, actor="admin:test", snapshot=snapshot)


def test_it_is_all_or_nothing(yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = tmp_path / "new"
    with pytest.raises(NothingFound, match="whole server"):
        build(yard, new)
    command(loaded_of(yard))("snapshot", "create")
    new.mkdir()
    (new / "file").touch()
    with pytest.raises(UsageError, match="not empty"):
        build(yard, new)
    (new / "file").unlink()

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(maildir, "write_small", broken)
        with pytest.raises(MtadError, match="No space left"):
            build(yard, new)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]
    built = build(yard, new)
    assert (built.messages, built.boxes) == (3, 1)
    assert len(list(new.glob("data/boxes/*/*/Maildir/cur/*"))) == 3
    assert not list(tmp_path.glob(".new*"))


def test_the_server_of_an_earlier_snapshot(yard: Yard, tmp_path: Path) -> None:
    run = command(loaded_of(yard))
    first = run("snapshot", "create")["snapshot"]
    path = loaded_of(yard).path
    path.write_text(path.read_text() + 'data_dir = "/nowhere/at/all"\n[smtp]\n')
    text = path.read_text().replace("/nowhere/at/all", str(yard.root))
    path.write_text(text)
    run("snapshot", "create")
    built = build(yard, tmp_path / "one", snapshot=first)
    assert built.snapshot == first
    assert "[smtp]" not in (tmp_path / "one" / "mtad.toml").read_text()
    build(yard, tmp_path / "two")
    loaded = config.load(tmp_path / "two" / "mtad.toml")
    assert loaded.places.data == tmp_path / "two" / "data"


def test_what_lies_elsewhere_is_brought_along(yard: Yard, tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    (away / "ca.pem").write_text("certificate")
    loaded = loaded_of(yard)
    loaded.path.write_text(f'{loaded.path.read_text()}[outbound]\nca_file = "{away}/ca.pem"\n')
    command(loaded)("snapshot", "create")
    built = build(yard, tmp_path / "new")
    assert built.elsewhere == [f"{away}/ca.pem"]
    assert (tmp_path / "new" / f"elsewhere{away}" / "ca.pem").read_text() == "certificate"


@pytest.mark.parametrize("name", ["data/../../x", "settings//etc/x", "data/", "settings/.."])
def test_a_hostile_name_writes_nothing(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source = server_part.Source(name, loaded_of(yard).path)
    monkeypatch.setattr(server_part, "sources", lambda _: iter([source]))
    command(loaded_of(yard))("snapshot", "create")
    with pytest.raises((Corrupt, MtadError)):
        build(yard, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]


def test_an_unchanged_database_is_not_read_again(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = loaded_of(yard)
    month = loaded.places.log_folder / "2020-01.db"
    month.parent.mkdir(exist_ok=True)
    with sqlite3.connect(month) as link:
        link.execute("PRAGMA journal_mode=WAL")
        link.execute("CREATE TABLE t (v)")
        link.executemany("INSERT INTO t VALUES (?)", [(os.urandom(900),) for _ in range(999)])
    link.close()
    read: list[str] = []
    pieces = server_part.pieces

    def spied(source: server_part.Source, aside: Path) -> Iterator[bytes]:
        read.append(source.name)
        return pieces(source, aside)

    monkeypatch.setattr(server_part, "pieces", spied)
    monkeypatch.setattr(server_part, "_waiting", lambda _: iter(()))
    monkeypatch.setattr(server_part, "level", lambda _: None)
    run = command(loaded)
    run("snapshot", "create")
    assert "data/log/2020-01.db" in read
    read.clear()
    small = run("snapshot", "create")
    assert (read, small["stored_bytes"]) == ([], 0)
    with sqlite3.connect(month) as link:
        link.execute("INSERT INTO t VALUES (1)")
        link.commit()
        changed = run("snapshot", "create")
    assert read == ["data/log/2020-01.db"]
    assert 0 < changed["stored_bytes"] < 400_000
    with yard.open() as store:
        assert whole(store, "data/log/2020-01.db") == 1000


def whole(store: Repository, name: str) -> int:
    """Rows of the table in the copy that the last snapshot has."""
    _, commit = store.resolve("latest")
    (line,) = (one for one in commit.boxes if not one.address)
    root = store.manifest(line.root, BoxRoot)
    data = b"".join(store.message(one.id)[0] for one in store.entries(root, name))
    with sqlite3.connect(":memory:") as link:
        link.deserialize(bytes([*data[:18], 1, 1, *data[20:]]))
        return int(link.execute("SELECT count(*) FROM t").fetchone()[0])


def test_it_is_no_box_for_people(yard: Yard) -> None:
    run = command(loaded_of(yard))
    taken = run("snapshot", "create")
    assert (taken["boxes"], taken["messages"]) == (1, 3)
    assert [one["box"] for one in run("snapshot", "ls", "latest")["boxes"]] == [ANNA]
    assert run("snapshot", "list")["snapshots"][-1]["messages"] == 3
    assert run("snapshot", "verify", "--read-data")
    run("restore", "--box", "", "--dry-run", code=Exit.USAGE)
