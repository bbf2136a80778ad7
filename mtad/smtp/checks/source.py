"""Checks on MAIL FROM: is there room, and may a message of that size come at all."""

from mtad.errors import Refusal
from mtad.journal.writer import JournalBroken, JournalFull
from mtad.smtp.policy import Facts, Transaction

FULL = Refusal(452, "4.3.1", "no room for further mail at present, try again later")
BROKEN = Refusal(451, "4.3.0", "mail cannot be stored at present, try again later")


async def journal_room(transaction: Transaction, facts: Facts) -> Refusal | None:
    """What cannot be made durable is not taken: no mail without log."""
    try:
        facts.check_room()
    except JournalFull:
        return FULL
    except JournalBroken:
        return BROKEN
    return None


async def too_large(transaction: Transaction, facts: Facts) -> Refusal | None:
    """A declared size above the limit is refused before it is sent (RFC 1870 6.1)."""
    if transaction.declared_size > facts.max_message_bytes:
        limit = facts.max_message_bytes
        return Refusal(552, "5.3.4", f"the message is larger than {limit} octets")
    return None
