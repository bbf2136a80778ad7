"""Replies: tables, one octet at a time, any octets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.outbound import reply
from mtad.outbound.extensions import parse
from mtad.outbound.reply import BadReply, Replies, Reply

CASES = [
    pytest.param(b"250 ok\r\n", [Reply(250, "250 ok")], id="one line"),
    pytest.param(b"250\r\n", [Reply(250, "250")], id="no text"),
    pytest.param(b"250 \r\n", [Reply(250, "250 ")], id="empty text"),
    pytest.param(b"250 ok\n", [Reply(250, "250 ok")], id="bare LF"),
    pytest.param(
        b"250-a\r\n250-b\r\n250 c\r\n", [Reply(250, "250-a\n250-b\n250 c")], id="three lines"
    ),
    pytest.param(
        b"550-a\r\n554 b\r\n", [Reply(554, "550-a\n554 b")], id="the last line's code counts"
    ),
    pytest.param(b"250 a\r\n354 b\r\n", [Reply(250, "250 a"), Reply(354, "354 b")], id="pipelined"),
    pytest.param(b"250-a\r\n", [], id="incomplete"),
    pytest.param(b"250 a", [], id="no line end"),
    pytest.param(b"220 \xd0\x9f\xff\x1b[2J\r\n", [Reply(220, "220 П\\xff\\x1b[2J")], id="octets"),
]


def read(*pieces: bytes) -> list[Reply]:
    replies, found = Replies(), []
    for piece in pieces:
        replies.feed(piece)
        while (one := replies.next()) is not None:
            found.append(one)
    return found


@pytest.mark.parametrize(("data", "expected"), CASES)
def test_replies(data: bytes, expected: list[Reply]) -> None:
    assert read(data) == expected
    assert read(*(data[i : i + 1] for i in range(len(data)))) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n",
        b"25 ok\r\n",
        b"2500 ok\r\n",
        b"250ok\r\n",
        b"150 early\r\n",
        b"650 late\r\n",
        b"\r\n",
        b"250 a\rb\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"250 " + b"x" * reply.MAX_LINE,
        b"250-x\r\n" * reply.MAX_LINES,
        b"250 ok\r\n" * reply.MAX_WAITING,
    ],
    ids=repr,
)
def test_what_is_no_reply_ends_it(data: bytes) -> None:
    with pytest.raises(BadReply):
        read(data)
    with pytest.raises(BadReply):
        # A server that drips gains nothing.
        read(*(data[i : i + 7] for i in range(0, len(data), 7)), b"\r\n")


@given(st.lists(st.binary(max_size=50)))
def test_any_octets_give_replies_or_an_end(pieces: list[bytes]) -> None:
    try:
        found = read(*pieces)
    except BadReply:
        return
    for one in found:
        assert 200 <= one.code < 600
        one.text.encode()
        assert one.enhanced
        assert isinstance(one.queue_id, str)


@given(
    st.lists(
        st.tuples(
            st.integers(200, 599),
            st.lists(st.text(st.characters(exclude_characters="\r\n", codec="ascii")), min_size=1),
        ),
        max_size=5,
    ),
    st.integers(1, 40),
)
def test_what_was_written_is_read(wanted: list[tuple[int, list[str]]], size: int) -> None:
    wire = b"".join(
        b"".join(
            f"{code}{' ' if last == len(lines) else '-'}{line}\r\n".encode()
            for last, line in enumerate(lines, 1)
        )
        for code, lines in wanted
    )
    if any(len(line) > 4000 for _, lines in wanted for line in lines):
        return
    found = read(*(wire[i : i + size] for i in range(0, len(wire), size)))
    assert [(one.code, len(one.words)) for one in found] == [
        (code, len(lines)) for code, lines in wanted
    ]


@pytest.mark.parametrize(
    ("text", "enhanced"),
    [
        ("550 5.1.1 no such user", "5.1.1"),
        ("550-5.7.1 first\n550 5.7.26 second", "5.7.26"),
        ("550-5.7.1 first\n550 second", "5.7.1"),
        ("550 4.1.1 class of another", "5.0.0"),
        ("550 5.1 short", "5.0.0"),
        ("550 5.1.1234 long", "5.0.0"),
        ("550 no such user", "5.0.0"),
        ("250 2.0.0", "2.0.0"),
        ("451", "4.0.0"),
        ("354 go ahead", "3.0.0"),
    ],
)
def test_enhanced_status(text: str, enhanced: str) -> None:
    assert Reply(int(text[:3]), text).enhanced == enhanced


@pytest.mark.parametrize(
    ("text", "queue_id"),
    [
        ("250 2.0.0 Ok: queued as 4XyZ123ABCz1234", "4XyZ123ABCz1234"),
        ("250 2.0.0 queued as 0e2q7k3j9x0a1", "0e2q7k3j9x0a1"),
        ("250 OK id=1rTkuV-0007Zc-2b", "1rTkuV-0007Zc-2b"),
        ("250 2.0.0 7b3ec1d2 Message accepted for delivery", "7b3ec1d2"),
        ("250 2.0.0 41OBaXYZ012345 Message accepted for delivery", "41OBaXYZ012345"),
        ("250 2.0.0 OK  1706000000 x12-20020a05600c1a0c00b0040e4.123 - gsmtp", "x12-20020a05600c"),
        (
            "250 2.6.0 <1@x.test> [InternalId=12345678901234, Hostname=X.PROD.OUTLOOK.COM] 8 bytes",
            "12345678901234",
        ),
        ("250 ok 1706000000 qp 12345", "12345"),
        ("250 2.0.0 <b@remote.test> QKwLIlCUumXk9gAAQvkRdw Saved", "QKwLIlCUumXk9gAAQvkRdw"),
        ("250-first\n250 2.0.0 Ok: queued as ABCDEF12", "ABCDEF12"),
        ("250 ok", ""),
        ("250", ""),
    ],
)
def test_the_remote_queue_id(text: str, queue_id: str) -> None:
    found = Reply(250, text).queue_id
    assert found == queue_id or (queue_id and found.startswith(queue_id))


def test_extensions() -> None:
    said = parse(
        Reply(
            250,
            "250-mx.Remote.test at your service\n250-size 1000\n250-AUTH=LOGIN\n"
            "250-AUTH PLAIN SCRAM-SHA-256\n250-LIMITS MAILMAX=5 RCPTMAX=20\n250 8bitmime",
        )
    )
    assert said.name == "mx.Remote.test"
    assert said.max_size == 1000
    assert said.mechanisms >= {"PLAIN", "SCRAM-SHA-256"}
    assert (said.max_messages, said.max_recipients) == (5, 20)
    assert "8BITMIME" in said
    assert "SMTPUTF8" not in said


@pytest.mark.parametrize("size", ["", " ", "x", "-1", "９", "9" * 21, str(2**63)])
def test_a_size_that_is_none_is_no_limit(size: str) -> None:
    said = parse(Reply(250, f"250-x\n250-LIMITS RCPTMAX={size}\n250 SIZE {size}"))
    assert said.max_size == 0
    assert said.max_recipients == 0
