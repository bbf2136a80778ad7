"""BODY and BODYSTRUCTURE."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.mime.bodystructure import both
from mtad.mime.message import parse
from mtad.mime.parameters import content_type, disposition, parameters, without_comments

ASCII = b'("charset" "us-ascii")'
CASES = {
    "nothing": (b"", b'("text" "plain" %b NIL NIL "7bit" 0 0' % ASCII, b" NIL NIL NIL NIL)"),
    "a text": (
        b"Content-Type: Text/HTML; Charset=UTF-8; format=flowed\r\nContent-ID: <i@x>\r\n"
        b"Content-Description: a\r\n  b\r\nContent-Transfer-Encoding: 8bit\r\nContent-MD5: Zm9v\r\n"
        b"Content-Disposition: inline; filename=a.txt\r\nContent-Language: ru, en (both)\r\n"
        b"Content-Location: http://x/\r\n\r\none\r\ntwo\r\n",
        b'("Text" "HTML" ("Charset" "UTF-8" "format" "flowed") "<i@x>" "a b" "8bit" 10 2',
        b' "Zm9v" ("inline" ("filename" "a.txt")) ("ru" "en") "http://x/")',
    ),
    "no text": (
        b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA",
        b'("application" "pdf" NIL NIL NIL "base64" 4',
        b" NIL NIL NIL NIL)",
    ),
    "a multipart without parts": (
        b"Content-Type: multipart/mixed; a=b\r\n\r\ntext",
        b'(("text" "plain" %b NIL NIL "7bit" 0 0|) "mixed"' % ASCII,
        b' ("a" "b") NIL NIL NIL)',
    ),
    "two parts": (
        b"Content-Type: multipart/alternative; boundary=x\r\n\r\n"
        b"--x\r\n\r\na\r\n--x\r\nContent-Type: text/html\r\n\r\n<b>\r\n\r\n--x--\r\n",
        b'(("text" "plain" %b NIL NIL "7bit" 1 0|)("text" "html" %b NIL NIL "7bit" 5 1|) '
        b'"alternative"' % (ASCII, ASCII),
        b' ("boundary" "x") NIL NIL NIL)',
    ),
    "a message": (
        b"Content-Type: MESSAGE/RFC822\r\n\r\nSubject: s\r\n\r\na\r\nb\r\n",
        b'("message" "rfc822" NIL NIL NIL "7bit" 20 '
        b'(NIL "s" NIL NIL NIL NIL NIL NIL NIL NIL) '
        b'("text" "plain" %b NIL NIL "7bit" 6 2|) 4' % ASCII,
        b" NIL NIL NIL NIL)",
    ),
    "an international message": (
        b"Content-Type: message/global\r\n\r\n\r\na",
        b'("message" "global" NIL NIL NIL "7bit" 3 '
        b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) "
        b'("text" "plain" %b NIL NIL "7bit" 1 0|) 1' % ASCII,
        b" NIL NIL NIL NIL)",
    ),
    "a message in base64, of which the grammar wants to know more": (
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA",
        b'("message" "rfc822" NIL NIL NIL "base64" 4 '
        b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) "
        b'("text" "plain" %b NIL NIL "7bit" 0 0|) 0' % ASCII,
        b" NIL NIL NIL NIL)",
    ),
    "broken": (
        b"Content-Type: text\r\nContent-Transfer-Encoding:\r\nContent-Disposition: ;\r\n\r\na",
        b'("text" "plain" %b NIL NIL "7bit" 1 0' % ASCII,
        b" NIL NIL NIL NIL)",
    ),
    "8 bit": (
        b'Content-Type: text/plain; charset=x; name="\xd0\xaf"\r\n\r\n',
        b'("text" "plain" ("charset" "x" "name" {2}\r\n\xd0\xaf) NIL NIL "7bit" 0 0',
        b" NIL NIL NIL NIL)",
    ),
}


@pytest.mark.parametrize(("data", "short", "extension"), CASES.values(), ids=CASES)
def test_structure(data: bytes, short: bytes, extension: bytes) -> None:
    """``|`` is where the extension data of inner parts stands."""
    body, bodystructure = both(data, parse(data))
    assert body == short.replace(b"|", b"") + b")"
    assert bodystructure == short.replace(b"|", b" NIL NIL NIL NIL") + extension


TYPES = {
    "text/plain": (b"text", b"plain", ()),
    " text / plain ; a = b ": (b"text", b"plain", ((b"a", b"b"),)),
    'a/b; x="1;2"; y=3': (b"a", b"b", ((b"x", b"1;2"), (b"y", b"3"))),
    'a/b; x="a\\"b"': (b"a", b"b", ((b"x", b'a"b'),)),
    'a/b; x="open; y=1': (b"a", b"b", ((b"x", b"open"), (b"y", b"1"))),
    "a/b;; x=1;": (b"a", b"b", ((b"x", b"1"),)),
    "a/b x=1": (b"a", b"b", ()),
    "a/b; x=": (b"a", b"b", ((b"x", b""),)),
    "a/b; x": (b"a", b"b", ()),
    "a (c)/b (d (e)); (f) x=(g)1": (b"a", b"b", ((b"x", b"1"),)),
    'a/b; x="(no comment)"': (b"a", b"b", ((b"x", b"(no comment)"),)),
    "a/b; x=a/b=": (b"a", b"b", ((b"x", b"a/b="),)),
    "a": None,
    "/b": None,
    "": None,
    "a/": None,
}


@pytest.mark.parametrize(("value", "expected"), TYPES.items())
def test_content_type(value: str, expected: object) -> None:
    assert content_type(value.encode()) == expected


PIECES = {
    "name*0=a; name*1=b": [("name", "ab")],
    "name*1=b; name*0=a; x=1": [("x", "1"), ("name", "ab")],
    "name*0*=utf-8''%D0; name*1*=%AF": [("name*", "utf-8''%D0%AF")],
    "name*0*=utf-8''%D0; name*1=\"a b*\"": [("name*", "utf-8''%D0a%20b%2A")],
    "name*=utf-8''%D0%AF": [("name*", "utf-8''%D0%AF")],
    "name*0=a; name*2=c": [("name", "a"), ("name*2", "c")],
    "name*1=b": [("name*1", "b")],
    "NAME*0=a; name*1=b": [("NAME", "ab")],
    "name*x=b": [("name*x", "b")],
    "name*99999999999=b": [("name*99999999999", "b")],
}


@pytest.mark.parametrize(("value", "expected"), PIECES.items())
def test_continuations(value: str, expected: list[tuple[str, str]]) -> None:
    found = parameters(b"; " + value.encode())
    assert [(name.decode(), text.decode()) for name, text in found] == expected


def test_disposition() -> None:
    assert disposition(b"ATTACHMENT; filename=x") == (b"ATTACHMENT", ((b"filename", b"x"),))
    assert disposition(b" ;") is None


@given(st.binary(max_size=100))
def test_comments_of_any_octets(value: bytes) -> None:
    assert len(without_comments(value)) <= len(value)
    content_type(value)
    disposition(value)
