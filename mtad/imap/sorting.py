"""Messages in the order of sort criteria (RFC 5256 3)."""

import asyncio
from collections.abc import Callable, Sequence
from heapq import merge
from typing import Any

from mtad.imap.searching import SUMMARIES, Searching
from mtad.imap.selected import Selected
from mtad.imap.session import Session
from mtad.store.cache_rendering import Summary

RUN = 4096
"""Messages sorted in one go; runs are merged, so that no step takes long."""

_FROM_SUMMARY: dict[str, Callable[[Summary], str]] = {
    "CC": lambda summary: summary.cc_mailbox,
    "FROM": lambda summary: summary.from_mailbox,
    "SUBJECT": lambda summary: summary.subject,
    "TO": lambda summary: summary.to_mailbox,
}


async def ordered(
    session: Session,
    selected: Selected,
    searching: Searching,
    found: Sequence[int],
    criteria: Sequence[tuple[str, bool]],
) -> list[int]:
    """Positions in order; messages that are equal in all criteria stay in the mailbox's."""
    names = [name for name, _ in criteria]
    keys: dict[str, list[Any]] = {name: [] for name in names}
    box, mailbox = selected.box, selected.view.name
    needs_summary = any(name in _FROM_SUMMARY or name == "DATE" for name in names)
    there: list[int] = []
    for start in range(0, len(found), SUMMARIES):
        part = found[start : start + SUMMARIES]
        uids = [searching.uids[at] for at in part]
        summaries = {}
        if needs_summary:
            summaries = await box.summaries(mailbox, uids, outline=False, header=False)
        for at, uid in zip(part, uids, strict=True):
            summary = summaries.get(uid)
            if summary is None and needs_summary:
                continue
            there.append(at)
            for name, values in keys.items():
                values.append(_key(name, searching, at, summary))
        await session.drain()
    return await asyncio.to_thread(_sorted, there, keys, criteria)


def _key(name: str, searching: Searching, at: int, summary: Summary | None) -> Any:
    if name == "ARRIVAL":
        return searching.dates_ns[at]
    if name == "SIZE":
        return searching.sizes[at]
    assert summary is not None
    if name == "DATE":
        return sent_at(summary, searching.dates_ns[at])
    return _FROM_SUMMARY[name](summary)


def sent_at(summary: Summary, date_ns: int) -> int:
    """When a message was sent, in seconds; its arrival where it does not say (RFC 5256 2.2)."""
    return date_ns // 1_000_000_000 if summary.sent is None else summary.sent[0]


def _sorted(
    found: Sequence[int], keys: dict[str, list[Any]], criteria: Sequence[tuple[str, bool]]
) -> list[int]:
    order: Sequence[int] = range(len(found))
    for name, is_reversed in reversed(criteria):
        key = keys[name].__getitem__
        runs = [
            sorted(order[start : start + RUN], key=key, reverse=is_reversed)
            for start in range(0, len(order), RUN)
        ]
        order = list(merge(*runs, key=key, reverse=is_reversed))
    return [found[at] for at in order]
