"""Delivering to scripted remote servers: every stage, every answer, one connection or many."""

import asyncio
import contextlib
import re
from pathlib import Path
from typing import Any

import pytest

from mtad.directory.transports import Transport
from mtad.outbound.attempt import Mail, Recipient
from mtad.outbound.protocol import UNSURE
from tests.dialog import until
from tests.outbound import MESSAGE, sender
from tests.peers import free_port
from tests.scripted_smtp import DROP, SILENCE, Answer, capabilities, remote

ADDRESS = {("remote.test", "MX"): (), ("remote.test", "A"): ("127.0.0.1",)}
BARE = {"ehlo": capabilities("8BITMIME")}
"""No pipelining."""
QUICK: dict[str, Any] = {
    "command_timeout_seconds": 0.3,
    "data_timeout_seconds": 0.3,
    "dot_timeout_seconds": 0.3,
    "block_timeout_seconds": 0.3,
}


async def test_a_message_goes_out() -> None:
    async with remote() as there, sender(ADDRESS, port=there.port) as us:
        outcome = await us.one()
        assert outcome.kind == "delivered"
        assert outcome.code == 250
        assert outcome.enh == "2.0.0"
        assert outcome.reply == "250 2.0.0 Ok: queued as 4ABCD1234"
        assert outcome.rqid == "4ABCD1234"
        assert (outcome.host, outcome.ip, outcome.port) == ("remote.test", "127.0.0.1", there.port)
        assert outcome.dsn
        assert not outcome.lmtp
        assert outcome.verdict == "clear text: not offered"
        assert there.messages == [
            b"Subject: test\r\nFrom: a@local.test\r\n\r\nHello\r\n..\r\n...dots\r\n"
        ]
        assert there.commands[1] == f"MAIL FROM:<a@local.test> SIZE={len(MESSAGE) + 6}"
        assert [event.kind for event in us.events] == ["out.dns", "out.try", "out.tls"]
        dns, attempt, tls = us.events
        assert str(dns) == "remote.test: remote.test"
        assert {event.trace for event in us.events} == {1}
        assert attempt.cn == tls.cn == outcome.cn  # type: ignore[attr-defined]
        assert str(attempt) == f"connecting to remote.test [127.0.0.1]:{there.port}"


def per_recipient(argument: str) -> str:
    """What the rcpt stage says in most tests."""
    for local, reply in {
        "gone": "550 5.1.1 no such user",
        "later": "450 4.2.0 try later",
        "full": "452 4.2.2 mailbox full",
    }.items():
        if f"<{local}@" in argument:
            return reply
    return "250 2.1.5 ok"


STAGES: list[tuple[dict[str, Answer], str, str, str]] = [
    ({"banner": "421 4.3.2 busy"}, "deferred", "banner", "4.3.2"),
    ({"banner": "554 5.7.1 no"}, "deferred", "banner", "4.7.1"),
    ({"banner": "521 5.3.2 never"}, "failed", "banner", "5.3.2"),
    ({"banner": DROP}, "deferred", "banner", "4.4.2"),
    ({"banner": SILENCE}, "deferred", "banner", "4.4.2"),
    ({"banner": "HTTP/1.1 400 Bad Request"}, "deferred", "banner", "4.4.2"),
    ({"ehlo": "421 4.7.0 no"}, "deferred", "ehlo", "4.7.0"),
    ({"ehlo": DROP}, "deferred", "ehlo", "4.4.2"),
    ({"ehlo": SILENCE}, "deferred", "ehlo", "4.4.2"),
    ({"mail": "450 4.7.1 greylisted"}, "deferred", "mail", "4.7.1"),
    ({"mail": "452 4.3.1 full"}, "deferred", "mail", "4.3.1"),
    ({"mail": "550 5.7.1 no"}, "failed", "mail", "5.7.1"),
    ({"mail": "421 4.7.0 no"}, "deferred", "mail", "4.7.0"),
    ({"mail": DROP}, "deferred", "mail", "4.4.2"),
    ({"mail": SILENCE}, "deferred", "mail", "4.4.2"),
    ({"rcpt": "450 4.2.0 later"}, "deferred", "rcpt", "4.2.0"),
    ({"rcpt": "550 5.1.1 no"}, "failed", "rcpt", "5.1.1"),
    ({"rcpt": "421 4.7.0 no"}, "deferred", "rcpt", "4.7.0"),
    ({"rcpt": DROP}, "deferred", "rcpt", "4.4.2"),
    ({"rcpt": SILENCE}, "deferred", "rcpt", "4.4.2"),
    ({"data": "451 4.3.0 later"}, "deferred", "data", "4.3.0"),
    ({"data": "554 5.6.0 no"}, "failed", "data", "5.6.0"),
    ({"data": "421 4.7.0 no"}, "deferred", "data", "4.7.0"),
    ({"data": DROP}, "deferred", "data", "4.4.2"),
    ({"data": SILENCE}, "deferred", "data", "4.4.2"),
    ({"dot": "452 4.3.1 full"}, "deferred", "dot", "4.3.1"),
    ({"dot": "554 5.7.1 spam"}, "failed", "dot", "5.7.1"),
    ({"dot": "421 4.3.0 no"}, "deferred", "dot", "4.3.0"),
]


