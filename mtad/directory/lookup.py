"""Who receives mail for an address: the directory in memory, read again when it changed.

Nothing here waits or asks the database per recipient. ``refresh`` reads it again when it changed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from mtad.address import Address, parse
from mtad.directory import tables
from mtad.directory.credentials import CRAM
from mtad.directory.following import Followed
from mtad.directory.rules import Rule, Rules, against
from mtad.reports.words import Lang
from mtad.where import Kept

MAX_TARGETS = 1000
"""Boxes that one address may lead to."""
POSTMASTER = "postmaster"
"""The local part every domain accepts (RFC 5321 4.5.1)."""
POSTMASTER_SETTING = "postmaster"


@dataclass(frozen=True, slots=True)
class Target:
    """Where an address leads: a box, or with ``remote`` an address elsewhere.

    ``alias`` tells that an alias led there, ``forward`` that a box passes its mail on to it.
    """

    box: str
    original: str
    alias: bool
    remote: bool = False
    forward: bool = False


@dataclass(frozen=True, slots=True)
class Forward:
    """Where a box passes its mail on to, and whether a copy stays."""

    targets: tuple[str, ...]
    keep: bool


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A key that signs a domain's mail for a time; times in microseconds."""

    selector: str
    algorithm: str
    added: int
    signs_from: int
    signs_until: int | None = None

    def signs(self, at: int) -> bool:
        """Whether the key is in force at a time."""
        return self.signs_from <= at and (self.signs_until is None or at < self.signs_until)


@dataclass(frozen=True, slots=True)
class View:
    """The directory at one moment."""

    domains: frozenset[str]
    relayed: frozenset[str]
    """Those of them whose mail is taken for another server."""
    boxes: frozenset[str]
    aliases: Mapping[str, tuple[str, ...]]
    forwards: Mapping[str, Forward]
    postmaster: str
    dkim_keys: Mapping[str, tuple[DkimKey, ...]]
    has_cram: bool
    public: frozenset[str]
    """Those whose mailboxes are offered as shared ones and not as a person's."""
    locked: frozenset[str]
    """Boxes that may not log in."""
    passwords: Mapping[tuple[str, str], int]
    """By box and name of a password since when it is what it is, in microseconds."""
    rules: Rules
    quotas: Mapping[str, tuple[int, int]]
    """Octets and messages that boxes may hold, where there is a limit; 0 is none."""
    languages: Mapping[str, Lang]
    """What boxes and domains want reports in, where they want one."""


