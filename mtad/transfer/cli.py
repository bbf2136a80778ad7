"""``mtad mail`` whole: what the store does with its messages, with what comes in and goes out.

These are imported when they are called: listing a box must not wait for them.
"""

from importlib import import_module

import click

from mtad.store.cli import mail as stored

LATER = {
    "export": "mtad.transfer.cli_export:export",
    "import": "mtad.transfer.cli_import:import_",
}


class Mail(click.Group):
    """The commands of the store, and those of this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name."""
        return sorted([*stored.list_commands(ctx), *LATER])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command; None when there is none of that name."""
        if cmd_name not in LATER:
            return stored.get_command(ctx, cmd_name)
        module, _, attribute = LATER[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


mail = Mail("mail", help="List, delete, move, flag, import and export stored messages.")
