"""Programs that fetch mail by POP3: curl, fetchmail, getmail, Python's own."""

import asyncio
import os
import poplib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from tests.corpus import Mail
from tests.pop3 import ALICE, MAIL, SECRET, serving
from tests.test_smtp_interop import program, run
from tests.test_smtp_tls import files, trusting

__all__ = ["files"]

Files = tuple[Path, Path]
T = TypeVar("T")
MESSAGES = (
    MAIL % 1,
    b"Subject: dots\n\n.\n..\n.x\nno line end",
    "Subject: Привет\n\nкириллица\n".encode("koi8-r"),
)


def on_the_wire(message: bytes) -> bytes:
    """A message as a client gets it: lines end in CRLF."""
    text = re.sub(rb"(?<!\r)\n", b"\r\n", message)
    return text if text.endswith(b"\r\n") or not text else text + b"\r\n"


async def in_thread(work: Callable[[], T]) -> T:
    return await asyncio.wait_for(asyncio.to_thread(work), 120)


async def test_poplib_by_stls(tmp_path: Path, files: Files) -> None:
    async with serving(tmp_path, files) as running:
        uidls = running.deliver(*MESSAGES)

        def fetch() -> list[bytes]:
            client = poplib.POP3("127.0.0.1", running.ports["pop3"], timeout=20)
            assert "STLS" in client.capa()
            client.stls(trusting())
            client.utf8()
            client.user(ALICE)
            client.pass_(SECRET)
            assert client.stat() == (3, sum(len(on_the_wire(m)) for m in MESSAGES) - 2)
            listed = [line.decode() for line in client.uidl()[1]]
            assert listed == [f"{n} {uidl}" for n, uidl in enumerate(uidls, 1)]
            found = [b"\r\n".join(client.retr(n)[1]) + b"\r\n" for n in (1, 2, 3)]
            client.dele(2)
            client.quit()
            return found

        assert await in_thread(fetch) == [on_the_wire(message) for message in MESSAGES]
        assert len(running.files()) == 2


async def test_every_message_comes_as_it_is_stored(tmp_path: Path, corpus: Sequence[Mail]) -> None:
    stored = [mail.data for mail in corpus]
    async with serving(tmp_path) as running:
        running.deliver(*stored)

        def fetch() -> list[bytes]:
            client = poplib.POP3("127.0.0.1", running.ports["pop3"], timeout=60)
            client.user(ALICE)
            client.pass_(SECRET)
            found = []
            for number in range(1, client.stat()[0] + 1):
                octets = b""
                client._putcmd(f"RETR {number}")  # type: ignore[attr-defined]
                client._getresp()  # type: ignore[attr-defined]
                while (line := client.file.readline()) != b".\r\n":
                    octets += line.removeprefix(b".")
                found.append(octets)
            client.quit()
            return found

        fetched = await in_thread(fetch)
    assert len(fetched) == len(stored)
    for number, (got, message) in enumerate(zip(fetched, stored, strict=True)):
        assert got == on_the_wire(message), corpus[number].path


@pytest.mark.interop
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256", "CRAM-MD5"])
async def test_curl(tmp_path: Path, files: Files, mechanism: str) -> None:
    curl = program("curl")
    if "SCRAM" in mechanism and "gsasl" not in (await run(curl, "--version"))[1]:
        mechanism = "PLAIN"
    async with serving(tmp_path, files) as running:
        running.deliver(*MESSAGES)
        secret = running.house.cram if mechanism == "CRAM-MD5" else SECRET
        login = ("-u", f"{ALICE}:{secret}", "--login-options", f"AUTH={mechanism}")
        for scheme, more in (("pop3", ["--ssl-reqd"]), ("pop3s", [])):
            out = tmp_path / f"{scheme}.eml"
            url = f"{scheme}://127.0.0.1:{running.ports[scheme]}/2"
            words = ("-sS", "-k", *more, *login, "-o", str(out), url)
            status, said = await run(curl, *words)
            assert status == 0, said
            assert out.read_bytes() == on_the_wire(MESSAGES[1])


@pytest.mark.interop
async def test_curl_lists_and_deletes(tmp_path: Path) -> None:
    curl = program("curl")
    async with serving(tmp_path) as running:
        running.deliver(*MESSAGES)
        url = f"pop3://127.0.0.1:{running.ports['pop3']}/"
        login = ("-sS", "-u", f"{ALICE}:{SECRET}", "--login-options", "AUTH=PLAIN")
        status, said = await run(curl, *login, url)
        assert status == 0
        assert [line.split()[0] for line in said.split("\r\n") if line] == ["1", "2", "3"]
        status, said = await run(curl, *login, "-X", "DELE 2", "-I", url)
        assert status == 0, said
        await running.over(2)
        assert len(running.files()) == 2


@pytest.mark.interop
async def test_fetchmail_keeps_and_takes_nothing_twice(tmp_path: Path, files: Files) -> None:
    fetchmail = program("fetchmail")
    home = tmp_path / "home"
    home.mkdir()
    rc = home / "fetchmailrc"
    async with serving(tmp_path, files) as running:
        running.deliver(*MESSAGES)
        rc.write_text(
            f"poll 127.0.0.1 service {running.ports['pop3s']} protocol POP3 uidl\n"
            f'  user "{ALICE}" password "{SECRET}" ssl no sslcertck keep\n'
            f'  mda "cat >> {home}/got"\n'
        )
        rc.chmod(0o600)
        os.environ["FETCHMAILHOME"] = str(home)
        try:
            status, said = await run(fetchmail, "-f", str(rc), "--nosyslog", "-v")
            assert status == 0, said
            status, said = await run(fetchmail, "-f", str(rc), "--nosyslog")
            assert status == 1, said  # nothing to fetch
            running.deliver(MAIL % 7)
            status, said = await run(fetchmail, "-f", str(rc), "--nosyslog", "--nokeep")
            assert status == 0, said
        finally:
            del os.environ["FETCHMAILHOME"]
        got = (home / "got").read_bytes()
        assert got.count(b"Subject: ") == 4
        assert got.count(b"Subject: number 1") == got.count(b"Subject: number 7") == 1


@pytest.mark.interop
async def test_getmail_deletes_what_it_took(tmp_path: Path, files: Files) -> None:
    getmail, tee = program("getmail"), program("tee")
    home = tmp_path / "home"
    home.mkdir()
    async with serving(tmp_path, files) as running:
        running.deliver(*MESSAGES)
        (home / "getmailrc").write_text(
            "[retriever]\ntype = SimplePOP3SSLRetriever\nserver = 127.0.0.1\n"
            f"port = {running.ports['pop3s']}\nusername = {ALICE}\npassword = {SECRET}\n"
            f'[destination]\ntype = MDA_external\npath = {tee}\narguments = ("-a", "{home}/got")\n'
            "allow_root_commands = true\n[options]\ndelete = true\nread_all = false\n"
        )
        status, said = await run(getmail, f"--getmaildir={home}", "--rcfile=getmailrc")
        assert status == 0, said
        assert "3 messages (" in said, said
        got = (home / "got").read_bytes()
        for message in MESSAGES:
            assert message.replace(b"\r\n", b"\n").partition(b"\n\n")[2] in got
        assert running.files() == []
        (event,) = running.journal.all("pop3.retr")
        assert len(event.items) == 3
