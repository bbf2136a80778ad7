"""The whole server at a glance; every figure is read, none is made up."""

import time
from collections.abc import Awaitable, Callable, Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll

from tracing.states import State
from tui import actions, formats
from tui.data import Around, Failure, Flow, Glance
from tui.screens.frame import Frame
from tui.screens.messages import FailureLook
from tui.screens.timeline import TimelineScreen
from tui.vtable import Trouble, VTable
from tui.widgets.cells import Block, Cells, Pane
from tui.widgets.plot import Plot
from tui.work import start
from tui.world import World

REFRESH_SECONDS = 2
PATIENCE = 20
"""A reading is repeated no sooner than this many times as long as it took, within reason."""
LONGEST_PAUSE_SECONDS = 10
NONE_YET = "no data yet"
_BAR = 14

_GROUPS: tuple[tuple[str, str, tuple[State, ...]], ...] = (
    ("delivered", "good", (State.STORED, State.RELAYED, State.DUPLICATE, State.REPLACED)),
    ("waiting", "wait", (State.QUEUED, State.DEFERRED, State.HELD, State.RECEIVING)),
    ("quarantined", "wait", (State.QUARANTINED,)),
    ("returned", "bad", (State.BOUNCED, State.EXPIRED, State.CANCELLED, State.DISCARDED)),
    ("refused", "bad", (State.REFUSED,)),
    ("try later", "wait", (State.TEMPFAILED,)),
    ("aborted", "dim", (State.ABORTED,)),
)
"""Every state is in one group, in the order shown."""


def outcome_lines(glance: Glance, width: int) -> list[Cells]:
    """Messages of the last 24 hours by what became of them."""
    total = sum(glance.outcomes.values())
    if not total:
        return [[(NONE_YET, "dim")]]
    lines: list[Cells] = []
    bar = max(0, min(_BAR + width - 46, 30))
    for name, role, states in _GROUPS:
        count = sum(glance.outcomes.get(state, 0) for state in states)
        if not count and name not in ("delivered", "refused", "waiting"):
            continue
        filled = max(1, round(count * bar / total)) if count and bar else 0
        share = f"{100 * count / total:.1f} %"
        lines.append(
            [
                (f"{states[0].glyph} ", role),
                (f"{name:<12}", ""),
                (f"{formats.number(count):>9} ", "strong"),
                ("█" * filled + " " * (bar - filled), role),
                (f"{share:>8}", "dim"),
            ]
        )
    return lines


def flow_total(flow: Flow) -> Cells:
    """The plot's legend with the sums of the hour."""
    accepted, refused, delivered = map(sum, (flow.accepted, flow.refused, flow.delivered))
    return [
        ("⣿ ", "good"),
        (f"accepted {formats.number(accepted)}   ", ""),
        ("⢕ ", "bad"),
        (f"refused {formats.number(refused)}   ", ""),
        (f"copies delivered {formats.number(delivered)}", "dim"),
    ]


def store_lines(glance: Glance, width: int) -> list[Cells]:
    """Messages, boxes, log, disk."""

    def known(value: int | None, text: str) -> tuple[str, str]:
        return (text, "") if value is not None else (NONE_YET, "dim")

    lines: list[Cells] = [
        [
            ("messages   ", "dim"),
            known(glance.messages, formats.number(glance.messages or 0)),
            (f", {formats.size(glance.day_octets)} in 24 h" if glance.day_octets else "", "dim"),
        ],
        [("boxes used ", "dim"), known(glance.boxes, formats.number(glance.boxes or 0))],
        [("event log  ", "dim"), known(glance.log_octets, formats.size(glance.log_octets))],
    ]
    total, free = glance.disk_total, glance.disk_free
    if total and free is not None:
        used = total - free
        part = used / total
        whole = f" of {formats.size(total)}" if width >= 44 else ""
        role = "bad" if part > 0.95 else "wait" if part > 0.85 else "good"
        bar = max(0, min(16, width - 45))
        filled = round(part * bar)
        lines.append(
            [
                ("disk       ", "dim"),
                (f"{formats.size(free)} free{whole}, ", ""),
                (f"{100 * part:.0f} % used ", ""),
                ("▓" * filled, role),
                ("░" * (bar - filled), "dim"),
            ]
        )
    else:
        lines.append([("disk       ", "dim"), (NONE_YET, "dim")])
    return lines