@pytest.mark.parametrize("extensions", [{}, BARE], ids=["pipelined", "one by one"])
@pytest.mark.parametrize(
    ("answers", "kind", "stage", "enh"), STAGES, ids=[str(case[0]) for case in STAGES]
)
async def test_every_stage(
    extensions: dict[str, Answer], answers: dict[str, Answer], kind: str, stage: str, enh: str
) -> None:
    async with (
        remote({**extensions, **answers}) as there,
        sender(ADDRESS, port=there.port, **QUICK) as us,
    ):
        outcomes = await us.send("b@remote.test", "c@remote.test")
        assert [(o.kind, o.stage, o.enh) for o in outcomes] == [(kind, stage, enh)] * 2
        said = next(iter(answers.values()))
        spoke = str(said)[:3].isdigit()
        assert [o.reply for o in outcomes] == [said if spoke else ""] * 2
        assert [o.code for o in outcomes] == [int(str(said)[:3]) if spoke else 0] * 2
        assert all(bool(o.why) != bool(o.reply) for o in outcomes)
        assert there.messages == ([] if stage != "dot" else there.messages)
        transcript, *_ = us.all("out.transcript")
        assert transcript.cn == outcomes[0].cn
        assert (f"< {said}" in transcript.lines) is spoke


@pytest.mark.parametrize("answer", [DROP, SILENCE])
async def test_no_answer_after_the_dot_is_told_as_such(answer: str) -> None:
    two = {
        ("remote.test", "MX"): (),
        ("remote.test", "A"): ("127.0.0.1", "127.0.0.1"),
    }
    async with remote({"dot": answer}) as there, sender(two, port=there.port, **QUICK) as us:
        outcome = await us.one()
        assert (outcome.kind, outcome.stage, outcome.enh) == ("deferred", "dot", "4.4.2")
        assert outcome.why.startswith(UNSURE)
        assert len(there.messages) == 1, "another host must not be tried: it would make two"


async def test_some_are_taken() -> None:
    async with remote({"rcpt": per_recipient}) as there, sender(ADDRESS, port=there.port) as us:
        names = ("ok", "gone", "later", "full", "fine")
        outcomes = await us.send(*(f"{name}@remote.test" for name in names))
        assert [(o.n, o.kind, o.stage, o.enh, o.code) for o in outcomes] == [
            (1, "delivered", "", "2.0.0", 250),
            (2, "failed", "rcpt", "5.1.1", 550),
            (3, "deferred", "rcpt", "4.2.0", 450),
            (4, "deferred", "rcpt", "4.2.2", 452),
            (5, "delivered", "", "2.0.0", 250),
        ]
        (transaction,) = there.transactions
        assert len(transaction.rcpt) == 2


async def test_too_many_recipients_go_in_several_transactions() -> None:
    """RFC 5321 4.5.3.1.10: 452 means that the rest goes in another one, at once."""
    accepted = 0

    def at_most_three(argument: str) -> str:
        nonlocal accepted
        accepted += 1
        return "250 2.1.5 ok" if accepted <= 3 else "452 4.5.3 too many recipients"

    def begin(argument: str) -> str:
        nonlocal accepted
        accepted = 0
        return "250 2.1.0 ok"

    answers: dict[str, Answer] = {"rcpt": at_most_three, "mail": begin}
    async with remote(answers) as there, sender(ADDRESS, port=there.port) as us:
        outcomes = await us.send(*(f"b{n}@remote.test" for n in range(8)))
        assert [o.kind for o in outcomes] == ["delivered"] * 8
        assert [len(each.rcpt) for each in there.transactions] == [3, 3, 2]
        assert there.connections == 1


