"""Having it written down that somebody reads mail that is not theirs."""

from typing import TYPE_CHECKING

from mtad import clock
from mtad.cli_options import administrator

if TYPE_CHECKING:
    from mtad.config import Loaded


def reads(
    loaded: "Loaded", whose: str, mailbox: str, reason: str, *, m: int = 0, st: int = 0
) -> None:
    """Write down, durably, that a message is read, and why; before it is shown.

    ``m`` and ``st`` are 0 where they are not known. Raises MtadError.
    """
    from mtad.journal.command import command_journal  # noqa: PLC0415 - slow to load
    from mtad.journal.frame import Meta, raw  # noqa: PLC0415
    from tracing.access import AdminRead  # noqa: PLC0415

    with command_journal(loaded.places) as journal:
        event = AdminRead(
            at=clock.now_us(),
            trace=m or journal.mint.new(),
            actor=administrator(),
            addr=whose,
            mailbox=mailbox,
            st=st,
            reason=reason,
        )
        journal.commit_now(Meta(events=(raw(event),)))
