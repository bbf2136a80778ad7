"""Other people's servers as remote hosts, each on an address of its own in 127.0.0.0/8.

A peer takes mail for ``NAME.test``, ``cut.NAME.test`` and ``tls.NAME.test``, and answers by
local part: ``temp`` 450, ``full`` 452, ``gone`` 550, ``busy`` 421; everyone else's mail lands in
one Maildir. The two further domains are for mail that comes through a ``Meddler``. All of it is
in ``tests/remote.zone``. Everything is started with a folder of its own and stopped by its pid.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mtad.dns import Resolver
from tests.authority import self_signed
from tests.server import until

HERE = Path(__file__).parent
UNPACKED = Path("/var/cache/mtad-peers")
"""Where ``.ci/peers`` puts what cannot be installed beside Postfix."""
TAKES_MAIL = {"postfix": "127.0.0.61", "exim": "127.0.0.62", "opensmtpd": "127.0.0.63"}
CUT = {"postfix": "127.0.0.71", "exim": "127.0.0.72", "opensmtpd": "127.0.0.73"}
NO_TLS = {"postfix": "127.0.0.81", "exim": "127.0.0.82", "opensmtpd": "127.0.0.83"}
MANY = "".join(
    f"many.test. MX {number} m{number}.many.test.\n"
    f"m{number}.many.test. A 127.0.1.{number}\n"
    f'bigtxt.test. TXT "{number} {"x" * 80}"\n'
    for number in range(1, 41)
)
"""More exchangers than anyone tries, and an answer of over 3 kB, for which TCP is needed."""


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


# ------------------------------------------------------------------------ name server


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
    (folder / "remote.zone").write_text((HERE / "remote.zone").read_text() + MANY + more)
    conf = folder / "nsd.conf"
    conf.write_text(NSD_CONF.format(folder=folder, port=port))
    with _running([found, "-c", str(conf), "-d"], folder, "127.0.0.1", port) as output:
        said = output.read_text()
        assert "errors" not in said, said
        yield Nsd(port)


# ----------------------------------------------------------------------- mail servers


@dataclass(frozen=True)
class Peer:
    """A running mail server.

    ``speaks_tls`` is false for OpenSMTPD: it offers STARTTLS and then breaks every handshake,
    as Debian 12 built it (its keys are used through an interface that OpenSSL 3 gave up).
    """

    name: str
    host: str
    port: int
    maildir: Path
    log: Path
    speaks_tls: bool = True

    def messages(self) -> list[bytes]:
        """What it has delivered so far."""
        return [path.read_bytes() for path in sorted(self.maildir.glob("**/new/*"))]

    def await_messages(self, count: int) -> list[bytes]:
        """Wait until it has delivered so many."""
        until(lambda: len(self.messages()) >= count, 20, f"delivery by {self.name}")
        found = self.messages()
        assert len(found) == count, found
        return found

    def forget(self) -> None:
        """Empty the Maildir."""
        for path in self.maildir.glob("**/new/*"):
            path.unlink()


POSTFIX_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = mx.postfix.test
mydestination =
mynetworks = 127.0.0.99/32
# The address is in master.cf: Postfix takes no other loopback address here.
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relay_domains =
virtual_mailbox_domains = postfix.test, cut.postfix.test, tls.postfix.test
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:all/
virtual_minimum_uid = 100
virtual_uid_maps = static:5000
virtual_gid_maps = static:5000
alias_maps =
smtpd_peername_lookup = no
smtpd_recipient_restrictions = check_recipient_access inline:{{{{temp@=450 4.2.0 try later}},
  {{full@=452 4.2.2 mailbox full}}, {{gone@=550 5.1.1 no such user}},
  {{busy@=421 4.7.0 closing}}}}, reject_unauth_destination
smtpd_tls_security_level = may
smtpd_tls_chain_files = {folder}/key-and-chain.pem
"""
POSTFIX_MASTER = """
{host}:{port}      inet  n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
tlsmgr    unix  - - n 1000? 1 tlsmgr
anvil     unix  - - n - 1 anvil
smtp      unix  - - n - - smtp
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
virtual   unix  - n n - - virtual
lmtp      unix  - - n - - lmtp
postlog   unix-dgram n - n - 1 postlogd
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
"""


