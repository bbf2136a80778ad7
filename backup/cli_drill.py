"""``mtad snapshot drill``: proof by trying that messages come back."""

import dataclasses

import click

from backup import drill as drilling
from backup import show, upkeep
from backup.telling import telling
from mtad.cli_options import administrator, config_option, json_option, settings
from mtad.errors import Exit
from tracing.render import safe


@click.command()
@click.argument("snap", default="latest", metavar="[SNAP]")
@click.option(
    "--messages",
    type=click.IntRange(1, 100_000),
    default=drilling.MESSAGES,
    show_default=True,
    help="How many messages, drawn by lot.",
)
@config_option
@json_option
@click.pass_context
def drill(context: click.Context, snap: str, messages: int, as_json: bool) -> None:
    """Put messages drawn by lot back aside and compare them, octet by octet.

    Nothing in a box changes. The server does this by itself once a month.
    """
    loaded = settings(context)
    with telling(loaded) as tell:
        done = upkeep.drill(loaded, tell, snapshot=snap, count=messages, actor=administrator())
    if as_json:
        show.emit(dataclasses.asdict(done))
    else:
        click.echo(
            f"snapshot {done.snapshot}: {done.messages - len(done.failed)} of {done.messages} "
            f"messages came back as they were, {done.compared} of them compared with the box"
        )
        for line in done.failed:
            click.echo(f"  {safe(line)}")
    if done.failed:
        context.exit(Exit.PROBLEMS)
