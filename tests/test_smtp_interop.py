"""Programs of other people talk to us: swaks, Postfix's smtp-source, Python's smtplib."""

import asyncio
import re
import shutil
import smtplib
from pathlib import Path

import pytest

from tests.dialog import connect, server, until
from tests.test_smtp_tls import context, files

__all__ = ["context", "files"]


def program(name: str) -> str:
    """Where a peer's program is; skips the test where it is missing."""
    found = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin:/usr/local/bin")
    if found is None:
        pytest.skip(f"no {name} here")
    return found


async def run(*arguments: str) -> tuple[int, str]:
    """Run a program to its end; status and what it said."""
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, said.decode(errors="replace")


@pytest.mark.interop
@pytest.mark.parametrize("options", [[], ["--tls"], ["--pipeline"], ["--helo", "[127.0.0.1]"]])
async def test_swaks(options: list[str], tmp_path: Path, context: object) -> None:
    swaks = program("swaks")
    if "--tls" in options and "TLS supported" not in (await run(swaks, "--support"))[1]:
        pytest.skip("this swaks has no TLS")
    async with server(tmp_path, tls=context) as running:
        status, said = await run(
            swaks,
            *("--server", "127.0.0.1", "--port", str(running.port)),
            *("--from", "a@x.test", "--to", "alice@local.test,bob@local.test"),
            *("--header", "Subject: from swaks", "--body", "one\n.two\n..three"),
            *options,
        )
        assert status == 0, said
        await running.closed()
        accept = running.journal.one("smtp.accept")
        assert accept.subject == "from swaks"
        assert [r.addr for r in accept.recipients] == ["alice@local.test", "bob@local.test"]
        assert b"\none\n.two\n..three\n" in running.journal.frames[0][1]
        assert ("tls.ok" in running.journal.kinds) is ("--tls" in options)


@pytest.mark.interop
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_openssl(version: str, tmp_path: Path, context: object) -> None:
    openssl = program("openssl")
    limits = {"strict_pipelining": False}  # a pipe into openssl waits for nothing
    async with server(tmp_path, limits=limits, tls=context) as running:
        process = await asyncio.create_subprocess_exec(
            openssl,
            *("s_client", "-quiet", "-crlf", "-starttls", "smtp", version),
            *("-connect", f"127.0.0.1:{running.port}"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        group = b"EHLO c\nMAIL FROM:<>\nRCPT TO:<bob@local.test>\nDATA\nx: y\n\nz\n.\nQUIT\n"
        process.stdin.write(group)
        said = await asyncio.wait_for(process.stdout.read(), 20)
        process.stdin.close()
        await process.wait()
        assert said.endswith(b"221 2.0.0 mx.local.test closing\r\n"), said
        assert running.journal.frames[0][1].endswith(b"\nx: y\n\nz\n")
        assert running.journal.one("tls.ok").version == f"TLSv1.{version[-1]}"


@pytest.mark.interop
@pytest.mark.parametrize(
    "options",
    [
        ["--proxy-version", "1", "--proxy-family", "TCP4"],
        ["--proxy-version", "2", "--proxy-family", "AF_INET"],
    ],
)
async def test_swaks_as_a_proxy(options: list[str], tmp_path: Path) -> None:
    swaks = program("swaks")
    async with server(tmp_path, limits={"proxies": ("127.0.0.0/8",)}) as running:
        status, said = await run(
            swaks,
            *("--server", "127.0.0.1", "--port", str(running.port)),
            *("--from", "a@x.test", "--to", "alice@local.test", *options),
            *("--proxy-source", "192.0.2.9", "--proxy-source-port", "4711"),
            *("--proxy-dest", "127.0.0.1", "--proxy-dest-port", str(running.port)),
        )
        assert status == 0, said
        await running.closed()
        opened = running.journal.one("conn.open")
        assert (opened.ip, opened.proxy) == ("192.0.2.9", "127.0.0.1")


@pytest.mark.interop
async def test_swaks_is_refused(tmp_path: Path) -> None:
    swaks = program("swaks")
    async with server(tmp_path) as running:
        status, said = await run(
            swaks,
            *("--server", "127.0.0.1", "--port", str(running.port)),
            *("--from", "a@x.test", "--to", "nobody@local.test"),
        )
        assert status == 24, said
        assert "550 5.1.1 no box <nobody@local.test> here" in said
        await running.closed()
        assert running.journal.one("smtp.reject").check == "unknown_box"


@pytest.mark.interop
@pytest.mark.parametrize(
    "options",
    [
        ["-s", "20", "-m", "300", "-l", "2000"],
        ["-d", "-s", "10", "-m", "300", "-l", "2000"],
        ["-s", "4", "-m", "12", "-l", "300000"],
        ["-s", "5", "-m", "50", "-r", "8", "-l", "5000"],
    ],
)
async def test_smtp_source(options: list[str], tmp_path: Path) -> None:
    source = program("smtp-source")
    count = int(options[options.index("-m") + 1])
    async with server(tmp_path) as running:
        for number in range(8):
            address = f"{number + 1}bob@local.test"
            running.book.entries[address] = (address,)
        status, said = await run(
            source, *options, "-f", "a@x.test", "-t", "bob@local.test", f"127.0.0.1:{running.port}"
        )
        assert status == 0, said
        await until(lambda: not running.service.sessions)
        journal = running.journal
        assert len(journal.frames) == count
        assert len({event.trace for event in journal.all("smtp.accept")}) == count
        assert len(journal.all("conn.open")) == len(journal.all("conn.close"))
        assert not journal.all("smtp.protocol")


async def test_smtplib(tmp_path: Path, context: object) -> None:
    def client(port: int) -> dict[str, tuple[int, bytes]]:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="client.test", timeout=20) as link:
            link.starttls()
            link.ehlo()
            assert set(link.esmtp_features) == {
                *("pipelining", "size", "8bitmime", "smtputf8", "enhancedstatuscodes", "dsn"),
                *("chunking", "limits", "requiretls", "help"),
            }
            return link.sendmail(
                "a@x.test",
                ["alice@local.test", "nobody@local.test"],
                "Subject: x\r\n\r\n.\r\n..\r\nлист\r\n".encode(),
                ["BODY=8BITMIME"],
            )

    async with server(tmp_path, tls=context) as running:
        refused = await asyncio.to_thread(client, running.port)
        assert set(refused) == {"nobody@local.test"}
        await running.closed()
        assert running.journal.frames[0][1].endswith("Subject: x\n\n.\n..\nлист\n".encode())


async def test_ipv4_mapped_addresses_are_ipv4(tmp_path: Path) -> None:
    """A listener on :: shows IPv4 clients as ::ffff:a.b.c.d; the log knows them as a.b.c.d."""
    async with server(tmp_path) as running:
        async with connect(running.port) as client:
            await client.line()
        await running.closed()
        assert re.fullmatch(r"[0-9.]+", running.journal.one("conn.open").ip)
