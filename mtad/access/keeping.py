"""Messages that POP3 clients deleted and that are kept for a while: gone once it is over."""

import asyncio
from collections.abc import Callable
from functools import partial

from mtad.address import box_address
from mtad.clock import now_us
from mtad.control import Answer, Verb
from mtad.pop3 import kept
from mtad.store import names
from mtad.store.shelf import Shelf
from mtad.where import Places

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
        folder = path.parent
        held = await asyncio.to_thread(kept.read, folder)
        if not any(at <= before for at in held.values()):
            continue
        async with shelf.use(box_address(f"{folder.parent.name}/{folder.name}")) as box:
            await box.sync()
            there = await asyncio.to_thread(box.owner.messages, names.INBOX)
            due = [one for one in there if held.get(one.st, before + 1) <= before]
            if due:
                await box.expunge(names.INBOX, [one.uid for one in due], actor=ACTOR)
            rest = {one.st for one in there} - {one.st for one in due}
            await asyncio.to_thread(kept.change, folder, partial(_only, rest))
            count += len(due)
    return count


def _only(rest: set[int], was: kept.Kept) -> kept.Kept:
    """What is kept of those there are."""
    return {st: at for st, at in was.items() if st in rest}
