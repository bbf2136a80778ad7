"""Lines of cells on the screen: the one place where text of ours becomes terminal output.

A line is pieces of text with a role each; roles name styles of the theme, so that a screen
never names a colour. Text must be clean already (``tui.formats``); nothing is ever parsed as
markup.
"""

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

Cells = Sequence[tuple[str, str]]
"""Pieces of a line: text and role; the empty role is plain text."""

ROLES = ("dim", "strong", "good", "wait", "bad", "mark")


def strip(widget: Widget, cells: Cells, width: int, base: Style) -> Strip:
    """A painted line of exactly ``width`` cells."""
    segments = [
        Segment(
            text,
            base + widget.get_component_rich_style(f"cells--{role}", partial=True)
            if role
            else base,
        )
        for text, role in cells
        if text
    ]
    return Strip(segments).adjust_cell_length(width, base)


class Pane(Widget):
    """A block of lines that are made for the size it has; it does not scroll."""

    COMPONENT_CLASSES = {f"cells--{role}" for role in ROLES}  # noqa: RUF012 - Textual's own form
    DEFAULT_CSS = """
    Pane {
        height: auto;
        & > .cells--dim { color: $foreground-darken-3; }
        & > .cells--strong { text-style: bold; }
        & > .cells--good { color: $text-success; }
        & > .cells--wait { color: $text-warning; }
        & > .cells--bad { color: $text-error; }
        & > .cells--mark { text-style: bold reverse; }
    }
    """

    def lines(self, width: int, height: int) -> Sequence[Cells]:
        """The block's lines for a size."""
        raise NotImplementedError

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as there are."""
        return len(self.lines(width, viewport.height))

    def render_line(self, y: int) -> Strip:
        """One line."""
        width, height = self.size
        lines = self.lines(width, height)
        return strip(self, lines[y] if y < len(lines) else (), width, self.rich_style)


class Block(Pane):
    """A pane whose lines are given to it."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: Sequence[Cells] = ()

    def put(self, lines: Sequence[Cells]) -> None:
        """Show these lines."""
        if lines != self._lines:
            grown = len(lines) != len(self._lines)
            self._lines = lines
            self.refresh(layout=grown)

    def lines(self, width: int, height: int) -> Sequence[Cells]:
        """The lines that were put."""
        return self._lines
