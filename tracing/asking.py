"""Asking the log: the daemon where it runs, else the files. Imports nothing heavy at first."""

import contextlib
from typing import Any

from mtad import control, where
from mtad.cli_options import administrator
from mtad.errors import MtadError, Unreachable
from tracing.render import Document


def ask(places: where.Places, text: str, limit: int) -> Document:
    """The document that answers a query: of the daemon, or from the files."""
    try:
        return _asked(places, "trace", query=text, limit=limit)
    except Unreachable:
        from tracing import answers  # noqa: PLC0415 - not needed while the daemon answers

        return answers.answer(places.log, text, limit)


def look(places: where.Places, shown: str) -> None:
    """Have it written down that someone looked at a message, given by its id as text.

    For what is read from the files while the daemon runs; without it nothing writes.
    """
    with contextlib.suppress(MtadError):
        _asked(places, "trace", query=shown, limit=1)


def ask_own(places: where.Places, address: str, text: str, limit: int) -> Document:
    """The document that answers a query about a person's own messages."""
    try:
        return _asked(places, "mine", address=address, query=text, limit=limit)
    except Unreachable:
        from tracing import own  # noqa: PLC0415 - not needed while the daemon answers

        return own.answer(places.log, address, text, limit)


def _asked(places: where.Places, verb: str, **arguments: Any) -> Document:
    """The daemon's answer. Who asks is said, since looking into mail is an event too."""
    found = control.ask(places.socket("log"), verb, actor=administrator(), **arguments)
    found.pop("ok", None)
    return found
