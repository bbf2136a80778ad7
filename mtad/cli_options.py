"""Options that all commands share, and the settings behind them."""

import contextlib
import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mtad import identity, where

if TYPE_CHECKING:
    from mtad.config import Loaded

F = TypeVar("F", bound=Callable[..., Any])


def _remember(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(dict)["config"] = value


def config_option(command: F) -> F:
    """``--config FILE``: the settings file; may stand before or after the command's name."""
    return click.option(
        "--config",
        metavar="FILE",
        callback=_remember,
        expose_value=False,
        help="Settings file (else MTAD_CONFIG, ./mtad.toml, /etc/mtad/mtad.toml).",
    )(command)


def json_option(command: F) -> F:
    """``--json``: one JSON document on standard output."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document.")(command)


def yes_option(command: F) -> F:
    """``--yes``: do not ask; without a terminal a change is refused unless it is given."""
    return click.option("--yes", is_flag=True, help="Do not ask for confirmation.")(command)


def config_path(context: click.Context) -> Path:
    """The settings file in force; cheap. Raises ConfigError.

    As root the command becomes the owner of the server's data before it goes on.
    """
    path = where.settings_file(context.ensure_object(dict).get("config"))
    if os.geteuid() == identity.ROOT:
        identity.step_down(where.places(path).data)
    return path


def settings(context: click.Context) -> "Loaded":
    """The settings in force, checked. Raises ConfigError."""
    from mtad import config  # noqa: PLC0415 - pydantic costs more than a hot command may take

    return config.load(config_path(context))


def administrator() -> str:
    """The actor of what is done at this terminal: ``admin:LOGIN``, behind sudo the caller."""
    with contextlib.suppress(KeyError, OSError):
        return f"admin:{os.environ.get('SUDO_USER') or getpass.getuser()}"
    return f"admin:{os.getuid()}"
