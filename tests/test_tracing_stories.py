"""Ten stories told from outside to a whole server: 'mtad why' says what became of each message."""

import asyncio
import contextlib
import json
import queue
import re
import shlex
import smtplib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mtad.config import load
from mtad.store.client import Boxes
from tests.scripted_smtp import remote
from tests.server import Server, until
from tests.test_house_reload import write
from tracing import ids

ANNA = "anna@example.org"
BORIS = "boris@far.example"
PHONE = "imap K-9 Mail 6.8 from 192.0.2.44"
FORWARDS = {
    "gone@example.org": "nobody@refusing.test",
    "slow@example.org": "a@slow.test",
    "held@example.org": "a@held.test",
    "moved@example.org": "b@held.test",
    "late@example.org": "a@fast.test",
}
_QUEUED = re.compile(rb"queued as (\w{13})")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("stories") / "site")
    write(
        server.config,
        ("queue.retry_minutes", "[0.01]"),
        ("queue.give_up_after_hours", "0.0003"),
        ("queue.hold", '["to:@held.test"]'),
        ("smtp.max_message_bytes", "65536"),
    )
    with server.changes() as changes:
        for box in (ANNA, *FORWARDS):
            changes.add_box(box, "a password of the test")
        for box, target in FORWARDS.items():
            changes.set_forward(box, [target], keep=False)
    server.mtad("transport", "set", "slow.test", "error", "4.4.1", "Connection refused")
    server.mtad("transport", "set", "fast.test", "command", "--", "/bin/cat")
    server.mtad("transport", "set", "held.test", "command", "--", "/bin/cat")
    with server, refusing() as port:
        server.mtad("transport", "set", "refusing.test", "relay", f"127.0.0.1:{port}")
        server.start()
        yield server
        server.stop()
        server.mtad("audit")


def send(server: Server, to: str, subject: str, text: str = "Hello\r\n") -> str:
    """Send a message; its id."""
    head = f"From: {BORIS}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@far.example>"
    with smtplib.SMTP(*server.smtp) as client:
        client.ehlo("mx.far.example")
        client.mail(BORIS)
        assert client.rcpt(to)[0] == 250
        code, said = client.data(f"{head}\r\n\r\n{text}")
    assert code == 250
    found = _QUEUED.search(said)
    assert found is not None
    server.settle()
    return found[1].decode()


@contextlib.contextmanager
def refusing() -> Iterator[int]:
    """A server elsewhere that knows nobody; the port it is on."""
    loop = asyncio.new_event_loop()
    port, stop = queue.SimpleQueue[int](), asyncio.Event()

    async def serve() -> None:
        async with remote({"rcpt": "550 5.1.1 User unknown"}) as there:
            port.put(there.port)
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        yield port.get(timeout=20)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


Told = dict[str, Any]


def why(server: Server, query: str, language: str = "en") -> Told:
    """The one verdict on the one message that is found."""
    said = json.loads(server.mtad("why", query, "--lang", language, "--json").stdout)
    (message,) = said["messages"]
    (verdict,) = message["verdicts"]
    found: Told = verdict
    return found


def both(server: Server, query: str) -> tuple[Told, Told]:
    """The verdict in both languages: the same but for its words."""
    english, russian = why(server, query), why(server, query, "ru")
    for name in ("verdict", "cause", "recipient", "n"):
        assert english[name] == russian[name]
    assert re.search("[а-я]", russian["sentence"])
    assert not re.search("[а-яё]", english["sentence"])
    assert len(english["actions"]) == len(russian["actions"])
    return english, russian


def becomes(server: Server, query: str, verdict: str) -> None:
    """Wait until a message is found and judged so: what the log notes may lag a little."""

    def reached() -> bool:
        server.settle()
        done = server.mtad("why", query, "--json", code=None)
        return f'"verdict": "{verdict}"' in done.stdout

    until(reached, 60, f"{query} to be {verdict}")


