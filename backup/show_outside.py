"""Messages written to files elsewhere from a command: what would be, how far it is, what was."""

from collections.abc import Sequence
from pathlib import Path

import click

from backup import outside, show_restore
from backup.contents import Contents
from backup.format import Entry
from backup.show import emit
from mtad.errors import Exit, MtadError
from tracing.render import counted, size


def write(
    contents: Contents,
    boxes: Sequence[tuple[str, Sequence[Entry]]],
    path: Path,
    kind: str,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Write messages of boxes to a path that must be free; returns the exit status.

    Raises UsageError, MtadError.
    """
    entries = [entry for _, those in boxes for entry in those]
    kind = outside.format_of(path, kind)
    what = f"{counted(len(entries), 'message')} ({size(sum(e.size for e in entries))})"
    if dry_run:
        if as_json:
            emit({"dry_run": True, "would_write": len(entries), "format": kind, "to": str(path)})
        else:
            click.echo(f"would write {what} to {path} as {kind}")
        return Exit.OK
    progress = show_restore.Progress()
    try:
        count, failed = outside.write(contents, boxes, path, kind, progress)
    except OSError as error:
        raise MtadError(f"nothing was written to {path}: {error.strerror or error}") from error
    finally:
        progress.clear()
    if as_json:
        rows = show_restore.failed_fields(failed)
        emit({"written": count, "format": kind, "to": str(path), "failed": rows})
    else:
        click.echo(f"{counted(count, 'message')} written to {path} as {kind}")
    show_restore.show_failed(failed)
    return Exit.PARTIAL if failed else Exit.OK
