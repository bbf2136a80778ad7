"""``mtad snapshot hold`` and ``release``: snapshots that nothing forgets."""

from collections.abc import Sequence

import click

from backup import catalog, holds, show
from backup.telling import telling
from mtad import clock
from mtad.cli_options import administrator, config_option, json_option, settings
from mtad.errors import MtadError
from tracing import events


@click.command()
@click.argument("snaps", nargs=-1, required=True, metavar="SNAP...")
@click.option("--why", default="", metavar="TEXT", help="The reason, for whoever asks later.")
@config_option
@json_option
@click.pass_context
def hold(context: click.Context, snaps: Sequence[str], why: str, as_json: bool) -> None:
    """Keep snapshots whatever the rules say, until they are released (legal hold)."""
    loaded = settings(context)
    who = administrator()
    with catalog.open_repository(loaded) as store, telling(loaded) as tell:
        try:
            names = holds.hold(store, snaps, at=clock.now_us(), by=who, why=why)
        except OSError as error:
            raise MtadError(f"not everything is held: {error}") from error
        for name in names:
            at, trace = clock.now_us(), tell.new_id()
            tell(events.BackupHeld(at=at, trace=trace, actor=who, snapshot=name, why=why))
    if as_json:
        show.emit({"held": names})
        return
    for name in names:
        click.echo(f"snapshot {name} is held; 'mtad snapshot release {name}' lets it go")
    if not names:
        show.say("held already")


@click.command()
@click.argument("snaps", nargs=-1, required=True, metavar="SNAP...")
@config_option
@json_option
@click.pass_context
def release(context: click.Context, snaps: Sequence[str], as_json: bool) -> None:
    """Let held snapshots go: the rules decide on them again."""
    loaded = settings(context)
    who = administrator()
    with catalog.open_repository(loaded) as store, telling(loaded) as tell:
        try:
            names = holds.release(store, snaps)
        except OSError as error:
            raise MtadError(f"not everything was released: {error}") from error
        for name in names:
            at, trace = clock.now_us(), tell.new_id()
            tell(events.BackupReleased(at=at, trace=trace, actor=who, snapshot=name))
    if as_json:
        show.emit({"released": names})
        return
    for name in names:
        click.echo(f"snapshot {name} is released")
