"""What is read of a box without an act's turn: it reads what was committed."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from mtad.store import private
from mtad.store.acl import Acl
from mtad.store.cache_filling import Filling
from mtad.store.cache_rendering import Summary
from mtad.store.owner import Owner
from mtad.store.rows import Row
from mtad.store.text_filling import Texts
from mtad.store.values import MailboxInfo, MailboxStatus, Message, Quota

T = TypeVar("T")
THREADS = 4
_pool = ThreadPoolExecutor(THREADS, "reading")


class Reading:
    """The reading half of a ``Box``."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self._summaries = Filling(owner)
        self.texts = Texts(owner)

    async def mailboxes(self) -> list[MailboxInfo]:
        """Every mailbox with its numbers, as last synchronised."""
        return await self._read(self.owner.mailboxes)

    async def messages(self, mailbox: str | None = None) -> list[Message]:
        """Messages of one mailbox or of all, as last synchronised. Raises NothingFound."""
        return await self._read(partial(self.owner.messages, mailbox))

    async def status(self, mailbox: str, reader: str = "") -> MailboxStatus:
        """A mailbox's counts, as last synchronised. Raises NothingFound."""
        if reader:
            return await self._read(partial(private.status, self.owner, reader, mailbox))
        return await self._read(partial(self.owner.status, mailbox))

    async def rows(self, mailbox: str, uids: Sequence[int] | None = None) -> list[Row]:
        """What is kept of messages; those that are gone are left out. Raises NothingFound."""
        return await self._read(partial(self.owner.rows, mailbox, uids))

    async def open(self, mailbox: str, uid: int) -> int:
        """A descriptor of a message's file, to be closed by the caller.

        Raises NothingFound when message or mailbox are gone.
        """
        return await self._read(partial(self.owner.open_message, mailbox, uid))

    async def summaries(
        self,
        mailbox: str,
        uids: Sequence[int],
        *,
        outline: bool = True,
        header: bool = True,
        keys: bool = True,
    ) -> dict[int, Summary]:
        """What most clients ask of messages, ready to be sent, by UID; kept beside the index.

        ``outline`` is envelope and structure, ``keys`` what is compared and the preview. Messages
        that are gone are left out. Raises NothingFound.
        """
        get = self._summaries.get
        return await get(mailbox, uids, outline=outline, header=header, keys=keys)

    async def header_fields(
        self, mailbox: str, uids: Sequence[int], names: Sequence[bytes], *, without: bool = False
    ) -> dict[int, bytes]:
        """Header fields with one of the names, or none of them, and an empty line, by UID.

        ``uids`` is ascending. Messages that are gone are left out. Raises NothingFound.
        """
        return await self._summaries.fields(mailbox, uids, names, without=without)

    async def matching(
        self, mailbox: str, uids: Sequence[int], field: str, wanted: str
    ) -> list[int]:
        """UIDs of messages of which a field has a text, folded (``mtad.mime.text.fold``).

        ``uids`` is ascending, ``field`` one of ``mtad.store.cache_rendering.SEARCHED``. Raises
        NothingFound.
        """
        return await self._summaries.matching(mailbox, uids, field, wanted)

    async def candidates(self, mailbox: str, uids: Sequence[int], wanted: str) -> Sequence[int]:
        """UIDs of messages that may hold a text, folded; their files say which do.

        ``uids`` is ascending; all of them come back where there is no index. Raises
        NothingFound.
        """
        return await self.texts.candidates(mailbox, uids, wanted)

    async def changed(self, mailbox: str, modseq: int) -> list[int]:
        """UIDs changed after a mod-sequence, ascending (RFC 7162 3.1.4.1)."""
        return await self._read(partial(self.owner.changed, mailbox, modseq))

    async def vanished(self, mailbox: str, modseq: int) -> list[int]:
        """UIDs expunged after a mod-sequence, ascending (RFC 7162 3.2.10)."""
        return await self._read(partial(self.owner.vanished, mailbox, modseq))

    async def subscriptions(self) -> set[str]:
        """The names that are subscribed to."""
        return await self._read(self.owner.subscriptions)

    async def acl(self, mailbox: str) -> Acl:
        """Who but the owner may do what with a mailbox. Raises NothingFound."""
        return await self._read(partial(self.owner.acl, mailbox))

    async def uses(self) -> dict[str, tuple[str, ...]]:
        r"""The special uses (``\Sent``) of the mailboxes that have any (RFC 6154)."""
        return await self._read(self.owner.uses)

    async def quota(self) -> Quota:
        """What the box holds and may hold."""
        return await self._read(self.owner.quota)

    async def _read(self, work: Callable[[], T]) -> T:
        """What needs no turn, since it reads what was committed."""
        return await asyncio.get_running_loop().run_in_executor(_pool, work)
