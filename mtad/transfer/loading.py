"""Messages of a source taken into a box, through the box's owner.

Each message is read once, in memory or into the box's ``tmp/``, compared with what the box has,
and handed to the owner with its date, flags, keywords and mailbox; the owner syncs it before it
promises anything. Names are made of content and place, so that an import that was killed is
simply repeated. Each act names its import as the client.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mtad.errors import UsageError
from mtad.store import keywords, names, quota
from mtad.store.client import Boxes
from mtad.store.quota import Limits, OverQuota
from mtad.store.values import Prepared
from mtad.transfer import layout
from mtad.transfer.arriving import LAST_NS, Content, Draft, Incoming, Numbered, Unreadable
from mtad.transfer.present import Present, base_name
from mtad.transfer.sources import Problem, Source

PREFIX = "import-"
LEFT_SECONDS = 36 * 3600
"""Age from which a file of ours in ``tmp/`` belongs to an import that died."""
BATCH = 256
"""Messages in one act of the owner."""
WAITING_OCTETS = 64 * 2**20
"""Octets of messages that lie in ``tmp/`` before they are handed over."""
SPARE_UIDS = 2**20
"""UIDs passed by in a mailbox that goes on with its numbers: the former server may have given
them since, and no client may take one message for another."""
MAX_UIDNEXT = 2**32 - 2
DATES = ("auto", "file", "header")
FLAGS = ("as-were", "unread", "seen")


@dataclass(frozen=True, slots=True)
class Wish:
    """How messages are to come in."""

    folder: str = ""
    dates: str = "auto"
    flags: str = "as-were"
    over_quota: bool = False
    dry_run: bool = False


@dataclass(slots=True)
class Result:
    """What an import did to one box; ``mailboxes`` counts what came into each."""

    imported: int = 0
    skipped: int = 0
    octets: int = 0
    passed: int = 0
    mailboxes: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def client_of(operation: str) -> str:
    """What acts of an import name as their client."""
    return f"mtad import {operation}"


@dataclass(slots=True)
class _Room:
    """How much more a box may hold, 0 for any number."""

    limits: Limits
    octets: int
    messages: int

    def take(self, box: str, octets: int) -> None:
        if quota.is_over(self.limits, self.octets + octets, self.messages + 1):
            raise OverQuota(
                f"{box} is full: raise its quota ('mtad box quota') or give --over-quota, and "
                "repeat the import; what came in stays and does not come twice"
            )
        self.octets += octets
        self.messages += 1


class Loading:
    """One source being taken into one box; ``operation`` names its files and its acts."""

    def __init__(
        self,
        boxes: Boxes,
        box: str,
        folder: Path,
        wish: Wish,
        *,
        operation: str,
        actor: str,
        hostname: str,
        limits: Limits,
        progress: Callable[[Result], None] = lambda result: None,
        handed_over: Callable[[list[Incoming]], None] = lambda those: None,
    ) -> None:
        self._boxes = boxes
        self._box = box
        self._tmp = folder / "Maildir" / "tmp"
        self._folder = folder
        self._wish = wish
        self._operation = operation
        self._actor = actor
        self._hostname = hostname
        self._progress = progress
        self._handed_over = handed_over
        self._numbers = itertools.count()
        self._room = None if wish.over_quota else _Room(limits, *quota.held(folder))
        self._waiting: dict[str, list[tuple[Prepared, Incoming, Path]]] = {}
        self._waiting_octets = 0
        self._made: set[str] = set()
        self._validity: dict[str, int] = {}
        self._renumbered: set[str] = set()
        self.result = Result()

    def run(self, source: Source) -> Result:
        """Take everything in. Raises what the owner raises, OverQuota and OSError.

        What came in by then stays, and a repetition goes on from there.
        """
        present = self._prepare(source)
        try:
            self._all(source, present)
        finally:
            for waiting in self._waiting.values():
                for _, _, path in waiting:
                    path.unlink(missing_ok=True)
            self.result.problems += source.problems
            self.result.passed += source.passed
        return self.result

    def _all(self, source: Source, present: Present) -> None:
        try:
            with contextlib.closing(source.messages()) as messages:
                for one in messages:
                    self._one(one, present)
                    self._progress(self.result)
        except (UsageError, OverQuota):
            self._flush_all()  # what came before it is good
            raise
        self._flush_all()

    def _prepare(self, source: Source) -> Present:
        if self._wish.dry_run:
            if not (self._folder / "Maildir").is_dir():
                return Present(self._folder, ())
            listed = self._boxes.list(self._box)
            return Present(self._folder, listed.messages)
        self._boxes.create(self._box, names.INBOX, actor=self._actor)
        self._tmp.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(self._tmp)
        listed = self._boxes.list(self._box)
        self._made = {one.name for one in listed.mailboxes}
        self._validity = {one.name: one.uidvalidity for one in listed.mailboxes}
        for name in source.mailboxes():
            self._make(layout.below(self._wish.folder, name))
        return Present(self._folder, listed.messages)

    def _make(self, mailbox: str) -> None:
        if mailbox not in self._made:
            self._boxes.create(self._box, mailbox, actor=self._actor)
            self._made.add(mailbox)

    # ------------------------------------------------------------- one message

    def _one(self, one: Incoming, present: Present) -> None:
        if self._wish.folder and one.base:
            one = one._replace(base="")  # its name is that of another place
        if present.has_base(one) or (one.tag and present.has_tag(one.tag)):
            self._skip(one)
            return
        if self._wish.dry_run and one.tag:  # nothing is fetched to say what would come
            self._take_room(one.size)
            self._count(layout.below(self._wish.folder, one.mailbox), [one.size])
            return
        draft = Draft(self._new_path)
        try:
            draft.fill(one.chunks())
            self._judge(one, draft, present)
        except Unreadable as error:
            self.result.problems.append(Problem(one.place, str(error)))
        finally:
            draft.drop()

    def _judge(self, one: Incoming, draft: Draft, present: Present) -> None:
        said, arrived_ns = draft.said()
        mailbox, flags, words = one.mailbox, one.flags, one.keywords
        if one.asks_header:
            if said.drop:
                self.result.passed += 1
                return
            flags, words = flags + said.letters, words + said.keywords
            if said.mailbox and not self._wish.folder:
                mailbox = layout.mailbox(said.mailbox.split("/"))
        mailbox = layout.below(self._wish.folder, mailbox)
        tag = present.tag(mailbox, draft.content)
        if present.has(mailbox, draft.content, tag):
            self._skip(one)
            return
        content = draft.content
        self._take_room(content.size)
        if self._wish.dry_run:
            self._count(mailbox, [content.size])
            return
        at_ns = self._date(one, arrived_ns)
        path = draft.keep()
        draft.path = None  # it is ours now
        item = Prepared(
            path.name,
            _honest(one.base, content) or base_name(one.tag or tag, at_ns, self._hostname, content),
            self._flags(flags),
            _usable(words),
            at_ns,
            content.size,
            content.sha256,
            uid=self._number(mailbox, one.number),
        )
        self._wait(mailbox, item, one, path)

    def _wait(self, mailbox: str, item: Prepared, one: Incoming, path: Path) -> None:
        waiting = self._waiting.setdefault(mailbox, [])
        if waiting and bool(waiting[-1][0].uid) != bool(item.uid):
            # Those that have numbers keep them only as long as they are by themselves.
            self._flush(mailbox)
        self._waiting.setdefault(mailbox, []).append((item, one, path))
        self._waiting_octets += item.size
        if self._waiting_octets > WAITING_OCTETS:
            self._flush_all()
        elif len(self._waiting[mailbox]) == BATCH:
            self._flush(mailbox)

    def _take_room(self, octets: int) -> None:
        if self._room is not None:
            self._room.take(self._box, octets)

    def _skip(self, one: Incoming) -> None:
        self.result.skipped += 1
        self._handed_over([one])

    def _date(self, one: Incoming, arrived_ns: int) -> int:
        """The internal date: as the place says it, or as the header does."""
        header_first = self._wish.dates == "header" or (self._wish.dates == "auto" and not one.sure)
        at_ns = (arrived_ns or one.at_ns) if header_first else (one.at_ns or arrived_ns)
        return at_ns if 0 < at_ns < LAST_NS else time.time_ns()

    def _flags(self, letters: str) -> str:
        if self._wish.flags == "unread":
            letters = letters.replace("S", "")
        elif self._wish.flags == "seen":
            letters += "S"
        return names.letters(letters)

    def _number(self, mailbox: str, number: Numbered | None) -> int:
        """The UID to ask for: the former one in a mailbox that goes on with its numbers."""
        if number is None:
            return 0
        if mailbox not in self._renumbered:
            self._renumbered.add(mailbox)
            self._make(mailbox)
            done = self._boxes.renumber(
                self._box,
                mailbox,
                number.uidvalidity,
                min(number.uidnext + SPARE_UIDS, MAX_UIDNEXT),
                actor=self._actor,
                client=client_of(self._operation),
            )
            if done:
                self._validity[mailbox] = number.uidvalidity
        return number.uid if self._validity.get(mailbox) == number.uidvalidity else 0

    # ------------------------------------------------------------- handing over

    def _flush_all(self) -> None:
        for mailbox in list(self._waiting):
            self._flush(mailbox)
        self._waiting_octets = 0

    def _flush(self, mailbox: str) -> None:
        waiting = self._waiting.pop(mailbox, [])
        for part in _parts(waiting):
            self._boxes.put(
                self._box,
                mailbox,
                [item for item, _, _ in part],
                actor=self._actor,
                client=client_of(self._operation),
                over_quota=self._wish.over_quota,
            )
            self._count(mailbox, [item.size for item, _, _ in part])
            self._handed_over([one for _, one, _ in part])

    def _count(self, mailbox: str, sizes: list[int]) -> None:
        self.result.imported += len(sizes)
        self.result.octets += sum(sizes)
        counts = self.result.mailboxes
        counts[mailbox] = counts.get(mailbox, 0) + len(sizes)

    def _new_path(self) -> Path:
        return self._tmp / f"{PREFIX}{self._operation}-{next(self._numbers)}"


def _parts(
    waiting: list[tuple[Prepared, Incoming, Path]],
) -> Iterator[list[tuple[Prepared, Incoming, Path]]]:
    for start in range(0, len(waiting), BATCH):
        yield waiting[start : start + BATCH]


def _honest(base: str, content: Content) -> str:
    """A base name, unless it claims another size than the message has."""
    size, wire = names.size_of(base), names.wire_size_of(base)
    return base if size in (None, content.size) and wire in (None, content.wire) else ""


def _usable(words: Iterable[str]) -> tuple[str, ...]:
    """Keywords that a mailbox can have; flags by other names are none of them."""
    found = set()
    for word in words:
        with contextlib.suppress(UsageError):
            if not word.startswith("\\"):
                found.add(keywords.check(word))
    return tuple(sorted(found))


def _sweep(tmp: Path) -> None:
    """Remove what a killed import left; by change time, for the other one is the mail's."""
    horizon = time.time() - LEFT_SECONDS
    for path in tmp.glob(f"{PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ctime < horizon:
                path.unlink()
