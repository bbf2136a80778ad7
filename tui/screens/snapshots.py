"""Browse the mail as it was: snapshots, their boxes, mailboxes and messages."""

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult

from tracing import ids
from tui import actions, formats
from tui.data import Saved, SavedBox, SavedMailbox, SavedMessage
from tui.screens.frame import Frame
from tui.vtable import Trouble, VTable
from tui.widgets.cells import Block, Cells
from tui.work import start
from tui.world import World

Item = Saved | SavedBox | SavedMailbox | SavedMessage


KINDS: tuple[type[Item], ...] = (Saved, SavedBox, SavedMailbox, SavedMessage)
"""What is listed at each depth."""
EMPTY = (
    "no snapshot yet; make one: mtad snapshot create",
    "this snapshot holds no box",
    "this box had no mailbox",
    "this mailbox was empty",
)


class SavedLook:
    """The line of a snapshot, box, mailbox or message."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.kind: type[Item] = Saved

    def heading(self, width: int) -> str:
        """The column names of what is listed."""
        name = self._name(width - 1)
        if self.kind is Saved:
            line = f"{'Taken':<24} {'Boxes':>7} {'Messages':>10} {'New':>9} {'Stored':>8}  Scope"
        elif self.kind is SavedBox:
            line = f"{'Box':<{name}} {'Messages':>10} {'Size':>8}"
        elif self.kind is SavedMailbox:
            line = f"{'Mailbox':<{name}} {'Messages':>10}"
        else:
            who = self._sender(width - 1)
            line = f"{'Arrived':<15} {'Flags':<5} {'From':<{who}} Subject"
            line = f"{formats.fit(line, width - 9)} {'Size':>7}"
        return formats.fit(" " + line, width)

    @staticmethod
    def _name(width: int) -> int:
        return max(20, min(60, width - 32))

    @staticmethod
    def _sender(width: int) -> int:
        return min(32, (width - 30) * 2 // 5)

    def cells(self, number: int, row: "Item | None", width: int) -> Cells:
        """The line."""
        if isinstance(row, Saved):
            return [
                (formats.fit(formats.full_time(row.at, self.world.zone), 24), ""),
                (f" {formats.number(row.boxes):>7} {formats.number(row.messages):>10}", ""),
                (f" {formats.number(row.added):>9} {formats.size(row.stored):>8}  ", "dim"),
                (formats.cell(row.scope or "everything", max(0, width - 63)), "dim"),
            ]
        if isinstance(row, SavedBox):
            return [
                (formats.cell(row.address, self._name(width)), ""),
                (f" {formats.number(row.messages):>10}", ""),
                (f" {formats.size(row.octets):>8}", "dim"),
            ]
        if isinstance(row, SavedMailbox):
            return [
                (formats.cell(row.name, self._name(width)), ""),
                (f" {formats.number(row.messages):>10}", ""),
            ]
        if isinstance(row, SavedMessage):
            return self._message(row, width)
        return [(formats.fit("…", width), "dim")]

    def _message(self, row: SavedMessage, width: int) -> Cells:
        time = formats.fit(formats.day_time(row.arrived, self.world.zone), 15)
        size = f" {formats.fit(formats.size(row.octets), 7, right=True)}"
        rest = width - 15 - 7 - 8
        subject = row.subject or "(no subject)"
        who = self._sender(width)
        return [
            (time, "dim"),
            (f" {formats.cell(row.flags or '-', 5)} ", "dim"),
            (formats.cell(row.sender or "-", who) + " ", ""),
            (formats.cell(subject, rest - who - 1), ""),
            (size, "dim"),
        ]


def detail(row: "Item | None", world: World, width: int) -> list[Cells]:
    """A few lines on what the cursor is on."""
    cell = formats.cell
    if isinstance(row, Saved):
        age = formats.span(max(0, world.now_us() - row.at))
        new = formats.counted(row.added, "message", "messages")
        unread = f"; ✕ {formats.number(row.unread)} could not be read" if row.unread else ""
        return [
            [(cell(f"Snapshot {row.id}", width), "strong")],
            [(cell(f"taken {age} ago; scope: {row.scope or 'everything'}", width), "dim")],
            [(cell(f"{formats.size(row.octets)} of mail; {new} first kept here, "
                   f"{formats.size(row.stored)} added{unread}", width), "dim")],
        ]  # fmt: skip
    if isinstance(row, SavedBox):
        count = formats.counted(row.messages, "message", "messages")
        return [
            [(cell(row.address, width), "strong")],
            [(cell(f"{count}, {formats.size(row.octets)}", width), "dim")],
        ]
    if isinstance(row, SavedMailbox):
        count = formats.counted(row.messages, "message", "messages")
        return [
            [(cell(row.name, width), "strong")],
            [(cell(count, width), "dim")],
        ]
    if isinstance(row, SavedMessage):
        known = ids.text(row.m) if row.m else "not known to the log"
        words = " ".join(row.keywords)
        return [
            [(cell(row.subject or "(no subject)", width), "strong")],
            [(cell(f"from {row.sender or '?'}  {formats.full_time(row.arrived, world.zone)}  "
                   f"{formats.size(row.octets)}  flags {row.flags or 'none'} {words}", width),
              "dim")],
            [(cell(f"id {known}  UID {row.uid}  {row.message_id}", width), "dim")],
        ]  # fmt: skip
    return []


class SnapshotsScreen(Frame):
    """Screen 5: browsing only."""

    TAB = "snapshots"
    SCOPE = actions.Scope.SNAPSHOTS
    BINDINGS = actions.bindings(actions.Scope.SNAPSHOTS)
    AUTO_FOCUS = "#list"
    DEFAULT_CSS = """
    SnapshotsScreen {
        #path { height: 1; padding: 0 1; background: $surface; }
        #heading { height: 1; background: $panel; }
        #list { height: 1fr; }
        #detail { height: 4; padding: 0 1; background: $surface;
                  border-top: solid $foreground 30%; }
    }
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._look = SavedLook(world)
        self._path: list[Item] = []
        """What was opened, from the snapshot down."""
        self._cursors = [0] * len(KINDS)
        self._listed = 0
        """The depth whose rows are in the list."""

    def body(self) -> ComposeResult:
        """Where we are, the list, detail."""
        yield Block(id="path")
        yield Block(id="heading")
        yield VTable(self._look, id="list")
        yield Block(id="detail")

    @property
    def table(self) -> "VTable[Item]":
        """The list."""
        return self.query_one("#list", VTable)

    def on_mount(self) -> None:
        """Begin to read."""
        self.action_reload()

    def action_reload(self) -> None:
        """Read the present level again."""
        start(self, "read", self.reading, "level", self._read)

    async def _read(self) -> None:
        depth = len(self._path)
        try:
            rows: Sequence[Item] = await self._rows()
            self._look.kind = KINDS[depth]
            self.table.empty = EMPTY[depth]
            cursor = self._cursors[depth]
            self._listed = depth
            self.table.opens = depth < len(KINDS) - 1
            self.table.show(rows)
            self.table.move(cursor)
        except Trouble:
            self.table.empty = "cannot be read"
            self.table.show([])
            raise
        finally:
            self.settled = True
            self._show_path()
            self.refresh_bindings()

    async def _rows(self) -> Sequence[Item]:
        reading = self.world.reading
        match self._path:
            case [Saved(id=snapshot), SavedBox(address=box), SavedMailbox(name=mailbox)]:
                return await reading.saved(snapshot, box, mailbox)
            case [Saved(id=snapshot), SavedBox(address=box)]:
                return await reading.mailboxes(snapshot, box)
            case [Saved(id=snapshot)]:
                return await reading.boxes(snapshot)
            case _:
                return await reading.snapshots()

    def _show_path(self) -> None:
        names = ["Snapshots", *(self._label(item) for item in self._path)]
        pieces: list[tuple[str, str]] = []
        for name in names[:-1]:
            pieces += [(name, "dim"), (" › ", "dim")]
        pieces.append((names[-1], "strong"))
        pieces.append((f"   {formats.number(len(self.table))}", "dim"))
        self.query_one("#path", Block).put([pieces])
        heading = self._look.heading(self.table.line_width or self.app.size.width)
        self.query_one("#heading", Block).put([[(heading, "dim")]])

    def _label(self, item: Item) -> str:
        if isinstance(item, Saved):
            return formats.full_time(item.at, self.world.zone)
        if isinstance(item, SavedBox):
            return formats.clean(item.address, 60)
        return formats.clean(item.name if isinstance(item, SavedMailbox) else "", 60)

    def on_resize(self, event: events.Resize) -> None:
        """The heading is made for the width, which the list has after the layout."""
        self.call_after_refresh(self._show_path)

    def on_vtable_changed(self, event: VTable.Changed) -> None:
        """Show what the cursor is on."""
        self._cursors[self._listed] = event.table.cursor
        lines = detail(event.table.current_row, self.world, self.app.size.width - 2)
        self.query_one("#detail", Block).put(lines)
        self._show_path()

    def on_vtable_opened(self, event: VTable.Opened) -> None:
        """One level down."""
        row = event.table.row(event.number)
        if row is not None and self._listed == len(self._path) < len(KINDS) - 1:
            self._path.append(row)
            self._cursors[len(self._path)] = 0
            self.action_reload()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is offered that does nothing."""
        return bool(self._path) if action == "back" else super().check_action(action, parameters)

    def action_back(self) -> None:
        """One level up."""
        if self._path:
            self._path.pop()
            self.action_reload()