def delete(server: Server, m: str) -> None:
    """As a second program of the user's does it."""
    server.settle()
    with Boxes(load(server.config)) as boxes:
        (uid,) = [one.uid for one in boxes.list(ANNA, "INBOX").messages if ids.text(one.m) == m]
        boxes.expunge(ANNA, "INBOX", [uid], actor=f"user:{ANNA}", client=PHONE)
    server.settle()


def test_a_forward_whose_target_refuses(server: Server) -> None:
    m = send(server, "gone@example.org", "forward")
    becomes(server, m, "FORWARD_FAILED")
    english, russian = both(server, m)
    assert english["sentence"].startswith(
        "gone@example.org passes its mail on to nobody@refusing.test, and there it was not"
    )
    assert english["cause"] == "remote.no_such_user"
    assert "mtad box show gone@example.org" in " ".join(english["actions"])
    assert "пересылает почту на nobody@refusing.test" in russian["sentence"]
    assert any("User unknown" in line for line in english["evidence"])


def test_deleted_by_another_program_and_put_back(server: Server) -> None:
    m = send(server, ANNA, "deleted")
    server.mtad("snapshot", "create")
    delete(server, m)
    english, russian = both(server, m)
    assert english["verdict"] == "DELETED"
    assert (
        f"user {ANNA} (imap K-9 Mail 6.8, from 192.0.2.44) deleted it from INBOX on 2"
        in (english["sentence"])
    )
    assert (
        f"пользователь {ANNA} (imap K-9 Mail 6.8, с адреса 192.0.2.44) удалил"
        in (russian["sentence"])
    )
    (action,) = english["actions"]
    program, *words = shlex.split(action.removeprefix("put it back: "))
    assert program == "mtad"
    assert russian["actions"] == [action.replace("put it back", "вернуть")]
    server.mtad("snapshot", "create")  # a later one has it no more, the command names the one
    server.mtad(*words, "--yes")
    server.settle()
    english, russian = both(server, m)
    assert english["verdict"] == "RESTORED"
    assert (
        f"from snapshot {words[words.index('--snapshot') + 1]}; it lies in INBOX."
        in (english["sentence"])
    )
    assert "вернул его из снимка" in russian["sentence"]
    delete(server, m)
    assert why(server, m)["verdict"] == "DELETED"


def test_deleted_before_any_snapshot(server: Server) -> None:
    m = send(server, ANNA, "fleeting")
    delete(server, m)
    english, _ = both(server, m)
    assert english["verdict"] == "DELETED"
    assert english["sentence"].endswith("No snapshot has it: it came and went between two.")
    (action,) = english["actions"]
    place = action.rpartition(" ")[2]
    (content,) = server.places.data.glob(place)
    assert b"fleeting" in content.read_bytes()


def test_given_up(server: Server) -> None:
    m = send(server, "slow@example.org", "expired")
    becomes(server, m, "FORWARD_FAILED")
    english, _ = both(server, m)
    assert english["cause"] == "here.route"
    assert any("given up" in line for line in english["evidence"])
    assert any("Connection refused" in line for line in english["evidence"])


def test_wrong_by_one_letter(server: Server) -> None:
    send(server, ANNA, "right")
    with smtplib.SMTP(*server.smtp) as client:
        client.ehlo("mx.far.example")
        client.mail("vera@far.example")
        assert client.rcpt("ana@example.org")[0] == 550
    becomes(server, "from:vera@far.example", "REJECTED")
    english, russian = both(server, "from:vera@far.example to:ana@example.org")
    assert english["cause"] == "ours.unknown_box"
    assert "there is no box or alias ana@example.org here" in english["sentence"]
    assert "здесь нет ящика" in russian["sentence"]
    for language, says in (("en", "this was not taken"), ("ru", "не было принято")):
        asked = ("why", "from:vera@far.example", f"to:{ANNA}", "--lang", language)
        done = server.mtad(*asked, code=4)
        (first, *_) = done.stdout.splitlines()
        assert says in first
        assert "-> ana@example.org" in first
        assert server.mtad("why", first.split()[-1]).stdout
        done = server.mtad("why", "to:anma@example.org", "--lang", language, code=4)
        assert "ana@example.org" in done.stdout
        assert done.stderr


