r"""What a box's owner keeps for others: ``\Seen`` of each user with whom mailboxes are shared.

The flag of the messages themselves is the owner's. Other users' are in the index by base name,
so they stay with a message that is moved; every change of theirs is an act with an event, and
raises the messages' mod-sequence, so that the user's other clients find it when they resynchronise
(RFC 7162). Functions block as acts do.
"""

from collections.abc import Iterable, Sequence

import msgspec

from mtad import clock
from mtad.journal.frame import Copy, Seen
from mtad.store.owner import Owner
from mtad.store.rows import MailboxRow, Row
from mtad.store.telling import chunks, item_of, traced
from mtad.store.values import Copied, FlagsDone, MailboxStatus, Placed, Prepared
from tracing.events import BoxSeen

SEEN = "\\seen"


def flags(
    owner: Owner,
    reader: str,
    mailbox: str,
    uids: Sequence[int],
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    *,
    unchanged_since: int | None = None,
    actor: str,
    client: str = "",
) -> FlagsDone:
    r"""``Owner.flags`` for a user who is not the owner: ``\Seen`` is the user's own.

    Raises NothingFound, UsageError.
    """
    with owner.working():
        owner.look()
        box = owner.mailbox(mailbox)
        rows = owner.index.by_uids(box, uids)
        failed = [
            row.uid for row in rows if unchanged_since is not None and row.modseq > unchanged_since
        ]
        rows = [row for row in rows if row.uid not in {*failed}]
        changed: set[int] = set()
        on, off = _names_seen(add), _names_seen(remove)
        if on or off:
            changed.update(_see(owner, reader, box, rows, on, actor, client))
        others = [[one for one in names if one.lower() != SEEN] for names in (add, remove)]
        if any(others):
            there = [row.uid for row in rows]
            done = owner.flags(box.name, there, *others, actor=actor, client=client)
            changed.update(done.changed)
        return FlagsDone(tuple(sorted(changed)), tuple(failed), box.highestmodseq)


def put(
    owner: Owner,
    reader: str,
    mailbox: str,
    items: Sequence[Prepared],
    *,
    actor: str,
    client: str = "",
) -> Placed:
    r"""``Owner.put`` by such a user, for whom messages with ``\Seen`` are seen."""
    unseen = [msgspec.structs.replace(item, flags=item.flags.replace("S", "")) for item in items]
    with owner.working():
        done = owner.put(mailbox, unseen, make=False, actor=actor, client=client)
        seen = [uid for item, uid in zip(items, done.uids, strict=True) if "S" in item.flags]
        if seen:
            box = owner.mailbox(mailbox)
            _see(owner, reader, box, owner.index.by_uids(box, seen), True, actor, client)
        return done


def copy(
    owner: Owner,
    reader: str,
    mailbox: str,
    uids: Sequence[int],
    target: str,
    *,
    actor: str,
    client: str = "",
) -> Copied:
    """``Owner.copy`` by such a user, for whom copies of what was seen are seen."""
    with owner.working():
        done = owner.copy(mailbox, uids, target, actor=actor, client=client)
        known = owner.index.seen_by(owner.mailbox(mailbox), reader)
        pairs = zip(done.sources, done.targets, strict=True)
        seen = [copied for source, copied in pairs if source in known]
        if seen:
            box = owner.mailbox(target)
            _see(owner, reader, box, owner.index.by_uids(box, seen), True, actor, client)
        return done


def status(owner: Owner, reader: str, mailbox: str) -> MailboxStatus:
    r"""``Owner.status`` with the messages that such a user has not seen."""
    found = owner.status(mailbox)
    unseen = owner.index.beside.unseen(owner.mailbox(mailbox).id, reader)
    return msgspec.structs.replace(found, unseen=unseen)


def _names_seen(names: Iterable[str]) -> bool:
    return any(name.lower() == SEEN for name in names)


def _see(
    owner: Owner,
    reader: str,
    box: MailboxRow,
    rows: Sequence[Row],
    on: bool,
    actor: str,
    client: str,
) -> list[int]:
    """Messages are seen, or not; the UIDs of those of which that was not so before."""
    known = owner.index.seen_by(box, reader)
    fresh = [row for row in rows if (row.uid in known) is not on]
    for part in chunks(fresh):
        copies = tuple(Copy(row.st, row.m or 0, row.uid, row.base) for row in part)
        act = Seen(owner.address, box.name, reader, copies, on, owner.index.take_modseq())
        items = tuple(map(item_of, part))
        trace, also = traced(items, owner.desk)
        event = BoxSeen(
            at=clock.now_us(),
            trace=trace,
            also=also,
            addr=owner.address,
            mailbox=box.name,
            items=items,
            client=client,
            actor=actor,
            who=reader,
            seen=on,
        )
        owner.do(act, event, part)
    return [row.uid for row in fresh]
