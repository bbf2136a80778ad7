"""Messages that POP3 clients deleted and that are kept for a while: gone once it is over."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mtad.address import box_address
from mtad.clock import now_us
from mtad.control import Answer, Verb
from mtad.errors import MtadError
from mtad.pop3 import kept
from mtad.store import names
from mtad.store.shelf import Shelf
from mtad.where import Places

log = logging.getLogger("mtad.access")

ACTOR = "rule:pop3.keep_fetched_days"
DAY = 86_400_000_000
"""Microseconds."""


def kept_verbs(shelf: Shelf, places: Places, days: Callable[[], int]) -> dict[str, Verb]:
    """What the control socket is asked; ``days`` is how long messages are kept at present."""

    async def purge(_: Answer) -> Answer:
        """Delete what was kept long enough; says how many messages."""
        return {"count": await expire(shelf, places, days() * DAY)}

    return {"pop3.purge": purge}


async def expire(shelf: Shelf, places: Places, keep: int) -> int:
    """Delete what was deleted by POP3 longer ago than ``keep`` microseconds; says how many.

    What an IMAP client has moved out of INBOX since then stays: somebody wants it.
    """
    before = now_us() - keep
    count = 0
    for path in await asyncio.to_thread(lambda: sorted(places.boxes.glob(f"*/*/{kept.NAME}"))):
        try:
            count += await _expire(shelf, path.parent, before)
        except (MtadError, OSError) as error:
            log.warning("what POP3 deleted stays for another while: %s", error)
    return count


async def _expire(shelf: Shelf, folder: Path, before: int) -> int:
    held = await asyncio.to_thread(kept.read, folder)
    if not any(at <= before for at in held.values()):
        return 0
    async with shelf.use(box_address(f"{folder.parent.name}/{folder.name}")) as box:
        await box.sync()
        there = await box.messages(names.INBOX)
        due = [one for one in there if held.get(one.st, before + 1) <= before]
        if due:
            await box.expunge(names.INBOX, [one.uid for one in due], actor=ACTOR)
        rest = {one.st for one in there} - {one.st for one in due}
        await asyncio.to_thread(kept.change, folder, partial(_only, rest))
        return len(due)


def _only(rest: set[int], was: kept.Kept) -> kept.Kept:
    """What is kept of those there are."""
    return {st: at for st, at in was.items() if st in rest}
