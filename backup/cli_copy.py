"""``mtad snapshot copy``: the repository to a second place."""

import contextlib
from pathlib import Path

import click

from backup import access, copying, show
from backup.telling import telling
from mtad import clock
from mtad.cli_options import administrator, config_option, json_option, settings
from mtad.errors import Exit, MtadError, UsageError
from tracing import events
from tracing.render import counted, size


@click.command()
@click.argument("to")
@click.option("--access", "access_file", type=click.Path(exists=True, path_type=Path),
              help="What TO asks for, in a file like backup.access_file.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), metavar="KIB",
              help="Send at most so many KiB a second.")  # fmt: skip
@config_option
@json_option
@click.pass_context
def copy(
    context: click.Context, to: str, access_file: Path | None, limit: int | None, as_json: bool
) -> int:
    """Copy the repository to a second place: only what is missing, nothing is removed.

    TO is a folder, sftp://user@host:port/folder, or s3://bucket/prefix. No right to remove
    anything is needed there. Interrupted, it goes on where it was. The copy opens with the
    same keys.
    """
    loaded = settings(context)
    if access_file is not None and not access.is_remote(to):
        raise UsageError("--access is for sftp:// and s3://")
    asked = access.read(access_file or loaded.beside(loaded.config.backup.access_file))
    line = show.Line()
    try:
        with (
            contextlib.closing(access.repository_of(loaded)) as source,
            contextlib.closing(access.open_storage(to, Path.cwd(), asked)) as target,
            telling(loaded) as tell,
        ):
            target.bytes_per_second = (limit or 0) * 1024
            done = copying.copy(
                source,
                target,
                say=show.say,
                progress=lambda n, total, octets: line.show(
                    lambda: f"pack {n + 1} of {total}, {size(octets)} sent"
                ),
            )
            tell(
                events.BackupCopied(
                    at=clock.now_us(),
                    trace=tell.new_id(),
                    actor=administrator(),
                    target=target.shown,
                    files=done.files,
                    octets=done.octets,
                    damaged=len(done.damaged),
                )
            )
            shown = target.shown
    except OSError as error:
        if isinstance(error, MtadError):
            raise
        why = error.strerror or str(error)
        raise MtadError(f"not everything was copied: {why}; run it again to go on") from error
    finally:
        line.clear()
    for sentence in (*done.notes, *(f"damaged here: {each}" for each in done.damaged)):
        show.say(sentence)
    if as_json:
        show.emit(
            {
                "to": shown,
                "repository": done.repository,
                "files": done.files,
                "sent_bytes": done.octets,
                "snapshots": done.snapshots,
                "damaged": done.damaged,
            }
        )
    else:
        click.echo(
            f"{shown}: {counted(done.snapshots, 'snapshot')} more, {counted(done.files, 'file')}, "
            f"{size(done.octets)} sent"
        )
    return Exit.PARTIAL if done.damaged else Exit.OK
