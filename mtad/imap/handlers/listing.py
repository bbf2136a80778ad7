"""LIST and LSUB with their extensions (RFC 9051 6.3.9, RFC 5258, RFC 5819, RFC 6154)."""

from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass

from mtad.errors import NothingFound
from mtad.imap import write
from mtad.imap.answer import No, Ok
from mtad.imap.commands import List
from mtad.imap.handlers import acl, metadata, status
from mtad.imap.names import mailboxes
from mtad.imap.patterns import matcher, parents
from mtad.imap.reach import reach, visible
from mtad.imap.session import Session
from mtad.store.acl import RIGHTS

SLICE = 100
"""Names after which others have their turn."""


@dataclass(frozen=True, slots=True)
class Tree:
    """All names a client may know of: which are mailboxes, which are subscribed, for what uses.

    ``others`` are its rights to mailboxes of others.
    """

    mailboxes: frozenset[str]
    subscribed: frozenset[str]
    uses: Mapping[str, Sequence[str]]
    above: frozenset[str]
    """Names above mailboxes."""
    above_subscribed: frozenset[str]
    others: Mapping[str, str]

    def flags(self, name: str, absent: str, *, is_subscribed: bool) -> list[str]:
        r"""A name's attributes; ``absent`` is that of one which is no mailbox.

        ``is_subscribed`` tells whether ``\Subscribed`` is among them.
        """
        found = [] if name in self.mailboxes else [absent]
        if is_subscribed and name in self.subscribed:
            found.append("\\Subscribed")
        found.append("\\HasChildren" if name in self.above else "\\HasNoChildren")
        return [*found, *self.uses.get(name, ())]


async def tree(session: Session) -> Tree:
    """The names of a session's box as they are, and those of others' mailboxes."""
    box, others = session.box, await visible(session)
    there = frozenset((*mailboxes(session), *others))
    subscribed = frozenset(await box.subscriptions())
    return Tree(
        there,
        subscribed,
        await box.uses(),
        frozenset(name for one in there for name in parents(one)),
        frozenset(name for one in subscribed for name in parents(one)),
        others,
    )


async def list_(session: Session, command: List) -> Ok | None:
    """LIST in both forms; the basic one with an empty pattern asks for the delimiter."""
    if command.patterns == ("",) and not command.extended:
        session.put(b'* LIST (\\Noselect) "/" ""\r\n')
        return None
    await session.box.sync()
    if "HIGHESTMODSEQ" in command.status:
        session.use_modseqs()
    names = await tree(session)
    matches = [matcher(command.reference + pattern) for pattern in command.patterns if pattern]
    every = names.mailboxes | names.subscribed | names.above | names.above_subscribed
    found = {name for name in every if any(match(name) for match in matches)}
    above = _Above.of(command, names, found)
    for count, name in enumerate(sorted(found)):
        answer = _answer(session, command, names, name, above)
        if not answer:
            continue
        await session.write(answer)
        if name in names.mailboxes:
            await _more(session, command, name, names.others.get(name, RIGHTS))
        if count % SLICE == SLICE - 1:
            await session.drain()
    return None


@dataclass(frozen=True, slots=True)
class _Above:
    """Names above those that the selection options choose (RFC 5258 3.3 and 3.5).

    ``hidden`` are above a chosen one that no pattern matches: only for these a name is told
    that is not chosen itself.
    """

    chosen: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()

    @classmethod
    def of(cls, command: List, names: Tree, found: Set[str]) -> "_Above":
        """What there is of them; nothing without RECURSIVEMATCH."""
        if "RECURSIVEMATCH" not in command.selection:
            return cls()
        chosen = set(names.subscribed if "SUBSCRIBED" in command.selection else names.uses)
        if "SPECIAL-USE" in command.selection:
            chosen = {name for name in chosen if names.uses.get(name)}
        return cls(
            frozenset(one for name in chosen for one in parents(name)),
            frozenset(one for name in chosen - found for one in parents(name)),
        )


def _answer(session: Session, command: List, names: Tree, name: str, above: _Above) -> bytes:
    """The LIST response for a name that matches, empty where it is not selected."""
    chosen = command.selection
    if "SUBSCRIBED" in chosen:
        is_selected = name in names.subscribed
    else:
        is_selected = name in names.mailboxes or name in names.above
    if "SPECIAL-USE" in chosen and not names.uses.get(name):
        is_selected = False
    if not is_selected and name not in above.hidden:
        return b""
    absent = "\\NonExistent" if command.extended or session.rev2 else "\\Noselect"
    is_subscribed = "SUBSCRIBED" in (*chosen, *command.returns)
    flags = names.flags(name, absent, is_subscribed=is_subscribed)
    child_info = [one for one in ("SUBSCRIBED", "SPECIAL-USE") if one in chosen]
    return write.mailbox_list(
        name, flags, child_info=child_info if name in above.chosen else (), utf8=session.utf8
    )


async def _more(session: Session, command: List, name: str, rights: str) -> None:
    """What RETURN asks of a mailbox beside its name, as far as the client may know it."""
    if "MYRIGHTS" in command.returns:
        acl.tell(session, name, rights)
    if "r" not in rights or not (command.status or command.metadata):
        return
    with suppress(No, NothingFound):  # which it may have become meanwhile
        async with reach(session, name, "r") as place:
            if command.status:
                await status.tell(session, place, command.status)
            if command.metadata:
                await metadata.tell(session, place, command.metadata)


async def lsub(session: Session, command: List) -> Ok | None:
    """RFC 3501 6.3.9: what is subscribed, whether it is there or not.

    A name above a subscribed one is told as \\Noselect where ``%`` hides the latter.
    """
    names = await tree(session)
    pattern = command.reference + command.patterns[0]
    match = matcher(pattern)
    found: dict[str, tuple[str, ...]] = {name: () for name in names.subscribed if match(name)}
    if "%" in pattern:
        for name in names.subscribed - found.keys():
            for one in filter(match, parents(name)):
                found.setdefault(one, ("\\Noselect",))
    for name in sorted(found):
        flags = found[name]
        await session.write(write.mailbox_list(name, flags, kind=b"LSUB", utf8=session.utf8))
    return None
