"""What a session sees of a box: the messages of INBOX as they were at its login (RFC 1939 4).

Numbers stay as they are until the session ends, whatever happens to the box meanwhile. A message
keeps its unique-id for as long as it has its file's base name, so that it is not fetched again
after a move, a change of flags, or a restore; one that came from Dovecot keeps the one it had.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from mtad.pop3 import imported, kept
from mtad.store import maildir, names, reading
from mtad.store.box import Box
from mtad.store.holding import MAILDIR
from mtad.store.maildir import Entry
from mtad.store.rows import Row
from mtad.store.telling import item_of
from tracing import ids
from tracing.events import Item

PIECE = 256 * 1024
"""Octets of a message read at a time."""
AHEAD = 128 * 1024
"""Octets read along with a message."""
MAX_AHEAD = 64
"""Messages read along with it."""


class Maildrop:
    """The messages of a session, by their number from 1."""

    def __init__(
        self, folder: Path, root: Path, rows: Sequence[Row], known: Mapping[str, str]
    ) -> None:
        """``root`` is the folder of INBOX, ``known`` unique-ids from elsewhere."""
        self._folder = folder
        self._root = root
        self.rows = rows
        self.sizes = [
            row.wire or maildir.measure(self._path(row), row.base, row.size) for row in rows
        ]
        """Octets of each with CRLF line ends."""
        self._known = known
        self.ahead: dict[int, bytes] = {}
        """Messages read along, by number."""
        self._last = 0
        self.deleted: set[int] = set()
        """Numbers of what is to be deleted at the end."""

    @cached_property
    def unique_ids(self) -> list[str]:
        """The unique-id of each message."""
        return list(unique_ids(self.rows, self._known))

    def numbers(self) -> Iterator[int]:
        """The numbers of what is not deleted."""
        every = range(1, len(self.rows) + 1)
        return (n for n in every if n not in self.deleted) if self.deleted else iter(every)

    def __contains__(self, number: int) -> bool:
        return 0 < number <= len(self.rows) and number not in self.deleted

    @property
    def total(self) -> tuple[int, int]:
        """How many messages are not deleted, and their octets."""
        gone = sum(self.sizes[number - 1] for number in self.deleted)
        return len(self.rows) - len(self.deleted), sum(self.sizes) - gone

    def open(self, number: int) -> int:
        """A descriptor of a message's file. Raises FileNotFoundError when it is gone."""
        row = self.rows[number - 1]
        try:
            return maildir.open_file(self._path(row))
        except FileNotFoundError:
            entry = Entry(bool(row.fresh), row.name)
            message = reading.message(names.INBOX, row, "", entry)
            return reading.open_message(self._folder, message)

    def _path(self, row: Row) -> Path:
        return Entry(bool(row.fresh), row.name).below(self._root)

    def read(self, number: int) -> tuple[bytes, int]:
        """A message's first piece, and a descriptor to read on from, -1 where that was all.

        Who fetches one message after the other has the next small ones read along, since
        going to a thread costs more than reading them. Raises FileNotFoundError, OSError.
        """
        goes_on, self._last = number == self._last + 1, number
        found = self._read(number)
        if goes_on and found[1] < 0:
            self._read_along(number + 1)
        return found

    def _read_along(self, begin: int) -> None:
        self.ahead.clear()
        room = AHEAD
        for number in range(begin, min(begin + MAX_AHEAD, len(self.rows) + 1)):
            if self.sizes[number - 1] > room:
                break
            self._last = number
            if number in self.deleted:
                continue
            with contextlib.suppress(OSError), open(self.open(number), "rb") as file:
                data = file.read(room + 1)  # a name may tell less than there is
                room -= len(data)
                if room < 0:
                    break
                self.ahead[number] = data

    def _read(self, number: int) -> tuple[bytes, int]:
        descriptor = self.open(number)
        try:
            data = os.read(descriptor, PIECE)
        except BaseException:
            os.close(descriptor)
            raise
        if len(data) < PIECE:
            os.close(descriptor)
            return data, -1
        return data, descriptor

    def item(self, number: int) -> Item:
        """A message as events name it."""
        return item_of(self.rows[number - 1])


async def take(box: Box) -> Maildrop:
    """The maildrop of a box, new mail included. Raises MtadError, OSError."""
    await box.sync()
    rows = await box.rows(names.INBOX)
    return await asyncio.to_thread(_made, box.owner.folder, rows)


def _made(folder: Path, rows: list[Row]) -> Maildrop:
    if hidden := kept.read(folder):
        rows = [row for row in rows if row.st not in hidden]
    return Maildrop(folder, folder / MAILDIR, rows, imported.take(folder, rows))


def unique_ids(rows: Sequence[Row], known: Mapping[str, str]) -> Iterator[str]:
    """What UIDL tells of each: what it was elsewhere, the copy its file was made as, its own."""
    seen: set[str] = set()
    for row in rows:
        own = ids.text(row.st)
        uidl = known.get(row.base) or own
        if uidl == own and f".{own}." not in row.base:
            made = names.st_of(row.base)
            uidl = ids.text(made) if made else own
        if uidl in seen:
            uidl = own
        seen.add(uidl)
        yield uidl