async def test_the_limit_of_recipients_is_kept() -> None:
    async with remote() as there, sender(ADDRESS, port=there.port, max_recipients=3) as us:
        outcomes = await us.send(*(f"b{n}@remote.test" for n in range(7)))
        assert [o.kind for o in outcomes] == ["delivered"] * 7
        assert [len(each.rcpt) for each in there.transactions] == [3, 3, 1]


async def test_the_servers_limits_are_kept() -> None:
    answers = {"ehlo": capabilities("PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=2")}
    async with remote(answers) as there, sender(ADDRESS, port=there.port) as us:
        await us.send(*(f"b{n}@remote.test" for n in range(4)))
        assert [len(each.rcpt) for each in there.transactions] == [2, 2]
        await us.one()
        assert there.connections == 2


async def test_a_lost_connection_keeps_what_was_decided() -> None:
    """The first transaction was taken; the connection breaks in the second."""
    count = 0

    def second_drops(argument: str) -> str:
        nonlocal count
        count += 1
        return "250 2.1.0 ok" if count == 1 else DROP

    async with (
        remote({"mail": second_drops}) as there,
        sender(ADDRESS, port=there.port, max_recipients=1) as us,
    ):
        outcomes = await us.send("b@remote.test", "c@remote.test", "d@remote.test")
        assert [o.kind for o in outcomes] == ["delivered", "deferred", "deferred"]
        assert outcomes[2].why == "the connection ended before its turn"


# ------------------------------------------------------------------------ connections


async def test_a_connection_is_used_again() -> None:
    async with remote() as there, sender(ADDRESS, port=there.port) as us:
        first, second = await us.one(), await us.one("c@remote.test")
        assert there.connections == 1
        assert len(there.messages) == 2
        assert first.cn == second.cn
        assert [event.reused for event in us.all("out.try")] == [0, 1]
        assert first.connect > 0
        assert second.connect == 0
        assert len(us.all("out.dns")) == 1


async def test_a_connection_ends_after_its_messages() -> None:
    async with (
        remote() as there,
        sender(ADDRESS, port=there.port, max_messages_per_connection=2) as us,
    ):
        for _ in range(5):
            assert (await us.one()).kind == "delivered"
        assert there.connections == 3
        assert there.commands.count("QUIT") == 2


async def test_an_idle_connection_says_goodbye() -> None:
    async with remote() as there, sender(ADDRESS, port=there.port, idle_seconds=0.05) as us:
        await us.one()
        await until(lambda: "QUIT" in there.commands)
        assert (await us.one()).kind == "delivered"
        assert there.connections == 2


@pytest.mark.parametrize("answer", [DROP, "421 4.4.2 idle too long"])
async def test_a_kept_connection_that_ended_costs_nothing(answer: str) -> None:
    """The server closed it while nobody used it: the message goes over a new one."""
    async with remote() as there, sender(ADDRESS, port=there.port) as us:
        await us.one()
        there.answers["mail"] = lambda argument: answer if there.connections == 1 else "250 ok"
        outcome = await us.one()
        assert outcome.kind == "delivered"
        assert there.connections == 2
        assert len(there.messages) == 2
        assert us.all("out.transcript") == []


async def test_a_session_with_trouble_is_followed_by_a_clean_transaction() -> None:
    async with remote({"rcpt": per_recipient}) as there, sender(ADDRESS, port=there.port) as us:
        assert (await us.one("gone@remote.test")).kind == "failed"
        assert (await us.one("b@remote.test")).kind == "delivered"
        assert there.connections == 1
        assert "RSET" in there.commands
        (transcript,) = us.all("out.transcript")
        assert "< 550 5.1.1 no such user" in transcript.lines
        assert "< 220 remote.test ESMTP" in transcript.lines
        assert not any("Hello" in line for line in transcript.lines)


async def test_many_at_a_time() -> None:
    async with remote() as there, sender(ADDRESS, port=there.port) as us:
        assert us.courier.room("remote.test") == 5
        sent = [us.one(f"b{n}@remote.test") for n in range(5)]
        running = asyncio.gather(*sent)
        await asyncio.sleep(0)
        assert us.courier.room("remote.test") == 0
        outcomes = await running
        assert {o.kind for o in outcomes} == {"delivered"}
        assert us.courier.room("remote.test") > 5
        assert there.connections == 5


