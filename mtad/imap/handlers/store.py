"""STORE and UID STORE: flags and keywords (RFC 9051 6.4.6, RFC 7162 3.1.3)."""

from collections.abc import Sequence

from mtad.imap import batches, updates, write
from mtad.imap.answer import No, Ok
from mtad.imap.batches import Column, Lines
from mtad.imap.commands import Store
from mtad.imap.handlers.chosen import expunged, opened, there, who, writable
from mtad.imap.session import Session

MAX_KEYWORDS = 1000
"""Different keywords of a mailbox; each costs every client a word in FLAGS."""


async def store(session: Session, command: Store) -> Ok | None:
    r"""Change flags; each change is durable before anything is said.

    The answers show the flags as they are afterwards, of all messages asked for. With .SILENT
    they are left out, and what remains are mod-sequences for who uses them.
    """
    selected = writable(session)
    view = selected.view
    asked = selected.resolve(command.numbers, command.by_uid)
    uids = there(selected, asked)
    if command.unchanged_since is not None:
        session.enabled.add("CONDSTORE")
    if command.mode != "-":
        _check(view.keywords, command.flags)
    remove = command.mode == "-"
    done = await session.box.flags(
        view.name,
        uids,
        () if remove else command.flags,
        command.flags if remove else (),
        replace=command.mode == "",
        unchanged_since=command.unchanged_since,
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
    if not command.silent:
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


def _check(known: Sequence[str], flags: Sequence[str]) -> None:
    words = {flag for flag in flags if not flag.startswith("\\")}
    if len(words.difference(known)) + len(known) > MAX_KEYWORDS and words.difference(known):
        raise No("The mailbox has too many different keywords", b"LIMIT")


async def _tell(session: Session, columns: Sequence[Column], uids: Sequence[int]) -> None:
    selected = opened(session)
    lines = Lines(session, columns)
    for part in batches.cut(uids):
        await session.write(lines.of(batches.located(selected, part)))
        await session.drain()
