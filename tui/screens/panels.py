"""What the panels of the Overview say, in lines."""

from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import NamedTuple

from tracing.states import State
from tui import formats
from tui.data import Around, Glance
from tui.formats import counted
from tui.lang import N_, _
from tui.widgets.cells import Cells
from tui.widgets.plot import AXIS, chart

NONE_YET = N_("no data yet")
_BAR = 14
_MINUTE = 60_000_000


class Seen(NamedTuple):
    """What has been read, and when and where it is looked at."""

    glance: Glance
    around: Around
    now_us: int
    zone: tzinfo | None


_GROUPS: tuple[tuple[str, str, tuple[State, ...]], ...] = (
    (N_("delivered"), "good", (State.STORED, State.RELAYED, State.DUPLICATE, State.REPLACED)),
    (N_("waiting"), "wait", (State.QUEUED, State.DEFERRED, State.HELD, State.RECEIVING)),
    (N_("quarantined"), "wait", (State.QUARANTINED,)),
    (N_("returned"), "bad", (State.BOUNCED, State.EXPIRED, State.CANCELLED, State.DISCARDED)),
    (N_("refused"), "bad", (State.REFUSED,)),
    (N_("try later"), "wait", (State.TEMPFAILED,)),
    (N_("aborted"), "dim", (State.ABORTED,)),
)
"""Every state is in one group, in the order shown."""


def outcomes(seen: Seen, width: int, height: int) -> list[Cells]:
    """Messages of the last 24 hours by what became of them."""
    total = sum(seen.glance.outcomes.values())
    if not total:
        return [[(_(NONE_YET), "dim")]]
    lines: list[Cells] = []
    bar = max(0, min(_BAR + width - 46, 30))
    for name, role, states in _GROUPS:
        count = sum(seen.glance.outcomes.get(state, 0) for state in states)
        if not count and name not in ("delivered", "refused", "waiting"):
            continue
        filled = max(1, round(count * bar / total)) if count and bar else 0
        share = formats.decimal(f"{100 * count / total:.1f} %")
        lines.append(
            [
                (f"{states[0].glyph} ", role),
                (formats.fit(_(name), 12), ""),
                (f"{formats.number(count):>9} ", "strong"),
                ("█" * filled + " " * (bar - filled), role),
                (f"{share:>8}", "dim"),
            ]
        )
    return lines


def flow(seen: Seen, width: int, height: int) -> list[Cells]:
    """Accepted and refused messages a minute, and the sums of the hour."""
    counts = seen.glance.flow
    if counts is None:
        return [[], [], [(" " * AXIS + _(NONE_YET), "dim")]]
    times = (counts.since, counts.since + 30 * _MINUTE, counts.since + 60 * _MINUTE)
    left, middle, right = (formats.fine_time(at, seen.zone)[:5] for at in times)
    points = list(zip(counts.accepted, counts.refused, strict=True))
    legend: Cells = [
        ("⣿ ", "good"),
        (_("accepted {}").format(formats.number(sum(counts.accepted))) + "   ", ""),
        ("⢕ ", "bad"),
        (_("refused {}").format(formats.number(sum(counts.refused))) + "   ", ""),
        (_("copies delivered {}").format(formats.number(sum(counts.delivered))), "dim"),
    ]
    return [legend, *chart(points, (left, middle, right), width, height - 1)]


def store(seen: Seen, width: int, height: int) -> list[Cells]:
    """Messages, boxes, log, disk."""

    def fact(name: str, value: int | None, show: Callable[[int], str], more: str = "") -> Cells:
        known = (show(value), "") if value is not None else (_(NONE_YET), "dim")
        return [(formats.fit(name, 11), "dim"), known, (more, "dim")]

    glance = seen.glance
    octets = glance.day_octets if width >= 34 else None
    day = ", " + _("{} in 24 h").format(formats.size(octets)) if octets else ""
    return [
        fact(_("messages"), glance.messages, formats.number, day),
        fact(_("boxes used"), glance.boxes, formats.number),
        fact(_("event log"), glance.log_octets, formats.size),
        [(formats.fit(_("disk"), 11), "dim"), *_disk(glance.disk_total, glance.disk_free, width)],
    ]


