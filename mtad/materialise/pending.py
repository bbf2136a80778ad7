"""Messages for recipients elsewhere only, kept in memory while they are likely to leave soon.

Most such mail is gone within a second, so its content file is written only when it is still
wanted: after a few seconds, when memory for it runs out, when someone asks for it, before its
segment is recycled, and at a start. Until then the frame in the journal holds the message.
Once the last recipient has its end, and the log knows, memory or file let it go; a message
that has copies in boxes keeps its file.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice

from mtad.journal import disk
from mtad.journal.frame import Content, Frame
from mtad.materialise.files import Files

MAX_OCTETS = 64 * 2**20
KEEP_SECONDS = 5.0
"""How long a message stays in memory alone."""
_AT_ONCE = 500

Spent = Callable[[Iterable[int]], set[int]]
"""Those of the messages whose recipients all ended elsewhere, by the log."""


def waits(frame: Frame) -> bool:
    """Whether a frame's message is in the frame and no box gets it."""
    content = frame.meta.content
    return content is not None and content.inline and not frame.meta.links


class Pending:
    """The messages that have no file yet; for the worker's thread."""

    def __init__(
        self,
        files: Files,
        spent: Spent,
        *,
        max_octets: int = MAX_OCTETS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = files
        self._spent = spent
        self._max_octets = max_octets
        self._clock = clock
        self._held: dict[int, tuple[Content, bytes]] = {}
        self._ages: deque[tuple[float, int]] = deque()
        self._octets = 0

    def take(self, content: Content, body: bytes) -> None:
        """Keep a message; the eldest become files where there are too many.

        Raises OSError when these cannot be written; taking it once more is safe.
        """
        if content.m not in self._held:
            self._held[content.m] = (content, body)
            self._ages.append((self._clock(), content.m))
            self._octets += len(body)
        while self._octets > self._max_octets and self._ages:
            self._write_eldest(1)

    def ended(self, messages: Iterable[int]) -> None:
        """Let go of those of the messages that nobody waits for any more.

        A file that cannot be removed is left to the purge.
        """
        for m in self._spent(messages):
            self._forget(m)
            with suppress(OSError):
                disk.unlink(self._files.content_path(m))

    def sweep(self) -> None:
        """Write what has waited long enough. Raises OSError, and then keeps it."""
        limit = self._clock() - KEEP_SECONDS
        while ripe := sum(at < limit for at, _ in islice(self._ages, _AT_ONCE)):
            self._write_eldest(ripe)

    def settle(self) -> None:
        """Write everything that is still wanted. Raises OSError, and then keeps it."""
        while self._ages:
            self._write_eldest(_AT_ONCE)

    def keep(self, m: int) -> None:
        """Make sure that a message, if it is here, has its file. Raises OSError."""
        if m in self._held:
            self._write([m])

    def _write_eldest(self, count: int) -> None:
        group = [m for _, m in islice(self._ages, count)]
        self._write([m for m in group if m in self._held])
        for _ in group:
            self._ages.popleft()

    def _write(self, group: list[int]) -> None:
        spent = self._spent(group) if group else ()
        for m in group:
            if m not in spent:
                content, body = self._held[m]
                self._files.write_content(self._files.content_path(m), content, body)
            self._forget(m)

    def _forget(self, m: int) -> None:
        held = self._held.pop(m, None)
        if held is not None:
            self._octets -= len(held[1])
