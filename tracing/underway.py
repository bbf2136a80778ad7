"""What events told of the messages that are under way, for lines that need more than one (PURE).

Lines in the manner of other servers name a message's sender beside its recipient and say when
the last recipient is done; an event knows its own part only.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TypeVar

from tracing import events, sending
from tracing.event import Event

MAX_KNOWN = 10_000
"""Messages, and connections, that are remembered; the longest silent ones are forgotten."""

ENDINGS: tuple[type[Event], ...] = (
    events.StoreDelivered,
    sending.OutDelivered,
    sending.OutFailed,
    sending.QueueDrop,
    sending.QueueBounce,
    sending.QueueExpire,
)
"""After these a recipient needs nothing of its message any more."""

V = TypeVar("V")


@dataclass(slots=True)
class Underway:
    """A message under way, as far as it was told of; ``since`` is its acceptance, 0 before it.

    ``open`` numbers the recipients without an end, ``seconds`` is what taking it in took.
    """

    sender: str = ""
    ip: str = ""
    helo: str = ""
    login: str = ""
    tls: str = ""
    since: int = 0
    seconds: float = 0.0
    open: set[int] = field(default_factory=set)
    originals: dict[int, str] = field(default_factory=dict)


class Known:
    """The messages and connections that were heard of."""

    def __init__(self) -> None:
        self._messages: OrderedDict[int, Underway] = OrderedDict()
        self._tls: OrderedDict[int, str] = OrderedDict()

    def take(self, event: Event) -> Underway | None:
        """Learn from an event; its message as it is after it, None where there is none."""
        if isinstance(event, events.TlsOk):
            _keep(self._tls, event.trace, f"{event.version}:{event.cipher}")
            return None
        if isinstance(event, events.ConnClose):
            self._tls.pop(event.trace, None)
            return None
        if isinstance(event, events.SmtpMail):
            tls = self._tls.get(event.cn, "")
            made = Underway(event.addr, event.ip, event.helo, event.login, tls)
            _keep(self._messages, event.trace, made)
            return made
        known = self._messages.get(event.trace)
        if isinstance(event, events.SmtpAccept):
            known = known or Underway()
            known.sender, known.since, known.seconds = event.addr, event.at, event.ms / 1000
            known.open = {one.n for one in event.recipients}
            known.originals = {
                one.n: one.original for one in event.recipients if one.original != one.addr
            }
            _keep(self._messages, event.trace, known)
        elif known is not None and isinstance(event, ENDINGS):
            known.open.discard(event.n)
        elif isinstance(event, sending.QueueRedirect) and known is not None:
            known.originals[event.n] = event.was
        return known

    def is_over(self, event: Event) -> bool:
        """Whether the event ended the last recipient of its message, which is then forgotten."""
        known = self._messages.get(event.trace)
        if known is None or known.open or not isinstance(event, ENDINGS):
            return False
        del self._messages[event.trace]
        return True


def _keep(table: "OrderedDict[int, V]", key: int, value: V) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > MAX_KNOWN:
        table.popitem(last=False)
