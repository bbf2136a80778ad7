"""The log's tables on PostgreSQL: those of ``tracing.tables``, divided by months.

Schema ``log`` has the divided tables, ``log_2026_11`` their parts of one month. A month's part
is whole by itself, as a month file is; a question to all months at once may go to ``log``.
Dropping a month is dropping its schema.
"""

import re
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from tracing import months, tables

SCHEMA = "log"
MONTH = "month"
LONG = frozenset({"s", "message_id", "rqid"})
"""Texts of any length, which are only looked for whole: a hash, for a B-tree has its limit."""
UPGRADES = {
    "log_0004": (
        "DROP INDEX log.msg_cn",
        "DROP INDEX log.ev_actor",
        "CREATE INDEX ev_actor ON log.ev (actor, seq) WHERE actor > 0",
        "UPDATE log.alembic_version SET version_num='log_0005'",
    )
}
"""What brings a log of an earlier revision to the next one; each is read as it is."""
_NAME = re.compile(r"log_(\d{4})_(0[1-9]|1[0-2])")
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_GRAMS = (
    "CREATE OR REPLACE FUNCTION log.grams(text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT "
    "PARALLEL SAFE AS $$ SELECT array_agg(DISTINCT substr($1, i, 3)) "
    "FROM generate_series(1, length($1) - 2) AS i $$"
)


def schema_of(month: str) -> str:
    """``log_2026_11`` for ``2026-11``."""
    return f"{SCHEMA}_{month[:4]}_{month[5:]}"


def month_of(schema: str) -> str:
    """``2026-11`` for ``log_2026_11``, "" for another schema."""
    found = _NAME.fullmatch(schema)
    return f"{found[1]}-{found[2]}" if found else ""


@cache
def divided() -> sa.MetaData:
    """Every table of the log, with a column for the month it belongs to."""
    made = sa.MetaData(schema=SCHEMA)
    for table in (*tables.metadata.sorted_tables, *_full_text()):
        columns = [_column(one) for one in table.columns]
        keys = [one.name for one in table.primary_key.columns]
        parts: list[sa.schema.SchemaItem] = [sa.PrimaryKeyConstraint(*keys, MONTH)]
        for one in table.constraints:
            if isinstance(one, sa.UniqueConstraint):
                names = [column.name for column in one.columns]
                if not LONG.intersection(names):
                    parts.append(sa.UniqueConstraint(*names, MONTH))
        month = sa.Column(MONTH, sa.Integer, nullable=False)
        kept = sa.Table(
            table.name, made, *columns, month, *parts,
            comment=table.comment, postgresql_partition_by=f"LIST ({MONTH})",
        )  # fmt: skip
        for index in table.indexes:
            where = index.dialect_options["sqlite"]["where"]
            names = [column.name for column in index.columns]
            hashed = bool(LONG.intersection(names))
            if not hashed and keys[0] not in names:
                names.append(keys[0])  # as SQLite does it: newest first is the index's order
            sa.Index(
                index.name,
                *(kept.c[name] for name in names),
                postgresql_where=None if where is None else sa.text(_said(where)),
                postgresql_using="hash" if hashed else "btree",
            )
    sa.Index("str_s", made.tables[f"{SCHEMA}.str"].c.s, postgresql_using="hash")
    return made


def statements() -> list[str]:
    """What makes the divided tables."""
    made = [f"CREATE SCHEMA {SCHEMA}", _GRAMS]
    for table in divided().sorted_tables:
        made.append(str(CreateTable(table).compile(dialect=_DIALECT)))
        made += [str(CreateIndex(index).compile(dialect=_DIALECT)) for index in table.indexes]
    made.append("CREATE INDEX msg_fts_words ON log.msg_fts USING gin (words)")
    made.append("CREATE INDEX addr_tri_grams ON log.addr_tri USING gin (log.grams(a))")
    made.append("CREATE TABLE log.alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
    made.append(f"INSERT INTO log.alembic_version VALUES ('{months.REVISION}')")  # noqa: S608
    return made


def month_statements(month: str) -> list[str]:
    """What makes the tables of a month."""
    own, number = schema_of(month), int(month[:4] + month[5:])
    return [
        f"CREATE SCHEMA {own}",
        *(
            f"CREATE TABLE {own}.{table.name} PARTITION OF {table.fullname} "
            f"({MONTH} DEFAULT {number}) FOR VALUES IN ({number})"
            for table in divided().sorted_tables
        ),
    ]


def _full_text() -> list[sa.Table]:
    """What SQLite has as virtual tables: words of subjects, addresses for their trigrams."""
    own = sa.MetaData()

    def made(name: str, text: "sa.Column[Any]") -> sa.Table:
        return sa.Table(name, own, sa.Column("rowid", sa.Integer, primary_key=True), text)

    words = sa.Column("words", postgresql.TSVECTOR)
    return [made("msg_fts", words), made("addr_tri", sa.Column("a", sa.Text))]


def _column(one: "sa.Column[Any]") -> "sa.Column[Any]":
    kind: sa.types.TypeEngine[Any] = one.type
    if isinstance(kind, sa.Integer):
        kind = sa.BigInteger()
    elif isinstance(kind, sa.Text):
        kind = sa.Text(collation="C")
    args = [] if one.computed is None else [sa.Computed(str(one.computed.sqltext), persisted=True)]
    return sa.Column(
        one.name, kind, *args, nullable=one.nullable, autoincrement=False, comment=one.comment
    )


def _said(where: "sa.ColumnElement[bool]") -> str:
    """A condition in SQL, with the names of columns alone."""
    text = str(where.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))
    return re.sub(r"\b\w+\.(?=\w)", "", text)
