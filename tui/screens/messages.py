"""How a message looks in a list: a table where there is room, one short line where not."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tracing import ids
from tracing.states import State
from tui import formats, words
from tui.lang import N_, _
from tui.widgets.cells import Cells
from tui.widgets.columns import Column, Columns
from tui.widgets.header import WIDE
from tui.world import World

if TYPE_CHECKING:
    from tracing.queries import Recipient, Row
    from tui.data import Failure

_DIRECTIONS = (N_("in"), N_("out"), N_("own"))


def role(state: State) -> str:
    """The style of a state; glyph and word say the same without it."""
    if state in (State.STORED, State.RELAYED, State.DUPLICATE, State.REPLACED):
        return "good"
    if state.is_open or state in (State.RECEIVING, State.TEMPFAILED, State.QUARANTINED):
        return "wait"
    return "bad"


def direction(row: "Row") -> str:
    """in, out (submitted by our user) or own (made here)."""
    return _(_DIRECTIONS[row.direction]) if 0 <= row.direction < len(_DIRECTIONS) else "?"


def sender(row: "Row") -> str:
    """The reverse-path; the null sender is shown as ``<>``."""
    return row.sender or "<>"


def size(row: "Row") -> str:
    """How large it is; a dash where its text never came."""
    return formats.size(row.size) if row.size else "-"


def receivers(row: "Row", width: int) -> str:
    """The first recipient in so many cells; how many there are stays visible beside it."""
    more = f" ({row.nrcpt})" if row.nrcpt > 1 else ""
    first = formats.clean(row.recipients[0] if row.recipients else "-", 4 * max(1, width))
    return formats.fit(formats.fit(first, max(1, width - len(more))).rstrip() + more, width)


def place(recipient: "Recipient") -> str:
    """Where the recipient's copy lies now, in words."""
    if recipient.mailbox:
        return _("in {}").format(recipient.mailbox)
    if recipient.st:
        return _("no longer in any mailbox")
    if recipient.reply.startswith(str(recipient.code)):
        return recipient.reply
    said = (str(recipient.code or ""), recipient.enh, recipient.reply)
    return " ".join(part for part in said if part)


def summary(m: int, row: "Row | None", world: World, width: int) -> list[Cells]:
    """The message in three lines."""
    if row is None:
        return [[(ids.text(m), "strong")], [(_("the log has no row for this id"), "dim")], []]
    left, state = f"{ids.text(m)}  ", f" {row.state.glyph} {words.state(row.state)}"
    subject = formats.clean(row.subject) or (_("(no subject)") if row.size else _("(not received)"))
    facts = f" {formats.full_time(row.at, world.zone)}  {size(row)}"
    room = max(8, width - len(facts))
    who = f"{formats.clean(sender(row), 4 * room)} → {receivers(row, room).rstrip()}"
    told = f"{row.message_id or _('no Message-ID')}  {_('from')} {row.ip or '?'}"
    return [
        [
            (left, "dim"),
            (formats.fit(subject, max(8, width - len(left) - len(state))), "strong"),
            (state, role(row.state)),
        ],
        [(formats.fit(who, room), ""), (facts, "dim")],
        [(formats.cell(f"{told} ({row.helo or _('no name given')})", width), "dim")],
    ]


class MessageLook(Columns["Row"]):
    """The line of a message."""

    def columns(self, width: int) -> Sequence[Column]:
        """A table where there is room; else sender and receiver side by side."""
        if width < WIDE - 3:
            half = (width - 27) // 2
            return (
                (N_("Time"), 8, "dim"), ("", 1, ""), (N_("From"), half, ""), ("→", 1, "dim"),
                (N_("To"), 0, ""), (N_("Became"), 12, ""),
            )  # fmt: skip
        address = min(40, (width - 45) * 3 // 10)
        return (
            (N_("Time"), 15, "dim"), (N_("Dir"), 3, "dim"), ("", 1, ""), (N_("From"), address, ""),
            (N_("To"), address, ""), (N_("Subject"), 0, ""), (N_("Size"), -7, "dim"),
            (N_("Became"), 12, ""),
        )  # fmt: skip

    def texts(self, row: "Row", widths: Sequence[int]) -> Sequence[str]:
        """When, from whom, to whom, what about, what became of it."""
        zone, glyph, became = self.world.zone, row.state.glyph, words.state(row.state)
        if len(widths) == 6:
            time = formats.short_time(row.at, self.world.now_us(), zone)
            return time, glyph, sender(row), "→", receivers(row, widths[4]), became
        time, to = formats.day_time(row.at, zone), receivers(row, widths[4])
        return time, direction(row), glyph, sender(row), to, row.subject, size(row), became

    def role(self, row: "Row", name: str) -> str:
        """Glyph and word have the state's; what is open stands out."""
        if name == "Subject":
            return "strong" if row.state.is_open else ""
        return role(row.state) if name in ("", "Became") else ""

    def unread(self, number: int) -> str:
        """An id is a time."""
        at, now, zone = ids.time_us(number), self.world.now_us(), self.world.zone
        return f"{formats.short_time(at, now, zone)} …"


class FailureLook(Columns["Failure"]):
    """The line of a message that was not delivered, with the reason."""

    def columns(self, width: int) -> Sequence[Column]:
        """The reason has what is left."""
        half = max(9, (width - 19) // 5 if width < WIDE else 22)
        return (
            (N_("Time"), 8, "dim"), ("", 1, ""), (N_("From"), half, ""), ("→", 1, "dim"),
            (N_("To"), half, ""), (N_("Why"), 0, ""),
        )  # fmt: skip

    def texts(self, row: "Failure", widths: Sequence[int]) -> Sequence[str]:
        """When, from whom, to whom, why not."""
        message, now, zone = row.row, self.world.now_us(), self.world.zone
        time, to = formats.short_time(message.at, now, zone), receivers(message, widths[4])
        why = f"{words.state(message.state)}: {row.why or _('no reason kept')}"
        return time, message.state.glyph, sender(message), "→", to, why

    def role(self, row: "Failure", name: str) -> str:
        """Glyph and reason have the state's."""
        return role(row.row.state) if name in ("", "Why") else ""
