"""ENVELOPE: addresses however they were written, and text that is none of ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.mime.addresses import Address, parse
from mtad.mime.envelope import envelope
from mtad.mime.message import parse as parse_message

NONE, DOMAIN = "MISSING_MAILBOX", "MISSING_DOMAIN"
END = (None, None, None, None)
ADDRESSES = {
    "a@b.c": [(None, None, "a", "b.c")],
    "<a@b.c>": [(None, None, "a", "b.c")],
    "Ann Bee <a@b.c>": [("Ann Bee", None, "a", "b.c")],
    "  Ann\t Bee\r\n <a@b.c>\r\n": [("Ann Bee", None, "a", "b.c")],
    '"Bee, Ann" <a@b.c>, d@e.f': [("Bee, Ann", None, "a", "b.c"), (None, None, "d", "e.f")],
    '"a\\"b" <a@b.c>': [('a"b', None, "a", "b.c")],
    '"Ann" B. "Bee" <a@b.c>': [("Ann B. Bee", None, "a", "b.c")],
    '"Ann\r\n Bee" <a@b.c>': [("Ann Bee", None, "a", "b.c")],
    "J. R. Doe <a@b.c>": [("J. R. Doe", None, "a", "b.c")],
    "=?utf-8?q?J=C3=B6rg?= <a@b.c>": [("=?utf-8?q?J=C3=B6rg?=", None, "a", "b.c")],
    "a@b.c (Ann (the) Bee)": [("Ann (the) Bee", None, "a", "b.c")],
    "<a@b.c> (Ann)": [("Ann", None, "a", "b.c")],
    "(Ann) Bee <a@b.c>": [("Bee", None, "a", "b.c")],
    "a(x)@(y)b(z).c": [("z", None, "a", "b.c")],
    "Ann <@r.x,@s.y:a@b.c>": [("Ann", "@r.x,@s.y", "a", "b.c")],
    "a . b @ c . d": [(None, None, "a.b", "c.d")],
    "a@[192.0.2.1]": [(None, None, "a", "[192.0.2.1]")],
    '"a b"@c.d': [(None, None, "a b", "c.d")],
    '"Ann" <"a b"@c.d>': [("Ann", None, "a b", "c.d")],
    "Team: a@b.c, Dee <d@e.f>;": [
        (None, None, "Team", None),
        (None, None, "a", "b.c"),
        ("Dee", None, "d", "e.f"),
        END,
    ],
    "undisclosed-recipients:;": [(None, None, "undisclosed-recipients", None), END],
    "A: a@b.c;, B:;": [
        (None, None, "A", None),
        (None, None, "a", "b.c"),
        END,
        (None, None, "B", None),
        END,
    ],
    "Team: a@b.c": [(None, None, "Team", None), (None, None, "a", "b.c"), END],
    "(none)Nobody:(nobody (I know)) ;": [(None, None, "Nobody", None), END],
    "": [],
    " , ,": [],
    "(only a comment)": [],
    "a@b.c,,d@e.f,": [(None, None, "a", "b.c"), (None, None, "d", "e.f")],
    "a@b.c; d@e.f": [(None, None, "a", "b.c"), (None, None, "d", "e.f")],
    "root": [(None, None, "root", DOMAIN)],
    "root (Charlie)": [("Charlie", None, "root", DOMAIN)],
    "Ann Bee": [("Ann Bee", None, NONE, DOMAIN)],
    '"Ann Bee"': [("Ann Bee", None, NONE, DOMAIN)],
    "Ann <>": [("Ann", None, NONE, DOMAIN)],
    "<>": [(None, None, NONE, DOMAIN)],
    "@b.c": [(None, None, NONE, "b.c")],
    "a@": [(None, None, "a", DOMAIN)],
    "Ann <a@b.c": [("Ann", None, "a", "b.c")],
    "Ann <a b@c.d>": [("Ann", None, "a b", "c.d")],
    "Ann a@b.c": [("Ann", None, "a", "b.c")],
    "a@b.c <d@e.f>": [("a@b.c", None, "d", "e.f")],
    "a@b.c d@e.f": [(None, None, "a", "b.c")],
    "Ann [Bee] <a@b.c>": [("Ann [Bee]", None, "a", "b.c")],
    '"Ann <a@b.c>': [("Ann", None, "a", "b.c")],
    "(Ann <a@b.c>": [],
}  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), ADDRESSES.items())
def test_addresses(value: str, expected: list[tuple[str | None, ...]]) -> None:
    shown = [
        tuple(None if part is None else part.decode() for part in one)
        for one in parse(value.encode())
    ]
    assert shown == expected


@given(st.text(alphabet='ab.@<>,:;()"\\[] \t\r\n\0é', max_size=60))
def test_groups_are_closed_and_no_part_is_empty(value: str) -> None:
    depth = 0
    for name, route, mailbox, host in parse(value.encode()):
        if host is None:
            assert (name, route) == (None, None)
            depth += 1 if mailbox is not None else -1
        else:
            assert mailbox is not None
            assert host
        assert 0 <= depth <= 1
    assert depth == 0


@given(
    st.lists(
        st.tuples(
            st.none() | st.text('abcÄ .,\\"@<', min_size=1, max_size=9).map(str.strip),
            st.text("abc.-", min_size=1, max_size=9),
            st.text("abc.-", min_size=1, max_size=9),
        ),
        max_size=5,
    )
)
def test_what_was_written_well_comes_back(written: list[tuple[str | None, str, str]]) -> None:
    def quoted(name: str) -> str:
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '" '

    value = ", ".join(f"{quoted(name) if name else ''}<{a}@{b}>" for name, a, b in written)
    expected = [
        Address(name.encode() if name else None, None, a.encode(), b.encode())
        for name, a, b in written
    ]
    assert parse(value.encode()) == expected


def of(header: bytes) -> bytes:
    return envelope(header, parse_message(header))


ENVELOPES = {
    "nothing": (b"", b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
    "all": (
        b"Date: Mon, 1 Jan 2024\r\nSubject: a\r\nFrom: F <f@x>\r\nSender: s@x\r\nReply-To: r@x\r\n"
        b"To: t@x\r\nCc: c@x\r\nBcc: b@x\r\nIn-Reply-To: <i@x>\r\nMessage-ID: <m@x>\r\n\r\n",
        b'("Mon, 1 Jan 2024" "a" (("F" NIL "f" "x")) ((NIL NIL "s" "x")) ((NIL NIL "r" "x")) '
        b'((NIL NIL "t" "x")) ((NIL NIL "c" "x")) ((NIL NIL "b" "x")) "<i@x>" "<m@x>")',
    ),
    "From stands for Sender and Reply-To": (
        b"From: f@x\r\nReply-To:\r\n\r\n",
        b'(NIL NIL ((NIL NIL "f" "x")) ((NIL NIL "f" "x")) ((NIL NIL "f" "x")) '
        b"NIL NIL NIL NIL NIL)",
    ),
    "empty is not missing": (
        b"Subject:\r\nMessage-ID: \r\n\r\n",
        b'(NIL "" NIL NIL NIL NIL NIL NIL NIL "")',
    ),
    "folded": (
        b"SUBJECT: a\r\n \tb\r\nMessage-ID:\r\n <m@x>\r\n\r\n",
        b'(NIL "a b" NIL NIL NIL NIL NIL NIL NIL "<m@x>")',
    ),
    "folded with LF": (
        b"Subject: a\n b\nIn-Reply-To: <a>\n\t<b>\n\n",
        b'(NIL "a b" NIL NIL NIL NIL NIL NIL "<a>\t<b>" NIL)',
    ),
    "quotes": (
        b'Subject: a "b" \\c\r\n\r\n',
        b'(NIL "a \\"b\\" \\\\c" NIL NIL NIL NIL NIL NIL NIL NIL)',
    ),
    "8 bit": (
        "Subject: Привет\r\n\r\n".encode("koi8-r"),
        b"(NIL {6}\r\n" + "Привет".encode("koi8-r") + b" NIL NIL NIL NIL NIL NIL NIL NIL)",
    ),
    "NUL and CR": (
        b"Subject: a\0b\rc\r\n\r\n",
        b"(NIL {5}\r\na\x80b c NIL NIL NIL NIL NIL NIL NIL NIL)",
    ),
    "two From fields are one, the last Subject counts": (
        b"From: a@x\r\nFrom: b@x\r\nSubject: 1\r\nSubject: 2\r\n\r\n",
        b'(NIL "2" ((NIL NIL "a" "x")(NIL NIL "b" "x")) ((NIL NIL "a" "x")(NIL NIL "b" "x")) '
        b'((NIL NIL "a" "x")(NIL NIL "b" "x")) NIL NIL NIL NIL NIL)',
    ),
}


@pytest.mark.parametrize(("header", "expected"), ENVELOPES.values(), ids=ENVELOPES)
def test_envelope(header: bytes, expected: bytes) -> None:
    assert of(header) == expected
