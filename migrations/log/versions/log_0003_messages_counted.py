"""Messages counted by hour and state, in place of events counted by kind."""

import sqlalchemy as sa
from alembic import op

revision = "log_0003"
down_revision = "log_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("stat_hour")
    op.create_table(
        "stat_hour",
        sa.Column("h", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("h", "status"),
        sqlite_with_rowid=False,
    )
    # An id is milliseconds since 2024 above 22 further bits.
    op.execute(
        "INSERT INTO stat_hour SELECT (id >> 22) / 3600000, status, count(*), "
        "coalesce(sum(size), 0) FROM msg GROUP BY 1, 2"
    )


def downgrade() -> None:
    op.drop_table("stat_hour")
    op.create_table(
        "stat_hour",
        sa.Column("h", sa.Integer(), nullable=False),
        sa.Column("k", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("h", "k"),
        sqlite_with_rowid=False,
    )
