"""What a client asked to be told of, and the news that wait for it (RFC 5465).

For mailboxes other than the selected one news are a STATUS or a LIST response; which mailbox it
is decides the first group that names it. More news than a client can be told of end it with
NOTIFICATIONOVERFLOW.
"""

from collections.abc import Callable, Mapping

from mtad.imap.commands import EventGroup, Item
from mtad.store.names import INBOX

MAX_WAITING = 1000
"""Mailboxes with news before the client is told that it asked for too much."""
DELAYED = "SELECTED-DELAYED"
OF_SELECTED = ("SELECTED", DELAYED)
OF_MESSAGES = {"MessageNew", "MessageExpunge", "FlagChange"}


class Notices:
    """One NOTIFY SET. ``is_subscribed`` answers for the moment it is asked."""

    def __init__(
        self, groups: tuple[EventGroup, ...], is_subscribed: Callable[[str], bool]
    ) -> None:
        self._groups = [group for group in groups if group.filter not in OF_SELECTED]
        self._is_subscribed = is_subscribed
        chosen = next((group for group in groups if group.filter in OF_SELECTED), None)
        self.selected = frozenset(chosen.events if chosen else ())
        """Events of the selected mailbox."""
        self.items: tuple[Item, ...] = chosen.items if chosen else ()
        """What is fetched of messages that arrive in it."""
        self.is_delayed = chosen is not None and chosen.filter == DELAYED
        """Whether expunges there wait for a command."""
        self.counts: dict[str, None] = {}
        """Mailboxes whose STATUS has changed, in order."""
        self.names: dict[str, str | None] = {}
        """Mailboxes of which a LIST response is due; the value is the former name."""
        self.is_overflown = False

    def wanted(self, mailbox: str) -> frozenset[str]:
        """The events that are told of a mailbox that is not selected."""
        group = next((one for one in self._groups if self._names(one, mailbox)), None)
        return frozenset(group.events) if group else frozenset()

    def _names(self, group: EventGroup, mailbox: str) -> bool:
        if group.filter == "SUBSCRIBED":
            return self._is_subscribed(mailbox)
        if group.filter == "INBOXES":
            return mailbox == INBOX
        if group.filter == "SUBTREE":
            return any(mailbox == one or mailbox.startswith(f"{one}/") for one in group.mailboxes)
        return group.filter == "PERSONAL" or mailbox in group.mailboxes

    def hear_messages(self, mailbox: str, *, came_or_went: bool, flagged: bool) -> None:
        """Messages of a mailbox that is not selected changed."""
        wanted = self.wanted(mailbox)
        if (came_or_went and "MessageNew" in wanted) or (flagged and "FlagChange" in wanted):
            self.counts[mailbox] = None
            self._bound()

    def hear_name(self, mailbox: str, what: str, target: str = "") -> None:
        """A mailbox was created, deleted, renamed, subscribed to, or is not any more."""
        event = "SubscriptionChange" if what.endswith("subscribed") else "MailboxName"
        name, old_name = (target, mailbox) if target else (mailbox, None)
        if event in self.wanted(mailbox) | self.wanted(name):
            self.names[name] = old_name
            self._bound()

    def _bound(self) -> None:
        if len(self.counts) + len(self.names) > MAX_WAITING:
            self.is_overflown = True
            self.counts.clear()
            self.names.clear()

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.counts or self.names or self.is_overflown)

    def take(self) -> tuple[Mapping[str, str | None], tuple[str, ...]]:
        """The names and the counts that are due; they count as told."""
        names, counts = self.names, tuple(self.counts)
        self.names, self.counts = {}, {}
        return names, counts
