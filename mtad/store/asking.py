"""Questions about messages to an index, over its owner's own connection."""

import json
import sqlite3
from collections.abc import Iterable, Sequence

from mtad.store.resting import Resting
from mtad.store.rows import COLUMNS, MailboxRow, Row


class Asking:
    """What an owner asks; part of ``Index``."""

    _link: Resting
    _has_seen: bool

    @property
    def _db(self) -> sqlite3.Connection:
        return self._link.get()

    def rows(self, where: str, values: Sequence[object] = ()) -> list[Row]:
        """Messages by a condition of ours, in order of mailbox and UID."""
        statement = f"SELECT {COLUMNS} FROM msg WHERE {where} ORDER BY mailbox, uid"  # noqa: S608
        return [Row(*found) for found in self._db.execute(statement, values)]

    def of_mailbox(self, mailbox: MailboxRow) -> list[Row]:
        """All messages of a mailbox in order of UID."""
        return self.rows("mailbox = ?", (mailbox.id,))

    def columns(self, mailbox: MailboxRow) -> sqlite3.Cursor:
        """What a view keeps of each message, in order of UID."""
        return self._db.execute(
            "SELECT uid, modseq, wire, date_ns, saved, email, flags, keywords FROM msg "
            "WHERE mailbox = ? ORDER BY uid",
            (mailbox.id,),
        )

    def seen_by(self, mailbox: MailboxRow, user: str) -> set[int]:
        """UIDs of the messages that a user who is not the owner has seen."""
        if not self._has_seen:
            return set()
        ask = "SELECT uid FROM seen JOIN msg USING (base) WHERE user = ? AND mailbox = ?"
        return {uid for (uid,) in self._db.execute(ask, (user, mailbox.id))}

    def unmeasured(self, after: tuple[int, int], count: int) -> list[Row]:
        """Messages whose octets on the wire were not counted, above a mailbox and UID."""
        statement = (
            f"SELECT {COLUMNS} FROM msg WHERE wire = 0 AND (mailbox, uid) > (?, ?) "  # noqa: S608
            "ORDER BY mailbox, uid LIMIT ?"
        )
        return [Row(*found) for found in self._db.execute(statement, (*after, count))]

    def by_bases(self, mailbox: MailboxRow, bases: Iterable[str]) -> dict[str, Row]:
        """Messages of a mailbox by base name, those that are there."""
        # SQLite would rather go through the whole mailbox than sort some rows; "+" forbids it.
        chosen = "base IN (SELECT value FROM json_each(?)) AND +mailbox = ?"
        return {row.base: row for row in self.rows(chosen, (json.dumps([*bases]), mailbox.id))}

    def by_base(self, mailbox: MailboxRow, base: str) -> Row | None:
        """A message of a mailbox by its base name."""
        return next(iter(self.rows("base = ? AND mailbox = ?", (base, mailbox.id))), None)

    def may_number(self, mailbox: MailboxRow, uids: Sequence[int]) -> bool:
        """Whether messages may get these UIDs, ascending: nobody had one of them or a higher one.

        That is so below the next UID of a mailbox that was numbered as before.
        """
        if not uids or any(a >= b for a, b in zip((0, *uids), (*uids, mailbox.uidnext))):  # noqa: B905
            return False
        return self.highest_uid(mailbox) < uids[0]

    def highest_uid(self, mailbox: MailboxRow) -> int:
        """The highest UID that a message has or had, 0 where there was none."""
        of_table = "SELECT max(uid) FROM {} WHERE mailbox = ?"
        asks = (of_table.format(table) for table in ("msg", "expunged"))
        return max(self._db.execute(ask, (mailbox.id,)).fetchone()[0] or 0 for ask in asks)

    def by_uid(self, mailbox: MailboxRow, uid: int) -> Row | None:
        """A message by its UID."""
        return next(iter(self.rows("mailbox = ? AND uid = ?", (mailbox.id, uid))), None)

    def by_uids(self, mailbox: MailboxRow, uids: Iterable[int]) -> list[Row]:
        """Messages by UID, those that are there, in order of UID."""
        chosen = "mailbox = ? AND uid IN (SELECT value FROM json_each(?))"
        return self.rows(chosen, (mailbox.id, json.dumps([*uids])))

    def used(self, mailbox: MailboxRow, uids: Iterable[int]) -> set[int]:
        """Which of these UIDs a message of the mailbox has or had."""
        found: set[int] = set()
        listed = json.dumps([*uids])
        for table in ("msg", "expunged"):
            ask = (
                f"SELECT uid FROM {table} WHERE mailbox = ? "  # noqa: S608
                "AND uid IN (SELECT value FROM json_each(?))"
            )
            found.update(uid for (uid,) in self._db.execute(ask, (mailbox.id, listed)))
        return found

    def late(self, after: int, count: int) -> list[Row]:
        """Messages of which the log has not told the ``m``, by stored copy, from ``after`` on."""
        chosen = "SELECT st FROM msg WHERE m IS NULL AND st > ? ORDER BY st LIMIT ?"
        return self.rows(f"m IS NULL AND st IN ({chosen})", (after, count))

    def names(self, mailbox: MailboxRow, *, fresh: bool) -> set[str]:
        """The names that are known to lie in ``new/``, or else in ``cur/``."""
        ask = "SELECT name FROM msg WHERE mailbox = ? AND NOT fresh"
        if fresh:
            ask = "SELECT name FROM msg INDEXED BY msg_fresh WHERE mailbox = ? AND fresh"
        return {name for (name,) in self._db.execute(ask, (mailbox.id,))}

    def of_bases(self, bases: Iterable[str]) -> list[Row]:
        """Messages by base name, of any mailbox."""
        return self.rows("base IN (SELECT value FROM json_each(?))", (json.dumps([*bases]),))

    def knows(self, bases: Iterable[str]) -> set[str]:
        """Which of these base names the box has, in any mailbox."""
        ask = "SELECT base FROM msg WHERE base IN (SELECT value FROM json_each(?))"
        return {base for (base,) in self._db.execute(ask, (json.dumps([*bases]),))}

    def copies(self, sts: Iterable[int]) -> set[int]:
        """Which of these stored copies the box has."""
        ask = "SELECT st FROM msg WHERE st IN (SELECT value FROM json_each(?))"
        return {st for (st,) in self._db.execute(ask, (json.dumps([*sts]),))}