@contextlib.contextmanager
def postfix(port: int, more: str = "") -> Iterator[Peer]:
    """Postfix as MX of postfix.test, with ``more`` settings."""
    found, host = program("postfix"), TAKES_MAIL["postfix"]
    with open_folder() as folder:
        for name in ("queue", "data", "mail"):
            (folder / name).mkdir()
        shutil.chown(folder / "data", "postfix")
        os.chown(folder / "mail", 5000, 5000)
        chain, key = self_signed("mx.postfix.test").files(folder)
        both = folder / "key-and-chain.pem"
        both.touch(mode=0o600)
        both.write_bytes(key.read_bytes() + chain.read_bytes())
        (folder / "main.cf").write_text(POSTFIX_MAIN.format(folder=folder) + more)
        (folder / "master.cf").write_text(POSTFIX_MASTER.format(host=host, port=port))
        log = folder / "log"
        start = [found, "-c", str(folder), "start"]
        done = subprocess.run(start, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        try:
            until(lambda: _listens(host, port), 30, "Postfix")
            yield Peer("postfix", host, port, folder / "mail", log)
        finally:
            stop = [found, "-c", str(folder), "stop"]
            subprocess.run(stop, capture_output=True, timeout=60, check=False)


EXIM_CONF = """
exim_path = {program}
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
pid_file_path = {folder}/pid
primary_hostname = mx.exim.test
local_interfaces = <; [{host}]:{port}
tls_advertise_hosts = *
tls_certificate = {folder}/chain.pem
tls_privatekey = {folder}/key.pem
keep_environment =
rfc1413_query_timeout = 0s
domainlist local = exim.test : cut.exim.test : tls.exim.test
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  defer  local_parts = temp
         condition = ${{if !exists{{{folder}/relents}}}}
         message = 450 4.2.0 try later
  defer  local_parts = full
         message = 452 4.2.2 mailbox full
  defer  local_parts = busy
         message = 421 4.7.0 closing
  deny   local_parts = gone
         message = 550 5.1.1 no such user
  accept domains = +local
  deny   message = relay not permitted
begin routers
all:
  driver = accept
  domains = +local
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = {folder}/mail/box
  maildir_format
  envelope_to_add
  user = Debian-exim
  create_directory
"""


@contextlib.contextmanager
def exim(port: int) -> Iterator[Peer]:
    """Exim as MX of exim.test."""
    found, host = _unpacked("exim/usr/sbin/exim4"), TAKES_MAIL["exim"]
    with open_folder() as folder:
        for name in ("spool", "mail"):
            (folder / name).mkdir()
            shutil.chown(folder / name, "Debian-exim")
        for path in (folder, *self_signed("mx.exim.test").files(folder)):
            shutil.chown(path, "Debian-exim")
        conf = folder / "exim.conf"
        conf.write_text(EXIM_CONF.format(folder=folder, program=found, host=host, port=port))
        command = [found, "-C", str(conf), "-bdf", "-q1m"]
        with _running(command, folder, host, port):
            yield Peer("exim", host, port, folder / "mail", folder / "mainlog")


OPENSMTPD_CONF = """
pki mx.opensmtpd.test cert "{folder}/chain.pem"
pki mx.opensmtpd.test key "{folder}/key.pem"
table everyone {{ "@" = mail }}
table ours {{ "opensmtpd.test", "cut.opensmtpd.test", "tls.opensmtpd.test" }}
table temp {{ {temp} }}
table full {{ {full} }}
table gone {{ {gone} }}
table busy {{ {busy} }}
filter "temp" phase rcpt-to match rcpt-to <temp> reject "450 4.2.0 try later"
filter "full" phase rcpt-to match rcpt-to <full> reject "452 4.2.2 mailbox full"
filter "gone" phase rcpt-to match rcpt-to <gone> reject "550 5.1.1 no such user"
filter "busy" phase rcpt-to match rcpt-to <busy> disconnect "421 4.7.0 closing"
filter "all" chain {{ "temp", "full", "gone", "busy" }}
listen on {host} port {port} hostname mx.opensmtpd.test tls pki mx.opensmtpd.test filter "all"
action "maildir" maildir "{folder}/mail" virtual <everyone>
match from any for domain <ours> action "maildir"
match from any reject
"""


@contextlib.contextmanager
def opensmtpd(port: int) -> Iterator[Peer]:
    """OpenSMTPD as MX of opensmtpd.test; one at a time, its spool and socket have fixed places."""
    found, host = _unpacked("opensmtpd/usr/sbin/smtpd"), TAKES_MAIL["opensmtpd"]
    with _alone(UNPACKED / "opensmtpd.lock"), open_folder() as folder:
        (folder / "mail").mkdir()
        shutil.chown(folder / "mail", "mail", "mail")
        self_signed("mx.opensmtpd.test").files(folder)
        domains = ("", "cut.", "tls.")
        tables = {
            name: ", ".join(f'"{name}@{domain}opensmtpd.test"' for domain in domains)
            for name in ("temp", "full", "gone", "busy")
        }
        conf = folder / "smtpd.conf"
        conf.write_text(OPENSMTPD_CONF.format(folder=folder, host=host, port=port, **tables))
        with _running([found, "-dF", "-f", str(conf)], folder, host, port) as output:
            yield Peer("opensmtpd", host, port, folder / "mail", output, speaks_tls=False)


START: dict[str, Callable[[int], contextlib.AbstractContextManager[Peer]]] = {
    "postfix": postfix,
    "exim": exim,
    "opensmtpd": opensmtpd,
}
"""How each peer is started, on a port."""


def common_port() -> int:
    """A port that is free for every peer and everything that stands before one."""
    return free_port(*TAKES_MAIL.values(), *CUT.values(), *NO_TLS.values())


# -------------------------------------------------------------------------- harm


class Meddler:
    """A proxy before a server: it cuts the connection in the message, or breaks TLS.

    ``cut`` lets so many octets of the message pass and no more; ``breaks_tls`` answers the
    first octets of a handshake with what is none. ``meddled`` counts how often it did.
    """

    def __init__(self, host: str, port: int, to: str, *, cut: int = 0, breaks_tls: bool = False):
        self.meddled = 0
        self._to = (to, port)
        self._cut = cut
        self._breaks_tls = breaks_tls
        self._server = socket.create_server((host, port))
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Meddler":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for link in self._open:
            link.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            server = socket.create_connection(self._to, 10)
            self._open += [client, server]
            threading.Thread(target=self._to_client, args=(server, client), daemon=True).start()
            threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()

    def _to_client(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        in_message = False
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if self._breaks_tls and data.startswith(b"\x16\x03"):
                    self.meddled += 1
                    client.sendall(b"this is no handshake\r\n")
                    break
                if self._cut and in_message:
                    self.meddled += 1
                    server.sendall(data[: self._cut])
                    break
                in_message = b"DATA\r\n" in data
                server.sendall(data)
            for link in (client, server):
                link.shutdown(socket.SHUT_RDWR)


# ------------------------------------------------------------------------- inside


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that the peers' users can get into; pytest's own are for root alone."""
    with tempfile.TemporaryDirectory(prefix="mtad-peer-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def _unpacked(name: str) -> str:
    """A program that ``.ci/peers`` unpacked; skips the test where it did not."""
    path = UNPACKED / name
    if not path.exists():
        pytest.skip(f"no {path}; .ci/peers puts it there")
    return str(path)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else on this machine is here at the same time."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _running(command: list[str], folder: Path, host: str, port: int) -> Iterator[Path]:
    """A program in the foreground, once it listens; its output's file."""
    output = folder / "output"
    with output.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        until(lambda: _listens(host, port) or process.poll() is not None, 30, command[0])
        assert process.poll() is None, output.read_text()
        yield output
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


def _listens(host: str, port: int) -> bool:
    """Whether something takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False
