"""``mtad snapshot forget``: which snapshots stay, by which rule, and the others go."""

from collections.abc import Sequence
from typing import Any

import click

from backup import retention, show, upkeep
from backup.retention import Verdict
from backup.telling import telling
from mtad.cli_options import administrator, config_option, json_option, settings
from mtad.errors import Exit, UsageError
from tracing.render import counted


@click.command()
@click.argument("snaps", nargs=-1, metavar="[SNAP]...")
@click.option("--keep", metavar="RULES", default="", help='Like "daily 7, weekly 4".')
@click.option("--dry-run", is_flag=True, help="Only say what stays and why.")
@config_option
@json_option
@click.pass_context
def forget(
    context: click.Context, snaps: Sequence[str], keep: str, dry_run: bool, as_json: bool
) -> int:
    """Forget snapshots that no rule keeps, or those that are named.

    The rules are backup.keep and backup.keep_for of the settings; --keep stands for both. A
    snapshot stays for the boxes whose rules want it; the newest of each box always stays, and
    so does one that is held. 'mtad snapshot prune' gives back the space.
    """
    if snaps and keep:
        raise UsageError("name snapshots or give --keep, not both")
    loaded = settings(context)
    with telling(loaded) as tell:
        verdicts = upkeep.forget(
            loaded, tell, names=snaps, keep=keep, dry_run=dry_run, actor=administrator()
        )
    if as_json:
        show.emit({"dry_run": dry_run, "snapshots": [_fields(each) for each in verdicts]})
        return Exit.OK
    show.table(
        ("SNAPSHOT", "TAKEN", "BOXES", "WHAT", "WHY"),
        [
            (
                each.name,
                show.when(each.commit.at),
                str(len(each.commit.mail)),
                _what(each),
                "; ".join(_why(each)),
            )
            for each in verdicts
        ],
        "BOXES",
    )
    gone = sum(each.is_forgotten for each in verdicts)
    said = f"{counted(gone, 'snapshot')} {'would be' if dry_run else ''} forgotten"
    click.echo(f"{' '.join(said.split())}, {counted(len(verdicts) - gone, 'snapshot')} kept")
    if gone and not dry_run:
        show.say("'mtad snapshot prune' gives back the space they alone took")
    return Exit.OK


def _what(verdict: Verdict) -> str:
    if verdict.is_forgotten:
        return "forgotten"
    if verdict.is_narrowed:
        return f"kept without {counted(len(verdict.leaving), 'box', 'boxes')}"
    return "held" if verdict.held else "kept"


def _why(verdict: Verdict) -> list[str]:
    """The rules that keep it, with whose they are where not everybody's."""
    every = len(retention.members(verdict.commit))
    return [
        reason if len(boxes) == every else f"{reason} ({_whose(boxes)})"
        for reason, boxes in verdict.kept.items()
    ]


def _whose(boxes: list[str]) -> str:
    if len(boxes) == 1:
        return boxes[0] or "the server itself"
    return counted(len(boxes), "box", "boxes")


def _fields(verdict: Verdict) -> dict[str, Any]:
    return {
        "snapshot": verdict.name,
        "at": show.rfc3339(verdict.commit.at),
        "forgotten": verdict.is_forgotten,
        "held": verdict.held,
        "kept_by": [{"rule": rule, "boxes": boxes} for rule, boxes in verdict.kept.items()],
        "leaving": verdict.leaving,
    }
