"""What all screens have in common: header, banner, footer, room enough, keys from the table."""

from collections.abc import Awaitable, Callable
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Footer, Static

from tui import formats
from tui.actions import Scope
from tui.vtable import Trouble
from tui.widgets.header import MIN_HEIGHT, MIN_WIDTH, WIDE, Header, TooSmall
from tui.work import start
from tui.world import World

BANNER_SECONDS = 5


class Frame(Screen[None]):
    """A screen of the program. Subclasses give ``body``, their scope and their tab."""

    SCOPE: ClassVar[Scope] = Scope.APP
    """Whose actions its keys are."""
    TAB: ClassVar[str] = ""
    """The screen the header marks, unless it is told another."""
    DEFAULT_CSS = """
    Frame {
        #banner { height: auto; max-height: 4; display: none; padding: 0 1;
                  background: $warning-muted; color: $text-warning; text-style: bold; }
        #banner.-shown { display: block; }
        &.-tiny > * { display: none; }
        &.-tiny > TooSmall { display: block; }
    }
    """

    def __init__(self, world: World, tab: str = "") -> None:
        super().__init__()
        self.world = world
        self.tab = tab or self.TAB
        self.settled = False
        """Whether everything this screen shows at first has been read."""
        self._sentences: dict[str, str] = {"daemon": ""}

    def compose(self) -> ComposeResult:
        """Header, banner, body, footer."""
        yield Header(self.world, self.tab)
        yield Static(id="banner", markup=False)
        yield from self.body()
        yield TooSmall()
        yield Footer()

    def body(self) -> ComposeResult:
        """What is between banner and footer."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Begin to watch what concerns every screen."""
        self._fits(*self.app.size)
        self.set_interval(BANNER_SECONDS, self._look_around)
        self._look_around()

    def on_screen_resume(self) -> None:
        """What the banner says is from when the screen was last seen."""
        self._look_around()

    def on_resize(self, event: events.Resize) -> None:
        """Choose the layout."""
        self._fits(*event.size)

    def _fits(self, width: int, height: int) -> None:
        self.set_class(width < MIN_WIDTH or height < MIN_HEIGHT, "-tiny")
        self.set_class(width >= WIDE, "-wide")
        self.set_class(width < WIDE, "-compact")

    async def action_quit(self) -> None:
        """Leave the program: a key of a screen is looked for in the screen alone."""
        await self.app.action_quit()

    def say(self, about: str, sentence: str) -> None:
        """Show a sentence in the banner until the same subject has another or none."""
        self._sentences[about] = sentence
        shown = list(dict.fromkeys(text for text in self._sentences.values() if text))
        banner = self.query_one("#banner", Static)
        banner.update(Text("\n".join(formats.clean(text) for text in shown)))
        banner.set_class(bool(shown), "-shown")

    async def reading(self, about: str, read: Callable[[], Awaitable[None]]) -> None:
        """Run something that reads; what goes wrong is said in the banner."""
        try:
            await read()
        except Trouble as trouble:
            self.say(about, str(trouble))
        else:
            self.say(about, "")

    def _look_around(self) -> None:
        if self.is_current or not self.settled:
            start(self, "banner", self.reading, "server", self._banner)

    async def _banner(self) -> None:
        self.say("daemon", await self.world.reading.banner())
