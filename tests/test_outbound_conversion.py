"""Messages made fit for servers that cannot take them: what is encoded, and what is refused."""

import email
import re
from collections.abc import Sequence
from email.message import Message
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mtad.outbound.content import traits_of
from mtad.outbound.conversion import CannotConvert, converted
from tests.corpus import Mail
from tests.outbound import sender
from tests.scripted_smtp import capabilities, remote

RUSSIAN = "Привет, мир\n"
LONG = "x" * 2000 + " end\n"


def parts(octets: bytes) -> list[tuple[str, bytes]]:
    """Type and decoded content of every leaf, line ends LF."""
    message = email.message_from_bytes(octets)
    return [
        (part.get_content_type(), _decoded(part).replace(b"\r\n", b"\n"))
        for part in message.walk()
        if not part.is_multipart()
    ]


def _decoded(part: Message) -> bytes:
    found = part.get_payload(decode=True)
    assert isinstance(found, bytes)
    return found


def check(octets: bytes, *, to_7bit: bool = True) -> bytes:
    """Convert, and hold the result against the original."""
    made = converted(octets, to_7bit=to_7bit)
    found = traits_of(made)
    assert not found.has_long_lines
    assert not found.has_returns
    assert not (to_7bit and found.has_8bit)
    assert [kind for kind, _ in parts(made)] == [kind for kind, _ in parts(octets)]
    for (_, after), (_, before) in zip(parts(made), parts(octets), strict=True):
        assert after.rstrip(b"\n") == before.rstrip(b"\n")
    return made


def test_russian_text() -> None:
    octets = (
        "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
        f"Content-Transfer-Encoding: 8bit\nSubject: x\n\n{RUSSIAN}"
    ).encode()
    made = check(octets)
    assert b"Content-Transfer-Encoding: quoted-printable\n" in made
    assert made.count(b"Content-Transfer-Encoding") == 1
    assert b"=D0=9F=D1=80=D0=B8" in made


def test_text_that_says_nothing_of_itself() -> None:
    made = check(f"Subject: x\n\n{RUSSIAN}".encode())
    assert b"MIME-Version: 1.0\n" in made
    assert b"Content-Type: text/plain; charset=unknown-8bit\n" in made


@pytest.mark.parametrize("to_7bit", [True, False])
def test_long_lines(to_7bit: bool) -> None:
    octets = f"Subject: x\nContent-Type: text/plain; charset=us-ascii\n\n{LONG}".encode()
    assert b"quoted-printable" in check(octets, to_7bit=to_7bit)


def test_8bit_stays_where_it_may() -> None:
    octets = f"Subject: x\n\n{RUSSIAN}".encode()
    assert converted(octets, to_7bit=False) == octets


def test_carriage_returns() -> None:
    octets = b"Content-Type: text/plain\n\na\rb\n.\r\n"
    made = converted(octets, to_7bit=True)
    assert b"\r" not in made
    assert _decoded(email.message_from_bytes(made)) == b"a\rb\r\n.\r\r\n"


def test_a_multipart() -> None:
    octets = (
        'Content-Type: multipart/mixed;\n boundary="a b"\nContent-Transfer-Encoding: 8bit\n\n'
        f"для никого\n--a b\nContent-Type: text/plain; charset=utf-8\n\n{RUSSIAN}\n--a b \n"
        "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\nAAEC\n--a b\n"
        f"Content-Type: image/x-odd\nContent-Transfer-Encoding: binary\n\n{RUSSIAN}\n--a b\n"
        f"Content-Type: message/rfc822\n\nSubject: inner\n\n{RUSSIAN}\n--a b--\n"
        f"и это\n"
    ).encode()
    made = check(octets)
    assert b"Content-Transfer-Encoding: 7bit\n" in made
    assert b"AAEC\n" in made
    assert made.rstrip().endswith(b"--a b--")


def test_a_multipart_without_its_end() -> None:
    octets = f"Content-Type: multipart/mixed; boundary=b\n\n--b\n\n{RUSSIAN}".encode()
    check(octets)


@pytest.mark.parametrize(
    "octets",
    [
        f"Content-Type: multipart/signed; boundary=b\n\n--b\n\n{RUSSIAN}\n--b--\n".encode(),
        f"Content-Type: multipart/mixed\n\n--b\n\n{RUSSIAN}\n--b--\n".encode(),
        f"Content-Type: message/partial\n\n{RUSSIAN}".encode(),
        f"Content-Type: message/delivery-status\n\n{RUSSIAN}".encode(),
        f"Content-Type: text/plain\nContent-Transfer-Encoding: x-uuencode\n\n{RUSSIAN}".encode(),
        b"Subject: a\rb\n\nx\n",
        b"Content-Type: message/rfc822\n\n" * 60 + RUSSIAN.encode(),
    ],
)
def test_what_must_not_be_changed(octets: bytes) -> None:
    with pytest.raises(CannotConvert):
        converted(octets, to_7bit=True)


