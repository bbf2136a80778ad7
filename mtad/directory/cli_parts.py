"""What the directory's commands share: showing, changing, reading, passwords."""

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any, cast, get_args

import click
import sqlalchemy as sa

from mtad import clock, db
from mtad.cli_options import administrator, settings
from mtad.directory import connections, passwords
from mtad.directory.changes import DEFAULT
from mtad.directory.credential_changes import CredentialChanges
from mtad.errors import UsageError
from mtad.journal.command import command_journal
from mtad.reports.words import Lang
from tracing.render import safe

SCHEMA = 1
"""Version of the JSON documents."""
LANGUAGES = click.Choice([*get_args(Lang), DEFAULT])
"""What reports may be written in."""


def show(as_json: bool, document: dict[str, Any], text: str) -> None:
    """Print a document, or the text that says the same to people."""
    if as_json:
        text = json.dumps({"schema": SCHEMA, **document}, ensure_ascii=False)
    if text:
        click.echo(text)


def when(at: int) -> str:
    """A time in microseconds as JSON and people have it."""
    return clock.from_us(at).isoformat(timespec="seconds")


@contextlib.contextmanager
def changing(context: click.Context) -> Iterator[CredentialChanges]:
    """The means to change the directory of the settings in force."""
    places = settings(context).places
    db.check(places.state_db, db.STATE)
    with command_journal(places) as journal:
        yield CredentialChanges(places.state_db, journal, administrator())


def set_language(context: click.Context, of: str, language: str, as_json: bool) -> None:
    """Carry out ``language`` of a box or a domain."""
    with changing(context) as changes:
        named = changes.set_language(of, None if language == DEFAULT else cast(Lang, language))
    said = "are written as by default" if language == DEFAULT else f"are written in {language}"
    show(as_json, {"of": named, "language": language}, safe(f"reports to {named} {said}"))


@contextlib.contextmanager
def reading(context: click.Context) -> Iterator[sa.Connection]:
    """The directory of the settings in force, to look at."""
    state_db = settings(context).places.state_db
    db.check(state_db, db.STATE)
    with connections.reading(state_db) as connection:
        yield connection


def password(from_stdin: bool) -> str:
    """The first line of standard input, or one made here."""
    if not from_stdin:
        return passwords.generate()
    line = sys.stdin.readline(passwords.MAX_OCTETS + 2).rstrip("\r\n")
    if not line:
        raise UsageError("--password-stdin: standard input has no password")
    return line
