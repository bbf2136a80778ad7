"""What a restore does to a box besides its messages, and why (PURE).

Mailboxes that are lost are made again with their uses, rights and metadata, and subscribed to
as they were. A box that is made exactly what it was gets its former rights, metadata,
subscriptions, quota and network rules in all its mailboxes, and loses those that are newer,
once their messages are gone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from backup.belongings import Belongings, Traits
from mtad.store import acl

INBOX = "INBOX"
_NOTHING = Traits()


@dataclass(frozen=True, slots=True)
class Make:
    """A mailbox is made with what it had."""

    mailbox: str
    traits: Traits = _NOTHING

    def __str__(self) -> str:
        shared = f", shared as it was ({len(self.traits.rights)})" if self.traits.rights else ""
        return f"make the mailbox {self.mailbox}{shared}"


@dataclass(frozen=True, slots=True)
class Delete:
    """A mailbox without messages is deleted."""

    mailbox: str

    def __str__(self) -> str:
        return f"delete the mailbox {self.mailbox}, which was not there then"


@dataclass(frozen=True, slots=True)
class Share:
    """An identifier gets other rights to a mailbox; none for ""."""

    mailbox: str
    who: str
    rights: str

    def __str__(self) -> str:
        return f"give {self.who} {self.rights or 'no rights'} on {self.mailbox}"


@dataclass(frozen=True, slots=True)
class Subscribe:
    """The owner subscribes to a name, or no longer."""

    mailbox: str
    on: bool

    def __str__(self) -> str:
        return f"{'subscribe to' if self.on else 'end the subscription to'} {self.mailbox}"


@dataclass(frozen=True, slots=True)
class Annotate:
    """Metadata is written, or removed where a value is None.

    ``mailbox`` is empty for that of the box, and of mailboxes of others under their ``number``.
    """

    mailbox: str
    values: Mapping[str, bytes | None]
    number: int = 0

    def __str__(self) -> str:
        where = self.mailbox or "the box"
        return f"give {where} its metadata ({', '.join(sorted(self.values))})"


@dataclass(frozen=True, slots=True)
class See:
    """Messages of a mailbox, by base name, are seen by a user who is not the owner, or not."""

    mailbox: str
    who: str
    on: bool
    bases: tuple[str, ...]

    def __str__(self) -> str:
        seen = "seen" if self.on else "not seen"
        return f"mark {len(self.bases):,} in {self.mailbox} as {seen} by {self.who}"


@dataclass(frozen=True, slots=True)
class Limit:
    """The box may hold so much: octets and messages, 0 for no limit."""

    octets: int
    messages: int

    def __str__(self) -> str:
        return f"set the quota to {self.octets} octets and {self.messages} messages (0: no limit)"


@dataclass(frozen=True, slots=True)
class Allow:
    """The box may be logged into by a service from some networks, or from any."""

    service: str
    networks: tuple[str, ...]

    def __str__(self) -> str:
        return f"allow {self.service} from {', '.join(self.networks) or 'any network'}"


Change = Make | Delete | Share | Subscribe | Annotate | See | Limit | Allow


def missing(was: Belongings, now: Belongings, lost: Iterable[str]) -> list[Change]:
    """What makes ``lost`` mailboxes again, which the box has not."""
    found: list[Change] = []
    for name in sorted({*lost} - now.mailboxes.keys()):
        found.append(Make(name, was.mailboxes.get(name, _NOTHING)))
        if name in was.subscribed and name not in now.subscribed:
            found.append(Subscribe(name, True))
    return found


def exact(was: Belongings, now: Belongings, mailbox: str | None = None) -> list[Change]:
    """What makes all that a box has, or one mailbox of it, what it was."""
    scope = {mailbox} if mailbox else was.mailboxes.keys() | now.mailboxes.keys()
    found = missing(was, now, scope & was.mailboxes.keys())
    for name in sorted(scope & was.mailboxes.keys() & now.mailboxes.keys()):
        found += _traits(name, was.mailboxes[name], now.mailboxes[name])
    named = was.subscribed ^ now.subscribed
    told = {one.mailbox for one in found if isinstance(one, Subscribe)}
    for name in sorted(named - told):
        if mailbox in (None, name):
            found.append(Subscribe(name, name in was.subscribed))
    if mailbox is None:
        found += _of_the_box(was, now)
    # those below first: what is above them may be there for their sake alone
    newer = (scope & now.mailboxes.keys()) - was.mailboxes.keys() - {INBOX}
    return found + [Delete(name) for name in sorted(newer, reverse=True)]


def _traits(name: str, was: Traits, now: Traits) -> Iterable[Change]:
    before, after = acl.parse(now.rights).entries, acl.parse(was.rights).entries
    for who in sorted(before.keys() | after.keys()):
        if before.get(who) != after.get(who):
            yield Share(name, who, after.get(who, ""))
    values = _differing(was.notes, now.notes)
    if values:
        yield Annotate(name, values)


def _of_the_box(was: Belongings, now: Belongings) -> Iterable[Change]:
    for number in sorted({key[0] for key in was.notes.keys() | now.notes.keys()}):
        before, after = (
            {name: value for (of, name), value in one.notes.items() if of == number}
            for one in (now, was)
        )
        if values := _differing(after, before):
            yield Annotate("", values, number)
    if not (was.account.quota and now.account.quota):
        return  # the directory had no such box, or has none
    if was.account.quota != now.account.quota:
        yield Limit(*was.account.quota)
    before_rules, rules = dict(now.account.rules), dict(was.account.rules)
    for service in sorted(before_rules.keys() | rules.keys()):
        if before_rules.get(service) != rules.get(service):
            yield Allow(service, rules.get(service, ()))


def _differing(was: Mapping[str, bytes], now: Mapping[str, bytes]) -> dict[str, bytes | None]:
    """What to write, and what to remove, so that there is what was."""
    every = sorted(was.keys() | now.keys())
    return {name: was.get(name) for name in every if was.get(name) != now.get(name)}


@dataclass(slots=True)
class Sights:
    """Gathers who is to have seen what."""

    _found: dict[tuple[str, str, bool], list[str]] = field(default_factory=dict)

    def compare(self, mailbox: str, base: str, was: Iterable[str], now: Iterable[str]) -> None:
        """A message of a mailbox was seen by some users, and is now by others."""
        had, has = {*was}, {*now}
        for who in had ^ has:
            self._found.setdefault((mailbox, who, who in had), []).append(base)

    def changes(self) -> list[Change]:
        """The changes that make all as it was."""
        return [See(*key, tuple(bases)) for key, bases in sorted(self._found.items())]
