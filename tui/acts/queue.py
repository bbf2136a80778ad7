"""What can be done to mail that waits to leave."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from mtad.cli_options import administrator
from mtad.queue import asking
from tracing import ids
from tui import waits
from tui.formats import counted
from tui.lang import NN_

if TYPE_CHECKING:
    from mtad.config import Loaded

Change = Literal["retry", "hold", "release", "drop", "bounce"]
Key = tuple[int, int]
"""A message and the number of its recipient."""

ALL = 1_000_000
"""Recipients of one destination that an act takes in; more than any queue has been seen with."""

PAST: dict[Change, tuple[str, str]] = {
    "retry": NN_("{} recipient is being tried", "{} recipients are being tried"),
    "hold": NN_("{} recipient is held", "{} recipients are held"),
    "release": NN_("{} recipient was released", "{} recipients were released"),
    "drop": NN_("{} recipient was dropped", "{} recipients were dropped"),
    "bounce": NN_("{} recipient was returned", "{} recipients were returned"),
}
"""What came of it, by the act."""


def counted_recipients(count: int) -> str:
    """How many recipients, in words."""
    return counted(count, "{} recipient", "{} recipients")


def all_of(loaded: "Loaded", meant: Sequence[Key | str]) -> Sequence[Key]:
    """The waiting recipients among keys and domains. Raises MtadError."""
    found = {one for one in meant if not isinstance(one, str)}
    for domain in (one for one in meant if isinstance(one, str)):
        waiting, _left_out = waits.recipients(loaded.places, domain, ALL)
        found.update((one.m, one.n) for one in waiting)
    return sorted(found)


def of_message(loaded: "Loaded", m: int) -> Sequence[Key]:
    """The waiting recipients of one message. Raises MtadError."""
    lines = asking.lines(loaded.places, "keys", f"id:{ids.text(m)}")
    return [(m, n) for line in lines for m, n in line.get("keys", ())]


def change(loaded: "Loaded", act: Change, who: Sequence[Key], why: str = "") -> str:
    """Do it to recipients; says what came of it. Raises MtadError."""
    from mtad.queue.acts import Order  # noqa: PLC0415 - slow to load

    done = asking.act(loaded, Order(act, administrator(), why), who)
    one, many = PAST[act]
    told = [counted(done.done, one, many)]
    if done.busy:
        told.append(
            counted(
                len(done.busy), "{} is being tried and was left", "{} are being tried and were left"
            )
        )
    if done.gone:
        told.append(counted(len(done.gone), "{} had left the queue", "{} had left the queue"))
    if done.unfit:
        told.append(
            counted(
                len(done.unfit), "{} was not in a state for it", "{} were not in a state for it"
            )
        )
    return "; ".join(told)
