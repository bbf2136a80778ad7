"""Logs of other servers read into the log: searchable, and never counted as ours.

Files are read in the order of their times. The lines of a message gather until the server is
done with it, then its events go to ``log/imported``, a thousand messages in a transaction.
What was read before adds nothing: a file that begins as one that was read whole is read from
there on, and of any other line the message and the event are known again.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path

from mtad import clock
from mtad.errors import Corrupt
from tracing import ids, months
from tracing.history import exim, postfix, reading
from tracing.history.groups import Group, Known, to_events
from tracing.history.registry import LONGEST, Registry
from tracing.history.told import Told
from tracing.log import Applied, Recorder
from tracing.queries import Log

BATCH = 1_000
"""Messages in one transaction."""
MAX_PENDING = 100_000
"""Messages whose end was not read yet that are kept in memory; the longest silent ones go."""
SHOWN = 5
"""Troubles of a file that are told word by word."""

_PROGRAM = re.compile(r"(\S{1,255}) ([\w./-]{1,100}?)(?:\[\d{1,10}\])?: ")
_JOURNAL = "import"


@dataclass(slots=True)
class Account:
    """What became of a file's lines.

    ``taken`` tell of a message, ``silent`` are the server's own and tell of none, ``other`` are
    of other programs or not understood, ``before`` were read at an earlier run.
    """

    path: Path
    lines: int = 0
    before: int = 0
    taken: int = 0
    silent: int = 0
    other: int = 0
    bad: int = 0
    troubles: list[str] = field(default_factory=list)

    def trouble(self, text: str) -> None:
        """Count a line that is wrong, and keep the first ones' reasons."""
        self.bad += 1
        if len(self.troubles) < SHOWN:
            self.troubles.append(text)


@dataclass(slots=True)
class Total:
    """What came of it all."""

    files: list[Account] = field(default_factory=list)
    messages: int = 0
    """Messages that something was added to."""
    added: int = 0
    """Events added."""


