"""What waits in the queue, of a real server."""

from collections.abc import Sequence
from datetime import datetime

from mtad.queue import asking
from mtad.where import Places
from tracing import addresses, ids
from tracing.render import Document
from tracing.states import BY_WORD
from tui.data import Destination, Waiting

MOST = 5_000
"""Recipients that are listed at most."""


def destinations(places: Places) -> Sequence[Destination]:
    """Domains that mail waits for, the fullest first. Raises MtadError."""
    return [
        Destination(
            one["domain"], one["recipients"], one["held"], _us(one["oldest"]),
            _us(one["next_try"]), one["reply"],
        )
        for line in asking.lines(places, "destinations", "")
        for one in line.get("destinations", ())
    ]  # fmt: skip


def recipients(places: Places, domain: str, most: int = MOST) -> tuple[Sequence[Waiting], int]:
    """Who waits for a domain (or at all), oldest first, and how many more. Raises MtadError.

    The filter finds subdomains and what came for an alias of the domain as well; neither is
    of the destination that ``destinations`` counts.
    """
    found, left_out = [], 0
    query = f'to:"@{domain}"' if domain else ""
    for line in asking.lines(places, "list", query, most):
        found += [one for one in line.get("recipients", ()) if _is_for(one, domain)]
        left_out = line.get("left_out", 0)
    return list(map(_waiting, found)), left_out


def held(places: Places, most: int = MOST) -> tuple[Sequence[Waiting], int]:
    """Who is held, oldest first, and how many more. Raises MtadError."""
    found: list[Document] = []
    left_out = 0
    for line in asking.lines(places, "list", "state:held", most):
        found += line.get("recipients", ())
        left_out = line.get("left_out", 0)
    return list(map(_waiting, found)), left_out


def content(places: Places, m: int, most: int) -> bytes:
    """Up to so many octets of a message that waits. Raises MtadError, OSError."""
    with open(asking.content(places, m), "rb") as file:
        return file.read(most)


def _is_for(one: Document, domain: str) -> bool:
    return not domain or addresses.fold(one["to"]).rpartition("@")[2] == domain


def _waiting(one: Document) -> Waiting:
    return Waiting(
        m=ids.parse(one["id"]) or 0,
        n=one["n"],
        state=BY_WORD[one["state"]],
        sender=one["from"],
        to=one["to"],
        subject=one["subject"],
        size=one["size"],
        accepted=_us(one["accepted_at"]),
        tries=one["tries"],
        next_try=_us(one["next_try"]),
        held=one["held"],
        reply=one["reply"],
    )


def _us(text: str) -> int:
    """Microseconds of a written time, 0 for none."""
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000) if text else 0
