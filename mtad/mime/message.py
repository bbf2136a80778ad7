"""The parts of a message and where they lie (RFC 2045, RFC 2046, RFC 5322; PURE).

Made for hostile input: whatever the octets are, there is a tree of parts, and every offset is
inside of the message. Clients of IMAP and POP3 see messages with CRLF; the store keeps them as
they came, mostly with LF. ``wire`` makes the one of the other, and everything here that has
offsets or sizes is about that form.
"""

import re

from mtad.mime import fields
from mtad.mime.fields import Fields
from mtad.mime.parameters import Parameters, content_type

MAX_DEPTH = 100
"""Parts inside of parts that are looked into."""
MAX_PARTS = 10_000
"""Parts of one message; what follows belongs to the last one."""
MAX_BOUNDARY = 78
"""Octets of a boundary that count; RFC 2046 5.1.1 allows 70."""

US_ASCII: Parameters = ((b"charset", b"us-ascii"),)

_EMPTY = re.compile(rb"\n\r?\n")
_ENCLOSING = frozenset({b"rfc822", b"global"})


class Part:
    """One part: its media type, its header's fields, where header and body lie, its children.

    ``kind`` and ``subtype`` are in lower case, ``written`` has them as they were sent. Header
    and body are (start, end) into the message; the empty line belongs to the header. A multipart
    has ``children``, a message/rfc822 or message/global has the ``message`` it encloses.
    ``lines`` counts line ends in the bodies of text and of messages, and is 0 for others.
    """

    __slots__ = (
        "body",
        "children",
        "fields",
        "header",
        "kind",
        "lines",
        "message",
        "params",
        "subtype",
        "written",
    )

    def __init__(self, start: int) -> None:
        self.kind = b"text"
        self.subtype = b"plain"
        self.written = (b"text", b"plain")
        self.params: Parameters = US_ASCII
        self.fields: Fields = {}
        self.header = (start, start)
        self.body = (start, start)
        self.lines = 0
        self.children: list[Part] = []
        self.message: Part | None = None

    @property
    def is_multipart(self) -> bool:
        """Whether it says so; it may have no children all the same."""
        return self.kind == b"multipart"

    @property
    def encloses(self) -> bool:
        """Whether its type says that it has a message; ``message`` is None if that is encoded."""
        return self.kind == b"message" and self.subtype in _ENCLOSING

    @property
    def encoding(self) -> bytes:
        """The Content-Transfer-Encoding in lower case; 7bit where nothing is said."""
        named = fields.last(self.fields, b"content-transfer-encoding")
        return b"7bit" if not named else named.split(b";")[0].strip().lower()

    def parameter(self, name: bytes) -> bytes | None:
        """The first parameter of a name, which is in lower case."""
        for key, value in self.params:
            if key.lower() == name:
                return value
        return None


class _Open:
    """A multipart whose end has not come: its delimiter and where that is seen next."""

    __slots__ = ("delimiter", "depth", "next")

    def __init__(self, delimiter: bytes, depth: int) -> None:
        self.delimiter = delimiter
        self.depth = depth
        self.next = -1


def wire(data: bytes) -> bytes:
    """A stored message as it goes to clients: every line ends with CRLF, once."""
    if b"\r" not in data:
        return data.replace(b"\n", b"\r\n")
    if data.count(b"\r\n") == data.count(b"\n"):
        return data
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def parse(data: bytes) -> Part:
    """The parts of a message in its wire form."""
    return _Parser(data).run()


