"""Octets of messages for sessions, read in threads."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from mtad.errors import NothingFound
from mtad.imap.reading import Opened
from mtad.imap.urls import MessageUrl
from mtad.mime.message import wire
from mtad.store import opening
from mtad.store.box import Box

T = TypeVar("T")
_threads = ThreadPoolExecutor(4, "bodies")


async def each(
    box: Box, mailbox: str, uids: Sequence[int], work: Callable[[bytes], T]
) -> dict[int, T]:
    """By UID what ``work`` makes of messages' octets as on the wire; without those gone.

    Raises NothingFound for the mailbox.
    """

    def on_wire(data: bytes) -> T:
        return work(wire(data))

    reading = partial(opening.each, box.owner, mailbox, uids, on_wire)
    return await asyncio.get_running_loop().run_in_executor(_threads, reading)


async def of_url(box: Box, mailbox: str, url: MessageUrl) -> bytes | None:
    """What a URL names in a mailbox; None where it is not there."""
    known = box.owner.index.mailboxes.get(mailbox)
    if known is None or url.uidvalidity not in (None, known.uidvalidity):
        return None

    def part(data: bytes) -> bytes | None:
        found = Opened(data).section(url.section)
        if found is None or url.count is None:
            return found and found[url.offset :]
        return found[url.offset : url.offset + url.count]

    try:
        return (await each(box, mailbox, [url.uid], part)).get(url.uid)
    except NothingFound:
        return None
