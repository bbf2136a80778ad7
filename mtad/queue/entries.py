"""The queue in memory: a view of the log's open recipients, kept current by the same events.

A ``Letter`` is a message, an ``Entry`` one of its recipients elsewhere. Both are small, for
there may be hundreds of thousands: what is said of many (hosts, replies, parameters) is one
string for all, and no message is in here.
"""

from collections.abc import Callable, Container, Iterator, Mapping
from enum import IntEnum
from sys import intern
from typing import Any, NamedTuple

import msgspec

from tracing import sending
from tracing.events import Event
from tracing.states import State
from tracing.waiting import Part

MAX_KNOWN = 10_000
"""Different answers that are kept once for all."""

_from_json = msgspec.json.Decoder(dict[str, Any]).decode


class Place(IntEnum):
    """Where an entry is at the moment."""

    WAITING = 0
    """Its time has not come."""
    READY = 1
    """It is due, and has its turn after others."""
    BUSY = 2
    """It is being tried, or the outcome is being made durable."""
    HELD = 3
    GONE = 4
    """It has its end, or another object stands for it."""


class Said(NamedTuple):
    """The last answer about a recipient: the remote's, or our own words with ``code`` 0."""

    host: str = ""
    code: int = 0
    enh: str = ""
    reply: str = ""


NOTHING = Said()


class Letter:
    """A message in the queue; ``arrived`` in microseconds, ``entries`` those still open."""

    __slots__ = (
        "arrived",
        "body",
        "entries",
        "envid",
        "m",
        "priority",
        "rel",
        "requiretls",
        "ret",
        "sender",
        "size",
        "smtputf8",
    )

    def __init__(self, m: int, sender: str, size: int, arrived: int, rel: str = "") -> None:
        self.m = m
        self.sender = sender
        self.size = size
        self.arrived = arrived
        self.rel = intern(rel)
        self.body = self.ret = self.envid = ""
        self.smtputf8 = self.requiretls = False
        self.priority = 0
        self.entries: list[Entry] = []


class Entry:
    """A recipient elsewhere. ``sender`` is its reverse-path where that is not the letter's."""

    __slots__ = (
        "addr",
        "held",
        "last",
        "letter",
        "n",
        "next_try",
        "notify",
        "orcpt",
        "original",
        "place",
        "sender",
        "tried_at",
        "tries",
        "turn",
        "warned",
    )

    def __init__(self, letter: Letter, n: int, addr: str) -> None:
        self.letter = letter
        self.n = n
        self.addr = addr
        self.original = self.notify = self.orcpt = self.held = ""
        self.sender: str | None = None
        self.tries = 0
        self.tried_at = 0
        self.next_try = 0
        self.turn = 0
        self.warned = False
        self.last = NOTHING
        self.place = Place.WAITING

    @property
    def reverse_path(self) -> str:
        """What MAIL says for this recipient."""
        return self.letter.sender if self.sender is None else self.sender

    @property
    def wants(self) -> frozenset[str]:
        """The kinds of report that were asked for, in upper case; empty when none was named."""
        return frozenset(self.notify.upper().split(",")) if self.notify else frozenset()


