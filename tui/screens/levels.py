"""What is listed at each depth of a snapshot: its columns, its lines, a few words on a row."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tracing import ids
from tui import formats
from tui.formats import counted, number, size
from tui.lang import N_, _
from tui.widgets.cells import Cells
from tui.widgets.columns import Column, Columns

if TYPE_CHECKING:
    from backup.catalog import Box, Mailbox, Message, Snapshot


class Level(Columns[Any]):
    """A list's look, and what is said of the row under the cursor."""

    def name(self, row: Any) -> str:
        """What a row is called in the path above the list."""
        return self.texts(row, ())[0]

    def about(self, row: Any) -> Sequence[str]:
        """A few lines on a row."""
        first, *rest = self.texts(row, ())
        names = [_(column[0]).lower() for column in self.columns(0)[1:]]
        return first, "  ".join(map(" ".join, zip(names, rest, strict=True))).rstrip()

    def detail(self, row: Any, width: int) -> Sequence[Cells]:
        """The lines of the pane below the list."""
        lines = [formats.cell(line, width) for line in self.about(row)]
        return [[(line, "dim" if index else "strong")] for index, line in enumerate(lines)]


class Snapshots(Level):
    """All snapshots."""

    EMPTY = N_("no snapshot yet; make one: mtad snapshot create")

    def columns(self, width: int) -> Sequence[Column]:
        """The scope has what is left."""
        return (
            (N_("Taken"), 24, ""), (N_("Boxes"), -7, ""), (N_("Messages"), -10, ""),
            (N_("New"), -9, "dim"), (N_("Stored"), -8, "dim"), (N_("Scope"), 0, "dim"),
        )  # fmt: skip

    def texts(self, row: "Snapshot", widths: Sequence[int]) -> Sequence[str]:
        """When, how much, of what."""
        taken = formats.full_time(row.at, self.world.zone)
        counts = number(row.boxes), number(row.messages), number(row.added)
        return taken, *counts, size(row.stored), row.scope

    def about(self, row: "Snapshot") -> Sequence[str]:
        """Name, age, what it took."""
        age = formats.age(self.world.now_us() - row.at)
        unread = "; ✕ " + _("{} could not be read").format(number(row.unread)) if row.unread else ""
        first = counted(row.added, "{} message first kept here", "{} messages first kept here")
        new = f"{first}, {_('{} added').format(size(row.stored))}"
        return (
            _("Snapshot {}").format(row.name),
            _("taken {} ago; scope: {}").format(age, row.scope),
            f"{_('{} of mail').format(size(row.size))}; {new}{unread}",
        )


class Boxes(Level):
    """The boxes of a snapshot."""

    EMPTY = N_("this snapshot holds no box")

    def columns(self, width: int) -> Sequence[Column]:
        """The figures stand beside the name."""
        name = max(20, min(60, width - 32))
        return (
            (N_("Box"), name, ""),
            (N_("Messages"), -10, ""),
            (N_("Size"), -8, "dim"),
            ("", 0, ""),
        )

    def texts(self, row: "Box", widths: Sequence[int]) -> Sequence[str]:
        """Whose, how much."""
        return row.address, number(row.messages), size(row.size), ""


class Mailboxes(Level):
    """The mailboxes of a box."""

    EMPTY = N_("this box had no mailbox")

    def columns(self, width: int) -> Sequence[Column]:
        """The figure stands beside the name."""
        return (
            (N_("Mailbox"), max(20, min(60, width - 32)), ""),
            (N_("Messages"), -10, ""),
            ("", 0, ""),
        )

    def texts(self, row: "Mailbox", widths: Sequence[int]) -> Sequence[str]:
        """Which, how many."""
        return row.name, number(row.messages), ""


class Messages(Level):
    """The messages of a mailbox."""

    EMPTY = N_("this mailbox was empty")

    def columns(self, width: int) -> Sequence[Column]:
        """The subject has what is left."""
        sender = min(32, (width - 30) * 2 // 5)
        return (
            (N_("Arrived"), 15, "dim"), (N_("Flags"), 5, "dim"), (N_("From"), sender, ""),
            (N_("Subject"), 0, ""), (N_("Size"), -7, "dim"),
        )  # fmt: skip

    def texts(self, row: "Message", widths: Sequence[int]) -> Sequence[str]:
        """When, from whom, what about."""
        arrived = formats.day_time(row.arrived, self.world.zone)
        subject = row.subject or _("(no subject)")
        return arrived, row.entry.flags or "-", row.sender or "-", subject, size(row.entry.size)

    def about(self, row: "Message") -> Sequence[str]:
        """The whole subject, flags and keywords, every id."""
        entry = row.entry
        known = ids.text(entry.m) if entry.m else _("not known to the log")
        words = f"{_('flags')} {entry.flags or _('none')} {' '.join(entry.keywords)}"
        arrived = formats.full_time(row.arrived, self.world.zone)
        return (
            row.subject or _("(no subject)"),
            f"{_('from')} {row.sender or '?'}  {arrived}  {size(entry.size)}  {words}",
            f"id {known}  UID {entry.uid}  {row.message_id}",
        )


LEVELS = (Snapshots, Boxes, Mailboxes, Messages)
"""By depth."""
