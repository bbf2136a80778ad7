"""Checks on mail that our own users submit (RFC 6409): who may, as whom, how much."""

from mtad.address import parse
from mtad.errors import Refusal
from mtad.smtp.checks.destination import named
from mtad.smtp.policy import Facts, Transaction


async def starttls_first(transaction: Transaction, facts: Facts) -> Refusal | None:
    """Neither passwords nor mail of users travel in clear (RFC 8314 3)."""
    if transaction.is_secure or transaction.is_trusted:
        return None
    return Refusal(530, "5.7.0", "say STARTTLS first")


async def login_first(transaction: Transaction, facts: Facts) -> Refusal | None:
    """This port is for people we know (RFC 6409 4.3), as long as they may log in."""
    login = transaction.login
    if login and (transaction.is_revoked or not facts.directory.is_open(login)):
        return Refusal(530, "5.7.0", "log in again", close=True)
    if login or transaction.is_trusted:
        return None
    return Refusal(530, "5.7.0", "log in first")


async def not_own_sender(transaction: Transaction, facts: Facts) -> Refusal | None:
    """A user sends as itself, or says no sender at all, as reports do (RFC 6409 6.1)."""
    if not transaction.sender or _may_send_as(transaction, facts, transaction.sender):
        return None
    return Refusal(553, "5.7.1", f"the sender is no address of {transaction.login}")


async def too_many_messages(transaction: Transaction, facts: Facts) -> Refusal | None:
    """A stolen password sends a flood."""
    rights = facts.rights
    if rights is None or not rights.max_messages or rights.used().messages < rights.max_messages:
        return None
    return Refusal(450, "4.7.1", f"more than {rights.max_messages} messages within an hour")


async def too_many_recipients_an_hour(transaction: Transaction, facts: Facts) -> Refusal | None:
    """The same, to many at once."""
    rights, candidate = facts.rights, facts.candidate
    if rights is None or not rights.max_recipients or candidate is None:
        return None
    if rights.used().recipients + len(candidate.targets) <= rights.max_recipients:
        return None
    return Refusal(450, "4.7.1", f"more than {rights.max_recipients} recipients within an hour")


async def no_such_domain(transaction: Transaction, facts: Facts) -> Refusal | None:
    """What is no domain at all cannot be delivered to."""
    candidate = facts.candidate
    assert candidate is not None
    if candidate.domain or candidate.targets:
        return None
    return Refusal(550, "5.1.2", f"{named(candidate)} has no valid domain")


async def header_too_long(transaction: Transaction, facts: Facts) -> Refusal | None:
    """A header that goes on and on can be neither completed nor signed."""
    if transaction.is_header_cut:
        return Refusal(552, "5.3.4", "the header of the message is too long")
    return None


async def not_own_author(transaction: Transaction, facts: Facts) -> Refusal | None:
    """What recipients see as the author is the user's own address too."""
    if facts.rights is None or not facts.rights.own_addresses_only:
        return None
    authors = transaction.authors
    if authors is None:
        return Refusal(550, "5.6.0", "the From or Sender field is malformed")
    for author in authors:
        if not _may_send_as(transaction, facts, author):
            return Refusal(550, "5.7.1", f"the From field has no address of {transaction.login}")
    return None


def _may_send_as(transaction: Transaction, facts: Facts, text: str) -> bool:
    if facts.rights is None or not facts.rights.own_addresses_only:
        return True
    try:
        address = parse(text)
    except ValueError:
        return False
    return facts.directory.may_send_as(transaction.login, address)
