"""Takes a person out of a month: the address becomes an alias, what was written is blanked.

Of messages that the person sent, or that were for nobody else, the subject goes; of those sent also
the name in From and a Message-ID that has the local part. Wherever else the address stands it is
replaced: in names of actors, in replies and details of events, in what the queue needed. Rows stay,
so counts, states and the books are what they were. The hash chain is over the numbers of addresses
and not over their text; a batch of events whose details changed is named in ``meta``
(``chain.ERASED``). A sealed month gets another salt, and is sealed anew afterwards.

What is to change is looked for without a lock; then it is changed in one transaction. Nothing of it
is left in free pages; single words of subjects are, in a hot month, until the index of words is put
together again, at the latest when the month is sealed.
"""

# ruff: noqa: S608 - statements are put together of our own words; values are parameters

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tracing import addresses, chain, creation, months
from tracing.archive import digest, sealed
from tracing.archive.blob import Blob
from tracing.archive.building import FULL_TEXT
from tracing.archive.person import Person
from tracing.codec import ASIDE, Row
from tracing.waiting import OPEN_STATES

_STEP = 2_000
_DETAIL = 12
"""The place of ``detail`` in a row of ``ev``."""
_TEXTS = ("subject", "header_from", "message_id", "login")


@dataclass
class Found:
    """What a month has of a person; ``copies`` in boxes and recipients that wait forbid erasing."""

    month: str
    number: int = 0
    copies: int = 0
    waiting: int = 0
    messages: dict[int, dict[str, str | None]] = field(default_factory=dict)
    recipients: list[tuple[int, int, str | None, str | None]] = field(default_factory=list)
    strings: dict[int, str] = field(default_factory=dict)
    events: dict[int, str] = field(default_factory=dict)
    """Details of a hot month by seq, as they are to be."""
    traces: set[int] = field(default_factory=set)
    """Traces of a sealed month with such details."""

    @property
    def is_empty(self) -> bool:
        """Whether the person is not in it."""
        return not (
            self.number
            or self.messages
            or self.recipients
            or self.strings
            or self.events
            or self.traces
        )


def look(
    directory: Path, month: str, person: Person, pause: Callable[[], None] = lambda: None
) -> Found:
    """What a month has of the person. Raises as ``months.open_reading`` does, blob.Damaged."""
    file = months.path(directory, month)
    with closing(months.open_reading(file)) as link:
        return _look(link, Found(month), file, person, pause)


def erase(
    directory: Path, month: str, person: Person, pause: Callable[[], None] = lambda: None
) -> Found:
    """Take the person out, durably; what there was. Raises as ``look`` does, and sqlite3.Error."""
    file = months.path(directory, month)
    creation.upgrade(file)
    with closing(months.open_reading(file)) as link:
        found = _look(link, Found(month), file, person, pause)
        done = link.execute("SELECT coalesce(max(seq), 0) FROM ev").fetchone()[0]
    if found.is_empty:
        return found
    with closing(sqlite3.connect(file, isolation_level=None, timeout=10)) as link:
        link.execute("PRAGMA synchronous=FULL")
        link.execute("PRAGMA secure_delete=ON")
        link.execute("BEGIN IMMEDIATE")
        if months.is_hot(file):
            _details(link, person, found, f"seq>{int(done)}", pause)
        _change(link, file, person, found)
        link.execute("COMMIT")
        link.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return found


