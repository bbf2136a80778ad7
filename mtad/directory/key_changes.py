"""Changes to the keys that sign a domain's mail; the key files are ``mtad.mailauth``'s."""

from collections.abc import Mapping

import sqlalchemy as sa

from mtad import clock
from mtad.directory.changes import ABSENT, AlreadyThere, Changes, exists, parse_domain
from mtad.directory.tables import dkim_key, domain
from mtad.errors import NothingFound


class KeyChanges(Changes):
    """The same administrator's changes to DKIM keys."""

    def add_keys(self, name: str, selectors: Mapping[str, str], signs_from: int) -> None:
        """Let further keys sign from a time on (microseconds), in place of those there are.

        ``selectors`` are the keys' by algorithm; earlier keys of an algorithm sign until then.
        """
        name = parse_domain(name)
        after = ", ".join(sorted(selectors.values()))
        with self._change("dkim keys", name, ABSENT, after) as change:
            connection, columns = change.connection, dkim_key.c
            if not exists(connection, domain.c.name, name):
                raise NothingFound(f"{name} is not a domain of this server")
            goes_on = sa.or_(columns.signs_until.is_(None), columns.signs_until > signs_from)
            before: list[str] = []
            for algorithm, selector in selectors.items():
                same = (columns.domain == name, columns.algorithm == algorithm, goes_on)
                before += connection.scalars(sa.select(columns.selector).where(*same)).all()
                connection.execute(dkim_key.update().where(*same).values(signs_until=signs_from))
                if connection.scalar(
                    sa.select(
                        sa.exists().where(columns.domain == name, columns.selector == selector)
                    )
                ):
                    raise AlreadyThere(f"{name} has a key {selector} already")
                connection.execute(
                    dkim_key.insert().values(
                        domain=name,
                        selector=selector,
                        algorithm=algorithm,
                        added=clock.now_us(),
                        signs_from=signs_from,
                    )
                )
            change.before = ", ".join(sorted(before)) or ABSENT

    def remove_key(self, name: str, selector: str) -> None:
        """Forget a key that signs no more."""
        name = parse_domain(name)
        with self._change("dkim keys", name, selector, ABSENT) as change:
            columns = dkim_key.c
            gone = dkim_key.delete().where(columns.domain == name, columns.selector == selector)
            if not change.connection.execute(gone).rowcount:
                raise NothingFound(f"{name} has no key {selector}")