async def test_a_slow_destination_keeps_few_slots() -> None:
    async with remote({"banner": "421 busy"}) as there, sender(ADDRESS, port=there.port) as us:
        for _ in range(3):
            await asyncio.gather(*(us.one() for _ in range(4)))
            us.clock[0] += 1000
        assert us.courier.room("remote.test") == 1
        assert us.courier.room("other.test") == 5


async def test_the_most_connections_hold_for_all() -> None:
    async with sender(ADDRESS, max_connections=3) as us:
        assert us.courier.room("remote.test") == 3


async def test_a_dead_host_is_left_alone_for_a_while() -> None:
    port = free_port("127.0.0.1")
    async with sender(ADDRESS, port=port) as us:
        outcome = await us.one()
        assert (outcome.kind, outcome.stage, outcome.enh) == ("deferred", "connect", "4.4.1")
        assert "refused" in outcome.why
        again = await us.one()
        assert again.stage == "connect"
        assert again.why.startswith("not tried again yet: ")
        assert len(us.all("out.try")) == 1
        us.clock[0] += 31
        await us.one()
        assert len(us.all("out.try")) == 2
        us.clock[0] += 31
        await us.one()
        assert len(us.all("out.try")) == 2, "the pause doubles"
        us.courier.hurry()
        async with remote(port=port):
            assert (await us.one()).kind == "delivered"
            assert (await us.one()).kind == "delivered"


def busy_at(*locals_: str) -> Answer:
    """A server that ends its session at some recipients."""

    def answer(argument: str) -> str:
        if any(f"<{local}@" in argument for local in locals_):
            return "421 4.7.0 closing"
        return per_recipient(argument)

    return answer


@pytest.mark.parametrize("answers", [{}, BARE], ids=["pipelined", "one by one"])
@pytest.mark.parametrize("locals_", ["busy b c", "b busy c", "b c busy", "later busy c gone"])
async def test_a_session_that_ends_at_a_recipient_holds_up_no_other(
    answers: dict[str, Answer], locals_: str
) -> None:
    to = [f"{local}@remote.test" for local in locals_.split()]
    script = answers | {"rcpt": busy_at("busy")}
    async with remote(script) as there, sender(ADDRESS, port=there.port) as us:
        outcomes = dict(zip(locals_.split(), await us.send(*to), strict=True))
        assert outcomes.pop("busy").reply == "421 4.7.0 closing"
        for local, kind in {"b": "delivered", "c": "delivered", "gone": "failed"}.items():
            assert outcomes.get(local) is None or outcomes[local].kind == kind, local
        assert "later" not in outcomes or outcomes["later"].code == 450
        assert there.connections == 2
        said = [line for line in there.commands if line.startswith("RCPT")]
        assert sum("<later@" in line for line in said) == locals_.count("later")
        assert len(there.messages) == 1


async def test_a_kept_session_that_ends_at_a_recipient_holds_up_no_other() -> None:
    script: dict[str, Answer] = {"rcpt": busy_at("busy")}
    async with remote(script) as there, sender(ADDRESS, port=there.port) as us:
        await us.one()
        busy, well = await us.send("busy@remote.test", "b@remote.test")
        assert (busy.kind, busy.code, well.kind) == ("deferred", 421, "delivered")
        assert there.connections == 2


async def test_a_server_that_ends_every_session_is_left_in_peace() -> None:
    script: dict[str, Answer] = {"rcpt": "421 4.7.0 busy"}
    async with remote(script) as there, sender(ADDRESS, port=there.port) as us:
        outcomes = await us.send(*(f"b{n}@remote.test" for n in range(9)))
        assert {one.kind for one in outcomes} == {"deferred"}
        assert there.connections == 3
        assert [one.code for one in outcomes] == [421] * 3 + [0] * 6
        assert "closed the connection at another recipient: 421" in outcomes[-1].why


