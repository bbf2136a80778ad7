"""POP3's octets: command lines in, messages out (RFC 1939 3) (PURE)."""

import re

END = b".\r\n"
"""What ends a multi-line response."""

_LONE = re.compile(rb"(?<!\r)\n")
_BLANK = (b"", b"\r")


class TooLong(Exception):
    """A line had more octets than a command may have; it is passed over."""


class Lines:
    """Lines out of octets as they arrive, ended by CRLF or, as people type it, by LF alone."""

    def __init__(self, max_line: int) -> None:
        """``max_line`` counts octets with the line's end; it may change between lines."""
        self.max_line = max_line
        self._input = b""
        self._at = 0
        self._skips = False

    def feed(self, data: bytes) -> None:
        """Octets arrived."""
        self._input = self._input[self._at :] + data
        self._at = 0

    def next(self) -> bytes | None:
        """The next line without its end; None when it is not whole. Raises TooLong."""
        end = self._input.find(b"\n", self._at)
        if end < 0:
            if len(self._input) - self._at > self.max_line:
                self.forget()
                self._skips = True
            return None
        line, self._at = self._input[self._at : end], end + 1
        if self._skips or len(line) >= self.max_line:
            self._skips = False
            raise TooLong
        return line.removesuffix(b"\r")

    def forget(self) -> None:
        """Forget what has arrived and was not taken."""
        self._input, self._at, self._skips = b"", 0, False


class Stuffer:
    """A message as a multi-line response, piece by piece.

    Lines end in CRLF whatever they ended in, those that begin with a dot get another one, and
    the last one has an end even where the message has none there.
    """

    def __init__(self) -> None:
        self._held = b""
        self._at_start = True

    def feed(self, data: bytes) -> bytes:
        """What to send for a piece of the message."""
        if self._held:
            data, self._held = self._held + data, b""
        if data.endswith(b"\r"):
            data, self._held = data[:-1], b"\r"
        if not data:
            return b""
        if data.count(b"\n") != data.count(b"\r\n"):
            data = _LONE.sub(b"\r\n", data)
        starts, self._at_start = self._at_start, data.endswith(b"\n")
        data = data.replace(b"\n.", b"\n..")
        return b"." + data if starts and data.startswith(b".") else data

    def end(self) -> bytes:
        """What to send after the last piece."""
        last = self._held + (b"" if self._at_start and not self._held else b"\r\n")
        self._held, self._at_start = b"", True
        return last + END


class Cut:
    """The beginning of a message: its header and the first ``lines`` of its body (TOP)."""

    def __init__(self, lines: int) -> None:
        self.is_done = False
        """Whether nothing further belongs to it."""
        self._left = lines
        self._in_header = True
        self._is_blank = True

    def feed(self, data: bytes) -> bytes:
        """As much of a piece of the message as belongs to it."""
        at = 0
        while not self.is_done:
            if not self._in_header and data.count(b"\n", at) < self._left:
                self._left -= data.count(b"\n", at)
                return data
            end = data.find(b"\n", at)
            if end < 0:
                self._is_blank = self._is_blank and data[at:] in _BLANK
                return data
            is_blank = self._is_blank and data[at:end] in _BLANK
            at, self._is_blank = end + 1, True
            if not self._in_header:
                self._left -= 1
            elif is_blank:
                self._in_header = False
            self.is_done = not self._in_header and not self._left
        return data[:at]