def test_a_signed_part_that_needs_nothing_stays() -> None:
    octets = (
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/signed;"
        f" boundary=b\n\n--b\n\nx\n--b--\n\n--a\n\n{RUSSIAN}\n--a--\n"
    ).encode()
    made = check(octets)
    assert b"Content-Type: multipart/signed; boundary=b\n\n--b\n\nx\n--b--\n" in made


def test_long_headers_are_folded() -> None:
    references = " ".join(f"<{number}@x.test>" for number in range(200))
    octets = f"References: {references}\nSubject: x\n\nbody\n".encode()
    made = check(octets, to_7bit=False)
    before, after = (email.message_from_bytes(one)["References"] for one in (octets, made))
    assert after.replace("\n", "") == before
    unbroken = b"X:" + b"x" * 2000 + b"\n\nbody\n"
    assert converted(unbroken, to_7bit=True) == unbroken


def test_encoded_parts_with_long_lines_are_encoded_again() -> None:
    one = b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n" + b"QUJD" * 500
    assert len(check(one, to_7bit=False).split(b"\n")) > 10
    two = (
        b"Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n" + b"=41" * 500
    )
    check(two, to_7bit=False)
    bad = b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\nA" + b"QUJD" * 500
    with pytest.raises(CannotConvert, match="damaged"):
        converted(bad, to_7bit=False)


pieces = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b\n",
        b"Content-Type: text/plain\n",
        b"Content-Type: message/rfc822\n",
        b"Content-Transfer-Encoding: 8bit\n",
        b"Content-Transfer-Encoding: base64\n",
        b"--b\n",
        b"--b--\n",
        b"\n",
        b"\r\n",
        b"\xff\n",
        b"x" * 1200,
        b" y\n",
        b":",
    ]
)


@example(b"Content-Type:multipart/m;boundary=b\n\n--b\n\xff", True)
@given(
    st.one_of(st.binary(max_size=200), st.lists(pieces, max_size=25).map(b"".join)), st.booleans()
)
def test_anything_is_converted_or_refused(octets: bytes, to_7bit: bool) -> None:
    try:
        made = converted(octets, to_7bit=to_7bit)
    except CannotConvert:
        return
    assert b"\r" not in made
    # Raw 8-bit header text goes as it is, that of a part or an inner message too.
    nested = re.search(rb"multipart/|message/", octets, re.IGNORECASE)
    if to_7bit and not nested and b"\n\n" in octets and not made.startswith(b"\n"):
        assert made.partition(b"\n\n")[2].isascii()
    assert converted(made, to_7bit=to_7bit) == made, "twice changes nothing"


@pytest.mark.corpus
def test_real_mail(corpus: Sequence[Mail]) -> None:
    refused = odd = 0
    for mail in corpus:
        octets = mail.data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        try:
            made = converted(octets, to_7bit=True)
        except CannotConvert:
            refused += 1
            continue
        header, _, body = made.partition(b"\n\n")
        # Nobody knows what raw octets in a part's header mean; there is no other form of them.
        odd += not body.isascii()
        assert all(len(line) <= 998 for line in body.split(b"\n")), mail.path
        assert header
    assert refused <= len(corpus) // 50
    assert odd <= len(corpus) // 50


# ----------------------------------------------------------------------- on the way

ADDRESS = {("remote.test", "MX"): (), ("remote.test", "A"): ("127.0.0.1",)}
EIGHT = f"Subject: x\n\n{RUSSIAN}".encode()


async def test_a_server_without_8bitmime_gets_7_bit() -> None:
    answers = {"ehlo": capabilities("SIZE 100000")}
    async with remote(answers) as there, sender(ADDRESS, port=there.port) as us:
        assert (await us.one(content=EIGHT)).kind == "delivered"
        (message,) = there.messages
        assert message.isascii()
        assert b"\r\nContent-Transfer-Encoding: quoted-printable\r\n" in message
        assert f" SIZE={len(message)}" in there.transactions[0].mail
        assert "BODY" not in there.transactions[0].mail
        signed = b"Content-Type: multipart/signed; boundary=b\n\n--b\n\n\xff\n--b--\n"
        outcome = await us.one(content=signed)
        assert (outcome.kind, outcome.stage, outcome.enh) == ("failed", "policy", "5.6.3")
        assert outcome.why == "its multipart/signed must not be changed"


async def test_a_server_with_8bitmime_gets_it_as_it_is() -> None:
    async with remote() as there, sender(ADDRESS, port=there.port) as us:
        await us.one(content=EIGHT)
        assert there.messages == [EIGHT.replace(b"\n", b"\r\n")]
        assert " BODY=8BITMIME" in there.transactions[0].mail


async def test_long_lines_and_returns_are_encoded_for_everyone(tmp_path: Path) -> None:
    long = b"Subject: x\n\n" + b"0123456789" * 20_000 + b"\n.\n\r.\r\nRSET\r\n"
    async with remote() as there, sender(ADDRESS, port=there.port) as us:
        path = tmp_path / "content"
        path.write_bytes(b"Return-Path: <a@local.test>\n" + long)
        for content in (long, path):
            assert (await us.one(content=content)).kind == "delivered"
        assert len(set(there.messages)) == 1
        assert all(len(line) < 999 for line in there.messages[0].split(b"\r\n"))
        assert "RSET" not in there.commands
