"""Plans, progress and results of restores: for people, and as JSON."""

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from backup.format import Entry
from backup.past import DELETED, NO_SNAPSHOT
from backup.plan import Act, Step
from backup.planning import Plan
from backup.restore import Result
from backup.show import Line, emit, rfc3339, say, table, when
from tracing import ids
from tracing.events import RestoreStart
from tracing.render import counted, size

SHOWN = 200
"""Steps of a plan that are shown in full."""
LOST_SHOWN = 40
TELL_SECONDS = 1.0
"""Between two lines of progress where nobody sits at a terminal."""

_NO_SNAPSHOT = {DELETED: "mail kept after its deletion", NO_SNAPSHOT: "what the log tells"}
_DOES = {
    Act.PUT: "put",
    Act.SKIP: "skip",
    Act.MOVE: "move",
    Act.MARK: "set flags",
    Act.REMOVE: "remove",
}


class Progress:
    """How far it is and how long it takes: a line on a terminal, else lines of JSON.

    Both go to standard error.
    """

    def __init__(self) -> None:
        self._line = Line()
        self._began = time.monotonic()
        self._next = self._began + TELL_SECONDS
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        """So many of all messages are done."""
        now = time.monotonic()
        left = (now - self._began) / done * (total - done) if done else None
        if self._is_terminal:
            self._line.show(lambda: f"{done:,} of {total:,} messages{_eta(left)}")
        elif now >= self._next:
            self._next = now + TELL_SECONDS
            seconds = None if left is None else round(left, 1)
            said = {"done": done, "total": total, "seconds_left": seconds}
            click.echo(json.dumps(said), err=True)

    def clear(self) -> None:
        """Take the line away."""
        self._line.clear()


