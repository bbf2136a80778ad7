r"""A box for an event loop: the owner's work done in threads, one act at a time.

Every act takes ``actor`` and ``client``, who did it and with what, for its event, and ``by``,
the session that asked: it stands in the ``Change`` that listeners are told. When an act
returns, it is durable, views are up to date, and listeners were told. Where a ``reader`` is
given, a user with whom the box's owner shares mailboxes, it is that user's own ``\Seen`` that is
meant (``mtad.store.private``); whether the user may do it is the caller's matter.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import Self, TypeVar

from mtad.journal.writer import Journal
from mtad.store import private
from mtad.store.acl import Acl
from mtad.store.box_reading import Reading
from mtad.store.cache_rendering import Summary
from mtad.store.deltas import Delta
from mtad.store.desk import Desk
from mtad.store.following import Following
from mtad.store.owner import Owner
from mtad.store.replay import Replay
from mtad.store.values import (
    Copied,
    FlagsDone,
    MailboxInfo,
    MailboxStatus,
    Message,
    Placed,
    Prepared,
    Quota,
)
from mtad.store.view import Change, View
from mtad.store.watching import Listener, Watching

__all__ = [
    "Box",
    "Change",
    "Copied",
    "FlagsDone",
    "MailboxInfo",
    "MailboxStatus",
    "Message",
    "Placed",
    "Prepared",
    "Quota",
    "Summary",
    "View",
]

T = TypeVar("T")
THREADS = 4
"""Threads in which boxes list, rename and index; most of their time is waiting for disks."""
FOLLOW_SECONDS = 60
"""How long others go first while files follow; after that all that is left is done at once."""
_pool = ThreadPoolExecutor(THREADS, "box")
_drafts = count(1)


class Box(Reading):
    """One box, owned. Acts are durable, and done, when they return."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        self._turn = asyncio.Lock()
        self._waiting = 0
        """Acts that wait for their turn."""
        self._following = Following(owner, self._turn, _pool, lambda: self._waiting > 0)
        self._watching = Watching()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.on_shape: Callable[[], None] = lambda: None
        """Told, in any thread, that mailboxes were made, renamed, deleted or shared."""
        owner.index.on_change = self._changed

    @classmethod
    def hold(
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

    async def sync(self, *, rung: bool = False) -> int:
        """Take in what happened to the files; returns how many messages got a UID.

        ``rung`` says that mail came, however old the folders seem. Files that follow are waited
        for, with acts of others between.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + FOLLOW_SECONDS
        while self.owner.lags and loop.time() < end:
            await self._run(self.owner.follow)
        return await self._run(partial(self.owner.sync, rung=rung))

    def draft(self) -> Path:
        """A path in ``Maildir/tmp`` that nobody has: write the file there, then ``put`` it."""
        return self.owner.ground.files.root / "tmp" / f"draft-{os.getpid()}-{next(_drafts)}"

    # ----------------------------------------------------------------- watching

    async def select(self, mailbox: str, reader: str = "") -> View:
        """The view of a mailbox, synchronised and shared; to be given back by ``release``.

        Raises NothingFound.
        """
        while True:
            view = await self._run(partial(self._load, mailbox, reader))
            if self._watching.take(view):
                self.texts.selected()
                return view

    def release(self, view: View) -> None:
        """Use a view no longer."""
        self._watching.release(view)

    def watch(self, listener: Listener) -> None:
        """Tell a listener, in the event loop, of each change of messages or mailboxes."""
        self._watching.watch(listener)

    def unwatch(self, listener: Listener) -> None:
        """Tell it nothing further."""
        self._watching.unwatch(listener)

    def announce(self, change: Change) -> None:
        """Tell the listeners, in the event loop, of a change that is not in the index."""
        self._watching.tell(change)

    @property
    def is_watched(self) -> bool:
        """Whether anybody waits for changes."""
        return bool(self._watching)

    # --------------------------------------------------------------------- acts

    async def flags(
        self,
        mailbox: str,
        uids: Sequence[int],
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        *,
        replace: bool = False,
        unchanged_since: int | None = None,
        reader: str = "",
        actor: str,
        client: str = "",
        by: object = None,
    ) -> FlagsDone:
        r"""Add and remove flags (``\Seen``) and keywords; UIDs that are gone are passed over.

        ``replace`` leaves only ``add``; there is none for a ``reader``. Messages changed after the
        mod-sequence ``unchanged_since`` stay as they are. Raises NothingFound, UsageError and
        MtadError.
        """
        if reader:
            assert not replace
            work = partial(
                private.flags,
                self.owner,
                reader,
                mailbox,
                uids,
                add,
                remove,
                unchanged_since=unchanged_since,
                actor=actor,
                client=client,
            )
            return await self._run(work, by)
        work = partial(
            self.owner.flags,
            mailbox,
            uids,
            add,
            remove,
            replace=replace,
            unchanged_since=unchanged_since,
            later=True,
            actor=actor,
            client=client,
        )
        return await self._run(work, by)

    async def move(
        self,
        mailbox: str,
        uids: Sequence[int],
        target: str,
        *,
        actor: str,
        client: str = "",
        by: object = None,
    ) -> Copied:
        """Move messages; UIDs that are gone are passed over. Raises NothingFound, UsageError."""
        work = partial(self.owner.move, mailbox, uids, target, actor=actor, client=client)
        return await self._run(work, by)

    async def copy(
        self,
        mailbox: str,
        uids: Sequence[int],
        target: str,
        *,
        reader: str = "",
        actor: str,
        client: str = "",
        by: object = None,
    ) -> Copied:
        """Copy messages, all or none; UIDs that are gone are passed over.

        Raises NothingFound and OverQuota.
        """
        copy = partial(private.copy, self.owner, reader) if reader else self.owner.copy
        work = partial(copy, mailbox, uids, target, actor=actor, client=client)
        return await self._run(work, by)

    async def expunge(
        self,
        mailbox: str,
        uids: Sequence[int],
        *,
        actor: str,
        client: str = "",
        by: object = None,
    ) -> tuple[int, ...]:
        """Delete messages; returns the UIDs of those that were there. Raises NothingFound."""
        work = partial(self.owner.expunge, mailbox, uids, actor=actor, client=client)
        return await self._run(work, by)

    async def put(
        self,
        mailbox: str,
        items: Sequence[Prepared],
        *,
        make: bool = True,
        reader: str = "",
        actor: str,
        client: str = "",
        snapshot: str | None = None,
        over_quota: bool = False,
        by: object = None,
    ) -> Placed:
        """Take prepared files in as messages; up to 1,000 are one act.

        Raises OverQuota, and NothingFound where there is no mailbox and ``make`` is False, as
        for a ``reader``.
        """
        if reader:
            put = partial(private.put, self.owner, reader, mailbox, items)
            return await self._run(partial(put, actor=actor, client=client), by)
        work = partial(
            self.owner.put,
            mailbox,
            items,
            make=make,
            actor=actor,
            client=client,
            snapshot=snapshot,
            over_quota=over_quota,
        )
        return await self._run(work, by)

    async def renumber(
        self, mailbox: str, uidvalidity: int, uidnext: int, *, actor: str, client: str = ""
    ) -> bool:
        """Give a mailbox without any past its former numbers, as ``Owner.renumber``."""
        work = partial(self.owner.renumber, mailbox, uidvalidity, uidnext)
        return await self._run(partial(work, actor=actor, client=client))

    async def create(
        self,
        mailbox: str,
        *,
        uses: Sequence[str] = (),
        like: str = "",
        rights: Sequence[str] | None = None,
        actor: str,
        client: str = "",
        by: object = None,
    ) -> bool:
        """Make a mailbox, perhaps for special uses; False when it is there. Raises UsageError.

        Without one above it, it is shared as the mailbox is that ``like`` names; or as lines of
        ``rights`` say.
        """
        work = partial(
            self.owner.create,
            mailbox,
            wanted=uses,
            like=like,
            rights=rights,
            actor=actor,
            client=client,
        )
        return await self._run(work, by)

    async def rename(
        self, mailbox: str, target: str, *, actor: str, client: str = "", by: object = None
    ) -> None:
        """Rename a mailbox and those below it. Raises NothingFound and UsageError."""
        work = partial(self.owner.rename, mailbox, target, actor=actor, client=client)
        await self._run(work, by)

    async def delete(self, mailbox: str, *, actor: str, client: str = "", by: object = None) -> int:
        """Delete a mailbox; returns how many messages it had. Raises NothingFound, UsageError."""
        work = partial(self.owner.delete, mailbox, actor=actor, client=client)
        return await self._run(work, by)

    async def share(
        self,
        mailbox: str,
        who: str,
        letters: str,
        *,
        actor: str,
        client: str = "",
        by: object = None,
    ) -> Acl:
        """Give rights to a mailbox, as ``Owner.share``. Raises NothingFound, UsageError."""
        work = partial(self.owner.share, mailbox, who, letters, actor=actor, client=client)
        return await self._run(work, by)

    async def subscribe(
        self, name: str, on: bool, *, actor: str, client: str = "", by: object = None
    ) -> bool:
        """Subscribe to a name or no longer; False when that was so before. Raises UsageError."""
        work = partial(self.owner.subscribe, name, on, actor=actor, client=client)
        return await self._run(work, by)

    def forget(self, before: float) -> None:
        """Forget the views that nobody used since ``before`` (time.monotonic)."""
        self._watching.rest(before)

    def rest(self, before: float) -> bool:
        """Keep no database open that nobody used since then; whether any was closed.

        In any thread; waits for no act.
        """
        parts = (self._summaries, self.texts, self.owner)
        return any([part.rest(before) for part in parts])

    def close(self) -> None:
        """Make everything durable and give the box back; blocks for a moment."""
        self._summaries.close()
        self.texts.close()
        self.owner.close()

    # ------------------------------------------------------------------ private

    async def _run(self, work: Callable[[], T], by: object = None) -> T:
        """One act; it keeps its turn until it is done, whether or not its caller still waits."""
        loop = self._loop = self.owner.desk.loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        self.owner.by = by
        answer: asyncio.Future[T] = loop.create_future()
        _pool.submit(self._act, work, answer)
        return await answer

    def _act(self, work: Callable[[], T], answer: "asyncio.Future[T]") -> None:
        """In a thread: the act and its answer."""
        tell = answer.get_loop().call_soon_threadsafe
        try:
            tell(self._answer, partial(_give, answer, work()))
        except Exception as error:
            tell(self._answer, partial(_fail, answer, error))
        except BaseException:
            tell(self._turn.release)
            raise

    def _answer(self, answering: Callable[[], None]) -> None:
        """An act is over: its caller goes on, and the next one has its turn."""
        self._turn.release()
        self._following.acted()
        answering()

    def _load(self, mailbox: str, reader: str) -> View:
        """In a thread: a view that is there, or one that hears of all that comes after it."""
        assert self._loop is not None
        with self.owner.working(lagging=True):
            if not self.owner.lags:  # what others did to files is seen once those follow
                self.owner.look(doubt=True)
            row = self.owner.mailbox(mailbox)
            view = self._watching.view(row.id, reader)
            if view is None:
                index = self.owner.index
                seen = index.seen_by(row, reader) if reader else ()
                words, columns = index.keywords(row), index.columns(row)
                view = View.load(row, words, columns, reader=reader, seen=seen)
                self._loop.call_soon_threadsafe(self._watching.offer, view)
            return view

    def _changed(self, deltas: Sequence[Delta]) -> None:
        """A transaction was committed, in whatever thread."""
        if any(delta.what for delta in deltas):
            self.on_shape()
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        loop.call_soon_threadsafe(self._hear, deltas, self.owner.by)

    def _hear(self, deltas: Sequence[Delta], by: object) -> None:
        self._watching.hear(deltas, by)
        self._summaries.heard(deltas)
        self.texts.heard(deltas)


def _give(answer: asyncio.Future[T], result: T) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: asyncio.Future[T], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
