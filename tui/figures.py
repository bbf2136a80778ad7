"""What the Overview shows of a real server: counts of its log, its disk, its processes."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from mtad import control, ledger
from mtad.errors import MtadError, Unreachable
from mtad.where import Kept, Places
from tracing import months
from tracing.queries import Log, Row
from tui.data import Failure, Flow, Glance, Role
from tui.formats import counted
from tui.lang import _

ROLES = ("mta", "log", "access", "jobs")
ASK_SECONDS = 2
FAILURES = 12
_MINUTE = 60_000_000
_DAY = 24 * 60 * _MINUTE
_MINUTES = 60


def glance(log: Log, places: Places, now_us: int) -> Glance:
    """The figures of log and disk."""
    disk = shutil.disk_usage(_existing(places.data))
    first = now_us // _MINUTE - _MINUTES + 1
    found = log.overview(now_us - _DAY, now_us + 1000, FAILURES, first * _MINUTE)
    if not months.listing(places.log):
        return Glance(boxes=_boxes(places.boxes), disk_total=disk.total, disk_free=disk.free)
    by_minute = {one.at // _MINUTE: one for one in found.flow}
    hour = [by_minute.get(first + index) for index in range(_MINUTES)]
    return Glance(
        flow=Flow(
            since=first * _MINUTE,
            accepted=tuple(one.received if one else 0 for one in hour),
            refused=tuple(one.refused if one else 0 for one in hour),
            delivered=tuple(one.delivered if one else 0 for one in hour),
        ),
        outcomes=found.counts,
        failures=[Failure(row, _why(log, row)) for row in found.failures],
        messages=found.messages,
        day_octets=found.bytes,
        log_octets=_octets(places.log),
        boxes=_boxes(places.boxes),
        disk_total=disk.total,
        disk_free=disk.free,
    )


def _why(log: Log, row: Row) -> str:
    """The reply that says why a message was not delivered, as far as one is kept."""
    for recipient in log.recipients(row.id):
        if recipient.reply and recipient.state == row.state:
            return recipient.reply
    for stored in reversed(log.timeline(row.id)):
        if stored.event.trace == row.id and stored.event.reply:
            return stored.event.reply
    return ""


def books(places: Places) -> str:
    """That the books did not balance when they were audited last; empty where they did."""
    accounts = ledger.read(places)
    if not accounts.count:
        return ""
    found = counted(accounts.count, "{} violation", "{} violations")
    return _("the books do not balance: {}; 'mtad audit' tells all").format(found)


def role(places: Places, name: str) -> Role:
    """Whether a process answers on its socket, and how many seconds it has been up."""
    try:
        answer = control.ask(places.socket(name), "status", seconds=ASK_SECONDS)
    except Unreachable:
        return Role(name, False)
    except MtadError as error:
        return Role(name, True, str(error))
    return Role(name, True, ", ".join(_notes(answer)))


def roles(places: Places) -> Sequence[Role]:
    """The daemon's processes, each with a control socket of its name."""
    return [role(places, name) for name in ROLES]


def _notes(answer: Mapping[str, object]) -> Sequence[str]:
    """What a process says of itself in single numbers and words, but for the answer's frame."""
    return [
        f"{name} {value}"
        for name, value in answer.items()
        if name not in ("ok", "pid", "role", "version") and isinstance(value, int | float | str)
    ][:3]


def _boxes(folder: Path) -> int | None:
    """How many boxes have a folder."""
    try:
        with os.scandir(folder) as domains:
            return sum(len(os.listdir(domain.path)) for domain in domains if domain.is_dir())
    except FileNotFoundError:
        return None


def _octets(log: Kept) -> int:
    """What the log takes on this disk: nothing where a server has it."""
    if not isinstance(log, Path):
        return 0
    with os.scandir(log) as files:
        return sum(file.stat().st_size for file in files if file.is_file())


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
