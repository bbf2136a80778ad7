"""Runs the revisions of one branch on one database, on the connection the caller gives.

``mtad.db`` sets ``branch`` (``state`` or ``log``) and ``connection``; each branch is a line of
revisions of its own, because a month file never holds tables of the directory.
"""

import warnings

from alembic import context

from mtad.directory import tables as state_tables
from tracing import tables as log_tables

METADATA = {"state": state_tables.metadata, "log": log_tables.metadata}
SHADOWS = ("msg_fts", "addr_tri", "sqlite_")
"""Tables that SQLite makes for itself behind a full-text table or ANALYZE."""


def is_declared(name, kind, parent_names):
    """Leave out what the metadata cannot declare."""
    return kind != "table" or name is None or not name.startswith(SHADOWS)


attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    target_metadata=METADATA[attributes["branch"]],
    include_name=is_declared,
    render_as_batch=True,
    transactional_ddl=False,
)
# An index on an expression is made by a statement of its own and compared by tests/test_tracing_db.
warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index")
warnings.filterwarnings("ignore", "autogenerate skipping metadata-specified expression-based index")
context.run_migrations()
