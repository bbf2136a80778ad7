"""Decoded text: headers, bodies, HTML, previews, and the search in them."""

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.mime import html, preview, words
from mtad.mime.message import parse, wire
from mtad.mime.text import every, fold, of_part, searchable
from tests import mails

WORDS = {
    b"plain text": "plain text",
    b"=?koi8-r?B?8NLJ18XU?=": "Привет",
    b"=?windows-1251?Q?=CF=F0=E8=E2=E5=F2?=": "Привет",
    b"=?utf-8?q?=D0=9F=D1?= =?utf-8?q?=80=D0=B8=D0=B2=D0=B5=D1=82?=": "Привет",
    b"=?utf-8?b?0J/RgNC4?=\r\n =?utf-8?b?0LLQtdGC?=": "Привет",
    b"=?iso-8859-15?q?5_=A4?=": "5 €",
    b"=?gb2312?B?xOO6ww==?=": "你好",
    b"=?big5?B?p0Gmbg==?=": "你好",
    b"=?nonsense?q?=CF=F0=E8=E2=E5=F2?=": "Привет",
    b"=?utf-8?q?broken": "=?utf-8?q?broken",
    b"=?utf-8?B?!!!?=": "",
    "Привет".encode("koi8-r"): "Привет",
    "Привет".encode("cp1251"): "Привет",
    "Привет".encode(): "Привет",
    b"a\r\n b\t c\0": "a b c",
}


@pytest.mark.parametrize(("value", "expected"), WORDS.items())
def test_words(value: bytes, expected: str) -> None:
    assert words.decoded(value) == expected


CHARSETS = ("utf-8", "koi8-r", "windows-1251", "iso-8859-5", "ibm866", "utf-16", "koi8-u")
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю."


@pytest.mark.parametrize("charset", CHARSETS)
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit"])
def test_a_body_in_its_charset(charset: str, encoding: str) -> None:
    raw = RUSSIAN.encode(charset)
    body = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}.get(
        encoding, bytes
    )(raw)
    head = f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}"
    data = head.encode() + b"\r\n\r\n" + body
    assert of_part(data, parse(data)).strip() == RUSSIAN


@pytest.mark.parametrize("said", ["", "; charset=us-ascii", "; charset=x-none", '; charset="'])
@pytest.mark.parametrize("charset", ["utf-8", "koi8-r", "cp1251"])
def test_a_body_in_a_charset_it_does_not_say(said: str, charset: str) -> None:
    data = f"Content-Type: text/plain{said}\r\n\r\n".encode() + RUSSIAN.encode(charset)
    assert of_part(data, parse(data)) == RUSSIAN


def test_an_unknown_encoding_is_read_as_it_stands() -> None:
    data = b"Content-Transfer-Encoding: x-gzip64\r\n\r\nH4sI\r\n"
    assert of_part(data, parse(data)) == "H4sI\r\n"


PAGES = {
    "plain": "plain",
    "a&lt;b &amp; &#1071;&nbsp;x": "a<b & Я x",
    "wo<b>rd</b>s": "words",
    "one<br>two<p>three</p>four": "one\ntwo\nthree\nfour",
    "a<script>if (1 < 2) x</script>b": "ab",
    "a<STYLE type='x'>p { }</Style >b": "ab",
    "a<!-- no > comment -->b": "ab",
    "a<!-- open": "a",
    "a<script>open": "a",
    "1 < 2 and 3 > 2": "1 < 2 and 3 > 2",
    "<!DOCTYPE html><?xml x?>a": "a",
    "a<b": "a",
    "İ<script>x</script>y": "İy",
    "": "",
}


@pytest.mark.parametrize(("page", "expected"), PAGES.items())
def test_html(page: str, expected: str) -> None:
    shown = html.text(page)
    assert [line for line in shown.split("\n") if line] == [
        line for line in expected.split("\n") if line
    ]


@given(st.lists(st.sampled_from(("<", ">", "<!--", "-->", "<script", "</script", "&", "x", "/"))))
def test_html_of_any_kind(pieces: list[str]) -> None:
    html.text("".join(pieces))


def test_html_takes_time_in_proportion() -> None:
    """Each of these takes minutes with a look ahead from every mark."""
    for piece in ("<!--", "<script>", "<a ", "<", "&lt", "</", "<style><!--"):
        html.text(piece * 300_000)


FOLDS = {
    ("ПРИВЕТ", "привет"),
    ("Straße", "STRASSE"),
    ("Ёлка", "ёлка"),
    ("ﬁne", "FINE"),
    ("é", "e\u0301"),
    ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
}


@pytest.mark.parametrize(("one", "other"), sorted(FOLDS))
def test_fold(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize("charset", ["utf-8", "koi8-r", "windows-1251", "iso-8859-5"])
@pytest.mark.parametrize("made", [mails.russian, mails.raw_russian])
def test_search_in_russian(charset: str, made: object) -> None:
    assert callable(made)
    data = wire(made(charset))
    found = searchable(data)
    assert found.has_text(fold("ОПЛАТУ"))
    assert not found.has_body(fold("оплату"))
    assert found.has_body(fold("привет!" if made is mails.raw_russian else "Счёт во ВЛОЖЕНИИ"))
    assert not found.has_text(fold("нет этого"))


NESTED = (
    b"Subject: outer\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\npreamble\r\n--x\r\n"
    b"Content-Type: text/html\r\n\r\n<p title=hidden>Some <b>bo</b>ld text</p>\r\n--x\r\n"
    b'Content-Type: application/pdf; name="report.pdf"\r\n\r\nsecret octets\r\n--x\r\n'
    b"Content-Type: message/rfc822\r\n\r\nSubject: =?utf-8?q?inn=65r?=\r\n\r\ndeep\r\n--x--\r\n"
)


@pytest.mark.parametrize(
    ("wanted", "is_body", "is_text"),
    [
        ("Some bold text", True, True),
        ("report.pdf", True, True),
        ("subject: inner", True, True),
        ("deep", True, True),
        ("outer", False, True),
        ("subject: outer", False, True),
        ("hidden", False, False),
        ("secret", False, False),
        ("preamble", False, False),
    ],
)
def test_what_is_searched(wanted: str, is_body: bool, is_text: bool) -> None:
    found = searchable(NESTED)
    assert found.has_body(fold(wanted)) is is_body
    assert found.has_text(fold(wanted)) is is_text


def test_parts_are_in_order() -> None:
    kinds = [part.subtype for part in every(parse(NESTED))]
    assert kinds == [b"mixed", b"html", b"pdf", b"rfc822", b"plain"]


def shown(data: str) -> str:
    raw = data.replace("\n", "\r\n").encode()
    return preview.preview(raw, parse(raw))


PREVIEWS = {
    "\nHello,\n\n  this is it.\n": "Hello, this is it.",
    "\n> quoted\nanswer\n> quoted\n": "answer",
    "\n> all\n> quoted\n": "> all > quoted",
    "Content-Type: text/html\n\n<style>p {}</style><p>Hi&nbsp;<b>you</b></p>": "Hi you",
    "Content-Type: image/png\n\nxx": "",
    "\n\u200b\u202eHi\x1b[31m\n": "Hi [31m",
    "\n" + "long " * 99: ("long " * 40).rstrip(),
    "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/html\n\n<p>html\n--x\n"
    "Content-Disposition: Attachment\n\nattached\n--x\n\n \n--x\n\nplain\n--x--": "plain",
}


@pytest.mark.parametrize(("data", "expected"), PREVIEWS.items())
def test_preview(data: str, expected: str) -> None:
    assert shown(data) == expected
