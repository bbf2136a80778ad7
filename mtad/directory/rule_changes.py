"""Changes to network rules: from where a box, or the boxes of a domain, may be logged into.

Like every change, each is an event that is durable before it shows (``mtad.directory.changes``).
"""

from collections.abc import Sequence

import sqlalchemy as sa

from mtad.directory.changes import Changes, exists, parse_address, parse_domain
from mtad.directory.rules import MAX_NETWORKS, network
from mtad.directory.tables import box, domain, network_rule
from mtad.errors import NothingFound, UsageError

ANYWHERE = "anywhere"


class RuleChanges(Changes):
    """The same administrator's changes to network rules."""

    def allow(self, given: str, service: str, wanted: Sequence[str]) -> tuple[str, ...]:
        """Let a service be used from these networks only, none for any; returns normal forms.

        ``given`` is the address of a box, or a domain.
        """
        allowed = _networks(wanted)
        of = str(parse_address(given)) if "@" in given else parse_domain(given)
        said = ", ".join(allowed) or ANYWHERE
        with self._change("network rule", f"{of} {service}", ANYWHERE, said) as change:
            connection, columns = change.connection, network_rule.c
            if not exists(connection, box.c.address if "@" in of else domain.c.name, of):
                what = "a box" if "@" in of else "a domain of this server"
                raise NothingFound(f"{of} is not {what}")
            rule = (columns.owner == of, columns.service == service)
            before = connection.scalars(
                sa.select(columns.network).where(*rule).order_by(columns.position)
            ).all()
            change.before = ", ".join(before) or ANYWHERE
            connection.execute(network_rule.delete().where(*rule))
            for position, one in enumerate(allowed, 1):
                row = {"owner": of, "service": service, "network": one, "position": position}
                connection.execute(network_rule.insert().values(**row))
        return allowed


def _networks(wanted: Sequence[str]) -> tuple[str, ...]:
    if len(wanted) > MAX_NETWORKS:
        raise UsageError(f"a rule has at most {MAX_NETWORKS} networks")
    try:
        return tuple(dict.fromkeys(map(network, wanted)))
    except ValueError as error:
        raise UsageError(f"{error}; a network is like 10.0.0.0/8 or 192.0.2.7") from None
