"""Messages, recipients, stored copies and events of a month."""

import sqlalchemy as sa
from alembic import op

revision = "log_0001"
down_revision = None
branch_labels = ("log",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "addr",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dom", sa.Integer(), nullable=False),
        sa.Column("local", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dom", "local"),
    )
    op.create_index("addr_local", "addr", ["local"], unique=False)
    op.create_table(
        "also",
        sa.Column("trace", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("trace", "seq"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "chain",
        sa.Column("hi", sa.Integer(), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hi"),
    )
    op.create_table(
        "dom",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rname", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("rname"),
    )
    op.create_table(
        "ev",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("ts", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("trace", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=True),
        sa.Column("addr", sa.Integer(), nullable=True),
        sa.Column("ip", sa.LargeBinary(), nullable=True),
        sa.Column("host", sa.Integer(), nullable=True),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("enh", sa.Text(), nullable=True),
        sa.Column("reply", sa.Integer(), nullable=True),
        sa.Column("actor", sa.Integer(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("ev_trace", "ev", ["trace"], unique=False)
    op.create_table(
        "meta",
        sa.Column("k", sa.Text(), nullable=False),
        sa.Column("v", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("k"),
    )
    op.create_table(
        "msg",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("cn", sa.Integer(), nullable=True),
        sa.Column("ts", sa.Integer(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=True),
        sa.Column("dir", sa.Integer(), nullable=False),
        sa.Column("sender", sa.Integer(), nullable=True),
        sa.Column("sdom", sa.Integer(), nullable=True),
        sa.Column("login", sa.Text(), nullable=True),
        sa.Column("ip", sa.LargeBinary(), nullable=True),
        sa.Column("helo", sa.Integer(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("nrcpt", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("header_from", sa.Text(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("root", sa.Integer(), nullable=True),
        sa.Column("parent", sa.Integer(), nullable=True),
        sa.Column("rel", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("msg_cn", "msg", ["cn"], unique=False)
    op.create_index("msg_ip", "msg", ["ip"], unique=False)
    op.create_index(
        "msg_mid",
        "msg",
        ["message_id"],
        unique=False,
        sqlite_where=sa.text("message_id IS NOT NULL"),
    )
    op.create_index(
        "msg_root", "msg", ["root"], unique=False, sqlite_where=sa.text("root IS NOT NULL")
    )
    op.create_index("msg_sdom", "msg", ["sdom"], unique=False)
    op.create_index("msg_sender", "msg", ["sender"], unique=False)
    op.create_index(
        "msg_status", "msg", ["status"], unique=False, sqlite_where=sa.text("status != 10")
    )
    op.create_table(
        "rcpt",
        sa.Column("msg", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("addr", sa.Integer(), nullable=False),
        sa.Column("dom", sa.Integer(), nullable=False),
        sa.Column("orig", sa.Integer(), nullable=True),
        sa.Column("ts", sa.Integer(), nullable=True),
        sa.Column("last", sa.Integer(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try", sa.Integer(), nullable=True),
        sa.Column("host", sa.Integer(), nullable=True),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("enh", sa.Text(), nullable=True),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.Column("st", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("msg", "n"),
        sqlite_with_rowid=False,
    )
    op.create_index("rcpt_addr", "rcpt", ["addr", "msg"], unique=False)
    op.create_index(
        "rcpt_due", "rcpt", ["next_try"], unique=False, sqlite_where=sa.text("next_try IS NOT NULL")
    )
    op.create_index(
        "rcpt_orig", "rcpt", ["orig", "msg"], unique=False, sqlite_where=sa.text("orig IS NOT NULL")
    )
    op.create_index(
        "rcpt_status", "rcpt", ["status", "msg"], unique=False, sqlite_where=sa.text("status != 10")
    )
    op.create_table(
        "st",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("msg", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("box", sa.Integer(), nullable=False),
        sa.Column("mailbox", sa.Integer(), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("gone", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("st_box", "st", ["box"], unique=False, sqlite_where=sa.text("gone IS NULL"))
    op.create_index("st_msg", "st", ["msg"], unique=False)
    op.create_table(
        "stat_hour",
        sa.Column("h", sa.Integer(), nullable=False),
        sa.Column("k", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("h", "k"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "str",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("s", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("s"),
    )
    op.execute(
        "CREATE VIRTUAL TABLE msg_fts USING fts5(subject, content='', detail=none, columnsize=0, "
        "tokenize='unicode61 remove_diacritics 2')"
    )
    op.execute(
        "CREATE VIRTUAL TABLE addr_tri USING fts5(a, content='', detail=none, columnsize=0, "
        "tokenize='trigram')"
    )


def downgrade() -> None:
    op.execute("DROP TABLE addr_tri")
    op.execute("DROP TABLE msg_fts")
    op.drop_table("str")
    op.drop_table("stat_hour")
    op.drop_table("st")
    op.drop_table("rcpt")
    op.drop_table("msg")
    op.drop_table("meta")
    op.drop_table("ev")
    op.drop_table("dom")
    op.drop_table("chain")
    op.drop_table("also")
    op.drop_table("addr")
