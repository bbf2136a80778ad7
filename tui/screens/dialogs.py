"""Small windows over a screen: asking before an act, asking for values, showing a text.

What cannot be undone is asked for by its name and its count; no is always the default.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tui import actions, formats
from tui.lang import _
from tui.widgets.cells import Cells, Pane
from tui.widgets.footer import Footer

_WINDOW = """
    align: center middle;
    #window { width: 72; max-width: 95%; height: auto; max-height: 90%; padding: 1 2;
              border: round $primary; background: $surface; }
    #title { text-style: bold; height: auto; }
    #told { height: auto; color: $foreground; margin-top: 1; }
    #wrong { height: auto; color: $text-error; }
    .label { height: 1; margin-top: 1; }
    Input { height: 1; border: none; padding: 0 1; background: $boost; }
    Input:focus { border: none; background: $primary-muted; }
"""


class Confirm(ModalScreen[bool]):
    """Whether something shall be done. With a count above one the count must be typed."""

    BINDINGS: ClassVar = actions.bindings(actions.Scope.CONFIRM)
    DEFAULT_CSS = f"Confirm {{ {_WINDOW} }}"

    def __init__(self, question: str, told: Sequence[str] = (), count: int = 1) -> None:
        super().__init__()
        self._question = question
        self._told = told
        self._count = count

    def compose(self) -> ComposeResult:
        """Question, what it concerns, how to say yes."""
        with Vertical(id="window"):
            yield Static(_text([self._question]), id="title", markup=False)
            if self._told:
                yield Static(_text(self._told), id="told", markup=False)
            if self._count > 1:
                typed = _("type {} and press enter to do it").format(self._count)
                yield Static(typed, classes="label", markup=False)
                yield Input(id="count")
            yield Static("", id="wrong", markup=False)
        yield Footer()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Where a count is asked for, no single key does it."""
        return self._count <= 1 if action == "yes" else super().check_action(action, parameters)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The count, or nothing is done."""
        if event.value.strip() == str(self._count):
            self.dismiss(True)
        else:
            self.query_one("#wrong", Static).update(_("that is not the number"))

    def action_yes(self) -> None:
        """Do it."""
        self.dismiss(True)

    def action_no(self) -> None:
        """Leave it."""
        self.dismiss(False)


@dataclass(frozen=True, slots=True)
class Field:
    """One value that is asked for."""

    name: str
    label: str
    value: str = ""
    hint: str = ""
    secret: bool = False
    at: int | None = None
    """Where the cursor stands at first; None is the end."""


class Form(ModalScreen[dict[str, str] | None]):
    """Asks for values; ``check`` returns what is wrong with them, or nothing."""

    BINDINGS: ClassVar = actions.bindings(actions.Scope.FORM)
    DEFAULT_CSS = f"Form {{ {_WINDOW} }}"

    def __init__(
        self,
        title: str,
        fields: Sequence[Field],
        check: Callable[[dict[str, str]], str] = lambda _values: "",
    ) -> None:
        super().__init__()
        self._title = title
        self._fields = fields
        self._check = check

    def compose(self) -> ComposeResult:
        """Title and a line for each value."""
        with VerticalScroll(id="window", can_focus=False):
            yield Static(_text([self._title]), id="title", markup=False)
            for field in self._fields:
                yield Static(_text([field.label]), classes="label", markup=False)
                yield Input(
                    field.value,
                    placeholder=field.hint,
                    password=field.secret,
                    id=field.name,
                    select_on_focus=field.at is None,
                )
            yield Static("", id="wrong", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Put each cursor where typing goes on."""
        for field in self._fields:
            if field.at is not None:
                self.query_one(f"#{field.name}", Input).cursor_position = field.at

    def values(self) -> dict[str, str]:
        """What was typed, by name."""
        return {one.name: self.query_one(f"#{one.name}", Input).value for one in self._fields}

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The next value; after the last one the answer."""
        names = [field.name for field in self._fields]
        if event.input.id != names[-1]:
            self.focus_next()
            return
        self.action_done()

    def action_done(self) -> None:
        """Answer, if nothing is wrong."""
        values = self.values()
        wrong = self._check(values)
        self.query_one("#wrong", Static).update(_text([wrong]))
        if not wrong:
            self.dismiss(values)

    def action_no(self) -> None:
        """Leave it."""
        self.dismiss(None)


class Page(ModalScreen[None]):
    """A text to read; it scrolls, and can be copied."""

    BINDINGS: ClassVar = actions.bindings(actions.Scope.PAGE)
    AUTO_FOCUS = "#pages"
    DEFAULT_CSS = """
    Page { align: center middle; }
    Page #pages { width: 96%; height: 92%; border: round $primary; background: $surface;
                  padding: 0 1; scrollbar-size-vertical: 1; }
    """

    def __init__(self, title: str, lines: Sequence[str]) -> None:
        super().__init__()
        self._title = title
        self._lines = lines
        self._wrapped: tuple[int, Sequence[Cells]] = (0, ())
        """The lines for a width: making those of a long text takes a while."""

    def compose(self) -> ComposeResult:
        """The text."""
        with VerticalScroll(id="pages") as pages:
            pages.border_title = Text(formats.clean(self._title))
            yield Pane(self._shown)
        yield Footer()

    def _shown(self, width: int, height: int) -> Sequence[Cells]:
        if self._wrapped[0] != width:
            lines: list[Cells] = [
                [(part, "")]
                for line in self._lines
                for part in formats.wrap(formats.clean(line), max(10, width))
            ]
            self._wrapped = width, lines
        return self._wrapped[1]

    def action_copy(self) -> None:
        """All of it to the clipboard of the terminal (OSC 52)."""
        self.app.copy_to_clipboard("\n".join(map(formats.clean, self._lines)))

    def action_back(self) -> None:
        """Close."""
        self.dismiss()


def _text(lines: Sequence[str]) -> Text:
    """Lines of text that may come from data."""
    return Text("\n".join(map(formats.clean, lines)))
