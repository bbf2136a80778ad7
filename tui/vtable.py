"""A list of any length: only the rows on the screen exist, all ids do.

The list is a vector of ids, highest first, read in chunks: the first chunk paints at once,
the rest comes in the background and makes the scroll bar exact. Rows are fetched for the
visible page and its neighbours and kept in a bounded cache; painting a line only formats.
Ids that come later are merged in without moving what the person looks at.

A ``RowSource`` says where ids and rows come from, a ``Look`` how a row becomes cells. Text
in cells must be clean and fitted already (``tui.formats``); roles name styles, not colours.
"""

import asyncio
from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from operator import neg
from typing import Any, Generic, Protocol, TypeVar

from rich.style import Style
from textual import events
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui import actions
from tui.widgets.cells import ROLES, Cells, strip
from tui.work import start

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
R_contra = TypeVar("R_contra", contravariant=True)

CAP = 2_000_000
"""Ids held at most (16 MB); beyond it the list says that it is cut."""
ROWS_KEPT = 4000
STRIPS_KEPT = 2000
MARK = "▌"


class Trouble(Exception):
    """Reading failed; the text is one sentence for the person at the screen."""


class RowSource(Protocol[R_co]):
    """Where a list comes from. Every method raises ``Trouble`` with a sentence."""

    def id_chunks(self) -> AsyncIterator["array[int]"]:
        """All ids, highest first; a small chunk first."""
        ...

    async def rows(self, ids: Sequence[int]) -> Mapping[int, R_co]:
        """The rows of some ids; one that is gone is left out."""
        ...

    async def newer(self, after: int) -> "array[int]":
        """Ids above ``after``, highest first."""
        ...


class Look(Protocol[R_contra]):
    """How a list is shown."""

    def heading(self, width: int) -> str:
        """The line above the list, exactly ``width`` cells."""
        ...

    def cells(self, number: int, row: R_contra | None, width: int) -> Cells:
        """A line of ``width`` cells; ``row`` is None while it is being read."""
        ...


class Told(Message):
    """What a list says of itself."""

    def __init__(self, table: "VTable[Any]") -> None:
        super().__init__()
        self.table = table

    @property
    def control(self) -> "VTable[Any]":
        """The list."""
        return self.table


