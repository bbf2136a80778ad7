"""Mail clients and restores on a whole server: what they see at once, what they need not fetch."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from imapclient import IMAPClient

from mtad.address import box_folder
from mtad.store import names, reading
from tests import mails
from tests.peers import program
from tests.server import Server
from tests.test_imap_clients import run

NS = 1_700_000_000_987_654_321


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "server") as made:
        yield made


def client_of(server: Server) -> IMAPClient:
    client = IMAPClient("127.0.0.1", server.made["imap"], ssl=False)
    client.login(server.made["address"], server.made["password"])
    return client


def box_of(server: Server) -> Path:
    return server.places.boxes / box_folder(server.made["address"])


def maildir(root: Path, monsters: dict[str, dict[str, bytes]]) -> None:
    """A Maildir++ with messages by mailbox and name."""
    for at, (mailbox, those) in enumerate(monsters.items()):
        folder = root / names.mailbox_folder(mailbox)
        for sub in ("cur", "new", "tmp"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        (folder / "dovecot-keywords").write_text("0 urgent\n1 $Work\n")
        for number, (name, raw) in enumerate(those.items()):
            path = (
                folder
                / "cur"
                / f"{NS // 10**9 + number}.M{at}P{number}.{name}:2,{'SFab'[: number % 5]}"
            )
            path.write_bytes(raw)
            os.utime(path, ns=(NS + number, NS + number))


def state(folder: Path, box: str) -> dict[tuple[str, str], tuple[bytes, str, tuple[str, ...], int]]:
    """Octets, flags, keywords and time by mailbox and name; each name once."""
    found = {}
    for one in reading.read_box(folder, box).messages:
        key = (one.mailbox, one.base)
        assert key not in found
        at_ns = one.path.stat().st_mtime_ns
        found[key] = (one.path.read_bytes(), one.flags, one.keywords, at_ns)
    return found


def small(count: int) -> dict[str, bytes]:
    return {f"m{number}": mails.plain(f"small-{number}") for number in range(count)}


@pytest.mark.interop
def test_mbsync_fetches_nothing_again_after_a_whole_box_came_back(
    server: Server, tmp_path: Path
) -> None:
    mbsync = program("mbsync")
    address = server.made["address"]
    maildir(tmp_path / "old", {"INBOX": small(30), "Orders/2024": small(12)})
    server.start()
    server.mtad("mail", "import", "--box", address, str(tmp_path / "old"))
    local = tmp_path / "local"
    local.mkdir()
    rc = tmp_path / "mbsyncrc"
    rc.write_text(
        f"IMAPAccount a\nHost 127.0.0.1\nPort {server.made['imap']}\nUser {address}\n"
        f'Pass "{server.made["password"]}"\nTimeout 300\nSSLType None\nAuthMechs LOGIN\n\n'
        f"IMAPStore far\nAccount a\n\nMaildirStore near\nPath {local}/\nInbox {local}/INBOX\n"
        "SubFolders Verbatim\n\nChannel all\nFar :far:\nNear :near:\nPatterns *\nCreate Near\n"
        "Expunge Both\nRemove None\nSyncState *\n"
    )

    def synchronised() -> dict[str, int]:
        """The files there are, each with what tells that it is the same one."""
        run(mbsync, "-c", rc, "-a", home=tmp_path)
        folders = [path for path in local.rglob("*") if path.parent.name in ("cur", "new")]
        return {str(path): path.stat().st_ino for path in folders}

    before = synchronised()
    assert len(before) == 42
    assert synchronised() == before
    server.mtad("snapshot", "create")
    server.stop()
    shutil.rmtree(box_of(server))
    server.start()
    done = server.mtad("restore", "--box", address, "--yes", "--json")
    assert json.loads(done.stdout)["restored"] == 42
    assert synchronised() == before
    with client_of(server) as client:
        client.append("INBOX", mails.plain("later"))
    after = synchronised()
    assert len(after) == 43
    assert after.items() >= before.items()
    server.stop()


def test_a_client_in_idle_sees_a_restore_at_once(server: Server, tmp_path: Path) -> None:
    address = server.made["address"]
    maildir(tmp_path / "old", {"INBOX": small(5)})
    server.start()
    server.mtad("mail", "import", "--box", address, str(tmp_path / "old"))
    server.mtad("snapshot", "create")
    server.mtad("mail", "delete", "--box", address, "2:3", "--yes")
    with client_of(server) as client:
        assert client.select_folder("INBOX")[b"EXISTS"] == 3
        client.idle()
        server.mtad("restore", "--box", address, "--yes")
        heard: list[tuple[object, ...]] = []
        end = time.monotonic() + 10
        while (5, b"EXISTS") not in heard and time.monotonic() < end:
            heard += client.idle_check(timeout=1)
        client.idle_done()
        assert (5, b"EXISTS") in heard
        assert len(client.search()) == 5
    server.stop()


def test_monsters_come_back_to_the_octet(server: Server, tmp_path: Path) -> None:
    """In, into a snapshot, gone, back; and out and in again: everything is equal."""
    address = server.made["address"]
    wide = b"Content-Transfer-Encoding: base64\r\n\r\n"
    monsters = {
        "INBOX": {
            "cr": b"Subject: a\r\n\r\nbare\rCR\r\r\n\n\r",
            "nul": b"Subject: \0\n\n\0\0\0",
            "high": bytes(range(256)) * 40,
            "empty": b"",
            "no-end": b"Subject: a\n\nend",
            "no-body": b"Subject: a",
            "lines": b"\n" * 5000,
            "long": b"X: " + b"y" * 3_000_000,
        },
        "Архив/100%": {
            "odd": wide + b"QUJD\r\nQUI=\r\nQUJDREVG\r\nQ\r\n=\r\n",
            "wide": wide + (b"QUJD" * 300 + b"\r\n") * 50,
            "mixed": wide + b"QUJDRA==\nQUJDRA==\r\nQUJD" * 99,
        },
        "Large": {"60MB": wide + (b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldY" * 2 + b"\r\n") * 900_000},
    }
    maildir(tmp_path / "old", monsters)
    folder = box_of(server)
    server.mtad("mail", "import", "--box", address, str(tmp_path / "old"))
    before = state(folder, address)
    assert len(before) == 12
    assert {raw for raw, *_ in before.values()} == {
        raw for those in monsters.values() for raw in those.values()
    }
    assert {at_ns - NS for *_, at_ns in before.values()} == set(range(8))
    server.mtad("snapshot", "create")
    server.mtad("mail", "export", address, "--to", str(tmp_path / "out.maildir"))
    shutil.rmtree(folder)
    server.mtad("restore", "--box", address, "--yes")
    assert state(folder, address) == before
    shutil.rmtree(folder)
    server.mtad("mail", "import", "--box", address, str(tmp_path / "out.maildir"))
    assert state(folder, address) == before
