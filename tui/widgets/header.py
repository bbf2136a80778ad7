"""The first line of every screen: program, host, screens by their digit, the time."""

from collections.abc import Iterator, Sequence

from textual import events

from tui import formats
from tui.lang import N_, _
from tui.widgets.cells import Cells, Pane
from tui.world import World

WIDE = 100
"""Columns from which screens use their wide layout."""
TALL, COMPACT_TALL = 32, 22
"""Lines from which the wide and the other layout need not save any."""
MIN_WIDTH, MIN_HEIGHT = 60, 15
"""Below this a screen shows nothing but that it needs room."""
TABS = (
    ("1", "overview", N_("Overview")),
    ("2", "trace", N_("Trace")),
    ("3", "queue", N_("Queue")),
    ("5", "snapshots", N_("Snapshots")),
)


class Header(Pane):
    """The header; a click on a screen's name goes there."""

    DEFAULT_CSS = """
    Header { height: 1; background: $panel; color: $foreground; }
    """

    def __init__(self, world: World, active: str) -> None:
        super().__init__(self._line)
        self.world = world
        self.active = active

    def _left(self, width: int) -> Iterator[tuple[str, str, str]]:
        """Text, role, and the screen a click on it goes to."""
        yield " mtad", "strong", ""
        if width >= WIDE:
            yield f" {formats.fit(self.world.host, 30).rstrip()}", "", ""
        yield " │ ", "dim", ""
        for digit, name, label in TABS:
            yield f" {digit} {_(label)} ", "mark" if name == self.active else "", name
            yield " ", "", ""

    def _line(self, width: int, height: int) -> Sequence[Cells]:
        now, zone = self.world.now_us(), self.world.zone
        wide = width >= WIDE
        clock = formats.full_time(now, zone) if wide else formats.fine_time(now, zone)[:8]
        left = [(text, role) for text, role, _name in self._left(width)]
        used = sum(formats.cell_len(text) for text, _ in left)
        return [[*left, (formats.fit(clock, max(0, width - used - 1), right=True), "dim")]]

    async def on_click(self, event: events.Click) -> None:
        """Go to the screen whose name was clicked."""
        end = 0
        for text, _role, name in self._left(self.size.width):
            end += formats.cell_len(text)
            if event.x < end:
                if name:
                    await self.app.run_action(f"go('{name}')")
                return
