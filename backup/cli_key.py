"""``mtad snapshot key``: what opens the repository."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from backup import access, catalog, keyring, keys, paper, show, subkeys
from backup.places import Storage
from backup.telling import telling
from mtad import clock
from mtad.cli_options import administrator, config_option, json_option, settings
from mtad.errors import UsageError
from tracing import events

if TYPE_CHECKING:
    from mtad.config import Loaded

MAX_TYPED = 64 * 2**10


@contextlib.contextmanager
def _opened(loaded: "Loaded") -> Iterator[tuple[Storage, keys.Unlocked]]:
    """The place of the repository, and what the key in force opens."""
    with contextlib.closing(access.repository_of(loaded)) as folder:
        opened = keys.unlock(folder, catalog.key_file_of(loaded), heal=True)
        for note in opened.notes:
            show.say(note)
        yield folder, opened


def _tell(loaded: "Loaded", what: str, key: str, rights: str) -> None:
    with telling(loaded) as tell:
        tell(
            events.BackupKey(
                at=clock.now_us(),
                trace=tell.new_id(),
                actor=administrator(),
                what=what,
                key=key,
                rights=rights,
            )
        )


@click.group(invoke_without_command=True)
@config_option
@click.pass_context
def key(context: click.Context) -> None:
    """Keys that open the repository: several at once, none of them rewrites anything."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@key.command("list")
@config_option
@json_option
@click.pass_context
def list_(context: click.Context, as_json: bool = False) -> None:
    """List the keys, with what each may do."""
    with _opened(settings(context)) as (folder, opened):
        found, _, lost = keys.ways(folder)
    for sentence in lost:
        show.say(sentence)
    if as_json:
        rows = [
            {
                "key": way.id,
                "kind": way.kind,
                "rights": way.rights,
                "label": way.label,
                "made": show.rfc3339(way.made_us),
                "in_use": way.id == opened.way.id,
            }
            for way in found
        ]
        show.emit({"repository": opened.repository, "keys": rows})
        return
    show.table(
        ("KEY", "KIND", "RIGHTS", "MADE", "", "LABEL"),
        [
            (
                way.id,
                way.kind,
                way.rights,
                show.when(way.made_us),
                "in use" if way.id == opened.way.id else "",
                way.label,
            )
            for way in found
        ],
    )


@key.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--passphrase", is_flag=True, help="Add a passphrase; it is asked for.")
@click.option("--passphrase-file", type=click.Path(path_type=Path), metavar="FILE",
              help="Add the passphrase in this file's first line.")  # fmt: skip
@click.option("--put-only", is_flag=True, help="It may add snapshots, and read no message.")
@click.option("--label", default="", metavar="TEXT", help="What it is for.")
@config_option
@click.pass_context
def add(
    context: click.Context,
    file: Path | None,
    passphrase: bool,
    passphrase_file: Path | None,
    put_only: bool,
    label: str,
) -> None:
    """Let another key in: a new key in FILE, or a passphrase.

    For a server that can write snapshots but not read them: add a key with --put-only, name
    its FILE in backup.key_file, and keep the former key file elsewhere.
    """
    if sum((file is not None, passphrase, passphrase_file is not None)) != 1:
        raise UsageError("give one of FILE, --passphrase and --passphrase-file")
    loaded = settings(context)
    with _opened(loaded) as (folder, opened):
        if file is not None:
            if file.exists():
                raise UsageError(f"{file} is there already; a new key wants a new file")
            secret: bytes | str = keys.make_key(file)
        else:
            secret = _passphrase(passphrase_file)
        try:
            made = keyring.add(folder, opened, secret, put=put_only, label=label)
        except BaseException:
            if file is not None:
                file.unlink(missing_ok=True)
            raise
    rights = subkeys.PUT if put_only else subkeys.ALL
    _tell(loaded, "added", made, rights)
    kind = f"in {file}" if file is not None else "a passphrase"
    can = "may add snapshots and read no message" if put_only else "may do everything"
    click.echo(f"key {made}, {kind}: {can}")


def _passphrase(file: Path | None) -> str:
    if file is not None:
        lines = file.read_text().splitlines()
        return lines[0].removeprefix("passphrase:").strip() if lines else ""
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask at; give --passphrase-file")
    return str(click.prompt("New passphrase", hide_input=True, confirmation_prompt=True))


@key.command()
@click.argument("given", metavar="KEY")
@config_option
@click.pass_context
def remove(context: click.Context, given: str) -> None:
    """Take a key away: it opens the repository no more."""
    loaded = settings(context)
    with _opened(loaded) as (folder, opened):
        way = keyring.remove(folder, opened, given)
    _tell(loaded, "removed", way.id, way.rights)
    click.echo(
        f"key {way.id} opens nothing any more; whoever used it before may know what was stored "
        "until now"
    )


@key.command()
@config_option
@click.pass_context
def rotate(context: click.Context) -> None:
    """Replace the key in backup.key_file by another; nothing stored is written anew."""
    loaded = settings(context)
    with _opened(loaded) as (folder, opened):
        file = catalog.key_file_of(loaded)
        made = keyring.rotate(folder, opened, file, show.say)
    _tell(loaded, "rotated", made, opened.way.rights)
    click.echo(f"key {opened.way.id} was replaced by {made} in {file}; copy the file again")


@key.command()
@click.option("--file", type=click.Path(path_type=Path), help="Another key file.")
@config_option
@click.pass_context
def export(context: click.Context, file: Path | None) -> None:
    """Print a key for paper: lines with checksums, and how to type them back."""
    loaded = settings(context)
    chosen = file or catalog.key_file_of(loaded)
    secret = keys.read_key(chosen)
    repository = ""
    with (
        contextlib.suppress(keys.NoRepository),
        contextlib.closing(access.repository_of(loaded)) as folder,
    ):
        keys.require(folder)
        repository = f"{keys.repository_id(folder)[0]} in {folder.shown}"
    click.echo(paper.text(secret, subkeys.key_id(secret), repository), nl=False)


@key.command("import")
@click.argument("page", metavar="FILE", type=click.File("r"))
@config_option
@click.pass_context
def import_(context: click.Context, page: TextIO) -> None:
    """Write the key file from a page that was typed into FILE, or after "-"."""
    loaded = settings(context)
    try:
        secret = paper.read(page.read(MAX_TYPED))
    except (paper.Misread, UnicodeDecodeError) as error:
        raise UsageError(f"this is not yet the key: {error}") from None
    file = loaded.beside(loaded.config.backup.key_file)
    with contextlib.closing(access.repository_of(loaded)) as place:
        try:
            keys.require(place)
            folder: Storage | None = place
        except keys.NoRepository:
            folder = None
        proven = keyring.take_back(folder, secret, file)
    then = "it opens the repository" if proven else "there is no repository yet to try it on"
    click.echo(f"key {subkeys.key_id(secret)} is in {file}; {then}")
