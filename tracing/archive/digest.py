"""What a sealed month was when it was sealed, in 32 octets.

sha256 over a salt and every row of every table but those that may change as long as the month is
there: stored copies, which are moved and deleted for years, statistics, and what the file says of
itself. The salt goes when something is erased, so that nobody can try out what it was.
"""

# ruff: noqa: S608 - names of our own tables

import hashlib
import sqlite3
from collections.abc import Callable

import msgspec

from tracing.archive import sealed

SALT = "sealed.salt"
TABLES = (
    "msg",
    "rcpt",
    "dom",
    "addr",
    "str",
    "tr",
    "also",
    "kinds",
    "rare",
    "actors",
    "acts",
    "chain",
)
"""The tables that are covered, in this order."""
_STEP = 1_000

_pack = msgspec.msgpack.Encoder().encode


def of(link: sqlite3.Connection, pause: Callable[[], None] = lambda: None) -> str:
    """The digest of the month behind a connection, in hexadecimal; reads all of it."""
    taken = hashlib.sha256(sealed.meta(link, SALT))
    for table in TABLES:
        taken.update(table.encode() + b"\0")
        rows = link.execute(f"SELECT * FROM main.{table}")
        while part := rows.fetchmany(_STEP):
            taken.update(_pack(part))
            pause()
    return taken.hexdigest()
