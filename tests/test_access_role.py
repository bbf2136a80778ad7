"""The access role from outside: a whole server, its mail clients, and what fails around them."""

import asyncio
import imaplib
import os
import poplib
import signal
import smtplib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtad import config
from mtad.control import ask
from mtad.setup import files as setup_files
from mtad.setup.doctor import running
from tests.server import Server, until

YOU = "you@example.org"
MAIL = b"Subject: hello\r\nMessage-ID: <%d@example.com>\r\n\r\nhello\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("access") / "server", YOU) as server:
        server.start()
        yield server
        server.stop()


def pop3(server: Server) -> poplib.POP3:
    client = poplib.POP3("127.0.0.1", int(server.made["pop3"]), timeout=20)
    client.user(YOU)
    client.pass_(server.made["password"])
    return client


def send(server: Server, number: int) -> None:
    with smtplib.SMTP(*server.smtp, timeout=20) as client:
        client.sendmail("a@example.com", [YOU], MAIL % number)


def count(server: Server) -> int:
    client = pop3(server)
    try:
        return client.stat()[0]
    finally:
        client.quit()


def pid_of(server: Server, role: str) -> int:
    """The process that has a role's control socket."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(os.fspath(server.places.socket(role)))
        credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], "little")


def test_mail_is_fetched_and_the_trace_goes_on(server: Server) -> None:
    send(server, 1)
    server.settle()
    client = pop3(server)
    assert b"hello" in client.retr(client.stat()[0])[1]
    client.dele(client.stat()[0])
    client.quit()
    until(lambda: "pop3.retr" in server.mtad("trace", "<1@example.com>").stdout, 20)
    told = server.mtad("trace", "<1@example.com>").stdout
    assert "box.expunge" in told
    assert f"by user:{YOU}" in told
    log = server.mtad("auth", "log", YOU).stdout
    assert "logged in by PLAIN" in log
    assert server.mtad("auth", "log", "nobody@example.org").stdout == ""
    assert '"kind": "auth.ok"' in server.mtad("auth", "log", "--json").stdout


def test_mail_is_taken_while_access_is_down(server: Server) -> None:
    before = count(server)
    victim = pid_of(server, "access")
    os.kill(victim, signal.SIGSTOP)
    try:
        send(server, 2)
    finally:
        os.kill(victim, signal.SIGKILL)
    send(server, 3)
    until(server.ready, 30, "access to be there again")
    server.settle()
    assert count(server) == before + 2


def test_a_stopped_log_blocks_nobody(server: Server) -> None:
    send(server, 4)
    server.settle()
    victim = pid_of(server, "log")
    os.kill(victim, signal.SIGSTOP)
    try:
        client = pop3(server)
        client.retr(client.stat()[0])
        client.dele(client.stat()[0])
        client.quit()
        imap = imaplib.IMAP4("127.0.0.1", int(server.made["imap"]), timeout=20)
        imap.login(YOU, server.made["password"])
        assert imap.select()[0] == "OK"
        imap.logout()
    finally:
        os.kill(victim, signal.SIGCONT)
    server.settle()


def test_a_certificate_is_read_again(server: Server) -> None:
    def serial(port: str) -> str:
        address = ("127.0.0.1", int(server.made[port]))
        return ssl.get_server_certificate(address, timeout=20)

    before = serial("pop3s")
    assert before == serial("imaps")
    certificate, key = setup_files.certificate("mail.example.org", local=True)
    folder = server.config.parent / "tls"
    (folder / "certificate.pem").write_bytes(certificate)
    (folder / "key.pem").write_bytes(key)
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    until(lambda: serial("pop3s") != before, 20, "another certificate")
    assert serial("pop3s") == serial("imaps")


def test_sessions_from_the_command_line(server: Server) -> None:
    client = pop3(server)
    listed = server.mtad("auth", "sessions").stdout
    assert f"{YOU}  pop3 from 127.0.0.1  since " in listed
    assert "1 session of" in server.mtad("auth", "kick", YOU).stdout
    with pytest.raises(poplib.error_proto, match="your session was ended"):
        client.noop()
    client.close()
    until(lambda: YOU not in server.mtad("auth").stdout, 20, "the session to end")
    assert "no session of" in server.mtad("auth", "kick", YOU, code=4).stderr
    status = ask(server.places.socket("access"), "status")
    assert status["tls"]


def test_the_roles_say_where_they_listen(server: Server) -> None:
    checks = list(asyncio.run(running.ports(config.load(server.config))))
    assert len(checks) == 7
    assert {check.measured for check in checks} == {"this server listens"}


def test_a_stop_says_goodbye(tmp_path: Path) -> None:
    with Server(tmp_path / "server", YOU) as server:
        server.start()
        client = pop3(server)
        imap = imaplib.IMAP4("127.0.0.1", int(server.made["imap"]), timeout=20)
        imap.login(YOU, server.made["password"])
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 15
        with pytest.raises(poplib.error_proto, match="shutting down"):
            client.noop()
        with pytest.raises(imaplib.IMAP4.abort):
            imap.noop()
        client.close()
        imap.shutdown()
