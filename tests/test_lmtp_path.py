"""LMTP on a whole server: by its unix socket, from Postfix, with a fate for each recipient."""

import json
import smtplib
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest

from mtad.smtp.checks.content import MAX_OWN_HOPS
from tests import peers
from tests.server import Server, until
from tests.test_house_reload import write
from tests.test_whole_path import files

YOU, BOB, AWAY = "you@example.org", "bob@example.org", "away@example.org"


@pytest.fixture
def door() -> Iterator[Path]:
    with peers.open_folder() as folder:
        yield folder / "lmtp"


@pytest.fixture
def server(tmp_path: Path, door: Path) -> Iterator[Server]:
    with Server(tmp_path / "site", YOU) as made:
        write(made.config, ("listen.lmtp", f'["{door}"]'))
        with made.changes() as changes:
            changes.add_box(BOB, "a password")
            changes.add_box(AWAY, "a password")
        made.mtad("box", "forward", AWAY, "elsewhere@remote.test")
        made.start()
        yield made


def stored(server: Server) -> dict[str, list[bytes]]:
    server.settle()
    found: dict[str, list[bytes]] = {}
    for box, _, path in files(server.places.boxes):
        found.setdefault(box, []).append(path.read_bytes())
    return found


def deliver(
    link: smtplib.LMTP, recipients: list[str], message: str
) -> tuple[list[int], list[int], str]:
    """Replies to RCPT, replies to the message, and the first one's text."""
    link.ehlo_or_helo_if_needed()
    assert link.mail("a@x.test")[0] == 250
    taken = [link.rcpt(one)[0] for one in recipients]
    code, said = link.data(message)
    return taken, [code, *(link.getreply()[0] for _ in range(taken.count(250) - 1))], said.decode()


def test_each_recipient_has_its_own_fate(server: Server, door: Path) -> None:
    own = f"Received: from x by {server.made['hostname']} (mtad) with LMTP id 1\r\n" * MAX_OWN_HOPS
    with smtplib.LMTP(str(door)) as link:
        taken, codes, _ = deliver(link, [YOU, "nobody@example.org", BOB], "x: y\r\n\r\nHi\r\n")
        assert (taken, codes) == ([250, 550, 250], [250, 250])
        message = f"{own}Subject: round\r\n\r\nHi\r\n"
        taken, codes, said = deliver(link, [YOU, AWAY, BOB], message)
        assert (taken, codes) == ([250, 250, 250], [250, 554, 250])
    assert {box: len(all_) for box, all_ in stored(server).items()} == {YOU: 2, BOB: 2}
    told = json.loads(server.mtad("trace", said.rpartition(" ")[2], "--json").stdout)
    states = {one["address"]: one["state"] for one in told["message"]["recipient_list"]}
    assert states == {YOU: "delivered", AWAY: "refused", BOB: "delivered"}
    server.stop()
    assert not door.exists()
    server.start()
    with smtplib.LMTP(str(door)) as link:
        assert deliver(link, [YOU], "x: y\r\n\r\nHi\r\n")[:2] == ([250], [250])
    server.stop()
    server.mtad("audit")


@pytest.mark.interop
def test_postfix_in_front(server: Server, door: Path) -> None:
    """What Postfix takes lies in our boxes; what we refuse comes back as its bounce."""
    more = f"virtual_mailbox_domains = example.org\nvirtual_transport = lmtp:unix:{door}\n"
    port = peers.free_port(peers.TAKES_MAIL["postfix"])
    with peers.postfix(port, more) as postfix:
        with smtplib.SMTP(postfix.host, postfix.port) as link:
            for number in range(3):
                said = f"From: {BOB}\r\nSubject: front {number}\r\n\r\n.dot\r\n" + "line\r\n" * 5000
                assert link.sendmail(BOB, [YOU, BOB], said) == {}
            assert link.sendmail(BOB, [YOU, "nobody@example.org"], "Subject: last\r\n\r\n") == {}
        until(lambda: [len(stored(server).get(one, "")) for one in (YOU, BOB)] == [4, 4])
        assert " status=sent (250 2.0.0 queued as " in postfix.log.read_text()
    found = stored(server)
    for box in (YOU, BOB):
        mails = {message_from_bytes(one)["Subject"]: one for one in found[box]}
        assert {f"front {number}" for number in range(3)} <= set(mails)
        one = mails["front 0"]
        assert one.startswith(f"Return-Path: <{BOB}>\nReceived: from mx.postfix.test\n".encode())
        assert b" with LMTP id " in one
        assert one.endswith(b"\n\n.dot\n" + b"line\n" * 5000)
    bounce = next(one for one in found[BOB] if one.startswith(b"Return-Path: <>\n"))
    assert b"550 5.1.1 no box <nobody@example.org> here" in bounce
    server.stop()
    server.mtad("audit")
