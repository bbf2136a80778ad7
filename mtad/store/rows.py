"""What is kept of mailboxes and messages in ``index.db``."""

from dataclasses import dataclass

SCHEMA = 3
"""The format's number; a later one is refused."""
TABLES = """
CREATE TABLE meta (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE mailbox (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  folder BLOB NOT NULL UNIQUE,
  objectid INTEGER NOT NULL,
  uidvalidity INTEGER NOT NULL,
  uidnext INTEGER NOT NULL,
  uid_reserved INTEGER NOT NULL,
  highestmodseq INTEGER NOT NULL,
  new_mtime INTEGER,
  cur_mtime INTEGER,
  recent INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE msg (
  mailbox INTEGER NOT NULL,
  uid INTEGER NOT NULL,
  base TEXT NOT NULL,
  fresh INTEGER NOT NULL,
  name TEXT NOT NULL,
  st INTEGER NOT NULL,
  m INTEGER,
  email INTEGER NOT NULL,
  flags TEXT NOT NULL,
  keywords TEXT NOT NULL,
  modseq INTEGER NOT NULL,
  date_ns INTEGER NOT NULL,
  saved INTEGER NOT NULL,
  size INTEGER NOT NULL,
  sha256 BLOB,
  wire INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (mailbox, uid)
) WITHOUT ROWID;
CREATE INDEX msg_base ON msg (base);
CREATE INDEX msg_st ON msg (st);
CREATE INDEX msg_fresh ON msg (mailbox, name) WHERE fresh;
CREATE INDEX msg_late ON msg (st) WHERE m IS NULL;
CREATE INDEX msg_unmeasured ON msg (mailbox, uid) WHERE wire = 0;
CREATE TABLE expunged (
  mailbox INTEGER NOT NULL,
  uid INTEGER NOT NULL,
  modseq INTEGER NOT NULL,
  PRIMARY KEY (mailbox, uid)
) WITHOUT ROWID;
CREATE TABLE keyword (
  mailbox INTEGER NOT NULL,
  id INTEGER NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (mailbox, id),
  UNIQUE (mailbox, name)
) WITHOUT ROWID;
CREATE TABLE seen (
  base TEXT NOT NULL,
  user TEXT NOT NULL,
  PRIMARY KEY (base, user)
) WITHOUT ROWID;
"""

UPGRADES = {
    1: """
ALTER TABLE mailbox ADD COLUMN recent INTEGER NOT NULL DEFAULT 1;
ALTER TABLE msg ADD COLUMN wire INTEGER NOT NULL DEFAULT 0;
CREATE INDEX msg_unmeasured ON msg (mailbox, uid) WHERE wire = 0;
INSERT OR REPLACE INTO meta SELECT 'octets', coalesce(sum(size), 0) FROM msg;
INSERT OR REPLACE INTO meta SELECT 'messages', count(*) FROM msg;
""",
    2: """
CREATE TABLE seen (
  base TEXT NOT NULL,
  user TEXT NOT NULL,
  PRIMARY KEY (base, user)
) WITHOUT ROWID;
""",
}
"""What makes an index of a format one of the next."""

COLUMNS = (
    "mailbox, uid, base, fresh, name, st, m, email, flags, keywords, modseq, date_ns, saved, "
    "size, sha256, wire"
)
COLUMNS_1 = COLUMNS.removesuffix(", wire")
"""The same in an index of format 1 that no owner has opened yet."""


@dataclass(slots=True)
class Row:
    """A message as it is indexed; ``m`` is None while the log has not told it.

    ``size`` is the file's octets, ``wire`` those with CRLF line ends (RFC822.SIZE), 0 while it
    was not counted.
    """

    mailbox: int
    uid: int
    base: str
    fresh: int
    name: str
    st: int
    m: int | None
    email: int
    flags: str
    keywords: str
    modseq: int
    date_ns: int
    saved: int
    size: int
    sha256: bytes | None
    wire: int = 0

    @property
    def words(self) -> tuple[str, ...]:
        """The keywords."""
        return tuple(self.keywords.split())


@dataclass(slots=True)
class MailboxRow:
    """A mailbox as it is indexed; ``uidnext`` is what the next message gets.

    Messages from UID ``recent`` on were told to no session yet (RFC 3501 2.3.2).
    """

    id: int
    name: str
    folder: str
    objectid: int
    uidvalidity: int
    uidnext: int
    uid_reserved: int
    highestmodseq: int
    new_mtime: int | None
    cur_mtime: int | None
    recent: int = 1
