"""What the commands of this package share: events into a command's journal, addresses read."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from backup import runs
from mtad import address
from mtad.errors import UsageError
from mtad.journal.command import command_journal
from mtad.journal.frame import Meta, raw
from tracing import events

if TYPE_CHECKING:
    from mtad.config import Loaded


@contextlib.contextmanager
def telling(loaded: "Loaded") -> Iterator[runs.Tell]:
    """Events of this command, in a command's journal."""
    with command_journal(loaded.places) as journal:

        class ToJournal:
            def new_id(self) -> int:
                return journal.mint.new()

            def __call__(self, event: events.Event) -> None:
                journal.commit_now(Meta(events=(raw(event),)))

        yield ToJournal()


def box_address(text: str) -> str:
    """A box's address as it was typed. Raises UsageError."""
    try:
        return str(address.parse(text))
    except ValueError as error:
        raise UsageError(str(error)) from None
