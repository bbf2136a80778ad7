"""Taking a restore back: each of its acts undone, as far as what it is about is still there."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from backup import planning, restore
from backup.belongings import Traits
from backup.changes import Change, Delete, Make, See, Share, Subscribe
from backup.format import Entry
from backup.moment import marked
from backup.operations import folder_of, listing
from backup.past import DELETED, History
from backup.plan import Act, Present, Step, as_entry
from backup.planning import Plan
from mtad.config import Loaded
from mtad.errors import NothingFound
from mtad.store import mailboxes, names, reading
from tracing import ids
from tracing.events import Event, RestoreMessage, RestoreStart
from tracing.stored import BoxAcl, BoxFlags, BoxMailbox, BoxMove, BoxSeen, Item

_SUBSCRIPTIONS = (mailboxes.SUBSCRIBED, mailboxes.UNSUBSCRIBED)
_STAYS = (
    "metadata, quota and network rules stay as they are: the snapshot taken before the restore "
    "has them as they were"
)


def undo(loaded: Loaded, history: History, given: str) -> list[Plan]:
    """What takes an operation back, box by box. Raises NothingFound, Corrupt."""
    number = ids.parse(given)
    meant = [one for one in listing(loaded) if one.trace == number]
    if not meant:
        raise NothingFound(f"{given} is no restore; 'mtad restore --list' shows the last ones")
    taken_back = [one for one in listing(loaded) if one.undoes == number]
    if taken_back:
        by = ids.text(taken_back[0].trace)
        raise NothingFound(f"{given} was taken back already, by {by}; --undo {by} does it again")
    return [_undo(loaded, history, one) for one in meant]


def _undo(loaded: Loaded, history: History, start: RestoreStart) -> Plan:
    box, client = start.addr, restore.client_of(ids.text(start.trace))
    acts = [
        event for event in history.story(box, start.at) if getattr(event, "client", "") == client
    ]
    state = reading.read_box(folder_of(loaded, box), box)
    there = {one.st: planning.present_of(history.contents, one) for one in state.messages}
    steps: list[Step] = []
    marks: dict[int, tuple[set[str], set[str]]] = {}
    moved: dict[int, str] = {}
    put: set[int] = set()
    for event in acts:
        if isinstance(event, RestoreMessage):
            put |= {item.st for item in event.items}
        elif isinstance(event, BoxMove):
            moved |= {
                item.st: event.mailbox
                for item in event.items
                if item.st in there and there[item.st].mailbox == event.target
            }
        elif isinstance(event, BoxFlags):
            _unmark(marks, event.items, event)
    for st in sorted(put & there.keys()):
        entry = as_entry(there[st])
        steps.append(Step(entry, Act.REMOVE, f"{start_word(start)} put it back", there[st]))
    for st in sorted((moved.keys() | marks.keys()) & (there.keys() - put)):
        add, remove = marks.get(st, (set(), set()))
        entry = _changed(there[st], moved.get(st, ""), add, remove)
        if entry.mailbox != there[st].mailbox:
            steps.append(Step(entry, Act.MOVE, "it was moved", there[st]))
        elif (entry.flags, entry.keywords) != (there[st].flags, there[st].keywords):
            steps.append(Step(entry, Act.MARK, "its flags were changed", there[st]))
    past = history.gone_by(box, start.at, client)
    have = {one.base for one in state.messages}
    steps += [_put(entry) for entry in past.entries if entry.base not in have]
    others = _others(history, box, start.at, acts, there, put)
    lost, notes = tuple(past.lost), (_STAYS,) if others else ()
    return Plan(
        DELETED, box, tuple(steps), lost=lost, notes=notes, undoes=start.trace, changes=others
    )


def _others(
    history: History,
    box: str,
    since: int,
    acts: Sequence[Event],
    there: Mapping[int, Present],
    put: Collection[int],
) -> tuple[Change, ...]:
    """What takes back the acts on mailboxes, the last one first."""
    kept = history.before(box, since)
    found: list[Change] = []
    for event in reversed(acts):
        if isinstance(event, BoxAcl):
            found.append(Share(event.mailbox, event.who, event.had))
        elif isinstance(event, BoxSeen):
            items = [i for i in event.items if i.st in there and i.st not in put]
            if items:
                bases = tuple(there[item.st].base for item in items)
                found.append(See(there[items[0].st].mailbox, event.who, not event.seen, bases))
        elif isinstance(event, BoxMailbox) and event.what == mailboxes.CREATED:
            found.append(Delete(event.mailbox))
        elif isinstance(event, BoxMailbox) and event.what == mailboxes.DELETED:
            found.append(Make(event.mailbox, kept.mailboxes.get(event.mailbox, Traits())))
        elif isinstance(event, BoxMailbox) and event.what in _SUBSCRIPTIONS:
            found.append(Subscribe(event.mailbox, event.what == mailboxes.UNSUBSCRIBED))
    return tuple(found)


def start_word(start: RestoreStart) -> str:
    """An operation as reasons name it."""
    return f"restore {ids.text(start.trace)}"


def _changed(there: Present, mailbox: str, add: set[str], remove: set[str]) -> Entry:
    """A message of the box with another mailbox, if any is given, and other marks."""
    marks = ({*names.flag_names(there.flags), *there.keywords} - remove) | add
    flags, words = marked(marks)
    entry = as_entry(there)
    return replace(entry, mailbox=mailbox or entry.mailbox, flags=flags, keywords=words)


def _put(entry: Entry) -> Step:
    return Step(entry, Act.PUT, "it was removed")


def _unmark(
    marks: dict[int, tuple[set[str], set[str]]], items: Sequence[Item], event: BoxFlags
) -> None:
    for item in items:
        add, remove = marks.setdefault(item.st, (set(), set()))
        add |= {*event.removed}
        remove |= {*event.added}
