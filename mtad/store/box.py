"""A box for an event loop: the owner's work done in threads, one act at a time."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from mtad.journal.writer import Journal
from mtad.store.desk import Desk
from mtad.store.owner import Owner
from mtad.store.replay import Replay
from mtad.store.values import MailboxInfo, Message, Prepared

__all__ = ["Box", "MailboxInfo", "Message", "Prepared"]

T = TypeVar("T")
THREADS = 4
"""Threads in which boxes list, rename and index; most of their time is waiting for disks."""
_pool = ThreadPoolExecutor(THREADS, "box")


class Box:
    """One box, owned. Acts are durable, and done, when they return."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self._turn = asyncio.Lock()

    @classmethod
    def open(
        cls,
        folder: Path,
        address: str,
        journal: Journal,
        hostname: str,
        *,
        replay: Replay | None = None,
    ) -> Self:
        """Take the box and finish what journals promise it; blocks for a moment.

        Raises Locked when another process owns it, Corrupt or MtadError when its index or
        its Maildir cannot be used.
        """
        desk = Desk(journal)
        if replay is None:
            return cls(Owner.open(folder, address, hostname, desk))
        return cls(Owner(folder, address, hostname, replay, desk))

    async def sync(self) -> int:
        """Take in what happened to the files; returns how many messages got a UID."""
        return await self._run(self.owner.sync)

    def mailboxes(self) -> list[MailboxInfo]:
        """Every mailbox with its numbers, as last synchronised."""
        return self.owner.mailboxes()

    def messages(self, mailbox: str | None = None) -> list[Message]:
        """Messages of one mailbox or of all, as last synchronised. Raises NothingFound."""
        return self.owner.messages(mailbox)

    async def flags(
        self,
        mailbox: str,
        uids: Sequence[int],
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        *,
        actor: str,
        client: str = "",
    ) -> int:
        r"""Add and remove flags (``\Seen``) and keywords; returns how many messages changed."""
        return await self._run(
            partial(self.owner.flags, mailbox, uids, add, remove, actor=actor, client=client)
        )

    async def move(
        self, mailbox: str, uids: Sequence[int], target: str, *, actor: str, client: str = ""
    ) -> list[int]:
        """Move messages; returns their UIDs in ``target``. Raises NothingFound."""
        return await self._run(
            partial(self.owner.move, mailbox, uids, target, actor=actor, client=client)
        )

    async def expunge(
        self, mailbox: str, uids: Sequence[int], *, actor: str, client: str = ""
    ) -> int:
        """Delete messages; returns how many. Raises NothingFound."""
        return await self._run(
            partial(self.owner.expunge, mailbox, uids, actor=actor, client=client)
        )

    async def put(
        self,
        mailbox: str,
        items: Sequence[Prepared],
        *,
        actor: str,
        client: str = "",
        snapshot: str | None = None,
    ) -> list[int]:
        """Take prepared files in as messages; returns their UIDs, in order."""
        return await self._run(
            partial(self.owner.put, mailbox, items, actor=actor, client=client, snapshot=snapshot)
        )

    async def create(self, mailbox: str, *, actor: str) -> bool:
        """Make a mailbox; False when it is there."""
        return await self._run(partial(self.owner.create, mailbox, actor=actor))

    async def rename(self, mailbox: str, target: str, *, actor: str, client: str = "") -> None:
        """Rename a mailbox and those below it. Raises NothingFound and UsageError."""
        await self._run(partial(self.owner.rename, mailbox, target, actor=actor, client=client))

    async def delete(self, mailbox: str, *, actor: str, client: str = "") -> int:
        """Delete a mailbox; returns how many messages it had. Raises NothingFound, UsageError."""
        return await self._run(partial(self.owner.delete, mailbox, actor=actor, client=client))

    def close(self) -> None:
        """Make everything durable and give the box back; blocks for a moment."""
        self.owner.close()

    async def _run(self, work: Callable[[], T]) -> T:
        """Do blocking work in a thread. A caller that is cancelled does not stop it."""
        async with self._turn:
            loop = asyncio.get_running_loop()
            self.owner.desk.loop = loop
            return await asyncio.shield(loop.run_in_executor(_pool, work))
