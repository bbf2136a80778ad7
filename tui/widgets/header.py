"""The first line of every screen: program, host, screens by their digit, the time."""

from collections.abc import Sequence

from textual import events

from tui import formats
from tui.lang import N_, _
from tui.widgets.cells import Cells, Pane
from tui.world import World

WIDE = 100
"""Columns from which screens use their wide layout."""
TALL, COMPACT_TALL = 32, 22
"""Lines from which the wide and the other layout need not save any."""
PROGRAM = " mtad"
CLOCK = 10
"""Cells of the shorter clock with a space on either side."""
SHORTEST_HOST = 8
"""A name cut to fewer cells says nothing."""
MIN_WIDTH, MIN_HEIGHT = 60, 15
"""Below this a screen shows nothing but that it needs room."""
TABS = (
    ("1", "overview", N_("Overview")),
    ("2", "trace", N_("Trace")),
    ("3", "queue", N_("Queue")),
    ("4", "mailboxes", N_("Mailboxes")),
    ("5", "snapshots", N_("Snapshots")),
    ("6", "quarantine", N_("Quarantine")),
    ("7", "health", N_("Health")),
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

    def _tabs(self, width: int) -> list[tuple[str, str, str]]:
        """Text, role and screen of each; where not all names fit, the present one's alone."""

        def tab(digit: str, name: str, label: str) -> tuple[str, str, str]:
            return f" {digit} {label} " if label else f" {digit} ", self._role(name), name

        whole = [tab(digit, name, _(label)) for digit, name, label in TABS]
        if _cells(whole) <= width:
            return whole
        here = self.active
        return [tab(digit, name, _(label) if name == here else "") for digit, name, label in TABS]

    def _role(self, name: str) -> str:
        return "mark" if name == self.active else ""

    def _left(self, width: int) -> list[tuple[str, str, str]]:
        """Text, role, and the screen a click on it goes to."""
        tabs = self._tabs(width)
        room = width - _cells(tabs)
        whole = formats.fit(formats.clean(self.world.host), 30).rstrip()
        length = formats.cell_len(whole)
        if length and length + 4 <= room < length + len(PROGRAM) + 4 + CLOCK:
            # whose server it is matters more than the time
            return [(f" {whole}", "strong", ""), (" │ ", "dim", ""), *tabs]
        if room < len(PROGRAM) + 3 + CLOCK:
            return tabs
        host = formats.fit(whole, min(30, room - CLOCK - len(PROGRAM) - 4)).rstrip()
        program = [(PROGRAM, "strong", "")]
        if len(host) >= SHORTEST_HOST:
            program.append((f" {host}", "", ""))
        return [*program, (" │ ", "dim", ""), *tabs]

    def _line(self, width: int, height: int) -> Sequence[Cells]:
        now, zone = self.world.now_us(), self.world.zone
        left = self._left(width)
        room = width - _cells(left) - 1
        full = formats.full_time(now, zone)
        clock = full if formats.cell_len(full) < room else formats.fine_time(now, zone)[:8]
        shown = formats.fit(clock, room, right=True) if room >= len(clock) else ""
        return [[*((text, role) for text, role, _name in left), (shown, "dim")]]

    async def on_click(self, event: events.Click) -> None:
        """Go to the screen whose name was clicked."""
        end = 0
        for text, _role, name in self._left(self.size.width):
            end += formats.cell_len(text)
            if event.x < end:
                if name:
                    await self.app.run_action(f"go('{name}')")
                return


def _cells(pieces: Sequence[tuple[str, str, str]]) -> int:
    return sum(formats.cell_len(text) for text, _role, _name in pieces)
