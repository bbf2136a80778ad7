"""MAIL and RCPT: what may be in them, and what never is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.outbound.envelope import BadPath, Envelope, To, mail, path, rcpt
from mtad.outbound.extensions import Extensions

ALL = Extensions(
    "x", dict.fromkeys(("SIZE", "8BITMIME", "SMTPUTF8", "DSN", "REQUIRETLS", "PIPELINING"), "")
)
NONE = Extensions("x", {})


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", b"<>"),
        ("a@x.test", b"<a@x.test>"),
        ("a+b/c=d@x.test", b"<a+b/c=d@x.test>"),
        ('"a b"@x.test', b'<"a b"@x.test>'),
        ("a b@x.test", b'<"a b"@x.test>'),
        ("a@b@x.test", b'<"a@b"@x.test>'),
        ('a"b@x.test', b'<"a\\"b"@x.test>'),
        ("a\\b@x.test", b'<"a\\\\b"@x.test>'),
        ("a@[127.0.0.1]", b"<a@[127.0.0.1]>"),
        ("a@[IPv6:::1]", b"<a@[IPv6:::1]>"),
        ("postmaster", b"<postmaster>"),
        ("a@почта.test", b"<a@xn--80a1acny.test>"),
        ("srs0=abc=de=x.test=u@y.test", b"<srs0=abc=de=x.test=u@y.test>"),
    ],
)
def test_paths(address: str, expected: bytes) -> None:
    assert path(address, utf8=False) == expected


@pytest.mark.parametrize(
    "address",
    [
        "a\r\nRCPT TO:<evil@x.test>@x.test",
        "a@x.test>\r\nDATA",
        "a@x.test> NOTIFY=NEVER",
        "a@x .test",
        "a\n@x.test",
        "a\0@x.test",
        "a\x85@x.test",
        "a@",
        "a@x\r.test",
        "a@x.test\udcff",
        "\udcff@x.test",
        "почта@x.test",
        "x" * 2000 + "@x.test",
        "a@[127.0.0.1]>\r\n",
        "a@[1]2]",
        "a b",
    ],
    ids=repr,
)
def test_what_could_end_the_line_is_not_sent(address: str) -> None:
    with pytest.raises(BadPath):
        path(address, utf8=False)


def test_utf8_where_it_is_understood() -> None:
    assert path("почта@xn--80a1acny.test", utf8=True) == "<почта@xn--80a1acny.test>".encode()


@given(st.text(max_size=40), st.text(max_size=20), st.booleans())
def test_any_address_is_one_word_or_refused(local: str, domain: str, utf8: bool) -> None:
    try:
        sent = path(f"{local}@{domain}", utf8=utf8)
    except BadPath:
        return
    assert sent.startswith(b"<")
    assert sent.endswith(b">")
    assert not any(octet < 32 or octet == 127 for octet in sent)
    # Outside quotes nothing can end the path.
    unquoted = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", sent)
    assert unquoted.count(b"<") == unquoted.count(b">") == 1
    assert b" " not in unquoted
    assert utf8 or sent.isascii()


def test_parameters_follow_what_is_offered() -> None:
    envelope = Envelope(
        "a@x.test",
        [],
        1234,
        is_8bit=True,
        smtputf8=True,
        requiretls=True,
        ret="HDRS",
        envid="id+2B1",
    )
    assert mail(envelope, NONE) == b"MAIL FROM:<a@x.test>\r\n"
    assert mail(envelope, ALL) == (
        b"MAIL FROM:<a@x.test> SIZE=1234 BODY=8BITMIME SMTPUTF8 REQUIRETLS RET=HDRS"
        b" ENVID=id+2B1\r\n"
    )
    to = To("b@x.test", "success,FAILURE", "rfc822;b+2Bc@y.test")
    assert rcpt(to, envelope, NONE) == b"RCPT TO:<b@x.test>\r\n"
    assert rcpt(to, envelope, ALL) == (
        b"RCPT TO:<b@x.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b+2Bc@y.test\r\n"
    )


@pytest.mark.parametrize(
    ("notify", "orcpt", "ret", "envid"),
    [
        ("NEVER\r\nDATA", "rfc822;a\r\nDATA", "FULL\r\n", "x\r\nDATA"),
        ("SOMETIMES", "rfc822", "ALL", "a b"),
        ("", "rfc822;a b", "", "a=b"),
        ("", "rfc822;" + "x" * 600, "", "x" * 101),
    ],
)
def test_a_parameter_that_is_none_is_left_out(
    notify: str, orcpt: str, ret: str, envid: str
) -> None:
    envelope = Envelope("", [], 1, ret=ret, envid=envid)
    assert mail(envelope, Extensions("x", {"DSN": ""})) == b"MAIL FROM:<>\r\n"
    assert rcpt(To("b@x.test", notify, orcpt), envelope, ALL) == b"RCPT TO:<b@x.test>\r\n"