class _Parser:
    """One walk down a message; a multipart ends where a boundary around it says so."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._count = 0
        self._path: list[Part] = []
        """From the message itself down to the part that is being filled."""
        self._open: list[_Open] = []
        """The multiparts of the path that were not closed, the innermost last."""

    def run(self) -> Part:
        root = Part(0)
        at = self._descend(root, 0, is_digest=False)
        while (follows := self._boundary(at)) is not None:
            start, opened = follows
            # The line of a closing boundary is the multipart's, its end included.
            self._close(opened.depth + 1, max(at, self._before_line_end(start)))
            while self._open[-1] is not opened:
                self._open.pop()
            end = self._data.find(b"\n", start)
            at = end + 1 if end >= 0 else len(self._data)
            if self._data.startswith(b"--", start + len(opened.delimiter)):
                # What follows, up to a boundary further out, is the epilogue.
                self._open.pop()
                continue
            multipart = self._path[opened.depth]
            part = Part(at)
            multipart.children.append(part)
            at = self._descend(part, at, is_digest=multipart.subtype == b"digest")
        self._close(0, len(self._data))
        return root

    def _descend(self, part: Part, at: int, *, is_digest: bool) -> int:
        """Read a part's header and those of messages in it; returns where contents begin."""
        data = self._data
        while True:
            follows = self._boundary(at)
            limit = follows[0] if follows else len(data)
            end = _header_end(data, at, limit)
            part.header, part.body = (at, end), (end, end)
            part.fields = fields.read(data, at, end)
            _name(part, is_digest=is_digest)
            self._path.append(part)
            self._count += 1
            at = end
            depth = len(self._path)
            if depth > MAX_DEPTH or self._count >= MAX_PARTS:
                if self._count >= MAX_PARTS:
                    self._open.clear()
                return at
            if part.kind == b"multipart":
                delimiter = part.parameter(b"boundary")
                if delimiter:
                    self._open.append(_Open(b"--" + delimiter[:MAX_BOUNDARY], depth - 1))
                return at
            if not part.encloses or _is_coded(part):
                return at
            part.message = part = Part(at)
            is_digest = False

    def _boundary(self, at: int) -> tuple[int, _Open] | None:
        """The next line that begins with an open multipart's delimiter, and which one's.

        Where several fit the longest counts, and of equal ones the innermost.
        """
        best, chosen = -1, None
        for opened in reversed(self._open):
            if opened.next < at:
                found = self._data.find(b"\n" + opened.delimiter, max(at - 1, 0))
                opened.next = found + 1 if found >= 0 else len(self._data) + 1
            if opened.next > len(self._data):
                continue
            if (
                chosen is None
                or opened.next < best
                or (opened.next == best and len(opened.delimiter) > len(chosen.delimiter))
            ):
                best, chosen = opened.next, opened
        return None if chosen is None else (best, chosen)

    def _close(self, depth: int, end: int) -> None:
        """End the parts of the path from ``depth`` on."""
        while len(self._path) > depth:
            part = self._path.pop()
            start = part.body[0]
            part.body = (start, max(start, end))
            if part.kind in (b"text", b"message"):
                part.lines = self._data.count(b"\n", start, max(start, end))

    def _before_line_end(self, at: int) -> int:
        """Where the line end before a boundary begins, which is part of the boundary."""
        return at - 2 if self._data.startswith(b"\r\n", at - 2) and at >= 2 else at - 1


def _is_coded(part: Part) -> bool:
    """Whether a part's octets are base64 or quoted-printable."""
    return part.encoding in (b"base64", b"quoted-printable")


def _name(part: Part, *, is_digest: bool) -> None:
    """Set a part's media type from its header (RFC 2045 5.2, RFC 2046 5.1.5)."""
    named = part.fields.get(b"content-type")
    if named is None:
        if is_digest:
            part.kind, part.subtype = part.written = b"message", b"rfc822"
            part.params = ()
        return
    found = content_type(named[0])
    if found is None:
        return
    kind, subtype, part.params = found
    part.written = kind, subtype
    part.kind, part.subtype = kind.lower(), subtype.lower()


def _header_end(data: bytes, start: int, limit: int) -> int:
    """Where the empty line after a header ends, ``limit`` where there is none before."""
    if data.startswith(b"\r\n", start):
        return min(start + 2, limit)
    if data.startswith(b"\n", start):
        return min(start + 1, limit)
    found = _EMPTY.search(data, start, limit)
    return found.end() if found else limit
