"""The first line of every screen: program, host, screens by their digit, the time."""

from collections.abc import Sequence

from textual import events
from textual.widget import Widget

from tui import formats
from tui.widgets.cells import Cells, Pane
from tui.world import World

WIDE = 100
"""Columns from which screens use their wide layout."""

TABS = (("1", "overview", "Overview"), ("2", "trace", "Trace"), ("5", "snapshots", "Snapshots"))


class Header(Pane):
    """The header; a click on a screen's name goes there."""

    DEFAULT_CSS = """
    Header { height: 1; background: $panel; color: $foreground; }
    """

    def __init__(self, world: World, active: str) -> None:
        super().__init__()
        self.world = world
        self.active = active

    def on_mount(self) -> None:
        """Keep the clock right."""
        self.set_interval(1, self.refresh)

    def get_content_height(self, *_: object) -> int:
        """Always one line."""
        return 1

    def lines(self, width: int, height: int) -> Sequence[Cells]:
        """The line."""
        wide = width >= WIDE
        now, zone = self.world.now_us(), self.world.zone
        clock = formats.full_time(now, zone) if wide else formats.fine_time(now, zone)[:8]
        left: list[tuple[str, str]] = [(" mtad", "strong")]
        if wide:
            left.append((f" {formats.fit(self.world.host, 30).rstrip()}", ""))
        left.append((" │", "dim"))
        for digit, name, label in TABS:
            here = name == self.active
            if here:
                left += [(" ", ""), (f" {digit} {label} ", "mark")]
            else:
                left.append((f"  {digit} {label} ", ""))
        used = sum(len(text) for text, _ in left)
        return [[*left, (formats.fit(clock, max(0, width - used - 1), right=True), "dim")]]

    async def on_click(self, event: events.Click) -> None:
        """Go to the screen whose name was clicked."""
        start = 0
        names = {label: name for _, name, label in TABS}
        for text, _ in self.lines(self.size.width, 1)[0]:
            start += len(text)
            if event.x < start:
                for label, name in names.items():
                    if label in text:
                        await self.app.run_action(f"go('{name}')")
                return


class TooSmall(Widget):
    """Shown instead of everything in a terminal without room."""

    DEFAULT_CSS = """
    TooSmall { display: none; width: 1fr; height: 1fr; content-align: center middle; }
    """

    def render(self) -> str:
        """The sentence."""
        return f"mtad needs {MIN_WIDTH}×{MIN_HEIGHT}"


MIN_WIDTH, MIN_HEIGHT = 60, 15