def service_lines(around: Around, width: int) -> list[Cells]:
    """The daemon's processes."""
    lines: list[Cells] = []
    for role in around.roles:
        word, colour = ("● alive    ", "good") if role.alive else ("✕ no answer", "bad")
        lines.append(
            [
                (f"{role.name:<8}", ""),
                (word, colour),
                (formats.cell(f" {role.note}", max(0, width - 19)), "dim"),
            ]
        )
    return lines or [[(NONE_YET, "dim")]]


def snapshot_lines(around: Around, now_us: int) -> list[Cells]:
    """How many snapshots, and how old the last one is."""
    last = around.last_snapshot
    if last is None:
        if around.snapshots == 0:
            return [
                [("✕ none yet", "bad")],
                [("make one: mtad snapshot create", "dim")],
            ]
        return [[("✕ cannot be read", "bad") if around.trouble else (NONE_YET, "dim")]]
    age = max(0, now_us - last.at)
    fresh = age < 26 * 3600 * 1_000_000
    return [
        [
            ("● last " if fresh else "◔ last ", "good" if fresh else "wait"),
            (f"{formats.span(age)} ago", "strong"),
        ],
        [
            (
                f"{formats.counted(last.boxes, 'box', 'boxes')}, "
                f"{formats.counted(last.messages, 'message', 'messages')}",
                "",
            )
        ],
        [(f"{formats.number(around.snapshots or 0)} in all, 5 to browse", "dim")],
    ]


def server_lines(glance: Glance, around: Around, now_us: int, width: int) -> list[Cells]:
    """Store, snapshots and services in one block, for narrow screens."""
    roles: list[tuple[str, str]] = []
    for role in around.roles:
        mark = ("● up  ", "good") if role.alive else ("✕ none  ", "bad")
        roles += [(f"{role.name} ", ""), mark]
    snapshot = [("snapshot   ", "dim"), *snapshot_lines(around, now_us)[0]]
    return [*store_lines(glance, width), snapshot, roles[:4] or [(NONE_YET, "dim")], roles[4:]]


class Turn:
    """One of the things that are read again and again, each at its own pace."""

    def __init__(self, read: Callable[[], Awaitable[None]]) -> None:
        self._read = read
        self._due = 0.0
        self.is_running = self.is_known = False

    @property
    def is_due(self) -> bool:
        """Whether the last reading is old for what it cost."""
        return not self.is_running and time.monotonic() >= self._due

    async def take(self) -> None:
        """Read. Raises what reading raises."""
        self.is_running = True
        begun = time.monotonic()
        try:
            await self._read()
        finally:
            pause = max(REFRESH_SECONDS, PATIENCE * (time.monotonic() - begun))
            self._due = begun + min(pause, LONGEST_PAUSE_SECONDS)
            self.is_running, self.is_known = False, True