def _look(
    link: sqlite3.Connection,
    found: Found,
    file: Path,
    person: Person,
    pause: Callable[[], None],
) -> Found:
    number = link.execute(
        "SELECT addr.id FROM addr JOIN dom ON dom.id=dom WHERE local=? AND rname=?",
        (person.local, addresses.reverse(person.host)),
    ).fetchone()
    if number is not None:
        found.number = number[0]
        count = "SELECT count(*) FROM st WHERE box=? AND gone IS NULL"
        found.copies = link.execute(count, number).fetchone()[0]
        waits = (
            f"SELECT count(*) FROM rcpt WHERE status IN ({OPEN_STATES}) AND (addr=?1 OR orig=?1 "
            "OR msg IN (SELECT id FROM msg WHERE sender=?1))"
        )
        found.waiting = link.execute(waits, number).fetchone()[0]
    link.create_function("names", 1, person.is_in, deterministic=True)
    pause()
    _messages(link, person, found)
    pause()
    for m, n, reply, params in link.execute(
        "SELECT msg, n, reply, params FROM rcpt WHERE names(reply) OR names(params)"
    ):
        found.recipients.append((m, n, _out(person, reply), _out(person, params)))
    texts = link.execute("SELECT id, s FROM str WHERE names(s)")
    found.strings = {number: person.taken_out(text) for number, text in texts}
    if months.is_hot(file):
        _details(link, person, found, "1", pause)
    else:
        for trace, _ in _blobs(link, person, pause):
            found.traces.add(trace)
    return found


def _messages(link: sqlite3.Connection, person: Person, found: Found) -> None:
    # A message is the person's own, or for nobody else, or names the person somewhere.
    only = (
        f"NOT EXISTS (SELECT 1 FROM rcpt WHERE msg=msg.id AND n<{ASIDE} AND addr!=?1 "
        "AND coalesce(orig, 0)!=?1)"
    )
    rows = link.execute(
        f"SELECT id, coalesce(sender, 0)=?1, {', '.join(_TEXTS)} FROM msg WHERE ?1>0 AND "
        f"(sender=?1 OR id IN (SELECT msg FROM rcpt WHERE addr=?1 OR orig=?1) AND {only}) "
        "UNION ALL "
        f"SELECT id, -1, {', '.join(_TEXTS)} FROM msg WHERE "
        + " OR ".join(f"names({name})" for name in _TEXTS),
        (found.number,),
    )
    for m, whose, *texts in rows:
        was = dict(zip(_TEXTS, texts, strict=True))
        now: dict[str, str | None] = found.messages.get(m, was)
        now = {name: _out(person, text) for name, text in now.items()}
        if whose >= 0:
            now["subject"] = None
        if whose > 0:
            now["header_from"] = None
            if person.local.lower() in (was["message_id"] or "").lower():
                now["message_id"] = None
        if now != was:
            found.messages[m] = now


def _out(person: Person, text: str | None) -> str | None:
    return None if text is None else person.taken_out(text)


def _details(
    link: sqlite3.Connection,
    person: Person,
    found: Found,
    which: str,
    pause: Callable[[], None],
) -> None:
    """The details of a hot month's events that are to change."""
    like = "detail LIKE ?" if person.like else "detail IS NOT NULL"
    values = (person.like,) if person.like else ()
    rows = link.execute(f"SELECT seq, detail FROM ev WHERE {which} AND {like}", values)
    while part := rows.fetchmany(_STEP):
        for seq, detail in part:
            if person.is_in(detail):
                found.events[seq] = person.taken_out(detail)
        pause()


def _blobs(
    link: sqlite3.Connection, person: Person, pause: Callable[[], None], only: str = "1"
) -> Iterator[tuple[int, list[Row]]]:
    """Traces of a sealed month with such details, and their rows as they are to be."""
    packer = sealed.packer(link)
    places = link.execute(f"SELECT trace, lo, span, z FROM main.tr WHERE {only}")
    while part := places.fetchmany(_STEP):
        for place in part:
            rows = packer.rows(Blob(*place))
            if any(person.is_in(row[_DETAIL]) for row in rows):
                yield place[0], [(*row[:_DETAIL], _out(person, row[_DETAIL])) for row in rows]
        pause()


