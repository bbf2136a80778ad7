"""Our header lines: what a reader of the message learns, and nothing the client can inject."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.smtp.command import Path
from mtad.smtp.received import Client, date, lines, protocol

M = 1 << 50


def made(client: Client, **changes: object) -> str:
    given: dict[str, object] = {
        "hostname": "mx.y.test",
        "m": M,
        "sender": "a@x.test",
        "recipient": None,
        "smtputf8": False,
        "at": 1_795_500_000,
    } | changes
    return lines(client, **given).decode()  # type: ignore[arg-type]


def test_lines() -> None:
    client = Client("192.0.2.1", "c.test", tls="TLSv1.3 TLS_AES_128_GCM_SHA256")
    assert made(client, recipient=Path("b@y.test", "b", "y.test")) == (
        "Return-Path: <a@x.test>\n"
        "Received: from c.test (unknown [192.0.2.1])\n"
        "\tby mx.y.test (mtad) with ESMTPS id 0010000000000\n"
        "\t(TLSv1.3 TLS_AES_128_GCM_SHA256)\n"
        "\tfor <b@y.test>;\n"
        "\tTue, 24 Nov 2026 06:00:00 +0000\n"
    )


def test_several_recipients_are_not_told() -> None:
    assert made(Client("2001:db8::1", "[IPv6:2001:db8::1]"), sender="") == (
        "Return-Path: <>\n"
        "Received: from [IPv6:2001:db8::1] (unknown [IPv6:2001:db8::1])\n"
        "\tby mx.y.test (mtad) with ESMTP id 0010000000000;\n"
        "\tTue, 24 Nov 2026 06:00:00 +0000\n"
    )


@pytest.mark.parametrize(
    ("local", "host", "shown"),
    [
        ("b", "пример.test", "b@xn--e1afmkfd.test"),
        ("b", "y.TEST", "b@y.TEST"),
        ("борис", "пример.test", "борис@xn--e1afmkfd.test"),
        ("b", "é" * 70 + ".test", "b@" + "é" * 70 + ".test"),
    ],
)
def test_a_domain_in_unicode_is_shown_in_ascii(local: str, host: str, shown: str) -> None:
    """Else the header would need SMTPUTF8 where the envelope does not."""
    path = Path(f"{local}@{host}", local, host)
    assert f"\tfor <{shown}>;\n" in made(Client("1", "h"), recipient=path, smtputf8=True)


def test_protocol_words() -> None:
    """RFC 3848, RFC 6531 4.3."""
    plain, old = Client("1", "h"), Client("1", "h", extended=False)
    secure = Client("1", "h", tls="x")
    assert [protocol(c, smtputf8=False) for c in (plain, old, secure)] == [
        "ESMTP",
        "SMTP",
        "ESMTPS",
    ]
    assert [protocol(c, smtputf8=True) for c in (plain, secure)] == ["UTF8SMTP", "UTF8SMTPS"]


def test_dates() -> None:
    assert date(0) == "Thu, 01 Jan 1970 00:00:00 +0000"
    assert date(1_772_323_199) == "Sat, 28 Feb 2026 23:59:59 +0000"
    assert date(1_772_323_200) == "Sun, 01 Mar 2026 00:00:00 +0000"


@given(st.text(max_size=60))
def test_a_name_cannot_leave_its_place(helo: str) -> None:
    text = made(Client("192.0.2.1", helo))
    first = text.split("\n")[1]
    assert first.startswith("Received: from ")
    assert first.endswith(" (unknown [192.0.2.1])")
    assert first.isascii()
    assert len(text.split("\n")) == 5
    assert not set(" ();<>\t\r") & set(first[15 : -len(" (unknown [192.0.2.1])")])
