"""What is stored of a box's passwords: each in the forms that mechanisms need.

The box's own password is kept as argon2id for PLAIN and LOGIN and as keys for SCRAM. An app
password is made here and has 79 random bits, so its SCRAM key alone does for all of them: no
slow hash is needed where nothing can be guessed. All SCRAM keys of a box have one salt, since
the server must name it before it knows which password the client has. CRAM-MD5 needs its
secret in readable form: it is a password of its own, good for nothing else, and sealed.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from mtad import clock
from mtad.directory import passwords
from mtad.directory.tables import credential
from mtad.errors import Corrupt
from mtad.sasl import scram_keys
from mtad.sasl.cram import CRAM_NAME
from mtad.sasl.steps import ScramKeys

OWN = ""
"""The name of the box's own password."""
ARGON2 = "argon2id"
SCRAM = "scram-sha-256"
CRAM = "cram-md5"


@dataclass(frozen=True, slots=True)
class Credential:
    """One form of one password of a box."""

    name: str
    kind: str
    value: str = field(repr=False)
    enabled: bool = True


def read(connection: sa.Connection, box: str) -> tuple[Credential, ...]:
    """All of a box's, its own password first, app passwords in the order they were made."""
    columns = credential.c
    rows = connection.execute(
        sa.select(columns.name, columns.kind, columns.value, columns.enabled)
        .where(columns.box == box)
        .order_by(columns.name != OWN, columns.added, columns.name, columns.kind)
    )
    return tuple(Credential(*row) for row in rows)


def salt_of(held: Iterable[Credential], *, besides: str | None = None) -> bytes:
    """The salt that a box's SCRAM keys share; a fresh one where there are none.

    ``besides`` names a password that is about to be replaced and does not count.
    """
    for one in held:
        if one.kind == SCRAM and one.name != besides:
            return scram_keys.read(one.name, one.value).salt
    return secrets.token_bytes(scram_keys.SALT)


def own_forms(password: str, salt: bytes) -> Mapping[str, str]:
    """The box's own password by kind. Takes some 25 ms. Raises UsageError."""
    return {ARGON2: passwords.hashed(password), SCRAM: scram_form(password, salt)}


def scram_form(password: str, salt: bytes) -> str:
    """A password as a SCRAM key to store."""
    iterations = scram_keys.ITERATIONS
    made = scram_keys.key(OWN, scram_keys.salted(password, salt, iterations))
    return scram_keys.written(ScramKeys(salt, iterations, (made,)))


def scram_of(held: Iterable[Credential]) -> ScramKeys | None:
    """A box's SCRAM keys, those that share the first one's salt and iterations; None without.

    Raises Corrupt.
    """
    try:
        found = [scram_keys.read(one.name, one.value) for one in held if one.kind == SCRAM]
    except ValueError as error:
        raise Corrupt(f"a stored password cannot be read: {error}") from error
    if not found:
        return None
    salt, iterations = found[0].salt, found[0].iterations
    same = [one for one in found if (one.salt, one.iterations) == (salt, iterations)]
    return ScramKeys(salt, iterations, tuple(key for one in same for key in one.keys))


def replace(
    connection: sa.Connection,
    box: str,
    name: str,
    forms: Mapping[str, str],
    *,
    enabled: bool = True,
) -> None:
    """Store a password's forms in place of what is there under its name."""
    remove(connection, box, name)
    same = {"box": box, "name": name, "added": clock.now_us(), "enabled": enabled}
    connection.execute(
        credential.insert(),
        [{**same, "kind": kind, "value": value} for kind, value in forms.items()],
    )


def remove(connection: sa.Connection, box: str, name: str | None = None) -> bool:
    """Take one password away, or all of a box; whether there was any."""
    wanted = credential.delete().where(credential.c.box == box)
    if name is not None:
        wanted = wanted.where(credential.c.name == name)
    return bool(connection.execute(wanted).rowcount)


def is_reserved(name: str) -> bool:
    """Whether an app password may not be called so."""
    return name in (OWN, CRAM_NAME)
