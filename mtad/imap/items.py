"""What FETCH answers for each item, and where it comes from (RFC 9051 6.4.5 and 7.5.2).

Some is in memory, some is cached beside the index, the rest is in the files themselves.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from time import gmtime

from mtad.imap import batches, write
from mtad.imap.batches import Batch, Column
from mtad.imap.commands import Item
from mtad.imap.dates import MONTHS
from mtad.imap.reading import SECTIONS, Reading, label, partly
from mtad.mime import fields
from mtad.store.cache_rendering import Summary
from tracing import ids

HEADERS = ("HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT")
DAY = 86_400
MESSAGE_ID = re.compile(rb"<[^<>\s]+>")


@dataclass(frozen=True, slots=True)
class Plan:
    """How lines are made: their columns, and what they need besides the view."""

    columns: Sequence[Column]
    outline: bool
    """Whether a summary's envelope or structure is wanted."""
    keys: bool
    """Whether its preview is."""
    header: bool
    fields: Sequence[Item]
    """Items that are some fields of the header."""
    reading: Reading | None

    @property
    def is_cached(self) -> bool:
        """Whether it takes summaries."""
        return self.outline or self.keys or self.header


def plan(items: Iterable[Item]) -> Plan:
    """What it takes to answer ``items``, each of which is there once."""
    items = list(items)
    read = [item for item in items if _is_read(item)]
    if read:
        # Its file is opened in any case.
        read = [item for item in items if _is_read(item) or _is_header(item)]
    columns: list[Column] = []
    for item in items:
        if item in read:
            values: Callable[[Batch], Sequence[object]] = partial(_read, read.index(item))
            columns.append((label(item).replace(b"%", b"%%") + b" %b", values))
        elif _is_header(item):
            value = _fields if item.section.fields else _header
            columns.append((label(item).replace(b"%", b"%%") + b" %b", partial(value, item)))
        elif item.name in CACHED:
            cached = partial(_cached, CACHED[item.name])
            columns.append((item.name.encode() + b" %b", cached))
        else:
            columns.append(MEMORY[item.name])
    others = [item for item in items if item not in read]
    headers = [item for item in others if _is_header(item)]
    return Plan(
        columns,
        any(item.name in ("ENVELOPE", "BODY", "BODYSTRUCTURE") for item in others),
        any(item.name == "PREVIEW" for item in others),
        any(item.name == "THREADID" for item in others)
        or any(not item.section.fields for item in headers),
        [item for item in headers if item.section.fields],
        Reading(read) if read else None,
    )


def _is_header(item: Item) -> bool:
    """Whether it is of the message's own header."""
    of = SECTIONS.get(item.name, item.section)
    is_text = item.name == "BODY[]" or item.name in SECTIONS
    return is_text and not of.part and of.what in HEADERS


def _is_read(item: Item) -> bool:
    """Whether it stands in the message's file only."""
    return item.name not in MEMORY and item.name not in CACHED and not _is_header(item)


# ------------------------------------------------------------------- in memory


@lru_cache(1024)
def _day(number: int) -> bytes:
    at = gmtime(number * DAY)
    return f"{at.tm_mday:2}-{MONTHS[at.tm_mon - 1]}-{at.tm_year:04}".encode()


def moment(at: int) -> bytes:
    """A quoted date and time of seconds since the epoch."""
    day, second = divmod(at, DAY)
    minute, second = divmod(second, 60)
    return b'"%b %02d:%02d:%02d +0000"' % (_day(day), *divmod(minute, 60), second)


def _sizes(batch: Batch) -> Sequence[int]:
    return batch.column(batch.selected.view.sizes)


def _dates(batch: Batch) -> Sequence[bytes]:
    return [moment(at // 1_000_000_000) for at in batch.column(batch.selected.view.dates_ns)]


def _saved(batch: Batch) -> Sequence[bytes]:
    return [moment(at // 1_000_000) for at in batch.column(batch.selected.view.saved)]


def _emails(batch: Batch) -> Sequence[bytes]:
    return [ids.text(email).encode() for email in batch.column(batch.selected.view.emails)]


MEMORY: dict[str, Column] = {
    "UID": batches.UID,
    "FLAGS": batches.FLAGS,
    "MODSEQ": batches.MODSEQ,
    "RFC822.SIZE": (b"RFC822.SIZE %d", _sizes),
    "INTERNALDATE": (b"INTERNALDATE %b", _dates),
    "SAVEDATE": (b"SAVEDATE %b", _saved),
    "EMAILID": (b"EMAILID (%b)", _emails),
}


# -------------------------------------------------------------------- summaries


def _cached(value: Callable[[Summary], bytes], batch: Batch) -> Sequence[bytes]:
    summaries = batch.found.summaries
    return [value(summaries[uid]) for uid in batch.uids]


def _header(item: Item, batch: Batch) -> Sequence[bytes]:
    summaries = batch.found.summaries
    return [write.literal(partly(item, summaries[uid].header)) for uid in batch.uids]


def _fields(item: Item, batch: Batch) -> Sequence[bytes]:
    fields = batch.found.fields[item]
    return [write.literal(partly(item, fields[uid])) for uid in batch.uids]


def _thread(summary: Summary) -> bytes:
    found = thread_id(summary)
    return b"(%b)" % found if found else b"NIL"


def thread_id(summary: Summary) -> bytes:
    """THREADID (RFC 8474 5.2): one for all that go back to the same message; it never changes.

    Empty for a message that names none, not even itself.
    """
    header = fields.read(summary.header, 0, len(summary.header))
    for name in (b"references", b"in-reply-to", b"message-id"):
        found = MESSAGE_ID.search(fields.first(header, name) or b"")
        if found:
            return b"T" + sha256(found[0]).hexdigest()[:24].encode()
    return b""


CACHED: dict[str, Callable[[Summary], bytes]] = {
    "ENVELOPE": lambda summary: summary.envelope,
    "BODY": lambda summary: summary.body,
    "BODYSTRUCTURE": lambda summary: summary.bodystructure,
    "PREVIEW": lambda summary: write.string(summary.preview),
    "THREADID": _thread,
}


# ------------------------------------------------------------------------ files


def _read(at: int, batch: Batch) -> Sequence[bytes | write.Long]:
    read = batch.found.read
    return [read[uid][at] for uid in batch.uids]
