"""The octet layer alone: turns, back-pressure, and clients that are gone or do not read."""

import asyncio
from pathlib import Path

import pytest

from mtad.smtp import wire
from mtad.smtp.receiver import Receiver
from tests.dialog import Memory, until
from tests.test_smtp_fuzz import Plug, plugged

MESSAGE = b"MAIL FROM:<a@x.test>\r\nRCPT TO:<bob@local.test>\r\nDATA\r\nx\r\n.\r\n"


@pytest.fixture
async def plug() -> tuple[Receiver, Plug, Memory]:
    """A greeted session without a socket."""
    service, journal = plugged(Path("unused"))
    session, link = Receiver(service, "smtp", asyncio.get_running_loop()), Plug()
    session.connection_made(link)
    await until(lambda: link.written)
    session.data_received(b"EHLO c\r\n")
    await until(lambda: b"250 HELP" in link.written)
    link.written = b""
    return session, link, journal


Plugged = tuple[Receiver, Plug, Memory]


async def over(session: Receiver) -> None:
    session.connection_lost(None)
    assert session.task is not None
    await asyncio.wait_for(session.task, 5)


async def test_pipelined_commands_let_others_have_their_turn(plug: Plugged) -> None:
    session, link, _ = plug
    session.data_received(b"NOOP\r\n" * 90)
    seen = []
    for _ in range(6):
        await asyncio.sleep(0)
        seen.append(link.written.count(b"250"))
    assert seen[-1] == 90
    assert any(0 < count < 90 for count in seen)
    await over(session)


async def test_replies_wait_for_a_client_that_does_not_read(plug: Plugged) -> None:
    session, link, _ = plug
    session.pause_writing()
    session.data_received(b"NOOP\r\n")
    for _ in range(5):
        await asyncio.sleep(0)
    assert link.written.count(b"250") == 1
    session.data_received(b"NOOP\r\n" * 200_000)
    for _ in range(50):
        await asyncio.sleep(0)
    assert link.written.count(b"250") == 1
    assert link.paused
    session.resume_writing()
    await until(lambda: link.written.count(b"250") > 1)
    await over(session)


async def test_unread_replies_do_not_keep_the_socket(
    plug: Plugged, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, link, _ = plug
    aborted = []
    monkeypatch.setattr(wire, "LINGER_SECONDS", 0.01)
    monkeypatch.setattr(link, "abort", lambda: aborted.append(True))
    monkeypatch.setattr(link, "get_write_buffer_size", lambda: 1)
    session.data_received(b"QUIT\r\n")
    await until(lambda: aborted)
    assert link.closed
    await over(session)


async def test_commands_of_a_lost_client_are_not_run(plug: Plugged) -> None:
    session, _, journal = plug
    session.data_received(MESSAGE)
    await over(session)
    assert not journal.frames
    assert "smtp.mail" not in journal.kinds


async def test_a_message_that_ended_when_the_client_was_gone_is_not_taken(plug: Plugged) -> None:
    session, link, journal = plug
    session.data_received(MESSAGE[:-5])
    await until(lambda: b"354" in link.written)
    session.data_received(b"\r\n.\r\n")
    await over(session)
    assert not journal.frames
    assert journal.one("smtp.abort").stage == "data"


async def test_a_message_is_taken_piece_by_piece_without_the_session(plug: Plugged) -> None:
    session, link, journal = plug
    session.data_received(MESSAGE[:-6])
    await until(lambda: b"354" in link.written)
    for number in range(1, 7):
        session.data_received(b"x" * 9_998 + b"\r\n")
        assert not session.input
        assert session._service.held >= number * 10_000
    session.data_received(b".\r\nNO")
    session.data_received(b"OP\r\n")
    await until(lambda: link.written.count(b"250") == 4)
    (frame,) = journal.frames
    assert frame[1].endswith(b"\n" + (b"x" * 9_998 + b"\n") * 6)
    assert not session._service.held
    await over(session)


async def test_a_message_may_end_while_the_client_does_not_read(plug: Plugged) -> None:
    session, link, journal = plug
    session.pause_writing()
    session.data_received(MESSAGE[:-5])
    for _ in range(5):
        await asyncio.sleep(0)
    assert b"354" in link.written
    session.data_received(b"\r\n.\r\n")
    session.resume_writing()
    await until(lambda: b"queued" in link.written)
    assert len(journal.frames) == 1
    await over(session)


async def test_the_wait_for_more_of_a_message_is_limited(plug: Plugged) -> None:
    session, link, journal = plug
    session.data_received(MESSAGE[:-5])
    await until(lambda: b"354" in link.written)
    before = session.deadline
    await asyncio.sleep(0.01)
    session.data_received(b"x")
    latest = session.loop.time() + session._limits.data_timeout_seconds
    assert before < session.deadline <= latest
    session.expire("timeout")
    await until(lambda: link.closed)
    assert b"421 4.4.2" in link.written
    assert journal.one("smtp.abort").stage == "data"
    await over(session)


async def test_a_refused_recipient_is_not_blamed_for_what_follows(plug: Plugged) -> None:
    session, link, journal = plug
    said = b"MAIL FROM:<a@x.test>\r\nRCPT TO:<no@local.test>\r\nFOO\r\nMAIL FROM:<>\r\nBAR\r\n"
    session.data_received(said)
    await until(lambda: link.written.count(b"\r\n") == 5)
    assert journal.one("smtp.reject").addr == "no@local.test"
    assert [event.n for event in journal.all("smtp.protocol")] == [0, 0, 0]
    assert "no@local.test" not in [event.addr for event in journal.all("smtp.protocol")]
    await over(session)


async def test_after_a_message_an_abort_is_not_one_of_data(plug: Plugged) -> None:
    session, link, journal = plug
    session.data_received(MESSAGE + b"MAIL FROM:<b@x.test>\r\n")
    await until(lambda: link.written.count(b"\r\n") == 5)
    await over(session)
    abort = journal.one("smtp.abort")
    assert (abort.stage, abort.received) == ("mail", 0)


async def test_what_comes_with_the_connection_is_early_talk() -> None:
    service, journal = plugged(Path("unused"))
    session, link = Receiver(service, "smtp", asyncio.get_running_loop()), Plug()
    session.connection_made(link)
    session.data_received(b"EHLO early\r\n")
    await until(lambda: link.closed)
    assert link.written.startswith(b"554 5.5.1 ")
    assert journal.one("smtp.reject").check == "early_talk"
    await over(session)
