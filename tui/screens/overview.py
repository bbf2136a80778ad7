"""The whole server at a glance; every figure is read, none is made up."""

from collections.abc import Sequence
from dataclasses import replace

from textual.app import ComposeResult
from textual.containers import Container

from tui import actions, formats
from tui.data import Around, Failure, Glance
from tui.lang import N_, _
from tui.screens import panels
from tui.screens.messages import FailureLook
from tui.screens.onmessage import OnMessage, Selected
from tui.screens.timeline import TimelineScreen
from tui.source import Trouble
from tui.vtable import VTable
from tui.widgets.cells import Cells, Pane
from tui.work import REFRESH_SECONDS, Turn, start
from tui.world import World

HOUR = 3_600_000_000


class OverviewScreen(OnMessage):
    """Screen 1. Log and processes are read apart: neither waits for the other."""

    TAB = "overview"
    SCOPE = actions.Scope.OVERVIEW
    BINDINGS = actions.bindings(actions.Scope.OVERVIEW, actions.Scope.MESSAGE)
    AUTO_FOCUS = "#failures"
    DEFAULT_CSS = """
    OverviewScreen {
        #all { height: 1fr; layout: grid; overflow-y: auto; scrollbar-size-vertical: 1; }
        .box { border: round $foreground 30%; border-title-color: $foreground; padding: 0 1;
               height: 100%; }
        #failures { padding: 0; min-height: 3; }
        #failures:focus { border: round $primary; }
        &.-compact #all { grid-size: 2; grid-rows: 8 9 1fr; }
        &.-compact #flow, &.-compact #failures { column-span: 2; }
        &.-compact .wide, &.-wide .narrow { display: none; }
        &.-compact.-short #all { grid-rows: 9 1fr; }
        &.-compact.-short #flow { display: none; }
        &.-wide #all { grid-size: 12; grid-rows: 12 1fr 6; }
        &.-wide.-short #all { grid-rows: 9 1fr 6; }
        &.-wide #flow { column-span: 7; }
        &.-wide #outcomes { column-span: 5; }
        &.-wide #failures { column-span: 12; }
        &.-wide #store { column-span: 5; }
        &.-wide #snapshots { column-span: 3; }
        &.-wide #services { column-span: 4; }
    }
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._glance, self._around = Glance(), Around()
        self._back = 0
        """How many hours before now the log is looked at."""
        self._failures: VTable[Failure] = VTable(FailureLook(world), id="failures")
        self._failures.border_title = _("Last failures")
        self._failures.add_class("box")
        self._turns = {"overview": Turn(self._read_log), "around": Turn(self._read_around)}

    def body(self) -> ComposeResult:
        """Panels; scrolled where they do not fit."""
        with Container(id="all"):
            yield from map(self._panel, panels.ABOVE)
            yield self._failures
            yield from map(self._panel, panels.BELOW)

    def _panel(self, panel: panels.Panel) -> Pane:
        def lines(width: int, height: int) -> Sequence[Cells]:
            now, zone = self.world.now_us(), self.world.zone
            return panel.lines(panels.Seen(self._glance, self._around, now, zone), width, height)

        return Pane(lines, id=panel.id, classes=f"box {panel.layout}", title=_(panel.title))

    def on_mount(self) -> None:
        """Show what has been read while the program was loaded, and read on."""
        if (known := self.world.reading.known_glance()) is not None:
            self._show(known)
        self.set_interval(REFRESH_SECONDS, self._again)
        self.action_reload()

    def _again(self) -> None:
        """Read again what is due."""
        if self.is_current:
            self._start([name for name, turn in self._turns.items() if turn.is_due])

    def on_screen_resume(self) -> None:
        """Back on the screen: what is shown is old."""
        if self.settled:
            self.action_reload()

    def action_reload(self) -> None:
        """Read everything again; a reading that goes on is left to end, however slow it is."""
        self._start([name for name, turn in self._turns.items() if not turn.is_running])

    def _start(self, names: Sequence[str]) -> None:
        for name in names:
            start(self, name, self._take, name)

    async def _take(self, name: str) -> None:
        await self.reading(name, self._turns[name].take)
        self.settled = all(turn.is_known for turn in self._turns.values())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is later than now."""
        if action == "walk" and parameters == (-1,):
            return self._back > 0
        return super().check_action(action, parameters)

    def action_walk(self, hours: int) -> None:
        """Look at the log as of so many hours earlier."""
        self._back = max(0, self._back + hours)
        told = ""
        if self._back:
            at = formats.full_time(self._at(), self.world.zone)
            told = _("flow, outcomes and failures until {}; all else is of now; ] goes on").format(
                at
            )
        self.say("history", told)
        self.refresh_bindings()
        start(self, "overview", self._take, "overview")

    def _at(self) -> int:
        return self.world.now_us() - self._back * HOUR

    async def _read_log(self) -> None:
        back = self._back
        try:
            glance = await self.world.reading.glance(self._at())
            # what came in a day goes with the flow's time, and stands among figures of now
            self._show(replace(glance, day_octets=None) if back else glance)
        except Trouble as trouble:
            self._failures.fail(trouble)
            raise

    def _show(self, glance: Glance) -> None:
        before, self._glance, table = self._glance, glance, self._failures
        table.empty = N_("no failures in the last 24 h")
        if not table.complete or table.trouble or before.failures != glance.failures:
            table.show(glance.failures)
        self.renew()

    async def _read_around(self) -> None:
        self._around = await self.world.reading.around()
        self.renew()
        if self._around.trouble:
            raise Trouble(self._around.trouble)

    def selected(self) -> Selected | None:
        """The failure under the cursor."""
        failure = self._failures.current_row
        return Selected(failure.row.id) if failure is not None else None

    def on_vtable_opened(self, event: VTable.Opened) -> None:
        """Open a failure's timeline."""
        self.app.push_screen(TimelineScreen(self.world, event.row.row.id))
