"""The tables of ``state.db``: who receives mail here, and under which names.

Addresses and domains are stored in the normal form of ``mtad.address``, so that equal
addresses are equal text. All times are microseconds since the Unix epoch, UTC.
"""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

domain = sa.Table(
    "domain",
    metadata,
    sa.Column("name", sa.Text, primary_key=True, comment="lower case, A-labels (RFC 5890)"),
    sa.Column(
        "dkim_selector",
        sa.Text,
        comment="of the DKIM key in force, dkim/<domain>.<selector>.pem beside the settings",
    ),
    sa.Column("added", sa.BigInteger, nullable=False, comment="microseconds"),
    comment="domains mail is taken for",
)

box = sa.Table(
    "box",
    metadata,
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("domain", sa.Text, sa.ForeignKey(domain.c.name), nullable=False, index=True),
    sa.Column("password", sa.Text, nullable=False, comment="argon2id, PHC string format"),
    sa.Column("added", sa.BigInteger, nullable=False, comment="microseconds"),
    comment="accounts: each has a folder of mailboxes and a password",
)

alias = sa.Table(
    "alias",
    metadata,
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("domain", sa.Text, sa.ForeignKey(domain.c.name), nullable=False, index=True),
    sa.Column("added", sa.BigInteger, nullable=False, comment="microseconds"),
    comment="addresses that lead to other addresses; never also a box",
)

alias_target = sa.Table(
    "alias_target",
    metadata,
    sa.Column("alias", sa.Text, sa.ForeignKey(alias.c.address), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, comment="order as given, from 1"),
    sa.Column("target", sa.Text, nullable=False, index=True, comment="a box or another alias"),
    comment="where an alias leads",
)

setting = sa.Table(
    "setting",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    comment="what is set while running; postmaster: where mail for a bare <Postmaster> goes",
)
