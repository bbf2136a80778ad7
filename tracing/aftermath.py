"""What happened to a stored copy after its delivery: where it went, who read it first (PURE)."""

from collections.abc import Sequence
from dataclasses import dataclass

from tracing import ids
from tracing.render import Document

INBOX = "INBOX"
SEEN = "\\Seen"


@dataclass(frozen=True, slots=True)
class Aftermath:
    """The last event that put the copy elsewhere or ended it, and the first that read it."""

    last: Document | None = None
    read: Document | None = None


def of(events: Sequence[Document], st: str) -> Aftermath:
    """What the events of a timeline, in order, tell of a copy and those restored from it."""
    last = read = None
    for event in events:
        kind = event["kind"]
        if kind == "restore.message" and (restored := _restored(event, st)):
            st, last = restored, event
        elif st not in copies(event):
            continue
        elif kind in ("box.move", "box.expunge", "box.vanished"):
            last = event
        elif read is None and _is_reading(event):
            read = event
    return Aftermath(last, read)


def copies(event: Document) -> set[str]:
    """The stored copies an event names."""
    fields = event["fields"]
    named = {ids.text(item[0]) for item in fields.get("items", ()) if item}
    return named | ({fields["st"]} if "st" in fields else set())


def _is_reading(event: Document) -> bool:
    """Whether a person's program fetched the text or marked it as read; a program's own is not."""
    fields = event["fields"]
    if not str(fields.get("actor", "")).startswith("user:"):
        return False
    return event["kind"] in ("box.read", "pop3.retr") or (
        event["kind"] == "box.flags" and SEEN in fields.get("added", ())
    )


def _restored(event: Document, st: str) -> str:
    """The copy that a restore made of a stored copy; "" where it made none of it."""
    pairs = zip(event["fields"].get("was", ()), event["fields"].get("items", ()), strict=False)
    return next((ids.text(item[0]) for was, item in pairs if ids.text(was) == st), "")
