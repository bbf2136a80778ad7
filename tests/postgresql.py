"""A PostgreSQL server of the tests' own, on a unix socket in a folder; started once a process."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
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
        self._as_owner(
            [
                str(BINARIES / "initdb"),
                "--pgdata=data",
                f"--username={USER}",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--no-instructions",
            ]
        )
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = " ".join(
            f"-c {name}={value or repr('')}" for name, value in self._settings.items()
        )
        self._control("start", "-l", "log", "-o", f"-k {self.folder} {options}")

    def stop(self, how: str = "immediate") -> None:
        """Stop it: ``immediate`` as a crash does."""
        self._control("stop", "-m", how)

    def remove(self) -> None:
        """Stop it for good."""
        if (self.folder / "data" / "postmaster.pid").exists():
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

    def _control(self, *words: str) -> None:
        self._as_owner([str(BINARIES / "pg_ctl"), "-D", "data", "-w", "-s", *words])

    def _as_owner(self, words: Sequence[str]) -> None:
        if os.geteuid() == 0:
            words = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *words]
        done = subprocess.run(
            words, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode:
            said = self.folder / "log"
            raise RuntimeError(
                f"{words}: {done.stderr!r} {said.read_text() if said.exists() else ''}"
            )
