"""Lines of cells on the screen: the one place where text of ours becomes terminal output.

A line is pieces of text with a role each; roles name styles of the theme, so that a screen
never names a colour. Text must be clean already (``tui.formats``); nothing is ever parsed as
markup.
"""

from collections.abc import Callable, Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from tui.formats import cell_len

Cells = Sequence[tuple[str, str]]
"""Pieces of a line: text and role; the empty role is plain text."""

ROLES = {
    "dim": "$foreground-darken-3",
    "strong": "bold",
    "good": "$text-success",
    "wait": "$text-warning",
    "bad": "$text-error",
    "mark": "bold reverse",
    "key": "bold $footer-key-foreground",
}


def strip(widget: Widget, cells: Cells, width: int, base: Style) -> Strip:
    """A painted line of exactly ``width`` cells."""
    styled = widget.app.stylesheet.parse_style
    segments = [
        Segment(text, base + styled(ROLES[role]).rich_style if role else base)
        for text, role in cells
        if text
    ]
    return Strip(segments).adjust_cell_length(width, base)


class Pane(Widget):
    """A block of lines that a function makes for its width and height; it does not scroll."""

    DEFAULT_CSS = """
    Pane { height: auto; }
    """

    def __init__(
        self,
        lines: Callable[[int, int], Sequence[Cells]],
        *,
        id: str | None = None,
        classes: str | None = None,
        title: str = "",
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.lines = lines
        self.border_title = title or None
        self._shown: Sequence[Cells] = ()

    def renew(self) -> None:
        """Paint again if the lines have become others."""
        before, self._shown = self._shown, self.lines(*self.size)
        if self._shown != before:
            self.refresh(layout=_extent(self._shown) != _extent(before))

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """The longest line's."""
        return _extent(self.lines(*viewport))[0]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as there are."""
        return len(self.lines(width, viewport.height))

    def render_lines(self, crop: Region) -> list[Strip]:
        """Paint what the function makes of the present state."""
        self._shown = self.lines(*self.size)
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """One line."""
        cells = self._shown[y] if y < len(self._shown) else ()
        return strip(self, cells, self.size.width, self.rich_style)


def _extent(lines: Sequence[Cells]) -> tuple[int, int]:
    return max((sum(cell_len(text) for text, _ in line) for line in lines), default=0), len(lines)
