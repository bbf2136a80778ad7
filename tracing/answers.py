"""Questions of the command line answered as plain documents.

The log role answers with these on its socket and ``mtad trace`` makes the same ones from the
files, so both print the same. ``"schema": 1``; times are RFC 3339, ids as people read them.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any

from mtad.errors import Corrupt, MtadError, Unreachable, UsageError
from mtad.where import Kept
from tracing import addresses, ids, months, saved, search
from tracing.events import to_fields
from tracing.queries import Log, Recipient, Row, Stored
from tracing.render import Document, rfc3339

SCHEMA = 1
MAX_COUNTED = 10_000
"""Messages beyond those shown that are counted."""
MAX_FAMILY = 200
"""Messages of one tree."""
MAX_LOOKED = 5_000
"""Messages looked at one by one to count them."""


def answer(directory: Kept, text: str, limit: int = 50) -> Document:
    """The timeline where ``text`` names one trace, otherwise the list it filters.

    Raises what ``readable`` raises. Takes milliseconds; call it in a thread from an event loop.
    """
    with readable(directory), contextlib.closing(Log(directory)) as log:
        trace = named(log, addresses.storable(text.strip()))
        return timeline(log, trace) if trace is not None else listing(log, text, limit)


@contextlib.contextmanager
def readable(directory: Kept) -> Iterator[None]:
    """Say failures of reading a log so that the person who asked can act on them.

    Raises UsageError with the place for a query that makes no sense, MtadError for a log of a
    later version, Unreachable for a file that cannot be read, Corrupt for one that is no log.
    """
    try:
        yield
    except search.SearchError as error:
        raise UsageError(f"{error}\n{error.caret}") from error
    except months.NewerVersion as error:
        raise MtadError(str(error)) from error
    except sqlite3.OperationalError as error:
        raise Unreachable(f"cannot read the log in {directory}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise Corrupt(f"a file of the log in {directory} is damaged: {error}") from error


def named(log: Log, text: str) -> int | None:
    """The one trace that an id, its beginning (6 characters) or a ``<Message-ID>`` names."""
    if text.startswith("<") and text.endswith(">") and len(text) > 2 and " " not in text:
        matcher: search.Matcher = search.MessageId(text[1:-1])
    else:
        abbreviated = search.ids_from(text)
        if abbreviated is None:
            return None
        whole = ids.parse(text)
        if whole is not None and (log.rows([whole]) or log.timeline(whole)):
            return whole
        matcher = abbreviated
    found = log.ids(search.Query("", (search.Term(matcher, False, text),)), 2)
    return found[0] if len(found) == 1 else None


def listing(log: Log, text: str, limit: int) -> Document:
    """The newest messages that match, and how many older ones do."""
    query = saved.parse(log.place, text)
    page = log.page(query, limit, MAX_COUNTED, MAX_LOOKED)
    rows = log.rows(page.ids)
    return {
        "schema": SCHEMA,
        "query": query.text,
        "messages": [message(rows[m]) for m in page.ids if m in rows],
        "left_out": page.older,
        "more": page.more,
    }


def timeline(log: Log, trace: int) -> Document:
    """Everything known of one trace; ``message`` is None for what is no message."""
    row = log.rows([trace]).get(trace)
    shown = None
    if row is not None:
        recipients = [_recipient(one) for one in log.recipients(trace)]
        shown = {**message(row), "recipient_list": recipients}
    return {
        "schema": SCHEMA,
        "trace": ids.text(trace),
        "message": shown,
        "events": [happened(one) for one in log.timeline(trace)],
    }


def tree(directory: Kept, text: str) -> Document:
    """All messages that came of one another, oldest first, each with its timeline.

    ``messages`` is empty where ``text`` names no message. Raises what ``readable`` raises.
    """
    with readable(directory), contextlib.closing(Log(directory)) as log:
        trace = named(log, addresses.storable(text.strip()))
        if trace is None:
            trace = next(iter(log.ids(saved.parse(directory, text), 1)), 0)
        family = log.family(trace, MAX_FAMILY + 1)
        return {
            "schema": SCHEMA,
            "asked": ids.text(trace) if family else "",
            "more": len(family) > MAX_FAMILY,
            "messages": [
                {
                    "parent": ids.text(kin.parent) if kin.parent else "",
                    "rel": kin.rel,
                    **timeline(log, kin.id),
                }
                for kin in family[:MAX_FAMILY]
            ],
        }


def happened(stored: Stored) -> Document:
    """An event with its place in the log."""
    event = stored.event
    fields = to_fields(event)
    return {
        "at": rfc3339(event.at),
        "kind": fields.pop("kind") if fields.get("kind") != "unknown" else fields["was"],
        "outcome": event.outcome.value,
        "text": str(event),
        "trace": ids.text(event.trace),
        "month": stored.month,
        "seq": stored.seq,
        "fields": _shown(fields),
    }


def _shown(fields: dict[str, Any]) -> dict[str, Any]:
    """An event's own fields with ids as people read them."""
    for name in ("at", "trace"):
        fields.pop(name, None)
    for name in ("cn", "st"):
        if isinstance(fields.get(name), int):
            fields[name] = ids.text(fields[name])
    if "also" in fields:
        fields["also"] = [ids.text(trace) for trace in fields["also"]]
    return fields


def message(row: Row) -> Document:
    """A message as lists show it."""
    return {
        "id": ids.text(row.id),
        "at": rfc3339(row.at),
        "state": row.state.word,
        "direction": ("in", "submitted", "made here")[row.direction],
        "from": row.sender,
        "to": list(row.recipients),
        "recipients": row.nrcpt,
        "subject": row.subject,
        "size": row.size,
        "message_id": row.message_id,
        "header_from": row.header_from,
        "ip": row.ip,
        "helo": row.helo,
    }


def _recipient(one: Recipient) -> Document:
    return {
        "n": one.n,
        "address": one.addr,
        "original": one.original,
        "state": one.state.word,
        "code": one.code,
        "enhanced": one.enh,
        "reply": one.reply,
        "stored": ids.text(one.st) if one.st else "",
        "mailbox": one.mailbox,
        "tries": one.tries,
        "next_try": rfc3339(one.next_try) if one.next_try else "",
        "at": rfc3339(one.at),
    }
