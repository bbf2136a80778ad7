"""What all screens have in common: header, banner, footer, room enough, keys from the table."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ClassVar, TypeVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Static

from tui import formats
from tui.actions import Scope
from tui.lang import _
from tui.source import Trouble
from tui.vtable import VTable
from tui.widgets.cells import Pane
from tui.widgets.footer import Footer
from tui.widgets.header import COMPACT_TALL, MIN_HEIGHT, MIN_WIDTH, TALL, WIDE, Header
from tui.work import start
from tui.world import World

if TYPE_CHECKING:
    from mtad.config import Loaded

T = TypeVar("T")

BANNER_SECONDS = 5
FLASH_SECONDS = 6


class Frame(Screen[None]):
    """A screen of the program. Subclasses give ``body``, their scope and their tab.

    What a pane shows is made from the screen's state; ``renew`` paints what has changed.
    """

    SCOPE: ClassVar[Scope] = Scope.APP
    """Whose actions its keys are."""
    TAB: ClassVar[str] = ""
    """The screen the header marks, unless it is told another."""
    DEFAULT_CSS = """
    Frame {
        #banner { height: auto; max-height: 4; display: none; padding: 0 1;
                  background: $surface; color: $text-warning; text-style: bold reverse; }
        #banner.-shown { display: block; }
        #banner.-bad { color: $text-error; }
        #small { display: none; width: 1fr; height: 1fr; content-align: center middle; }
        &.-tiny > * { display: none; }
        &.-tiny > #small { display: block; }
        .bar { height: 1; padding: 0 1; background: $surface; }
        .heading { height: 1; background: $panel; }
        .detail { padding: 0 1; background: $surface; }
    }
    """

    def __init__(self, world: World, tab: str = "") -> None:
        super().__init__()
        self.world = world
        self.tab = tab or self.TAB
        self.settled = False
        """Whether everything this screen shows at first has been read."""
        self._sentences: dict[str, str] = {"daemon": ""}
        self._flashing: Timer | None = None

    def compose(self) -> ComposeResult:
        """Header, banner, body, footer; the layout is chosen before they are made."""
        self._fits(*self.app.size)
        yield Header(self.world, self.tab)
        yield Static(id="banner", markup=False)
        yield from self.body()
        yield Static(_("mtad needs {}×{}").format(MIN_WIDTH, MIN_HEIGHT), id="small", markup=False)
        yield Footer()

    def body(self) -> ComposeResult:
        """What is between banner and footer."""
        raise NotImplementedError

    def renew(self) -> None:
        """Paint the panes whose lines have become others."""
        for pane in self.query(Pane):
            pane.renew()

    def given(self, text: str) -> None:
        """What was typed behind the screen's name at the prompt."""

    def on_vtable_changed(self, event: VTable.Changed) -> None:
        """Panes say where the cursor is and what is there."""
        self.renew()

    def on_mount(self) -> None:
        """Begin to watch what concerns every screen."""
        self.set_interval(1, self._each_second)
        self.set_interval(BANNER_SECONDS, self._look_around)
        self._look_around()

    def on_screen_resume(self) -> None:
        """What the banner says is from when the screen was last seen; so may lines be."""
        self._look_around()
        for pane in self.query(Pane):  # what was painted while another was on top is lost
            pane.refresh(layout=True)

    def on_resize(self, event: events.Resize) -> None:
        """Choose the layout."""
        self._fits(*event.size)

    def _fits(self, width: int, height: int) -> None:
        self.set_class(width < MIN_WIDTH or height < MIN_HEIGHT, "-tiny")
        self.set_class(width >= WIDE, "-wide")
        self.set_class(width < WIDE, "-compact")
        self.set_class(height < (TALL if width >= WIDE else COMPACT_TALL), "-short")

    async def action_quit(self) -> None:
        """Leave the program: a key of a screen is looked for in the screen alone."""
        await self.app.action_quit()

    def say(self, about: str, sentence: str) -> None:
        """Show a sentence in the banner until the same subject has another or none."""
        if self._sentences.get(about, "") == sentence:
            return
        self._sentences[about] = sentence
        shown = list(dict.fromkeys(text for text in self._sentences.values() if text))
        banner = self.query_one("#banner", Static)
        banner.update(Text("\n".join(formats.clean(text) for text in shown)))
        banner.set_class(bool(shown), "-shown")

    def flash(self, sentence: str) -> None:
        """Show a sentence in the banner for a few seconds."""
        self.say("flash", sentence)
        if self._flashing is not None:
            self._flashing.stop()
        self._flashing = self.set_timer(FLASH_SECONDS, lambda: self.say("flash", ""))

    async def acting(self, do: "Callable[[Loaded], T]") -> T:
        """Do something to the server. Raises Trouble, also where only reading is allowed."""
        if self.world.acting is None:
            raise Trouble(_("nothing can be changed: this is read-only"))
        return await self.world.acting.run(do)

    async def reading(self, about: str, read: Callable[[], Awaitable[None]]) -> None:
        """Run something that reads; what goes wrong is said in the banner."""
        try:
            await read()
        except Trouble as trouble:
            self.say(about, str(trouble))
        else:
            self.say(about, "")

    def _each_second(self) -> None:
        """The clock and every age go on."""
        if self.is_current:
            self.renew()

    def _look_around(self) -> None:
        if self.is_current or not self.settled:
            start(self, "banner", self.reading, "server", self._banner)

    async def _banner(self) -> None:
        self.say("daemon", await self.world.reading.banner())
        wrong = await self.world.reading.books()
        self.say("books", wrong)
        self.query_one("#banner").set_class(bool(wrong), "-bad")
