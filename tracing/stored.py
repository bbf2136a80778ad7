"""Events of stored mail: numbers given, flags, moves, copies, deletions, mailboxes.

Declared like those of ``tracing.events``, which registers them.
"""

import msgspec

from tracing.event import Event, Outcome, declare


class Item(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True, gc=False):
    """One message of a box act: stored copy, message id (0 unknown), UID, base name."""

    st: int
    m: int = 0
    uid: int = 0
    base: str = ""


class BoxEvent(Event, frozen=True, kw_only=True, tag="box"):
    """An act on stored messages: ``addr`` is the box, ``items`` are the messages.

    ``trace`` is the message id for one message and the act's own id for several, which are
    then in ``also``. ``client`` is what the actor used. ``uidvalidity`` is that of the mailbox
    in which messages got UIDs by it.
    """

    mailbox: str
    items: tuple[Item, ...] = ()
    client: str = ""
    uidvalidity: int = 0


@declare("numbered in {addr}/{mailbox}")
class BoxNumbered(BoxEvent, frozen=True, kw_only=True, tag="box.numbered"):
    """Messages got their UIDs; the items carry them."""


@declare("flags in {addr}/{mailbox}: +{added} -{removed} by {actor}")
class BoxFlags(BoxEvent, frozen=True, kw_only=True, tag="box.flags"):
    r"""Flags or keywords changed; ``\Seen`` and the like, keywords as they are."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@declare("moved from {addr}/{mailbox} to {target} by {actor}")
class BoxMove(BoxEvent, frozen=True, kw_only=True, tag="box.move"):
    """Messages moved within the box; the items carry their UIDs in ``target``."""

    target: str


@declare("copied from {addr}/{mailbox} to {target} by {actor}", Outcome.OK)
class BoxCopy(BoxEvent, frozen=True, kw_only=True, tag="box.copy"):
    """Messages were copied within the box: the items are the copies, with their UIDs in ``target``.

    ``was`` are the stored copies they were made from, ``uids`` those copies' UIDs.
    """

    target: str
    was: tuple[int, ...] = ()
    uids: tuple[int, ...] = ()


@declare("deleted from {addr}/{mailbox} by {actor}", Outcome.DROP)
class BoxExpunge(BoxEvent, frozen=True, kw_only=True, tag="box.expunge"):
    """Messages were expunged; Message-IDs and subjects as the rows are about to go."""

    subjects: tuple[str, ...] = ()


@declare("put into {addr}/{mailbox} by {actor}", Outcome.OK)
class BoxAppend(BoxEvent, frozen=True, kw_only=True, tag="box.append"):
    """Messages entered a mailbox otherwise than by delivery or restore.

    ``marks`` are each one's flags and keywords, in the order of the items.
    """

    marks: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        said = Event.__str__(self)
        _, imported, operation = self.client.partition("mtad import ")
        return f"{said}, import {operation}" if imported else said


@declare("file gone from {addr}/{mailbox}, removed by another program", Outcome.DROP)
class BoxVanished(BoxEvent, frozen=True, kw_only=True, tag="box.vanished"):
    """A numbered message's file is no longer there and no act of ours explains it."""


@declare("file appeared in {addr}/{mailbox}, put there by another program")
class BoxForeign(BoxEvent, frozen=True, kw_only=True, tag="box.foreign"):
    """A file came into a mailbox that mtad did not deliver; it got a ``st`` and a UID.

    ``marks`` are each one's flags and keywords, in the order of the items.
    """

    marks: tuple[tuple[str, ...], ...] = ()


@declare("mailbox {addr}/{mailbox} {what} by {actor}")
class BoxMailbox(BoxEvent, frozen=True, kw_only=True, tag="box.mailbox"):
    r"""A mailbox was created, renamed, deleted, subscribed or the like; ``what`` says which.

    Numbered means that an empty one goes on with the ``uidvalidity`` it had once, and with
    ``uidnext``. ``uses`` are the special uses it was made for (RFC 6154), such as ``\Sent``,
    ``acl`` the rights to it that it has from the one above it. What other programs did is told
    as appeared or vanished.
    """

    what: str
    target: str = ""
    uses: tuple[str, ...] = ()
    acl: tuple[str, ...] = ()
    uidnext: int = 0


@declare("rights of {who} to {addr}/{mailbox} by {actor}: {rights}, before {had}")
class BoxAcl(BoxEvent, frozen=True, kw_only=True, tag="box.acl"):
    """The rights to a mailbox changed (RFC 4314): of ``who``, from ``had`` to ``rights``.

    Rights are letters, or none. ``acl`` is the whole list after it, a line an entry.
    """

    who: str
    rights: str
    had: str
    acl: tuple[str, ...] = ()


@declare("seen by {who} in {addr}/{mailbox}: {seen}")
class BoxSeen(BoxEvent, frozen=True, kw_only=True, tag="box.seen"):
    r"""``who``, not the owner of a box, has seen messages in it, or not; the flag is theirs."""

    who: str
    seen: bool


@declare("read in {addr}/{mailbox} by {actor}")
class BoxRead(BoxEvent, frozen=True, kw_only=True, tag="box.read"):
    """Messages, or their texts, were sent to an IMAP client."""


@declare("fetched from {addr}/{mailbox} by {actor}")
class Pop3Retr(BoxEvent, frozen=True, kw_only=True, tag="pop3.retr"):
    """Messages were fetched by POP3, each whole; told at the session's end at the latest."""


@declare("deleted from POP3's view of {addr}/{mailbox} by {actor}")
class Pop3Dele(BoxEvent, frozen=True, kw_only=True, tag="pop3.dele"):
    """Messages were deleted by POP3 and are kept for so many ``days``; IMAP still shows them.

    Without days to keep them the deletion is a ``box.expunge``.
    """

    days: int


@declare("import into {addr} began from {source} by {actor}")
class ImportStart(Event, frozen=True, kw_only=True, tag="import.start"):
    """An import into one box began; ``trace`` is the operation's own id.

    ``source`` is a path or a server's address, without any secret. Acts of the import name it
    as their client.
    """

    source: str


@declare("import into {addr} ended: {imported} came in, {skipped} were there, {failed} failed")
class ImportDone(Event, frozen=True, kw_only=True, tag="import.done"):
    """An import into one box ended, before its end where ``why`` says a reason."""

    source: str
    imported: int
    skipped: int
    failed: int
    why: str = ""
