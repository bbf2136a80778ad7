"""Snapshots and findings as JSON fields and as tables for a terminal."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from backup.catalog import Box, Message, Snapshot
from backup.verify import Finding, Report
from mtad.clock import from_us
from tracing import ids
from tracing.render import safe, size

SCHEMA = 1
SHOWN = 40
"""Rows of lost messages shown in full."""


def emit(document: dict[str, Any]) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps({"schema": SCHEMA, **document}, ensure_ascii=True, indent=2))


def say(sentence: str) -> None:
    """A sentence for the operator, on standard error."""
    click.echo(f"mtad: {safe(sentence)}", err=True)


def when(at: int) -> str:
    """A time as tables show it: local."""
    return f"{from_us(at).astimezone():%Y-%m-%d %H:%M:%S}" if at else "-"


def rfc3339(at: int) -> str | None:
    """A time as JSON has it."""
    return from_us(at).astimezone().isoformat() if at else None


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: str = "") -> None:
    """Columns under their heads; those whose head is in ``right`` are aligned right."""
    clean = [[safe(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *clean, strict=True)]
    for row in (heads, *clean):
        cells = [
            cell.rjust(width) if head in right.split() else cell.ljust(width)
            for head, cell, width in zip(heads, row, widths, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


class Line:
    """A line of progress on standard error, on a terminal only, ten times a second."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()
        self._next = 0.0
        self._width = 0

    def show(self, text: Callable[[], str]) -> None:
        """Show what ``text`` says, unless that was just done."""
        if self._on and time.monotonic() >= self._next:
            line = text()
            click.echo("\r" + line.ljust(self._width), nl=False, err=True)
            self._width, self._next = len(line), time.monotonic() + 0.1

    def clear(self) -> None:
        """Take the line away."""
        if self._width:
            click.echo("\r" + " " * self._width + "\r", nl=False, err=True)
            self._width = 0


def snapshot_fields(each: Snapshot) -> dict[str, Any]:
    """A snapshot as JSON has it."""
    return {
        "snapshot": each.name,
        "at": rfc3339(each.at),
        "scope": each.scope,
        "boxes": each.boxes,
        "messages": each.messages,
        "size_bytes": each.size,
        "added": each.added,
        "stored_bytes": each.stored,
        "seconds": each.seconds,
        "unread": each.unread,
        "tags": list(each.tags),
        "held": each.held,
    }


def boxes_table(boxes: Sequence[Box]) -> None:
    """A snapshot's boxes."""
    rows = [(box.address, str(box.messages), size(box.size)) for box in boxes]
    table(("BOX", "MESSAGES", "SIZE"), rows, "MESSAGES SIZE")


def message_fields(each: Message) -> dict[str, Any]:
    """A message as JSON has it."""
    entry = each.entry
    return {
        "id": ids.text(entry.m) if entry.m else None,
        "st": ids.text(entry.st) if entry.st else None,
        "uid": entry.uid,
        "flags": entry.flags,
        "keywords": list(entry.keywords),
        "size": entry.size,
        "arrived": rfc3339(each.arrived),
        "mtime_ns": entry.mtime_ns,
        "from": each.sender,
        "subject": each.subject,
        "date": rfc3339(each.date),
        "message_id": each.message_id,
        "base": entry.base.encode(errors="replace").decode(),
    }


def messages_table(messages: Sequence[Message]) -> None:
    """A mailbox's messages."""
    table(
        ("ID", "UID", "FLAGS", "ARRIVED", "SIZE", "FROM", "SUBJECT"),
        [
            (
                ids.text(each.entry.m or each.entry.st),
                str(each.entry.uid or "-"),
                each.entry.flags or "-",
                when(each.arrived),
                size(each.entry.size),
                each.sender[:40],
                each.subject[:60],
            )
            for each in messages
        ],
        "UID SIZE",
    )


def report_fields(report: Report) -> dict[str, Any]:
    """A verification as JSON has it."""
    return {
        "clean": report.is_clean,
        "read_data": report.read_data,
        "snapshots": report.snapshots,
        "packs": report.packs,
        "objects": report.objects,
        "bytes_read": report.octets,
        "relisted_packs": report.relisted,
        "sealed_packs": report.sealed,
        "findings": [
            {
                "file": finding.file,
                "offset": finding.offset,
                "what": finding.what,
                "healed": finding.healed,
                "objects": list(finding.objects),
                "messages": [
                    {
                        "snapshot": lost.snapshot,
                        "box": lost.box,
                        "mailbox": lost.mailbox,
                        "uid": lost.uid,
                        "id": ids.text(lost.m) if lost.m else None,
                        "st": ids.text(lost.st) if lost.st else None,
                        "base": lost.base.encode(errors="replace").decode(),
                    }
                    for lost in finding.messages
                ],
            }
            for finding in report.findings
        ],
    }


def show_finding(finding: Finding) -> None:
    """A damage with the objects and messages it costs."""
    where = f" at octet {finding.offset}" if finding.offset is not None else ""
    click.echo(f"{safe(finding.file)}{where}: {safe(finding.what)}")
    for object_id in finding.objects[:SHOWN]:
        click.echo(f"  object {object_id}")
    for lost in finding.messages[:SHOWN]:
        text = f"{lost.box} {lost.mailbox} UID {lost.uid} {lost.base} (snapshot {lost.snapshot})"
        click.echo(f"  lost: {safe(text)}")
    left = len(finding.objects[SHOWN:]) + len(finding.messages[SHOWN:])
    if left:
        click.echo(f"  and {left} more: --json lists all")
