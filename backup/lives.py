"""Every message that any snapshot has, once: when it appeared and when it was gone.

The cache has a row for each message of a box, by base name, and follows the snapshots: of a box
that changed only the chunks that differ are read, of one that did not, nothing. Times are those
of the snapshots that saw the change, so a message came and went before them. A search goes
through the rows from the latest arrival on, lets SQLite pass over what cannot match, and ends
when it has enough.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any

from backup import choosing
from backup.cache import Head
from backup.choosing import Candidate
from backup.contents import Contents
from backup.format import ID, BoxLine, BoxRoot, Chunk, Commit, Entry
from backup.repository import Repository
from tracing import addresses, search
from tracing.fields import Field
from tracing.search import Address, Group, Query, SearchError, Span, Subject, Term, Text

_STEP = 200
_YES = {"yes": True, "да": True, "no": False, "нет": False}
_ROW = "box, mailbox, uid, base, st, m, flags, keywords, mtime_ns, size, id, appeared, vanished"


def _deleted(value: str) -> Text:
    if value.lower() not in _YES:
        raise ValueError(f"{value} is neither yes nor no")
    return Text("deleted", "yes" if _YES[value.lower()] else "no")


FIELDS: dict[str, Field] = {
    **choosing.FIELDS,
    "deleted": Field(_deleted, "whether the last snapshot of its box lacks it", "deleted:yes"),
}


@dataclass(frozen=True, slots=True)
class Life:
    """A message: as it was last seen, in which snapshots it is, when it came and went.

    ``first`` and ``last`` name snapshots that there still are; times are microseconds,
    ``vanished`` is 0 for one that the last snapshot of its box has.
    """

    box: str
    entry: Entry
    head: Head | None
    first: str
    last: str
    appeared: int
    vanished: int


# ------------------------------------------------------------------- following


def follow(
    repository: Repository, progress: Callable[[int, int], None] = lambda done, total: None
) -> int:
    """Bring the rows up to the snapshots there are; how many were new. Raises Damaged."""
    db = repository.cache.database
    briefs = repository.briefs()
    told = dict(db.execute("SELECT name, at FROM told"))
    fresh = [name for name in briefs if name not in told]
    latest = max(told.values(), default=0)
    times = set(told.values())
    if any(briefs[name].at < latest and briefs[name].at not in times for name in fresh):
        with repository.cache.changing():  # they came from elsewhere: begin at the beginning
            for table in ("told", "track", "life"):
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own
        fresh, times = list(briefs), set()
    for done, name in enumerate(fresh):
        progress(done, len(fresh))
        commit = repository.commit_of(name)
        if commit.at not in times:  # else it is one that lost boxes
            _take_in(repository, commit)
        _remember(repository, name, commit)
    return len(fresh)


def _remember(repository: Repository, name: str, commit: Commit) -> None:
    """Which boxes a snapshot has; most have the same."""
    db = repository.cache.database
    boxes = "\n".join(sorted(line.address for line in commit.mail))
    with repository.cache.changing():
        db.execute("INSERT OR IGNORE INTO members (boxes) VALUES (?)", (boxes,))
        (number,) = db.execute("SELECT no FROM members WHERE boxes=?", (boxes,)).fetchone()
        db.execute("INSERT OR REPLACE INTO told VALUES (?, ?, ?)", (name, commit.at, number))


def _take_in(repository: Repository, commit: Commit) -> None:
    db = repository.cache.database
    track = dict(db.execute("SELECT box, root FROM track"))
    changes = []
    for line in commit.mail:
        root = track.get(line.address, b"")
        if root != line.root:
            was, now = _difference(repository, root, line)
            changes.append(
                (
                    line,
                    was.keys() - now.keys(),
                    [entry for base, entry in now.items() if was.get(base) != entry],
                )
            )
    entries = [entry for _, _, fresh in changes for entry in fresh]
    heads = Contents(repository).heads(entries)
    with repository.cache.changing():
        for line, bases, fresh in changes:
            gone = [(commit.at, line.address, _text(base)) for base in bases]
            db.executemany("UPDATE life SET vanished=? WHERE box=? AND base=?", gone)
            rows = (_row(line.address, entry, heads.get(entry.id), commit.at) for entry in fresh)
            db.executemany(
                "INSERT INTO life (box, mailbox, uid, base, st, m, flags, keywords, mtime_ns, size,"
                " id, words, appeared, vanished) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,0) "
                "ON CONFLICT (box, base) DO UPDATE SET mailbox=excluded.mailbox, vanished=0, "
                "uid=excluded.uid, flags=excluded.flags, keywords=excluded.keywords, "
                "id=excluded.id, size=excluded.size, mtime_ns=excluded.mtime_ns",
                rows,
            )
        tracked = [(line.address, line.root) for line, _, _ in changes]
        db.executemany("INSERT OR REPLACE INTO track VALUES (?, ?)", tracked)


def _difference(
    repository: Repository, former: bytes, line: BoxLine
) -> tuple[dict[str, Entry], dict[str, Entry]]:
    """What chunks that are in one of two states alone have, by base name: before, now."""
    before = _chunks(repository, former) if former else set()
    now = _chunks(repository, line.root)
    return _entries(repository, before - now), _entries(repository, now - before)


def _chunks(repository: Repository, root: bytes) -> set[tuple[str, bytes]]:
    boxes = repository.manifest(root, BoxRoot).mailboxes
    return {
        (box.name, box.chunks[at : at + ID])
        for box in boxes
        for at in range(0, len(box.chunks), ID)
    }


def _entries(repository: Repository, chunks: set[tuple[str, bytes]]) -> dict[str, Entry]:
    found = {}
    for mailbox, chunk in sorted(chunks):
        for entry in repository.manifest(chunk, Chunk).entries(mailbox):
            found[entry.base] = entry
    return found


def _row(box: str, entry: Entry, head: Head | None, at: int) -> tuple[Any, ...]:
    words = ""
    if head is not None:
        every = (head.sender, head.recipients, head.subject, head.message_id)
        words = addresses.words("\n".join(every)).casefold()
    about = (entry.uid, _text(entry.base), entry.st, entry.m, entry.flags)
    marks = ("\n".join(entry.keywords), entry.mtime_ns, entry.size, entry.id)
    return (box, entry.mailbox, *about, *marks, _text(words), at)


def _text(text: str) -> str:
    """Text without lone surrogates, which SQLite does not take; file names may have them."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


