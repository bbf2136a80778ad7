"""``mtad sendmail``, and ``sendmail`` by another name: mail from cron, PHP and scripts.

The message is put into the drop (``mtad.submit.drop``), durably, whether the server runs or not.
The exit status is that of sysexits.h, which is what such programs look at. Nothing heavy is
imported: web pages wait for it.
"""

import getpass
import os
import pwd
import socket
import sys
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import NoReturn

import click

from mtad import address, completion, where
from mtad.errors import ConfigError
from mtad.submit import arguments, drop, envelope

MAX_OCTETS = 256 * 2**20
"""Octets read from a program; the server's own limit is asked when it takes the message."""


class Sysexit(IntEnum):
    """Exit statuses of sysexits.h."""

    OK = 0
    USAGE = 64
    DATAERR = 65
    NOUSER = 67
    UNAVAILABLE = 69
    OSERR = 71
    CANTCREAT = 73
    TEMPFAIL = 75
    NOPERM = 77
    CONFIG = 78


@click.command(
    short_help="Take a message from a local program.",
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
    add_help_option=True,
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def sendmail(context: click.Context, words: tuple[str, ...]) -> None:
    """Queue the message on standard input, as sendmail does (-t, -f ADDRESS, -i, -F NAME ...).

    Works while the server is down: it takes the message when it runs again.
    """
    run(words, context.ensure_object(dict).get("config"))


def main() -> NoReturn:
    """The program ``mtad-sendmail``, to be linked as ``/usr/sbin/sendmail``."""
    run(sys.argv[1:])


def run(words: Sequence[str], config: str | None = None) -> NoReturn:
    """Do what the command line says, and exit with a status of sysexits.h."""
    try:
        asked = arguments.parse(words)
    except arguments.UsageProblem as problem:
        _end(Sysexit.USAGE, str(problem))
    if asked.mode == "newaliases" or asked.mode == "retry":
        _end(Sysexit.OK)
    if asked.mode == "queue":
        os.execvp(sys.executable, [sys.executable, "-m", "mtad", "queue", "list"])  # noqa: S606
    if asked.mode != "send":
        _end(Sysexit.USAGE, "this sendmail takes one message on standard input, nothing else")
    try:
        path = where.settings_file(config)
        table = where.read_toml(path)
        folder = where.drop(path, table)
    except ConfigError as error:
        _end(Sysexit.CONFIG, str(error))
    _queue(asked, folder, str(table.get("hostname", socket.gethostname())))


def _queue(asked: arguments.Arguments, folder: Path, hostname: str) -> NoReturn:
    message = sys.stdin.buffer.read(MAX_OCTETS + 1)
    if len(message) > MAX_OCTETS:
        _end(Sysexit.DATAERR, f"the message is larger than {MAX_OCTETS} octets")
    if not asked.dot_is_text:
        message = envelope.until_dot(message)
    message = message.replace(b"\r\n", b"\n")
    if b"\r" in message:
        message = message.replace(b"\r", b"\n")
    recipients = [*asked.recipients]
    if asked.from_headers:
        recipients += envelope.recipients(message)
    recipients = list(dict.fromkeys(envelope.with_domain(one, hostname) for one in recipients))
    if not recipients:
        _end(Sysexit.USAGE, "no recipients: name them, or give -t and a To line")
    for one in recipients:
        try:
            address.parse(one)
        except ValueError as error:
            _end(Sysexit.DATAERR, str(error))
    login = _login()
    own = envelope.with_domain(login, hostname)
    sender = own if asked.sender is None else asked.sender
    if sender:
        sender = envelope.with_domain(sender, hostname)
    left = drop.Envelope(sender, recipients, asked.notify, asked.ret, asked.envid)
    made = completion.with_sender(message, sender or own, asked.full_name or _full_name())
    try:
        drop.leave(folder, left, made)
    except FileNotFoundError:
        _end(Sysexit.CANTCREAT, f"there is no {folder}; 'mtad serve' makes it")
    except PermissionError:
        _end(Sysexit.NOPERM, f"user {login} may not write to {folder}")
    except OSError as error:
        _end(Sysexit.TEMPFAIL, f"cannot write to {folder}: {error.strerror or error}")
    _end(Sysexit.OK)


def _login() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return getpass.getuser() if os.environ.get("USER") else f"uid{os.getuid()}"


def _full_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_gecos.partition(",")[0]
    except KeyError:
        return ""


def _end(status: Sysexit, problem: str = "") -> NoReturn:
    if problem:
        click.echo(f"sendmail: {problem}", err=True)
    sys.exit(int(status))
