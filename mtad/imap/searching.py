"""Which messages of the selected mailbox match a search key (RFC 9051 6.4.4).

Keys are asked in order of what they cost: what is in memory first, then what is cached, then
files; each only of the messages that the cheaper ones left. A search sees the mailbox as it was
when it began. Messages are positions in the view's columns of that moment: arrivals are appended
to those, and an expunge makes the view use others.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import date

from mtad import clock
from mtad.imap import charsets, scanning
from mtad.imap.answer import Bad, No
from mtad.imap.commands import (
    And,
    Anything,
    Flagged,
    Key,
    ModSeq,
    Not,
    Numbers,
    ObjectId,
    Or,
    Search,
    Size,
    Sort,
    Text,
    Thread,
    When,
    Within,
)
from mtad.imap.items import thread_id
from mtad.imap.selected import Selected
from mtad.imap.session import Session
from mtad.mime import fields, text, words
from mtad.store.cache_rendering import SEARCHED, Summary
from tracing import ids

CHUNK = 8192
"""Messages that are looked at before others have their turn."""
SUMMARIES = 512
"""Summaries that are in memory at once."""
BAD_CHARSET = b"BADCHARSET (%b)" % " ".join(charsets.CHARSETS).encode("ascii")
MEMORY, CACHE, FILES = range(3)
"""What a key costs."""
_EPOCH = date(1970, 1, 1)
_DAY_SECONDS = 86_400

Positions = Sequence[int]


def cost(key: Key) -> int:
    """The most expensive thing a key asks for."""
    if isinstance(key, Text):
        return CACHE if key.in_header else FILES
    if isinstance(key, When):
        return CACHE if key.where == "SENT" else MEMORY
    if isinstance(key, ObjectId):
        return CACHE if key.where == "THREADID" else MEMORY
    if isinstance(key, Not):
        return cost(key.key)
    if isinstance(key, Or):
        return max(cost(key.left), cost(key.right))
    if isinstance(key, And):
        return max(map(cost, key.keys))
    return MEMORY


def asks_modseq(key: Key) -> bool:
    """Whether MODSEQ is among the keys, so that the answer tells one (RFC 7162 3.1.5)."""
    if isinstance(key, Not):
        return asks_modseq(key.key)
    if isinstance(key, Or):
        return asks_modseq(key.left) or asks_modseq(key.right)
    if isinstance(key, And):
        return any(map(asks_modseq, key.keys))
    return isinstance(key, ModSeq)


class Searching:
    """One search in a mailbox as it is."""

    def __init__(self, session: Session, selected: Selected) -> None:
        view = selected.view
        self._session = session
        self._selected = selected
        self._now = clock.now_us()
        self.uids = view.uids
        self.marks = view.marks
        self.modseqs = view.modseqs
        self.sizes = view.sizes
        self.dates_ns = view.dates_ns
        self.saved = view.saved
        self.emails = view.emails
        self._names: dict[Numbers, frozenset[int]] = {}

    async def find(self, command: Search | Sort | Thread) -> list[int]:
        """Positions of the messages that match what a command asks.

        Raises Bad, which changes nothing, and No, which empties a ``$`` that was to be set
        (RFC 5182 2.1).
        """
        try:
            if command.charset and command.charset not in charsets.CHARSETS:
                raise No("The charset is not known here", BAD_CHARSET)
            return await self.run(command.key)
        except No:
            if not isinstance(command, Thread) and "SAVE" in (command.returns or ()):
                self._selected.saved = []
            raise

    async def run(self, key: Key) -> list[int]:
        """Positions of the messages that match, ascending. Raises Bad for a wrong number."""
        self._check(key)
        end = bisect_right(self.uids, self._selected.last)
        found: list[int] = []
        for start in range(0, end, CHUNK):
            found += await self._filter(key, range(start, min(start + CHUNK, end)))
            await self._session.drain()
        return found

    def _check(self, key: Key) -> None:
        """Resolve every set of numbers, before anything is looked for."""
        if isinstance(key, Numbers):
            if self._session.uidonly and not (key.by_uid or key.numbers.saved):
                raise Bad("Use UID for numbers", b"UIDREQUIRED")
            uids = self._selected.resolve(key.numbers, key.by_uid, open_end=True)
            self._names[key] = frozenset(uids)
        for part in _parts(key):
            self._check(part)

    async def _filter(self, key: Key, positions: Positions) -> Positions:
        """Those of the positions that match."""
        if not positions:
            return positions
        if isinstance(key, And):
            for part in sorted(key.keys, key=cost):
                positions = await self._filter(part, positions)
            return positions
        if isinstance(key, Or):
            first, second = sorted((key.left, key.right), key=cost)
            found = set(await self._filter(first, positions))
            rest = [at for at in positions if at not in found]
            found.update(await self._filter(second, rest))
            return [at for at in positions if at in found]
        if isinstance(key, Not):
            found = set(await self._filter(key.key, positions))
            return [at for at in positions if at not in found]
        if isinstance(key, Text) and not key.in_header:
            return await self._in_files(key, positions)
        if isinstance(key, Text) and key.where.lower() in SEARCHED and key.value:
            return await self._in_fields(key, positions)
        if cost(key) == CACHE:
            return await self._in_cache(key, positions)
        return self._in_memory(key, positions)

    # -------------------------------------------------------------- in memory

    def _in_memory(self, key: Key, positions: Positions) -> Positions:
        if isinstance(key, Anything):
            return positions
        if isinstance(key, Flagged):
            return self._flagged(key, positions)
        if isinstance(key, Numbers):
            uids, named = self.uids, self._names[key]
            return [at for at in positions if uids[at] in named]
        if isinstance(key, Size):
            sizes, octets = self.sizes, key.octets
            if key.how == "LARGER":
                return [at for at in positions if sizes[at] > octets]
            return [at for at in positions if sizes[at] < octets]
        if isinstance(key, Within):
            limit = (self._now - key.seconds * 1_000_000) * 1000
            dates = self.dates_ns
            if key.how == "YOUNGER":
                return [at for at in positions if dates[at] >= limit]
            return [at for at in positions if dates[at] <= limit]
        if isinstance(key, When):
            begin, end = span(key)
            unit = 1_000_000_000 if key.where == "INTERNAL" else 1_000_000
            begin, end = begin * unit, end * unit
            dates = self.dates_ns if key.where == "INTERNAL" else self.saved
            return [at for at in positions if begin <= dates[at] < end]
        if isinstance(key, ModSeq):
            modseqs, least = self.modseqs, key.modseq
            return [at for at in positions if modseqs[at] >= least]
        assert isinstance(key, ObjectId)
        emails, wanted = self.emails, ids.parse(key.value)
        return [at for at in positions if emails[at] == wanted]

    def _flagged(self, key: Flagged, positions: Positions) -> Positions:
        if key.flag == "\\Recent":
            uids, recent = self.uids, self._selected.recent
            return [at for at in positions if (uids[at] in recent) is key.is_set]
        wanted = key.flag.lower().encode()
        fits = [
            (wanted in text.lower().split()) is key.is_set
            for _, _, text in self._selected.view.combinations()
        ]
        marks = self.marks
        return [at for at in positions if fits[marks[at]]]

    # ----------------------------------------------------- summaries and files

    async def _in_cache(self, key: Key, positions: Positions) -> Positions:
        matches = _summary_key(key)
        of_header = not isinstance(key, When)
        found: list[int] = []
        for start in range(0, len(positions), SUMMARIES):
            part = positions[start : start + SUMMARIES]
            uids = [self.uids[at] for at in part]
            summaries = await self._selected.box.summaries(
                self._selected.view.name,
                uids,
                outline=False,
                header=of_header,
                keys=not of_header,
            )
            found += [
                at
                for at, uid in zip(part, uids, strict=True)
                if uid in summaries and matches(summaries[uid], self.dates_ns[at])
            ]
        return found

    async def _in_fields(self, key: Text, positions: Positions) -> Positions:
        by_uid = {self.uids[at]: at for at in positions}
        wanted = text.fold(key.value)
        found = await self._selected.box.matching(
            self._selected.view.name, [*by_uid], key.where.lower(), wanted
        )
        return [by_uid[uid] for uid in found]

    async def _in_files(self, key: Text, positions: Positions) -> Positions:
        by_uid = {self.uids[at]: at for at in positions}
        box, name = self._selected.box, self._selected.view.name
        uids = await box.candidates(name, [*by_uid], text.fold(key.value))
        found = await scanning.scan(box, name, uids, key)
        return [by_uid[uid] for uid in found]


def _parts(key: Key) -> Sequence[Key]:
    if isinstance(key, And):
        return key.keys
    if isinstance(key, Or):
        return key.left, key.right
    return (key.key,) if isinstance(key, Not) else ()


def span(key: When) -> tuple[int, int]:
    """Seconds since the epoch from when, and until when, a day's key holds (in UTC)."""
    begin = (key.day - _EPOCH).days * _DAY_SECONDS
    end = begin + _DAY_SECONDS
    if key.how == "BEFORE":
        return -(2**40), begin
    return (begin, end) if key.how == "ON" else (begin, 2**40)


def _summary_key(key: Key) -> Callable[[Summary, int], bool]:
    """What a key says of a message's summary, and of its arrival in nanoseconds."""
    if isinstance(key, When):
        begin, end = span(key)

        def sent(summary: Summary, date_ns: int) -> bool:
            # The day as the sender saw it, whatever the zone (RFC 9051 6.4.4, SENTON).
            at = date_ns // 1_000_000_000 if summary.sent is None else sum(summary.sent)
            return begin <= at < end

        return sent
    if isinstance(key, ObjectId):
        wanted = key.value.encode()
        return lambda summary, _: thread_id(summary) == wanted
    assert isinstance(key, Text)
    name, needle = key.where.lower().encode(), text.fold(key.value)

    def has(summary: Summary, _: int) -> bool:
        values = fields.read(summary.header, 0, len(summary.header)).get(name, ())
        return any(needle in text.fold(words.decoded(value)) for value in values)

    return has
