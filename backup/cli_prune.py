"""``mtad snapshot prune`` and ``compact``: room is given back while everything goes on."""

from typing import Any

import click

from backup import show, upkeep
from backup.prune import WASTE, How, Pruned
from backup.telling import telling
from mtad.cli_options import administrator, config_option, json_option, settings
from mtad.errors import Exit
from tracing.render import counted, size


@click.command()
@click.option(
    "--waste",
    type=click.IntRange(1, 100),
    default=round(100 * WASTE),
    show_default=True,
    metavar="PERCENT",
    help="Write packs anew of which so much is dead.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@config_option
@json_option
@click.pass_context
def prune(context: click.Context, waste: int, dry_run: bool, as_json: bool) -> int:
    """Give back the room of what no snapshot needs.

    Nothing is stopped: packs that somebody may be reading or relying on are marked, and removed
    by the next pruning. Small packs are written together once there are many.
    """
    return _run(context, How(waste / 100), dry_run=dry_run, as_json=as_json)


@click.command()
@click.option("--all", "everything", is_flag=True, help="Write all packs of messages anew.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@config_option
@json_option
@click.pass_context
def compact(context: click.Context, everything: bool, dry_run: bool, as_json: bool) -> int:
    """Prune, and write small packs together, messages sorted so that they compress best."""
    how = How(compact=True, everything=everything)
    return _run(context, how, dry_run=dry_run, as_json=as_json)


def _run(context: click.Context, how: How, *, dry_run: bool, as_json: bool) -> int:
    loaded = settings(context)
    line = show.Line()
    try:
        with telling(loaded) as tell:
            done = upkeep.prune(
                loaded,
                tell,
                how,
                dry_run=dry_run,
                actor=administrator(),
                progress=lambda what, number: line.show(lambda: f"{number:,} {what}"),
            )
    finally:
        line.clear()
    if as_json:
        show.emit({"dry_run": dry_run, **_fields(done)})
    else:
        for sentence in _sentences(done, dry_run=dry_run):
            click.echo(sentence)
    for name in done.spared:
        show.say(f"pack {name[:16]} stays: something in it cannot be read; 'mtad snapshot verify'")
    return Exit.PROBLEMS if done.spared else Exit.OK


def _sentences(done: Pruned, *, dry_run: bool) -> list[str]:
    dropped, rewritten = (sum(use.size for use in some) for some in (done.dropped, done.rewritten))
    would = "would be " if dry_run else ""
    found = [
        f"{counted(done.packs, 'pack')} ({size(done.octets)}): "
        f"{len(done.dropped):,} ({size(dropped)}) {would}dropped, "
        f"{len(done.rewritten):,} ({size(rewritten)}) {would}written anew"
        + (f" as {size(done.written)}" if done.written else "")
    ]
    if done.removed:
        found.append(f"{counted(done.removed, 'pack')} removed, {size(done.freed)} freed")
    if done.waiting:
        found.append(
            f"{counted(done.waiting, 'pack')} ({size(done.waiting_octets)}) marked: others use the "
            "repository now, so the next pruning removes them"
        )
    return found


def _fields(done: Pruned) -> dict[str, Any]:
    return {
        "packs": done.packs,
        "bytes": done.octets,
        "dropped": [use.name for use in done.dropped],
        "rewritten": [use.name for use in done.rewritten],
        "written_bytes": done.written,
        "removed": done.removed,
        "freed_bytes": done.freed,
        "waiting": done.waiting,
        "waiting_bytes": done.waiting_octets,
        "spared": done.spared,
    }
