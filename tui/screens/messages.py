"""How a message looks in a list: a table where there is room, one short line where not."""

from typing import TYPE_CHECKING

from tracing import ids
from tracing.states import State
from tui import formats
from tui.widgets.cells import Cells
from tui.widgets.header import WIDE
from tui.world import World

if TYPE_CHECKING:
    from tracing.queries import Row
    from tui.data import Failure

_DIRECTIONS = ("in", "out", "own")
_STATE = 12
_TIME, _SHORT_TIME, _DIRECTION, _SIZE = 15, 8, 3, 7


def role(state: State) -> str:
    """The style of a state; glyph and word say the same without it."""
    if state in (State.STORED, State.RELAYED, State.DUPLICATE, State.REPLACED):
        return "good"
    if state.is_open or state in (State.RECEIVING, State.TEMPFAILED, State.QUARANTINED):
        return "wait"
    return "bad"


def direction(row: "Row") -> str:
    """in, out (submitted by our user) or own (made here)."""
    return _DIRECTIONS[row.direction] if 0 <= row.direction < len(_DIRECTIONS) else "?"


def sender(row: "Row") -> str:
    """The reverse-path; the null sender is shown as ``<>``."""
    return row.sender or "<>"


def receivers(row: "Row") -> str:
    """The first recipient, and how many there are when it is not the only one."""
    if not row.recipients:
        return "-"
    more = f" ({row.nrcpt})" if row.nrcpt > 1 else ""
    return row.recipients[0] + more


class MessageLook:
    """The line of a message."""

    def __init__(self, world: World) -> None:
        self.world = world

    def _widths(self, width: int) -> tuple[int, int, int]:
        """Cells of sender, receiver, subject in the wide layout."""
        free = width - _TIME - _DIRECTION - _SIZE - _STATE - 8
        address = min(40, free * 3 // 10)
        return address, address, free - 2 * address

    def heading(self, width: int) -> str:
        """The column names, exactly ``width`` cells with the cursor's column before them."""
        fit = formats.fit
        if width < WIDE - 2:
            rest = width - 1 - _SHORT_TIME - _STATE - 4
            line = f" {'Time':<8}   {fit('From → To', rest)} {'Became':<{_STATE}}"
            return fit(line, width)
        one, two, three = self._widths(width - 1)
        line = (
            f" {'Time':<{_TIME}} {'Dir':<3}   {fit('From', one)} {fit('To', two)} "
            f"{fit('Subject', three)} {'Size':>{_SIZE}} {'Became':<{_STATE}}"
        )
        return fit(line, width)

    def cells(self, number: int, row: "Row | None", width: int) -> Cells:
        """The line."""
        at = row.at if row is not None else ids.time_us(number)
        if width < WIDE - 3:
            return self._short(at, row, width)
        time = (formats.fit(formats.day_time(at, self.world.zone), _TIME), "dim")
        if row is None:
            return [time, (formats.fit(" …", width - _TIME), "dim")]
        one, two, three = self._widths(width)
        style = role(row.state)
        return [
            time,
            (f" {direction(row):<3} ", "dim"),
            (f"{row.state.glyph} ", style),
            (formats.cell(sender(row), one) + " ", ""),
            (self._receivers(row, two) + " ", ""),
            (formats.cell(row.subject, three) + " ", "strong" if row.state.is_open else ""),
            (formats.fit(formats.size(row.size), _SIZE, right=True) + " ", "dim"),
            (formats.fit(row.state.word, _STATE), style),
        ]

    def _short(self, at: int, row: "Row | None", width: int) -> Cells:
        time = formats.short_time(at, self.world.now_us(), self.world.zone)
        shown = (formats.fit(time, _SHORT_TIME), "dim")
        if row is None:
            return [shown, (formats.fit(" …", width - _SHORT_TIME), "dim")]
        rest = width - _SHORT_TIME - _STATE - 4
        half = (rest - 3) // 2
        style = role(row.state)
        return [
            shown,
            (f" {row.state.glyph} ", style),
            (formats.cell(sender(row), half), ""),
            (" → ", "dim"),
            (self._receivers(row, rest - 3 - half) + " ", ""),
            (formats.fit(row.state.word, _STATE), style),
        ]

    @staticmethod
    def _receivers(row: "Row", width: int) -> str:
        """The count stays visible when the address does not fit."""
        more = f" ({row.nrcpt})" if row.nrcpt > 1 else ""
        first = row.recipients[0] if row.recipients else "-"
        room = max(1, width - len(more))
        text = formats.clean(first, 4 * width)
        return formats.fit(formats.fit(text, room).rstrip() + more, width)


class FailureLook:
    """The line of a message that was not delivered, with the reason."""

    def __init__(self, world: World) -> None:
        self.world = world

    def heading(self, width: int) -> str:
        """The column names."""
        return formats.fit(" Time       From → To, and why", width)

    def cells(self, number: int, row: "Failure | None", width: int) -> Cells:
        """The line."""
        if row is None:
            return [(formats.fit("…", width), "dim")]
        message = row.row
        time = formats.short_time(message.at, self.world.now_us(), self.world.zone)
        rest = width - _SHORT_TIME - 3
        who = max(20, rest * 2 // 5 if width < WIDE else 46)
        half = (who - 3) // 2
        return [
            (formats.fit(time, _SHORT_TIME), "dim"),
            (f" {message.state.glyph} ", role(message.state)),
            (formats.cell(sender(message), half), ""),
            (" → ", "dim"),
            (formats.cell(receivers(message), who - 3 - half), ""),
            (
                formats.cell(f" {message.state.word}: {row.why or 'no reason kept'}", rest - who),
                role(message.state),
            ),
        ]
