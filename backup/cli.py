"""``mtad snapshot`` and ``mtad restore``: dated states of the boxes, and the way back."""

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from backup import catalog, runs, show
from mtad import address
from mtad.cli_options import administrator, config_option, json_option, settings, yes_option
from mtad.errors import Corrupt, Exit, UsageError
from mtad.journal.command import command_journal
from mtad.journal.frame import Meta, raw
from tracing import events
from tracing.render import counted, size

if TYPE_CHECKING:
    from mtad.config import Loaded

CLIENT = "mtad restore"


@contextlib.contextmanager
def _telling(loaded: "Loaded") -> Iterator[runs.Tell]:
    """Events of this command, in a command's journal."""
    with command_journal(loaded.places) as journal:

        class ToJournal:
            def new_id(self) -> int:
                return journal.mint.new()

            def __call__(self, event: events.Event) -> None:
                journal.commit_now(Meta(events=(raw(event),)))

        yield ToJournal()


def _address(text: str) -> str:
    try:
        return str(address.parse(text))
    except ValueError as error:
        raise UsageError(str(error)) from None


# ----------------------------------------------------------------- snapshot


@click.group(invoke_without_command=True)
@config_option
@click.pass_context
def snapshot(context: click.Context) -> int | None:
    """Take, list, look into and verify snapshots; alone it lists them."""
    if context.invoked_subcommand is None:
        return int(context.invoke(list_) or 0)
    return None


@snapshot.command()
@click.option("--box", metavar="ADDRESS", help="Only this box.")
@click.option("--domain", metavar="NAME", help="Only the boxes of this domain.")
@config_option
@json_option
@click.pass_context
def create(context: click.Context, box: str | None, domain: str | None, as_json: bool) -> int:
    """Take a snapshot of all boxes, or of some."""
    if box and domain:
        raise UsageError("give --box or --domain, not both")
    loaded = settings(context)
    line = show.Line()
    try:
        with _telling(loaded) as tell:
            taken = runs.take(
                loaded,
                tell,
                box=_address(box) if box else None,
                domain=domain.lower() if domain else None,
                actor=administrator(),
                say=show.say,
                progress=lambda p: line.show(
                    lambda: (
                        f"box {p.boxes_done + 1} of {p.boxes}: "
                        f"{counted(p.read, 'message')} read, {size(p.read_bytes)}"
                    )
                ),
            )
    finally:
        line.clear()
    commit = taken.commit
    messages = sum(each.messages for each in commit.boxes)
    if as_json:
        show.emit(
            {
                "snapshot": taken.name,
                "at": show.rfc3339(commit.at),
                "scope": commit.scope,
                "boxes": len(commit.boxes),
                "messages": messages,
                "added": commit.added,
                "stored_bytes": commit.stored,
                "seconds": commit.seconds,
                "same_as": taken.same_as or None,
                "unread": list(commit.unread),
            }
        )
    else:
        same = f"; nothing changed since {taken.same_as}" if taken.same_as else ""
        click.echo(
            f"snapshot {taken.name}: {counted(len(commit.boxes), 'box', 'boxes')}, "
            f"{counted(messages, 'message')}, {commit.added:,} new, "
            f"{size(commit.stored)} stored in {commit.seconds:.1f} s{same}"
        )
    for each in commit.unread:
        show.say(f"could not be read: {each}")
    return Exit.PARTIAL if commit.unread else Exit.OK


@snapshot.command("list")
@config_option
@json_option
@click.pass_context
def list_(context: click.Context, as_json: bool = False) -> int:
    """List the snapshots, oldest first."""
    with catalog.Catalog.open(settings(context)) as view:
        found = view.snapshots()[::-1]
        notes = view.notes
    for note in notes:
        show.say(note)
    if as_json:
        show.emit({"snapshots": [show.snapshot_fields(each) for each in found]})
    elif found:
        show.table(
            ("SNAPSHOT", "TAKEN", "BOXES", "MESSAGES", "SIZE", "NEW", "STORED", "SCOPE"),
            [
                (
                    each.name,
                    show.when(each.at),
                    str(each.boxes),
                    str(each.messages),
                    size(each.size),
                    str(each.added),
                    size(each.stored),
                    each.scope,
                )
                for each in found
            ],
            "BOXES MESSAGES SIZE NEW STORED",
        )
    else:
        show.say("there is no snapshot yet; 'mtad snapshot create' takes one")
    return Exit.CORRUPT if notes else Exit.OK


@snapshot.command("show")
@click.argument("snap", default="latest")
@config_option
@json_option
@click.pass_context
def show_(context: click.Context, snap: str, as_json: bool) -> None:
    """Show one snapshot with its boxes; without SNAP the latest."""
    with catalog.Catalog.open(settings(context)) as view:
        name = view.resolve(snap)
        each = next(one for one in view.snapshots() if one.name == name)
        boxes = view.boxes(name)
    if as_json:
        rows = [
            {"box": box.address, "messages": box.messages, "size_bytes": box.size} for box in boxes
        ]
        show.emit({**show.snapshot_fields(each), "contents": rows})
        return
    click.echo(f"{each.name}  taken {show.when(each.at)}, {each.scope}, in {each.seconds:.1f} s")
    click.echo(
        f"{counted(each.messages, 'message')} ({size(each.size)}) "
        f"in {counted(each.boxes, 'box', 'boxes')}; {each.added:,} new, "
        f"{size(each.stored)} stored; {each.unread:,} could not be read"
    )
    show.boxes_table(boxes)


