"""Domains, boxes, aliases and settings."""

import sqlalchemy as sa
from alembic import op

revision = "state_0001"
down_revision = None
branch_labels = ("state",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "domain",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("dkim_selector", sa.Text(), nullable=True),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_domain")),
    )
    op.create_table(
        "setting",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_setting")),
    )
    op.create_table(
        "alias",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["domain"], ["domain.name"], name=op.f("fk_alias_domain")),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_alias")),
    )
    op.create_index(op.f("ix_alias_domain"), "alias", ["domain"], unique=False)
    op.create_table(
        "box",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["domain"], ["domain.name"], name=op.f("fk_box_domain")),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_box")),
    )
    op.create_index(op.f("ix_box_domain"), "box", ["domain"], unique=False)
    op.create_table(
        "alias_target",
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["alias"], ["alias.address"], name=op.f("fk_alias_target_alias")),
        sa.PrimaryKeyConstraint("alias", "position", name=op.f("pk_alias_target")),
    )
    op.create_index(op.f("ix_alias_target_target"), "alias_target", ["target"], unique=False)


def downgrade() -> None:
    op.drop_table("alias_target")
    op.drop_table("box")
    op.drop_table("alias")
    op.drop_table("setting")
    op.drop_table("domain")
