"""The tables of a month file of the event log.

One row per mail transaction (``msg``), one per recipient (``rcpt``: the queue entry and the
outcome in one), one per stored copy (``st``), one per event (``ev``, append only, ``seq``
without gaps in commit order). Addresses, domains and repeating strings are interned. An id is
``tracing.ids``; the id is the time, so "newest first" is the primary key itself.
"""

import sqlalchemy as sa

from tracing.condition import LARGE, LONG_WAIT, MID, REMOTE

metadata = sa.MetaData()

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("k", sa.Text, primary_key=True),
    sa.Column("v", sa.LargeBinary),
    comment="month, last_id, applied.<journal> (last frame), as text",
)

dom = sa.Table(
    "dom",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("rname", sa.Text, nullable=False, unique=True, comment="labels reversed"),
)

addr = sa.Table(
    "addr",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("dom", sa.Integer, nullable=False),
    sa.Column("local", sa.Text, nullable=False),
    sa.UniqueConstraint("dom", "local"),
)
sa.Index("addr_local", addr.c.local)

string = sa.Table(
    "str",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("s", sa.Text, nullable=False, unique=True, comment="hosts, kinds, reply templates"),
)

msg = sa.Table(
    "msg",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("cn", sa.Integer, comment="connection"),
    sa.Column("ts", sa.Integer, nullable=False, comment="MAIL FROM, microseconds"),
    sa.Column("last", sa.Integer, comment="last change, microseconds"),
    sa.Column("dir", sa.Integer, nullable=False, comment="0 in, 1 submitted, 2 made here"),
    sa.Column("sender", sa.Integer),
    sa.Column("sdom", sa.Integer),
    sa.Column("login", sa.Text),
    sa.Column("ip", sa.LargeBinary, comment="4 or 16 octets"),
    sa.Column("helo", sa.Integer),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("nrcpt", sa.Integer, nullable=False, default=0),
    sa.Column("size", sa.Integer),
    sa.Column("message_id", sa.Text),
    sa.Column("subject", sa.Text),
    sa.Column("header_from", sa.Text, comment="as shapes.short_from has it"),
    sa.Column("sha256", sa.LargeBinary),
    sa.Column("root", sa.Integer),
    sa.Column("parent", sa.Integer),
    sa.Column("rel", sa.Text),
)
sa.Index(
    "msg_mid",
    sa.func.substr(msg.c.message_id, 1, MID),
    sqlite_where=msg.c.message_id.is_not(None),
)
sa.Index("msg_sender", msg.c.sender)
sa.Index("msg_sdom", msg.c.sdom)
sa.Index("msg_ip", msg.c.ip)
sa.Index("msg_login", msg.c.login, sqlite_where=msg.c.login.is_not(None))
sa.Index("msg_helo", msg.c.helo)
sa.Index("msg_dir", msg.c.dir, sqlite_where=msg.c.dir != 0)
sa.Index("msg_size", msg.c.size, sqlite_where=msg.c.size >= LARGE)
sa.Index("msg_root", msg.c.root, sqlite_where=msg.c.root.is_not(None))
sa.Index("msg_status", msg.c.status, sqlite_where=msg.c.status != 10)

