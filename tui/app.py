"""The program: screens on digits, the palette of our own actions, help.

Each screen on a digit is a mode, so that it keeps its place while another is shown.
"""

import gc
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

from textual.app import App
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.screen import Screen

from tui import actions, prompt
from tui.actions import Action, Scope
from tui.lang import _
from tui.screens.frame import Frame
from tui.screens.help import HelpScreen
from tui.screens.onmessage import OnMessage
from tui.vtable import VTable
from tui.world import World

SCREENS = {
    "overview": "tui.screens.overview:OverviewScreen",
    "trace": "tui.screens.trace:TraceScreen",
    "queue": "tui.screens.queue:QueueScreen",
    "mailboxes": "tui.screens.mailboxes:MailboxesScreen",
    "snapshots": "tui.screens.snapshots:SnapshotsScreen",
    "quarantine": "tui.screens.quarantine:QuarantineScreen",
    "health": "tui.screens.health:HealthScreen",
}
"""Each is imported when it is first shown."""
COLLECT_SECONDS = 2
"""How long after the start garbage is looked for again."""


class Actions(Provider):
    """The palette's entries: what can be done on the present screen."""

    def _entries(self) -> Iterator[tuple[Action, Callable[[], Any], str]]:
        """Action, how to run it, what to say of it."""
        app = self.app
        assert isinstance(app, MtadApp)
        for action, owner in app.offered(self.screen, self.focused).items():
            if action.id != "app.palette":
                run = partial(app.do, action, "", owner)
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
    """The terminal UI of one server."""

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
        if self.world.acting is not None:
            self.world.acting.close()

    async def action_go(self, mode: str, text: str = "") -> None:
        """To another screen; again to the present one closes what was opened from it.

        ``text`` is what was typed behind its name: the trace screen's filter.
        """
        if self.current_mode == mode:
            while len(self.screen_stack) > 1:
                self.pop_screen()
        else:
            await self.switch_mode(mode)
        if text and isinstance(self.screen, Frame):
            self.screen.given(text)

    def offered(self, screen: Screen[Any], focused: object) -> dict[Action, Any]:
        """What can be done on a screen, and the screen, list or program that does it."""
        owners: dict[Scope, Any] = {}
        if isinstance(screen, Frame):
            owners[screen.SCOPE] = screen
        if isinstance(screen, OnMessage):
            owners[Scope.MESSAGE] = screen
        if isinstance(focused, VTable):
            owners[Scope.LIST] = focused
        owners[Scope.APP] = self
        return {action: owners[action.scope] for action in actions.of(*owners)}

    def action_prompt(self) -> None:
        """Type an action's name."""
        offered = self.offered(self.screen, self.focused)

        async def run(text: str | None) -> None:
            if text and (found := prompt.find(tuple(offered), text)) is not None:
                await self.do(*found, owner=offered[found[0]])

        if isinstance(self.screen, Frame):
            self.push_screen(prompt.Prompt(tuple(offered)), run)

    async def do(self, action: Action, rest: str, owner: Any) -> None:
        """Run an action as its key would, with what was typed behind its name."""
        name, given = prompt.parameters(action, rest)
        done = getattr(owner, f"action_{name}")(*given)
        if inspect.isawaitable(done):
            await done

    def action_help(self) -> None:
        """The keys of the present screen."""
        screen = self.screen
        if isinstance(screen, Frame):
            asked = isinstance(screen, OnMessage)
            self.push_screen(HelpScreen(self.world, screen.SCOPE, screen.tab, on_message=asked))

    def action_command_palette(self) -> None:
        """Find an action by its name."""
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(
                CommandPalette(placeholder=_("Find an action …"), id="--command-palette")
            )
