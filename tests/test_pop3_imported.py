"""Unique-ids that Dovecot gave: read from its list, agreed with itself, kept."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.pop3 import imported
from mtad.pop3.imported import uidls
from tests.pop3 import ALICE, MAIL, serving
from tests.test_pop3_session import many
from tests.test_smtp_interop import program

CONF = """
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
protocols = pop3
ssl = no
mail_location = maildir:{folder}/mail
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 1
"""
LIST = b"""3 V1795529882 N9 G7597f92b9a9c056bbe70000083ecc375
1 W17 :1000000001.M1.peer
2 W17 Pmine-2 O3 :1000000002.M2.peer,S=17
3 :1000000003.M3.peer:2,S
4 P%b :1000000004.M4.peer
nonsense
5 W1
"""


def test_a_list() -> None:
    long = b"x" * 71
    assert uidls(LIST % long) == {
        "1000000001.M1.peer": "000000016b059c9a",
        "1000000002.M2.peer,S=17": "mine-2",
        "1000000003.M3.peer": "000000036b059c9a",
        "1000000004.M4.peer": "000000046b059c9a",
    }
    for other in (b"", b"1 123 4\n1 name\n", b"3 N4\n1 :name\n", b"\xff\n" * 9):
        assert uidls(other) == {}


@given(st.binary(max_size=300))
def test_whatever_is_in_it(data: bytes) -> None:
    for uidl in uidls(b"3 V1 N2\n" + data).values():
        assert re.fullmatch("[!-~]{1,70}", uidl)


async def test_they_are_kept(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        (own,) = running.deliver(MAIL % 0)
        root = running.folder() / "Maildir"
        for number in (1, 2):
            name = f"100000000{number}.M{number}.peer"
            name += ",S=17" if number == 2 else ""
            (root / "cur" / f"{name}:2,S").write_bytes(MAIL % number)
        (root / imported.LIST).write_bytes(LIST % b"x")
        async with running.logged_in() as client:
            found = {line.split()[1] for line in await many(client, "UIDL")}
            assert found == {own, "000000016b059c9a", "mine-2"}
        (root / imported.LIST).write_bytes(b"3 V7 N9\n1 :1000000001.M1.peer\n")
        async with running.shelf.use(ALICE) as box:
            await box.create("Later", actor="user:x")
            uids = [one.uid for one in await box.messages("INBOX")]
            await box.move("INBOX", uids, "Later", actor="user:x")
            uids = [one.uid for one in await box.messages("Later")]
            await box.move("Later", uids, "INBOX", actor="user:x")
        await running.over()
        async with running.logged_in() as client:
            assert {line.split()[1] for line in await many(client, "UIDL")} == found


@dataclass(frozen=True, slots=True)
class Peer:
    """A Maildir that Dovecot served by POP3: its sizes, unique-ids, files and list."""

    sizes: list[str]
    unique_ids: list[str]
    files: dict[str, bytes]
    uidlist: bytes


@pytest.fixture
def peer() -> Iterator[Peer]:
    doveadm = program("doveadm")
    user, group = (8, 8) if os.getuid() == 0 else (os.getuid(), os.getgid())
    with tempfile.TemporaryDirectory(prefix="mtad-peer-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for sub in ("run", "mail", "mail/cur", "mail/new", "mail/tmp"):
            (folder / sub).mkdir()
        for number in range(20):
            path = folder / "mail/cur" / f"{10**9 + number}.M{number}.peer:2,"
            path.write_bytes((MAIL % number).replace(b"\r\n", b"\n"))
        conf = folder / "conf"
        conf.write_text(CONF.format(folder=folder, user=user, group=group))
        if os.getuid() == 0:  # it reads no mail for root
            for path in (folder, *folder.rglob("*")):
                os.chown(path, user, group)
        done = subprocess.run(
            [doveadm, "-c", str(conf), "exec", "pop3"],
            env={"PATH": os.environ["PATH"], "HOME": name, "USER": "mail"},
            input=b"LIST\r\nUIDL\r\nQUIT\r\n",
            user=user,
            group=group,
            extra_groups=[],
            capture_output=True,
            timeout=60,
            check=False,
        )
        told = re.findall(r"(?m)^\d+ (\S+)\r?$", done.stdout.decode())
        assert len(told) == 40, done
        files = {path.name: path.read_bytes() for path in (folder / "mail").rglob("*.peer*")}
        yield Peer(told[:20], told[20:], files, (folder / "mail" / imported.LIST).read_bytes())


@pytest.mark.interop
async def test_dovecot_says_the_same(tmp_path: Path, peer: Peer) -> None:
    async with serving(tmp_path) as running:
        running.deliver()
        root = running.folder() / "Maildir"
        for name, data in peer.files.items():
            (root / "cur" / name).write_bytes(data)
        (root / imported.LIST).write_bytes(peer.uidlist)
        async with running.logged_in() as client:
            ours = [line.split()[1] for line in await many(client, "UIDL")]
            sizes = [line.split()[1] for line in await many(client, "LIST")]
    assert sorted(ours) == sorted(peer.unique_ids)
    assert sorted(sizes) == sorted(peer.sizes)