class OverviewScreen(Frame):
    """Screen 1. Log and processes are read apart: neither waits for the other."""

    TAB = "overview"
    SCOPE = actions.Scope.OVERVIEW
    BINDINGS = actions.bindings(actions.Scope.OVERVIEW)
    AUTO_FOCUS = "#failures"
    DEFAULT_CSS = """
    OverviewScreen {
        #all { height: 1fr; scrollbar-size-vertical: 1; }
        .box { border: round $foreground 30%; border-title-color: $foreground; padding: 0 1; }
        #failures { border: round $foreground 30%; border-title-color: $foreground; }
        #failures:focus { border: round $primary; }
        #flow { width: 1fr; height: 8; }
        .row { height: 9; }
        .row > .box { width: 1fr; height: 9; }
        #failures { height: 1fr; min-height: 3; }
        &.-wide #first { height: 12; }
        &.-wide #flow { width: 7fr; height: 12; }
        &.-wide #first > #outcomes { width: 5fr; height: 12; }
        &.-wide #rest, &.-wide #rest > .box { height: 7; }
        &.-wide #store { width: 5fr; }
        &.-wide #snapshots { width: 3fr; }
        &.-wide #services { width: 4fr; }
        &.-wide .narrow { display: none; }
        &.-compact .wide { display: none; }
        &.-compact #first { height: 8; }
    }
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._glance, self._around = Glance(), Around()
        self._failures: Sequence[Failure] | None = None
        self._turns = {"overview": Turn(self._read_log), "around": Turn(self._read_around)}

    def body(self) -> ComposeResult:
        """Panels; scrolled where they do not fit."""
        with VerticalScroll(id="all"):
            with Horizontal(id="first", classes="row"):
                yield titled(Plot(id="flow"), "Flow per minute, last hour")
                yield titled(Block(id="outcomes", classes="wide"), "Messages of the last 24 h")
            with Horizontal(classes="row narrow"):
                yield titled(Block(id="outcomes2"), "Last 24 h")
                yield titled(Block(id="server"), "Server")
            failures: VTable[Failure] = VTable(FailureLook(self.world), id="failures")
            failures.border_title = "Last failures"
            yield failures
            with Horizontal(id="rest", classes="row wide"):
                yield titled(Block(id="store"), "Store")
                yield titled(Block(id="snapshots"), "Snapshots")
                yield titled(Block(id="services"), "Services")

    def on_mount(self) -> None:
        """Begin to read."""
        self.set_interval(REFRESH_SECONDS, self._again)
        self.action_reload()

    def _again(self) -> None:
        """Read again what is due."""
        if self.is_current:
            self._start([name for name, turn in self._turns.items() if turn.is_due])

    def on_resize(self, event: events.Resize) -> None:
        """Panels are filled for their width, which they have after the layout."""
        if self.settled:
            self.call_after_refresh(self._show, self.world.now_us())

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

    async def _read_log(self) -> None:
        failures = self.query_one("#failures", VTable)
        try:
            self._glance = await self.world.reading.glance(self.world.now_us())
        except Trouble:
            failures.empty = "cannot be read"
            self._show(self.world.now_us())
            raise
        failures.empty = "no failures in the last 24 h"
        self._show(self.world.now_us())

    async def _read_around(self) -> None:
        self._around = await self.world.reading.around()
        self._show(self.world.now_us())
        if self._around.trouble:
            raise Trouble(self._around.trouble)

    def _show(self, now: int) -> None:
        glance, around = self._glance, self._around
        self._show_flow(glance.flow)
        for name in ("outcomes", "outcomes2"):
            block = self.query_one(f"#{name}", Block)
            block.put(outcome_lines(glance, block.size.width or 46))
        width = self.query_one("#store", Block).size.width
        self.query_one("#store", Block).put(store_lines(glance, width or 46))
        self.query_one("#snapshots", Block).put(snapshot_lines(around, now))
        services = self.query_one("#services", Block)
        services.put(service_lines(around, services.size.width or 36))
        server = self.query_one("#server", Block)
        server.put(server_lines(glance, around, now, server.size.width or 36))
        if self._failures is None or list(self._failures) != list(glance.failures):
            self._failures = glance.failures
            self.query_one("#failures", VTable).show(glance.failures)

    def _show_flow(self, flow: Flow | None) -> None:
        plot = self.query_one("#flow", Plot)
        if flow is None:
            plot.put((), ("", "", ""), (), NONE_YET)
            return
        minutes = len(flow.accepted)
        labels = [
            formats.fine_time(flow.since + 60_000_000 * at, self.world.zone)[:5]
            for at in (0, minutes // 2, minutes)
        ]
        points = list(zip(flow.accepted, flow.refused, strict=True))
        plot.put(points, (labels[0], labels[1], labels[2]), flow_total(flow))

    def on_vtable_opened(self, event: VTable.Opened) -> None:
        """Open a failure's timeline."""
        failure = event.table.row(event.number)
        if failure is not None:
            self.app.push_screen(TimelineScreen(self.world, failure.row.id))


def titled(widget: Pane, title: str) -> Pane:
    """A panel with its title."""
    widget.add_class("box")
    widget.border_title = title
    return widget
