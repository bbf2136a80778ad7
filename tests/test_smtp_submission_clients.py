"""Mail programs of other people log in and submit: swaks, curl, msmtp, s-nail, smtplib."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.dialog import until
from tests.submission import ALICE, SECRET, Submitting, smtplib_link, submitting
from tests.test_smtp_interop import program, run
from tests.test_smtp_tls import files

__all__ = ["files"]

Files = tuple[Path, Path]
CAROL = "carol@elsewhere.test"
MESSAGE = "From: alice@local.test\r\nTo: carol@elsewhere.test\r\nSubject: s\r\n\r\nHi\r\n"


@pytest.fixture
async def running(tmp_path: Path, files: Files) -> AsyncIterator[Submitting]:
    async with submitting(tmp_path, files) as made:
        yield made


async def submitted(running: Submitting, mechanism: str) -> None:
    """One message was taken, from who logged in by a mechanism."""
    await until(lambda: running.journal.all("smtp.accept"))
    ok = running.journal.one("auth.ok")
    assert (ok.mechanism, ok.addr) == (mechanism, ALICE)
    assert running.journal.one("queue.add").addr == CAROL
    assert b"with ESMTPSA id" in running.journal.frames[0][1]


def password(running: Submitting, mechanism: str) -> str:
    return running.cram if mechanism == "CRAM-MD5" else SECRET


@pytest.mark.interop
@pytest.mark.parametrize("port", ["submission", "submissions"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
async def test_swaks(mechanism: str, port: str, running: Submitting) -> None:
    swaks = program("swaks")
    status, said = await run(
        swaks,
        *("--server", "127.0.0.1", "--port", str(running.ports[port]), "--timeout", "10"),
        "--tls" if port == "submission" else "--tls-on-connect",
        *("--auth", mechanism, "--auth-user", ALICE),
        *("--auth-password", password(running, mechanism), "--auth-hide-password"),
        *("--from", ALICE, "--to", CAROL, "--header", "Subject: s", "--body", "Hi"),
    )
    assert status == 0, said
    await submitted(running, mechanism)


@pytest.mark.interop
async def test_swaks_with_a_wrong_password(running: Submitting) -> None:
    status, said = await run(
        program("swaks"),
        *("--server", "127.0.0.1", "--port", str(running.port), "--timeout", "10", "--tls"),
        *("--auth", "PLAIN,LOGIN", "--auth-user", ALICE, "--auth-password", "wrong"),
        *("--from", ALICE, "--to", CAROL),
    )
    assert status == 28, said
    assert "535 5.7.8 wrong login or password" in said
    assert [one.again for one in running.journal.all("auth.fail")] == [False, True]


@pytest.mark.interop
@pytest.mark.parametrize("port", ["submission", "submissions"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
async def test_curl(mechanism: str, port: str, running: Submitting, tmp_path: Path) -> None:
    curl = program("curl")
    message = tmp_path / "message"
    message.write_text(MESSAGE)
    scheme = "smtp" if port == "submission" else "smtps"
    status, said = await run(
        curl,
        *("--silent", "--show-error", "--insecure", "--ssl-reqd", "--max-time", "20"),
        *("--url", f"{scheme}://127.0.0.1:{running.ports[port]}"),
        *("--user", f"{ALICE}:{password(running, mechanism)}"),
        *("--login-options", f"AUTH={mechanism}"),
        *("--mail-from", ALICE, "--mail-rcpt", CAROL, "--upload-file", str(message)),
    )
    assert status == 0, said
    await submitted(running, mechanism)


@pytest.mark.interop
@pytest.mark.parametrize("mechanism", ["plain", "login", "cram-md5", "scram-sha-256", "on"])
async def test_msmtp(mechanism: str, running: Submitting, tmp_path: Path) -> None:
    msmtp = program("msmtp")
    used = "PLAIN" if mechanism == "on" else mechanism.upper()
    settings = tmp_path / "msmtprc"
    settings.write_text(
        f"account a\nhost 127.0.0.1\nport {running.port}\nfrom {ALICE}\nuser {ALICE}\n"
        f"password {password(running, used)}\nauth {mechanism}\ntls on\ntls_starttls on\n"
        "tls_certcheck off\ntimeout 10\naccount default : a\n"
    )
    settings.chmod(0o600)
    process = await asyncio.create_subprocess_exec(
        *(msmtp, "-C", str(settings), CAROL),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(MESSAGE.encode()), 30)
    if process.returncode and b"not supported" in said and b"authentication method" in said:
        pytest.skip("this msmtp lacks the mechanism")
    assert process.returncode == 0, said
    await submitted(running, used)


@pytest.mark.interop
@pytest.mark.parametrize("mechanism", ["plain", "login", "cram-md5"])
async def test_s_nail(mechanism: str, running: Submitting, tmp_path: Path) -> None:
    nail = program("s-nail")
    word = password(running, mechanism.upper()).replace(" ", "%20")
    user = ALICE.replace("@", "%40")
    process = await asyncio.create_subprocess_exec(
        *(nail, "-:/", "-Sv15-compat", f"-Smta=smtps://{user}:{word}@127.0.0.1:{running.secure}"),
        *(f"-Ssmtp-auth={mechanism}", "-Stls-verify=ignore", f"-Sfrom={ALICE}"),
        *("-s", "subject", CAROL),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=tmp_path,
    )
    said, _ = await asyncio.wait_for(process.communicate(b"Hi\n"), 30)
    assert process.returncode == 0, said
    await submitted(running, mechanism.upper())


@pytest.mark.parametrize("port", ["submission", "submissions"])
async def test_smtplib(port: str, running: Submitting) -> None:
    """It tries what is offered in an order of its own: CRAM-MD5 first, then PLAIN."""

    def send() -> None:
        with smtplib_link(running.ports[port], secure=port == "submissions") as link:
            link.login(ALICE, SECRET)
            link.sendmail(ALICE, [CAROL], MESSAGE)

    await asyncio.to_thread(send)
    await submitted(running, "PLAIN")
    assert [one.mechanism for one in running.journal.all("auth.fail")] == ["CRAM-MD5"]
