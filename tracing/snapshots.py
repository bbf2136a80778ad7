"""Events of snapshots, of the repository that keeps them, and of restores.

Declared like those of ``tracing.events``, which registers them.
"""

from tracing.event import Event, Outcome, declare
from tracing.stored import BoxEvent

# --------------------------------------------------------------- snapshots


@declare("snapshot {snapshot} began: {scope}")
class BackupStart(Event, frozen=True, kw_only=True, tag="backup.start"):
    """A snapshot began; ``trace`` is the run's own id."""

    snapshot: str
    scope: str


@declare("snapshot {snapshot} done: {boxes:box|boxes}, {messages:message}, {added} new", Outcome.OK)
class BackupDone(Event, frozen=True, kw_only=True, tag="backup.done"):
    """The snapshot's commit file is durable."""

    snapshot: str
    boxes: int
    messages: int
    added: int
    stored: int = 0
    seconds: float = 0.0


@declare("snapshot failed: {why}", Outcome.FAIL)
class BackupFail(Event, frozen=True, kw_only=True, tag="backup.fail"):
    """A snapshot did not come to its commit; earlier ones are untouched."""

    why: str


@declare("snapshot {snapshot} forgotten by {actor}", Outcome.DROP)
class BackupForgot(Event, frozen=True, kw_only=True, tag="backup.forgot"):
    """A snapshot is not kept any more, or not for the ``boxes`` that are named.

    In that case it goes on, for its other boxes, under the name it ``became``.
    """

    snapshot: str
    became: str = ""
    boxes: tuple[str, ...] = ()


@declare("snapshot {snapshot} held by {actor}: {why}")
class BackupHeld(Event, frozen=True, kw_only=True, tag="backup.held"):
    """A snapshot is kept whatever the rules say, until it is released."""

    snapshot: str
    why: str = ""


@declare("snapshot {snapshot} released by {actor}")
class BackupReleased(Event, frozen=True, kw_only=True, tag="backup.released"):
    """A held snapshot may be forgotten again."""

    snapshot: str


@declare("repository key {key} {what} by {actor}, rights: {rights}")
class BackupKey(Event, frozen=True, kw_only=True, tag="backup.key"):
    """A key that opens the repository was ``added``, ``removed`` or ``rotated``.

    ``rights`` is what it may: ``all``, or ``put``, which adds snapshots and reads no message.
    """

    what: str
    key: str
    rights: str


@declare("repository copied to {target}: {files:file}, {octets} octets", Outcome.OK)
class BackupCopied(Event, frozen=True, kw_only=True, tag="backup.copied"):
    """A second place has all the repository has; ``damaged`` files were so before."""

    target: str
    files: int
    octets: int
    damaged: int = 0


@declare("repository pruned by {actor}: {removed:pack} removed, {freed} octets freed", Outcome.OK)
class BackupPruned(Event, frozen=True, kw_only=True, tag="backup.pruned"):
    """Room of what no snapshot needs was given back: ``freed`` octets, ``written`` ones anew.

    ``waiting`` packs go once those who use the repository now are done; ``compacted`` says
    whether small packs were written together in any case.
    """

    removed: int
    freed: int
    written: int = 0
    waiting: int = 0
    compacted: bool = False


@declare("repository verified: {objects:object}, {damaged} damaged")
class BackupVerified(Event, frozen=True, kw_only=True, tag="backup.verified"):
    """The repository was checked; with ``read_data`` the contents of ``packs_read`` of its packs.

    Without these two numbers, which were not written once, it was all of them.
    """

    objects: int
    damaged: int
    read_data: bool = False
    packs: int = 0
    packs_read: int = 0


@declare("restoring was tried on {messages:message} of {snapshot}: {failed} failed")
class BackupDrilled(Event, frozen=True, kw_only=True, tag="backup.drilled"):
    """Messages drawn by lot were put back aside and compared octet by octet.

    ``compared`` of them with the file that the box still has, too.
    """

    snapshot: str
    messages: int
    compared: int = 0
    failed: int = 0


@declare("restore into {addr} began from snapshot {snapshot} by {actor}")
class RestoreStart(Event, frozen=True, kw_only=True, tag="restore.start"):
    """A restore into one box began; ``trace`` is the operation's own id.

    ``planned`` counts messages to put back, ``others`` those to move, mark or delete, and what
    is changed besides. ``undoes`` is the operation that this one takes back, 0 for none.
    """

    snapshot: str
    planned: int
    others: int = 0
    undoes: int = 0


@declare("restored to {addr}/{mailbox} from snapshot {snapshot} by {actor}", Outcome.OK)
class RestoreMessage(BoxEvent, frozen=True, kw_only=True, tag="restore.message"):
    """Messages were put back: the items carry their new ``st`` and UID, ``was`` the old st.

    ``marks`` are each one's flags and keywords, in the order of the items.
    """

    snapshot: str
    was: tuple[int, ...] = ()
    marks: tuple[tuple[str, ...], ...] = ()


@declare("restore into {addr} done: {restored} put back, {skipped} were there", Outcome.OK)
class RestoreDone(Event, frozen=True, kw_only=True, tag="restore.done"):
    """A restore into one box ended; its numbers are of messages."""

    snapshot: str
    restored: int
    skipped: int
    moved: int = 0
    marked: int = 0
    removed: int = 0
