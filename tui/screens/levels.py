"""What is listed at each depth of a snapshot: its columns, its lines, a few words on a row."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tracing import ids
from tui import formats
from tui.formats import counted, number, size
from tui.widgets.cells import Cells
from tui.widgets.columns import Column, Columns

if TYPE_CHECKING:
    from backup.catalog import Box, Mailbox, Message, Snapshot


class Level(Columns[Any]):
    """A list's look, and what is said of the row under the cursor."""

    def about(self, row: Any) -> Sequence[str]:
        """A few lines on a row."""
        first, *rest = self.texts(row, ())
        names = [name.lower() for name, *_ in self.columns(0)[1:]]
        return first, "  ".join(map(" ".join, zip(names, rest, strict=True))).rstrip()

    def detail(self, row: Any, width: int) -> Sequence[Cells]:
        """The lines of the pane below the list."""
        lines = [formats.cell(line, width) for line in self.about(row)] if row is not None else []
        return [[(line, "dim" if index else "strong")] for index, line in enumerate(lines)]


class Snapshots(Level):
    """All snapshots."""

    EMPTY = "no snapshot yet; make one: mtad snapshot create"

    def columns(self, width: int) -> Sequence[Column]:
        """The scope has what is left."""
        return (
            ("Taken", 24, ""), ("Boxes", -7, ""), ("Messages", -10, ""),
            ("New", -9, "dim"), ("Stored", -8, "dim"), ("Scope", 0, "dim"),
        )  # fmt: skip

    def texts(self, row: "Snapshot", widths: Sequence[int]) -> Sequence[str]:
        """When, how much, of what."""
        taken = formats.full_time(row.at, self.world.zone)
        counts = number(row.boxes), number(row.messages), number(row.added)
        return taken, *counts, size(row.stored), row.scope

    def about(self, row: "Snapshot") -> Sequence[str]:
        """Name, age, what it took."""
        age = formats.age(self.world.now_us() - row.at)
        unread = f"; ✕ {number(row.unread)} could not be read" if row.unread else ""
        new = f"{counted(row.added, 'message')} first kept here, {size(row.stored)} added"
        return (
            f"Snapshot {row.name}",
            f"taken {age} ago; scope: {row.scope}",
            f"{size(row.size)} of mail; {new}{unread}",
        )


class Boxes(Level):
    """The boxes of a snapshot."""

    EMPTY = "this snapshot holds no box"

    def columns(self, width: int) -> Sequence[Column]:
        """The figures stand beside the name."""
        name = max(20, min(60, width - 32))
        return ("Box", name, ""), ("Messages", -10, ""), ("Size", -8, "dim"), ("", 0, "")

    def texts(self, row: "Box", widths: Sequence[int]) -> Sequence[str]:
        """Whose, how much."""
        return row.address, number(row.messages), size(row.size), ""


class Mailboxes(Level):
    """The mailboxes of a box."""

    EMPTY = "this box had no mailbox"

    def columns(self, width: int) -> Sequence[Column]:
        """The figure stands beside the name."""
        return ("Mailbox", max(20, min(60, width - 32)), ""), ("Messages", -10, ""), ("", 0, "")

    def texts(self, row: "Mailbox", widths: Sequence[int]) -> Sequence[str]:
        """Which, how many."""
        return row.name, number(row.messages), ""


class Messages(Level):
    """The messages of a mailbox."""

    EMPTY = "this mailbox was empty"

    def columns(self, width: int) -> Sequence[Column]:
        """The subject has what is left."""
        sender = min(32, (width - 30) * 2 // 5)
        return (
            ("Arrived", 15, "dim"), ("Flags", 5, "dim"), ("From", sender, ""),
            ("Subject", 0, ""), ("Size", -7, "dim"),
        )  # fmt: skip

    def texts(self, row: "Message", widths: Sequence[int]) -> Sequence[str]:
        """When, from whom, what about."""
        arrived = formats.day_time(row.arrived, self.world.zone)
        subject = row.subject or "(no subject)"
        return arrived, row.entry.flags or "-", row.sender or "-", subject, size(row.entry.size)

    def about(self, row: "Message") -> Sequence[str]:
        """The whole subject, flags and keywords, every id."""
        entry = row.entry
        known = ids.text(entry.m) if entry.m else "not known to the log"
        words = f"flags {entry.flags or 'none'} {' '.join(entry.keywords)}"
        arrived = formats.full_time(row.arrived, self.world.zone)
        return (
            row.subject or "(no subject)",
            f"from {row.sender or '?'}  {arrived}  {size(entry.size)}  {words}",
            f"id {known}  UID {entry.uid}  {row.message_id}",
        )


LEVELS = (Snapshots, Boxes, Mailboxes, Messages)
"""By depth."""