def _change(link: sqlite3.Connection, file: Path, person: Person, found: Found) -> None:
    has_words = file.suffix != months.COPIES
    for m, now in found.messages.items():
        subject = link.execute("SELECT subject FROM msg WHERE id=?", (m,)).fetchone()[0]
        if subject is not None and subject != now["subject"]:
            _unword(link, "msg_fts", "subject", m, subject)
            if now["subject"]:
                word = "INSERT INTO msg_fts(rowid, subject) VALUES (?,?)"
                link.execute(word, (m, addresses.words(now["subject"])))
        said = ", ".join(f"{name}=?" for name in _TEXTS)
        link.execute(f"UPDATE msg SET {said} WHERE id=?", (*(now[one] for one in _TEXTS), m))
    link.executemany(
        "UPDATE rcpt SET reply=?, params=? WHERE msg=? AND n=?",
        [(reply, params, m, n) for m, n, reply, params in found.recipients],
    )
    for number, text in found.strings.items():
        _string(link, number, text)
    if found.number:
        _address(link, person, found.number, has_words=has_words)
    if months.is_hot(file):
        _hot(link, found)
    else:
        _sealed(link, person, found, has_words=has_words)


def _unword(link: sqlite3.Connection, table: str, column: str, row: int, text: str) -> None:
    """Take a row out of a table of words, which has to be told what it was."""
    link.execute(
        f"INSERT INTO {table}({table}, rowid, {column}) VALUES ('delete', ?, ?)",
        (row, addresses.words(text)),
    )


def _string(link: sqlite3.Connection, number: int, text: str) -> None:
    """Another text for a number; one that there is already gets a mark behind it."""
    said, count = text, 1
    while link.execute("SELECT 1 FROM str WHERE s=? AND id!=?", (said, number)).fetchone():
        count += 1
        # White space behind JSON is none of it, so a shape stays the shape it was.
        said = text + " " * count if text.startswith("[") else f"{text} ({count})"
    link.execute("UPDATE str SET s=? WHERE id=?", (said, number))


def _address(link: sqlite3.Connection, person: Person, number: int, *, has_words: bool) -> None:
    dom = link.execute("SELECT dom FROM addr WHERE id=?", (number,)).fetchone()[0]
    alias, count = person.alias, 1
    while link.execute("SELECT 1 FROM addr WHERE dom=? AND local=?", (dom, alias)).fetchone():
        count += 1
        alias = f"{person.alias}-{count}"
    link.execute("UPDATE addr SET local=? WHERE id=?", (alias, number))
    if has_words:
        _unword(link, "addr_tri", "a", number, person.address)
        word = "INSERT INTO addr_tri(rowid, a) VALUES (?,?)"
        link.execute(word, (number, addresses.join(alias, person.host)))


def _hot(link: sqlite3.Connection, found: Found) -> None:
    if not found.events:
        return
    link.executemany(
        "UPDATE ev SET detail=? WHERE seq=?", [(said, seq) for seq, said in found.events.items()]
    )
    row = link.execute("SELECT v FROM meta WHERE k=?", (chain.ERASED,)).fetchone()
    batches = set(json.loads(row[0])) if row else set()
    for seq in found.events:
        batches.add(link.execute("SELECT min(hi) FROM chain WHERE hi>=?", (seq,)).fetchone()[0])
    told = json.dumps(sorted(batches - {None})).encode()
    link.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (chain.ERASED, told))


def _sealed(link: sqlite3.Connection, person: Person, found: Found, *, has_words: bool) -> None:
    packer = sealed.packer(link)
    listed = f"trace IN (SELECT value FROM json_each('{json.dumps(sorted(found.traces))}'))"
    for trace, rows in list(_blobs(link, person, lambda: None, listed)):
        made = packer.pack(trace, rows)
        link.execute("UPDATE tr SET z=? WHERE trace=?", (made.z, trace))
    if has_words:
        for table in FULL_TEXT:
            link.execute(f"INSERT INTO {table}({table}) VALUES ('optimize')")
    # Until it is sealed anew it says that it is not as it was.
    link.execute("INSERT INTO meta VALUES ('sealed.late', CAST(0 AS BLOB)) ON CONFLICT DO NOTHING")
    link.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (digest.SALT, os.urandom(16)))
