"""What was said in a session, for the log: without the message, without secrets, bounded (PURE)."""

FIRST = 60
"""Lines kept from the beginning."""
LAST = 60
"""Lines kept from the end."""
WIDTH = 400
"""Characters kept of a line."""


class Transcript:
    """Lines in order; what is cut out of the middle is told of."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._last: list[str] = []
        self._left_out = 0
        self._kept = 0
        """Lines of the greeting, which stay when another transaction begins."""

    def keep(self) -> None:
        """What was said so far belongs to every transaction of the connection."""
        self._kept = len(self._first)

    def restart(self) -> None:
        """Forget the transaction before."""
        del self._first[self._kept :]
        self._last.clear()
        self._left_out = 0

    def sent(self, text: str) -> None:
        """A line of ours."""
        self._add("> " + text)

    def received(self, text: str) -> None:
        """A reply, which may have several lines."""
        for line in text.split("\n"):
            self._add("< " + line)

    def happened(self, text: str) -> None:
        """Something that is no line of either side."""
        self._add("* " + text)

    def lines(self) -> tuple[str, ...]:
        """The lines so far."""
        cut = (f"* {self._left_out} lines left out",) if self._left_out else ()
        return (*self._first, *cut, *self._last)

    def _add(self, line: str) -> None:
        line = line if len(line) <= WIDTH else line[:WIDTH] + "…"
        if len(self._first) < FIRST:
            self._first.append(line)
            return
        self._last.append(line)
        if len(self._last) > LAST:
            del self._last[0]
            self._left_out += 1
