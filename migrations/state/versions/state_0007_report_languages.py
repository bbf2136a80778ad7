"""The language of reports to a box, and to the boxes of a domain."""

import sqlalchemy as sa
from alembic import op

revision = "state_0007"
down_revision = "state_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("domain", "box"):
        op.add_column(table, sa.Column("language", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    for table in ("domain", "box"):
        op.drop_column(table, "language")
