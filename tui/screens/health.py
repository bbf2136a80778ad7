"""Whether all is well: what was measured, what is expected, why it matters and what to do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from mtad.setup.doctor.check import Verdict
from tui import actions, formats
from tui.lang import N_, _
from tui.screens.frame import Frame
from tui.source import Trouble
from tui.vtable import VTable
from tui.widgets.cells import Cells, Pane
from tui.widgets.columns import Column, Columns
from tui.widgets.header import WIDE
from tui.work import start
from tui.world import World

if TYPE_CHECKING:
    from mtad.setup.doctor.check import Check

VERDICTS: dict[Verdict, tuple[str, str, str]] = {
    Verdict.BAD: ("✕", N_("bad"), "bad"),
    Verdict.WARN: ("!", N_("warning"), "wait"),
    Verdict.UNKNOWN: ("?", N_("not known"), "wait"),
    Verdict.OK: ("●", N_("fine"), "good"),
}
"""Glyph, word and role of each; the worst first, as they are listed."""
_ORDER = list(VERDICTS)
_LABELS = (N_("measured"), N_("expected"), N_("cause"), N_("fix"))


def facts(check: "Check") -> list[tuple[str, str]]:
    """What is known of a check, each with its name; nothing that is empty."""
    values = check.measured, check.expected, check.cause, check.fix
    return [(_(label), value) for label, value in zip(_LABELS, values, strict=True) if value]


class CheckLook(Columns["Check"]):
    """The line of a check."""

    EMPTY = N_("nothing was checked")

    def columns(self, width: int) -> Sequence[Column]:
        """What was measured has what is left."""
        name = max(24, min(48, width * 4 // 10))
        narrow = width < WIDE - 3
        expected = () if narrow else ((N_("Expected"), width // 4, "dim"),)
        return (
            ("", 1, ""), (N_("Verdict"), 10, ""), (N_("Check"), name, ""),
            (N_("Measured"), 0, ""), *expected,
        )  # fmt: skip

    def texts(self, row: "Check", widths: Sequence[int]) -> Sequence[str]:
        """How it is, what it is, what was found."""
        glyph, word, _role = VERDICTS[row.verdict]
        shown = glyph, _(word), row.id, row.measured
        return (*shown, row.expected)[: len(widths)]

    def role(self, row: "Check", name: str) -> str:
        """Glyph and word have the verdict's."""
        return VERDICTS[row.verdict][2] if name in ("", "Verdict") else ""

    def detail(self, row: "Check", width: int) -> Sequence[Cells]:
        """All of it; what is long is cut into lines."""
        label = max(formats.cell_len(_(name)) for name in _LABELS) + 2
        lines: list[Cells] = [[(formats.cell(row.id, width), "strong")]]
        for name, value in facts(row):
            parts = list(formats.wrap(formats.clean(value), max(10, width - label)))[:3]
            for index, part in enumerate(parts):
                lines.append([(formats.fit("" if index else name, label), "dim"), (part, "")])
        return lines


class HealthScreen(Frame):
    """Screen 7. Looked at when it is first shown, and when someone asks."""

    TAB = "health"
    SCOPE = actions.Scope.HEALTH
    BINDINGS = actions.bindings(actions.Scope.HEALTH)
    AUTO_FOCUS = "#list"
    DEFAULT_CSS = """
    HealthScreen {
        #list { height: 1fr; }
        .detail { height: 9; border-top: solid $foreground 30%; }
        &.-short .detail { height: 7; }
    }
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._checked = 0
        """When it was looked at last, microseconds; 0 for not yet."""
        self._looking = False
        self.table: VTable[Check] = VTable(CheckLook(world), id="list", opens=False)

    def body(self) -> ComposeResult:
        """How it is in all, the checks, the one under the cursor."""
        yield Pane(self._sum, classes="bar")
        yield Pane(lambda *_at: self.table.heading, classes="heading")
        yield self.table
        yield Pane(self._detail, classes="detail")

    def on_mount(self) -> None:
        """Look."""
        self.action_reload()

    def action_reload(self) -> None:
        """Look again; a look that goes on is left to end."""
        if not self._looking:
            self._looking = True
            self.renew()
            start(self, "read", self.reading, "health", self._read)

    async def _read(self) -> None:
        try:
            found = await self.world.reading.health()
        except Trouble as trouble:
            self.table.fail(trouble)
            raise
        else:
            self._checked = self.world.now_us()
            self.table.show(sorted(found, key=lambda check: _ORDER.index(check.verdict)))
        finally:
            self._looking, self.settled = False, True
            self.renew()

    def action_copy(self) -> None:
        """The check under the cursor, as text."""
        if (check := self.table.current_row) is not None:
            text = [check.id, *(f"  {name}: {value}" for name, value in facts(check))]
            self.app.copy_to_clipboard("\n".join(map(formats.clean, text)))
            self.flash(_("copied"))

    def _sum(self, width: int, height: int) -> Sequence[Cells]:
        rows = self.table.vector.rows.values()
        line: list[tuple[str, str]] = []
        for verdict, (glyph, word, role) in VERDICTS.items():
            if count := sum(row.verdict is verdict for row in rows):
                line.append((f"{glyph} {formats.number(count)} {_(word)}  ", role))
        if self._checked:
            age = formats.age(self.world.now_us() - self._checked)
            line.append((_("{} ago").format(age) + "  ", "dim"))
        if self._looking:
            line.append((_("checking …"), "strong"))
        return [line]

    def _detail(self, width: int, height: int) -> Sequence[Cells]:
        row = self.table.current_row
        return self.table.look.detail(row, width) if row is not None else ()