class Directory:
    """Answers from memory. Safe for several threads: a refresh replaces the view whole."""

    def __init__(self, state_db: Kept) -> None:
        self._followed = Followed(state_db, read)
        self.generation = 0
        """How often the database was read."""
        none: frozenset[str] = frozenset()
        self._view = View(none, none, none, {}, {}, "", {}, False, none, none, {}, {}, {}, {})
        self.refresh()

    @property
    def is_stale(self) -> bool:
        """Whether ``refresh`` would read the database; costs two stats."""
        return self._followed.is_stale

    def refresh(self) -> None:
        """Read the directory again if it changed since the last time.

        Two stats when nothing changed; else one read of all rows, about 3 ms for a thousand
        boxes. Raises Unreachable where the database cannot be read; the view stays then.
        """
        view = self._followed.refresh()
        if view is not None:
            self._view = view
            self.generation += 1

    def is_local(self, domain: str) -> bool:
        """Whether we take mail for a domain, given in normal form."""
        return domain in self._view.domains

    def resolve(self, address: Address) -> tuple[Target, ...]:
        """Where an address leads, each target once, in order; empty when it is unknown.

        The postmaster of every domain of ours exists (RFC 5321 4.5.1): without an entry of
        its own it leads where ``postmaster()`` leads.
        """
        view, given = self._view, str(address)
        is_box = given in view.boxes
        if is_box and given not in view.forwards:
            return (Target(given, given, False),)
        if address.domain not in view.domains:
            return ()
        if address.domain in view.relayed and not is_box and given not in view.aliases:
            return (Target(given, given, False, remote=True),)
        start = given
        if (
            not is_box
            and given not in view.aliases
            and address.local == POSTMASTER
            and address.domain in view.domains
        ):
            start = str(self.postmaster())
        found: dict[str, Target] = {}
        for target, forward in _expand(view, start):
            remote = target not in view.boxes
            alias = not forward and target != given
            found.setdefault(target, Target(target, given, alias, remote, forward))
            if len(found) >= MAX_TARGETS:
                break
        return tuple(found.values())

    @property
    def has_cram(self) -> bool:
        """Whether some box may log in by CRAM-MD5."""
        return self._view.has_cram

    def is_box(self, address: str) -> bool:
        """Whether there is a box of an address, given in normal form."""
        return address in self._view.boxes

    def is_public(self, box: str) -> bool:
        """Whether a box's mailboxes are offered as shared ones and not as a person's."""
        return box in self._view.public

    def is_open(self, box: str) -> bool:
        """Whether a box is there and may log in."""
        return box in self._view.boxes and box not in self._view.locked

    @property
    def passwords(self) -> Mapping[tuple[str, str], int]:
        """By box and name of a password since when it is what it is; never changes itself."""
        return self._view.passwords

    def quota(self, box: str) -> tuple[int, int]:
        """Octets and messages that a box may hold, each 0 for no limit."""
        return self._view.quotas.get(box, (0, 0))

    def rule_against(self, box: str, listener: str, ip: str) -> str:
        """The network rule that keeps a client out, in words; empty where it may come in."""
        return against(self._view.rules, box, listener, ip)

    def rules_of(self, owner: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The network rules of a box or domain itself: services and the networks they allow."""
        rules = self._view.rules
        return tuple(
            sorted((service, rule.allowed) for (of, service), rule in rules.items() if of == owner)
        )

    def may_send_as(self, box: str, address: Address) -> bool:
        """Whether an address is a box's own: its name, or an alias that leads to it."""
        if str(address) == box:
            return box in self._view.boxes
        return any(target.box == box for target in self.resolve(address) if target.alias)

    def language(self, address: str) -> Lang | None:
        """What reports to an address are written in; None where nothing was said.

        A box decides, else its domain. Of an alias the boxes do that it leads to.
        """
        languages = self._view.languages
        if not languages:
            return None
        try:
            of = parse(address)
        except ValueError:
            return None
        for box in (str(of), *(target.box for target in self.resolve(of))):
            if box in languages:
                return languages[box]
        return languages.get(of.domain)

    def dkim_keys(self, domain: str) -> tuple[DkimKey, ...]:
        """Every key of a domain of ours, given in normal form; the latest first."""
        return self._view.dkim_keys.get(domain, ())

    def postmaster(self) -> Address:
        """Where mail for ``<Postmaster>`` without a domain goes (RFC 5321 4.1.1.3)."""
        view = self._view
        if view.postmaster:
            return parse(view.postmaster)
        return Address(POSTMASTER, min(view.domains, default="localhost"))


def _expand(view: View, start: str) -> Iterator[tuple[str, bool]]:
    """Where an address leads, and whether a forward led there; depth first, each followed once.

    A box that passes its mail on and is reached once more, in a circle, keeps it: nothing gets
    lost between two boxes that point at each other.
    """
    followed: set[str] = set()
    waiting = [(start, False)]
    while waiting:
        address, forwarded = waiting.pop()
        if address in view.boxes:
            forward = view.forwards.get(address)
            if forward is None or address in followed:
                yield address, forwarded
                continue
            followed.add(address)
            if forward.keep:
                yield address, forwarded
            waiting.extend((target, True) for target in reversed(forward.targets))
        elif address in view.aliases:
            if address not in followed:
                followed.add(address)
                waiting.extend((one, forwarded) for one in reversed(view.aliases[address]))
        elif (host := address.rpartition("@")[2]) not in view.domains or host in view.relayed:
            yield address, forwarded


def read(connection: sa.Connection) -> View:
    """The whole directory as it is in the database."""
    aliases: dict[str, tuple[str, ...]] = {}
    columns = tables.alias_target.c
    rows = sa.select(columns.alias, columns.target).order_by(columns.alias, columns.position)
    for alias, target in connection.execute(rows):
        aliases[alias] = (*aliases.get(alias, ()), target)
    forwards: dict[str, Forward] = {}
    passed = sa.select(tables.forward).order_by(tables.forward.c.box, tables.forward.c.position)
    for row in connection.execute(passed):
        before = forwards.get(row.box, Forward((), row.keep))
        forwards[row.box] = Forward((*before.targets, row.target), row.keep)
    setting = tables.setting.c
    credential = tables.credential.c
    return View(
        domains=frozenset(connection.scalars(sa.select(tables.domain.c.name))),
        relayed=frozenset(
            connection.scalars(sa.select(tables.domain.c.name).where(tables.domain.c.relay))
        ),
        boxes=frozenset(connection.scalars(sa.select(tables.box.c.address))),
        aliases=aliases,
        forwards=forwards,
        postmaster=connection.scalar(
            sa.select(setting.value).where(setting.name == POSTMASTER_SETTING)
        )
        or "",
        dkim_keys=dkim_keys(connection),
        has_cram=connection.scalar(
            sa.select(sa.exists().where(credential.kind == CRAM, credential.enabled))
        )
        or False,
        public=frozenset(
            connection.scalars(sa.select(tables.box.c.address).where(tables.box.c.public))
        ),
        locked=frozenset(connection.scalars(sa.select(credential.box).where(~credential.enabled))),
        passwords={
            (row.box, row.name): row.since
            for row in connection.execute(
                sa.select(
                    credential.box, credential.name, sa.func.max(credential.added).label("since")
                ).group_by(credential.box, credential.name)
            )
        },
        rules=network_rules(connection),
        quotas=dict(_quotas(connection)),
        languages=dict(_languages(connection)),
    )


def network_rules(connection: sa.Connection) -> dict[tuple[str, str], Rule]:
    """Every network rule by its owner and service."""
    columns = tables.network_rule.c
    rules: dict[tuple[str, str], Rule] = {}
    for row in connection.execute(sa.select(tables.network_rule).order_by(columns.position)):
        before = rules.get((row.owner, row.service), Rule(row.owner, row.service, ()))
        allowed = (*before.allowed, row.network)
        rules[row.owner, row.service] = Rule(row.owner, row.service, allowed)
    return rules


def _quotas(connection: sa.Connection) -> Iterator[tuple[str, tuple[int, int]]]:
    columns = tables.box.c
    octets, messages = columns.quota_octets, columns.quota_messages
    limited = sa.or_(octets > 0, messages > 0)
    for row in connection.execute(sa.select(columns.address, octets, messages).where(limited)):
        yield row[0], (row[1], row[2])


def _languages(connection: sa.Connection) -> Iterator[tuple[str, Lang]]:
    for name, language in (
        (tables.domain.c.name, tables.domain.c.language),
        (tables.box.c.address, tables.box.c.language),
    ):
        for row in connection.execute(sa.select(name, language).where(language != "")):
            yield row[0], row[1]


def dkim_keys(connection: sa.Connection) -> dict[str, tuple[DkimKey, ...]]:
    """The keys of every domain, each domain's latest first."""
    columns = tables.dkim_key.c
    keys: dict[str, tuple[DkimKey, ...]] = {}
    rows = sa.select(tables.dkim_key).order_by(columns.signs_from.desc(), columns.algorithm)
    for row in connection.execute(rows):
        key = DkimKey(row.selector, row.algorithm, row.added, row.signs_from, row.signs_until)
        keys[row.domain] = (*keys.get(row.domain, ()), key)
    return keys
