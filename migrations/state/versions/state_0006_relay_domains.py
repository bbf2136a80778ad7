"""Domains whose mail is taken for another server."""

import sqlalchemy as sa
from alembic import op

revision = "state_0006"
down_revision = "state_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "domain", sa.Column("relay", sa.Boolean(), nullable=False, server_default=sa.false())
    )


def downgrade() -> None:
    op.drop_column("domain", "relay")
