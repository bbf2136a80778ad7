"""What a message says, decoded: for SEARCH and previews (RFC 9051 6.4.4; PURE).

Text parts are read in their charset, or in what they seem to be written in where that is
unknown or false; of HTML the text a reader sees. Other parts have no text but their names.
"""

import unicodedata
from collections.abc import Iterator
from contextlib import suppress

from mtad import headers
from mtad.mime import html, words
from mtad.mime.decoding import UnknownEncoding, decoded
from mtad.mime.message import Part, parse

MAX_TEXT = 20 * 2**20
"""Octets of one part that are read as text."""


class Searchable:
    """A message's text ready to be searched: ``fold`` what is looked for."""

    __slots__ = ("body", "header")

    def __init__(self, header: str, body: str) -> None:
        self.header = header
        self.body = body

    def has_body(self, wanted: str) -> bool:
        """Whether the body has the text (SEARCH BODY)."""
        return wanted in self.body

    def has_text(self, wanted: str) -> bool:
        """Whether header or body has the text (SEARCH TEXT)."""
        return wanted in self.body or wanted in self.header


def fold(text: str) -> str:
    """Text without case, marks apart from their letters, as i;unicode-casemap (RFC 5051)."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKD", text).casefold()


def searchable(data: bytes, part: Part | None = None) -> Searchable:
    """The folded text of a message in its wire form.

    To its body belong all parts, with the header fields of parts and of messages inside.
    """
    root = parse(data) if part is None else part
    header = fold(_header(root))
    return Searchable(header, fold("\n".join(_texts(data, root))))


def of_part(data: bytes, part: Part, most: int = MAX_TEXT) -> str:
    """The text of one part, made from so many octets at most; empty where it has none."""
    if part.kind != b"text":
        return ""
    start, end = part.body
    octets = data[start : min(end, start + most)]
    with suppress(UnknownEncoding):  # then it is read as it stands
        octets = decoded(octets, part.encoding)
    found = headers.decode(octets, _charset(part))
    return html.text(found) if part.subtype in (b"html", b"xhtml") else found


def every(part: Part) -> Iterator[Part]:
    """The part and all below it, in order."""
    todo = [part]
    while todo:
        at = todo.pop()
        yield at
        todo += reversed(at.children)
        if at.message is not None:
            todo.append(at.message)


def _texts(data: bytes, root: Part) -> Iterator[str]:
    for part in every(root):
        if part is not root:
            yield _header(part)
        if part.kind == b"text":
            yield of_part(data, part)


def _header(part: Part) -> str:
    """All fields with their names, decoded, a field a line."""
    charset = _charset(part)
    return "\n".join(
        f"{name.decode('latin-1')}: {words.decoded(value, charset)}"
        for name, values in part.fields.items()
        for value in values
    )


def _charset(part: Part) -> str:
    named = part.parameter(b"charset") or b""
    return named.strip(b" '\"").decode("ascii", "replace").lower()
