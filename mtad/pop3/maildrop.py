"""What a session sees of a box: the messages of INBOX as they were at its login (RFC 1939 4).

Numbers stay as they are until the session ends, whatever happens to the box meanwhile. A message
keeps its unique-id for as long as it has its file's base name, so that it is not fetched again
after a move, a change of flags, or a restore; one that came from Dovecot keeps the one it had.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mtad.pop3 import imported, kept
from mtad.store import maildir, names, reading
from mtad.store.box import Box
from mtad.store.holding import MAILDIR
from mtad.store.values import Message
from tracing import ids
from tracing.events import Item

PIECE = 256 * 1024
"""Octets of a message read at a time."""
MAX_SIZES = 200_000
"""Sizes remembered of messages whose file name does not tell them."""


class Maildrop:
    """The messages of a session, by their number from 1."""

    def __init__(
        self,
        folder: Path,
        messages: Sequence[Message],
        sizes: Sequence[int],
        known: Mapping[str, str],
    ) -> None:
        self._folder = folder
        self.messages = messages
        self.sizes = sizes
        """Octets of each with CRLF line ends."""
        self.unique_ids = list(unique_ids(messages, known))
        self.deleted: set[int] = set()
        """Numbers of what is to be deleted at the end."""

    def numbers(self) -> Iterator[int]:
        """The numbers of what is not deleted."""
        every = range(1, len(self.messages) + 1)
        return (n for n in every if n not in self.deleted) if self.deleted else iter(every)

    def __contains__(self, number: int) -> bool:
        return 0 < number <= len(self.messages) and number not in self.deleted

    @property
    def total(self) -> tuple[int, int]:
        """How many messages are not deleted, and their octets."""
        gone = sum(self.sizes[number - 1] for number in self.deleted)
        return len(self.messages) - len(self.deleted), sum(self.sizes) - gone

    def open(self, number: int) -> int:
        """A descriptor of a message's file. Raises FileNotFoundError when it is gone."""
        return reading.open_message(self._folder, self.messages[number - 1])

    def read(self, number: int) -> tuple[bytes, int]:
        """A message's first piece, and a descriptor to read on from, -1 where that was all."""
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
        message = self.messages[number - 1]
        return Item(message.st, message.m, message.uid, message.base)


async def take(box: Box, known: dict[int, int]) -> Maildrop:
    """The maildrop of a box, new mail included; ``known`` remembers sizes. Raises MtadError."""
    await box.sync()
    messages = await box.messages(names.INBOX)
    return await asyncio.to_thread(_made, box.owner.folder, messages, known)


def _made(folder: Path, messages: list[Message], known: dict[int, int]) -> Maildrop:
    if hidden := kept.read(folder):
        messages = [message for message in messages if message.st not in hidden]
    sizes = [_size(folder, message, known) for message in messages]
    return Maildrop(folder, messages, sizes, imported.take(folder, messages))


def _size(folder: Path, message: Message, known: dict[int, int]) -> int:
    size = names.wire_size_of(message.base)
    if size is None:
        size = known.get(message.st)
    if size is None:
        path = folder / MAILDIR / message.folder / message.file
        size = maildir.wire_size(path, message.size)
        if len(known) >= MAX_SIZES:
            known.clear()
        known[message.st] = size
    return size


def unique_ids(messages: Sequence[Message], known: Mapping[str, str]) -> Iterator[str]:
    """What UIDL tells of each: what it was elsewhere, the copy its file was made as, its own."""
    seen: set[str] = set()
    for message in messages:
        uidl = known.get(message.base) or ids.text(names.st_of(message.base) or message.st)
        if uidl in seen:
            uidl = ids.text(message.st)
        seen.add(uidl)
        yield uidl
