"""Asking the log: the daemon where it runs, else the files. Imports nothing heavy at first."""

from mtad import control, where
from mtad.errors import Unreachable
from tracing.render import Document


def ask(places: where.Places, text: str, limit: int) -> Document:
    """The document that answers a query: of the daemon, or from the files."""
    try:
        found = control.ask(places.socket("log"), "trace", query=text, limit=limit)
        found.pop("ok", None)
        return found
    except Unreachable:
        from tracing import answers  # noqa: PLC0415 - not needed while the daemon answers

        return answers.answer(places.log, text, limit)
