"""Submission on a whole server: logged in, signed, stored, told in the log, counted for ever."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import Server
from tests.submission import smtplib_link
from tests.test_house_reload import write
from tests.test_mailauth_dkim import verdicts
from tests.test_mailauth_keys import dns
from tests.test_whole_path import files

YOU = "you@example.org"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "site") as made:
        write(made.config, ("submission.max_messages_per_hour", "2"))
        made.start()
        yield made


def submit(server: Server, port: str) -> tuple[int, bytes]:
    """Log in and send a message to ourselves; the reply to MAIL, or to the message's end."""
    with smtplib_link(int(server.made[port]), secure=port == "submissions") as link:
        link.login(YOU, server.made["password"])
        code, said = link.mail(YOU)
        if code != 250:
            return code, said
        assert link.rcpt("postmaster@example.org")[0] == 250
        return link.data(f"From: {YOU}\r\nSubject: {port}\r\n\r\nHi\r\n")


def test_submission_on_a_whole_server(server: Server) -> None:
    replies = [submit(server, port) for port in ("submission", "submissions")]
    assert [code for code, _ in replies] == [250, 250]
    server.settle()
    queued = replies[0][1].decode().rpartition(" ")[2]
    told = json.loads(server.mtad("trace", queued, "--json").stdout)
    assert told["message"]["direction"] == "submitted"
    kinds = [event["kind"] for event in told["events"]]
    assert kinds[:5] == ["conn.open", "smtp.ehlo", "tls.ok", "smtp.ehlo", "auth.ok"]
    assert "check.result" in kinds
    assert f"{YOU} logged in by " in server.mtad("trace", queued).stdout
    shown = json.loads(server.mtad("dkim", "show", "example.org", "--json").stdout)["dns"]
    stored = [path.read_bytes() for _, _, path in files(server.places.boxes)]
    assert len(stored) == 2
    for message in stored:
        assert b" with ESMTPSA id " in message
        found = verdicts(message, dns(shown), int(time.time()))
        assert [one.status for one in found] == ["pass", "pass"]
    assert submit(server, "submission")[0] == 450
    server.stop()
    server.start()
    code, said = submit(server, "submissions")
    assert (code, said[:5]) == (450, b"4.7.1"), "a restart forgets nothing"
    server.stop()
    server.mtad("audit")
