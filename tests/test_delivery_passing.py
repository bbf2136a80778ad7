"""Mail that is passed on: its reverse-path, the way home of its bounces, and no circles."""

import json
import smtplib
from collections.abc import Iterator

import pytest

from mtad.delivery.passing import Passing
from tests.server import Server

AT = 1_790_000_000_000_000


class Here:
    def is_local(self, domain: str) -> bool:
        return domain == "example.org"


@pytest.fixture
def passing() -> Passing:
    return Passing(Here(), [b"secret"], lambda: AT)


def test_a_strangers_path_is_rewritten_and_leads_home(passing: Passing) -> None:
    path = passing.resend("Bounces+AbC@far.example", "you@example.org")
    assert path is not None
    local, _, domain = path.rpartition("@")
    assert local.startswith("SRS0=")
    assert domain == "example.org"
    assert passing.home(local, domain) == "Bounces+AbC@far.example"
    assert passing.home(local[:-1] + "x", domain) is None


def test_our_own_and_the_null_path_stay(passing: Passing) -> None:
    assert passing.resend("me@example.org", "you@example.org") is None
    assert passing.resend("", "you@example.org") is None


def test_what_cannot_be_rewritten_comes_from_the_postmaster(passing: Passing) -> None:
    long = f"{'a' * 60}@far.example"
    assert passing.resend(long, "you@example.org") == "postmaster@example.org"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("passing") / "server") as made:
        made.mtad("box", "forward", "you@example.org", "me@far.example", "--keep")
        made.start()
        yield made
        made.stop()


def send(server: Server, sender: str, recipient: str, text: str = "Subject: x\n\nhi\n") -> str:
    with smtplib.SMTP(*server.smtp) as client:
        client.ehlo("client.example")
        client.mail(sender)
        code, reply = client.rcpt(recipient)
        if code == 250:
            code, reply = client.data(text)
        return f"{code} {reply.decode()}"


def added(server: Server, reply: str) -> list[dict[str, object]]:
    server.settle()
    told = json.loads(server.mtad("trace", reply.rpartition(" ")[2], "--json").stdout)
    return [e["fields"] | {"kind": e["kind"]} for e in told["events"] if e["kind"] == "queue.add"]


def test_a_forward_keeps_a_copy_and_queues_one(server: Server) -> None:
    reply = send(server, "Anna@friend.example", "you@example.org")
    (one,) = added(server, reply)
    assert one["addr"] == "me@far.example"
    path = str(one["sender"])
    assert path.startswith("SRS0=")
    assert path.endswith("=friend.example=Anna@example.org")
    listed = json.loads(server.mtad("mail", "list", "--box", "you@example.org", "--json").stdout)
    assert listed["messages"]

    assert send(server, "spam@bad.example", path).startswith("550 5.7.1")
    (home,) = added(server, send(server, "", path))
    assert home["addr"] == "Anna@friend.example"
    assert "sender" not in home
    assert send(server, "", path.replace("friend", "freund")).startswith("550 5.1.1")


def test_a_forward_in_a_circle_ends(server: Server) -> None:
    host = server.mtad("config", "show").stdout.split('hostname = "')[1].split('"')[0]
    line = f"Received: from a by {host} (mtad) with ESMTP id 1; Mon, 1 Jan 2024 00:00:00 +0000\n"
    text = "Subject: x\n\nhi\n"
    assert send(server, "a@far.example", "you@example.org", line * 3 + text).startswith("250")
    assert send(server, "a@far.example", "you@example.org", line * 4 + text).startswith("554 5.4.6")