def test_refused_for_its_size(server: Server) -> None:
    with smtplib.SMTP(*server.smtp) as client:
        client.ehlo("mx.far.example")
        code, _ = client.mail("large@far.example", ["SIZE=10000000"])
    assert code == 552
    becomes(server, "from:large@far.example", "REJECTED")
    english, russian = both(server, "from:large@far.example")
    assert english["cause"] == "ours.too_large"
    assert "larger than we take" in english["sentence"]
    assert "больше, чем мы принимаем" in russian["sentence"]
    assert "smtp.max_message_bytes" in english["actions"][0]


def test_a_client_that_hung_up(server: Server) -> None:
    with smtplib.SMTP(*server.smtp) as client:
        client.ehlo("mx.far.example")
        client.mail("hasty@far.example")
        client.rcpt(ANNA)
        assert client.docmd("DATA")[0] == 354
        client.send(b"Subject: half a mess")
        client.close()
    becomes(server, "from:hasty@far.example", "ABORTED")
    english, russian = both(server, "from:hasty@far.example")
    assert (
        "ended the transaction at data before the message was ours (lost)" in (english["sentence"])
    )
    assert "не было принято" in russian["sentence"]
    assert "should send it again" in english["actions"][0]


def test_held_and_released(server: Server) -> None:
    m = send(server, "held@example.org", "held")
    english, russian = both(server, m)
    assert english["verdict"] == "HELD"
    assert "to:@held.test" in english["sentence"]
    assert f"mtad queue release {m}" in english["actions"][0]
    server.mtad(*shlex.split(english["actions"][0].partition("mtad ")[2]), "--yes")
    becomes(server, m, "REMOTE_ACCEPTED")
    english, russian = both(server, m)
    assert "It was held before; administrator " in english["sentence"]
    assert "До этого оно было задержано; администратор " in russian["sentence"]


def test_redirected(server: Server) -> None:
    m = send(server, "moved@example.org", "redirected")
    server.mtad("queue", "redirect", m, "--to", "c@fast.test", "--yes")
    becomes(server, m, "REMOTE_ACCEPTED")
    english, russian = both(server, m)
    assert english["recipient"] == "c@fast.test"
    assert "redirected it from b@held.test on 2" in english["sentence"]
    assert "перенаправил его с b@held.test" in russian["sentence"]


def test_taken_and_returned_later(server: Server) -> None:
    m = send(server, "late@example.org", "later")
    becomes(server, m, "REMOTE_ACCEPTED")
    report = "\r\n".join(
        [
            "Content-Type: multipart/report; report-type=delivery-status; boundary=x",
            "MIME-Version: 1.0",
            "",
            "--x",
            "Content-Type: text/plain",
            "",
            "Sorry.",
            "--x",
            "Content-Type: message/delivery-status",
            "",
            "Reporting-MTA: dns; mx.fast.test",
            f"Original-Envelope-Id: {m}",
            "",
            "Final-Recipient: rfc822; a@fast.test",
            "Action: failed",
            "Status: 5.2.2",
            "Diagnostic-Code: smtp; 552 5.2.2 Mailbox full",
            "--x--",
            "",
        ]
    )
    with smtplib.SMTP(*server.smtp) as client:
        client.ehlo("mx.fast.test")
        client.mail("")
        assert client.rcpt(ANNA)[0] == 250
        code, _ = client.data(f"From: MAILER-DAEMON@fast.test\r\nSubject: failed\r\n{report}")
        assert code == 250
    becomes(server, m, "REMOTE_LOST")
    english, russian = both(server, m)
    assert english["cause"] == "remote.full"
    assert "mx.fast.test says that it was not delivered: the box" in english["sentence"]
    assert "mx.fast.test" in russian["sentence"]
