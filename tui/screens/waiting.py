"""How what waits in the queue looks in a list: destinations, and recipients."""

from collections.abc import Sequence, Set

from tracing import ids
from tui import formats, words
from tui.data import Destination, Waiting
from tui.lang import C_, N_, _
from tui.screens import messages
from tui.widgets.cells import Cells
from tui.widgets.columns import Column, Columns
from tui.widgets.header import WIDE
from tui.world import World

MARKED = "✓"


def due(at_us: int, now_us: int) -> str:
    """When something is tried next."""
    if not at_us:
        return "-"
    return C_("time", "in {}").format(formats.span(at_us - now_us)) if at_us > now_us else _("now")


class DestinationLook(Columns[Destination]):
    """The line of a domain that mail waits for."""

    EMPTY = N_("nothing waits to leave")

    def __init__(self, world: World, marks: Set[object]) -> None:
        super().__init__(world)
        self._marks = marks

    def columns(self, width: int) -> Sequence[Column]:
        """The last answer has what is left."""
        name = max(16, min(40, width // 4))
        return (
            ("", 1, "strong"), (N_("Destination"), name, ""), (N_("Waiting"), -9, ""),
            (N_("Held"), -7, "wait"), (N_("Oldest"), -11, ""), (N_("Next try"), -13, ""),
            (N_("Last answer"), 0, "dim"),
        )  # fmt: skip

    def texts(self, row: Destination, widths: Sequence[int]) -> Sequence[str]:
        """Where to, how many, how long."""
        now = self.world.now_us()
        return (
            MARKED if row.domain in self._marks else "",
            row.domain,
            formats.number(row.recipients),
            formats.number(row.held) if row.held else "-",
            formats.age(now - row.oldest),
            due(row.next_try, now),
            row.reply,
        )

    def detail(self, row: Destination, width: int) -> Sequence[Cells]:
        """The whole of the last answer."""
        reply = formats.clean(row.reply) or _("not tried yet")
        lines = list(formats.wrap(reply, max(10, width)))[:3]
        return [[(formats.cell(row.domain, width), "strong")], *([(line, "")] for line in lines)]


class WaitingLook(Columns[Waiting]):
    """The line of a recipient that waits."""

    EMPTY = N_("nobody waits here")

    def __init__(self, world: World, marks: Set[object]) -> None:
        super().__init__(world)
        self._marks = marks

    def columns(self, width: int) -> Sequence[Column]:
        """The last answer has what is left where there is room."""
        if width < WIDE - 3:
            return (
                ("", 1, "strong"), (" ", 1, ""), (N_("To"), 0, ""), (N_("Age"), -10, "dim"),
                (N_("Tries"), -6, ""), (N_("Next try"), -12, ""), (N_("State"), 10, ""),
            )  # fmt: skip
        address = (width - 52) * 3 // 10
        return (
            ("", 1, "strong"), (" ", 1, ""), (N_("From"), address, ""), (N_("To"), address, ""),
            (N_("Age"), -10, "dim"), (N_("Tries"), -6, ""), (N_("Next try"), -12, ""),
            (N_("State"), 10, ""), (N_("Last answer"), 0, "dim"),
        )  # fmt: skip

    def texts(self, row: Waiting, widths: Sequence[int]) -> Sequence[str]:
        """Who waits, how long, what the other side said."""
        now = self.world.now_us()
        mark = MARKED if (row.m, row.n) in self._marks else ""
        times = formats.age(now - row.accepted), formats.number(row.tries)
        state = due(row.next_try, now), words.state(row.state)
        if len(widths) == 7:
            return mark, row.state.glyph, row.to, *times, *state
        sender = row.sender or "<>"
        return mark, row.state.glyph, sender, row.to, *times, *state, row.held or row.reply

    def role(self, row: Waiting, name: str) -> str:
        """Glyph and word have the state's."""
        return messages.role(row.state) if name in (" ", "State") else ""

    def detail(self, row: Waiting, width: int) -> Sequence[Cells]:
        """The message in a line, and the whole of the last answer."""
        subject = row.subject or _("(no subject)")
        facts = f"{ids.text(row.m)}  {formats.size(row.size)}  {row.sender or '<>'} → {row.to}"
        said = row.reply or _("not tried yet")
        if row.held:
            said = _("held: {}").format(row.held) + (f"; {row.reply}" if row.reply else "")
        lines = list(formats.wrap(formats.clean(said), max(10, width)))[:2]
        return [
            [(formats.cell(subject, width), "strong")],
            [(formats.cell(facts, width), "dim")],
            *([(line, "")] for line in lines),
        ]


class HeldLook(WaitingLook):
    """The line of a recipient that is held: why has what is left."""

    EMPTY = N_("nothing is held; h on the Queue screen holds what waits")

    def columns(self, width: int) -> Sequence[Column]:
        """The sender is left out where there is no room."""
        narrow = width < WIDE - 3
        address = (width - 32) * 3 // 10
        sender = () if narrow else ((N_("From"), address, ""),)
        return (
            ("", 1, "strong"), (" ", 1, ""), *sender, (N_("To"), address, ""),
            (N_("Age"), -10, "dim"), (N_("Subject"), address if narrow else address - 4, ""),
            (N_("Why"), 0, "wait"),
        )  # fmt: skip

    def texts(self, row: Waiting, widths: Sequence[int]) -> Sequence[str]:
        """For whom, since when, what about, why."""
        mark = MARKED if (row.m, row.n) in self._marks else ""
        age = formats.age(self.world.now_us() - row.accepted)
        said = age, row.subject or _("(no subject)"), row.held or words.state(row.state)
        who = (row.to,) if len(widths) == 6 else (row.sender or "<>", row.to)
        return (mark, row.state.glyph, *who, *said)
