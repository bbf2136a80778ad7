"""An OpenSSH server and an S3 service of the tests' own, on loopback."""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

from backup.access import Access
from backup.bucket import Bucket
from backup.sftp import Sftp
from tests.peers import free_port, program

BUCKET = "snapshots"
KEY_ID, SECRET = "AKIDEXAMPLE", "a-secret-for-tests"


class Sshd:
    """sshd for the user who runs the tests, with SFTP and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port("127.0.0.1")
        for name in ("host", "login"):
            words = [
                program("ssh-keygen"),
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-f",
                str(folder / name),
            ]
            subprocess.run(words, check=True, timeout=30)
        shutil.copy(folder / "login.pub", folder / "authorized")
        host = (folder / "host.pub").read_text()
        (folder / "known").write_text(f"[127.0.0.1]:{self.port} {host}")
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {folder / 'host'}",
            f"AuthorizedKeysFile {folder / 'authorized'}",
            f"PidFile {folder / 'pid'}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "PermitRootLogin prohibit-password",
            "MaxStartups 100",
            "Subsystem sftp internal-sftp",
            "ForceCommand internal-sftp",
        ]
        (folder / "sshd_config").write_text("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.access = Access(identity_file=str(folder / "login"), known_hosts=str(folder / "known"))
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        words = [
            program("sshd"),
            "-D",
            "-E",
            str(self.folder / "log"),
            "-f",
            str(self.folder / "sshd_config"),
        ]
        self._server = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if self._server.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """End it and its connections."""
        if self._server.poll() is None:
            for pid in (*_below(self._server.pid), self._server.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._server.wait(30)

    def address(self, root: Path) -> str:
        """What settings call a folder behind it."""
        return f"sftp://{getpass.getuser()}@127.0.0.1:{self.port}{root}"

    def place(self, root: Path) -> Sftp:
        """A folder behind it."""
        return Sftp("127.0.0.1", self.port, getpass.getuser(), str(root), self.access)


def _below(pid: int) -> list[int]:
    """The processes that a process began, and those they began: each session has its own."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for child in children for each in (int(child), *_below(int(child)))]


class S3:
    """An S3 service that keeps everything in memory."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        self.access = Access(
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id=KEY_ID,
            secret_access_key=SECRET,
        )
        self.client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
        )
        self.client.create_bucket(Bucket=BUCKET)

    def stop(self) -> None:
        """End it."""
        self.client.close()
        self._server.stop()

    def place(self, prefix: str) -> Bucket:
        """A prefix in its bucket."""
        return Bucket(BUCKET, prefix, self.access)