rcpt = sa.Table(
    "rcpt",
    metadata,
    sa.Column("msg", sa.Integer, primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("addr", sa.Integer, nullable=False),
    sa.Column("dom", sa.Integer, nullable=False),
    sa.Column("orig", sa.Integer, comment="address as given when it was another"),
    sa.Column("ts", sa.Integer),
    sa.Column("last", sa.Integer),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False, default=0),
    sa.Column("next_try", sa.Integer),
    sa.Column("host", sa.Integer),
    sa.Column("code", sa.Integer),
    sa.Column("enh", sa.Text),
    sa.Column("reply", sa.Text),
    sa.Column("st", sa.Integer, comment="stored copy, when local"),
    sa.Column("params", sa.Text, comment="JSON of what delivery elsewhere needs; null when local"),
    sa.Column("rqid", sa.Text, comment="queue id of the remote server"),
    sa.Column("wait", sa.Integer, sa.Computed("last - ts", persisted=False)),
    sqlite_with_rowid=False,
)
sa.Index("rcpt_addr", rcpt.c.addr, rcpt.c.msg)
sa.Index("rcpt_orig", rcpt.c.orig, rcpt.c.msg, sqlite_where=rcpt.c.orig.is_not(None))
sa.Index("rcpt_status", rcpt.c.status, rcpt.c.msg, sqlite_where=rcpt.c.status != 10)
sa.Index("rcpt_due", rcpt.c.next_try, sqlite_where=rcpt.c.next_try.is_not(None))
sa.Index("rcpt_host", rcpt.c.host, rcpt.c.msg, sqlite_where=rcpt.c.host.is_not(None))
sa.Index("rcpt_code", rcpt.c.code, rcpt.c.msg, sqlite_where=rcpt.c.code != 250)
sa.Index("rcpt_tries", rcpt.c.tries, rcpt.c.msg, sqlite_where=rcpt.c.tries > 1)
sa.Index("rcpt_wait", rcpt.c.wait, sqlite_where=rcpt.c.wait >= LONG_WAIT)
sa.Index("rcpt_rqid", rcpt.c.rqid, sqlite_where=rcpt.c.rqid.is_not(None))

st = sa.Table(
    "st",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("msg", sa.Integer, nullable=False, comment="0 when not known"),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("box", sa.Integer, nullable=False, comment="addr"),
    sa.Column("mailbox", sa.Integer, nullable=False, comment="str"),
    sa.Column("base", sa.Text, nullable=False, comment="as shapes.short_base has it"),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("gone", sa.Integer, comment="when it ended, microseconds; null while there"),
)
sa.Index("st_msg", st.c.msg)
sa.Index("st_box", st.c.box, sqlite_where=st.c.gone.is_(None))

ev = sa.Table(
    "ev",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("ts", sa.Integer, nullable=False),
    sa.Column("kind", sa.Integer, nullable=False, comment="str"),
    sa.Column("trace", sa.Integer, nullable=False),
    sa.Column("n", sa.Integer),
    sa.Column("addr", sa.Integer),
    sa.Column("ip", sa.LargeBinary),
    sa.Column("host", sa.Integer, comment="str"),
    sa.Column("code", sa.Integer),
    sa.Column("enh", sa.Text),
    sa.Column("reply", sa.Integer, comment="str: a template with {id} and {addr}"),
    sa.Column("actor", sa.Integer, comment="str; null is system"),
    sa.Column("detail", sa.Text, comment="JSON of the fields without a column, or shaped"),
)
sa.Index("ev_trace", ev.c.trace)
sa.Index("ev_actor", ev.c.actor, sqlite_where=ev.c.actor > REMOTE)

also = sa.Table(
    "also",
    metadata,
    sa.Column("trace", sa.Integer, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sqlite_with_rowid=False,
    comment="further traces an event belongs to",
)

chain = sa.Table(
    "chain",
    metadata,
    sa.Column("hi", sa.Integer, primary_key=True, comment="last seq of a committed batch"),
    sa.Column("head", sa.LargeBinary, nullable=False, comment="sha256 over it and the one before"),
    comment="what was written once cannot be changed unseen",
)

stat_hour = sa.Table(
    "stat_hour",
    metadata,
    sa.Column("h", sa.Integer, primary_key=True, comment="of the ids: id // ids.HOUR"),
    sa.Column("status", sa.Integer, primary_key=True),
    sa.Column("n", sa.Integer, nullable=False, comment="messages"),
    sa.Column("bytes", sa.Integer, nullable=False, comment="their sizes together"),
    sqlite_with_rowid=False,
    comment="msg counted by hour and status; no row where there is nothing to count",
)

FULL_TEXT = (
    "CREATE VIRTUAL TABLE msg_fts USING fts5("
    "subject, content='', detail=none, columnsize=0, "
    "tokenize='unicode61 remove_diacritics 2')",
    "CREATE VIRTUAL TABLE addr_tri USING fts5("
    "a, content='', detail=none, columnsize=0, tokenize='trigram')",
)
"""Words of subjects (rowid = msg.id); trigrams of addresses (rowid = addr.id); ё stored as е."""
