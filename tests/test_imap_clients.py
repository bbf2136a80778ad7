"""Programs that read mail by IMAP: what they show, what they change, what they synchronise."""

import asyncio
import imaplib
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from mtad.store import names
from tests.imap import ALICE, SECRET, Running, serving
from tests.peers import program

T = TypeVar("T")
SOAK = bool(os.environ.get("MTAD_SOAK"))
MESSAGES = 5000 if SOAK else 200
"""In an account that is synchronised."""
ROUNDS = 4
"""Synchronisations while both sides change and mail arrives."""
MAIL = b"Message-ID: <%d@example.net>\nFrom: a@example.net\nSubject: number %d\n\nbody %d\n"


def mail(number: int) -> bytes:
    return MAIL % (number, number, number)


async def in_thread(work: Callable[[], T]) -> T:
    return await asyncio.wait_for(asyncio.to_thread(work), 600)


def run(*command: str | Path, home: Path, ok: tuple[int, ...] = (0,), **more: str) -> str:
    """Run a client to its end; what it says."""
    done = subprocess.run(
        [os.fspath(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
        check=False,
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": os.fspath(home), "LC_ALL": "C.UTF-8", **more},
    )
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode in ok, said[-3000:]
    return said


def flags_of(folder: Path) -> Counter[tuple[int, str]]:
    """Each message of a Maildir: its number, and the flags that clients synchronise."""
    found: Counter[tuple[int, str]] = Counter()
    for sub in ("new", "cur"):
        for path in (folder / sub).iterdir():
            number = re.search(rb"Message-ID: <(\d+)@", path.read_bytes())
            assert number is not None, path
            letters = path.name.rpartition(":2,")[2] if ":2," in path.name else ""
            found[int(number[1]), "".join(one for one in letters if one in "DFRST")] += 1
    return found


def inbox(running: Running) -> Path:
    return running.folder() / "Maildir"


# ---------------------------------------------------------------------- Python


async def test_imaplib(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(*map(mail, range(1, 6)))

        def talk() -> None:
            client = imaplib.IMAP4("127.0.0.1", running.ports["imap"], timeout=20)
            client.login(ALICE, SECRET)
            assert client.select()[1] == [b"5"]
            assert client.create("Arch")[0] == "OK"
            kind, (said, end) = client.fetch("2", "(UID BODY[])")
            assert (kind, end) == ("OK", rb" FLAGS (\Seen \Recent))")
            assert isinstance(said, tuple)
            assert said[1] == mail(2).replace(b"\n", b"\r\n")
            assert client.search(None, "SUBJECT", '"number 3"')[1] == [b"3"]
            assert client.sort("(REVERSE SUBJECT)", "UTF-8", "1:3")[1] == [b"3 2 1"]
            assert client.thread("REFERENCES", "UTF-8", "ALL")[1] == [b"(1)(2)(3)(4)(5)"]
            assert client.store("1:2", "+FLAGS", r"(\Deleted)")[0] == "OK"
            assert client.copy("1:2", "Arch")[0] == "OK"
            assert client.expunge()[1] == [b"2", b"1"]
            assert client.uid("MOVE", "3", "Arch")[0] == "OK"
            date = imaplib.Time2Internaldate(1_000_000_000)
            assert client.append("Arch", r"(\Flagged)", date, mail(9))[0] == "OK"
            assert client.status("Arch", "(MESSAGES UNSEEN)")[1] == [
                b'"Arch" (MESSAGES 4 UNSEEN 3)'
            ]
            assert client.select("Arch")[1] == [b"4"]
            kind, (dated,) = client.fetch("4", "(FLAGS INTERNALDATE)")
            assert isinstance(dated, bytes)
            assert b'" 9-Sep-2001 01:46:40 +0000"' in dated
            assert rb"\Flagged" in dated
            client.close()
            client.logout()

        await in_thread(talk)


# ------------------------------------------------------------- fetch and upload


@pytest.mark.interop
async def test_curl(tmp_path: Path) -> None:
    curl = program("curl")
    async with serving(tmp_path) as running:
        await running.deliver(*map(mail, range(1, 4)))
        url = f"imap://127.0.0.1:{running.ports['imap']}/INBOX"
        up = tmp_path / "up.eml"
        up.write_bytes(mail(7).replace(b"\n", b"\r\n"))

        def talk() -> None:
            login = ("-s", "-u", f"{ALICE}:{SECRET}", "--login-options", "AUTH=PLAIN")
            whole = run(curl, *login, f"{url};UID=2", home=tmp_path)
            assert whole == mail(2).decode().replace("\n", "\r\n") or whole == mail(2).decode()
            section = f"{url};MAILINDEX=1;SECTION=HEADER.FIELDS%20(SUBJECT)"
            assert "Subject: number 1" in run(curl, *login, section, home=tmp_path)
            found = run(curl, *login, f"{url}?SUBJECT%20number", home=tmp_path)
            assert found.strip() == "* SEARCH 1 2 3"
            run(curl, *login, "-T", up, url, home=tmp_path)
            custom = ("-X", "UID STORE 4 +FLAGS (Uploaded)")
            assert "Uploaded" in run(curl, *login, *custom, url, home=tmp_path)

        await in_thread(talk)
        assert sorted(number for number, _ in flags_of(inbox(running))) == [1, 2, 3, 7]


@pytest.mark.interop
async def test_fetchmail(tmp_path: Path) -> None:
    fetchmail = program("fetchmail")
    async with serving(tmp_path) as running:
        await running.deliver(*map(mail, range(1, 8)))
        rc, got = tmp_path / "rc", tmp_path / "got"
        rc.write_text(
            f"poll 127.0.0.1 service {running.ports['imap']} protocol imap auth password\n"
            f'  user "{ALICE}" password "{SECRET}" sslproto "" mda "cat >> {got}"\n'
        )
        rc.chmod(0o600)
        said = await in_thread(
            lambda: run(fetchmail, "-v", "-f", rc, home=tmp_path, FETCHMAILHOME=os.fspath(tmp_path))
        )
        assert "7 messages" in said
        assert got.read_bytes().count(b"Subject: number") == 7
        async with running.client("SELECT INBOX") as client:
            assert await client.ok("SEARCH ALL") == ["* SEARCH"]


@pytest.mark.interop
async def test_getmail(tmp_path: Path) -> None:
    getmail, tee = program("getmail"), program("tee")
    async with serving(tmp_path) as running:
        await running.deliver(*map(mail, range(1, 8)))
        home = tmp_path / "getmail"
        home.mkdir()
        (home / "getmailrc").write_text(
            "[retriever]\ntype = SimpleIMAPRetriever\nserver = 127.0.0.1\n"
            f"port = {running.ports['imap']}\nusername = {ALICE}\npassword = {SECRET}\n"
            'mailboxes = ("INBOX",)\n[destination]\ntype = MDA_external\n'
            f'path = {tee}\narguments = ("-a", "{home}/got")\nallow_root_commands = true\n'
            "[options]\nread_all = false\ndelete = false\n"
        )
        for count in ("7 messages", "0 messages"):
            said = await in_thread(lambda: run(getmail, "-g", home, home=tmp_path))
            assert count in said
        assert (home / "got").read_bytes().count(b"\nSubject: number") == 7


# ------------------------------------------------------------------ for people


@pytest.mark.interop
async def test_neomutt(tmp_path: Path) -> None:
    neomutt, script = program("neomutt"), program("script")
    async with serving(tmp_path) as running:
        await running.deliver(*map(mail, range(1, 21)))
        async with running.client("CREATE Arch"):
            pass
        rc = tmp_path / "muttrc"
        rc.write_text(
            f'set folder="imap://127.0.0.1:{running.ports["imap"]}/" spoolfile="+INBOX"\n'
            f'set imap_user="{ALICE}" imap_pass="{SECRET}" ssl_force_tls=no ssl_starttls=no\n'
            "set confirmappend=no delete=yes quit=yes mark_old=no sort=mailbox-order\n"
        )
        keys = (
            r"<tag-pattern>~s \"number 1\$\"|~s \"number 2\$\"<enter><tag-prefix><flag-message>"
            r"<delete-pattern>~s \"number 3\$\"<enter><tag-pattern>~A<enter>"
            r"<untag-pattern>! ~s \"number 4\$\"<enter><tag-prefix><save-message>+Arch<enter>"
            "<sync-mailbox><quit>"
        )
        command = f"{neomutt} -n -F {rc} -e 'push \"{keys}\"'"
        await in_thread(
            lambda: run(script, "-qec", command, tmp_path / "out", home=tmp_path, TERM="xterm")
        )
        found = flags_of(inbox(running))
        flagged = sorted(number for number, flags in found if "F" in flags)
        assert flagged == [1, 2]
        assert sorted(number for number, _ in found) == [1, 2, *range(5, 21)]
        archive = inbox(running) / names.mailbox_folder("Arch")
        assert [number for number, _ in flags_of(archive)] == [4]


@pytest.mark.interop
async def test_imapfilter(tmp_path: Path) -> None:
    imapfilter = program("imapfilter")
    async with serving(tmp_path) as running:
        await running.deliver(*map(mail, range(1, 21)))
        config = tmp_path / "config.lua"
        config.write_text(
            "options.create = true\noptions.starttls = false\noptions.timeout = 30\n"
            f'account = IMAP {{ server = "127.0.0.1", port = {running.ports["imap"]},\n'
            f'  username = "{ALICE}", password = "{SECRET}" }}\n'
            'ones = account.INBOX:contain_subject("number 1")\n'
            "ones:mark_flagged()\n"
            'five = account.INBOX:contain_body("body 5")\n'
            'five:move_messages(account["Filed/Away"])\n'
            'account.INBOX:contain_body("body 7"):delete_messages()\n'
        )
        await in_thread(lambda: run(imapfilter, "-c", config, home=tmp_path))
        found = flags_of(inbox(running))
        flagged = sorted(number for number, flags in found if "F" in flags)
        assert flagged == [1, *range(10, 20)]
        assert 7 not in {number for number, _ in found}
        archive = inbox(running) / names.mailbox_folder("Filed/Away")
        assert [number for number, _ in flags_of(archive)] == [5]


# --------------------------------------------------------------- synchronising


async def test_mbsync_keeps_both_sides_the_same(tmp_path: Path) -> None:
    mbsync = program("mbsync")
    local = tmp_path / "local"
    local.mkdir()

    def config(port: int) -> Path:
        rc = tmp_path / "mbsyncrc"
        rc.write_text(
            f'IMAPAccount a\nHost 127.0.0.1\nPort {port}\nUser {ALICE}\nPass "{SECRET}"\n'
            # Its clock runs on while it waits for the disk, with the answers long there.
            "Timeout 300\nSSLType None\nAuthMechs LOGIN\n\nIMAPStore far\nAccount a\n\n"
            f"MaildirStore near\nPath {local}/\nInbox {local}/INBOX\nSubFolders Verbatim\n\n"
            "Channel all\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Both\nExpunge Both\n"
            "Remove None\nSyncState *\n"
        )
        return rc

    (tmp_path / "server").mkdir()
    async with serving(tmp_path / "server") as running:
        rc = config(running.ports["imap"])
        await synchronised(
            running, local / "INBOX", lambda: run(mbsync, "-c", rc, "-a", home=tmp_path)
        )


async def test_offlineimap_keeps_both_sides_the_same(tmp_path: Path) -> None:
    offlineimap = program("offlineimap")
    local = tmp_path / "local"
    (tmp_path / "server").mkdir()
    async with serving(tmp_path / "server") as running:
        rc = tmp_path / "offlineimaprc"
        rc.write_text(
            f"[general]\naccounts = a\nui = basic\nmetadata = {tmp_path}/metadata\n"
            "[Account a]\nlocalrepository = near\nremoterepository = far\n"
            f"[Repository near]\ntype = Maildir\nlocalfolders = {local}\n"
            f"[Repository far]\ntype = IMAP\nremotehost = 127.0.0.1\n"
            f"remoteport = {running.ports['imap']}\nremoteuser = {ALICE}\nremotepass = {SECRET}\n"
            "ssl = no\nstarttls = no\nauth_mechanisms = LOGIN, PLAIN\n"
            "folderfilter = lambda name: name == 'INBOX'\n"
        )
        await synchronised(
            running, local / "INBOX", lambda: run(offlineimap, "-c", rc, "-o", home=tmp_path)
        )


async def synchronised(running: Running, local: Path, sync: Callable[[], str]) -> None:
    """Both sides change, also while they are synchronised, and mail arrives all the time."""
    await running.deliver(*map(mail, range(MESSAGES)))
    await in_thread(sync)
    here, there = flags_of(local), flags_of(inbox(running))
    assert here == there
    assert len(here) == MESSAGES
    there_too = set(range(MESSAGES))
    arriving = MESSAGES
    for number in range(ROUNDS):
        there_too -= change_here(local, number)
        task = asyncio.ensure_future(in_thread(sync))
        async with running.client("SELECT INBOX") as client:
            for step in range(10):
                await running.deliver(mail(arriving))
                there_too.add(arriving)
                arriving += 1
                at = 100 + 10 * number + step
                await client.ok(rf"UID STORE {at} +FLAGS.SILENT (\Flagged)")
                await asyncio.sleep(0.02)
            gone = 150 + number
            await client.ok(rf"UID STORE {gone} +FLAGS.SILENT (\Deleted)")
            await client.ok(f"UID EXPUNGE {gone}")
            there_too.discard(gone - 1)
        await task
    for _ in range(3):
        await in_thread(sync)
    here, there = flags_of(local), flags_of(inbox(running))
    assert here == there
    assert Counter(number for number, _ in there) == Counter(there_too)
    assert sum("F" in flags for _, flags in there) >= 10 * ROUNDS - ROUNDS


def change_here(local: Path, number: int) -> set[int]:
    """As a mail program would: some read, some answered, some thrown away; which those are."""
    files = {}
    for sub in ("new", "cur"):
        for path in (local / sub).iterdir():
            found = re.search(rb"Message-ID: <(\d+)@", path.read_bytes())
            assert found is not None
            files[int(found[1])] = path
    for at in range(20 * number, 20 * number + 10):
        path = files[at]
        base, _, flags = path.name.partition(":2,")
        marks = "".join(sorted({*flags, "R" if at % 2 else "S"}))
        path.rename(local / "cur" / f"{base}:2,{marks}")
    thrown = set(range(20 * number + 10, 20 * number + 14))
    for at in thrown:
        files[at].unlink()
    return thrown
