"""Putting mail back: what would be done, doing it, and taking the last restore back."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mtad.cli_options import administrator
from mtad.errors import NothingFound
from tracing import ids
from tui import formats
from tui.formats import counted, number
from tui.lang import NN_, _

if TYPE_CHECKING:
    from backup.past import History
    from backup.planning import Plan
    from mtad.config import Loaded

SHOWN = 6
"""Messages of a plan that are shown one by one."""

DONE = (
    NN_("{} put back", "{} put back"),
    NN_("{} removed", "{} removed"),
    NN_("{} changed", "{} changed"),
    NN_("{} could not be read", "{} could not be read"),
)
"""What a restore did, each with its count."""

Progress = Callable[[int, int], None]
"""Told how many of how many are done, in the thread that does it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be put back of a box; as ``mtad restore`` is asked for it.

    Without ``snapshot``, ``at`` and ``deleted`` it is what was deleted lately, and if that has
    nothing of it the last snapshot.
    """

    box: str
    terms: tuple[str, ...] = ()
    mailbox: str | None = None
    snapshot: str = ""
    at: str = ""
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be done: ``doing`` messages and other changes, told in lines."""

    wanted: tuple[Wanted, ...]
    doing: int
    lines: tuple[str, ...]


def message(box: str, m: int, st: int = 0) -> Wanted:
    """One message of a box, by what the log calls it. Raises NothingFound where it does not."""
    if not (m or st):
        raise NothingFound(_("the log does not know this message; put its mailbox back"))
    return Wanted(box, (f"id:{ids.text(m or st)}",))


def plan(loaded: "Loaded", wanted: Sequence[Wanted]) -> Planned:
    """Look what would be done; changes nothing.

    Raises NothingFound where nothing is kept of any of it, and MtadError.
    """
    with _history(loaded) as history:
        chosen, todo = _plans(loaded, history, wanted)
    return Planned(chosen, sum(map(_doing, todo)), tuple(_lines(todo)))


def carry_out(loaded: "Loaded", wanted: Sequence[Wanted], progress: Progress) -> str:
    """Do it; says what was done. Raises MtadError; what was done by then stays."""
    with _history(loaded) as history:
        _chosen, todo = _plans(loaded, history, wanted)
        return _do(loaded, history, todo, progress)


def plan_undo(loaded: "Loaded") -> tuple[str, Planned]:
    """The last restore that was not taken back, and what taking it back would do.

    Raises NothingFound where there is none, and MtadError.
    """
    from backup import operations, undoing  # noqa: PLC0415 - slow to load

    every = operations.listing(loaded)
    undone = {one.undoes for one in every if one.undoes}
    last = next((one for one in every if not one.undoes and one.trace not in undone), None)
    if last is None:
        raise NothingFound(_("there is no restore to take back"))
    name = ids.text(last.trace)
    with _history(loaded) as history:
        todo = undoing.undo(loaded, history, name)
    return name, Planned((), sum(map(_doing, todo)), tuple(_lines(todo)))


def undo(loaded: "Loaded", name: str, progress: Progress) -> str:
    """Take a restore back; says what was done. Raises MtadError."""
    from backup import undoing  # noqa: PLC0415 - slow to load

    with _history(loaded) as history:
        return _do(loaded, history, undoing.undo(loaded, history, name), progress)


@contextlib.contextmanager
def _history(loaded: "Loaded") -> "Iterator[History]":
    from backup.operations import open_history  # noqa: PLC0415 - slow to load

    with open_history(loaded) as history:
        yield history


def _plans(
    loaded: "Loaded", history: "History", wanted: Sequence[Wanted]
) -> "tuple[tuple[Wanted, ...], list[Plan]]":
    """Plans for what there is something of, and where each is from."""
    chosen: list[Wanted] = []
    todo: list[Plan] = []
    problem: NothingFound | None = None
    for one in wanted:
        for source in _sources(one):
            try:
                todo += _plan(loaded, history, source)
            except NothingFound as error:
                problem = error
            else:
                chosen.append(source)
                break
    if not todo:
        raise problem or NothingFound(_("no box ever had this message"))
    return tuple(chosen), todo


def _sources(one: Wanted) -> Sequence[Wanted]:
    if one.snapshot or one.at or one.deleted:
        return (one,)
    return replace(one, deleted=True), replace(one, snapshot="latest")


def _plan(loaded: "Loaded", history: "History", one: Wanted) -> "list[Plan]":
    from backup import asked  # noqa: PLC0415 - slow to load

    found, wish = asked.pasts(
        loaded,
        history,
        asked.Asked(
            one.terms,
            one.box,
            mailbox=one.mailbox,
            snapshot=one.snapshot,
            at=one.at,
            deleted=one.deleted,
        ),
    )
    return asked.plans(loaded, history, found, wish)


def _do(loaded: "Loaded", history: "History", todo: "Sequence[Plan]", progress: Progress) -> str:
    from backup import operations  # noqa: PLC0415 - slow to load
    from backup.telling import telling  # noqa: PLC0415

    who = administrator()
    with telling(loaded) as tell:
        operations.keep_first(loaded, [one for one in todo if _doing(one)], tell, actor=who)
        run, results = operations.carry_out(
            loaded, history, todo, tell, actor=who, progress=progress
        )
    counts = (
        sum(one.restored for one in results),
        sum(one.removed for one in results),
        sum(one.moved + one.marked for one in results),
        sum(len(one.failed) for one in results),
    )
    told = [_("restore {}").format(ids.text(run))]
    told += [counted(count, *forms) for count, forms in zip(counts, DONE, strict=True) if count]
    return ", ".join(told)


def _doing(todo: "Plan") -> int:
    return len(todo.puts) + todo.others


def _lines(todo: "Sequence[Plan]") -> Iterator[str]:
    """What plans would do, a box at a time."""
    from backup.plan import Act  # noqa: PLC0415 - slow to load
    from backup.show_restore import source  # noqa: PLC0415

    for one in todo:
        said = [counted(len(one.puts), "{} message put back", "{} messages put back")]
        others = one.others
        said += [counted(others, "{} other change", "{} other changes")] if others else []
        if there := len(one.of(Act.SKIP)):
            said.append(counted(there, "{} there already", "{} there already"))
        if one.lost:
            said.append(counted(len(one.lost), "{} lost for good", "{} lost for good"))
        yield f"{one.box}: {', '.join(said)}"
        yield f"  {_('from')} {source(one.snapshot)}"
        for entry in one.puts[:SHOWN]:
            arrived = formats.full_time(entry.mtime_ns // 1000, None)
            yield f"  {entry.mailbox}  {arrived}  {formats.size(entry.size)}"
        if len(one.puts) > SHOWN:
            yield "  " + _("and {} more").format(number(len(one.puts) - SHOWN))