class Entries:
    """Every open recipient elsewhere. ``on_due`` hears of entries that have another time."""

    def __init__(self, on_due: Callable[[Entry], None] = lambda entry: None) -> None:
        self._letters: dict[int, Letter] = {}
        self._on_due = on_due
        self._known: dict[Said, Said] = {NOTHING: NOTHING}
        self.count = 0
        """How many there are."""

    def __iter__(self) -> Iterator[Entry]:
        for letter in list(self._letters.values()):
            yield from letter.entries

    def find(self, m: int, n: int) -> Entry | None:
        """An entry, None when it has its end or is not known."""
        letter = self._letters.get(m)
        return _find(letter, n) if letter else None

    def letter(self, m: int) -> Letter | None:
        """A message with open recipients."""
        return self._letters.get(m)

    def open_letter(self, m: int, sender: str, size: int, arrived: int, rel: str = "") -> Letter:
        """A message, made if it is not here."""
        letter = self._letters.get(m)
        if letter is None:
            letter = self._letters[m] = Letter(m, sender, size, arrived, rel)
        return letter

    # ------------------------------------------------------------------ changes

    def apply(self, event: Event) -> Entry | None:
        """Do to the queue what the event says; the entry it is about, if that was here."""
        letter = self._letters.get(event.trace)
        if letter is None:
            return None
        if isinstance(event, sending.QueueAdd):
            return self._add(letter, event)
        entry = _find(letter, event.n)
        if entry is not None:
            change = _CHANGES.get(type(event))
            if change is not None:
                change(self, entry, event)
        return entry

    def _add(self, letter: Letter, event: sending.QueueAdd) -> Entry:
        entry = Entry(letter, event.n, event.addr)
        given = {name: getattr(event, name) for name in _PARAMETERS}
        self._put(entry, given, original=event.original)
        self.set_due(entry, event.next_try or event.at)
        return entry

    def _put(self, entry: Entry, params: dict[str, Any], original: str) -> None:
        """Take an entry in, with the parameters of its ``queue.add``."""
        letter = entry.letter
        entry.original = params.get("original") or original
        entry.notify = intern(params.get("notify", ""))
        entry.orcpt = params.get("orcpt", "")
        sender = params.get("sender", "")
        if params.get("resent"):
            entry.sender, sender = sender, params.get("came_from", "")
        if sender:
            letter.sender = sender
        letter.ret = intern(params.get("ret", ""))
        letter.envid = params.get("envid", "")
        letter.body = intern(params.get("body", ""))
        letter.smtputf8 = params.get("smtputf8", False)
        letter.requiretls = params.get("requiretls", False)
        letter.priority = params.get("priority", 0)
        letter.entries.append(entry)
        self.count += 1

    def set_due(self, entry: Entry, at: int) -> None:
        """Give an entry a time to be tried at."""
        entry.next_try = at
        entry.held = ""
        entry.place = Place.WAITING
        self._on_due(entry)

    def hold(self, entry: Entry, why: str) -> None:
        """Do not try an entry until someone gives it a time."""
        entry.held = intern(why)
        entry.next_try = 0
        entry.place = Place.HELD

    def remove(self, entry: Entry) -> None:
        """Forget an entry, and its message with the last one."""
        if entry.place is Place.GONE:
            return
        letter = entry.letter
        entry.place = Place.GONE
        letter.entries.remove(entry)
        self.count -= 1
        if not letter.entries:
            self._letters.pop(letter.m, None)

    def _say(self, entry: Entry, said: Said) -> None:
        """Remember the last answer about a recipient; equal ones are one."""
        if len(self._known) > MAX_KNOWN:
            self._known = {NOTHING: NOTHING}
        entry.last = self._known.setdefault(said, said)

    # ------------------------------------------------------------------ loading

    def load(self, part: Part | Mapping[str, Any], skip: Container[tuple[int, int]] = ()) -> None:
        """Take in a part of the log's queue, but what is here already or is to be skipped."""
        messages = {m: (sender, size, rel) for m, sender, size, rel, _ in part["messages"]}
        for row in part["entries"]:
            if (row[0], row[1]) not in skip and self.find(row[0], row[1]) is None:
                self._load(row, messages.get(row[0], ("", 0, "")))

    def _load(self, row: list[Any], message: tuple[str, int, str]) -> None:
        m, n, addr, state, tries, next_try, at, last, host, code, enh, reply, original, json = row
        sender, size, rel = message
        entry = Entry(self.open_letter(m, sender, size, at, rel), n, addr)
        params = _from_json(json) if json != "{}" else {}
        self._put(entry, params, original)
        entry.tries = tries
        entry.warned = bool(params.get("warned"))
        if tries:
            entry.tried_at = last
            self._say(entry, Said(host, code, enh, reply))
        if state == State.HELD:
            self.hold(entry, str(params.get("held", "")))
        else:
            self.set_due(entry, next_try)

    def forget(self, m: int, keep: Container[tuple[int, int]] = ()) -> None:
        """Drop the entries of a message that are not busy or to be kept, to load them anew."""
        letter = self._letters.get(m)
        for entry in list(letter.entries) if letter else ():
            if entry.place is not Place.BUSY and (m, entry.n) not in keep:
                self.remove(entry)


_PARAMETERS = (
    "sender",
    "resent",
    "came_from",
    "notify",
    "orcpt",
    "ret",
    "envid",
    "body",
    "smtputf8",
    "requiretls",
    "priority",
)


def _find(letter: Letter, n: int) -> Entry | None:
    for entry in letter.entries:
        if entry.n == n:
            return entry
    return None


def _held(entries: Entries, entry: Entry, event: sending.QueueHold) -> None:
    entries.hold(entry, event.why)


def _again(
    entries: Entries, entry: Entry, event: sending.QueueRelease | sending.QueueRetry
) -> None:
    entries.set_due(entry, event.next_try)


def _redirected(entries: Entries, entry: Entry, event: sending.QueueRedirect) -> None:
    if event.next_try:
        entry.addr = event.addr
        entries.set_due(entry, event.next_try)
    else:
        entries.remove(entry)


def _deferred(entries: Entries, entry: Entry, event: sending.OutDeferred) -> None:
    entry.tries = event.attempt
    said = Said(event.host, event.code, event.enh, event.reply or event.why)
    entry.tried_at = event.at
    entries._say(entry, said)
    if event.next_try:
        entries.set_due(entry, event.next_try)


def _reported(entries: Entries, entry: Entry, event: sending.DsnMade) -> None:
    entry.warned = entry.warned or event.what == "delayed"


def _ended(entries: Entries, entry: Entry, event: Event) -> None:
    entries.remove(entry)


_CHANGES: dict[type[Event], Callable[[Entries, Entry, Any], None]] = {
    sending.QueueHold: _held,
    sending.QueueRelease: _again,
    sending.QueueRetry: _again,
    sending.QueueRedirect: _redirected,
    sending.OutDeferred: _deferred,
    sending.DsnMade: _reported,
    sending.OutDelivered: _ended,
    sending.OutFailed: _ended,
    sending.QueueExpire: _ended,
    sending.QueueDrop: _ended,
    sending.QueueBounce: _ended,
}
