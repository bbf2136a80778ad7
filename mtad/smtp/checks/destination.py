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


async def unknown_box(transaction: Transaction, facts: Facts) -> Refusal | None:
    """Refuse what could only bounce later."""
    candidate = _candidate(facts)
    if candidate.targets:
        return None
    return Refusal(550, "5.1.1", f"no box {named(candidate)} here")
