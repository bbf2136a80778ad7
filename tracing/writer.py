"""One month file being written: the rows of a batch gather here and go in as one transaction.

Nothing is visible, and nothing is remembered, unless the whole batch commits. ``seq`` has no
gaps; each batch adds a link to the hash chain (``tracing.chain``).
"""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from tracing import addresses, chain, codec, ids, months
from tracing.codec import ASIDE
from tracing.events import Event
from tracing.interning import Dictionaries
from tracing.rows import Message, Recipient, Stored
from tracing.shapes import full_base, short_base
from tracing.states import ENDED_ELSEWHERE

_SPENT = (
    "SELECT msg FROM rcpt WHERE msg IN (SELECT value FROM json_each(?)) AND n<? GROUP BY msg "
    "HAVING min(CASE WHEN status IN (SELECT value FROM json_each(?)) THEN 1 ELSE 0 END)=1 "
    "AND count(params)>0"
)
_ANALYZE_AFTER = 7_000
"""Events before the first ANALYZE."""


class Pen(Protocol):
    """What reads and writes the tables of one month."""

    def cursor(self) -> Any:
        """What asks questions."""

    def transaction(self) -> AbstractContextManager[None]:
        """All that is written within, or nothing."""

    def write(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows, or replace those there are."""

    def drop(self, recipients: Sequence[tuple[int, int]]) -> None:
        """Take recipients away, given by message and number."""

    def uncount(self, hours: Sequence[tuple[int, int]]) -> None:
        """Take away the counts of hours and states that came to nothing."""

    def checkpoint(self) -> None:
        """Bring everything committed to the disk."""

    def analyze(self) -> None:
        """Tell the planner what the tables look like."""

    def close(self) -> None:
        """Let the month go."""


def _message_row(m: Message) -> tuple[Any, ...]:
    accepted = len(m.recipients)
    if accepted != 1 or 1 not in m.recipients:
        accepted = sum(n < ASIDE for n in m.recipients)
    # fmt: off
    return (
        m.id, m.cn, m.ts, m.last, m.dir, m.sender, m.sdom, m.login, m.ip, m.helo, int(m.status),
        accepted, m.size, m.message_id, m.subject, m.header_from, m.sha256, m.root,
        m.parent, m.rel,
    )
    # fmt: on


def _recipient_row(m: int, r: Recipient) -> tuple[Any, ...]:
    # fmt: off
    return (
        m, r.n, r.addr, r.dom, r.orig, r.ts, r.last, int(r.status), r.tries, r.next_try, r.host,
        r.code, r.enh, r.reply, r.st, r.params, r.rqid,
    )
    # fmt: on


class MonthWriter:
    """The month file of one thread; ``names`` are its dictionaries."""

    def __init__(self, month: str, pen: Pen) -> None:
        self.month = month
        self.low, self.high = months.span(month)
        self.begin, self.end = months.times(month)
        self._pen = pen
        try:
            self._cursor = pen.cursor()
            self.names = Dictionaries(pen)
            self._read_position()
        except BaseException:
            self.close()
            raise
        self.clear()

    def _read_position(self) -> None:
        read = self._cursor.execute
        self.seq: int = read("SELECT coalesce(max(seq), 0) FROM ev").fetchone()[0]
        self._highest_st: int = read("SELECT coalesce(max(id), 0) FROM st").fetchone()[0]
        row = read("SELECT head FROM chain ORDER BY hi DESC LIMIT 1").fetchone()
        self._head: bytes = row[0] if row else b""
        pairs = read("SELECT k, v FROM meta").fetchall()
        self.marks = {k[8:]: int(v) for k, v in pairs if k.startswith("applied.")}
        self.last_id = next((int(v) for k, v in pairs if k == "last_id"), 0)

    def clear(self) -> None:
        """An empty batch."""
        self.rows: list[codec.Row] = []
        self._also: list[tuple[int, int]] = []
        self._messages: dict[int, Message | None] = {}
        self._stored: dict[int, Stored] = {}
        self._counted: dict[int, tuple[int, int]] = {}

    @property
    def touched(self) -> bool:
        """Whether the batch holds anything."""
        return bool(self.rows or self._stored)

    def note(self, event: Event) -> int:
        """Take an event's row; its seq. Raises UnicodeEncodeError, and nothing was taken."""
        seq = self.seq + len(self.rows) + 1
        row = codec.encode(seq, event, self.names)
        self.rows.append(row)
        if event.also:
            self._also += [(trace, seq) for trace in event.also]
        return seq

    # ------------------------------------------------- what the projection asks for

    def message(self, m: int) -> Message | None:
        """The message, from the batch or the file."""
        try:
            return self._messages[m]
        except KeyError:
            pass
        found = self._cursor.execute(
            "SELECT id,cn,ts,last,dir,sender,sdom,login,ip,helo,status,size,message_id,subject,"
            "header_from,sha256,root,parent,rel FROM msg WHERE id=?",
            (m,),
        ).fetchone()
        message = None
        if found is not None:
            message = Message(*found)
            self._counted[m] = message.status, message.size or 0
            for columns in self._cursor.execute(
                "SELECT n,addr,dom,orig,ts,last,status,tries,next_try,host,code,enh,reply,st,"
                "params,rqid FROM rcpt WHERE msg=?",
                (m,),
            ):
                row = message.recipients[columns[0]] = Recipient(*columns)
                row.changed = False
        self._messages[m] = message
        return message

    def open_message(self, m: int, at: int) -> Message:
        """The message, made if there is none."""
        message = self.message(m)
        if message is None:
            message = self._messages[m] = Message(m, ts=at, last=at)
        return message

    def begin_message(self, m: int, at: int) -> Message:
        """A message that no event told of before."""
        message = self._messages.get(m)
        if message is None:
            message = self._messages[m] = Message(m, ts=at, last=at)
        return message

    def root_of(self, m: int) -> int:
        """The first ancestor of a message; itself where it has none, or is not known."""
        message = self._messages.get(m)
        if message is not None:
            return message.root or m
        row = self._cursor.execute("SELECT root FROM msg WHERE id=?", (m,)).fetchone()
        return row[0] if row and row[0] else m

    def stored(self, st: int) -> Stored | None:
        """The stored copy, from the batch or the file."""
        copy = self._stored.get(st)
        if copy is not None or st > self._highest_st:
            return copy
        row = self._cursor.execute(
            "SELECT id,msg,n,box,mailbox,base,size,gone FROM st WHERE id=?", (st,)
        ).fetchone()
        if row is None:
            return None
        found = Stored(*row)
        found.base = full_base(st, found.base)
        return found

    def store(self, copy: Stored) -> None:
        """Take a stored copy into the batch."""
        self._stored[copy.id] = copy
        if copy.id > self._highest_st:
            self._highest_st = copy.id

    def rename(self, box: int, mailbox: str, target: str) -> None:
        """A mailbox and those below it have another name from here on."""
        living = self._cursor.execute(
            "SELECT st.id, s FROM st JOIN str ON str.id = mailbox "
            "WHERE box=? AND gone IS NULL AND (s=? OR substr(s, 1, ?)=?)",
            (box, mailbox, len(mailbox) + 1, mailbox + "/"),
        ).fetchall()
        for number, name in living:
            copy = self.stored(number)
            if copy is not None:
                copy.mailbox = self.names.string(target + name[len(mailbox) :])
                self.store(copy)

    # ------------------------------------------------------------------- writing

    def commit(self, marks: dict[str, int], last_id: int) -> None:
        """Write the batch and the journals' marks as one transaction, or nothing of it."""
        try:
            with self._pen.transaction():
                head = self._write(marks, last_id)
        except BaseException:
            self.abandon()
            raise
        before = self.seq
        self.seq += len(self.rows)
        self._head = head
        self.marks.update(marks)
        self.last_id = max(self.last_id, last_id)
        self.names.committed()
        self.clear()
        if before < _ANALYZE_AFTER <= self.seq:
            self.analyze()

    def abandon(self) -> None:
        """Forget the batch."""
        self.names.forget()
        self.clear()

    def _write(self, marks: dict[str, int], last_id: int) -> bytes:
        changed = [message for message in self._messages.values() if message is not None]
        recipients: list[tuple[Any, ...]] = []
        messages: list[tuple[Any, ...]] = []
        subjects: list[tuple[int, str]] = []
        dropped: list[tuple[int, int]] = []
        for m in changed:
            messages.append(_message_row(m))
            if m.fresh_subject and m.subject:
                subjects.append((m.id, addresses.words(m.subject)))
            dropped += [(m.id, n) for n in m.dropped if n not in m.recipients]
            recipients += [_recipient_row(m.id, r) for r in m.recipients.values() if r.changed]
        copies = [
            (s.id, s.msg, s.n, s.box, s.mailbox, short_base(s.id, s.base), s.size, s.gone)
            for s in self._stored.values()
        ]
        position = [(f"applied.{name}", str(seq).encode()) for name, seq in marks.items()]
        if last_id > self.last_id:
            position.append(("last_id", str(last_id).encode()))
        head = chain.link(self._head, self.rows) if self.rows else self._head
        counts = self._counts(changed)
        if dropped:
            self._pen.drop(dropped)
        names = self.names
        for table, rows in (
            ("dom", names.fresh_domains),
            ("addr", names.fresh_addresses),
            ("addr_tri", names.trigrams),
            ("str", names.fresh_strings),
            ("msg", messages),
            ("msg_fts", subjects),
            ("rcpt", recipients),
            ("st", copies),
            ("ev", self.rows),
            ("also", self._also),
            ("stat_hour", counts),
            ("meta", position),
            ("chain", [(self.rows[-1][0], head)] if self.rows else []),
        ):
            if rows:
                self._pen.write(table, rows)
        if fewer := [(hour, status) for hour, status, n, _ in counts if n < 0]:
            self._pen.uncount(fewer)
        return head

    def _counts(self, changed: Sequence[Message]) -> list[tuple[int, int, int, int]]:
        """What the batch adds to hours and states, and takes from those messages were in."""
        counts: dict[tuple[int, int], tuple[int, int]] = {}
        for m in changed:
            was, now = self._counted.get(m.id), (int(m.status), m.size or 0)
            if now == was:
                continue
            hour = m.id // ids.HOUR
            n, octets = counts.get((hour, now[0]), (0, 0))
            counts[hour, now[0]] = n + 1, octets + now[1]
            if was is not None:
                n, octets = counts.get((hour, was[0]), (0, 0))
                counts[hour, was[0]] = n - 1, octets - was[1]
        return [(*key, *sums) for key, sums in counts.items()]

    def gone(self, sts: list[int]) -> set[int]:
        """Those of the stored copies that are no longer there."""
        query = (
            "SELECT id FROM st WHERE gone IS NOT NULL AND id IN (SELECT value FROM json_each(?))"
        )
        return {row[0] for row in self._cursor.execute(query, (json.dumps(sts),))}

    def spent(self, messages: list[int]) -> set[int]:
        """Those of the messages whose recipients were all elsewhere and have their end."""
        values = (json.dumps(messages), ASIDE, json.dumps(ENDED_ELSEWHERE))
        return {row[0] for row in self._cursor.execute(_SPENT, values)}

    def checkpoint(self) -> None:
        """Bring everything committed to the disk."""
        self._pen.checkpoint()

    def analyze(self) -> None:
        """Tell the planner what the tables look like."""
        self._pen.analyze()

    def close(self) -> None:
        """Let the month go."""
        self._pen.close()