# -------------------------------------------------------------------- searching


def find(
    repository: Repository,
    text: str,
    now_us: int,
    zone: tzinfo | None = None,
    *,
    limit: int = 0,
) -> Iterator[Life]:
    """Messages that any snapshot has, the latest arrival first; all for a ``limit`` of 0.

    Call ``follow`` first. Raises SearchError.
    """
    query, deleted = _parse(text, now_us, zone)
    condition, values = _condition(query, deleted)
    contents = Contents(repository)
    shown = _Shown(repository)
    cursor = repository.cache.database.execute(
        f"SELECT {_ROW} FROM life WHERE {condition} ORDER BY mtime_ns DESC",  # noqa: S608
        values,
    )
    found = 0
    while rows := cursor.fetchmany(_STEP):
        heads = repository.cache.heads([row[10] for row in rows])
        for row in rows:
            life = _life(row, heads)
            object_id = life.entry.id
            one = Candidate(
                life.box,
                life.entry,
                life.head,
                lambda object_id=object_id: contents.has_attachment(object_id),  # type: ignore[misc]
            )
            if choosing.fits(query, one) and (named := shown.named(life)):
                yield named
                found += 1
                if found == limit:
                    return


def _parse(text: str, now_us: int, zone: tzinfo | None) -> tuple[Query, bool | None]:
    """The query without ``deleted:``, and what that said."""
    query = search.parse(text, now_us, zone, {}, FIELDS)
    deleted: bool | None = None
    rest: list[Term] = []
    for term in query.terms:
        if isinstance(term.matcher, Text) and term.matcher.field == "deleted":
            deleted = (term.matcher.value == "yes") != term.negated
        elif _asks_deleted(term):
            raise SearchError(text, 0, "deleted: must stand by itself, outside of brackets")
        else:
            rest.append(term)
    return replace(query, terms=tuple(rest)), deleted


def _asks_deleted(term: Term) -> bool:
    matcher = term.matcher
    if isinstance(matcher, Group):
        return any(_asks_deleted(one) for each in matcher.alternatives for one in each)
    return isinstance(matcher, Text) and matcher.field == "deleted"


