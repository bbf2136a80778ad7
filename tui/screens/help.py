"""Every key of the present screen, made from the table of actions."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll

from tui import actions, formats
from tui.actions import Scope
from tui.lang import N_, _
from tui.screens.frame import Frame
from tui.widgets.cells import Cells, Pane
from tui.world import World

FILTER = (
    ("from: to:", N_("an address, a part of it, or *@example.org")),
    ("subj:", N_("words of the subject")),
    ("msgid: id:", N_("a Message-ID, a queue id")),
    ("ip:", N_("the client's address")),
    ("since: until:", N_("2h, 3d, today, yesterday, 14:20, 2026-11-20")),
    ("state:", N_("delivered, refused, queued, deferred, aborted ...")),
    (N_("word"), N_("looked for in all of them")),
    ("! \"...\"", N_("not; words that belong together")),
)  # fmt: skip
"""The filter language in short."""


def help_lines(scope: Scope, *, on_message: bool) -> list[Cells]:
    """Keys by scope: the screen's own first; the last columns name the Russian twins."""
    lines: list[Cells] = []
    of_message = (Scope.MESSAGE,) if on_message else ()
    for part in dict.fromkeys((scope, *of_message, Scope.LIST, Scope.APP)):
        title = _(part.value)
        lines.append([(f"{title[0].upper()}{title[1:]}", "strong")])
        for action in actions.of(part):
            if action.id == "list.open" and scope is Scope.TIMELINE:
                continue  # what its lists show has nothing to open
            twins = " ".join(actions.TWIN[key] for key in action.keys if key in actions.TWIN)
            lines.append(
                [
                    (formats.fit(f"  {action.key_text}", 15), "good"),
                    (formats.fit(twins, 5), "dim"),
                    (_(action.description), ""),
                ]
            )
        lines.append([])
    if scope is Scope.TRACE:
        lines.append([(_("Filter"), "strong")])
        lines += [
            [(formats.fit(f"  {_(name)}", 20), "good"), (_(text), "")] for name, text in FILTER
        ]
    return lines


class HelpScreen(Frame):
    """Opened with ``?``; scrolls."""

    SCOPE = Scope.HELP
    BINDINGS = actions.bindings(Scope.HELP)
    AUTO_FOCUS = "#pages"
    DEFAULT_CSS = """
    HelpScreen {
        #pages { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    }
    """

    def __init__(self, world: World, scope: Scope, tab: str, *, on_message: bool) -> None:
        super().__init__(world, tab)
        self._lines: Sequence[Cells] = help_lines(scope, on_message=on_message)

    def body(self) -> ComposeResult:
        """The page."""
        with VerticalScroll(id="pages"):
            yield Pane(lambda *_: self._lines)

    def on_mount(self) -> None:
        """There is nothing to read."""
        self.settled = True

    def action_back(self) -> None:
        """Close."""
        self.dismiss()
