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
    sa.Column("added", sa.BigInteger, nullable=False, comment="microseconds"),
    sa.Column(
        "relay",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="what is no box or alias here is passed on to where the domain's mail goes",
    ),
    sa.Column(
        "language",
        sa.Text,
        nullable=False,
        server_default="",
        comment="of reports to its boxes: en, ru or both; empty for what the settings say",
    ),
    comment="domains mail is taken for",
)

dkim_key = sa.Table(
    "dkim_key",
    metadata,
    sa.Column("domain", sa.Text, sa.ForeignKey(domain.c.name), primary_key=True),
    sa.Column("selector", sa.Text, primary_key=True, comment="RFC 6376 3.1"),
    sa.Column("algorithm", sa.Text, nullable=False, comment="rsa-sha256 or ed25519-sha256"),
    sa.Column("added", sa.BigInteger, nullable=False, comment="microseconds"),
    sa.Column("signs_from", sa.BigInteger, nullable=False, comment="microseconds"),
    sa.Column("signs_until", sa.BigInteger, comment="microseconds; null while no end is set"),
    comment="keys that sign mail; the key itself is dkim/<domain>.<selector>.pem",
)

box = sa.Table(
    "box",
    metadata,
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("domain", sa.Text, sa.ForeignKey(domain.c.name), nullable=False, index=True),
    sa.Column("added", sa.BigInteger, nullable=False, comment="microseconds"),
    sa.Column(
        "language",
        sa.Text,
        nullable=False,
        server_default="",
        comment="of reports to it: en, ru or both; empty for what its domain has",
    ),
    sa.Column(
        "quota_octets",
        sa.BigInteger,
        nullable=False,
        server_default="0",
        comment="how much it may hold; 0 for no limit",
    ),
    sa.Column(
        "quota_messages",
        sa.BigInteger,
        nullable=False,
        server_default="0",
        comment="how many messages it may hold; 0 for no limit",
    ),
    sa.Column(
        "public",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="its mailboxes are offered as shared ones and not as a person's",
    ),
    comment="accounts: each has a folder of mailboxes and passwords",
)

credential = sa.Table(
    "credential",
    metadata,
    sa.Column("box", sa.Text, sa.ForeignKey(box.c.address), primary_key=True),
    sa.Column(
        "name", sa.Text, primary_key=True, comment="of an app password; empty for the box's own"
    ),
    sa.Column("kind", sa.Text, primary_key=True, comment="argon2id, scram-sha-256 or cram-md5"),
    sa.Column("value", sa.Text, nullable=False, comment="PHC string, RFC 5803, or sealed secret"),
    sa.Column("added", sa.BigInteger, nullable=False, comment="microseconds"),
    sa.Column("last_used", sa.BigInteger, comment="microseconds, to some minutes; null if never"),
    sa.Column("enabled", sa.Boolean, nullable=False, comment="false while the box is locked"),
    comment="what lets a box log in: each password in the forms that mechanisms need",
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
    sa.Column(
        "target", sa.Text, nullable=False, index=True, comment="a box, another alias, or elsewhere"
    ),
    comment="where an alias leads",
)

forward = sa.Table(
    "forward",
    metadata,
    sa.Column("box", sa.Text, sa.ForeignKey(box.c.address), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, comment="order as given, from 1"),
    sa.Column("target", sa.Text, nullable=False, index=True, comment="an address, here or not"),
    sa.Column("keep", sa.Boolean, nullable=False, comment="a copy stays; equal in all its rows"),
    comment="where a box passes its mail on to",
)

network_rule = sa.Table(
    "network_rule",
    metadata,
    sa.Column("owner", sa.Text, primary_key=True, comment="a box's address, or a domain"),
    sa.Column("service", sa.Text, primary_key=True, comment="imap, pop3 or submission"),
    sa.Column("network", sa.Text, primary_key=True, comment="like 192.0.2.0/24 or 2001:db8::/32"),
    sa.Column("position", sa.Integer, nullable=False, comment="order as given, from 1"),
    comment="where from one may log in; a service without a rule is open to any network",
)

transport = sa.Table(
    "transport",
    metadata,
    sa.Column("pattern", sa.Text, primary_key=True, comment="a domain, .domain or *"),
    sa.Column("kind", sa.Text, nullable=False, comment="mx, relay, lmtp, command or error"),
    sa.Column("host", sa.Text, nullable=False, comment="relay, lmtp: a name or [address]"),
    sa.Column("port", sa.Integer, nullable=False),
    sa.Column("by_mx", sa.Boolean, nullable=False, comment="relay: go to the host's MX"),
    sa.Column("path", sa.Text, nullable=False, comment="lmtp: of a unix socket"),
    sa.Column("argv", sa.Text, nullable=False, comment="command: its words, JSON"),
    sa.Column("text", sa.Text, nullable=False, comment="error: enhanced status and text"),
    sa.Column("tls", sa.Text, nullable=False, comment="empty for what the settings say"),
    sa.Column("login", sa.Text, nullable=False, comment="relay: empty for none"),
    sa.Column("password", sa.Text, nullable=False, comment="as it is; the file is 0600"),
    sa.Column("added", sa.BigInteger, nullable=False, comment="microseconds"),
    comment="how mail for some domains leaves",
)

setting = sa.Table(
    "setting",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    comment="what is set while running; postmaster: where mail for a bare <Postmaster> goes",
)