def _condition(query: Query, deleted: bool | None) -> tuple[str, list[int | str]]:
    """What a row must fulfil to match; it may fulfil it and not match."""
    parts = ["1"]
    values: list[int | str] = []
    for name, bound in (("mtime_ns>=?", query.since), ("mtime_ns<?", query.until)):
        if bound is not None:
            parts.append(name)
            values.append(bound * 1000)
    if deleted is not None:
        parts.append("vanished>0" if deleted else "vanished=0")
    for term in query.terms:
        if not term.negated:
            some, of = _needs(term.matcher)
            parts += some
            values += of
    return " AND ".join(parts), values


def _needs(matcher: object) -> tuple[list[str], list[int | str]]:
    if isinstance(matcher, Span) and matcher.field == "size":
        bounds = (("size>=?", matcher.low), ("size<=?", matcher.high))
        found = [(name, bound) for name, bound in bounds if bound is not None]
        return [name for name, _ in found], [bound for _, bound in found]
    if isinstance(matcher, Subject):
        words = [addresses.words(word.rstrip("*")).casefold() for word in matcher.words]
        return ["instr(words, ?)"] * len(words), list(words)
    if isinstance(matcher, Address) and not matcher.null:
        wanted = (matcher.exact or matcher.domain or matcher.part).casefold()
        if wanted.isascii():
            return ["instr(box, ?)" if matcher.role == "box" else "instr(words, ?)"], [wanted]
    return [], []


def _life(row: Sequence[Any], heads: dict[bytes, Head]) -> Life:
    box, mailbox, uid, base, st, m, flags, keywords, mtime_ns, size, object_id, *times = row
    words = tuple(keywords.split("\n")) if keywords else ()
    entry = Entry(mailbox, uid, base, st, m, flags, words, mtime_ns, size, object_id)
    return Life(box, entry, heads.get(object_id), "", "", *times)


class _Shown:
    """Which snapshots that there still are have a message."""

    def __init__(self, repository: Repository) -> None:
        briefs = repository.briefs()
        self._times = [brief.at for brief in briefs.values()]
        self._names = list(briefs)
        db = repository.cache.database
        sets = {no: set(boxes.split("\n")) for no, boxes in db.execute("SELECT * FROM members")}
        told = dict(db.execute("SELECT name, members FROM told"))
        self._boxes = [sets.get(told.get(name), set()) for name in self._names]

    def named(self, life: Life) -> Life | None:
        """The message with its first and last snapshot; None where none is left."""
        begin = bisect_left(self._times, life.appeared)
        end = bisect_left(self._times, life.vanished) if life.vanished else len(self._times)
        having = range(begin, end)
        first = next((n for n in having if self._has(n, life.box)), None)
        if first is None:
            return None
        last = next(n for n in reversed(having) if self._has(n, life.box))
        return replace(life, first=self._names[first], last=self._names[last])

    def _has(self, number: int, box: str) -> bool:
        return box in self._boxes[number]


# ------------------------------------------------------------------- comparing


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a message between two snapshots: ``was`` or ``now`` is None where absent."""

    box: str
    was: Entry | None
    now: Entry | None

    @property
    def what(self) -> str:
        """The change in one word."""
        if self.was is None:
            return "new"
        if self.now is None:
            return "gone"
        return "moved" if self.was.mailbox != self.now.mailbox else "flags"


def difference(
    repository: Repository, before: Commit, after: Commit, box: str | None = None
) -> Iterator[Change]:
    """What differs between two snapshots, box by box. Raises Damaged."""
    former = {line.address: line for line in before.mail}
    latter = {line.address: line for line in after.mail}
    for address in sorted(former.keys() | latter.keys()):
        if box not in (None, address):
            continue
        roots = [one.root for one in (former.get(address), latter.get(address)) if one]
        if len(roots) == 2 and roots[0] == roots[1]:
            continue
        old = _chunks(repository, former[address].root) if address in former else set()
        new = _chunks(repository, latter[address].root) if address in latter else set()
        was, now = _entries(repository, old - new), _entries(repository, new - old)
        for base in sorted(was.keys() | now.keys()):
            change = Change(address, was.get(base), now.get(base))
            if _state(change.was) != _state(change.now):
                yield change


def _state(entry: Entry | None) -> tuple[Any, ...]:
    return () if entry is None else (entry.mailbox, entry.flags, entry.keywords)
