"""Changes to the directory: each checked, each an event, each whole or not at all.

Order of writes: the database transaction is opened and the change made in it; the event goes
into a journal and is durable; then the transaction is committed. So no change can be in the
directory that the log does not explain. No event carries a password or its hash.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from mtad import address, clock
from mtad.address import Address
from mtad.directory import connections, credentials
from mtad.directory.lookup import POSTMASTER_SETTING
from mtad.directory.tables import (
    alias,
    alias_target,
    box,
    dkim_key,
    domain,
    forward,
    network_rule,
    setting,
)
from mtad.errors import MtadError, NothingFound, UsageError
from mtad.journal.frame import Meta, raw
from mtad.journal.writer import Journal
from mtad.reports.words import Lang
from mtad.where import Kept
from tracing.events import AdminChange

ABSENT = "absent"
PRESENT = "present"
RELAYED = "present, passed on"
DEFAULT = "default"
MAX_TARGETS = 1000
"""Targets of one alias."""


class AlreadyThere(MtadError):
    """What is to be added exists."""


class InUse(MtadError):
    """What is to be removed is needed by something else."""


class Changes:
    """One administrator's changes, through one journal. Not safe for concurrent threads.

    Passwords are changed by ``mtad.directory.credential_changes``.

    Every method raises UsageError for what is malformed, AlreadyThere, NothingFound or InUse,
    and then nothing was changed.
    """

    def __init__(self, state_db: Kept, journal: Journal, actor: str) -> None:
        self._state_db = state_db
        self._journal = journal
        self._actor = actor

    def add_domain(self, name: str, *, relay: bool = False) -> str:
        """Take mail for a domain; with ``relay`` for the server that has its boxes.

        Returns its normal form.
        """
        name = parse_domain(name)
        with self._change("domain", name, ABSENT, RELAYED if relay else PRESENT) as change:
            connection = change.connection
            if exists(connection, domain.c.name, name):
                raise AlreadyThere(f"{name} is a domain of this server already")
            connection.execute(domain.insert().values(name=name, added=clock.now_us(), relay=relay))
        return name

    def remove_domain(self, name: str) -> None:
        """Take no more mail for a domain; it must have no boxes and no aliases."""
        name = parse_domain(name)
        with self._change("domain", name, PRESENT, ABSENT) as change:
            connection = change.connection
            for table, word in ((box, "boxes"), (alias, "aliases")):
                held = connection.scalars(
                    sa.select(table.c.address).where(table.c.domain == name).limit(3)
                ).all()
                if held:
                    raise InUse(f"{name} still has {word} ({', '.join(held)}); remove them first")
            connection.execute(dkim_key.delete().where(dkim_key.c.domain == name))
            connection.execute(network_rule.delete().where(network_rule.c.owner == name))
            if not connection.execute(domain.delete().where(domain.c.name == name)).rowcount:
                raise NothingFound(f"{name} is not a domain of this server")
            connection.execute(
                setting.delete().where(
                    setting.c.name == POSTMASTER_SETTING,
                    setting.c.value.endswith("@" + name, autoescape=True),
                )
            )

    def add_box(self, given: str, password: str) -> Address:
        """Make an account; returns its normal form. Its folder is made by its first message."""
        made = parse_address(given)
        forms = credentials.own_forms(password, credentials.salt_of(()))
        with self._change("box", str(made), ABSENT, PRESENT) as change:
            connection = change.connection
            _free(connection, made)
            connection.execute(
                box.insert().values(address=str(made), domain=made.domain, added=clock.now_us())
            )
            credentials.replace(connection, str(made), credentials.OWN, forms)
        return made

    def remove_box(self, given: str) -> None:
        """Take an account away. Its mail stays on disk."""
        of = str(parse_address(given))
        with self._change("box", of, PRESENT, ABSENT) as change:
            connection = change.connection
            _not_a_target(connection, of)
            credentials.remove(connection, of)
            connection.execute(forward.delete().where(forward.c.box == of))
            connection.execute(network_rule.delete().where(network_rule.c.owner == of))
            if not connection.execute(box.delete().where(box.c.address == of)).rowcount:
                raise NothingFound(f"there is no box {of}")

    def add_alias(self, given: str, targets: Sequence[str]) -> tuple[Address, list[str]]:
        """Let an address lead to boxes, aliases or addresses elsewhere; returns normal forms."""
        made = parse_address(given)
        wanted = list(dict.fromkeys(str(parse_address(target)) for target in targets))
        if not wanted:
            raise UsageError("an alias needs at least one target")
        if len(wanted) > MAX_TARGETS:
            raise UsageError(f"an alias has at most {MAX_TARGETS} targets")
        if str(made) in wanted:
            raise UsageError(f"{made} would lead to itself")
        with self._change("alias", str(made), ABSENT, ", ".join(wanted)) as change:
            connection = change.connection
            _free(connection, made)
            for target in wanted:
                _sound(connection, target)
            connection.execute(
                alias.insert().values(address=str(made), domain=made.domain, added=clock.now_us())
            )
            connection.execute(
                alias_target.insert(),
                [
                    {"alias": str(made), "position": position, "target": target}
                    for position, target in enumerate(wanted, 1)
                ],
            )
        return made, wanted

    def remove_alias(self, given: str) -> None:
        """Take an alias away; nothing may lead to it."""
        of = str(parse_address(given))
        with self._change("alias", of, PRESENT, ABSENT) as change:
            _not_a_target(change.connection, of)
            change.before = ", ".join(targets_of(change.connection, of))
            change.connection.execute(alias_target.delete().where(alias_target.c.alias == of))
            if not change.connection.execute(alias.delete().where(alias.c.address == of)).rowcount:
                raise NothingFound(f"there is no alias {of}")

    def set_forward(self, given: str, targets: Sequence[str], *, keep: bool) -> list[str]:
        """Let a box pass its mail on, and keep a copy or not; no targets end that.

        Returns the targets in normal form.
        """
        of = str(parse_address(given))
        wanted = list(dict.fromkeys(str(parse_address(target)) for target in targets))
        if len(wanted) > MAX_TARGETS:
            raise UsageError(f"a box passes its mail on to at most {MAX_TARGETS} addresses")
        if of in wanted:
            raise UsageError(f"{of} would lead to itself; --keep leaves a copy in it")
        told = ", ".join(wanted) + (" (a copy stays)" if keep else "") if wanted else ABSENT
        with self._change("forward", of, ABSENT, told) as change:
            connection = change.connection
            if not exists(connection, box.c.address, of):
                raise NothingFound(f"there is no box {of}")
            for target in wanted:
                _sound(connection, target)
            change.before = ", ".join(forwards_of(connection, of)) or ABSENT
            connection.execute(forward.delete().where(forward.c.box == of))
            for position, target in enumerate(wanted, 1):
                row = {"box": of, "position": position, "target": target, "keep": keep}
                connection.execute(forward.insert().values(**row))
        return wanted

    def set_language(self, given: str, language: Lang | None) -> str:
        """Say what reports to a box, or to the boxes of a domain, are written in.

        None leaves it to the box's domain, and then to the settings. Returns the normal form.
        """
        key: sa.Column[str]
        if "@" in given:
            of, table, key = str(parse_address(given)), box, box.c.address
            missing = f"there is no box {of}"
        else:
            of, table, key = parse_domain(given), domain, domain.c.name
            missing = f"{of} is not a domain of this server"
        with self._change("language", of, ABSENT, language or DEFAULT) as change:
            connection = change.connection
            was = connection.scalar(sa.select(table.c.language).where(key == of))
            if was is None:
                raise NothingFound(missing)
            change.before = was or DEFAULT
            connection.execute(table.update().where(key == of).values(language=language or ""))
        return of

    def set_quota(self, given: str, octets: int | None, messages: int | None) -> str:
        """Say how much a box may hold; 0 for no limit, None to leave one as it is.

        Returns the box's normal form.
        """
        of = str(parse_address(given))
        with self._change("quota", of, ABSENT, "") as change:
            connection = change.connection
            columns = box.c
            row = connection.execute(
                sa.select(columns.quota_octets, columns.quota_messages).where(columns.address == of)
            ).one_or_none()
            if row is None:
                raise NothingFound(f"there is no box {of}")
            after = (
                row.quota_octets if octets is None else octets,
                row.quota_messages if messages is None else messages,
            )
            change.before, change.after = _quota(*row), _quota(*after)
            connection.execute(
                box.update()
                .where(columns.address == of)
                .values(quota_octets=after[0], quota_messages=after[1])
            )
        return of

    def set_public(self, given: str, on: bool) -> str:
        """Offer a box's mailboxes as shared ones, or as a person's; returns its normal form."""
        of = str(parse_address(given))
        with self._change("public", of, ABSENT, PRESENT if on else ABSENT) as change:
            connection, is_it = change.connection, box.c.address == of
            was = connection.scalar(sa.select(box.c.public).where(is_it))
            if was is None:
                raise NothingFound(f"there is no box {of}")
            change.before = PRESENT if was else ABSENT
            connection.execute(box.update().where(is_it).values(public=on))
        return of

    def set_postmaster(self, given: str) -> None:
        """Say where mail for ``<Postmaster>`` without a domain goes (RFC 5321 4.1.1.3)."""
        to = str(parse_address(given))
        with self._change("postmaster", "", ABSENT, to) as change:
            connection = change.connection
            _ours(connection, to)
            was = setting.c.name == POSTMASTER_SETTING
            change.before = connection.scalar(sa.select(setting.c.value).where(was)) or ABSENT
            connection.execute(setting.delete().where(was))
            connection.execute(setting.insert().values(name=POSTMASTER_SETTING, value=to))

    @contextlib.contextmanager
    def _change(self, what: str, name: str, before: str, after: str) -> Iterator["_Change"]:
        """A transaction that is committed once its event is durable in the journal."""
        with connections.writing(self._state_db) as connection:
            change = _Change(connection, before, after)
            yield change
            event = AdminChange(
                at=clock.now_us(),
                trace=self._journal.mint.new(),
                actor=self._actor,
                what=what,
                name=name,
                before=change.before,
                after=change.after,
            )
            self._journal.commit_now(Meta(events=(raw(event),)))


@dataclass(slots=True)
class _Change:
    """A change under way: its transaction, what was there before it and what is after it."""

    connection: sa.Connection
    before: str
    after: str


def parse_address(given: str) -> Address:
    """An address in normal form. Raises UsageError."""
    try:
        return address.parse(given)
    except ValueError as error:
        raise UsageError(str(error)) from error


def parse_domain(given: str) -> str:
    """A domain in normal form. Raises UsageError."""
    try:
        return address.domain(given)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _quota(octets: int, messages: int) -> str:
    """What a box may hold, in words."""
    limits = [f"{octets} octets"] if octets else []
    return ", ".join(limits + ([f"{messages} messages"] if messages else [])) or "no limit"


def targets_of(connection: sa.Connection, of: str) -> Sequence[str]:
    """Where an alias leads, in order."""
    columns = alias_target.c
    return connection.scalars(
        sa.select(columns.target).where(columns.alias == of).order_by(columns.position)
    ).all()


def forwards_of(connection: sa.Connection, of: str) -> Sequence[str]:
    """Where a box passes its mail on to, in order."""
    columns = forward.c
    return connection.scalars(
        sa.select(columns.target).where(columns.box == of).order_by(columns.position)
    ).all()


def exists(connection: sa.Connection, column: sa.Column[str], value: str) -> bool:
    """Whether a table has a row with that value."""
    return connection.scalar(sa.select(sa.literal(1)).where(column == value)) is not None


def _free(connection: sa.Connection, wanted: Address) -> None:
    """Raise unless an address of ours is neither a box nor an alias."""
    if not exists(connection, domain.c.name, wanted.domain):
        raise NothingFound(
            f"{wanted.domain} is not a domain of this server; "
            f"'mtad domain add {wanted.domain}' adds it"
        )
    for table, word in ((box, "a box"), (alias, "an alias")):
        if exists(connection, table.c.address, str(wanted)):
            raise AlreadyThere(f"{wanted} is {word} already")


def _ours(connection: sa.Connection, target: str) -> None:
    """Raise unless ``target`` is a box or an alias."""
    if not any(exists(connection, table.c.address, target) for table in (box, alias)):
        raise NothingFound(f"{target} is neither a box nor an alias of this server")


def _sound(connection: sa.Connection, target: str) -> None:
    """Raise for an address of a domain of ours that leads nowhere."""
    relay = sa.select(domain.c.relay).where(domain.c.name == target.rpartition("@")[2])
    if connection.scalar(relay) is False:
        _ours(connection, target)


def _not_a_target(connection: sa.Connection, of: str) -> None:
    """Raise if an alias or another box leads here."""
    for source, target, words in (
        (alias_target.c.alias, alias_target.c.target, "aliases lead to"),
        (forward.c.box, forward.c.target, "boxes pass their mail on to"),
    ):
        held = connection.scalars(sa.select(source).where(target == of).limit(3)).all()
        if held:
            raise InUse(f"{words} {of} ({', '.join(held)}); change that first")
