"""A box as of any minute: what a snapshot held, and what the log says happened since (PURE).

Events say what changed and not what was, so each is applied as often as one likes: a message
that is there is not added again, one that is gone stays gone. That is why a snapshot may be
taken while events happen: all from its beginning on are applied to it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from backup.format import Entry
from mtad.store import names
from tracing.events import Event, RestoreMessage, StoreDelivered
from tracing.stored import (
    BoxAppend,
    BoxCopy,
    BoxEvent,
    BoxExpunge,
    BoxFlags,
    BoxForeign,
    BoxMailbox,
    BoxMove,
    BoxNumbered,
    BoxSeen,
    BoxVanished,
    Item,
)


@dataclass(frozen=True, slots=True)
class Gone:
    """A message that was deleted: as it was then, when, and by whom."""

    entry: Entry
    at: int
    actor: str
    client: str


@dataclass(slots=True)
class Moment:
    """A box under way through its events; messages by base name, their ids b"" where unknown."""

    entries: dict[str, Entry] = field(default_factory=dict)
    gone: list[Gone] = field(default_factory=list)
    uidnext: dict[int, int] = field(default_factory=dict)
    """Above every UID that events gave, by UIDVALIDITY."""
    _bases: dict[int, str] = field(default_factory=dict)
    """Base names by stored copy, for events that name only that."""

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "Moment":
        """The box as a snapshot has it."""
        moment = cls()
        for entry in entries:
            moment._set(entry)
        return moment

    def see(self, entries: Iterable[Entry]) -> None:
        """Learn how messages are that a snapshot has, taken at this point or soon after it."""
        for entry in entries:
            self._set(entry)

    def play(self, happened: Iterable[Event]) -> None:
        """Let events happen in the order of their times, in which journals may differ."""
        for event in sorted(happened, key=lambda event: event.at):
            self.apply(event)

    def apply(self, event: Event) -> None:
        """Let an event of the box happen; others change nothing."""
        if isinstance(event, StoreDelivered):
            self._add(event.mailbox, Item(event.st, event.trace, 0, event.base), (), event.at)
        elif isinstance(event, BoxMailbox):
            self._shape(event)
        elif isinstance(event, BoxExpunge | BoxVanished):
            self._remove(event)
        elif isinstance(event, BoxFlags):
            for item in event.items:
                self._mark(item, event)
        elif isinstance(event, BoxSeen):
            for item in event.items:
                self._see(item, event)
        elif isinstance(event, BoxMove):
            for item in event.items:
                self._give(event, item)
                was = self._get(item) or _entry(event.target, item, (), event.at)
                self._set(replace(was, mailbox=event.target, uid=item.uid))
        elif isinstance(event, BoxCopy):
            self._copy(event)
        elif isinstance(event, BoxNumbered | BoxForeign | BoxAppend | RestoreMessage):
            marks = () if isinstance(event, BoxNumbered) else event.marks
            for number, item in enumerate(event.items):
                self._give(event, item)
                mine = marks[number] if number < len(marks) else ()
                self._add(event.mailbox, item, mine, event.at)

    def _get(self, item: Item) -> Entry | None:
        return self.entries.get(item.base or self._bases.get(item.st, ""))

    def _set(self, entry: Entry) -> None:
        if entry.base:
            self.entries[entry.base] = entry
            self._bases[entry.st] = entry.base

    def _add(self, mailbox: str, item: Item, marks: tuple[str, ...], at: int) -> None:
        known = self._get(item)
        if known is None:
            self._set(_entry(mailbox, item, marks, at))
        elif item.uid and known.mailbox == mailbox:
            self._set(replace(known, uid=item.uid, m=known.m or item.m))

    def _remove(self, event: BoxExpunge | BoxVanished) -> None:
        for item in event.items:
            entry = self._get(item)
            if entry is not None:
                del self.entries[entry.base]
            elif item.base:
                entry = _entry(event.mailbox, item, (), event.at)
            if entry is not None:
                self.gone.append(Gone(entry, event.at, event.actor, event.client))

    def _copy(self, event: BoxCopy) -> None:
        for number, item in enumerate(event.items):
            self._give(event, item)
            if self._get(item) is not None:
                continue
            made = _entry(event.target, item, (), event.at)
            was = event.was[number] if number < len(event.was) else 0
            source = self.entries.get(self._bases.get(was, ""))
            if source is not None:
                made = replace(
                    source, mailbox=event.target, uid=item.uid, base=item.base, st=item.st
                )
            self._set(made)

    def _mark(self, item: Item, event: BoxFlags) -> None:
        entry = self._get(item)
        if entry is None:
            return
        marks = {*names.flag_names(entry.flags), *entry.keywords}
        flags, words = marked((marks - {*event.removed}) | {*event.added})
        self._set(replace(entry, flags=flags, keywords=words))

    def _see(self, item: Item, event: BoxSeen) -> None:
        entry = self._get(item)
        if entry is not None:
            seen = {*entry.seen} - {event.who} | ({event.who} if event.seen else set())
            self._set(replace(entry, seen=tuple(sorted(seen))))

    def _shape(self, event: BoxMailbox) -> None:
        if event.what == "renamed" and event.target:
            for base, entry in self.entries.items():
                if f"{entry.mailbox}/".startswith(f"{event.mailbox}/"):
                    name = event.target + entry.mailbox.removeprefix(event.mailbox)
                    self.entries[base] = replace(entry, mailbox=name)

    def _give(self, event: BoxEvent, item: Item) -> None:
        validity = event.uidvalidity
        if validity and item.uid:
            self.uidnext[validity] = max(self.uidnext.get(validity, 1), item.uid + 1)


def marked(marks: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """Maildir letters and keywords of flags and keywords as events name them."""
    letters, words = [], []
    for mark in marks:
        letter = names.flag_letter(mark)
        if letter is None:
            words.append(mark)
        else:
            letters.append(letter)
    return names.letters(letters), tuple(sorted(words))


def _entry(mailbox: str, item: Item, marks: tuple[str, ...], at: int) -> Entry:
    """What an event tells of a message; its file says the rest."""
    flags, words = marked(marks)
    size = names.size_of(item.base) or 0
    at_ns = at * 1000
    return Entry(mailbox, item.uid, item.base, item.st, item.m, flags, words, at_ns, size, b"")
