"""The command ``mtad``: a table of names, each imported only when it is called."""

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from mtad.cli_options import config_option
from mtad.errors import Exit, MtadError

COMMANDS = {
    "quickstart": ("mtad.setup.cli:quickstart", "make everything a server needs"),
    "serve": ("mtad.daemon:serve", "run the server"),
    "demo": ("mtad.setup.cli:demo", "tell the whole story on a running local server"),
    "status": ("mtad.setup.cli:status", "is it running, and how is it"),
    "doctor": ("mtad.setup.cli_doctor:doctor", "what is wrong, why, and what to do"),
    "config": ("mtad.setup.cli:config", "check or show the settings"),
    "db": ("mtad.databases:db_command", "where directory and log are kept, and moving them"),
    "domain": ("mtad.directory.cli:domain", "the domains mail is taken for"),
    "box": ("mtad.boxes:box", "the accounts that receive mail"),
    "alias": ("mtad.directory.cli:alias", "addresses that lead to other addresses"),
    "transport": ("mtad.directory.cli_transport:transport", "how mail for some domains leaves"),
    "auth": ("mtad.access.cli:auth", "who logs in, from where, and ending a session"),
    "bans": ("mtad.directory.cli_bans:bans", "who may not log in for a while"),
    "dkim": ("mtad.mailauth.cli:dkim", "the keys that sign mail"),
    "mail": ("mtad.transfer.cli:mail", "list, delete, move, flag, import and export messages"),
    "trace": ("tracing.cli:trace", "what happened to a message"),
    "why": ("tracing.cli_why:why", "why a message is where it is, in one sentence"),
    "proof": ("tracing.cli_why:proof", "a sheet that proves what another server took"),
    "mine": ("tracing.cli_why:mine", "what became of one person's own mail"),
    "tail": ("tracing.cli:tail", "follow events as they happen"),
    "log": ("mtad.logkeeping:log", "the event log itself"),
    "erase": ("mtad.erasure:erase", "take a person out of the log"),
    "queue": ("mtad.queue.cli:queue", "what waits to leave, and what to do about it"),
    "route": ("mtad.outbound.cli:route", "where mail to an address would go"),
    "report": ("mtad.submit.daily:report", "a day of mail summed up, with causes"),
    "audit": ("mtad.books:audit", "prove that the books balance"),
    "send": ("mtad.submit.send:send", "send a test message and show every word"),
    "sendmail": ("mtad.submit.sendmail:sendmail", "take a message from a local program"),
    "snapshot": ("backup.cli:snapshot", "take, list and verify snapshots"),
    "restore": ("backup.cli_restore:restore", "put messages back with their dates"),
    "tui": ("tui.cli:tui", "the dashboard"),
}


class Commands(click.Group):
    """Looks a command up in the table when it is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name, in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - a tenth of a fast command's time

        click.echo(f"mtad {version('mtad')}")
        context.exit()


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version.",
)
@config_option
@click.pass_context
def root(context: click.Context) -> None:
    """The mail server whose books always balance."""
    context.ensure_object(dict)


def _keep() -> str:
    """Where the details went that a developer wants and nobody else can read."""
    import tempfile  # noqa: PLC0415 - wanted once in a lifetime
    import traceback  # noqa: PLC0415

    with tempfile.NamedTemporaryFile("w", prefix="mtad-", suffix=".crash", delete=False) as file:
        traceback.print_exc(file=file)
    return f"please report it with {file.name}"


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its status; every failure is one plain sentence."""
    try:
        status = root.main(argv, prog_name="mtad", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("mtad: interrupted", err=True)
        status = Exit.INTERRUPTED
    except MtadError as error:
        click.echo(f"mtad: {error}", err=True)
        status = error.exit_code
    except BrokenPipeError:
        status = Exit.OK
        sys.stderr.close()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"mtad: {where}{error.strerror or error}", err=True)
        status = Exit.FAILURE
    except Exception as error:
        click.echo(f"mtad: this is a mistake in mtad itself: {error!r}; {_keep()}", err=True)
        status = Exit.FAILURE
    sys.exit(int(status) if isinstance(status, int) else 0)
