"""What a restore would do: a wish, the past it is about, and the box as it is now, compared.

Nothing is changed here, so that a plan can be looked at before it is carried out.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from backup import belongings, changes, choosing, plan
from backup.changes import Change, Make
from backup.contents import Contents
from backup.format import Entry, MailboxRoot
from backup.past import History, Past
from backup.plan import Act, Present, Step
from mtad.errors import NothingFound
from mtad.store import reading
from mtad.store.reading import BoxState, Found
from mtad.store.values import MailboxInfo
from tracing.search import EVERYTHING, Query

UNKNOWN_UIDS = 1 << 20
"""UIDs passed by in a mailbox that is numbered as before, where no log tells which were given."""
SPARE_UIDS = 256
"""The same where a log does: those that were about to be given."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be restored of a box, and whereto."""

    query: Query = EVERYTHING
    mailbox: str | None = None
    to_box: str = ""
    to_folder: str = ""
    exact: bool = False
    unread: bool = False
    by_deletion: bool = False
    """The query's outermost times are of deletions and were looked at already."""


@dataclass(frozen=True, slots=True)
class Number:
    """What a mailbox that is lost goes on with."""

    uidvalidity: int
    uidnext: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a restore would do to ``box``; ``lost`` are messages that nothing has any more."""

    snapshot: str
    box: str
    steps: tuple[Step, ...]
    numbers: dict[str, Number] = field(default_factory=dict)
    lost: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()
    undoes: int = 0
    changes: tuple[Change, ...] = ()

    def of(self, act: Act) -> list[Step]:
        """The steps that do one thing."""
        return [step for step in self.steps if step.act is act]

    @property
    def puts(self) -> list[Entry]:
        """The messages to put back."""
        return [step.entry for step in self.of(Act.PUT)]

    @property
    def others(self) -> int:
        """How many messages are moved, marked or removed, and how much else is changed."""
        others = len(self.steps) - len(self.puts) - len(self.of(Act.SKIP))
        return others + len(self.changes)


def select(contents: Contents, past: Past, wish: Wish) -> list[int]:
    """Numbers of the entries that are wanted."""
    chosen = [n for n, e in enumerate(past.entries) if wish.mailbox in (None, e.mailbox)]
    query = wish.query
    if _is_everything(query):
        return chosen
    known = {}
    if choosing.asks_heads(query):
        known = contents.heads(past.entries[n] for n in chosen)

    def meant(entry: Entry) -> bool:
        one = choosing.Candidate(
            past.box, entry, known.get(entry.id), lambda: contents.has_attachment(entry.id)
        )
        return choosing.fits(query, one, arrival=not wish.by_deletion)

    return [n for n in chosen if meant(past.entries[n])]


def make_plan(history: History, past: Past, wish: Wish, folder: Path) -> Plan:
    """Compare a box as it was with the one it goes to, whose ``folder`` is given.

    Raises NothingFound, UsageError, Corrupt.
    """
    contents = history.contents
    wanted = select(contents, past, wish)
    target = wish.to_box or past.box
    state = reading.read_box(folder, target)
    present = [
        present_of(contents, message)
        for message in state.messages
        if not wish.to_folder or message.mailbox == wish.to_folder
    ]
    everything = [_shaped(entry, wish) for entry in past.entries]
    for number in plan.unread(everything, present):
        with contextlib.suppress(OSError):
            message = next(m for m in state.messages if m.base == present[number].base)
            found = contents.add(folder / "Maildir" / message.folder / message.file)
            if found is not None:
                present[number] = replace(present[number], id=found[0])
    if wish.exact:
        steps = plan.exact(everything, present, wish.mailbox)
    else:
        steps = plan.plan(wanted, everything, present)
    numbers: dict[str, Number] = {}
    made: list[Change] = []
    if not (wish.to_box or wish.to_folder):
        made = _changes(history, past, wish, folder, state, steps)
    if not (wanted or made or wish.exact):
        raise nothing(past, wish)
    if not (wish.to_box or wish.to_folder):
        wanted_there = {step.entry.mailbox for step in steps if step.put}
        wanted_there |= {one.mailbox for one in made if isinstance(one, Make)}
        there = {one.name: one for one in state.mailboxes}
        numbers = {
            name: number_of(history, past, name)
            for name in sorted(wanted_there & past.numbers.keys())
            if _is_lost(past.numbers[name], there.get(name))
        }
    lost = tuple(e for e in past.lost if wish.mailbox in (None, e.mailbox))
    notes = tuple(past.notes)
    return Plan(past.snapshot, target, tuple(steps), numbers, lost, notes, changes=tuple(made))


def _changes(
    history: History,
    past: Past,
    wish: Wish,
    folder: Path,
    state: BoxState,
    steps: Sequence[Step],
) -> list[Change]:
    """What is done to the box besides its messages."""
    if past.belongings is None:
        return []
    now, _ = belongings.read(folder, folder / "Maildir", state, history.account(past.box))
    if wish.exact:
        sights = changes.Sights()
        seen, _ = belongings.seen(folder)
        for step in steps:
            if step.there is not None and step.act is not Act.REMOVE:
                known = seen.get(step.there.base, ())
                sights.compare(step.entry.mailbox, step.there.base, step.entry.seen, known)
        found = changes.exact(past.belongings, now, wish.mailbox)
        return found + sights.changes()
    if _is_everything(wish.query):
        lost = {one for one in past.belongings.mailboxes if wish.mailbox in (None, one)}
    else:
        lost = {step.entry.mailbox for step in steps if step.put}
    return changes.missing(past.belongings, now, lost)


def _is_everything(query: Query) -> bool:
    return not (query.terms or query.since or query.until)


def _is_lost(was: MailboxRoot, there: MailboxInfo | None) -> bool:
    """Whether a mailbox is not there, or only another, empty one in its place."""
    if not was.uidvalidity:
        return False
    return there is None or (not there.messages and there.uidvalidity != was.uidvalidity)


def number_of(history: History, past: Past, mailbox: str) -> Number:
    """The numbers a lost mailbox goes on with: above every UID it can have given."""
    root: MailboxRoot = past.numbers[mailbox]
    given = history.uidnext(past.box, past.at, root.uidvalidity)
    spare = SPARE_UIDS if history.has_log_of(past.at) else UNKNOWN_UIDS
    return Number(root.uidvalidity, max(root.uidnext, given) + spare)


def nothing(past: Past, wish: Wish) -> NothingFound:
    """That nothing is wanted of what there was."""
    where = f" in {wish.mailbox}" if wish.mailbox else ""
    what = f" that fits {wish.query.text!r}" if wish.query.text else ""
    if wish.by_deletion:
        return NothingFound(
            f"no deleted message of {past.box}{where}{what} is still kept; 'mtad restore --at "
            "TIME' looks further back"
        )
    return NothingFound(
        f"snapshot {past.snapshot} has no message of {past.box}{where}{what}; 'mtad restore "
        "--deleted' and '--at TIME' look between snapshots"
    )


def _shaped(entry: Entry, wish: Wish) -> Entry:
    if wish.to_folder:
        entry = replace(entry, mailbox=wish.to_folder)
    if wish.unread:
        entry = replace(entry, flags=entry.flags.replace("S", ""))
    if wish.to_box or wish.to_folder or wish.unread:
        entry = replace(entry, seen=())
    return entry


def present_of(contents: Contents, message: Found) -> Present:
    """A message of the box, for comparing."""
    known = contents.identify(message.sha256) if message.sha256 else None
    fields = (message.flags, message.keywords, message.st, message.internaldate_ns)
    return Present(message.mailbox, message.base, message.size, known, *fields)
