"""Other people's servers as remote hosts, each on an address of its own in 127.0.0.0/8.

They are started in the foreground or with a pid file of their own and stopped by that pid.
Nothing here is told about our server; the zone in ``tests/remote.zone`` names the addresses.
"""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mtad.dns import Resolver
from tests.server import until

ZONE = Path(__file__).parent / "remote.zone"
MANY = "".join(
    f"many.test. MX {number} m{number}.many.test.\n"
    f"m{number}.many.test. A 127.0.1.{number}\n"
    f'bigtxt.test. TXT "{number} {"x" * 80}"\n'
    for number in range(1, 41)
)
"""More exchangers than anyone tries, and an answer of over 3 kB, for which TCP is needed."""
NSD_CONF = """
server:
  ip-address: 127.0.0.1@{port}
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: "{folder}/nsd.pid"
  xfrdfile: "{folder}/xfrd.state"
  zonelistfile: "{folder}/zone.list"
  xfrdir: "{folder}"
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: "."
  zonefile: remote.zone
# No such file: every name below answers SERVFAIL.
zone:
  name: "broken.test"
  zonefile: missing.zone
"""


def program(name: str) -> str:
    """Where a peer's program is; skips the test where it is missing."""
    found = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin:/usr/local/bin")
    if found is None:
        pytest.skip(f"no {name} here")
    return found


def free_port(*addresses: str) -> int:
    """A port that is free for TCP and UDP on all addresses at this moment."""
    for _ in range(100):
        with contextlib.ExitStack() as stack:
            port = 0
            try:
                for address in addresses:
                    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                        probe = stack.enter_context(socket.socket(socket.AF_INET, kind))
                        probe.bind((address, port))
                        port = probe.getsockname()[1]
            except OSError:
                continue
            return port
    raise AssertionError(f"no port is free on all of {addresses}")


@dataclass(frozen=True)
class Nsd:
    """A running name server for the zone."""

    port: int

    def resolver(self, *, timeout_seconds: float = 5, validates: bool = False) -> Resolver:
        """A resolver that asks it and nobody else."""
        return Resolver(
            ["127.0.0.1"], port=self.port, timeout_seconds=timeout_seconds, validates=validates
        )


@contextlib.contextmanager
def nsd(folder: Path, more: str = "") -> Iterator[Nsd]:
    """NSD with ``tests/remote.zone`` and ``more`` records, on a port of its own."""
    found = program("nsd")
    port = free_port("127.0.0.1")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "remote.zone").write_text(ZONE.read_text() + MANY + more)
    conf = folder / "nsd.conf"
    conf.write_text(NSD_CONF.format(folder=folder, port=port))
    with (folder / "nsd.out").open("wb") as out:
        process = subprocess.Popen([found, "-c", str(conf), "-d"], stdout=out, stderr=out)
    try:
        until(lambda: _answers(port) or process.poll() is not None, 20, "nsd to answer")
        said = (folder / "nsd.out").read_text()
        assert process.poll() is None, said
        assert "errors" not in said, said
        yield Nsd(port)
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int) -> bool:
    """Whether something takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
