"""What lets a box log in, in a table of its own: several passwords, each in several forms."""

import sqlalchemy as sa
from alembic import op

revision = "state_0002"
down_revision = "state_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "credential",
        sa.Column("box", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.Column("last_used", sa.BigInteger(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["box"], ["box.address"], name=op.f("fk_credential_box")),
        sa.PrimaryKeyConstraint("box", "name", "kind", name=op.f("pk_credential")),
    )
    op.execute(
        "INSERT INTO credential (box, name, kind, value, added, enabled) "
        "SELECT address, '', 'argon2id', password, added, true FROM box"
    )
    op.drop_column("box", "password")


def downgrade() -> None:
    op.add_column("box", sa.Column("password", sa.Text(), nullable=True))
    op.execute(
        "UPDATE box SET password = coalesce((SELECT value FROM credential "
        "WHERE credential.box = box.address AND name = '' AND kind = 'argon2id'), '')"
    )
    with op.batch_alter_table("box") as batch:
        batch.alter_column("password", existing_type=sa.Text(), nullable=False)
    op.drop_table("credential")
