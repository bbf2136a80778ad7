"""Smaller indexes; from here on details of events may have a shape (``tracing.shapes``).

Rows stay as they are: the hash chain is over them, and both forms are read.
"""

from alembic import op

revision = "log_0005"
down_revision = "log_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP INDEX msg_cn")
    op.execute("DROP INDEX msg_mid")
    op.execute("DROP INDEX ev_actor")
    op.execute(
        "CREATE INDEX msg_mid ON msg (substr(message_id, 1, 24)) WHERE message_id IS NOT NULL"
    )
    op.execute("CREATE INDEX ev_actor ON ev (actor) WHERE actor > 0")


def downgrade() -> None:
    op.execute("DROP INDEX msg_mid")
    op.execute("DROP INDEX ev_actor")
    op.execute("CREATE INDEX msg_mid ON msg (message_id) WHERE message_id IS NOT NULL")
    op.execute("CREATE INDEX ev_actor ON ev (actor) WHERE actor IS NOT NULL")
    op.execute("CREATE INDEX msg_cn ON msg (cn)")
