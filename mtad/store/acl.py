"""Who may do what with a mailbox: rights, and the list that grants them (RFC 4314) (PURE).

A list has an entry for each identifier: the address of a box, ``authenticated`` or ``anyone``
(whoever has logged in, both), each also with ``-`` before it, which takes rights away. Of the
entries that grant something to a user the most specific one counts alone, so that an entry for
a person can also give less than everybody has; negative ones are taken from it.

The text form is that of Dovecot's ``dovecot-acl``. Lines that mean nothing here (groups, the
owner, who has all rights anyway) are kept as they are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mtad import address

RIGHTS = "lrswipkxtea"
r"""All rights (RFC 4314 2.1): lookup, read, \Seen, other flags, insert, post, create mailboxes,
delete the mailbox, \Deleted, expunge, administer."""
VIRTUAL = {"c": "kx", "d": "te"}
"""Rights of RFC 2086, and those that they stand for (RFC 4314 2.1.1)."""
ANYONE, AUTHENTICATED = "anyone", "authenticated"
MAX_ENTRIES = 200
"""Entries of one mailbox."""
PRESETS = {"read": "lrs", "write": "lrswipte", "full": RIGHTS, "all": RIGHTS}
"""Words for usual sets of rights: to read; to work with the messages; to do everything.

"all" would be letters otherwise, and mean something else.
"""


def rights(letters: str) -> str:
    """Rights in the order of ``RIGHTS``, each once. Raises ValueError for an unknown letter."""
    wanted = {right for letter in letters for right in VIRTUAL.get(letter, letter)}
    if unknown := wanted.difference(RIGHTS):
        raise ValueError(f"there is no right {min(unknown)!a}")
    return "".join(right for right in RIGHTS if right in wanted)


def shown(granted: str) -> str:
    """Rights as clients are told them: with those of RFC 2086 that they are part of."""
    virtual = (old for old, members in VIRTUAL.items() if not set(members).isdisjoint(granted))
    return granted + "".join(virtual)


def identifier(text: str) -> str:
    """An identifier in normal form. Raises ValueError for one that can be none."""
    sign = "-" if text.startswith("-") else ""
    name = text.removeprefix("-")
    if name.lower() in (ANYONE, AUTHENTICATED):
        return sign + name.lower()
    return sign + str(address.parse(name))


@dataclass(frozen=True, slots=True)
class Acl:
    """The list of one mailbox: rights by identifier, and lines that are only kept."""

    entries: Mapping[str, str]
    kept: tuple[str, ...] = ()

    def of(self, user: str) -> str:
        """The rights of a user who is not the owner."""
        everybody = (AUTHENTICATED, ANYONE)
        granted = next((self.entries[one] for one in (user, *everybody) if one in self.entries), "")
        taken = "".join(self.entries.get(f"-{one}", "") for one in (user, *everybody))
        return "".join(right for right in granted if right not in taken)

    def changed(self, who: str, letters: str) -> "Acl":
        """The list in which an identifier in normal form has these rights; none for ""."""
        entries = {one: granted for one, granted in self.entries.items() if one != who}
        if letters:
            entries[who] = rights(letters)
        return Acl(entries, self.kept)

    def lines(self) -> tuple[str, ...]:
        """The list as text, in no more lines than it needs."""
        found = []
        for one, granted in sorted(self.entries.items()):
            name = one.removeprefix("-")
            sign = one.removesuffix(name)
            kind = "" if name in (ANYONE, AUTHENTICATED) else "user="
            found.append(f"{sign}{kind}{name} {granted}".rstrip())
        return (*found, *self.kept)


NOBODY = Acl({})
"""The list of a mailbox that is not shared."""


def parse(lines: Iterable[str]) -> Acl:
    """What lines of text say; letters of rights that are not known here grant nothing."""
    entries: dict[str, str] = {}
    kept = []
    for line in lines:
        name, _, granted = line.strip().partition(" ")
        who = _who(name)
        if who:
            letters = granted.partition(":")[0]
            entries[who] = rights("".join(one for one in letters if one in RIGHTS))
        elif name:
            kept.append(line.strip())
    return Acl(entries, tuple(kept))


def _who(name: str) -> str:
    """The identifier of a line, "" where it is none of ours."""
    sign = "-" if name.startswith("-") else ""
    kind, equals, user = name.removeprefix("-").partition("=")
    if not equals and kind in (ANYONE, AUTHENTICATED):
        return sign + kind
    try:
        return sign + str(address.parse(user)) if kind == "user" else ""
    except ValueError:
        return ""
