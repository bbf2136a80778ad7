"""The ``:`` prompt: an action by its name, with what it takes behind it."""

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static

from tui import actions
from tui.actions import Action
from tui.lang import _


class Prompt(ModalScreen[str | None]):
    """One line at the bottom; answers what was typed."""

    BINDINGS: ClassVar = [("escape", "leave", "Leave")]
    DEFAULT_CSS = """
    Prompt { background: transparent; align: left bottom; }
    Prompt #wrong { height: auto; display: none; padding: 0 1; background: $surface;
                    color: $text-error; }
    Prompt #wrong.-shown { display: block; }
    Prompt Input, Prompt Input:focus { height: 1; border: none; padding: 0 1;
                                       background: $surface; }
    """

    def __init__(self, offered: Sequence[Action]) -> None:
        super().__init__()
        self._offered = offered

    def compose(self) -> ComposeResult:
        """What is wrong, and the line."""
        yield Static("", id="wrong", markup=False)
        names = [name for action in self._offered for name in names_of(action)]
        yield Input(
            placeholder=_("an action, like trace to:ann; esc leaves"),
            suggester=SuggestFromList(names, case_sensitive=False),
        )

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer, if there is such an action."""
        found = find(self._offered, event.value)
        if found is not None or not event.value.strip():
            self.dismiss(event.value)
            return
        wrong = self.query_one("#wrong", Static)
        near = ", ".join(nearest(self._offered, event.value))
        wrong.update(_("no such action here; there is {}").format(near))
        wrong.add_class("-shown")

    def action_leave(self) -> None:
        """Nothing."""
        self.dismiss(None)


def names_of(action: Action) -> tuple[str, ...]:
    """What an action answers to: the name after its scope, its whole name, its label."""
    short = action.id.partition(".")[2]
    return short, action.id, _(action.label).lower()


def find(offered: Sequence[Action], text: str) -> tuple[Action, str] | None:
    """The action that a line names, and what is behind it.

    A beginning is enough where one action has it. Of several with a name the program's own is
    meant: ``trace`` goes to the screen.
    """
    name, _space, rest = text.strip().partition(" ")
    name, rest = name.lower(), rest.strip()
    able = [action for action in offered if action.takes or not rest]
    exact = [action for action in able if name in names_of(action)]
    if exact:
        return min(exact, key=lambda action: action.scope is not actions.Scope.APP), rest
    begun = [action for action in able if any(one.startswith(name) for one in names_of(action))]
    return (begun[0], rest) if name and len(begun) == 1 else None


def nearest(offered: Sequence[Action], text: str) -> list[str]:
    """Some names that begin as the text does, or the first ones."""
    names = [action.id.partition(".")[2] for action in offered]
    return ([name for name in names if name[:1] == text.strip()[:1].lower()] or names)[:8]


def parameters(action: Action, rest: str) -> tuple[str, tuple[Any, ...]]:
    """The method's name without ``action_``, and what it is given."""
    name, given = actions.called(action)
    return name, (*given, rest) if action.takes and rest else given