async def test_suspects_go_last_and_by_themselves() -> None:
    """Those whose RCPT was answered by 421 last time, however many there are."""
    script: dict[str, Answer] = {"rcpt": busy_at("x", "y", "z")}
    recipients = [
        Recipient(1, "x@remote.test", is_suspect=True),
        Recipient(2, "b@remote.test"),
        Recipient(3, "y@remote.test", is_suspect=True),
        Recipient(4, "c@remote.test"),
    ]
    async with remote(script) as there, sender(ADDRESS, port=there.port) as us:
        mail = Mail(1, "a@local.test", len(MESSAGE), MESSAGE, 0)
        outcomes = await us.courier.deliver(mail, recipients, us.events.append)
        kinds = ["deferred", "delivered", "deferred", "delivered"]
        assert [one.kind for one in outcomes] == kinds
        assert [each.rcpt for each in there.transactions[:1]] == [
            ["RCPT TO:<b@remote.test>", "RCPT TO:<c@remote.test>"]
        ]


async def test_a_server_is_asked_once_in_an_attempt() -> None:
    async with remote({"rcpt": per_recipient}) as there, sender(ADDRESS, port=there.port) as us:
        assert (await us.one()).kind == "delivered"
        assert (await us.one("later@remote.test")).kind == "deferred"
        assert there.connections == 1
        assert sum("<later@" in line for line in there.commands) == 1
        assert len(us.all("out.transcript")) == 1


async def test_kept_connections_are_bounded() -> None:
    names = {
        (f"{n}.test", kind): addresses
        for n in range(5)
        for kind, addresses in (("MX", ()), ("A", ("127.0.0.1",)))
    }
    async with remote() as there, sender(names, port=there.port, max_connections=2) as us:
        for n in range(5):
            assert (await us.one(f"b@{n}.test")).kind == "delivered"
        await until(lambda: there.commands.count("QUIT") == 3)


# -------------------------------------------------------------------------- the message


async def test_a_file_is_sent(tmp_path: Path) -> None:
    content = b"Subject: long\n\n" + b"0123456789abcde\n" * 40_000
    path = tmp_path / "content"
    path.write_bytes(content)
    answers = {"ehlo": capabilities("PIPELINING", "SIZE 0")}
    async with remote(answers) as there, sender(ADDRESS, port=there.port) as us:
        assert (await us.one(content=path)).kind == "delivered"
        wire = content.replace(b"\n", b"\r\n")
        assert there.messages == [wire]
        assert there.transactions[0].mail.endswith(f" SIZE={len(wire)}")
        path.unlink()
        gone = await us.one(content=path)
        assert (gone.kind, gone.stage, gone.enh) == ("deferred", "", "4.3.0")
        assert "cannot be read" in gone.why
        assert len(there.transactions) == 1


async def test_a_file_that_breaks_off_is_not_ended_by_a_dot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "content"
    path.write_bytes(b"Subject: long\n\n" + b"x\n" * 200_000)
    async with remote() as there, sender(ADDRESS, port=there.port) as us:
        original = Path.open
        opened = 0

        def breaking(self: Path, mode: str = "r", *more: object) -> object:
            nonlocal opened
            opened += 1
            file = original(self, mode)
            return file if opened == 1 else _Breaking(file)

        monkeypatch.setattr(Path, "open", breaking)
        outcome = await us.one(content=path)
        assert (outcome.kind, outcome.stage) == ("deferred", "data")
        assert "cannot be read" in outcome.why
        assert there.messages == []


class _Breaking:
    """A file whose second block cannot be read."""

    def __init__(self, file: object) -> None:
        self._file = file
        self._reads = 0

    def read(self, size: int) -> bytes:
        self._reads += 1
        if self._reads > 1:
            raise OSError(5, "Input/output error")
        data: bytes = self._file.read(size)  # type: ignore[attr-defined]
        return data

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


@pytest.mark.parametrize("answer", ["552 5.3.4 too big", "421 4.3.0 closing"])
async def test_a_server_that_has_enough_is_heard(answer: str, tmp_path: Path) -> None:
    path = tmp_path / "content"
    path.write_bytes(b"Subject: long\n\n" + b"x" * 70 + b"\n" + b"0123456789abcde\n" * 2_000_000)
    seen = 0

    def enough(argument: str) -> str:
        nonlocal seen
        seen += 1
        return answer if seen == 100 else ""

    answers: dict[str, Answer] = {"body": enough, "ehlo": capabilities("PIPELINING")}
    async with remote(answers) as there, sender(ADDRESS, port=there.port, **QUICK) as us:
        outcome = await us.one(content=path)
        assert outcome.reply == answer
        assert outcome.stage == "data"
        assert there.messages == []


