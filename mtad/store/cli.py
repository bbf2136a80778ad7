"""``mtad mail``: stored messages listed, deleted, moved and flagged from the command line."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from mtad import address
from mtad.cli_options import administrator, config_option, json_option, settings, yes_option
from mtad.errors import NothingFound, UsageError
from mtad.store import names, subject
from mtad.store.client import Boxes, Listed
from mtad.store.reading import open_message
from mtad.store.values import Message
from mtad.where import Places
from tracing import ids
from tracing.render import safe

CLIENT = "mtad mail"
F = TypeVar("F", bound=Callable[..., Any])
_FLAG_WORDS = {
    name.lower().lstrip("\\$"): name for name in (*names.FLAGS.values(), "$Junk", "$NotJunk")
}


@click.group()
def mail() -> None:
    """List, delete, move and flag stored messages."""


def _box_option(command: F) -> F:
    return click.option("--box", required=True, metavar="ADDRESS", help="The box.")(command)


def _choice(command: F) -> F:
    """UIDs, ranges, ids or everything, in one mailbox."""
    command = click.argument("chosen", nargs=-1, metavar="[UID | FROM:TO | ID]...")(command)
    command = click.option(
        "--mailbox", metavar="NAME", help="The mailbox; INBOX, or anywhere for ids."
    )(command)
    return click.option("--all", "everything", is_flag=True, help="All of the mailbox.")(command)


@mail.command("list")
@_box_option
@click.option("--mailbox", metavar="NAME", help="One mailbox only.")
@json_option
@config_option
@click.pass_context
def list_(context: click.Context, box: str, mailbox: str | None, as_json: bool) -> None:
    """Show the messages of a box."""
    loaded = settings(context)
    with Boxes(loaded) as boxes:
        listed = boxes.list(box, mailbox)
    if as_json:
        click.echo(json.dumps(_document(box, listed), ensure_ascii=False, indent=1))
        return
    folder = _folder(loaded.places, box)
    shown = [one.name for one in listed.mailboxes if mailbox is None or _is(one.name, mailbox)]
    for name in shown:
        messages = [one for one in listed.messages if one.mailbox == name]
        click.echo(f"{safe(name)}: {_messages(len(messages))}")
        for one in messages:
            click.echo(_line(one, _subject(folder, one)))


@mail.command()
@_box_option
@_choice
@yes_option
@config_option
@click.pass_context
def delete(
    context: click.Context,
    box: str,
    chosen: Sequence[str],
    mailbox: str | None,
    everything: bool,
    yes: bool,
) -> None:
    """Delete messages; a snapshot or the recoverable items can bring them back."""
    loaded = settings(context)
    with Boxes(loaded) as boxes:
        found = _choose(boxes.list(box, mailbox), box, mailbox, chosen, everything)
        if not yes:
            folder = _folder(loaded.places, box)
            for one in found[:10]:
                click.echo(_line(one, _subject(folder, one)))
            if len(found) > 10:
                click.echo(f"... and {len(found) - 10} more")
            if not sys.stdin.isatty():
                raise UsageError(f"{_messages(len(found))} would be deleted; give --yes to do it")
            click.confirm(f"Delete {_messages(len(found))} from {safe(box)}?", abort=True)
        count = 0
        for name, uids in _by_mailbox(found):
            count += boxes.expunge(box, name, uids, actor=administrator(), client=CLIENT)
    click.echo(f"deleted {_messages(count)} from {safe(box)}")


@mail.command()
@_box_option
@_choice
@click.option("--to", "target", required=True, metavar="NAME", help="The mailbox to move to.")
@config_option
@click.pass_context
def move(
    context: click.Context,
    box: str,
    chosen: Sequence[str],
    mailbox: str | None,
    everything: bool,
    target: str,
) -> None:
    """Move messages to another mailbox of the box, which is made if need be."""
    with Boxes(settings(context)) as boxes:
        found = _choose(boxes.list(box, mailbox), box, mailbox, chosen, everything)
        found = [one for one in found if not _is(one.mailbox, target)]
        if not found:
            raise NothingFound(f"the messages are in {target} already")
        boxes.create(box, target, actor=administrator())
        count = 0
        for name, uids in _by_mailbox(found):
            count += len(boxes.move(box, name, uids, target, actor=administrator(), client=CLIENT))
    click.echo(f"moved {_messages(count)} to {safe(box)}/{safe(target)}")


@mail.command()
@_box_option
@_choice
@click.option("--add", multiple=True, metavar="FLAG", help="seen, flagged, ... or a keyword.")
@click.option("--remove", multiple=True, metavar="FLAG", help="The same, taken away.")
@config_option
@click.pass_context
def flag(
    context: click.Context,
    box: str,
    chosen: Sequence[str],
    mailbox: str | None,
    everything: bool,
    add: Sequence[str],
    remove: Sequence[str],
) -> None:
    """Add and remove flags and keywords."""
    if not add and not remove:
        raise UsageError("say what to do: --add FLAG or --remove FLAG")
    with Boxes(settings(context)) as boxes:
        found = _choose(boxes.list(box, mailbox), box, mailbox, chosen, everything)
        count = 0
        for name, uids in _by_mailbox(found):
            count += boxes.flags(
                box, name, uids, _flags(add), _flags(remove), actor=administrator(), client=CLIENT
            )
    click.echo(f"changed {_messages(count)} of {len(found)} in {safe(box)}")


def _choose(
    listed: Listed, box: str, mailbox: str | None, chosen: Sequence[str], everything: bool
) -> list[Message]:
    """The messages meant. Raises NothingFound when there are none, UsageError when nobody is."""
    if bool(chosen) == everything:
        raise UsageError("say which messages: UIDs, ranges like 3:9, ids, or --all")
    there = [one for one in listed.messages if _is(one.mailbox, mailbox or names.INBOX)]
    if everything:
        found = there
    else:
        anywhere = there if mailbox else listed.messages
        found = []
        for text in chosen:
            found += _match(text, there, anywhere)
    found = list({(one.mailbox, one.uid): one for one in found}.values())
    if not found:
        raise NothingFound(f"no message of {box} matches")
    return found


def _match(text: str, there: Iterable[Message], anywhere: Iterable[Message]) -> list[Message]:
    number = ids.parse(text)
    if number is not None:
        return [one for one in anywhere if number in (one.m, one.st)]
    low, colon, high = text.partition(":")
    if not (low.isascii() and low.isdigit() and (not colon or high == "*" or high.isdigit())):
        raise UsageError(f"{text!a} is no UID, no range like 3:9, and no message id")
    first = int(low)
    last = first if not colon else (1 << 32 if high == "*" else int(high))
    return [one for one in there if first <= one.uid <= last]


def _by_mailbox(messages: Iterable[Message]) -> list[tuple[str, list[int]]]:
    found: dict[str, list[int]] = {}
    for one in messages:
        found.setdefault(one.mailbox, []).append(one.uid)
    return list(found.items())


def _flags(words: Iterable[str]) -> list[str]:
    r"""Flags as they are called: ``seen`` is ``\Seen``; a keyword is as it is written."""
    return [_FLAG_WORDS.get(word.lower(), word) for word in words]


def _is(mailbox: str, wanted: str) -> bool:
    return mailbox == wanted or mailbox == wanted.upper() == names.INBOX


def _folder(places: Places, box: str) -> Path:
    return places.boxes / address.box_folder(str(address.parse(box)))


def _subject(folder: Path, message: Message) -> str:
    """The Subject, where this user may read the message."""
    try:
        descriptor = open_message(folder, message)
    except OSError:
        return ""
    try:
        return subject.of_header(os.read(descriptor, subject.MAX_HEADER))
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def _line(message: Message, title: str) -> str:
    at = _date(message).astimezone().strftime("%Y-%m-%d %H:%M")
    marks = (message.flags or "-") + "".join(f" {word}" for word in message.keywords)
    shown = ids.text(message.m or message.st)
    return f"{message.uid:>6}  {marks:<4}  {at}  {message.size:>9}  {shown}  {safe(title)}"


def _date(message: Message) -> datetime:
    return datetime.fromtimestamp(message.internaldate_ns / 1e9, UTC)


def _messages(count: int) -> str:
    return f"{count} {'message' if count == 1 else 'messages'}"


def _document(box: str, listed: Listed) -> dict[str, Any]:
    return {
        "box": box,
        "mailboxes": [
            {
                "name": one.name,
                "uidvalidity": one.uidvalidity,
                "uidnext": one.uidnext,
                "highestmodseq": one.highestmodseq,
                "messages": one.messages,
            }
            for one in listed.mailboxes
        ],
        "messages": [
            {
                "mailbox": one.mailbox,
                "uid": one.uid,
                "id": ids.text(one.m) if one.m else None,
                "copy": ids.text(one.st),
                "flags": list(names.flag_names(one.flags)),
                "keywords": list(one.keywords),
                "date": _date(one).isoformat(),
                "date_ns": one.internaldate_ns,
                "size": one.size,
                "sha256": one.sha256.hex() if one.sha256 else None,
                "modseq": one.modseq,
                "base": one.base,
                "file": one.file,
            }
            for one in listed.messages
        ],
    }
