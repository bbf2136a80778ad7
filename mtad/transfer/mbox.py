"""Messages out of an mbox, however large, one after the other (PURE but for the file it reads).

A line ``From sender date`` begins each message, and an empty line ends it. Writers differ in
what keeps such a line inside a message apart: mboxo puts ``>`` before it, mboxrd one more ``>``
before lines that have some already, mboxcl2 nothing, for a Content-Length says where the message
ends. That is believed only where a message or the end of the file follows there. No standard but
RFC 4155 describes any of it, and that only names the format.
"""

import io
import re
from collections.abc import Iterator
from typing import IO, NamedTuple

from mtad.mime import dates

FORMS = ("auto", "mboxrd", "mboxo", "mboxcl2")
BLOCK = 256 * 1024
"""Octets read at once; a line that begins a message is shorter."""
MAX_HEADER = 64 * 1024
"""Octets of a header in which a Content-Length is looked for."""
_FROM = re.compile(rb"^>*From ", re.MULTILINE)
_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_STRICT = re.compile(
    rb"From [^\n]{0,998}?\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +(?:\d{1,2}[ -])?"
    + _MONTH
    + rb"[ -][^\n]{0,20}\d:\d\d[^\n]{0,60}\n"
)
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,15})[ \t]*\r?\n", re.IGNORECASE | re.MULTILINE)
_HEADER_END = re.compile(rb"\n\r?\n")
_ZONE_INSIDE = re.compile(rb"( \d\d:\d\d(?::\d\d)?) ([+-]\d{4})( \d{4})")
_NEXT = re.compile(rb"(?:\r?\n)?(?:From |\Z)")


class NoMbox(ValueError):
    """What is read does not begin like an mbox."""


class Letter(NamedTuple):
    """One message: where its From line begins, that line, and its octets.

    ``chunks`` is good until the next message is asked for.
    """

    offset: int
    line: bytes
    chunks: Iterator[bytes]

    @property
    def at_ns(self) -> int:
        """The time in the From line, which says no zone, so in UTC; 0 for none."""
        found = dates.sent(_ZONE_INSIDE.sub(rb"\1\3 \2", self.line[5:].strip())[-60:])
        return found[0] * 1_000_000_000 if found else 0


class Mbox:
    """An mbox that is being read. ``size`` of a file that can be sought in, else 0."""

    def __init__(self, file: IO[bytes], form: str = "auto", size: int = 0) -> None:
        self._file = file
        self._form = form
        self._size = size
        # What was read and is not used up, with one octet before it to tell a line's beginning.
        self._data = b"\n"
        self._at = 1
        self._base = -1
        self._ended = False
        self._loose = False

    def __iter__(self) -> Iterator[Letter]:
        """Each message in turn. Raises NoMbox, and OSError where reading fails."""
        self._begin()
        while True:
            self._fill(BLOCK)
            if self._at == len(self._data):
                return
            end = self._data.find(b"\n", self._at) + 1 or len(self._data)
            line, offset = self._data[self._at : end], self._base + self._at
            self._at = end
            chunks = self._body()
            yield Letter(offset, line, chunks)
            for _ in chunks:
                pass

    def _begin(self) -> None:
        """Pass by empty lines before the first message."""
        self._fill(BLOCK)
        while self._data[self._at : self._at + 1] in (b"\n", b"\r"):
            self._at += 1
        if self._at == len(self._data):
            return
        if not self._data.startswith(b"From ", self._at):
            raise NoMbox("it does not begin with a From line")
        self._loose = not _STRICT.match(self._data, self._at)

    def _fill(self, wanted: int) -> None:
        """Have so many octets unless the file ends before."""
        if len(self._data) - self._at >= wanted or self._ended:
            return
        parts = [self._data[self._at - 1 :]]
        self._base += self._at - 1
        self._at = 1
        have = len(parts[0]) - 1
        while have < wanted:
            part = self._file.read(BLOCK)
            if not part:
                self._ended = True
                break
            parts.append(part)
            have += len(part)
        self._data = b"".join(parts)

    # ------------------------------------------------------------------ bodies

    def _body(self) -> Iterator[bytes]:
        length = self._length()
        if length is None:
            yield from self._until_from()
            return
        while length:
            self._fill(1)
            part = self._data[self._at : self._at + length]
            if not part:
                return
            self._at += len(part)
            length -= len(part)
            yield part
        self._fill(BLOCK)
        for blank in (b"\n", b"\r\n"):
            if self._data.startswith(blank, self._at):
                self._at += len(blank)
                break

    def _length(self) -> int | None:
        """The octets of the message by its Content-Length, where that is to be believed."""
        if self._form not in ("auto", "mboxcl2"):
            return None
        self._fill(MAX_HEADER)
        ended = _HEADER_END.search(self._data, self._at - 1, self._at + MAX_HEADER)
        if ended is None:
            return None
        found = _LENGTH.search(self._data, self._at, ended.end())
        if found is None:
            return None
        body = int(found[1])
        length = ended.end() - self._at + body
        end = self._at + length
        if end + 10 <= len(self._data) or self._ended:
            after = self._data[end : end + 10] if end <= len(self._data) else b"x"
        elif self._size:
            after = self._peek(self._base + end)
        else:
            return length if self._form == "mboxcl2" else None
        return length if _NEXT.match(after) else None

    def _peek(self, offset: int) -> bytes:
        """Octets further on in the file."""
        if offset > self._size:
            return b"x"
        here = self._file.tell()
        self._file.seek(offset)
        after = self._file.read(10)
        self._file.seek(here, io.SEEK_SET)
        return after

    def _until_from(self) -> Iterator[bytes]:
        """Octets up to the next From line, without the empty line before that."""
        while True:
            self._fill(BLOCK)
            start, data = self._at, self._data
            end = self._whole_lines()
            for found in _FROM.finditer(data, start, end):
                at = found.start()
                if data[at : at + 1] != b">":
                    if self._separates(at):
                        if text := data[start : self._without_blank(start, at)]:
                            yield text
                        self._at = at
                        return
                elif self._unquotes(found[0]):
                    yield data[start:at]
                    start = at + 1
            if self._ended and end == len(data):
                if text := data[start : self._without_blank(start, end)]:
                    yield text
                self._at = end
                return
            self._at = end
            if start < end:
                yield data[start:end]

    def _whole_lines(self) -> int:
        """The end of the whole lines there are, less an empty one that may end the message."""
        data = self._data
        if self._ended:
            return len(data)
        end = data.rfind(b"\n", self._at) + 1
        end = self._without_blank(self._at, end)
        return end if end > self._at else len(data)

    def _without_blank(self, start: int, end: int) -> int:
        """``end`` or, where an empty line stands before it, that one's beginning."""
        for blank in (b"\n", b"\r\n"):
            begin = end - len(blank)
            if begin >= start and self._data[begin - 1 : end] == b"\n" + blank:
                return begin
        return end

    def _separates(self, at: int) -> bool:
        """Whether a line that begins with From begins a message."""
        if self._loose:
            return self._without_blank(0, at) < at
        return _STRICT.match(self._data, at) is not None

    def _unquotes(self, found: bytes) -> bool:
        return self._form in ("auto", "mboxrd") or (self._form == "mboxo" and found == b">From ")