async def test_a_server_that_does_not_read_is_left(tmp_path: Path) -> None:
    path = tmp_path / "content"
    path.write_bytes(b"Subject: long\n\n" + b"0123456789abcde\n" * 2_000_000)
    answers: dict[str, Answer] = {"body": SILENCE, "ehlo": capabilities("PIPELINING")}
    async with remote(answers) as there, sender(ADDRESS, port=there.port, **QUICK) as us:
        outcome = await us.one(content=path)
        assert (outcome.kind, outcome.stage, outcome.enh) == ("deferred", "data", "4.4.2")
        assert "not taken within" in outcome.why
        assert there.messages == []


async def test_a_size_above_the_servers_is_not_even_tried() -> None:
    answers = {"ehlo": capabilities("SIZE 50")}
    async with remote(answers) as there, sender(ADDRESS, port=there.port) as us:
        outcome = await us.one()
        assert (outcome.kind, outcome.stage, outcome.enh) == ("failed", "policy", "5.3.4")
        assert outcome.why == f"the message has {len(MESSAGE) + 6} octets, the server takes 50"
        assert there.transactions == []
        assert outcome.host == "remote.test"


async def test_bare_returns_are_never_sent() -> None:
    async with remote() as there, sender(ADDRESS, port=there.port) as us:
        evil = b"\n\r.\r\nMAIL FROM:<evil@x.test>\r\n"
        assert (await us.one(content=b"Subject: x\n\na" + evil)).kind == "delivered"
        assert b"evil" not in there.messages[0], "it is encoded"
        outcome = await us.one(content=b"Subject: x" + evil + b"\n\nbody\n")
        assert (outcome.kind, outcome.stage, outcome.enh) == ("failed", "policy", "5.6.11")
        assert len(there.transactions) == 1


ENDS = (
    *(b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r\n", b"\r.\r", b"\r\n.\r", b"\n.\r", b"\r.\n"),
    *(
        b"\r.\r\n",
        b"\n.\n\n",
        b"\0\n.\n",
        b"\n\0.\n",
        b"\n.\0\n",
        b"\n.\r\r\n",
        b"\r\r\n.\r\n",
        b"\n..\n",
    ),
    *(b"\n. \n", b"\x85.\x85", b"\xe2\x80\xa8.\xe2\x80\xa8"),
)
"""What some server somewhere takes for the end of a message."""


@pytest.mark.parametrize("extensions", [{}, {"ehlo": capabilities()}], ids=["8bit", "7bit"])
@pytest.mark.parametrize("end", ENDS, ids=repr)
async def test_nothing_in_a_message_ends_it(end: bytes, extensions: dict[str, Answer]) -> None:
    """Not even for a server that takes CR, LF or both for a line end (SMTP smuggling)."""
    evil = b"MAIL FROM:<evil@x.test>\r\nRCPT TO:<b@remote.test>\r\nDATA\r\nx\r\n.\r\n"
    async with remote(extensions) as there, sender(ADDRESS, port=there.port) as us:
        for evil_lines in (evil, evil.replace(b"\r\n", b"\n")):
            content = b"Subject: x\n\nhello" + end + evil_lines
            assert (await us.one(content=content)).kind == "delivered"
        for message in there.messages:
            lines = re.split(rb"\r\n|\r|\n", message)
            assert b"." not in lines
            assert message.count(b"\r") == message.count(b"\n") == message.count(b"\r\n")
        assert len(there.transactions) == 2


async def test_addresses_that_cannot_be_sent() -> None:
    answers = {"ehlo": capabilities("PIPELINING")}
    async with remote(answers) as there, sender(ADDRESS, port=there.port) as us:
        outcomes = await us.send(
            "a\r\nRSET\r\n@remote.test", "почта@remote.test", "fine@remote.test"
        )
        assert [(o.kind, o.enh) for o in outcomes] == [
            ("failed", "5.1.3"),
            ("failed", "5.6.7"),
            ("delivered", "2.0.0"),
        ]
        assert "RSET" not in there.commands
        bad = await us.one(sender="почта@local.test")
        assert (bad.kind, bad.enh) == ("failed", "5.6.7")


async def test_smtputf8_only_where_it_is_needed() -> None:
    header = "Subject: привет\n\nHello\n".encode()
    async with remote() as there, sender(ADDRESS, port=there.port) as us:
        await us.one(smtputf8=True)
        assert "SMTPUTF8" not in there.commands[1]
        await us.one(smtputf8=True, content=header)
        assert there.transactions[1].mail.endswith(" BODY=8BITMIME SMTPUTF8")
        await us.one("почта@remote.test")
        assert there.transactions[2].mail.endswith(" SMTPUTF8")
        assert there.transactions[2].rcpt == ["RCPT TO:<почта@remote.test>"]
        there.answers["ehlo"] = capabilities("8BITMIME")
        us.courier.close()
        refused = await us.one(smtputf8=True, content=header)
        assert (refused.kind, refused.enh) == ("failed", "5.6.7")


async def test_the_wishes_about_reports_are_passed_on() -> None:
    async with remote() as there, sender(ADDRESS, port=there.port) as us:
        await us.one(ret="HDRS", envid="abc")
        assert there.transactions[0].mail.endswith(" RET=HDRS ENVID=abc")


async def test_the_null_path_is_passed_on() -> None:
    async with remote() as there, sender(ADDRESS, port=there.port) as us:
        await us.one(sender="")
        assert there.transactions[0].mail.startswith("MAIL FROM:<> SIZE=")


# --------------------------------------------------------------------------- transports


async def test_lmtp_over_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "lmtp")
    answers: dict[str, Answer] = {
        "dot": lambda argument: (
            "452 4.2.2 full" if "full" in argument else "250 2.0.0 <b> 1A2B3C Saved"
        )
    }
    transport = Transport("lists.test", "lmtp", path=path)
    async with remote(answers, path=path, lmtp=True) as there, sender({}, transport) as us:
        outcomes = await us.send("b@lists.test", "full@lists.test")
        assert [o.kind for o in outcomes] == ["delivered", "deferred"]
        assert outcomes[0].lmtp
        assert outcomes[0].rqid == "1A2B3C"
        assert outcomes[0].ip == path
        assert there.commands[0] == "LHLO mx.local.test"
        assert us.courier.destination_of("x@lists.test") == f"lmtp {path}"


