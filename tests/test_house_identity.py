"""Whose the server is: root binds ports, and everything else is done by the data's owner."""

import os
import pwd
import signal
import smtplib
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

import mtad
from mtad.errors import Exit
from tests import peers, server
from tests.server import Server
from tests.test_house_reload import write

YOU = "you@example.org"
USER = pwd.getpwnam("daemon")
STEP_DOWN = """
import os, sys
from pathlib import Path
from mtad import identity
identity.step_down(Path(sys.argv[1]))
print(os.getresuid(), os.getresgid(), os.getgroups())
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another")


def interpreter() -> str:
    """A Python that the user may run as well: root's own may lie in root's home."""
    own = Path(sys.executable).resolve()
    if all(folder.stat().st_mode & 0o001 for folder in own.parents):
        return sys.executable
    return peers.program(f"python{sys.version_info.major}.{sys.version_info.minor}")


@pytest.fixture(autouse=True)
def for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(Path(mtad.__file__).parents[1]), sysconfig.get_path("purelib")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setattr(server, "MTAD", [interpreter(), "-m", "mtad"])


@pytest.fixture
def folder() -> Iterator[Path]:
    with peers.open_folder() as made:
        yield made


def quickstart(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    said = ("quickstart", YOU, "--dir", str(folder), "--local", *words)
    done = subprocess.run([*server.MTAD, *said], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


class Owned(Server):
    """A server of another user's, started and asked by root."""

    def mtad(
        self, *words: str, code: int | None = 0, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        more = ("--user", USER.pw_name) if words[0] == "quickstart" else ()
        return super().mtad(*words, *more, code=code, text=text)


def low_port() -> int:
    """A port that only root can listen on."""
    for port in range(700, 1000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("no port below 1024 is free")


def roots(folder: Path) -> list[Path]:
    """What is not the user's."""
    return [path for path in (folder, *folder.rglob("*")) if path.lstat().st_uid != USER.pw_uid]


def test_root_binds_and_the_owner_serves(folder: Path) -> None:
    with Owned(folder / "site", YOU) as site:
        assert not roots(site.folder)
        port = low_port()
        write(
            site.config,
            ("listen.smtp", f'["127.0.0.1:{port}"]'),
            ("listen.lmtp", '["./data/lmtp"]'),
        )
        site.start()
        (site.folder / "serve.out").unlink()  # the test's own
        for pid in site.processes():
            status = Path(f"/proc/{pid}/status").read_text()
            lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            assert set(lines["Uid"].split()) == {str(USER.pw_uid)}
            assert set(lines["Gid"].split()) == {str(USER.pw_gid)}
            assert set(lines["Groups"].split()) <= {str(USER.pw_gid)}
            assert int(lines["CapEff"], 16) == int(lines["CapPrm"], 16) == 0
        with smtplib.SMTP("127.0.0.1", port) as link:
            link.sendmail("a@x.test", [YOU], "Subject: one\r\n\r\nHi\r\n")
        site.settle()
        site.mtad("box", "add", "bob@example.org", "--password-stdin", text="a password\n")
        for words in (
            ("mail", "list", "--box", YOU),
            ("mail", "flag", "--box", YOU, "--all", "--add", "seen"),
            ("trace", YOU),
            ("queue",),
            ("dkim", "rotate", "example.org"),
            ("snapshot", "create"),
            ("status",),
            ("config", "check"),
        ):
            site.mtad(*words)
        assert site.process is not None
        site.process.send_signal(signal.SIGHUP)
        second = site.mtad("serve", code=None)
        assert second.returncode == Exit.LOCKED
        assert "a server runs on this data directory already" in second.stderr
        site.stop()
        site.mtad("domain", "add", "example.net")
        site.mtad("audit")
        assert not roots(site.folder)


def test_who_did_it_is_still_root(folder: Path) -> None:
    with Owned(folder / "site", YOU) as site:
        environment = {k: v for k, v in os.environ.items() if k not in ("LOGNAME", "USER")}
        command = [*server.MTAD, "domain", "add", "example.net", "--config", str(site.config)]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        segments = list(site.places.journal.rglob("*.seg"))
        assert any(b"admin:root" in path.read_bytes() for path in segments)
        assert not roots(site.folder)


def test_what_is_roots_stays_roots(folder: Path) -> None:
    with Server(folder / "site", YOU) as site:
        site.start()
        assert "serving as root, since " in site.output()
        site.stop()


@pytest.mark.parametrize(
    ("uid", "gid", "expected"),
    [
        (USER.pw_uid, USER.pw_gid, f"{(USER.pw_uid,) * 3} {(USER.pw_gid,) * 3} [{USER.pw_gid}]"),
        (54321, 54322, f"{(54321,) * 3} {(54322,) * 3} []"),
        (0, 54322, f"{(0,) * 3} {(0,) * 3} "),
    ],
)
def test_stepping_down(folder: Path, uid: int, gid: int, expected: str) -> None:
    data = folder / "data"
    data.mkdir()
    os.chown(data, uid, gid)
    done = subprocess.run(
        [interpreter(), "-c", STEP_DOWN, str(data)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().startswith(expected.strip())


def test_without_a_directory_nothing_changes(folder: Path) -> None:
    command = [interpreter(), "-c", STEP_DOWN, str(folder / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("(0, 0, 0) (0, 0, 0)")


def test_a_user_that_is_not_there(folder: Path) -> None:
    done = quickstart(folder / "site", "--user", "no-such-user", code=Exit.USAGE)
    assert "there is no user no-such-user" in done.stderr
    assert not (folder / "site").exists()


def test_only_root_gives_away(folder: Path) -> None:
    os.chown(folder, USER.pw_uid, USER.pw_gid)
    said = ("quickstart", YOU, "--dir", str(folder / "site"), "--local", "--user", "daemon")
    done = subprocess.run(
        [*server.MTAD, *said],
        capture_output=True,
        text=True,
        check=False,
        user=USER.pw_uid,
        group=USER.pw_gid,
        extra_groups=[],
    )
    assert done.returncode == Exit.USAGE, done.stderr
    assert "--user is for root" in done.stderr


def test_settings_the_owner_cannot_read(folder: Path) -> None:
    """It is said in one sentence, by the server before it serves."""
    with Owned(folder / "site", YOU) as site:
        os.chown(site.config, 0, 0)
        site.config.chmod(0o600)
        done = site.mtad("box", code=None)
        assert done.returncode
        assert str(site.config) in done.stderr
