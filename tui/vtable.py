"""A list with a cursor; only the lines on the screen are ever made.

``Columns`` say how a row becomes a line; ``tui.stream`` has the list whose rows are read
while one looks at it.
"""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui import actions
from tui.lang import _
from tui.source import Trouble
from tui.vector import Vector
from tui.widgets.cells import Cells, strip
from tui.widgets.columns import Columns

R = TypeVar("R")

MARK = "▌"


class Told(Message):
    """What a list says of itself."""

    def __init__(self, table: "VTable[Any]") -> None:
        super().__init__()
        self.table = table


class VTable(ScrollView, Generic[R], can_focus=True):
    """The list; ``empty`` is the sentence shown when there is nothing."""

    BINDINGS = actions.bindings(actions.Scope.LIST)
    COMPONENT_CLASSES = {"vtable--cursor"}  # noqa: RUF012 - Textual's own form
    DEFAULT_CSS = """
    VTable {
        background: $background;
        color: $foreground;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        & > .vtable--cursor { background: $surface-lighten-1; }
        &:focus > .vtable--cursor { background: $primary-muted; }
        &.-stale { text-style: dim; }
    }
    """

    class Opened(Told):
        """A row was opened with enter or a second click."""

        def __init__(self, table: "VTable[Any]", row: Any) -> None:
            super().__init__(table)
            self.row = row

    class Changed(Told):
        """The cursor is on another row, or the list has other ids, rows or width."""

    def __init__(self, look: Columns[R], *, id: str | None = None, opens: bool = True) -> None:
        super().__init__(id=id)
        self.look = look
        self.empty = look.EMPTY
        self.opens = opens
        """Whether a row has something to open."""
        self.complete = False
        """Whether all of it is here (up to the cap)."""
        self.cursor = 0
        self.vector: Vector[R] = Vector({})
        self.trouble = ""
        """Why it could not be read, or not all of it."""

    # ------------------------------------------------------------- contents

    def __len__(self) -> int:
        return len(self.vector)

    def __bool__(self) -> bool:
        return True

    @property
    def current(self) -> int | None:
        """The id under the cursor."""
        return self.vector.at(self.cursor)

    @property
    def current_row(self) -> R | None:
        """The row under the cursor; None when there is none or it is being read."""
        number = self.current
        return None if number is None else self.row(number)

    @property
    def line_width(self) -> int:
        """Cells of a line, the cursor's mark included and the scroll bar not."""
        return self.scrollable_content_region.width

    @property
    def heading(self) -> Sequence[Cells]:
        """The column names, for a pane above the list."""
        return [[(self.look.heading(self.line_width or self.app.size.width), "dim")]]

    def row(self, number: int) -> R | None:
        """A row that has been read."""
        return self.vector.rows.get(number)

    def show(self, rows: Sequence[R]) -> None:
        """A list that is in memory already; ids are positions, counted down to 0.

        The cursor stays on its row, and the row where it is on the screen unless the list is
        at its top: what comes there is to be seen.
        """
        held, top = self.current_row, self.scroll_offset.y
        above = self.cursor - top
        vector = Vector(dict(enumerate(reversed(rows))))
        vector.ids.extend(range(len(rows) - 1, -1, -1))
        self._begin(vector)
        self._finish()
        if held in rows:
            self.cursor = rows.index(held)
            if top:
                self.scroll_to(y=self.cursor - above, animate=False, immediate=True)
            self._into_view()

    def fail(self, trouble: Trouble) -> None:
        """It could not be read: what is there stays, and where nothing is that is said."""
        self.trouble = str(trouble)
        self._finish()

    def _begin(self, vector: Vector[R]) -> None:
        """Show another list from its top."""
        self.vector, self.cursor, self.trouble = vector, 0, ""
        self.remove_class("-stale")
        self.scroll_to(y=0, animate=False, immediate=True)

    def _finish(self) -> None:
        self.complete = True
        self.remove_class("-stale")
        self._resized()

    def _resized(self) -> None:
        self.virtual_size = Size(self.line_width, len(self))
        self.refresh()
        self.post_message(self.Changed(self))

    # ------------------------------------------------------------- painting

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        width = self.line_width
        index = self.scroll_offset.y + y
        number = self.vector.at(index)
        if number is None:
            return self._notice(y, width)
        here = index == self.cursor
        cells = self.look.cells(number, self.row(number), width - 1)
        return self._strip([(MARK if here else " ", ""), *cells], width, here)

    def _notice(self, y: int, width: int) -> Strip:
        text = ""
        if y == 1 and not len(self):
            text = _(self.empty) if self.complete else _("reading …")
            text = _("cannot be read") if self.trouble else text
        return self._strip([(" ", ""), (text, "dim")], width, False)

    def _strip(self, cells: Cells, width: int, here: bool) -> Strip:
        base = self.rich_style
        if here:
            base += Style(bgcolor=self.get_component_rich_style("vtable--cursor").bgcolor)
        return strip(self, cells, width, base)

    def on_resize(self) -> None:
        """Lines are cut to the width."""
        self._resized()
        self._into_view()

    # ------------------------------------------------------------- moving

    def move(self, to: int) -> None:
        """Put the cursor on a row and the row on the screen."""
        before, self.cursor = self.cursor, max(0, min(to, len(self) - 1))
        if self.cursor != before:
            self.refresh_line(before)
            self.refresh_line(self.cursor)
        self._into_view()
        self.post_message(self.Changed(self))

    def _into_view(self) -> None:
        top, height = self.scroll_offset.y, max(1, self.size.height)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, immediate=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, immediate=True)

    def action_cursor(self, by: int) -> None:
        """Move by rows."""
        self.move(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move by pages; the cursor keeps its place on the screen where it can."""
        height = max(1, self.size.height)
        target = max(0, min(self.cursor + by * height, len(self) - 1))
        self.scroll_to(y=self.scroll_offset.y + by * height, animate=False, immediate=True)
        self.move(target)

    def action_first(self) -> None:
        """To the first row."""
        self.move(0)

    def action_last(self) -> None:
        """To the last row."""
        self.move(len(self) - 1)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is offered that does nothing."""
        return self.opens if action == "open" else super().check_action(action, parameters)

    def action_open(self) -> None:
        """Open the row under the cursor."""
        row = self.current_row
        if row is not None:
            self.post_message(self.Opened(self, row))

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor; one more on the same row opens it."""
        index = self.scroll_offset.y + event.y
        if index < len(self):
            if index == self.cursor and event.chain == 2:
                self.action_open()
            else:
                self.move(index)
