"""The last line of every screen: the keys worth knowing here; a click presses one."""

from collections.abc import Iterator, Sequence
from typing import Any

from textual import events
from textual.binding import Binding
from textual.screen import Screen

from tui.formats import cell_len
from tui.lang import _
from tui.widgets.cells import Cells, Pane

HELP = "help"
"""The action whose key is there however narrow the screen is."""
ALWAYS = "command_palette"
"""The action whose key stands at the right end."""


class Footer(Pane):
    """The footer; follows what can be done on the screen and in the focused list."""

    DEFAULT_CSS = """
    Footer { height: 1; dock: bottom; background: $footer-background; }
    """

    def __init__(self) -> None:
        super().__init__(self._line)
        self._keys: dict[str, Binding] = {}
        """By what they call, each action once."""

    def on_mount(self) -> None:
        """Be told when other keys do something."""
        self.screen.bindings_updated_signal.subscribe(self, self._learn)

    def _learn(self, screen: Screen[Any]) -> None:
        self._keys = {}
        for _node, binding, enabled, _tip in screen.active_bindings.values():
            if enabled and (binding.show or binding.action == ALWAYS):
                self._keys.setdefault(binding.action, binding)
        self.renew()

    def _entries(self, width: int) -> Iterator[tuple[int, Binding]]:
        """Bindings with their columns; help stays whatever does not fit."""
        shown = dict(self._keys)
        last, helping = shown.pop(ALWAYS, None), shown.pop(HELP, None)
        x, room = 0, width - (self._cells(helping) if helping else 0)
        for binding in shown.values():
            if x + self._cells(binding) <= room:
                yield x, binding
                x += self._cells(binding)
        if helping is not None:
            yield x, helping
            x += self._cells(helping)
        if last is not None and x + self._cells(last) <= width:
            yield width - self._cells(last), last

    def _line(self, width: int, height: int) -> Sequence[Cells]:
        line: list[tuple[str, str]] = []
        end = 0
        for start, binding in self._entries(width):
            line += [
                (" " * (start - end), ""),
                (f" {self.app.get_key_display(binding)} ", "key"),
                (f"{_(binding.description)} ", ""),
            ]
            end = start + self._cells(binding)
        return [line]

    def _at(self, x: int) -> Binding | None:
        """The binding whose entry is in a column."""
        for start, binding in self._entries(self.size.width):
            if start <= x < start + self._cells(binding):
                return binding
        return None

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Say more of the key under the mouse."""
        binding = self._at(event.x)
        self.tooltip = _(binding.tooltip) if binding else None

    def on_click(self, event: events.Click) -> None:
        """Press the key that was clicked."""
        if binding := self._at(event.x):
            self.app.simulate_key(binding.key)

    def _cells(self, binding: Binding) -> int:
        return cell_len(f" {self.app.get_key_display(binding)} {_(binding.description)} ")
