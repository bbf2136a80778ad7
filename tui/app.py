"""The program: screens on digits, the palette of our own actions, help.

Each screen on a digit is a mode, so that it keeps its place while another is shown.
"""

import gc
from functools import partial

from textual.app import App
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider

from tui import actions
from tui.actions import Action, Scope
from tui.screens.frame import Frame
from tui.screens.help import HelpScreen
from tui.screens.overview import OverviewScreen
from tui.screens.snapshots import SnapshotsScreen
from tui.screens.trace import TraceScreen
from tui.world import World

COLLECT_SECONDS = 2
"""How long after the start garbage is looked for again."""


class Actions(Provider):
    """The palette's entries: what can be done on the present screen."""

    def _entries(self) -> list[Action]:
        screen = self.screen
        scope = screen.SCOPE if isinstance(screen, Frame) else Scope.APP
        return [
            action
            for action in actions.of(*dict.fromkeys((scope, Scope.LIST, Scope.APP)))
            if action.id != "app.palette"
        ]

    async def _call(self, action: Action) -> None:
        node = self.focused if action.scope is Scope.LIST else None
        target = node or (self.app if action.scope is Scope.APP else self.screen)
        await self.app.run_action(action.call, target)

    async def discover(self) -> Hits:
        """All of them."""
        for action in self._entries():
            yield DiscoveryHit(action.label, partial(self._call, action), help=_help(action))

    async def search(self, query: str) -> Hits:
        """Those that match what was typed."""
        matcher = self.matcher(query)
        for action in self._entries():
            score = max(matcher.match(action.label), matcher.match(action.description))
            if score > 0:
                yield Hit(
                    score,
                    matcher.highlight(action.label),
                    partial(self._call, action),
                    help=_help(action),
                )


def _help(action: Action) -> str:
    return f"{action.description}  ({action.key_text})"


class MtadApp(App[None]):
    """The terminal UI of one server; reads only."""

    TITLE = "mtad"
    COMMANDS = {Actions}  # noqa: RUF012 - Textual's own form
    BINDINGS = actions.bindings(Scope.APP)
    CSS = """
    Footer { height: 1; }
    CommandPalette SearchIcon { display: none; }
    """

    def __init__(self, world: World, *, start: str = "overview", text: str = "") -> None:
        super().__init__()
        self.world = world
        self._start = start
        self.add_mode("overview", partial(OverviewScreen, world))
        self.add_mode("trace", partial(TraceScreen, world, text))
        self.add_mode("snapshots", partial(SnapshotsScreen, world))

    async def on_mount(self) -> None:
        """Show the first screen."""
        await self.switch_mode(self._start)
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
            self.push_screen(CommandPalette(placeholder="Find an action …", id="--command-palette"))
