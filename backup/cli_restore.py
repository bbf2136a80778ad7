"""``mtad restore``: messages put back, or written out, and what was restored taken back."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backup import operations, outside, planning, show_outside, show_restore, undoing
from backup.asked import Asked, pasts, plans
from backup.format import Entry
from backup.past import History, Past
from backup.plan import Act
from backup.planning import Plan, Wish
from backup.show import emit, say
from backup.telling import telling
from mtad.cli_options import administrator, config_option, json_option, settings, yes_option
from mtad.errors import Corrupt, Exit, UsageError
from tracing import ids

if TYPE_CHECKING:
    from mtad.config import Loaded


@click.command()
@click.argument("terms", nargs=-1, metavar="[QUERY...]")
@click.option("--box", metavar="ADDRESS", help="Whose mail; also the beginning of an address.")
@click.option("--domain", metavar="NAME", help="All boxes of a domain.")
@click.option("--mailbox", metavar="NAME", help="Only what was in this mailbox.")
@click.option("--snapshot", "snap", default="", metavar="SNAP", help="As this snapshot has it.")
@click.option("--at", default="", metavar="TIME", help="As it was then, to the minute.")
@click.option("--deleted", is_flag=True, help="What was deleted lately and is still kept.")
@click.option("--to-folder", default="", metavar="NAME", help="Into this mailbox.")
@click.option("--to-box", default="", metavar="ADDRESS", help="Into this box.")
@click.option("--to", default="", metavar="PATH", help="Out to files; the path must be free.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(outside.FORMATS),
    help="Of those files (else by the path's ending, else eml).",
)
@click.option(
    "--only-missing/--exact",
    default=True,
    help="Put back what is not there; or make the box exactly what it was.",
)
@click.option(
    "--flags",
    type=click.Choice(("as-were", "unread")),
    default="as-were",
    help="Flags of what is put back.",
)
@click.option("--over-quota", is_flag=True, help="Even if the box is too full then.")
@click.option("--undo", metavar="OPERATION", help="Take a restore back.")
@click.option("--list", "listing", is_flag=True, help="List the last restores.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
@config_option
@json_option
@yes_option
@click.pass_context
def restore(
    context: click.Context,
    terms: tuple[str, ...],
    box: str | None,
    domain: str | None,
    mailbox: str | None,
    snap: str,
    at: str,
    deleted: bool,
    to_folder: str,
    to_box: str,
    to: str,
    kind: str | None,
    only_missing: bool,
    flags: str,
    over_quota: bool,
    undo: str | None,
    listing: bool,
    dry_run: bool,
    as_json: bool,
    yes: bool,
) -> int:
    """Put messages back, with their dates, flags and keywords.

    Messages come from the last snapshot, from the box as it was at a time, or from what was
    deleted lately. QUERY chooses among them in the language of 'mtad trace': words of the
    subject or an address, an ID, from: to: subj: date: size: mbox: flag: has: since: until:
    What is there already is left alone, so that a restore may be repeated.

    \b
    mtad restore --deleted since:2d box:sales@
    mtad restore --box sales@example.org --mailbox Orders --at '2026-11-20 14:32'
    mtad restore --box sales@example.org from:alice has:attachment --to alice.mbox
    """
    loaded = settings(context)
    if listing:
        show_restore.show_operations(operations.listing(loaded), as_json)
        return Exit.OK
    asked = Asked(
        terms,
        box,
        domain,
        mailbox,
        snap,
        at,
        deleted,
        to_folder,
        to_box,
        to,
        not only_missing,
        flags == "unread",
    )
    with operations.open_history(loaded) as history:
        if history.contents.store is not None:
            for note in history.contents.store.notes:
                say(note)
        if undo:
            todo = undoing.undo(loaded, history, undo)
        else:
            found, wish = pasts(loaded, history, asked)
            if to:
                return _write(history, found, wish, Path(to), kind or "", dry_run, as_json)
            if not dry_run:
                operations.settle(loaded, {wish.to_box or past.box for past in found})
            todo = plans(loaded, history, found, wish)
        if dry_run:
            show_restore.show_plans(todo, as_json)
            return Exit.OK
        return _carry_out(loaded, history, todo, over_quota, as_json, yes)


def _carry_out(
    loaded: "Loaded",
    history: History,
    todo: Sequence[Plan],
    over_quota: bool,
    as_json: bool,
    yes: bool,
) -> int:
    busy = [one for one in todo if one.puts or one.others]
    if busy:
        what = "; ".join(show_restore.planned(one) for one in busy[:5])
        more = f" and in {len(busy) - 5} more boxes" if len(busy) > 5 else ""
        _confirm(f"{what[:1].upper()}{what[1:]}{more}?", yes)
    progress = show_restore.Progress()
    try:
        with telling(loaded) as tell:
            who = administrator()
            if not over_quota:
                for one in todo:
                    operations.check_room(loaded, one)
            kept = operations.keep_first(loaded, busy, tell, actor=who)
            run, results = operations.carry_out(
                loaded,
                history,
                todo,
                tell,
                actor=who,
                over_quota=over_quota,
                progress=progress,
            )
    finally:
        progress.clear()
    done = list(zip(todo, results, strict=True))
    if as_json:
        fields = [show_restore.result_fields(one, result) for one, result in done]
        first = fields[0] if len(fields) == 1 else {}
        emit({"operation": ids.text(run), "kept": kept, **first, "boxes": fields})
    else:
        for one, result in done:
            show_restore.show_result(one, result)
        if busy:
            click.echo(f"to take it back: mtad restore --undo {ids.text(run)}")
        if any(one.of(Act.REMOVE) for one in busy):
            click.echo(f"what was removed is in snapshot {', '.join(kept)}")
    lost = failed = restored = 0
    for one, result in done:
        for note in one.notes:
            say(note)
        show_restore.show_lost(one)
        show_restore.show_failed(result.failed)
        lost, failed = lost + len(one.lost), failed + len(result.failed)
        restored += result.restored
    if failed and not restored:
        raise Corrupt(f"none of {failed} messages can be read; see 'mtad snapshot verify'")
    return Exit.PARTIAL if failed or lost else Exit.OK


def _write(
    history: History,
    found: Sequence[Past],
    wish: Wish,
    path: Path,
    kind: str,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Write what is wanted to files."""
    boxes: list[tuple[str, list[Entry]]] = []
    for past in found:
        chosen = planning.select(history.contents, past, wish)
        if chosen:
            boxes.append((past.box, [past.entries[number] for number in chosen]))
    if not boxes:
        raise planning.nothing(found[0], wish)
    told = show_outside.write(history.contents, boxes, path, kind, dry_run, as_json)
    return Exit.PARTIAL if any(past.lost for past in found) and not dry_run else told


def _confirm(question: str, yes: bool) -> None:
    """Ask on a terminal. Raises UsageError without one, Abort for no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Give --yes (or look first with --dry-run)")
    click.confirm(question, abort=True, err=True)