def _disk(total: int | None, free: int | None, width: int) -> Cells:
    if not total or free is None:
        return [(_(NONE_YET), "dim")]
    part = 1 - free / total
    whole = " " + _("of {}").format(formats.size(total)) if width >= 44 else ""
    used = ", " + _("{} % used").format(round(100 * part)) + " " if width >= 34 else ""
    bar = min(16, width - 46) if width >= 50 else 0
    filled = round(part * bar)
    return [
        (_("{} free").format(formats.size(free)) + whole + used, ""),
        ("▓" * filled, "bad" if part > 0.95 else "wait" if part > 0.85 else "good"),
        ("░" * (bar - filled), "dim"),
    ]


def services(seen: Seen, width: int, height: int) -> list[Cells]:
    """The daemon's processes."""
    lines: list[Cells] = []
    for role in seen.around.roles:
        word, colour = ("● " + _("alive"), "good") if role.alive else ("✕ " + _("no answer"), "bad")
        lines.append(
            [
                (f"{role.name:<8}", ""),
                (formats.fit(word, 11), colour),
                (formats.cell(f" {role.note}", max(0, width - 19)), "dim"),
            ]
        )
    return lines or [[(_(NONE_YET), "dim")]]


def snapshots(seen: Seen, width: int, height: int) -> list[Cells]:
    """How many snapshots, and how old the last one is."""
    around, last = seen.around, seen.around.last_snapshot
    if last is None:
        if around.snapshots == 0:
            return [[("✕ " + _("none yet"), "bad")], [(_("make one: mtad snapshot create"), "dim")]]
        return [[("✕ " + _("cannot be read"), "bad") if around.trouble else (_(NONE_YET), "dim")]]
    age = seen.now_us - last.at
    fresh = age < 26 * 3600 * 1_000_000
    boxes = counted(last.boxes, "{} box", "{} boxes")
    return [
        [
            (("● " if fresh else "◔ ") + _("last") + " ", "good" if fresh else "wait"),
            (_("{} ago").format(formats.age(age)), "strong"),
        ],
        [(f"{boxes}, {counted(last.messages, '{} message', '{} messages')}", "")],
        [(_("{} in all, 5 to browse").format(formats.number(around.snapshots or 0)), "dim")],
    ]


def server(seen: Seen, width: int, height: int) -> list[Cells]:
    """Store, snapshots and services in one block, for narrow screens."""
    roles: list[tuple[str, str]] = []
    for role in seen.around.roles:
        mark = ("● " + _("up") + "  ", "good") if role.alive else ("✕ " + _("none") + "  ", "bad")
        roles += [(f"{role.name} ", ""), mark]
    snapshot = [(formats.fit(_("snapshot"), 11), "dim"), *snapshots(seen, width, 1)[0]]
    return [*store(seen, width, height), snapshot, roles[:4] or [(_(NONE_YET), "dim")], roles[4:]]


class Panel(NamedTuple):
    """A part of the Overview."""

    id: str
    title: str
    lines: Callable[[Seen, int, int], Sequence[Cells]]
    """For its width and height."""
    layout: str = ""
    """The only layout that has it."""


ABOVE = (
    Panel("flow", N_("Flow per minute, last hour"), flow),
    Panel("outcomes", N_("Messages, last 24 h"), outcomes),
    Panel("server", N_("Server"), server, "narrow"),
)
"""Those above the failures."""
BELOW = (
    Panel("store", N_("Store"), store, "wide"),
    Panel("snapshots", N_("Snapshots"), snapshots, "wide"),
    Panel("services", N_("Services"), services, "wide"),
)
