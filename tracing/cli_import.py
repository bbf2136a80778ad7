"""``mtad log import``: the history of the server one comes from."""

import json
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mtad import where
from mtad.cli_options import config_option, config_path, json_option
from mtad.errors import Exit, Locked, NothingFound, UsageError
from tracing.render import safe

if TYPE_CHECKING:
    from tracing.history.importing import Account, Total


@click.command("import", short_help="Read the logs of another server in.")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--server", default="", help="Its name, for logs without one (Exim's own files).")
@click.option(
    "--zone", "zone_name", help="Zone of times without an offset (else this machine's): Asia/Omsk."
)
@click.option(
    "--year",
    type=click.IntRange(2024, 9999),
    help="Year of the first line, where the times have none (else guessed by the file's date).",
)
@json_option
@config_option
@click.pass_context
def import_logs(
    context: click.Context,
    files: tuple[Path, ...],
    server: str,
    zone_name: str | None,
    year: int | None,
    as_json: bool,
) -> None:
    """Read mail logs of Postfix and Exim, so that trace, why and the dashboard find their mail.

    FILES may be plain, .gz or .zst, in any order; those that were rotated are best read in one
    go. Nothing of it counts as this server's: not in the audit, the queue or the reports. What
    was read before adds nothing, so an interrupted import is simply started again.
    """
    from tracing.history import importing  # noqa: PLC0415 - needed by this command alone
    from tracing.log import Busy  # noqa: PLC0415

    places = where.places(config_path(context))
    if places.server is not None:
        raise UsageError("imported history is kept in files only; this log is on a server")
    try:
        total = importing.run(
            places.log_folder,
            files,
            server or "exim",
            _zone(zone_name),
            year,
            lambda account: None if as_json else _told(account),
        )
    except Busy as error:
        raise Locked("another import is running; wait for its end") from error
    if as_json:
        click.echo(json.dumps(_document(total), ensure_ascii=False, indent=2))
    else:
        click.echo(f"{total.messages:,} messages and {total.added:,} events are new in the log")
    if not any(one.taken or one.before for one in total.files):
        raise NothingFound("no line tells of mail; the logs of Postfix and Exim are understood")
    if any(one.bad for one in total.files):
        context.exit(Exit.PARTIAL)


def _zone(name: str | None) -> tzinfo | None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415

    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        hint = "write it like Europe/Moscow"
        raise UsageError(f"there is no time zone {safe(name or '')}; {hint}") from error


def _told(account: "Account") -> None:
    parts = [f"{account.taken:,} tell of mail", f"{account.silent:,} of the server tell of none"]
    parts += [f"{account.other:,} of other programs"] if account.other else []
    parts += [f"{account.before:,} read before"] if account.before else []
    parts += [f"{account.bad:,} with errors"] if account.bad else []
    click.echo(f"{safe(str(account.path))}: {account.lines:,} lines: {', '.join(parts)}")
    for trouble in account.troubles:
        click.echo(f"  {safe(trouble)}", err=True)
    if account.bad > len(account.troubles):
        click.echo(f"  and {account.bad - len(account.troubles):,} more", err=True)


def _document(total: "Total") -> dict[str, object]:
    return {
        "schema": 1,
        "messages": total.messages,
        "events": total.added,
        "files": [
            {
                "file": str(one.path),
                "lines": one.lines,
                "of_mail": one.taken,
                "silent": one.silent,
                "other": one.other,
                "read_before": one.before,
                "errors": one.bad,
                "troubles": one.troubles,
            }
            for one in total.files
        ],
    }
