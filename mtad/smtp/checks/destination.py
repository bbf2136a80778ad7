"""Checks on RCPT TO: ours, known, and not too many."""

from mtad.address import domain, parse
from mtad.errors import Refusal
from mtad.smtp.command import Path
from mtad.smtp.policy import Directory, Facts, Recipient, Transaction


def resolve(directory: Directory, path: Path) -> Recipient:
    """Where a forward-path leads; what is no address of ours leads nowhere."""
    try:
        if not path.domain:
            address = directory.postmaster()
            return Recipient(path, address.domain, directory.resolve(address))
        host = domain(path.domain)
    except ValueError:
        return Recipient(path, "", ())
    if not directory.is_local(host):
        return Recipient(path, host, ())
    try:
        address = parse(f"{path.local}@{host}")
    except ValueError:
        return Recipient(path, host, ())
    return Recipient(path, host, directory.resolve(address))


def _candidate(facts: Facts) -> Recipient:
    assert facts.candidate is not None
    return facts.candidate


def named(candidate: Recipient) -> str:
    """The address for a reply's text, where it can be said in ASCII and briefly."""
    text = candidate.path.text
    return f"<{text}>" if text.isascii() and len(text) <= 128 else "this address"


async def relay_denied(transaction: Transaction, facts: Facts) -> Refusal | None:
    """Nobody may send to other domains through this port: it has no logins (RFC 5321 3.6.2).

    The domain behind the last ``@`` alone decides; source routes, ``%``, ``!`` and quoted
    local parts lead nowhere.
    """
    candidate = _candidate(facts)
    if candidate.domain and facts.directory.is_local(candidate.domain):
        return None
    return Refusal(550, "5.7.1", f"relaying to {named(candidate)} denied")


async def too_many_recipients(transaction: Transaction, facts: Facts) -> Refusal | None:
    """The client is to send the rest in a further transaction (RFC 5321 4.5.3.1.10)."""
    if len(transaction.recipients) >= facts.max_recipients:
        return Refusal(452, "4.5.3", f"more than {facts.max_recipients} recipients")
    return None


async def only_bounces(transaction: Transaction, facts: Facts) -> Refusal | None:
    """A return path of mail that was passed on takes reports, which have the null sender."""
    candidate = _candidate(facts)
    if candidate.is_return_path and transaction.sender:
        return Refusal(550, "5.7.1", f"{named(candidate)} takes bounces only")
    return None


async def over_quota(transaction: Transaction, facts: Facts) -> Refusal | None:
    """A box that is full takes no more mail until its owner has made room (RFC 3463 3.3, X.2.2).

    An address that leads to several boxes takes it while one of them has room.
    """
    candidate = _candidate(facts)
    never = True
    for target in candidate.targets:
        octets, messages = (0, 0) if target.remote else facts.directory.quota(target.box)
        if not octets and not messages:
            return None
        held, count = await facts.holds(target.box)
        size = transaction.declared_size
        if (not octets or held + size <= octets) and (not messages or count < messages):
            return None
        never = never and bool(octets) and size > octets
    if not candidate.targets:
        return None
    if never:
        return Refusal(552, "5.2.2", f"{named(candidate)} may not hold so large a message")
    return Refusal(452, "4.2.2", f"the box {named(candidate)} is full")


async def unknown_box(transaction: Transaction, facts: Facts) -> Refusal | None:
    """Refuse what could only bounce later."""
    candidate = _candidate(facts)
    if candidate.targets:
        return None
    return Refusal(550, "5.1.1", f"no box {named(candidate)} here")
