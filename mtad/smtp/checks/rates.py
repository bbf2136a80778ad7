"""Checks on what one client sends within an hour."""

from mtad.errors import Refusal
from mtad.smtp.policy import Facts, Transaction


async def message_rate(transaction: Transaction, facts: Facts) -> Refusal | None:
    """The client is to come back later."""
    share = facts.share
    if share is None or share.has_messages:
        return None
    text = f"more than {share.max_messages} messages from your address within an hour"
    return Refusal(421, "4.7.0", text, close=True)


async def recipient_rate(transaction: Transaction, facts: Facts) -> Refusal | None:
    """Those recipients that were taken get their mail; the client tries the others later."""
    share = facts.share
    if share is None or share.has_recipients:
        return None
    text = f"more than {share.max_recipients} recipients from your address within an hour"
    return Refusal(450, "4.7.0", text)
