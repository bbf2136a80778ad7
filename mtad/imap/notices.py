"""What a client asked to be told of, and the news that wait for it (RFC 5465).

For mailboxes other than the selected one news are a STATUS, LIST or METADATA response. All groups
that name a mailbox apply to it (RFC 5465 6). More news than a client can be told of end it
with NOTIFICATIONOVERFLOW.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from mtad.imap.commands import EventGroup, Item
from mtad.store.mailboxes import SUBSCRIBED, UNSUBSCRIBED
from mtad.store.names import INBOX

MAX_WAITING = 1000
"""Mailboxes with news before the client is told that it asked for too much."""
DELAYED = "SELECTED-DELAYED"
OF_SELECTED = ("SELECTED", DELAYED)
SERVER = "ServerMetadataChange"


class Notices:
    """One NOTIFY SET. ``subscribed`` is kept up to date, ``is_personal`` tells the client's own
    mailboxes from those of others."""

    def __init__(
        self,
        groups: tuple[EventGroup, ...],
        subscribed: set[str],
        is_personal: Callable[[str], bool],
    ) -> None:
        self._groups = [group for group in groups if group.filter not in OF_SELECTED]
        self._subscribed = subscribed
        self._is_personal = is_personal
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
        self.entries: dict[str, dict[str, None]] = {}
        """Mailboxes of which a METADATA response is due, with the entries; "" is the server."""
        self.visible: set[str] = set()
        """Others' mailboxes of which the client knows."""
        self.is_overflown = False

    def wanted(self, mailbox: str) -> frozenset[str]:
        """The events that are told of a mailbox that is not selected."""
        every = (one.events for one in self._groups if self._names(one, mailbox))
        return frozenset(chain.from_iterable(every))

    def _names(self, group: EventGroup, mailbox: str) -> bool:
        if group.filter == "SUBSCRIBED":
            return mailbox in self._subscribed
        if group.filter == "INBOXES":
            return mailbox == INBOX
        if group.filter == "SUBTREE":
            return any(mailbox == one or mailbox.startswith(f"{one}/") for one in group.mailboxes)
        if group.filter == "PERSONAL":
            return self._is_personal(mailbox)
        return mailbox in group.mailboxes

    def hear_messages(self, mailbox: str, *, came_or_went: bool, flagged: bool) -> None:
        """Messages of a mailbox that is not selected changed."""
        wanted = self.wanted(mailbox)
        if (came_or_went and "MessageNew" in wanted) or (flagged and "FlagChange" in wanted):
            self.counts[mailbox] = None
            self._bound()

    def hear_name(self, mailbox: str, what: str, target: str = "") -> None:
        """A mailbox was created, deleted, renamed, subscribed to, or is not any more.

        One that came or went is news of the one above it, too (RFC 5465 5.4), but with others'
        mailboxes, where that would tell of what may not be listed.
        """
        event = "MailboxName"
        if what in (SUBSCRIBED, UNSUBSCRIBED):
            event = "SubscriptionChange"
        name, old_name = (target, mailbox) if target else (mailbox, None)
        above = mailbox.rpartition("/")[0]
        is_affected = above and event == "MailboxName" and not target and self._is_personal(above)
        if is_affected and event in self.wanted(above):
            self.names.setdefault(above, None)
        if event in self.wanted(mailbox) | self.wanted(name):
            self.names[name] = old_name
        self._bound()

    def subscribe(self, mailbox: str, *, on: bool) -> None:
        """The subscriptions are others now, whoever changed them."""
        if on:
            self._subscribed.add(mailbox)
        else:
            self._subscribed.discard(mailbox)

    def hear_entries(self, mailbox: str, entries: Iterable[str]) -> None:
        """Entries were written, of a mailbox or of the server (RFC 5465 5.6 and 5.7)."""
        if mailbox:
            wants = "MailboxMetadataChange" in self.wanted(mailbox)
        else:
            wants = any(SERVER in group.events for group in self._groups)
        if wants:
            self.entries.setdefault(mailbox, {}).update(dict.fromkeys(entries))
            self._bound()

    def _bound(self) -> None:
        entries = sum(map(len, self.entries.values()))
        if len(self.counts) + len(self.names) + entries > MAX_WAITING:
            self.is_overflown = True
            self.counts.clear()
            self.names.clear()
            self.entries.clear()

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.counts or self.names or self.entries or self.is_overflown)

    def take(self) -> "Due":
        """What is due; it counts as told."""
        due = Due(self.names, self.entries, tuple(self.counts))
        self.names, self.entries, self.counts = {}, {}, {}
        return due


@dataclass(frozen=True, slots=True)
class Due:
    """News that are told now, in the order of the fields; see ``Notices`` for what they are."""

    names: Mapping[str, str | None]
    entries: Mapping[str, Iterable[str]]
    counts: Sequence[str]
