"""How a row becomes a line of columns, and their names above the list."""

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from tui import formats
from tui.lang import _
from tui.widgets.cells import Cells
from tui.world import World

R = TypeVar("R")

Column = tuple[str, int, str]
"""Name, cells (negative where text is at the right, 0 for what is left), role."""


class Columns(Generic[R]):
    """A list's look. Subclasses say which columns there are and what a row has in them."""

    EMPTY: ClassVar[str] = ""
    """What is said where there is no row."""

    def __init__(self, world: World) -> None:
        self.world = world

    def columns(self, width: int) -> Sequence[Column]:
        """The columns of a line of so many cells."""
        raise NotImplementedError

    def texts(self, row: R, widths: Sequence[int]) -> Sequence[str]:
        """What a row has in each column, not cleaned yet."""
        raise NotImplementedError

    def role(self, row: R, name: str) -> str:
        """A role that a row has in a column of its own; the column's where it is empty."""
        return ""

    def detail(self, row: R, width: int) -> Sequence[Cells]:
        """The lines of a pane below the list on the row under the cursor."""
        return ()

    def unread(self, number: int) -> str:
        """The line of a row that is being read."""
        return "…"

    def _fitting(self, width: int) -> Sequence[Column]:
        columns = self.columns(width)
        rest = width - sum(abs(cells) + 1 for _name, cells, _role in columns) + 1
        return [(name, cells or max(1, rest), role) for name, cells, role in columns]

    def heading(self, width: int) -> str:
        """The columns' names, in ``width`` cells with the cursor's column."""
        names = [formats.fit(_(name), abs(cells), right=cells < 0)
                 for name, cells, _role in self._fitting(width - 1)]  # fmt: skip
        return formats.fit(" " + " ".join(names), width)

    def cells(self, number: int, row: R | None, width: int) -> Cells:
        """The line, ``width`` cells; ``row`` is None while it is being read."""
        if row is None:
            return [(formats.fit(self.unread(number), width), "dim")]
        columns = self._fitting(width)
        texts = self.texts(row, [cells for _name, cells, _role in columns])
        line = []
        for text, (name, cells, role) in zip(texts, columns, strict=True):
            shown = formats.cell(text, abs(cells), right=cells < 0)
            line += [(shown, self.role(row, name) or role), (" ", "")]
        return line[:-1]