async def test_a_smart_host_with_a_login() -> None:
    """PLAIN is not used without TLS."""
    names = {("smart.test", "A"): ("127.0.0.1",)}
    async with remote({"ehlo": capabilities("AUTH PLAIN SCRAM-SHA-256")}) as there:
        transport = Transport(
            "*", "relay", "smart.test", there.port, tls="none", login="me", password="word"
        )
        async with sender(names, transport) as us:
            outcome = await us.one("b@anywhere.test")
            assert there.commands[1].startswith("AUTH SCRAM-SHA-256 ")
            assert outcome.kind == "deferred"
            assert outcome.stage == "auth", "the script does not prove that it knows the password"
            assert us.courier.destination_of("b@one.test") == us.courier.destination_of(
                "c@two.test"
            )


async def test_an_error_by_transport() -> None:
    transports = (
        Transport("old.test", "error", text="5.1.6 the company moved to new.test"),
        Transport(".later.test", "error", text="4.3.0 next week"),
    )
    async with sender({}, *transports) as us:
        outcome = await us.one("b@old.test")
        assert (outcome.kind, outcome.stage, outcome.enh, outcome.why) == (
            *("failed", "policy", "5.1.6"),
            "the company moved to new.test",
        )
        assert (await us.one("b@much.later.test")).kind == "deferred"


async def test_a_mistake_of_ours_keeps_the_mail(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with remote() as there, sender(ADDRESS, port=there.port) as us:

        def broken(address: str) -> None:
            raise RuntimeError("oh")

        monkeypatch.setattr("mtad.outbound.transmission.outcome", broken)
        outcome = await us.one()
        assert (outcome.kind, outcome.enh) == ("deferred", "4.3.0")
        assert "mistake of this server" in outcome.why
        assert "a mistake of ours" in caplog.text
        assert us.courier.room("remote.test") >= 4


async def test_a_cancelled_delivery_leaves_nothing_open() -> None:
    async with remote({"dot": SILENCE}) as there, sender(ADDRESS, port=there.port) as us:
        running = asyncio.ensure_future(us.one())
        await until(lambda: there.messages)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        assert us.courier.room("remote.test") == 5
