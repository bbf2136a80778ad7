"""A list of any length: only the rows on the screen exist, all ids do.

The first chunk of ids paints at once, the rest comes in the background and makes the scroll
bar exact. Rows are read for the visible page and its neighbours. Ids that come later are
merged in without moving what the person looks at.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TypeVar

from textual.geometry import Region
from textual.strip import Strip

from tui.source import RowSource, Trouble
from tui.vector import Vector
from tui.vtable import VTable
from tui.widgets.columns import Columns
from tui.work import start

R = TypeVar("R")


class Stream(VTable[R]):
    """The list of what a ``RowSource`` has."""

    def __init__(self, look: Columns[R], *, id: str | None = None) -> None:
        super().__init__(look, id=id)
        self._source: RowSource[R] | None = None
        self._fetching = False

    @property
    def newest(self) -> int:
        """The highest id, 0 when there is none."""
        return self.vector.at(0) or 0

    @property
    def at_top(self) -> bool:
        """Whether the first row is under the cursor and on the screen."""
        return self.cursor == 0 and round(self.scroll_y) == 0

    def load(self, source: RowSource[R], then: Callable[[], None] | None = None) -> None:
        """Replace the list; the present one stays, dimmed, until the first ids are here."""
        self.complete = False
        if (known := source.known()) is not None:
            self._source = source
            self._begin(Vector(known[1]))
            self.vector.extend(known[0])
            self._resized()
        else:
            self.add_class("-stale")
        start(self, "ids", self._load, source, then)

    async def _load(self, source: RowSource[R], then: Callable[[], None] | None) -> None:
        begun = False
        try:
            async with aclosing(source.id_chunks()) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    if not begun:
                        rows = await source.rows(chunk[: 2 * max(self.size.height, 20)])
                        self._source, begun = source, True
                        self._begin(Vector(rows))
                    self.vector.extend(chunk)
                    self._resized()
                    if self.vector.cut:
                        break
            if not begun:
                self._source = source
                self._begin(Vector({}))
        except Trouble as trouble:
            self.fail(trouble)
        else:
            self._finish()
        if then is not None:
            then()

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
        shown = self.vector.ids[slice(*self._window(0))]
        rows = await source.rows(shown) if shown else {}
        if source is self._source:
            self._keep(rows)
        return added

    def _merge(self, fresh: Sequence[int]) -> int:
        """Put further ids in their places; the cursor and the view stay on their rows."""
        held, seen = self.current, self.vector.at(round(self.scroll_y))
        added = self.vector.merge(fresh)
        if added:
            self._resized()
            if held is not None:
                self.cursor = self.vector.index(held)
            if seen is not None:
                self.scroll_to(y=self.vector.index(seen), animate=False, immediate=True)
        return added

    def _window(self, pages: int) -> tuple[int, int]:
        """The indexes of the screen with ``pages`` pages around it."""
        height = max(1, self.size.height)
        top = self.scroll_offset.y
        return max(0, top - pages * height), top + (pages + 1) * height

    def _missing(self) -> Sequence[int]:
        return self.vector.missing(*self._window(1))

    async def _fetch(self) -> None:
        """Read rows until nothing near the screen is missing."""
        try:
            while (source := self._source) and (wanted := self._missing()):
                rows = await source.rows(wanted)
                if source is self._source:
                    self._keep(rows)
                    if not rows:
                        break
                    await asyncio.sleep(0)
        except Trouble as trouble:
            self.fail(trouble)
        finally:
            self._fetching = False

    def _keep(self, rows: Mapping[int, R]) -> None:
        if self.vector.keep(rows, self.vector.ids[slice(*self._window(1))]):
            self.refresh()
            self.post_message(self.Changed(self))

    def render_lines(self, crop: Region) -> list[Strip]:
        """Paint, and have what is missing nearby read."""
        if not self._fetching and self._source and self._missing():
            self._fetching = True
            start(self, "rows", self._fetch, beside=True)
        return super().render_lines(crop)
