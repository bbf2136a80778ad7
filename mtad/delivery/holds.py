"""Rules that hold mail for elsewhere until someone releases it (PURE).

A rule is ``from:`` or ``to:`` with an address, a ``@domain`` (its subdomains too), or ``<>``
for the null sender, as in the filter language.
"""

from collections.abc import Callable, Iterable

from tracing import addresses, search

Hold = Callable[[str, str], str]
"""Sender and recipient to the rule that holds it; empty when none does."""


def rules(written: Iterable[str]) -> Hold:
    """The first rule, as written, that a recipient matches."""
    parsed = []
    for rule in written:
        role, _, value = rule.partition(":")
        parsed.append((rule, search.address(role, value)))

    def hold(sender: str, recipient: str) -> str:
        for rule, wanted in parsed:
            if _matches(wanted, sender if wanted.role == "from" else recipient):
                return rule
        return ""

    return hold


def _matches(wanted: search.Address, address: str) -> bool:
    folded = addresses.fold(address)
    if wanted.null:
        return not folded
    if wanted.domain:
        host = folded.rpartition("@")[2]
        return host == wanted.domain or host.endswith("." + wanted.domain)
    return folded == wanted.exact