class VTable(ScrollView, Generic[R], can_focus=True):
    """The list. Set ``empty`` to the sentence shown when there is nothing."""

    BINDINGS = actions.bindings(actions.Scope.LIST)
    COMPONENT_CLASSES = {  # noqa: RUF012 - Textual's own form
        "vtable--cursor",
        *(f"cells--{role}" for role in ROLES),
    }
    DEFAULT_CSS = """
    VTable {
        background: $background;
        color: $foreground;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        & > .cells--dim { color: $foreground-darken-3; }
        & > .cells--strong { text-style: bold; }
        & > .cells--good { color: $text-success; }
        & > .cells--wait { color: $text-warning; }
        & > .cells--bad { color: $text-error; }
        & > .cells--mark { text-style: bold reverse; }
        & > .vtable--cursor { background: $surface-lighten-1; }
        &:focus > .vtable--cursor { background: $primary-muted; }
        &.-stale { text-style: dim; }
    }
    """

    class Opened(Told):
        """A row was opened with enter or a second click."""

        def __init__(self, table: "VTable[Any]", number: int) -> None:
            super().__init__(table)
            self.number = number

    class Changed(Told):
        """The cursor is on another row, or the list has other ids, states or width."""

    class Failed(Told):
        """Reading failed; the list keeps what it has."""

        def __init__(self, table: "VTable[Any]", sentence: str) -> None:
            super().__init__(table)
            self.sentence = sentence

    def __init__(self, look: Look[R], *, id: str | None = None, empty: str = "") -> None:
        super().__init__(id=id)
        self.look = look
        self.empty = empty
        self.opens = True
        """Whether a row has something to open."""
        self.complete = False
        """Whether all ids are here (up to the cap)."""
        self.cut = False
        """Whether there were more than the cap."""
        self.cursor = 0
        self._source: RowSource[R] | None = None
        self._ids = array("q")
        self._rows: LRUCache[int, R] = LRUCache(ROWS_KEPT)
        self._strips: LRUCache[tuple[int, bool, bool, int], Strip] = LRUCache(STRIPS_KEPT)
        self._fetching = False
        self._failed = False
        self._pinned: Mapping[int, R] | None = None

    # ------------------------------------------------------------- contents

    def __len__(self) -> int:
        return len(self._ids)

    def __bool__(self) -> bool:
        return True

    @property
    def newest(self) -> int:
        """The highest id, 0 when there is none."""
        return self._ids[0] if self._ids else 0

    @property
    def current(self) -> int | None:
        """The id under the cursor."""
        return self._ids[self.cursor] if self.cursor < len(self._ids) else None

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
    def at_top(self) -> bool:
        """Whether the first row is under the cursor and on the screen."""
        return self.cursor == 0 and round(self.scroll_y) == 0

    def row(self, number: int) -> R | None:
        """A row that has been read."""
        if self._pinned is not None:
            return self._pinned.get(number)
        return self._rows.get(number)

    def show(self, rows: Sequence[R]) -> None:
        """A list that is in memory already; ids are positions, counted down to 0."""
        self.workers.cancel_group(self, "ids")
        last = len(rows) - 1
        self._pinned = {last - index: row for index, row in enumerate(rows)}
        self._begin(None)
        self._ids.extend(range(last, -1, -1))
        self._finish()

    def load(self, source: RowSource[R], then: Callable[[], None] | None = None) -> None:
        """Replace the list; the present one stays, dimmed, until the first ids are here."""
        start(self, "ids", self._load, source, then)

    async def _load(self, source: RowSource[R], then: Callable[[], None] | None) -> None:
        begun = False
        self.complete = False
        self.add_class("-stale")
        try:
            async with aclosing(source.id_chunks()) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    if not begun:
                        first = await source.rows(chunk[: 2 * max(self.size.height, 20)])
                        self._pinned = None
                        self._begin(source)
                        for number, row in first.items():
                            self._rows[number] = row
                        begun = True
                    self._ids.extend(chunk[: CAP - len(self._ids)])
                    self.cut = len(self._ids) >= CAP
                    self._resized()
                    if self.cut:
                        break
            if not begun:
                self._pinned = None
                self._begin(source)
        except Trouble as trouble:
            self._failed = True
            self.post_message(self.Failed(self, str(trouble)))
        finally:
            self._finish()
        if then is not None:
            then()

    def _begin(self, source: RowSource[R] | None) -> None:
        self._source = source
        self._ids = array("q")
        self._rows.clear()
        self._strips.clear()
        self.cut = self._failed = False
        self.cursor = 0
        self.remove_class("-stale")
        self._resized()
        self.scroll_to(y=0, animate=False, immediate=True)

    def _finish(self) -> None:
        self.complete = True
        self.remove_class("-stale")
        self._resized()

    def _resized(self) -> None:
        self.virtual_size = Size(self.line_width, len(self._ids))
        self.refresh()
        self.post_message(self.Changed(self))

    async def poll(self, after: int, *, follow: bool) -> int:
        """Merge ids above ``after`` in and read the visible rows again; how many were new.

        With ``follow`` the first row is shown afterwards; without, what is on the screen and
        the cursor stay on the same messages. Raises Trouble.
        """
        source = self._source
        if source is None:
            return 0
        fresh = await source.newer(after)
        if source is not self._source:
            return 0
        added = self._merge(fresh)
        if added and follow:
            self.cursor = 0
            self.scroll_to(y=0, animate=False, immediate=True)
        shown = self._window(0)
        rows = await source.rows(shown) if shown else {}
        if source is self._source:
            self._keep(rows, shown)
        return added

    def _merge(self, fresh: Sequence[int]) -> int:
        """Put further ids in their places; the cursor and the view stay on their rows."""
        if not fresh:
            return 0
        cut = self._index(min(fresh) - 1)
        front = sorted({*self._ids[:cut], *fresh}, reverse=True)
        added = len(front) - cut
        if not added:
            return 0
        held = self.current
        top = round(self.scroll_y)
        seen = self._ids[top] if top < len(self._ids) else None
        self._ids[:cut] = array("q", front)
        self._resized()
        if held is not None:
            self.cursor = self._index(held)
        if seen is not None:
            self.scroll_to(y=self._index(seen), animate=False, immediate=True)
        return added

    def _index(self, number: int) -> int:
        """Where an id is, or would be, in the falling order."""
        return bisect_left(self._ids, -number, key=neg)

    # ------------------------------------------------------------- reading rows

    def _window(self, pages: int) -> list[int]:
        """The ids on the screen and ``pages`` pages around it."""
        height = max(1, self.size.height)
        top = self.scroll_offset.y
        return list(self._ids[max(0, top - pages * height) : top + (pages + 1) * height])

    def _missing(self) -> list[int]:
        return [number for number in self._window(1) if number not in self._rows]

    async def _fetch(self) -> None:
        """Read rows until nothing near the screen is missing."""
        try:
            while (source := self._source) is not None and (wanted := self._missing()):
                rows = await source.rows(wanted)
                if source is not self._source:
                    continue
                self._keep(rows, wanted)
                if not rows:
                    break
                await asyncio.sleep(0)
        except Trouble as trouble:
            self.post_message(self.Failed(self, str(trouble)))
        finally:
            self._fetching = False

    def _keep(self, rows: Mapping[int, R], wanted: Iterable[int]) -> None:
        changed = False
        for number in wanted:
            row = rows.get(number)
            if row is not None and self._rows.get(number) != row:
                self._rows.discard(number)  # setting alone keeps the row that was there
                self._rows[number] = row
                changed = True
        if changed:
            self._strips.clear()
            self.refresh()
            self.post_message(self.Changed(self))

    # ------------------------------------------------------------- painting

    def render_lines(self, crop: Region) -> list[Strip]:
        """Paint, and have what is missing nearby read."""
        if self._source is not None and not self._fetching and self._missing():
            self._fetching = True
            start(self, "rows", self._fetch, beside=True)
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        width = self.line_width
        index = self.scroll_offset.y + y
        if index >= len(self._ids):
            return self._notice(y, width)
        number = self._ids[index]
        row = self.row(number)
        here = index == self.cursor
        key = (number, here, self.has_focus, width)
        if row is not None and (kept := self._strips.get(key)) is not None:
            return kept
        cells = self.look.cells(number, row, width - 1)
        strip = self._strip([(MARK if here else " ", ""), *cells], width, here)
        if row is not None:
            self._strips[key] = strip
        return strip

    def _notice(self, y: int, width: int) -> Strip:
        text = ""
        if y == 1 and not self._ids:
            text = self.empty if self.complete else "reading …"
            text = "cannot be read" if self._failed else text
        return self._strip([(" ", ""), (text, "dim")], width, False)

    def _strip(self, cells: Cells, width: int, here: bool) -> Strip:
        base = self.rich_style
        if here:
            base += Style(bgcolor=self.get_component_rich_style("vtable--cursor").bgcolor)
        return strip(self, cells, width, base)

    def notify_style_update(self) -> None:
        """The theme changed: nothing painted so far is valid."""
        super().notify_style_update()
        self._strips.clear()

    def on_resize(self) -> None:
        """Lines are cut to the width."""
        self._strips.clear()
        self._resized()
        self._into_view()

    # ------------------------------------------------------------- moving

    def move(self, to: int) -> None:
        """Put the cursor on a row and the row on the screen."""
        before, self.cursor = self.cursor, max(0, min(to, len(self._ids) - 1))
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
        target = max(0, min(self.cursor + by * height, len(self._ids) - 1))
        self.scroll_to(y=self.scroll_offset.y + by * height, animate=False, immediate=True)
        self.move(target)

    def action_first(self) -> None:
        """To the first row."""
        self.move(0)

    def action_last(self) -> None:
        """To the last row."""
        self.move(len(self._ids) - 1)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is offered that does nothing."""
        return self.opens if action == "open" else super().check_action(action, parameters)

    def action_open(self) -> None:
        """Open the row under the cursor."""
        number = self.current
        if number is not None:
            self.post_message(self.Opened(self, number))

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor; one more on the same row opens it."""
        index = self.scroll_offset.y + event.y
        if index < len(self._ids):
            if index == self.cursor and event.chain == 2:
                self.action_open()
            else:
                self.move(index)
