"""A PostgreSQL server of the tests' own, on a unix socket in a folder; started once a process."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from mtad.where import Server

IN_FILES = pytest.mark.parametrize("new_log", ["files"], indirect=True)
"""For a test of what only files have, where its fixtures make logs of either kind."""

BINARIES = Path("/usr/lib/postgresql/15/bin")
USER = "mtad"
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
}


class Cluster:
    """A server that can be stopped and started again; needs Debian's postgresql-15."""

    def __init__(self, **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mtad-pg-", dir="/tmp"))
        self._settings = _SETTINGS | settings
        self._names = 0
        if os.geteuid() == 0:  # PostgreSQL refuses root
            shutil.chown(self.folder, "nobody", "nogroup")
        self.folder.chmod(0o755)
        initdb = [str(BINARIES / "initdb"), "--pgdata=data", f"--username={USER}", "--auth=trust"]
        initdb += ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        subprocess.run(
            [*_as_owner(), *initdb], cwd=self.folder, capture_output=True, timeout=60, check=True
        )
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers; it ends with this process, however that ends."""
        words = [str(BINARIES / "postgres"), "-D", "data", "-k", str(self.folder)]
        for name, value in self._settings.items():
            words += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as out:
            self._server = subprocess.Popen(
                [*_as_owner(), "--pdeathsig=QUIT", *words],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        asked = [str(BINARIES / "pg_isready"), "-q", "-h", str(self.folder), "-d", "postgres"]
        end = time.monotonic() + 60
        while subprocess.run(asked, check=False).returncode:
            if self._server.poll() is not None or time.monotonic() > end:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it as a crash does."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(30)

    def remove(self) -> None:
        """Stop it for good."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self) -> Server:
        """A new and empty database."""
        self._names += 1
        name = f"mtad{self._names}"
        self.run("postgres", f"CREATE DATABASE {name}")
        return Server(self.url(name))

    def url(self, name: str) -> str:
        """The URL of a database."""
        return f"postgresql://{USER}@/{name}?host={self.folder}"

    def run(self, name: str, text: str) -> list[tuple[object, ...]]:
        """Run a statement on a database as its owner."""
        import psycopg  # noqa: PLC0415 - only tests of this engine need it

        with psycopg.connect(self.url(name), autocommit=True) as link:
            found = link.execute(text)
            return list(found.fetchall()) if found.description else []


def _as_owner() -> list[str]:
    """Runs what follows as a user that PostgreSQL does not refuse, as it does root."""
    if os.geteuid() == 0:
        return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    return ["setpriv"]
