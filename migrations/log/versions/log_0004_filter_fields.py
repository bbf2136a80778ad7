"""What the fields of the filter language are found by."""

import sqlalchemy as sa
from alembic import op

revision = "log_0004"
down_revision = "log_0003"
branch_labels = None
depends_on = None

_INDEXES = {
    "msg_login": "msg (login) WHERE login IS NOT NULL",
    "msg_helo": "msg (helo)",
    "msg_dir": "msg (dir) WHERE dir != 0",
    "msg_size": "msg (size) WHERE size >= 1000000",
    "rcpt_host": "rcpt (host, msg) WHERE host IS NOT NULL",
    "rcpt_code": "rcpt (code, msg) WHERE code != 250",
    "rcpt_tries": "rcpt (tries, msg) WHERE tries > 1",
    "rcpt_wait": "rcpt (wait) WHERE wait >= 60000000",
    "rcpt_rqid": "rcpt (rqid) WHERE rqid IS NOT NULL",
    "ev_actor": "ev (actor) WHERE actor IS NOT NULL",
}


def upgrade() -> None:
    op.add_column("rcpt", sa.Column("rqid", sa.Text(), nullable=True))
    op.execute("ALTER TABLE rcpt ADD COLUMN wait INTEGER GENERATED ALWAYS AS (last - ts) VIRTUAL")
    op.execute(
        "UPDATE rcpt SET rqid = (SELECT json_extract(detail, '$.rqid') FROM ev "
        "WHERE ev.trace = rcpt.msg AND ev.n = rcpt.n "
        "AND kind = (SELECT id FROM str WHERE s = 'out.delivered') ORDER BY seq DESC LIMIT 1) "
        "WHERE status = 11"
    )
    for name, on in _INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON {on}")


def downgrade() -> None:
    for name in _INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.drop_column("rcpt", "wait")
    op.drop_column("rcpt", "rqid")
