"""Which handler answers which command, when it is legal, and what may be told with its answer.

A command's key is its name without "UID ".
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mtad.imap.answer import Ok
from mtad.imap.session import Session, State

Handler = Callable[[Session, Any], Awaitable[Ok | None]]
"""Takes the parsed command; writes untagged data; None is ``Ok()``. Raises No, Bad, Gone."""

ANY = State.NOT_AUTHENTICATED | State.AUTHENTICATED | State.SELECTED
LOGGED_IN = State.AUTHENTICATED | State.SELECTED


@dataclass(frozen=True, slots=True)
class Entry:
    """One command.

    ``numbered`` tells a command that must not be answered with an EXPUNGE before its end, except
    in its UID form (RFC 9051 7.5.1).
    """

    handler: Handler
    states: State
    numbered: bool = False


TABLE: Mapping[str, Entry] = {}
