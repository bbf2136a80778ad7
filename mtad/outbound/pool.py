"""Connections kept for the next message to the same destination.

A kept connection costs the other side a slot, so it is kept for seconds and for a bounded
number of messages; then it says QUIT.
"""

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass

from mtad.outbound.session import Session


@dataclass(slots=True)
class _Kept:
    session: Session
    timer: asyncio.TimerHandle


class Pool:
    """Idle sessions by key, at most ``most``; the one used last is used next."""

    def __init__(self, idle_seconds: float, max_messages: int, most: int) -> None:
        self._idle_seconds = idle_seconds
        self._max_messages = max_messages
        self._most = most
        self._kept: dict[Hashable, list[_Kept]] = {}

    def take(self, key: Hashable) -> Session | None:
        """A session that is still alive as far as anyone knows, or None."""
        while kept := self._kept.get(key):
            one = kept.pop()
            if not kept:
                del self._kept[key]
            one.timer.cancel()
            if one.session.connection.client.is_idle:
                return one.session
            one.session.connection.abort()
        return None

    def put(self, key: Hashable, session: Session) -> None:
        """Keep a session, or end it where it has done enough."""
        connection = session.connection
        announced = connection.client.extensions.max_messages
        most = min(announced or self._max_messages, self._max_messages)
        is_spent = connection.messages >= most or not self._idle_seconds
        if is_spent or len(self) >= self._most or not connection.client.is_idle:
            connection.quit()
        else:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self._idle_seconds, self._expire, key, session)
            self._kept.setdefault(key, []).append(_Kept(session, timer))

    def close(self) -> None:
        """End every session that is kept."""
        for kept in self._kept.values():
            for one in kept:
                one.timer.cancel()
                one.session.connection.quit()
        self._kept.clear()

    def __len__(self) -> int:
        return sum(map(len, self._kept.values()))

    def _expire(self, key: Hashable, session: Session) -> None:
        kept = self._kept.get(key, [])
        kept[:] = [one for one in kept if one.session is not session]
        if not kept:
            self._kept.pop(key, None)
        session.connection.quit()
