"""The octets after DATA or BDAT: from the wire to a message with line ends LF (PURE).

Pieces of any size go in. ``DataReader`` looks for the end: only CRLF.CRLF is one, even across
pieces, and a leading dot is taken away after CRLF and on the first line (RFC 5321 4.1.1.4,
4.5.2). ``ChunkReader`` counts, and to it a dot is a dot (RFC 3030 2). What follows the end is
handed back for the next command. A CR or LF that stands alone is noticed: such a message must
be refused and the connection closed, or what one server takes for a line another takes for the
end (RFC 5321 2.3.8). Lines of any length and NUL are kept as they came: real mail has both, and
refusing it loses mail.
"""

BLOCK = 256 * 1024
"""Octets gathered before they are converted; also the most that is searched at once."""

END = b"\r\n.\r\n"
DOT = b"\r\n."


class Reader:
    """One message being received; at most ``limit`` octets of it are kept.

    ``size`` counts as RFC 1870 does: CRLF as two, without dots of transparency and without
    the terminator. Over the limit the rest is read and forgotten.
    """

    __slots__ = (
        "_has_dots",
        "_pending",
        "_started",
        "dropped",
        "held",
        "is_bare",
        "limit",
        "parts",
        "received",
        "size",
    )

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.parts: list[bytes] = []
        """The message so far, line ends LF, in order."""
        self.size = 0
        self.received = 0
        """Octets from the wire that belong to the message, the terminator included."""
        self.held = 0
        """Octets of memory the message takes at present."""
        self.is_bare = False
        """Whether a CR or LF stood alone."""
        self.dropped = False
        """Whether the content was given up; the end is still to be awaited."""
        # The line before the message ended in CRLF: so the first line is like any other.
        self._pending = bytearray(b"\r\n")
        self._started = False
        self._has_dots = False

    @property
    def is_too_large(self) -> bool:
        """Whether more octets came than the limit allows."""
        return self.size > self.limit

    def drop(self) -> None:
        """Give the content up; what still comes is read and forgotten."""
        self.dropped = True
        self.parts.clear()
        self.held = len(self._pending)

    def _take(self, block: bytes) -> None:
        """Judge and convert a block that splits no CRLF; one with dots begins with a CRLF."""
        # Octets are looked for one by one: a search for two of them takes five times as long.
        plain = block.replace(b"\r", b"")
        ends = len(block) - len(plain)
        # Only if every CR and LF was one half of a CRLF does this give back what was there.
        if plain.replace(b"\n", b"\r\n") != block:
            self.is_bare = True
        # Dots go afterwards: taking CRLF and dot in one step can join a lone CR to an LF.
        if self._has_dots:
            plain = plain.replace(b"\n.", b"\n")
        self.size += len(plain) + ends
        if not self._started:
            self._started = True
            self.size -= 2
            plain = plain[1:]
        if self.dropped:
            return
        if self.is_bare or self.size > self.limit:
            self.drop()
        elif plain:
            self.parts.append(plain)


class DataReader(Reader):
    """A message that ends with a dot on a line of its own."""

    __slots__ = ("done", "rest")

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.done = False
        self.rest = b""
        """After the end: what came behind the terminator."""

    def feed(self, chunk: bytes) -> bool:
        """Take what arrived; True once the message is complete."""
        pending = self._pending
        start = max(0, len(pending) - 4)
        pending += chunk
        self.received += len(chunk)
        # A line seldom begins with a dot: one search tells of dots and of the end.
        end = pending.find(DOT, start)
        if end >= 0 and not pending.startswith(END, end):
            self._has_dots = True
            end = pending.find(END, end + 1)
        if end >= 0:
            with memoryview(pending) as view:
                self.rest = bytes(view[end + 5 :])
                block = bytes(view[: end + 2])
            self._pending = bytearray()
            self.received -= len(self.rest)
            self._take(block)
            self.done = True
        elif len(pending) > BLOCK:
            cut = pending.rfind(b"\r\n")
            if cut <= 0:
                cut = len(pending) - (pending[-1] == 13)
            with memoryview(pending) as view:
                block = bytes(view[:cut])
            del pending[:cut]
            self._take(block)
        self.held = (0 if self.dropped else self.size) + len(self._pending)
        return self.done


class ChunkReader(Reader):
    """A message that comes in chunks of known size; none of them need end where a line does."""

    __slots__ = ("_announced", "_left")

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._announced = 0
        self._left = 0

    @property
    def is_too_large(self) -> bool:
        """Whether more octets came, or are announced, than the limit allows."""
        return max(self._announced, self.size) > self.limit

    def begin(self, size: int) -> None:
        """Expect a chunk of so many octets; one beyond the limit is dropped."""
        self._left = size
        self._announced += size
        if self.is_too_large:
            self.drop()

    def feed(self, octets: bytes) -> bytes | None:
        """Take what arrived; what is behind the chunk once that is complete, else None."""
        pending, left = self._pending, self._left
        mine = octets if len(octets) <= left else octets[:left]
        pending += mine
        self.received += len(mine)
        self._left = left = left - len(mine)
        if len(pending) > BLOCK:
            # Two octets stay back: the end of the message must tell whether it ends a line.
            cut = len(pending) - 2
            if pending[cut - 1] == 13:
                cut -= 1
            with memoryview(pending) as view:
                block = bytes(view[:cut])
            del pending[:cut]
            self._take(block)
        self.held = (0 if self.dropped else self.size) + len(pending)
        return None if left else octets[len(mine) :]

    def end(self) -> None:
        """The last chunk is complete: its last line ends, as any message's after DATA does."""
        block = bytes(self._pending)
        self._pending = bytearray()
        self._take(block if block.endswith((b"\r", b"\n")) else block + b"\r\n")
        self.held = 0 if self.dropped else self.size
