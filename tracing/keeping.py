"""Which snapshot has a message that is gone from its box, by what the log tells of snapshots."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime

from mtad.where import Kept
from tracing import answers, ids
from tracing.events import BackupDone, BackupForgot, BackupStart, Event
from tracing.queries import Log
from tracing.render import Document

_GONE = ("box.expunge", "box.vanished")


def add(directory: Kept, documents: list[Document]) -> None:
    """Put into each timeline ``kept``: for each act that ended a copy, the snapshot that has it.

    The key is the act's month/seq, the value "" where no snapshot has it.
    """
    acts = [(document, act) for document in documents for act in _acts(document)]
    if not acts:
        return
    with answers.readable(directory), closing(Log(directory)) as log:
        for document, act in acts:
            kept = document.setdefault("kept", {})
            kept[f"{act['month']}/{act['seq']}"] = _snapshot(log, document, act)


def _acts(document: Document) -> Iterator[Document]:
    return (event for event in document["events"] if event["kind"] in _GONE)


def _snapshot(log: Log, document: Document, act: Document) -> str:
    """The last snapshot of the box that began after the delivery and ended before the act."""
    box = str(act["fields"].get("addr", ""))
    scopes = ("all boxes", f"box {box}", f"domain {box.rpartition('@')[2]}")
    since = _since(document, box)
    before = act["month"], act["seq"]

    def covers(done: Event) -> bool:
        return ids.time_us(done.trace) >= since and any(
            isinstance(one.event, BackupStart) and one.event.scope in scopes
            for one in log.timeline(done.trace)
        )

    for one in log.latest(("backup.done",), since, covers, before, step=1):
        if isinstance(one.event, BackupDone):
            name = now_called(log, one.event.snapshot, box, since)
            if name:
                return name
    return ""


def now_called(log: Log, snapshot: str, box: str, since: int) -> str:
    """What a snapshot is called now; "" for one that was forgotten, or has the box no more."""
    forgotten = {
        one.event.snapshot: one.event
        for one in log.latest(("backup.forgot",), since, lambda _: True)
        if isinstance(one.event, BackupForgot)
    }
    while snapshot in forgotten:
        last = forgotten.pop(snapshot)
        snapshot = "" if box in last.boxes else last.became
    return snapshot


def _since(document: Document, box: str) -> int:
    """When the message came into the box, microseconds."""
    for event in document["events"]:
        if event["kind"] == "store.delivered" and event["fields"].get("addr") == box:
            return round(datetime.fromisoformat(event["at"]).timestamp() * 1_000_000)
    return round(datetime.fromisoformat(document["message"]["at"]).timestamp() * 1_000_000)
