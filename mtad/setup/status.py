"""Is it running, and how is it: what the roles say of themselves, and what the settings lack."""

import os
from collections.abc import Iterator
from typing import Any

from mtad import control, db, tls
from mtad.config import Loaded
from mtad.errors import MtadError, Unreachable
from mtad.where import Places

ROLES = ("mta", "log", "access", "jobs")
"""The processes of a running server, each with a control socket of its name."""
ASK_SECONDS = 5


def roles(places: Places) -> dict[str, dict[str, Any] | None]:
    """Each role's own answer to ``status``; None for a role that does not answer."""
    found: dict[str, dict[str, Any] | None] = {}
    for role in ROLES:
        try:
            answer = control.ask(places.socket(role), "status", seconds=ASK_SECONDS)
        except Unreachable:
            found[role] = None
        else:
            found[role] = {name: value for name, value in answer.items() if name != "ok"}
    return found


def problems(loaded: Loaded) -> Iterator[str]:
    """What would keep a server with these settings from working, each as one sentence."""
    data = loaded.places.data
    if not data.is_dir():
        yield f"data_dir: {data} does not exist; 'mtad quickstart' makes one"
    elif not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        yield f"data_dir: {data} is not writable for this user"
    else:
        try:
            db.check(loaded.places.state_db, db.STATE)
        except MtadError as error:
            yield str(error)
    beside, settings = loaded.beside, loaded.config
    try:
        tls.server_context(beside(settings.tls.certificate), beside(settings.tls.key))
    except MtadError as error:
        yield f"tls: {error}"
    if not beside(settings.backup.key_file).is_file():
        yield (
            f"backup.key_file: there is no file {beside(settings.backup.key_file)}; "
            "put the repository's key back, no snapshot can be read without it"
        )
