"""Lists of rights as Dovecot reads and writes them in the same Maildir."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtad.store import acl, acls, maildir
from mtad.store.acl import Acl
from tests.peers import program

CONF = """
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
protocols = imap
ssl = no
mail_plugins = acl
mail_location = maildir:{folder}/mail
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 1
plugin {{
  acl = vfile
}}
"""
OWNER, BOB = "mail", "bob@example.org"


class Dovecot:
    """``doveadm acl`` of one user's Maildir."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._doveadm = program("doveadm")
        self._user = (8, 8) if os.getuid() == 0 else (os.getuid(), os.getgid())
        folder.chmod(0o755)
        (folder / "run").mkdir()
        conf = CONF.format(folder=folder, user=self._user[0], group=self._user[1])
        (folder / "conf").write_text(conf)

    def run(self, *words: str) -> list[str]:
        if os.getuid() == 0:  # it reads no mail for root
            for path in (self._folder, *self._folder.rglob("*")):
                os.chown(path, *self._user)
        done = subprocess.run(
            [self._doveadm, "-c", str(self._folder / "conf"), "-f", "tab", "acl", *words],
            env={"PATH": os.environ["PATH"], "HOME": str(self._folder), "USER": OWNER},
            user=self._user[0],
            group=self._user[1],
            extra_groups=[],
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().splitlines()[1:]


WORDS = {
    "lookup": "l",
    "read": "r",
    "write": "w",
    "write-seen": "s",
    "write-deleted": "t",
    "insert": "i",
    "post": "p",
    "expunge": "e",
    "create": "k",
    "delete": "x",
    "admin": "a",
}


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mtad-peer-", dir="/tmp") as name:
        maildir.ensure(Path(name) / "mail")
        maildir.ensure(Path(name) / "mail", ".Work")
        yield Path(name)


def test_dovecot_reads_ours(folder: Path) -> None:
    entries = {BOB: "lrs", "anyone": "lr", "authenticated": acl.RIGHTS, f"-{BOB}": "a"}
    acls.write(folder / "mail" / ".Work", Acl(entries).lines())
    found = {who: granted for who, granted in listed(Dovecot(folder), "Work") if who != "owner"}
    assert found == {
        f"user={BOB}": ("lrs", "a"),
        "anyone": ("lr", ""),
        "authenticated": (acl.RIGHTS, ""),
    }


def listed(dovecot: Dovecot, mailbox: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Who has which rights given, and which taken, as Dovecot has it."""
    for line in dovecot.run("get", mailbox):
        who, _, words = line.split("\t")
        taken = [word[1:] for word in words.split() if word.startswith("-")]
        given = [word for word in words.split() if not word.startswith("-")]
        letters = [acl.rights("".join(map(WORDS.__getitem__, one))) for one in (given, taken)]
        yield who, (letters[0], letters[1])


def test_we_read_dovecot_s(folder: Path) -> None:
    dovecot = Dovecot(folder)
    dovecot.run("set", "Work", f"user={BOB}", "lookup", "read", "write-seen")
    dovecot.run("set", "Work", "anyone", "lookup")
    dovecot.run("set", "Work", "group=staff", "lookup", "read")
    dovecot.run("set", "INBOX", f"user={BOB}", *WORDS)
    found = acls.read(folder / "mail" / ".Work")
    assert found.entries == {BOB: "lrs", "anyone": "l"}
    assert any(line.startswith("group=staff ") for line in found.kept)
    acls.write(folder / "mail" / ".Work", found.changed("anyone", "lr").lines())
    again = dict(listed(dovecot, "Work"))
    assert again["group=staff"] == ("lr", "")
    assert again["anyone"] == ("lr", "")
    assert acls.read(folder / "mail").entries == {BOB: acl.RIGHTS}
