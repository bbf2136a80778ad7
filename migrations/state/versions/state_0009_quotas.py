"""How much a box may hold."""

import sqlalchemy as sa
from alembic import op

revision = "state_0009"
down_revision = "state_0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("quota_octets", "quota_messages"):
        op.add_column("box", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    for name in ("quota_octets", "quota_messages"):
        op.drop_column("box", name)
