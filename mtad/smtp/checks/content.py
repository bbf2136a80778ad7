"""Checks on the message itself, once it is complete."""

from mtad.delivery.route import Accepted
from mtad.errors import Refusal
from mtad.smtp.policy import Facts, Transaction

MAX_HOPS = 50
"""Received lines of a message that still moves. RFC 5321 6.3 would let a hundred pass; mail
that is no loop passes a dozen hosts."""
MAX_OWN_HOPS = 4
"""Times a message that we would pass on elsewhere may have been here; a list may well send back
what it was sent, a forward in a circle comes again and again."""


async def mail_loop(transaction: Transaction, facts: Facts) -> Refusal | None:
    """A message that came by more hosts than mail ever does goes round in circles."""
    hops = transaction.headers.received
    if hops > MAX_HOPS:
        return Refusal(554, "5.4.6", f"the message loops: it has passed {hops} hosts")
    return None


async def forward_loop(transaction: Transaction, recipient: Accepted) -> Refusal | None:
    """So does one that comes back again and again to an address that passes it on."""
    own = transaction.headers.own
    if own >= MAX_OWN_HOPS and recipient.remotes:
        return Refusal(554, "5.4.6", f"the message loops: it was here {own} times already")
    return None
