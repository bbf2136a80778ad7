"""What the queue needs to know of a recipient elsewhere."""

import sqlalchemy as sa
from alembic import op

revision = "log_0002"
down_revision = "log_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rcpt", sa.Column("params", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("rcpt", "params")
