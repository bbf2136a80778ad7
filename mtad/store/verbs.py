"""Acts on boxes over the control socket of their owner, the access role."""

from collections.abc import AsyncIterator
from typing import Any, TypeVar

import msgspec

from mtad.control import Answer, Verb
from mtad.errors import UsageError
from mtad.store.shelf import Shelf
from mtad.store.values import Prepared

PART = 1000
"""Messages in one line of an answer."""

T = TypeVar("T")


class Verbs:
    """What the control socket is asked."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def table(self) -> dict[str, Verb]:
        """Every request by its name."""
        return {
            "box.sync": self.sync,
            "box.list": self.list,
            "box.flags": self.flags,
            "box.move": self.move,
            "box.expunge": self.expunge,
            "box.put": self.put,
            "box.renumber": self.renumber,
            "box.create": self.create,
            "box.rename": self.rename,
            "box.delete": self.delete,
            "box.share": self.share,
            "box.subscribe": self.subscribe,
        }

    async def sync(self, request: Answer) -> Answer:
        """Number what came; says how many."""
        async with self._shelf.use(_text(request, "box")) as box:
            return {"numbered": await box.sync()}

    async def list(self, request: Answer) -> AsyncIterator[Answer]:
        """Mailboxes in one line, then messages in as many as it takes."""
        mailbox = request.get("mailbox")
        async with self._shelf.use(_text(request, "box")) as box:
            await box.sync()
            mailboxes = await box.mailboxes()
            messages = await box.messages(mailbox)

        async def lines() -> AsyncIterator[Answer]:
            yield {"ok": True, "mailboxes": msgspec.to_builtins(mailboxes)}
            for start in range(0, len(messages), PART):
                yield {"messages": msgspec.to_builtins(messages[start : start + PART])}

        return lines()

    async def flags(self, request: Answer) -> Answer:
        """Add and remove flags; says how many messages changed."""
        async with self._shelf.use(_text(request, "box")) as box:
            done = await box.flags(
                _text(request, "mailbox"),
                _list(request, "uids", int),
                _list(request, "add", str),
                _list(request, "remove", str),
                reader=str(request.get("reader", "")),
                **_who(request),
            )
        return {"changed": len(done.changed)}

    async def move(self, request: Answer) -> Answer:
        """Move messages; says their UIDs in the target."""
        async with self._shelf.use(_text(request, "box")) as box:
            moved = await box.move(
                _text(request, "mailbox"),
                _list(request, "uids", int),
                _text(request, "target"),
                **_who(request),
            )
        return {"uids": list(moved.targets)}

    async def expunge(self, request: Answer) -> Answer:
        """Delete messages; says how many."""
        async with self._shelf.use(_text(request, "box")) as box:
            gone = await box.expunge(
                _text(request, "mailbox"), _list(request, "uids", int), **_who(request)
            )
        return {"count": len(gone)}

    async def put(self, request: Answer) -> Answer:
        """Take prepared files in; says their UIDs."""
        try:
            items = msgspec.convert(request["items"], list[Prepared])
        except msgspec.ValidationError as error:
            raise UsageError(f"malformed request: {error}") from error
        snapshot = request.get("snapshot")
        async with self._shelf.use(_text(request, "box"), make=True) as box:
            placed = await box.put(
                _text(request, "mailbox"),
                items,
                snapshot=None if snapshot is None else str(snapshot),
                over_quota=request.get("over_quota") is True,
                **_who(request),
            )
        return {"uids": list(placed.uids)}

    async def renumber(self, request: Answer) -> Answer:
        """Give a mailbox without any past its former numbers; says whether it has them now."""
        mailbox = _text(request, "mailbox")
        uidvalidity, uidnext = _list(request, "numbers", int)
        async with self._shelf.use(_text(request, "box"), make=True) as box:
            done = await box.renumber(mailbox, uidvalidity, uidnext, **_who(request))
        return {"numbered": done}

    async def create(self, request: Answer) -> Answer:
        """Make a mailbox, and its box's folder if need be; says whether it was not there."""
        uses = _list(request, "uses", str) if request.get("uses") else []
        rights = None if request.get("rights") is None else _list(request, "rights", str)
        async with self._shelf.use(_text(request, "box"), make=True) as box:
            created = await box.create(
                _text(request, "mailbox"), uses=uses, rights=rights, **_who(request)
            )
        return {"created": created}

    async def rename(self, request: Answer) -> Answer:
        """Rename a mailbox and those below it."""
        async with self._shelf.use(_text(request, "box")) as box:
            await box.rename(_text(request, "mailbox"), _text(request, "target"), **_who(request))
        return {}

    async def delete(self, request: Answer) -> Answer:
        """Delete a mailbox; says how many messages it had."""
        async with self._shelf.use(_text(request, "box")) as box:
            return {"count": await box.delete(_text(request, "mailbox"), **_who(request))}

    async def share(self, request: Answer) -> Answer:
        """Give rights to a mailbox; says the list there is then, a line an entry."""
        async with self._shelf.use(_text(request, "box")) as box:
            done = await box.share(
                _text(request, "mailbox"),
                _text(request, "who"),
                _text(request, "rights"),
                **_who(request),
            )
        return {"acl": list(done.lines())}

    async def subscribe(self, request: Answer) -> Answer:
        """Subscribe to a mailbox or no longer; says whether that was otherwise before."""
        async with self._shelf.use(_text(request, "box")) as box:
            on = request["on"] is True
            done = await box.subscribe(_text(request, "mailbox"), on, **_who(request))
        return {"changed": done}


def _text(request: Answer, name: str) -> str:
    value = request[name]
    if not isinstance(value, str):
        raise UsageError(f"malformed request: {name} is no text")
    return value


def _list(request: Answer, name: str, kind: type[T]) -> list[T]:
    value = request[name]
    if not isinstance(value, list) or not all(type(one) is kind for one in value):
        raise UsageError(f"malformed request: {name} is no list of {kind.__name__}")
    return value


def _who(request: Answer) -> dict[str, Any]:
    return {"actor": _text(request, "actor"), "client": str(request.get("client", ""))}
