"""From which networks each box, or the boxes of a domain, may be logged into."""

import sqlalchemy as sa
from alembic import op

revision = "state_0008"
down_revision = "state_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "network_rule",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "service", "network", name=op.f("pk_network_rule")),
    )


def downgrade() -> None:
    op.drop_table("network_rule")
