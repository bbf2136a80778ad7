"""The program: screens on digits, the palette of our own actions, help.

Each screen on a digit is a mode, so that it keeps its place while another is shown.
"""

import gc
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

from textual.app import App
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.screen import Screen

from tui import actions
from tui.actions import Action, Scope
from tui.lang import _
from tui.screens.frame import Frame
from tui.screens.help import HelpScreen
from tui.world import World

SCREENS = {
    "overview": "tui.screens.overview:OverviewScreen",
    "trace": "tui.screens.trace:TraceScreen",
    "snapshots": "tui.screens.snapshots:SnapshotsScreen",
}
"""Each is imported when it is first shown."""
COLLECT_SECONDS = 2
"""How long after the start garbage is looked for again."""


class Actions(Provider):
    """The palette's entries: what can be done on the present screen."""

    def _entries(self) -> Iterator[tuple[Action, Callable[[], Any], str]]:
        """Action, how to run it, what to say of it."""
        screen = self.screen
        targets = {Scope.LIST: self.focused, Scope.APP: self.app}
        if isinstance(screen, Frame):
            targets = {screen.SCOPE: screen, **targets}
        for action in actions.of(*targets):
            if action.id != "app.palette":
                run = partial(self.app.run_action, action.call, targets[action.scope])
                yield action, run, f"{_(action.description)}  ({action.key_text})"

    async def discover(self) -> Hits:
        """All of them."""
        for action, run, told in self._entries():
            yield DiscoveryHit(_(action.label), run, help=told)

    async def search(self, query: str) -> Hits:
        """Those that match what was typed."""
        matcher = self.matcher(query)
        for action, run, told in self._entries():
            score = max(matcher.match(_(action.label)), matcher.match(told))
            if score > 0:
                yield Hit(score, matcher.highlight(_(action.label)), run, help=told)


class MtadApp(App[None]):
    """The terminal UI of one server; reads only."""

    TITLE = "mtad"
    COMMANDS = {Actions}  # noqa: RUF012 - Textual's own form
    BINDINGS = actions.bindings(Scope.APP)
    CSS = """
    CommandPalette SearchIcon { display: none; }
    """

    def __init__(self, world: World, *, start: str = "overview", text: str = "") -> None:
        # the first screen takes the place of the empty one that a program begins with
        self.DEFAULT_MODE = start  # type: ignore[misc]
        super().__init__()
        self.world = world
        self._text = text

    def _make(self, name: str) -> Screen[Any]:
        module, _, attribute = SCREENS[name].partition(":")
        given = (self._text,) if name == "trace" else ()
        screen: Screen[Any] = getattr(import_module(module), attribute)(self.world, *given)
        return screen

    def get_default_screen(self) -> Screen[Any]:
        """The first screen."""
        return self._make(self.DEFAULT_MODE)

    def on_mount(self) -> None:
        """Have the other screens made when they are wanted, and garbage looked for later."""
        for name in SCREENS:
            self.add_mode(name, partial(self._make, name))
        self.set_timer(COLLECT_SECONDS, gc.enable)

    async def on_unmount(self) -> None:
        """Let the files go."""
        await self.world.reading.close()

    async def action_go(self, mode: str) -> None:
        """To another screen; again to the present one closes what was opened from it."""
        if self.current_mode == mode:
            while len(self.screen_stack) > 1:
                self.pop_screen()
        else:
            await self.switch_mode(mode)

    def action_help(self) -> None:
        """The keys of the present screen."""
        screen = self.screen
        if isinstance(screen, Frame):
            self.push_screen(HelpScreen(self.world, screen.SCOPE, screen.tab))

    def action_command_palette(self) -> None:
        """Find an action by its name."""
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(
                CommandPalette(placeholder=_("Find an action …"), id="--command-palette")
            )
