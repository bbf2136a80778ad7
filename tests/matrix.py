"""What the matrix of remote servers is made with: a sending server, its mail, what stands between.

Commands run in this process, through the same table as ``mtad`` itself, since a process each
would take most of the time.
"""

import contextlib
import email
import io
import json
import re
import select
import shutil
import smtplib
import socket
import socketserver
import ssl
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from email.message import Message
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mtad import cli
from mtad.reports.read import read
from mtad.reports.status_fields import Told
from tests.authority import self_signed
from tests.peers import Nsd, Peer, program
from tests.server import Server, until
from tests.test_house_reload import hang_up, write
from tracing.states import BY_WORD

YOU = "you@example.org"
Document = dict[str, Any]


class Outward(Server):
    """A server that sends by the zone of the tests; its only box is YOU's."""

    def __init__(self, folder: Path, nsd: Nsd, port: int, *settings: tuple[str, str]) -> None:
        super().__init__(folder, YOU)
        ours = {
            "dns.nameservers": '["127.0.0.1"]',
            "dns.port": str(nsd.port),
            "outbound.port": str(port),
        }
        write(self.config, *(ours | dict(settings)).items())

    def change(self, *settings: tuple[str, str]) -> None:
        """Give settings other values while it runs."""
        write(self.config, *settings)
        assert "settings read again" in hang_up(self)

    def run(self, *words: str, code: int = 0) -> str:
        """What a command prints; its exit status must be ``code``."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            cli.main(["--config", str(self.config), *words])
        assert ended.value.code == code, (words, out.getvalue(), err.getvalue())
        return out.getvalue()

    def document(self, *words: str, code: int = 0) -> Document:
        """The same as JSON."""
        found: Document = json.loads(self.run(*words, "--json", code=code))
        assert found["schema"] == 1
        return found

    @contextlib.contextmanager
    def submission(self) -> Iterator["Submission"]:
        """YOU's mail program, logged in on port 465."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        port = int(self.made["submissions"])
        with smtplib.SMTP_SSL("127.0.0.1", port, timeout=30, context=context) as link:
            link.login(YOU, self.made["password"])
            yield Submission(link)

    def timeline(self, message: str) -> Document:
        """``mtad trace ID``."""
        return self.document("trace", message)

    def until_tried(self, messages: Sequence[str], *, is_over: bool = False) -> None:
        """Wait until every recipient was tried, or until nobody waits any more."""

        def is_done(message: str) -> bool:
            return all(
                not BY_WORD[one["state"]].is_open or (one["tries"] and not is_over)
                for one in self.timeline(message)["message"]["recipient_list"]
            )

        for message in messages:
            until(partial(is_done, message), what=f"{message}: an attempt")

    def verdicts(self, message: str) -> Mapping[str, Document]:
        """``mtad why ID`` by recipient."""
        (found,) = self.document("why", message, "--lang", "en")["messages"]
        return {one["recipient"]: one for one in found["verdicts"]}

    def inbox(self) -> Sequence[bytes]:
        """What YOU got."""
        self.settle()
        folder = self.places.boxes / "example.org" / "you" / "Maildir"
        return [path.read_bytes() for path in sorted(folder.glob("new/*"))]


class Submission:
    """A connection that takes YOU's mail."""

    def __init__(self, link: smtplib.SMTP) -> None:
        self._link = link

    def send(self, recipients: Sequence[str], message: bytes) -> str:
        """Hand a message in for all of them; its id."""
        # The standard library writes UTF-8 only where it says SMTPUTF8.
        options = [] if "".join(recipients).isascii() else ["SMTPUTF8", "BODY=8BITMIME"]
        code, said = self._link.mail(YOU, options)
        assert code == 250, said
        for recipient in recipients:
            code, said = self._link.rcpt(recipient)
            assert code == 250, said
        code, said = self._link.data(message.replace(b"\n", b"\r\n"))
        assert code == 250, said
        return said.decode().split()[-1]


BODY = "Привет\n.\n..\nFrom here on\n".encode()
"""What must arrive as it is."""


def letter(message_id: str, *fields: str) -> bytes:
    """A message of YOU's, perhaps with further header fields."""
    head = (
        f"From: {YOU}",
        "Subject: matrix",
        f"Message-ID: {message_id}",
        *fields,
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
    )
    return "\n".join(head).encode() + b"\n\n" + BODY


# ----------------------------------------------------------------------- what is looked at


def states(document: Document) -> Mapping[str, str]:
    """The recipients of a timeline with their states."""
    return {one["address"]: one["state"] for one in document["message"]["recipient_list"]}


def events(document: Document, kind: str, address: str = "") -> Sequence[Document]:
    """The fields of a timeline's events of a kind, about one recipient if one is given.

    JSON leaves defaults out: here what is not there is empty.
    """
    return [
        defaultdict(str, one["fields"])
        for one in document["events"]
        if one["kind"] == kind and address in ("", one["fields"].get("addr"))
    ]