def _eta(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    return f", {minutes}:{rest:02} left"


# ------------------------------------------------------------------------ plans


def show_plans(plans: Sequence[Plan], as_json: bool) -> None:
    """What a restore would do, one JSON document or a table a box."""
    if as_json:
        documents = [_plan_fields(todo) for todo in plans]
        one = documents[0] if len(documents) == 1 else {}
        emit({"dry_run": True, **one, "boxes": documents})
        return
    for todo in plans:
        _plan_table(todo)
        for note in todo.notes:
            say(note)
        show_lost(todo)
        click.echo(f"would {planned(todo)}")


def planned(todo: Plan) -> str:
    """What a plan does, in words."""
    puts = todo.puts
    words = [f"put {counted(len(puts), 'message')} ({size(sum(e.size for e in puts))}) back"]
    words += [
        f"{verb} {counted(len(todo.of(act)), 'message')}"
        for act, verb in (
            (Act.MOVE, "move"),
            (Act.MARK, "set the flags of"),
            (Act.REMOVE, "remove"),
        )
        if todo.of(act)
    ]
    if todo.changes:
        words.append(
            f"make {counted(len(todo.changes), 'change')} to mailboxes, rights and the like"
        )
    if not puts and len(words) > 1:
        del words[0]
    said = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    return f"{said} in {todo.box}, from {source(todo.snapshot)}"


def source(snapshot: str) -> str:
    """Where messages come from, in words."""
    return _NO_SNAPSHOT.get(snapshot, f"snapshot {snapshot}")


def _plan_fields(todo: Plan) -> dict[str, Any]:
    return {
        "snapshot": todo.snapshot,
        "box": todo.box,
        "would_restore": len(todo.puts),
        "would_skip": len(todo.of(Act.SKIP)),
        "would_move": len(todo.of(Act.MOVE)),
        "would_mark": len(todo.of(Act.MARK)),
        "would_remove": len(todo.of(Act.REMOVE)),
        "would_change": [str(change) for change in todo.changes],
        "keeps_uids": sorted(todo.numbers),
        "notes": list(todo.notes),
        "lost": [_entry_fields(entry) for entry in todo.lost],
        "steps": [_step_fields(step) for step in todo.steps],
    }


def _step_fields(step: Step) -> dict[str, Any]:
    return {
        "act": step.act.value,
        "put": step.put,
        "reason": step.reason,
        **_entry_fields(step.entry),
        "size": step.entry.size,
        "mtime_ns": step.entry.mtime_ns,
        "flags": step.entry.flags,
        "keywords": list(step.entry.keywords),
    }


def _entry_fields(entry: Entry) -> dict[str, Any]:
    return {
        "mailbox": entry.mailbox,
        "uid": entry.uid,
        "id": ids.text(entry.m) if entry.m else None,
        "st": ids.text(entry.st) if entry.st else None,
        "base": entry.base.encode(errors="replace").decode(),
    }


def _plan_table(todo: Plan) -> None:
    doing = [step for step in todo.steps if step.act is not Act.SKIP]
    shown = (doing or todo.steps)[:SHOWN]
    table(
        ("", "ID", "MAILBOX", "ARRIVED", "SIZE", "WHY"),
        [
            (
                _DOES[step.act],
                ids.text(step.entry.m or step.entry.st),
                step.entry.mailbox,
                when(step.entry.mtime_ns // 1000),
                size(step.entry.size),
                step.reason,
            )
            for step in shown
        ],
        "SIZE",
    )
    for change in todo.changes[:SHOWN]:
        click.echo(str(change))
    if len(todo.changes) > SHOWN:
        click.echo(f"and {len(todo.changes) - SHOWN:,} more such changes")
    left = len(todo.steps) - len(shown)
    if left:
        click.echo(f"and {left:,} more, of which {len(todo.of(Act.SKIP)):,} are there already")


def show_lost(todo: Plan) -> None:
    """The messages of which nothing has the octets any more."""
    for entry in todo.lost[:LOST_SHOWN]:
        say(
            f"cannot be brought back: {entry.mailbox} {ids.text(entry.m or entry.st)}: no "
            "snapshot has it, and its deletion is longer ago than deleted mail is kept"
        )
    if len(todo.lost) > LOST_SHOWN:
        say(f"nor can {len(todo.lost) - LOST_SHOWN:,} more: --dry-run --json lists all")


# ---------------------------------------------------------------------- results


def result_fields(todo: Plan, result: Result) -> dict[str, Any]:
    """What was done to one box."""
    return {
        "snapshot": todo.snapshot,
        "box": todo.box,
        "restored": result.restored,
        "skipped": result.skipped,
        "moved": result.moved,
        "marked": result.marked,
        "removed": result.removed,
        "changed": [str(change) for change in result.changes],
        "lost": [_entry_fields(entry) for entry in todo.lost],
        "failed": failed_fields(result.failed),
    }


def failed_fields(failed: Sequence[tuple[Entry, str]]) -> list[dict[str, Any]]:
    """Messages that cannot be given back, and why."""
    return [{**_entry_fields(entry), "why": why} for entry, why in failed]


def show_result(todo: Plan, result: Result) -> None:
    """The same as a sentence."""
    words = [f"{counted(result.restored, 'message')} put back into {todo.box}"]
    words += [
        f"{number:,} {word}"
        for number, word in (
            (result.moved, "moved"),
            (result.marked, "given their flags"),
            (result.removed, "removed"),
            (len(result.changes), "other changes"),
        )
        if number
    ]
    words[-1] += f", {result.skipped:,} there already"
    click.echo(f"{', '.join(words)}; from {source(todo.snapshot)}")


def show_failed(failed: Sequence[tuple[Entry, str]]) -> None:
    """Messages that cannot be given back."""
    for entry, why in failed[:LOST_SHOWN]:
        say(f"lost: {entry.mailbox} UID {entry.uid} {entry.base}: {why}")


def show_operations(every: Sequence[RestoreStart], as_json: bool) -> None:
    """The last restores, newest first."""
    undone = {one.undoes: ids.text(one.trace) for one in every if one.undoes}
    if as_json:
        rows = [
            {
                "operation": ids.text(one.trace),
                "at": rfc3339(one.at),
                "box": one.addr,
                "snapshot": one.snapshot,
                "messages": one.planned,
                "others": one.others,
                "actor": one.actor,
                "undoes": ids.text(one.undoes) if one.undoes else None,
                "undone_by": undone.get(one.trace),
            }
            for one in every
        ]
        emit({"operations": rows})
        return
    if not every:
        say("nothing was ever restored")
        return
    table(
        ("OPERATION", "BEGAN", "BOX", "PUT", "OTHERS", "BY", "FROM"),
        [
            (
                ids.text(one.trace),
                when(one.at),
                one.addr,
                str(one.planned),
                str(one.others),
                one.actor,
                _what(one, undone),
            )
            for one in every
        ],
        "PUT OTHERS",
    )


def _what(one: RestoreStart, undone: dict[int, str]) -> str:
    said = f"takes back {ids.text(one.undoes)}" if one.undoes else source(one.snapshot)
    by = undone.get(one.trace)
    return f"{said}; taken back by {by}" if by else said