@snapshot.command()
@click.argument("snap")
@click.argument("box", required=False)
@click.argument("mailbox", required=False)
@config_option
@json_option
@click.pass_context
def ls(
    context: click.Context, snap: str, box: str | None, mailbox: str | None, as_json: bool
) -> None:
    """List a snapshot's boxes, a box's mailboxes, or a mailbox's messages.

    SNAP is a snapshot's name, an unambiguous part of it, or "latest".
    """
    with catalog.Catalog.open(settings(context)) as view:
        name = view.resolve(snap)
        if box is None:
            boxes = view.boxes(name)
            if as_json:
                rows = [
                    {"box": b.address, "messages": b.messages, "size_bytes": b.size} for b in boxes
                ]
                show.emit({"snapshot": name, "boxes": rows})
            else:
                show.boxes_table(boxes)
        elif mailbox is None:
            mailboxes = view.mailboxes(name, _address(box))
            if as_json:
                rows = [
                    {"mailbox": m.name, "messages": m.messages, "uidvalidity": m.uidvalidity}
                    for m in mailboxes
                ]
                show.emit({"snapshot": name, "box": _address(box), "mailboxes": rows})
            else:
                show.table(
                    ("MAILBOX", "MESSAGES"),
                    [(m.name, str(m.messages)) for m in mailboxes],
                    "MESSAGES",
                )
        else:
            messages = view.messages(name, _address(box), mailbox)
            if as_json:
                rows = [show.message_fields(each) for each in messages]
                head = {"snapshot": name, "box": _address(box), "mailbox": mailbox}
                show.emit({**head, "messages": rows})
            else:
                show.messages_table(messages)


@snapshot.command()
@click.option("--read-data", is_flag=True, help="Read and prove every octet.")
@config_option
@json_option
@click.pass_context
def verify(context: click.Context, read_data: bool, as_json: bool) -> int:
    """Check the repository; name what is damaged and the messages it costs."""
    loaded = settings(context)
    line = show.Line()
    try:
        with _telling(loaded) as tell:
            report = runs.check(
                loaded,
                tell,
                read_data=read_data,
                actor=administrator(),
                progress=lambda done, total: line.show(lambda: f"pack {done} of {total}"),
            )
    finally:
        line.clear()
    if as_json:
        show.emit(show.report_fields(report))
    else:
        for finding in report.findings:
            show.show_finding(finding)
        how = "read and proven" if read_data else "in place (their contents: --read-data)"
        click.echo(
            f"{counted(report.snapshots, 'snapshot')}, {counted(report.packs, 'pack')}, "
            f"{counted(report.objects, 'object')} {how}; "
            f"{counted(len(report.findings), 'problem')}"
        )
        if report.relisted:
            packs = counted(report.relisted, "pack")
            click.echo(f"listed again, because the index did not: {packs}")
    if report.is_clean:
        return Exit.OK
    return Exit.PROBLEMS if report.is_whole else Exit.CORRUPT


# ------------------------------------------------------------------ restore


@click.command()
@click.option("--box", required=True, metavar="ADDRESS", help="The box to restore into.")
@click.option("--mailbox", metavar="NAME", help="Only what was in this mailbox.")
@click.option("--snapshot", "snap", default="latest", metavar="SNAP", help="From which snapshot.")
@click.argument("terms", nargs=-1, metavar="[ID | WORD...]")
@click.option("--dry-run", is_flag=True, help="Show what would be put back, and change nothing.")
@config_option
@json_option
@yes_option
@click.pass_context
def restore(
    context: click.Context,
    box: str,
    mailbox: str | None,
    snap: str,
    terms: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    yes: bool,
) -> int:
    """Put messages back into their mailboxes, with their dates, flags and keywords.

    A message is chosen by its ID (as traces and lists show it) or by words that occur in
    its subject, sender or Message-ID; without either all of the box, or of --mailbox, is
    meant. What is there already is left alone, so that a restore may be repeated.
    """
    loaded = settings(context)
    address = _address(box)
    with catalog.open_repository(loaded) as store:
        todo = runs.plan(loaded, store, address, given=snap, mailbox=mailbox, terms=terms)
        for note in store.notes:
            show.say(note)
        if dry_run:
            show.show_plan(todo.snapshot, address, todo.steps, as_json)
            return Exit.OK
        puts = todo.puts
        if puts:
            what = f"{counted(len(puts), 'message')} ({size(sum(one.size for one in puts))})"
            _confirm(f"Put {what} back into {address}?", yes)
        line = show.Line()
        try:
            with _telling(loaded) as tell:
                result = runs.put_back(
                    loaded,
                    store,
                    todo,
                    tell,
                    actor=administrator(),
                    client=CLIENT,
                    progress=lambda done, total: line.show(lambda: f"{done} of {total} messages"),
                )
        finally:
            line.clear()
    failed = [
        {"mailbox": entry.mailbox, "uid": entry.uid, "base": entry.base, "why": why}
        for entry, why in result.failed
    ]
    if as_json:
        show.emit(
            {
                "snapshot": todo.snapshot,
                "box": address,
                "restored": result.restored,
                "skipped": result.skipped,
                "failed": failed,
            }
        )
    else:
        click.echo(
            f"{counted(result.restored, 'message')} put back into {address} from snapshot "
            f"{todo.snapshot}; {result.skipped:,} there already"
        )
    for entry, why in result.failed[: show.SHOWN]:
        show.say(f"lost: {entry.mailbox} UID {entry.uid} {entry.base}: {why}")
    if result.failed and not result.restored:
        raise Corrupt(f"none of {len(failed)} messages can be read; see 'mtad snapshot verify'")
    return Exit.PARTIAL if result.failed else Exit.OK


def _confirm(question: str, yes: bool) -> None:
    """Ask on a terminal. Raises UsageError without one, Abort for no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Give --yes (or look first with --dry-run)")
    click.confirm(question, abort=True, err=True)
