"""Listeners of mail clients: TLS, proxies, limits, deadlines, the end."""

import asyncio
import base64
import ssl
from pathlib import Path

import pytest

from mtad.access.guests import in_force
from mtad.config import Access
from mtad.tls import server_context
from tests.pop3 import ALICE, BOB, SECRET, serving, until
from tests.sasl_client import ScramClient
from tests.test_smtp_tls import files, trusting

__all__ = ["files"]

Files = tuple[Path, Path]


@pytest.mark.parametrize(
    ("listener", "hello"),
    [("imap", r"\* OK \[CAPABILITY .*"), ("pop3", r"\+OK .*")],
)
async def test_a_limit_of_one_address(
    tmp_path: Path, files: Files, listener: str, hello: str
) -> None:
    access = {"max_connections_per_ip": 2, "never_limit": ()}
    async with serving(tmp_path, files, access=access) as running:
        async with running.client(listener) as one, running.client("pop3") as two:
            await one.talk(f"S: {hello}")
            await two.talk("S: .*")
            async with running.client(listener) as three:
                await three.talk("S: .*(too|Too) many connections from your address\nEOF")
        await running.over(2)
        assert running.journal.all("conn.refused")[0].why.startswith("too many connections")
        async with running.client(listener) as four:
            await four.talk(f"S: {hello}")


async def test_a_limit_of_one_user(tmp_path: Path) -> None:
    async with serving(tmp_path, access={"max_connections_per_user": 1}) as running:
        async with running.logged_in():
            async with running.client("imap") as other:
                await other.talk(
                    rf"""
                    S: .*
                    C: 1 LOGIN {ALICE} "{SECRET}"
                    S: 1 NO \[LIMIT\] Too many sessions of this user
                    """
                )
            async with running.logged_in(BOB, f"{SECRET} 2"):
                pass
        await running.over(3)
        async with running.logged_in():
            pass


async def test_everybody_together(tmp_path: Path) -> None:
    access = {"max_connections": 1}
    async with serving(tmp_path, access=access) as running, running.client() as one:
        await one.line()
        async with running.client() as two:
            await two.talk(r"S: -ERR \[SYS/TEMP\] too many connections" "\nEOF")


@pytest.mark.parametrize("listener", ["pop3s", "imaps"])
async def test_tls_first(tmp_path: Path, files: Files, listener: str) -> None:
    async with serving(tmp_path, files) as running:
        context = trusting()
        async with running.client(listener, ssl=context) as client:
            said = await client.line()
            assert "is ready" in said
            assert "STARTTLS" not in said
        async with running.client(listener) as client:
            await client.talk("C: CAPA\nEOF")
        await until(lambda: running.journal.all("tls.fail"))


async def test_stls_takes_no_injected_command(tmp_path: Path, files: Files) -> None:
    async with serving(tmp_path, files) as running, running.client() as client:
        await client.line()
        await client.send(f"USER {ALICE}\r\nSTLS\r\nCAPA\r\n".encode())
        await client.talk("S: .OK .*\nS: .OK begin.*")
        await client.writer.start_tls(trusting())
        await client.talk(
            rf"""
            C: PASS {SECRET}
            S: -ERR say USER first
            C: STLS
            S: -ERR TLS is on already
            C: USER {ALICE}
            S: \+OK .*
            C: PASS {SECRET}
            S: \+OK 0 messages.*
            """
        )
        (event,) = running.journal.all("tls.ok")
        assert event.version == "TLSv1.3"


async def test_no_password_in_the_clear(tmp_path: Path, files: Files) -> None:
    access = {"proxies": ("127.0.0.0/8",)}
    for allowed in (False, True):
        folder = tmp_path / str(allowed)
        folder.mkdir()
        async with (
            serving(folder, files, access=access, clear_text_logins=allowed) as running,
            running.client() as client,
        ):
            await client.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 110\r\n")
            await client.line()
            await client.send(b"CAPA\r\n")
            names = [await client.line()]
            while names[-1] != ".":
                names.append(await client.line())
            assert ("USER" in names) is allowed
            assert "STLS" in names
            wanted = r"\+OK .*" if allowed else "-ERR use TLS, or another way to log in"
            await client.talk(f"C: USER {ALICE}\nS: {wanted}")


async def test_a_certificate_is_renewed(tmp_path: Path, files: Files) -> None:
    async with serving(tmp_path, files) as running:
        running.pop3.tls = server_context(*files)
        context = trusting()
        async with running.client("pop3s", ssl=context) as client:
            await client.talk("S: .OK .*")
        running.pop3.tls = None
        async with running.client("pop3s") as client:
            await client.talk("EOF")


async def test_a_proxy_tells_the_client(tmp_path: Path) -> None:
    async with serving(tmp_path, access={"proxies": ("127.0.0.0/8",)}) as running:
        for listener in ("pop3", "imap"):
            async with running.client(listener) as client:
                await client.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 110\r\n")
                await client.talk("S: .*OK.*")
        await running.over(2)
        for event in running.journal.all("conn.open"):
            assert (event.ip, event.proxy) == ("192.0.2.7", "127.0.0.1")
        async with running.client() as client:
            await client.talk("C: USER someone\nEOF")
        (refused,) = running.journal.all("conn.refused")
        assert refused.why == "from the proxy: no PROXY header"


async def test_a_proxy_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtad.access.listener.PROXY_SECONDS", 0.1)
    monkeypatch.setattr("mtad.access.listener.SWEEP_SECONDS", 0.05)
    access = {"proxies": ("127.0.0.0/8",)}
    async with serving(tmp_path, access=access) as running, running.client() as client:
        await client.talk("EOF")


async def test_a_slow_reader_is_bounded(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        running.deliver(b"A: b\r\n\r\n" + b"x" * 8_000_000)
        async with running.logged_in() as client:
            await client.send(b"RETR 1\r\n" * 20)
            await asyncio.sleep(0.3)
            (dialog,) = running.services.dialogs
            assert dialog.stream.pending < 1_500_000


async def test_scram_is_bound_to_the_channel(tmp_path: Path, files: Files) -> None:
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with (
        serving(tmp_path, files) as running,
        running.client("pop3s", ssl=context) as client,
    ):
        await client.line()
        secure = client.writer.get_extra_info("ssl_object")
        data = secure.get_channel_binding("tls-unique")
        scram = ScramClient(ALICE, SECRET, binding=("tls-unique", data))
        first = base64.b64encode(scram.first()).decode()
        await client.send(f"AUTH SCRAM-SHA-256-PLUS {first}\r\n".encode())
        challenge = base64.b64decode((await client.line()).removeprefix("+ "))
        final = base64.b64encode(scram.final(challenge)).decode()
        await client.talk(f"C: {final}\nS: .+ .*\nC:\nS: .OK 0 messages.*")


def test_no_more_connections_than_open_files() -> None:
    settings = Access(max_connections=1000)
    assert in_force(settings, 100_000) is settings
    assert in_force(settings, 1100).max_connections == 100
    assert in_force(settings, 10).max_connections == 1
