"""Progress and results of imports: for people, and as JSON."""

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from backup.show import Line, say
from mtad.transfer.loading import Result
from mtad.transfer.sources import Problem, Source
from tracing import ids
from tracing.render import counted, safe, size

TELL_SECONDS = 1.0
"""Between two lines of progress where nobody sits at a terminal."""
SHOWN = 40
"""Problems, and mailboxes, that are shown."""


class Progress:
    """How far it is: a line on a terminal, else lines of JSON; both on standard error."""

    def __init__(self) -> None:
        self._line = Line()
        self._began = time.monotonic()
        self._next = self._began + TELL_SECONDS
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, source: Source, result: Result) -> None:
        """So much is done of a source."""
        if self._is_terminal:
            self._line.show(lambda: self._said(source, result))
            return
        now = time.monotonic()
        if now >= self._next:
            self._next = now + TELL_SECONDS
            fields = {
                "source": source.name,
                "imported": result.imported,
                "skipped": result.skipped,
                "octets": source.done,
                "of_octets": source.octets or None,
                "seconds_left": self._left(source),
            }
            click.echo(json.dumps(fields), err=True)

    def _said(self, source: Source, result: Result) -> str:
        said = f"{result.imported:,} came in, {result.skipped:,} were there"
        if source.octets:
            said += f", {size(source.done)} of {size(source.octets)} read"
        left = self._left(source)
        if left is not None:
            minutes, seconds = divmod(int(left + 0.5), 60)
            said += f", {minutes}:{seconds:02} left"
        return said

    def _left(self, source: Source) -> float | None:
        if not source.octets or not source.done:
            return None
        spent = time.monotonic() - self._began
        return round(max(0.0, spent / source.done * (source.octets - source.done)), 1)

    def clear(self) -> None:
        """Take the line away."""
        self._line.clear()


def fields(box: str, source: str, run: int | None, result: Result) -> dict[str, Any]:
    """What an import did, or without a run would do."""
    return {
        "operation": None if run is None else ids.text(run),
        "box": box,
        "source": source,
        "imported": result.imported,
        "skipped": result.skipped,
        "octets": result.octets,
        "other_files": result.passed,
        "mailboxes": dict(sorted(result.mailboxes.items())),
        "failed": [{"place": one.place, "why": one.why} for one in result.problems],
    }


def show(box: str, run: int | None, result: Result) -> None:
    """The same as sentences."""
    verb = "would come" if run is None else "came"
    click.echo(
        f"{counted(result.imported, 'message')} ({size(result.octets)}) {verb} into {safe(box)}, "
        f"{result.skipped:,} there already"
    )
    names = sorted(result.mailboxes)
    for name in names[:SHOWN]:
        click.echo(f"  {result.mailboxes[name]:>9,}  {safe(name)}")
    if len(names) > SHOWN:
        click.echo(f"  and {len(names) - SHOWN:,} more mailboxes")
    if result.passed:
        say(f"{counted(result.passed, 'file')} passed by: no mail")
    show_problems(result.problems)


def show_problems(problems: Sequence[Problem]) -> None:
    """Messages that did not come in."""
    for one in problems[:SHOWN]:
        say(f"not imported: {one.place}: {one.why}")
    if len(problems) > SHOWN:
        say(f"nor {len(problems) - SHOWN:,} more: --json lists all")
