"""Parts of messages: where they lie, however they were written."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.mime import bodystructure, section, text
from mtad.mime.envelope import envelope
from mtad.mime.message import MAX_DEPTH, MAX_PARTS, Part, parse, wire
from mtad.mime.sorting import keys
from tests.corpus import Mail

HEAD = b"MIME-Version: 1.0\r\n"


def multipart(boundary: bytes, body: bytes, subtype: bytes = b"mixed") -> bytes:
    return HEAD + b'Content-Type: multipart/%b; boundary="%b"\r\n\r\n%b' % (subtype, boundary, body)


def shape(part: Part) -> object:
    """Types of a tree: a name, or a list of name and children."""
    name = f"{part.kind.decode()}/{part.subtype.decode()}"
    if part.message is not None:
        return [name, shape(part.message)]
    return [name, *map(shape, part.children)] if part.children else name


def bodies(data: bytes) -> list[bytes]:
    """The contents of all parts without children."""
    return [
        data[part.body[0] : part.body[1]]
        for part in text.every(parse(data))
        if not part.children and part.message is None
    ]


PLAIN, HTML = "text/plain", "text/html"
TREES = {
    "nothing": (b"", PLAIN, [b""]),
    "no header": (b"\r\nbody", PLAIN, [b"body"]),
    "no body": (b"Subject: x\r\n", PLAIN, [b""]),
    "no colon in the header": (b"nonsense\r\nSubject: x\r\n\r\nbody", PLAIN, [b"body"]),
    "two parts": (
        multipart(b"x", b"pre\r\n--x\r\n\r\none\r\n--x\r\n\r\ntwo\r\n--x--\r\npost"),
        ["multipart/mixed", PLAIN, PLAIN],
        [b"one", b"two"],
    ),
    "empty parts": (
        multipart(b"x", b"--x\r\n--x\r\n\r\n\r\n--x\r\n\r\n--x--"),
        ["multipart/mixed", PLAIN, PLAIN, PLAIN],
        [b"", b"", b""],
    ),
    "no end": (
        multipart(b"x", b"--x\r\n\r\none\r\n--x\r\n\r\ntwo\r\n"),
        ["multipart/mixed", PLAIN, PLAIN],
        [b"one", b"two\r\n"],
    ),
    "a header cut off by a boundary": (
        multipart(b"x", b"--x\r\nContent-Type: text/html\r\n--x\r\n\r\ntwo\r\n--x--\r\n"),
        ["multipart/mixed", HTML, PLAIN],
        [b"", b"two"],
    ),
    "spaces behind a boundary": (
        multipart(b"x", b"--x  \t\r\n\r\none\r\n--x-- \r\n"),
        ["multipart/mixed", PLAIN],
        [b"one"],
    ),
    "no boundary": (HEAD + b"Content-Type: multipart/mixed\r\n\r\nx", "multipart/mixed", [b"x"]),
    "an empty boundary": (
        HEAD + b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n\r\nx',
        "multipart/mixed",
        [b"--\r\n\r\nx"],
    ),
    "an inner boundary that begins like the outer one": (
        multipart(
            b"x",
            b"--x\r\n"
            + multipart(b"xy", b"--xy\r\n\r\none\r\n--xy--\r\n")
            + b"--x\r\n\r\ntwo\r\n--x--",
        ),
        ["multipart/mixed", ["multipart/mixed", PLAIN], PLAIN],
        [b"one", b"two"],
    ),
    "the same boundary within": (
        multipart(
            b"x",
            b"--x\r\n"
            + multipart(b"x", b"--x\r\n\r\none\r\n--x--\r\n")
            + b"--x\r\n\r\ntwo\r\n--x--",
        ),
        ["multipart/mixed", ["multipart/mixed", PLAIN], PLAIN],
        [b"one", b"two"],
    ),
    "an inner multipart that the outer one ends": (
        multipart(
            b"x",
            b"--x\r\n" + multipart(b"y", b"--y\r\n\r\none\r\n") + b"--x\r\n\r\ntwo\r\n--x--",
        ),
        ["multipart/mixed", ["multipart/mixed", PLAIN], PLAIN],
        [b"one", b"two"],
    ),
    "a digest": (
        multipart(b"x", b"--x\r\n\r\nSubject: in\r\n\r\none\r\n--x--", b"digest"),
        ["multipart/digest", ["message/rfc822", PLAIN]],
        [b"one"],
    ),
    "a text in a digest": (
        multipart(b"x", b"--x\r\nContent-Type: text/html\r\n\r\none\r\n--x--", b"digest"),
        ["multipart/digest", HTML],
        [b"one"],
    ),
    "a message in a message": (
        HEAD + b"Content-Type: message/rfc822\r\n\r\nContent-Type: text/html\r\n\r\nbody",
        ["message/rfc822", HTML],
        [b"body"],
    ),
    "a message in base64 is not looked into": (
        HEAD
        + b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDo=",
        "message/rfc822",
        [b"U3ViamVjdDo="],
    ),
    "an international message": (
        HEAD + "Content-Type: message/global\r\n\r\nSubject: Я\r\n\r\nbody".encode(),
        ["message/global", PLAIN],
        [b"body"],
    ),
    "a broken type": (HEAD + b"Content-Type: text\r\n\r\nx", PLAIN, [b"x"]),
    "the first of two types counts": (
        b"Content-Type: text/html\r\nContent-Type: text/plain\r\n\r\nx",
        HTML,
        [b"x"],
    ),
    "a folded type with comments": (
        b"Content-Type: (what) text\r\n\t/html (that (is) it);\r\n charset=x\r\n\r\nx",
        HTML,
        [b"x"],
    ),
}


@pytest.mark.parametrize(("data", "tree", "contents"), TREES.values(), ids=TREES)
def test_parts(data: bytes, tree: object, contents: list[bytes]) -> None:
    assert shape(parse(data)) == tree
    assert bodies(data) == contents
    bare = data.replace(b"\r\n", b"\n")
    assert shape(parse(bare)) == tree
    assert bodies(bare) == [one.replace(b"\r\n", b"\n") for one in contents]
    assert wire(bare) == data


def test_a_closing_boundary_ends_its_multipart_with_its_line() -> None:
    inner = multipart(b"y", b"--y\r\n\r\none\r\n--y--\r\n")
    data = multipart(b"x", b"--x\r\n" + inner + b"--x--\r\n")
    part = parse(data).children[0]
    assert data[part.header[0] : part.body[1]] == inner


def test_lines_are_counted_in_texts_and_messages() -> None:
    data = HEAD + b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\none\r\ntwo"
    part = parse(data)
    assert part.message is not None
    assert (part.lines, part.message.lines) == (3, 1)


WIRES = {
    b"": b"",
    b"a": b"a",
    b"a\nb\n": b"a\r\nb\r\n",
    b"a\r\nb\n": b"a\r\nb\r\n",
    b"a\r\nb\r\n": b"a\r\nb\r\n",
    b"a\rb\n\r": b"a\rb\r\n\r",
    b"a\r\r\n": b"a\r\r\n",
}


@pytest.mark.parametrize(("stored", "sent"), WIRES.items())
def test_line_ends_become_crlf_once(stored: bytes, sent: bytes) -> None:
    assert wire(stored) == sent
    assert wire(sent) == sent


def test_depth_and_parts_are_bounded() -> None:
    deep = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%04d\r\n\r\n--b%04d\r\n" % (number, number)
        for number in range(3 * MAX_DEPTH)
    )
    assert sum(1 for _ in text.every(parse(deep))) == MAX_DEPTH + 1
    nested = b"Content-Type: message/rfc822\r\n\r\n" * 3 * MAX_DEPTH
    assert sum(1 for _ in text.every(parse(nested))) == MAX_DEPTH + 1
    wide = multipart(b"x", b"--x\r\n\r\n" * 2 * MAX_PARTS)
    parts = list(text.every(parse(wide)))
    assert len(parts) == MAX_PARTS
    assert parts[-1].body[1] == len(wide)


def whole(data: bytes) -> None:
    """Everything that is made of a message can be, and lies inside of it."""
    sent = wire(data)
    root = parse(sent)
    envelope(sent, root)
    bodystructure.both(sent, root)
    text.searchable(sent, root)
    for part in text.every(root):
        assert 0 <= part.header[0] <= part.header[1] == part.body[0] <= part.body[1] <= len(sent)
        for child in (*part.children, *([part.message] if part.message else [])):
            assert part.body[0] <= child.header[0]
            assert child.body[1] <= part.body[1]
        for before, after in zip(part.children, part.children[1:], strict=False):
            assert before.body[1] <= after.header[0]
    header = section.find(sent, root, (), "HEADER")
    content = section.find(sent, root, (), "TEXT")
    assert header is not None
    assert content is not None
    assert header + content == section.find(sent, root, ()) == sent.replace(b"\0", b"\x80")


@pytest.mark.parametrize(
    ("field", "piece"),
    [
        (b"no colon", b" "),
        (b"From: ", b"\n "),
        (b"From: ", b"\r"),
        (b"From: Ann <", b"("),
        (b"Subject: ", b"[a]"),
        (b"Subject: ", b"[fwd:"),
        (b"Content-Type: text/plain", b';a="'),
        (b"Content-Type: multipart/mixed; boundary=x\r\n\r\n", b"\n--x"),
    ],
)
def test_headers_take_time_in_proportion(field: bytes, piece: bytes) -> None:
    """With a regular expression that looks back, each of these takes minutes."""
    data = field + piece * (200_000 // len(piece)) + b"x"
    whole(data)
    keys(parse(data))


PIECES = (
    b"--x", b"--xy", b"--", b"\r\n", b"\n", b"\r", b": ", b";", b"=", b'"', b"(", b")", b"\\",
    b"<", b">", b"@", b",", b"[", b"]", b" ", b"\t", b"\0", b"\xff", "Я".encode("koi8-r"),
    b"Content-Type: ", b"multipart/digest", b"multipart/mixed; boundary=x", b"message/rfc822",
    b"multipart/mixed; boundary=xy", b"text/html; charset=koi8-r", b"name*0*=utf-8''%D0",
    b"name*1=x", b"Content-Transfer-Encoding: base64", b"Content-Disposition: attachment; ",
    b"From: ", b"Subject: ", b"References: ", b"Date: ", b"12 Jan 2020 10:00 +0300",
    b"=?utf-8?q?=D0?=", b"word", b"<!--", b"<script>",
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join))
def test_nothing_fails_on_made_up_mail(data: bytes) -> None:
    whole(data)


@given(st.binary(max_size=300))
def test_nothing_fails_on_any_octets(data: bytes) -> None:
    whole(data)


def test_nothing_fails_on_the_corpus(corpus: Sequence[Mail]) -> None:
    for mail in corpus:
        whole(mail.data)
