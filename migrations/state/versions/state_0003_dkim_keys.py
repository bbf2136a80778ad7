"""Several DKIM keys for a domain: one per algorithm, the next one and those before."""

import sqlalchemy as sa
from alembic import op

revision = "state_0003"
down_revision = "state_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dkim_key",
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.Column("signs_from", sa.BigInteger(), nullable=False),
        sa.Column("signs_until", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["domain"], ["domain.name"], name=op.f("fk_dkim_key_domain")),
        sa.PrimaryKeyConstraint("domain", "selector", name=op.f("pk_dkim_key")),
    )
    op.execute(
        "INSERT INTO dkim_key (domain, selector, algorithm, added, signs_from) "
        "SELECT name, dkim_selector, 'rsa-sha256', added, added FROM domain "
        "WHERE dkim_selector IS NOT NULL"
    )
    op.drop_column("domain", "dkim_selector")


def downgrade() -> None:
    op.add_column("domain", sa.Column("dkim_selector", sa.Text(), nullable=True))
    op.execute(
        "UPDATE domain SET dkim_selector = (SELECT selector FROM dkim_key "
        "WHERE dkim_key.domain = domain.name AND algorithm = 'rsa-sha256' "
        "ORDER BY signs_from DESC LIMIT 1)"
    )
    op.drop_table("dkim_key")
