"""The command ``mtad db``: where directory and log are kept, and moving them.

Settings name one place, files or a PostgreSQL server. A copy goes between the two while no
server runs. It is compared row by row, and what is copied from stays as it is.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import click
import msgspec
import sqlalchemy as sa

from mtad import db
from mtad.cli_options import config_option, json_option, settings
from mtad.directory import connections, tables
from mtad.errors import Locked, MtadError, UsageError
from mtad.serve_lock import only_one
from mtad.where import Kept, Places
from tracing import copying, months
from tracing.log import Busy

_pack = msgspec.msgpack.Encoder().encode


def prepare(places: Places) -> None:
    """Make the directory's tables, or bring them to this version, before a server runs.

    Raises MtadError for a server without a directory where files have one: it was not moved.
    """
    server, file = places.server, places.state_file
    if server is not None and file.is_file() and not db.revision(server) and _is_used(file):
        raise MtadError(
            f"the database {server} is empty, but {file} is not; "
            "'mtad db copy' moves what is in files there"
        )
    db.upgrade_state(places.state_db)


@click.group(invoke_without_command=True)
@config_option
@click.pass_context
def db_command(context: click.Context) -> None:
    """Where the directory and the event log are kept."""
    if context.invoked_subcommand is None:
        places = settings(context).places
        kept = "files" if places.server is None else "PostgreSQL"
        revision = db.revision(places.state_db) or "none yet"
        found = months.listing(places.log)
        click.echo(f"directory  {kept}, {places.state_db}, revision {revision}")
        click.echo(
            f"log        {kept}, {places.log}, {len(found)} months {' '.join(found)}".rstrip()
        )


@db_command.command("copy")
@click.option("--back", is_flag=True, help="From the server to files.")
@json_option
@config_option
@click.pass_context
def copy_command(context: click.Context, back: bool, as_json: bool) -> None:
    """Copy the directory and the log from files to the server that database.url names.

    Stop 'mtad serve' before. Everything is compared; a copy that was interrupted goes on when
    it is started again; a database that has something else is not touched.
    """
    places = settings(context).places
    if places.server is None:
        raise UsageError("database.url is empty: the settings name no PostgreSQL server")
    told: list[dict[str, Any]] = []
    with only_one(places.run):
        for line in _copied(places, places.server, back):
            told.append(line)
            if not as_json:
                done = "copied" if line["fresh"] else "is there already"
                click.echo(f"{line['what']}: {done}, {line['rows']} rows, the same on both sides")
    if as_json:
        click.echo(json.dumps({"schema": 1, "copied": told}))
    elif back:
        click.echo("now take database.url out of the settings and start 'mtad serve'")
    else:
        click.echo("now start 'mtad serve'; the files stay until you remove them")


def _copied(places: Places, server: Kept, back: bool) -> Iterator[dict[str, Any]]:
    state, log = (places.state_file, places.log_folder)
    pairs: tuple[tuple[Kept, Kept], tuple[Kept, Kept]] = ((state, server), (log, server))
    (of, to), (log_of, log_to) = [(b, a) for a, b in pairs] if back else pairs
    fresh, rows = directory(of, to)
    yield {"what": "directory", "fresh": fresh, "rows": rows, "tables": []}
    try:
        for one in copying.copy(log_of, log_to):
            shown = [{"name": t.name, "rows": t.rows, "sha256": t.digest} for t in one.tables]
            what = f"log {one.month}"
            yield {"what": what, "fresh": one.fresh, "rows": one.rows, "tables": shown}
    except Busy as error:
        raise Locked(f"{error}; stop 'mtad serve' first") from error


def directory(source: Kept, target: Kept) -> tuple[bool, int]:
    """Copy the directory's tables in one transaction; whether it was needed, and the rows.

    Raises MtadError where the target has a directory that is another one.
    """
    db.check(source, db.STATE)
    db.upgrade_state(target)
    before = _summed(source)
    fresh = not _summed(target)[1] and before[1] > 0
    if fresh:
        with connections.reading(source) as there, connections.writing(target) as here:
            for table in tables.metadata.sorted_tables:
                rows = [dict(row._mapping) for row in there.execute(sa.select(table))]
                if rows:
                    here.execute(sa.insert(table), rows)
    after = _summed(target)
    if before != after:
        raise MtadError(
            f"the directory at {target} is another one ({after[1]} rows against {before[1]}); "
            "nothing there was changed. " + copying.advice(target)
        )
    return fresh, after[1]


def _is_used(state_db: Kept) -> bool:
    with connections.reading(state_db) as connection:
        return bool(connection.execute(sa.select(sa.func.count(tables.domain.c.name))).scalar())


def _summed(state_db: Kept) -> tuple[str, int]:
    """What all rows hash to, and how many there are."""
    digest, count = hashlib.sha256(), 0
    with connections.reading(state_db) as connection:
        for table in tables.metadata.sorted_tables:
            rows = sorted(_pack(tuple(row)) for row in connection.execute(sa.select(table)))
            count += len(rows)
            for row in rows:
                digest.update(row)
            digest.update(table.name.encode())
    return digest.hexdigest(), count
