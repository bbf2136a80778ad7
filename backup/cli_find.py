"""``mtad snapshot find``, ``diff`` and ``cat``: looking through snapshots for messages."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from backup import catalog, show
from backup.format import Entry
from backup.lives import Change, Life
from backup.telling import box_address
from mtad.cli_options import config_option, json_option, settings
from mtad.errors import Exit, UsageError
from tracing import ids
from tracing.render import counted, safe, size
from tracing.search import SearchError

LIMIT = 100


@click.command()
@click.argument("query", nargs=-1, required=True)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=LIMIT,
    show_default=True,
    metavar="N",
    help="The latest N; 0 for all.",
)
@config_option
@json_option
@click.pass_context
def find(context: click.Context, query: Sequence[str], limit: int, as_json: bool) -> int:
    """Find messages in all snapshots, with when they appeared and when they were gone.

    QUERY is like that of 'mtad restore': words, from: to: subj: box: mbox: flag: size: since:
    and so on, and deleted:yes for what the last snapshot of its box lacks.
    """
    line = show.Line()
    with catalog.Catalog.open(settings(context)) as view:
        try:
            found = view.over_all(
                " ".join(query),
                limit=limit + 1 if limit else 0,
                progress=lambda done, total: line.show(
                    lambda: f"looking into snapshot {done} of {total} that are new"
                ),
            )
        except SearchError as error:
            raise UsageError(f"{error}\n{error.caret}") from error
        finally:
            line.clear()
    more = bool(limit) and len(found) > limit
    found = found[:limit] if more else found
    if as_json:
        show.emit({"messages": [_life_fields(each) for each in found], "more": more})
    elif found:
        show.table(
            ("ID", "BOX", "MAILBOX", "ARRIVED", "SIZE", "FROM", "SUBJECT", "IN SNAPSHOTS", "GONE"),
            [_life_row(each) for each in found],
            "SIZE",
        )
    if more:
        show.say(f"there are more: these are the latest {limit}; --limit 0 shows all")
    if not found:
        show.say("no snapshot has such a message")
    return Exit.OK if found else Exit.NOTHING_FOUND


def _life_row(each: Life) -> tuple[str, ...]:
    entry, head = each.entry, each.head
    return (
        ids.text(entry.m or entry.st),
        each.box,
        entry.mailbox,
        show.when(entry.mtime_ns // 1000),
        size(entry.size),
        head.sender[:30] if head else "-",
        head.subject[:40] if head else "-",
        each.first if each.first == each.last else f"{each.first} .. {each.last}",
        show.when(each.vanished),
    )


def _life_fields(each: Life) -> dict[str, Any]:
    head = each.head
    return {
        "box": each.box,
        **_entry_fields(each.entry),
        "from": head.sender if head else None,
        "subject": head.subject if head else None,
        "message_id": head.message_id if head else None,
        "first_snapshot": each.first,
        "last_snapshot": each.last,
        "appeared": show.rfc3339(each.appeared),
        "gone": show.rfc3339(each.vanished),
    }


def _entry_fields(entry: Entry) -> dict[str, Any]:
    return {
        "mailbox": entry.mailbox,
        "id": ids.text(entry.m) if entry.m else None,
        "st": ids.text(entry.st) if entry.st else None,
        "uid": entry.uid,
        "flags": entry.flags,
        "keywords": list(entry.keywords),
        "size": entry.size,
        "arrived": show.rfc3339(entry.mtime_ns // 1000),
        "base": entry.base.encode(errors="replace").decode(),
    }


@click.command()
@click.argument("before")
@click.argument("after", default="latest")
@click.option("--box", metavar="ADDRESS", help="Only this box.")
@config_option
@json_option
@click.pass_context
def diff(context: click.Context, before: str, after: str, box: str | None, as_json: bool) -> None:
    """Show what became of messages from snapshot BEFORE to AFTER: new, gone, moved, flags."""
    with catalog.Catalog.open(settings(context)) as view:
        changes = view.difference(before, after, box_address(box) if box else None)
    if as_json:
        show.emit({"changes": [_change_fields(each) for each in changes]})
        return
    if changes:
        show.table(
            ("WHAT", "BOX", "MAILBOX", "ID", "SIZE", "FLAGS"),
            [_change_row(each) for each in changes],
            "SIZE",
        )
    counts = {what: sum(each.what == what for each in changes) for what in _WORDS}
    said = ", ".join(f"{count:,} {_WORDS[what]}" for what, count in counts.items())
    verb = "differs" if len(changes) == 1 else "differ"
    click.echo(f"{counted(len(changes), 'message')} {verb}: {said}")


_WORDS = {"new": "new", "gone": "gone", "moved": "moved", "flags": "with other flags"}


def _change_row(each: Change) -> tuple[str, ...]:
    was, now = each.was, each.now
    entry = now or was
    assert entry is not None
    places = dict.fromkeys(one.mailbox for one in (was, now) if one)
    marks = dict.fromkeys(" ".join((one.flags, *one.keywords)) or "-" for one in (was, now) if one)
    return (
        each.what,
        each.box,
        " > ".join(places),
        ids.text(entry.m or entry.st),
        size(entry.size),
        " > ".join(marks),
    )


def _change_fields(each: Change) -> dict[str, Any]:
    return {
        "what": each.what,
        "box": each.box,
        "was": _entry_fields(each.was) if each.was else None,
        "now": _entry_fields(each.now) if each.now else None,
    }


@click.command()
@click.argument("snap")
@click.argument("message")
@click.option("--box", metavar="ADDRESS", help="Of this box, where several have it.")
@config_option
@click.pass_context
def cat(context: click.Context, snap: str, message: str, box: str | None) -> None:
    """Write a message of a snapshot to standard output, octet by octet.

    MESSAGE is an id as 'ls' and 'find' show it, or a file's base name. On a terminal control
    characters are made visible.
    """
    with catalog.Catalog.open(settings(context)) as view:
        raw = view.message(snap, message, box_address(box) if box else None)
    if sys.stdout.isatty():
        for line in raw.decode("utf-8", "replace").splitlines():
            click.echo(safe(line))
    else:
        sys.stdout.buffer.write(raw)
