"""One box's index: which message has which number, and that no number is ever given twice.

``index.db`` is SQLite in WAL mode with synchronous=NORMAL: after a power cut it may have lost
its last transactions, but not its consistency; what they did is redone from the journal, and
files that had numbers get others. That is why UIDs (per mailbox) and mod-sequences (per box)
are *reserved*: before the first of a block of 256 is given out, a transaction that says so is
committed with synchronous=FULL. SQLite then syncs the write-ahead log before the commit
returns, and all transactions before it with it, and the log's folder when it made the file.
Closing in order writes the exact values back; opened after anything else, numbering goes on
above the reserve.

Only the box's owner (who holds ``lock``) writes here; others read in one transaction.
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mtad.errors import Corrupt, MtadError
from mtad.store import names
from mtad.store.asking import Asking
from mtad.store.beside import Beside
from mtad.store.deltas import Delta, Deltas
from mtad.store.resting import Resting, opened
from mtad.store.rows import COLUMNS, SCHEMA, TABLES, UPGRADES, MailboxRow, Row

BLOCK = 256
"""Numbers reserved at a time."""


def boot_id() -> str:
    """What names the kernel's present life (random(4)); only its end loses what was written."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


class Index(Asking):
    """The index of one box, open for its owner. Not safe for concurrent threads."""

    def __init__(self, path: Path) -> None:
        """Open or make the index.

        Raises MtadError when a later version wrote it, Corrupt when it cannot be read.
        """
        self.path = path
        self.is_new = not path.exists()
        self.beside = Beside(path)
        self.on_change: Callable[[Sequence[Delta]], None] | None = None
        """Told what each transaction did, in the thread that committed it."""
        self._deltas = Deltas()
        self._link = Resting(self._connect)
        try:
            self._load()
        except sqlite3.DatabaseError as error:
            self._link.end()
            raise Corrupt(
                f"the index {path} cannot be read ({error}); moved away, it is made again from "
                "the files, and clients load the box afresh"
            ) from error
        except BaseException:
            self._link.end()
            raise

    def _connect(self) -> sqlite3.Connection:
        link = opened(self.path, make=self.is_new)
        try:
            link.execute("PRAGMA journal_mode=WAL")
            link.execute("PRAGMA synchronous=NORMAL")
            link.execute("PRAGMA cache_size=-512")
        except BaseException:
            link.close()
            raise
        return link

    def _load(self) -> None:
        db = self._db
        self.mailboxes: dict[str, MailboxRow] = {}
        self.octets = self.messages = 0
        self._keywords: dict[int, list[str]] = {}
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'mailbox'").fetchone():
            with self.durably():
                for statement in TABLES.split(";"):
                    db.execute(statement)
                self._set("schema", SCHEMA)
                self._set("clean", 1)
                self._set("modseq", 1)
                self._set("modseq_reserved", 1)
                self._set("uidvalidity", 0)
        version = self.meta("schema")
        if version > SCHEMA:
            raise MtadError(
                f"{self.path} was written by a later version of mtad (format {version}, this one "
                f"reads up to {SCHEMA})"
            )
        for format_ in range(version, SCHEMA):
            with self.durably():
                for statement in UPGRADES[format_].split(";"):
                    db.execute(statement)
                self._set("schema", format_ + 1)
        self.octets, self.messages = self.meta("octets"), self.meta("messages")
        self._has_seen = bool(db.execute("SELECT EXISTS (SELECT 1 FROM seen)").fetchone()[0])
        self.was_clean = bool(self.meta("clean"))
        self.lost_power = not self.was_clean and self._boot() != boot_id()
        self._clean = self.was_clean
        self.modseq = self.meta("modseq" if self.was_clean else "modseq_reserved")
        self._modseq_reserved = self.meta("modseq_reserved")
        for values in db.execute("SELECT * FROM mailbox ORDER BY id"):
            mailbox = MailboxRow(*values)
            mailbox.folder = os.fsdecode(values[2])
            if not self.was_clean:
                mailbox.uidnext = mailbox.uid_reserved
                mailbox.highestmodseq = self.modseq
                mailbox.new_mtime = mailbox.cur_mtime = None
            self.mailboxes[mailbox.name] = mailbox
        for mailbox_id, number, name in db.execute("SELECT mailbox, id, name FROM keyword"):
            words = self._keywords.setdefault(mailbox_id, [])
            words.extend([""] * (number + 1 - len(words)))
            words[number] = name
        self.applied: dict[str, int] = {
            key.removeprefix("applied."): value
            for key, value in db.execute("SELECT k, v FROM meta WHERE k GLOB 'applied.*'")
        }

    # ------------------------------------------------------------- transactions

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; consistent after a power cut, but not yet durable.

        Which mailboxes, keywords and octets there are goes back with it; counters only rise.
        """
        mailboxes = dict(self.mailboxes)
        words = {mailbox: list(known) for mailbox, known in self._keywords.items()}
        size = self.octets, self.messages
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            if (self.octets, self.messages) != size:
                self._set("octets", self.octets)
                self._set("messages", self.messages)
            self._db.execute("COMMIT")
        except BaseException:
            self.mailboxes, self._keywords = mailboxes, words
            self.octets, self.messages = size
            self._deltas.clear()
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        deltas = self._deltas.take(self.mailboxes.values())
        if deltas and self.on_change is not None:
            self.on_change(deltas)

    @contextmanager
    def durably(self) -> Iterator[None]:
        """The same, and on the disk when it ends."""
        self._db.execute("PRAGMA synchronous=FULL")
        try:
            with self.transaction():
                yield
        finally:
            self._db.execute("PRAGMA synchronous=NORMAL")

    def checkpoint(self) -> None:
        """Make every transaction so far durable."""
        with self.durably():
            self._set("boot", boot_id())

    def close(self) -> None:
        """Write the exact numbers back and close; the next start trusts them."""
        if not self._clean or any(m.new_mtime or m.cur_mtime for m in self.mailboxes.values()):
            with self.durably():
                for mailbox in self.mailboxes.values():
                    mailbox.uid_reserved = mailbox.uidnext
                    self.save_mailbox(mailbox)
                self._set("modseq", self.modseq)
                self._set("modseq_reserved", self.modseq)
                self._set("clean", 1)
        self.abandon()

    def abandon(self) -> None:
        """Close without calling it an orderly end; the next start goes on above the reserve."""
        self.beside.close()
        self._link.end()

    def rest(self, before: float) -> bool:
        """See ``Resting.rest``, of the owner's connection; numbers and mailboxes stay known."""
        return self._link.rest(before)

    # ------------------------------------------------------------------ numbers

    def take_uids(self, mailbox: MailboxRow, count: int) -> int:
        """The first of ``count`` UIDs nobody has had; reserved durably before it returns."""
        first = mailbox.uidnext
        self._reserve(mailbox, first + count)
        mailbox.uidnext = first + count
        return first

    def take_modseq(self) -> int:
        """A mod-sequence nobody has had (RFC 7162 3.1); reserved durably before it returns."""
        if self.modseq + 1 >= self._modseq_reserved:
            self._reserve(None, 0)
        self.modseq += 1
        return self.modseq

    def claim(self, mailbox: MailboxRow, uid: int, modseq: int) -> None:
        """Numbers a journal frame says were given out are never given again."""
        if uid >= mailbox.uidnext:
            self._reserve(mailbox, uid + 1)
            mailbox.uidnext = uid + 1
        if modseq >= self._modseq_reserved:
            self.modseq = modseq
            self._reserve(None, 0)
        self.modseq = max(self.modseq, modseq)

    def _reserve(self, mailbox: MailboxRow | None, upto: int) -> None:
        """Have the numbers below ``upto`` in reserve, and mod-sequences along with them."""
        if mailbox is not None and upto <= mailbox.uid_reserved:
            return
        modseqs = self.modseq + 1 + BLOCK
        with self.durably():
            if mailbox is not None:
                self._db.execute(
                    "UPDATE mailbox SET uid_reserved = ? WHERE id = ?", (upto + BLOCK, mailbox.id)
                )
            self._set("modseq_reserved", modseqs)
            self._set("clean", 0)
            self._set("boot", boot_id())
        if mailbox is not None:
            mailbox.uid_reserved = upto + BLOCK
        self._modseq_reserved = modseqs
        self._clean = False

    # ------------------------------------------------------- inside a transaction

    def _set(self, key: str, value: int | str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def set_applied(self, journal: str, seq: int) -> None:
        """This transaction does what frame ``seq`` of a journal says."""
        self._set(f"applied.{journal}", seq)
        self.applied[journal] = seq

    def add_mailbox(
        self, name: str, folder: str, objectid: int, uidvalidity: int = 0
    ) -> MailboxRow:
        """Index a mailbox; its UIDVALIDITY is above any this box has had (RFC 9051 2.3.1.1).

        One whose UIDs another program gave has the ``uidvalidity`` that goes with them.

        To be done durably: whoever saw a UIDVALIDITY may count on it.
        """
        highest = self.meta("uidvalidity")
        validity = uidvalidity or max(int(time.time()), highest + 1)
        self._set("uidvalidity", max(validity, highest))
        cursor = self._db.execute(
            "INSERT INTO mailbox VALUES (NULL, ?, ?, ?, ?, 1, 1, 1, NULL, NULL, 1)",
            (name, os.fsencode(folder), objectid, validity),
        )
        row = MailboxRow(
            cursor.lastrowid or 0, name, folder, objectid, validity, 1, 1, 1, None, None
        )
        self.mailboxes[name] = row
        self._deltas.shaped(name, "created", row.id)
        return row

    def note_shape(self, name: str, what: str, acl: tuple[str, ...] = ()) -> None:
        """Something was done to a mailbox of which the index keeps nothing."""
        self._deltas.shaped(name, what, acl=acl)

    def save_mailbox(self, mailbox: MailboxRow) -> None:
        """Write a mailbox's counters and times."""
        self._db.execute(
            "UPDATE mailbox SET uidnext = ?, uid_reserved = ?, highestmodseq = ?, new_mtime = ?, "
            "cur_mtime = ?, recent = ? WHERE id = ?",
            (
                mailbox.uidnext,
                mailbox.uid_reserved,
                mailbox.highestmodseq,
                mailbox.new_mtime,
                mailbox.cur_mtime,
                mailbox.recent,
                mailbox.id,
            ),
        )

    def rename_mailbox(self, mailbox: MailboxRow, name: str, folder: str) -> None:
        """Give a mailbox another name; its UIDVALIDITY, which no other has had, goes along."""
        self._db.execute(
            "UPDATE mailbox SET name = ?, folder = ? WHERE id = ?",
            (name, os.fsencode(folder), mailbox.id),
        )
        self._deltas.shaped(mailbox.name, "renamed", mailbox.id, name)
        del self.mailboxes[mailbox.name]
        self.mailboxes[name] = replace(mailbox, name=name, folder=folder)

    def drop_mailbox(self, mailbox: MailboxRow) -> None:
        """Forget a mailbox and its messages."""
        self._count_out("mailbox = ?", (mailbox.id,))
        self._deltas.shaped(mailbox.name, "deleted", mailbox.id)
        if self._has_seen:
            of_mailbox = "SELECT base FROM msg WHERE mailbox = ?"
            self._db.execute(f"DELETE FROM seen WHERE base IN ({of_mailbox})", (mailbox.id,))  # noqa: S608
        for table in ("msg", "expunged", "keyword"):
            self._db.execute(f"DELETE FROM {table} WHERE mailbox = ?", (mailbox.id,))  # noqa: S608
        self._db.execute("DELETE FROM mailbox WHERE id = ?", (mailbox.id,))
        self.mailboxes.pop(mailbox.name, None)
        self._keywords.pop(mailbox.id, None)

    def insert(self, rows: Sequence[Row]) -> None:
        """Index messages."""
        self._deltas.added(rows)
        if self._has_seen:
            self._bring_seen(rows)
        self.messages += len(rows)
        self.octets += sum(row.size for row in rows)
        self._db.executemany(
            f"INSERT INTO msg ({COLUMNS}) VALUES ({'?, ' * 15}?)",  # noqa: S608
            [
                (
                    row.mailbox, row.uid, row.base, row.fresh, row.name, row.st, row.m, row.email,
                    row.flags, row.keywords, row.modseq, row.date_ns, row.saved, row.size,
                    row.sha256, row.wire,
                )
                for row in rows
            ],
        )  # fmt: skip

    def update(self, rows: Sequence[Row]) -> None:
        """Write what acts change of messages: name, flags, keywords, mod-sequence."""
        self._deltas.changed(rows)
        self._db.executemany(
            "UPDATE msg SET fresh = ?, name = ?, flags = ?, keywords = ?, modseq = ? "
            "WHERE mailbox = ? AND uid = ?",
            [
                (row.fresh, row.name, row.flags, row.keywords, row.modseq, row.mailbox, row.uid)
                for row in rows
            ],
        )

    def mark(self, mailbox: MailboxRow, rows: Iterable[Row]) -> None:
        """Write flags, keywords and mod-sequences of messages of a mailbox."""
        alike: dict[tuple[str, str, int], list[Row]] = {}
        for row in rows:
            alike.setdefault((row.flags, row.keywords, row.modseq), []).append(row)
        for marks, part in alike.items():
            self._deltas.changed(part)
            self._db.execute(
                "UPDATE msg SET flags = ?, keywords = ?, modseq = ? "
                "WHERE mailbox = ? AND uid IN (SELECT value FROM json_each(?))",
                (*marks, mailbox.id, json.dumps([row.uid for row in part])),
            )

    def rename(self, rows: Sequence[Row]) -> None:
        """Write other names of messages of which all else was written before."""
        self._db.executemany(
            "UPDATE msg SET fresh = ?, name = ? WHERE mailbox = ? AND uid = ?",
            [(row.fresh, row.name, row.mailbox, row.uid) for row in rows],
        )

    def learn(self, rows: Sequence[Row]) -> None:
        """Write what is learned of messages later: ``m``, digest, octets on the wire."""
        self._db.executemany(
            "UPDATE msg SET m = ?, sha256 = ?, wire = ? WHERE mailbox = ? AND uid = ?",
            [(row.m, row.sha256, row.wire, row.mailbox, row.uid) for row in rows],
        )

    def recall(self, pairs: Sequence[tuple[Row, Row]]) -> None:
        """Write what a former row knew and no file says: message, EMAILID, date of saving."""
        self._db.executemany(
            "UPDATE msg SET m = ?, email = ?, saved = ?, sha256 = ? WHERE mailbox = ? AND uid = ?",
            [(was.m, was.email, was.saved, was.sha256, now.mailbox, now.uid) for now, was in pairs],
        )

    def recall_seen(self, found: Collection[tuple[str, str]]) -> None:
        """Write what a former index knew: users, and base names of what they have seen."""
        there = self.knows(base for _, base in found)
        kept = [one for one in found if one[1] in there]
        self._has_seen = self._has_seen or bool(kept)
        self._db.executemany("INSERT OR IGNORE INTO seen (user, base) VALUES (?, ?)", kept)

    def set_objectid(self, mailbox: MailboxRow, objectid: int) -> None:
        """Give a mailbox the MAILBOXID it had."""
        mailbox.objectid = objectid
        self._db.execute("UPDATE mailbox SET objectid = ? WHERE id = ?", (objectid, mailbox.id))

    def delete(self, mailbox: MailboxRow, uids: Iterable[int], modseq: int) -> None:
        """Forget messages; their UIDs are kept as expunged (RFC 7162 3.2.10)."""
        keys = [(mailbox.id, uid) for uid in uids]
        listed = json.dumps([uid for _, uid in keys])
        chosen = "mailbox = ? AND uid IN (SELECT value FROM json_each(?))"
        self._count_out(chosen, (mailbox.id, listed))
        self._deltas.gone(mailbox.id, [uid for _, uid in keys])
        self._db.executemany("DELETE FROM msg WHERE mailbox = ? AND uid = ?", keys)
        self._db.executemany(
            "INSERT OR IGNORE INTO expunged VALUES (?, ?, ?)",
            [(box, uid, modseq) for box, uid in keys],
        )

    def mark_seen(self, mailbox: MailboxRow, user: str, rows: Sequence[Row], on: bool) -> None:
        """Keep of messages whether a user who is not the owner has seen them."""
        self._deltas.seen(mailbox.id, user, [row.uid for row in rows], on)
        if on:
            self._has_seen = True
            statement = "INSERT OR IGNORE INTO seen (user, base) VALUES (?, ?)"
        else:
            statement = "DELETE FROM seen WHERE user = ? AND base = ?"
        self._db.executemany(statement, [(user, row.base) for row in rows])

    def forget_seen(self, bases: Iterable[str]) -> None:
        """Messages are gone for good: nobody has seen them."""
        if self._has_seen:
            self._db.executemany("DELETE FROM seen WHERE base = ?", [(base,) for base in bases])

    def _bring_seen(self, rows: Sequence[Row]) -> None:
        """Messages that are moved stay seen by those who have."""
        uids = {row.base: (row.mailbox, row.uid) for row in rows}
        ask = "SELECT user, base FROM seen WHERE base IN (SELECT value FROM json_each(?))"
        for user, base in self._db.execute(ask, (json.dumps([*uids]),)):
            mailbox, uid = uids[base]
            self._deltas.seen(mailbox, user, [uid], True)

    def _count_out(self, where: str, values: Sequence[object]) -> None:
        ask = f"SELECT count(*), coalesce(sum(size), 0) FROM msg WHERE {where}"  # noqa: S608
        messages, octets = self._db.execute(ask, values).fetchone()
        self.messages -= messages
        self.octets -= octets

    def keyword_numbers(self, mailbox: MailboxRow, words: Iterable[str]) -> list[int]:
        """The numbers of keywords in a mailbox; one that has none gets the next."""
        known = self._keywords.setdefault(mailbox.id, [])
        numbers = []
        for word in words:
            if word not in known:
                self.set_keyword(mailbox, len(known), word)
            numbers.append(known.index(word))
        return numbers

    def set_keyword(self, mailbox: MailboxRow, number: int, word: str) -> None:
        """Give a keyword its number."""
        known = self._keywords.setdefault(mailbox.id, [])
        known.extend([""] * (number + 1 - len(known)))
        known[number] = word
        self._db.execute(
            "INSERT OR REPLACE INTO keyword VALUES (?, ?, ?)", (mailbox.id, number, word)
        )

    # ------------------------------------------------------------------ reading

    def meta(self, key: str) -> int:
        """A number of the index as a whole, 0 where there is none."""
        found = self._db.execute("SELECT v FROM meta WHERE k = ?", (key,)).fetchone()
        return int(found[0]) if found else 0

    def _boot(self) -> str:
        """The kernel's life in which numbers were last reserved, "" when it is not known."""
        found = self._db.execute("SELECT v FROM meta WHERE k = 'boot'").fetchone()
        return str(found[0]) if found else ""

    def keywords(self, mailbox: MailboxRow) -> list[str]:
        """The keywords of a mailbox by number."""
        return self._keywords.get(mailbox.id, [])

    def letters(self, mailbox: MailboxRow, words: Iterable[str]) -> str:
        """The letters of keywords in file names; those numbered from 26 on have none."""
        known = self.keywords(mailbox)
        numbers = (known.index(word) for word in words if word in known)
        return "".join(names.KEYWORD_LETTERS[number] for number in numbers if number < 26)
