"""Mail that is passed on: its reverse-path, the way home of its bounces, and no circles."""

import json
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtad.delivery.passing import Passing
from tests.dialog import Book, book
from tests.server import Server
from tracing import ids, months

AT = 1_790_000_000_000_000


M = ids.lowest(AT)
LONG = f"Bounce+{'Ab' * 25}@far.example"
"""What SRS cannot hold, as senders of lists have it."""


@pytest.fixture
def passing(tmp_path: Path) -> Passing:
    return Passing(Book({"local.test"}, book().entries), [b"secret"], tmp_path, lambda: AT)


async def home(passing: Passing, path: str) -> list[str]:
    local, _, domain = path.rpartition("@")
    return [target.box for target in await passing.home(local, domain)]


async def test_a_strangers_path_is_rewritten_and_leads_home(passing: Passing) -> None:
    path = passing.resend("Bounces+AbC@far.example", "alice@local.test", M, 1)
    assert path is not None
    assert path.startswith("SRS0=")
    assert path.endswith("@local.test")
    assert await home(passing, path) == ["Bounces+AbC@far.example"]
    assert await home(passing, path.replace("Bounces", "bouncer")) == []


def test_our_own_and_the_null_path_stay(passing: Passing) -> None:
    assert passing.resend("me@local.test", "alice@local.test", M, 1) is None
    assert passing.resend("", "alice@local.test", M, 1) is None


@pytest.mark.parametrize("sender", [LONG, '"a b"@far.example', "a@[192.0.2.1]"])
async def test_what_cannot_be_rewritten_has_a_token(passing: Passing, sender: str) -> None:
    path = passing.resend(sender, "alice@local.test", M, 3)
    assert path is not None
    assert path.startswith(f"bounce={ids.text(M)}=3=")
    assert await home(passing, path.replace("=3=", "=4=")) == []
    # Of this message nothing is known.
    assert await home(passing, path) == ["alice@local.test"]


async def test_a_log_that_cannot_be_read_loses_no_bounce(
    passing: Passing, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    months.path(tmp_path, ids.month(M)).write_bytes(b"not a database" * 100)
    path = passing.resend(LONG, "alice@local.test", M, 1)
    assert path is not None
    assert await home(passing, path) == ["alice@local.test"]
    assert "is not known" in caplog.text


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


def test_a_bounce_to_a_token_goes_home_and_is_tied(server: Server) -> None:
    (one,) = added(server, send(server, LONG, "you@example.org"))
    path = str(one["sender"])
    assert path.startswith("bounce=")
    assert send(server, "spam@bad.example", path).startswith("550 5.7.1")
    words = "From: MAILER-DAEMON@far.example\nSubject: failure notice\n\n"
    words += "Your message could not be delivered.\n<x@else.example>: 550 5.1.1 user unknown\n"
    (back,) = added(server, send(server, "", path, words))
    assert back["addr"] == LONG
    server.settle()
    m = path.split("=")[1]
    told = json.loads(server.mtad("trace", m, "--json").stdout)["events"]
    (got,) = [e["fields"] for e in told if e["kind"] == "dsn.got"]
    assert (got["by"], got["n"], got["enh"]) == ("token", one["n"], "5.1.1")
    # The hash is of the message and its recipient.
    assert send(server, "", path.replace("=", "=0", 1)).startswith("550 5.1.1")


def test_a_forward_in_a_circle_ends(server: Server) -> None:
    host = server.mtad("config", "show").stdout.split('hostname = "')[1].split('"')[0]
    line = f"Received: from a by {host} (mtad) with ESMTP id 1; Mon, 1 Jan 2024 00:00:00 +0000\n"
    text = "Subject: x\n\nhi\n"
    assert send(server, "a@far.example", "you@example.org", line * 3 + text).startswith("250")
    assert send(server, "a@far.example", "you@example.org", line * 4 + text).startswith("554 5.4.6")