def bounce(octets: bytes) -> tuple[str, Mapping[str, Told]]:
    """The original's Message-ID in a report, and what it says of whom.

    Our own reader and the standard library's must find the same in it.
    """
    found = read(octets)
    assert found is not None
    assert found.kind == "dsn"
    report = email.message_from_bytes(octets)
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert report["Return-Path"] == "<>"
    assert report["Auto-Submitted"] == "auto-replied"
    assert report["To"] == f"<{YOU}>"
    words, status, returned = _parts(report)
    assert words.get_content_type() == "text/plain"
    assert status.get_content_type() == "message/delivery-status"
    assert returned.get_content_type() == "message/rfc822"
    assert _parts(returned)[0]["Message-ID"] == found.message_id == report["In-Reply-To"]
    about, *groups = _parts(status)
    assert about["Reporting-MTA"] == f"dns; {found.reporter}"
    assert [_told(group) for group in groups] == list(found.recipients)
    prose = " ".join(str(words.get_payload()).split())
    for one in found.recipients:
        assert f"<{one.final}>" in prose
        assert one.diagnostic in prose
    return found.message_id, {one.final: one for one in found.recipients}


def _parts(message: Message) -> Sequence[Message]:
    parts = message.get_payload()
    assert isinstance(parts, list)
    return [part for part in parts if isinstance(part, Message)]


def _told(group: Message) -> Told:
    def value(name: str) -> str:
        return " ".join(group.get(name, "").split())

    def untyped(name: str) -> str:
        return value(name).partition("; ")[2]

    return Told(
        untyped("Final-Recipient"),
        untyped("Original-Recipient"),
        value("Action"),
        value("Status"),
        untyped("Diagnostic-Code"),
        untyped("Remote-MTA"),
    )


def copies(peer: Peer, token: str) -> Mapping[tuple[str, str], Sequence[bytes]]:
    """Bodies by Message-ID and recipient of what a peer delivered; only ids with the token."""
    found: dict[tuple[str, str], list[bytes]] = {}
    for octets in peer.messages():
        message = email.message_from_bytes(octets)
        to = message["Delivered-To"] or message["Envelope-To"]
        if token in message["Message-ID"]:
            body = octets.partition(b"\n\n")[2]
            found.setdefault((message["Message-ID"], to.strip("<>")), []).append(body)
    return found


# -------------------------------------------------------------------------- in between


class Front(socketserver.ThreadingTCPServer):
    """Does STARTTLS for the server behind it, and breaks off in the midst of some messages.

    What has ``X-Cut: yes`` in its header is passed on in part and the connection is cut, the
    first time that it comes: a second attempt goes through. ``cut`` has their Message-IDs.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int, to: str, folder: Path) -> None:
        self.to = (to, port)
        self.tls = self_signed(f"front.{to}").context(folder)
        self.cut: list[bytes] = []
        super().__init__((host, port), _Fronted)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join(10)
        self.server_close()


class _Fronted(socketserver.BaseRequestHandler):
    """One connection through a Front; lock-step until STARTTLS, then octets both ways."""

    server: Front
    request: socket.socket

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            with socket.create_connection(self.server.to, 10) as behind:
                replies = behind.makefile("rb")
                self._reply(replies)
                while (line := _line(self.request)).upper() != b"STARTTLS\r\n":
                    if not line:
                        return
                    behind.sendall(line)
                    self._reply(replies)
            self.request.sendall(b"220 2.0.0 go ahead\r\n")
            with (
                self.server.tls.wrap_socket(self.request, server_side=True) as client,
                # Another connection: what was said before TLS counts no more.
                socket.create_connection(self.server.to, 10) as behind,
            ):
                _line(behind)
                self._pass(client, behind)

    def _reply(self, replies: Any) -> None:
        """Pass a whole reply on."""
        while line := replies.readline(2048):
            self.request.sendall(line)
            if line[3:4] != b"-":
                return

    def _pass(self, client: ssl.SSLSocket, behind: socket.socket) -> None:
        """Pass everything on; a message is looked at once its header is there."""
        held, in_message = b"", False
        while True:
            ready = [client] if client.pending() else select.select([client, behind], [], [], 30)[0]
            if not ready:
                return
            if behind in ready:
                data = behind.recv(65536)
                if not data:
                    return
                client.sendall(data)
            if client in ready:
                held += client.recv(65536)
                if not held:
                    return
                if in_message and b"\r\n\r\n" not in held:
                    continue
                if in_message and self._is_to_cut(held):
                    behind.sendall(held[: len(held) // 2])
                    return
                in_message = held.endswith(b"DATA\r\n")
                behind.sendall(held)
                held = b""

    def _is_to_cut(self, message: bytes) -> bool:
        header = message.partition(b"\r\n\r\n")[0]
        name = re.search(rb"^Message-ID: (.*)\r$", header, re.MULTILINE)
        if b"\r\nX-Cut: yes" not in header or name is None or name[1] in self.server.cut:
            return False
        self.server.cut.append(name[1])
        return True


def _line(link: socket.socket) -> bytes:
    """A line, octet by octet: what follows may belong to TLS."""
    line = b""
    while not line.endswith(b"\n") and (octet := link.recv(1)):
        line += octet
    return line


@contextlib.contextmanager
def sink(host: str, port: int, folder: Path) -> Iterator[Path]:
    """smtp-sink, which takes everything; a file for each message in the folder."""
    folder.mkdir(mode=0o755)
    shutil.chown(folder, "nobody")
    where = f"[{host}]" if ":" in host else host
    taken = ["-u", "nobody", "-d", "%H%M%S."]
    command = [program("smtp-sink"), *taken, f"{where}:{port}", "20"]
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL)
    try:
        until(lambda: _takes(host, port), what="smtp-sink")
        yield folder
    finally:
        process.terminate()
        process.wait(20)


def _takes(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False
