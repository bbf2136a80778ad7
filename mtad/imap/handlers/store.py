"""STORE and UID STORE: flags and keywords (RFC 9051 6.4.6, RFC 7162 3.1.3)."""

from collections.abc import Sequence

from mtad.imap import batches, updates, write
from mtad.imap.answer import No, Ok
from mtad.imap.batches import Column, Lines
from mtad.imap.commands import Store
from mtad.imap.handlers.chosen import expunged, opened, there, who, writable
from mtad.imap.place import ALL_FLAGS, denied, permitted
from mtad.imap.selected import Selected
from mtad.imap.session import Session

MAX_KEYWORDS = 1000
"""Different keywords of a mailbox; each costs every client a word in FLAGS."""


async def store(session: Session, command: Store) -> Ok | None:
    r"""Change flags; each change is durable before anything is said.

    The answers show the flags as they are afterwards, of all messages asked for. With .SILENT
    they are left out, and what remains are mod-sequences for who uses them: of what changed, or
    of all that passed UNCHANGEDSINCE. What did not pass is told with the tagged answer, like
    everything that others changed.
    """
    selected = writable(session)
    view = selected.view
    asked = selected.resolve(command.numbers, command.by_uid)
    uids = there(selected, asked)
    if command.unchanged_since is not None:
        session.use_modseqs()
    if command.mode != "-":
        _check(view.keywords, command.flags)
    add, remove = _changes(selected, command)
    done = await selected.box.flags(
        view.name,
        uids,
        add,
        remove,
        replace=command.mode == "" and not selected.place.reader,
        unchanged_since=command.unchanged_since,
        reader=selected.place.reader,
        **who(session),
    )
    failed = set(done.failed)
    if selected.keywords != len(view.keywords):
        session.put(updates.flags(session, selected))
    columns = [batches.UID] if command.by_uid or session.qresync else []
    columns = [] if session.uidonly else columns
    if not command.silent:
        columns.append(batches.FLAGS)
    if session.condstore:
        columns.append(batches.MODSEQ)
    if not command.silent or command.unchanged_since is not None:
        await _tell(session, columns, [uid for uid in uids if uid not in failed])
    elif session.condstore:
        await _tell(session, columns, done.changed)
    if failed:
        numbers = sorted(failed if command.by_uid else map(selected.number, failed))
        code = write.code("MODIFIED", write.number_set(numbers))
        return Ok("Some messages have changed meanwhile", code)
    if len(uids) < len(asked) and not command.by_uid:
        raise expunged()
    return None


def _changes(selected: Selected, command: Store) -> tuple[Sequence[str], Sequence[str]]:
    """What is added and what removed, as far as the client has the rights to (RFC 4314 4).

    In a mailbox of another replacing is a matter of adding and removing what may be. Raises No
    where nothing may.
    """
    flags: Sequence[str] = command.flags
    if not ALL_FLAGS.issubset(selected.rights):
        flags = permitted(selected.rights, flags)
        if not flags and (command.flags or ALL_FLAGS.isdisjoint(selected.rights)):
            raise denied()
    if command.mode == "-":
        return (), flags
    if command.mode == "+" or not selected.place.reader:
        return flags, ()
    named = {flag.lower() for flag in flags}
    known = (*(flag.decode() for flag in updates.FLAGS), *selected.view.keywords)
    others = [flag for flag in known if flag.lower() not in named]
    return flags, permitted(selected.rights, others)


def _check(known: Sequence[str], flags: Sequence[str]) -> None:
    words = {flag for flag in flags if not flag.startswith("\\")}
    if len(words.difference(known)) + len(known) > MAX_KEYWORDS and words.difference(known):
        raise No("The mailbox has too many different keywords", b"LIMIT")


async def _tell(session: Session, columns: Sequence[Column], uids: Sequence[int]) -> None:
    selected = opened(session)
    lines = Lines(session, columns)
    for number, part in enumerate(batches.cut(uids)):
        if number:
            await session.drain()
        await session.write(lines.of(batches.located(selected, part)))
