"""``mtad snapshot bootstrap``: a dead machine's server on another one."""

from pathlib import Path

import click

from backup import access, show, show_restore
from backup import bootstrap as building
from mtad.cli_options import administrator, json_option
from mtad.errors import Exit
from tracing.render import counted


@click.command()
@click.argument("repository")
@click.option(
    "--dir", "folder", required=True, type=click.Path(path_type=Path), help="Where it is made."
)
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The repository's key file, of which you kept a copy.",
)
@click.option(
    "--access",
    "access_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What an SFTP server or a bucket asks for, as backup.access_file.",
)
@click.option("--snapshot", "snap", default="latest", metavar="SNAP", help="As this one has it.")
@json_option
def bootstrap(
    repository: str,
    folder: Path,
    key: Path,
    access_file: Path | None,
    snap: str,
    as_json: bool,
) -> int:
    """Rebuild a whole server out of REPOSITORY: settings, accounts, log and mail.

    REPOSITORY is a folder, sftp://USER@HOST/FOLDER or s3://BUCKET/PREFIX.

    For a machine that has nothing yet. It is made in a folder that is empty or missing, all or
    nothing; 'mtad serve --config DIR/mtad.toml' then runs it. What was accepted after the
    snapshot was taken is not in it.
    """
    known = access.read(access_file) if access_file else access.Access()
    place = access.open_storage(repository, Path.cwd(), known)
    progress = show_restore.Progress()
    try:
        built = building.bootstrap(
            place, key, folder, snapshot=snap, actor=administrator(), progress=progress
        )
    finally:
        progress.clear()
        place.close()
    if as_json:
        show.emit(
            {
                "snapshot": built.snapshot,
                "at": show.rfc3339(built.at),
                "dir": str(built.folder),
                "boxes": built.boxes,
                "messages": built.messages,
                "files": built.files,
                "vanished": built.vanished,
                "elsewhere": built.elsewhere,
                "lost": built.lost,
            }
        )
    else:
        click.echo(
            f"made {built.folder} out of snapshot {built.snapshot} of {show.when(built.at)}: "
            f"{counted(built.boxes, 'box', 'boxes')}, {counted(built.messages, 'message')}, "
            f"{counted(built.files, 'file')} of the server"
        )
        if built.vanished:
            gone = counted(built.vanished, "message")
            click.echo(f"told as gone, because the log knows them and the snapshot not: {gone}")
        click.echo(f"now: mtad serve --config {built.folder / building.SETTINGS_FILE}")
        click.echo(
            "its snapshots begin anew in the repository that the settings name, with the same "
            f"key; to go on in {repository}, move it there"
        )
    for name in built.elsewhere:
        show.say(f"{name} was elsewhere: its copy is in {built.folder}/elsewhere{name}")
    for sentence in built.lost:
        show.say(f"lost: {sentence}")
    return Exit.PARTIAL if built.lost else Exit.OK
