"""Delivering to a scripted remote server: every stage, every answer."""

from tests.outbound import MESSAGE, sender
from tests.scripted_smtp import remote

ADDRESS = {("remote.test", "MX"): (), ("remote.test", "A"): ("127.0.0.1",)}


async def test_a_message_goes_out() -> None:
    async with remote() as there, sender(ADDRESS, port=there.port) as us:
        outcome = await us.one()
        assert outcome.kind == "delivered"
        assert outcome.code == 250
        assert outcome.enh == "2.0.0"
        assert outcome.reply == "250 2.0.0 Ok: queued as 4ABCD1234"
        assert outcome.rqid == "4ABCD1234"
        assert (outcome.host, outcome.ip, outcome.port) == ("remote.test", "127.0.0.1", there.port)
        assert there.messages == [
            b"Subject: test\r\nFrom: a@local.test\r\n\r\nHello\r\n..\r\n...dots\r\n"
        ]
        assert there.commands[1] == f"MAIL FROM:<a@local.test> SIZE={len(MESSAGE) + 6}"
        assert [event.kind for event in us.events] == ["out.dns", "out.try", "out.tls"]
