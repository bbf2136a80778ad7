"""Boxes that pass their mail on, and aliases that lead elsewhere."""

import sqlalchemy as sa
from alembic import op

revision = "state_0004"
down_revision = "state_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "forward",
        sa.Column("box", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("keep", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["box"], ["box.address"], name=op.f("fk_forward_box")),
        sa.PrimaryKeyConstraint("box", "position", name=op.f("pk_forward")),
    )
    op.create_index(op.f("ix_forward_target"), "forward", ["target"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_forward_target"), table_name="forward")
    op.drop_table("forward")