class Importer:
    """Reads files into the log in a directory.

    ``server`` is the name for logs that have none in their lines. Raises log.Busy while
    another import runs.
    """

    def __init__(
        self,
        directory: Path,
        server: str,
        zone: tzinfo | None = None,
        year: int | None = None,
        told: Callable[[Account], None] = lambda account: None,
    ) -> None:
        self._log = Log(directory)
        self._recorder = Recorder(directory / months.IMPORTED)
        self._registry = Registry(directory / months.IMPORTED)
        self._server, self._zone, self._year = server, zone, year
        self._told = told
        self._pending: OrderedDict[tuple[str, str], Group] = OrderedDict()
        self._ready: list[Group] = []
        self.total = Total()

    def close(self) -> None:
        """Give up the lock; what was not written is read again at the next run."""
        self._registry.__exit__()
        self._recorder.close()
        self._log.close()

    def read(self, paths: Sequence[Path]) -> Total:
        """Read files, in the order of their times. Raises OSError for one that cannot be."""
        begun = []
        for path in paths:
            try:
                begun.append((*reading.begins(path, self._zone, self._year), path))
            except Corrupt as error:
                self._note(Account(path, bad=1, troubles=[str(error)]))
        done: list[tuple[bytes, int, bytes]] = []
        for _, head, path in sorted(begun, key=lambda one: (one[0], one[2])):
            account = Account(path)
            try:
                done.append((head, *self._file(path, head, account)))
            except Corrupt as error:
                account.trouble(f"{error}; {account.lines:,} lines were read")
            self._note(account)
        self._finish(list(self._pending))
        self._write()
        for head, count, digest in done:
            self._registry.keep(head, count, digest)
        self._recorder.checkpoint()
        return self.total

    def _note(self, account: Account) -> None:
        self.total.files.append(account)
        self._told(account)

    # -------------------------------------------------------------------- a file

    def _file(self, path: Path, head: bytes, account: Account) -> tuple[int, bytes]:
        """Read a file; how many lines it has, and their digest."""
        skip = self._known(path, self._registry.read_before(head))
        stamps = reading.stamps(path, self._zone, self._year)
        running = hashlib.sha256()
        with reading.opened(path) as stream:
            for raw in reading.lines(stream, path):
                account.lines += 1
                running.update(raw + b"\n")
                if account.lines <= skip:
                    account.before += 1
                line = raw.decode("utf-8", "replace")
                try:
                    found = stamps.read(line)
                    if account.lines > skip:
                        self._line(found, line, account)
                except (ValueError, OverflowError, OSError) as error:
                    account.trouble(f"{path.name}:{account.lines}: {error}")
        return account.lines, running.digest()

    def _known(self, path: Path, before: dict[int, bytes]) -> int:
        """How many of a file's lines are in the log since an earlier run."""
        best, running, count = 0, hashlib.sha256(), 0
        if not before:
            return 0
        with reading.opened(path) as stream:
            for raw in reading.lines(stream, path):
                running.update(raw + b"\n")
                count += 1
                if before.get(count) == running.digest():
                    best = count
                if count >= max(before):
                    break
        return best

    def _line(self, found: tuple[int, str] | None, line: str, account: Account) -> None:
        if found is None:
            account.other += 1
            return
        at, rest = found
        server, told, is_known = self._server, None, exim.is_ours(rest)
        if is_known:
            told = exim.told(at, rest)
        elif program := _PROGRAM.match(rest):
            server, name, rest = program[1], program[2], rest[program.end() :]
            is_known = name.startswith(("postfix", "exim"))
            if name.startswith("postfix"):
                told = postfix.told(name.rpartition("/")[2], at, rest)
            elif is_known:
                told = exim.told(at, _without_time(rest))
        if told is None:
            account.silent += is_known
            account.other += not is_known
        elif at < ids.EPOCH_MS * 1000:
            account.trouble(
                f"{account.path.name}:{account.lines}: it is from before 2024, where ids begin"
            )
        else:
            account.taken += 1
            self._take(server, told, at, account)

    def _take(self, server: str, told: Told, at: int, account: Account) -> None:
        source, number = account.path.name, account.lines
        if not told.key:
            said = f"{at} {told}".encode("utf-8", "replace")
            alone = Group(
                server, f"line {hashlib.sha256(said).hexdigest()[:24]}", at, at, over=True
            )
            alone.take(told, at, source, number)
            self._ready.append(alone)
        else:
            key = server, told.key
            group = self._pending.get(key)
            if group is not None and at - group.last > LONGEST:
                self._finish([key])
                group = None
            if group is None:
                group = self._pending[key] = Group(server, told.key, at, at)
            self._pending.move_to_end(key)
            if not group.take(told, at, source, number):
                account.trouble(f"{source}:{number}: too much is told of {told.key}")
            if group.over:
                self._finish([key])
            elif len(self._pending) > MAX_PENDING:
                self._finish([next(iter(self._pending))])
        if len(self._ready) >= BATCH:
            self._write()

    # ------------------------------------------------------------------- the log

    def _finish(self, keys: Iterable[tuple[str, str]]) -> None:
        self._ready += [self._pending.pop(key) for key in keys]

    def _write(self) -> None:
        """Put what is ready into the log: first the ids, then the events."""
        groups, self._ready = self._ready, []
        for start in range(0, len(groups), BATCH):
            part = groups[start : start + BATCH]
            now = clock.now_us()
            told = []
            seen: dict[int, Known] = {}
            for group, place in zip(part, self._registry.places(part), strict=True):
                known = seen.get(place.id)
                if known is None:
                    known = seen[place.id] = Known() if place.is_new else self._has(place.id)
                made = to_events(group, place.id, known, now)
                known.has_begun = known.has_begun or bool(made)
                self.total.messages += bool(made)
                self.total.added += len(made)
                told += made
            if told:
                seq = self._recorder.applied(_JOURNAL) + 1
                self._recorder.apply([Applied(_JOURNAL, seq, 0, told)])

    def _has(self, m: int) -> Known:
        told = [one.event for one in self._log.timeline(m)]
        rows = [one for one in self._log.recipients(m) if one.n]
        tries = {one.addr: one.tries for one in rows}
        return Known.of(told, {one.addr: one.n for one in rows}, tries)


def _without_time(text: str) -> str:
    """A line of Exim's without its own time, which it may have behind that of syslog."""
    found = re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?(?: [+-]\d{4})? ", text)
    return text[found.end() :] if found else text


def run(
    directory: Path,
    paths: Sequence[Path],
    server: str,
    zone: tzinfo | None = None,
    year: int | None = None,
    told: Callable[[Account], None] = lambda account: None,
) -> Total:
    """Read files into the log in a directory; ``told`` hears of each file that was read."""
    with closing(Importer(directory, server, zone, year, told)) as importer:
        return importer.read(paths)
