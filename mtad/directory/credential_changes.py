"""Changes to what lets a box log in: its passwords, and whether it may at all.

Like every change, each is an event that is durable before it shows, and no event carries a
password (``mtad.directory.changes``).
"""

import sqlalchemy as sa

from mtad.directory import credentials, passwords
from mtad.directory.authkey import AuthKey
from mtad.directory.changes import ABSENT, PRESENT, AlreadyThere, Changes, exists, parse_address
from mtad.directory.credentials import CRAM, OWN, SCRAM
from mtad.directory.tables import box, credential
from mtad.errors import NothingFound, UsageError
from mtad.sasl.cram import CRAM_NAME

MAX_NAME = 64
"""Characters in the name of an app password."""
MAX_APP_PASSWORDS = 100
"""App passwords of one box: each login may have to be compared with all of them."""


class CredentialChanges(Changes):
    """The same administrator's changes to passwords."""

    def set_password(self, given: str, password: str) -> None:
        """Give a box another password of its own; app passwords and a lock stay."""
        of = str(parse_address(given))
        hashed = passwords.hashed(password)
        with self._change("password", of, "one", "another") as change:
            connection = change.connection
            held = _of(connection, of)
            salt = credentials.salt_of(held, besides=OWN)
            forms = {credentials.ARGON2: hashed, SCRAM: credentials.scram_form(password, salt)}
            credentials.replace(connection, of, OWN, forms, enabled=not is_locked(held))

    def add_app_password(self, given: str, name: str) -> str:
        """Make a further password for a box, for one program; returns it, once."""
        of = str(parse_address(given))
        _check_name(name)
        made = passwords.generate()
        with self._change("app password", f"{of} {name}", ABSENT, PRESENT) as change:
            connection = change.connection
            held = _of(connection, of)
            names = {one.name for one in held} - {OWN, CRAM_NAME}
            if name in names:
                raise AlreadyThere(f"{of} has an app password {name} already")
            if len(names) >= MAX_APP_PASSWORDS:
                raise UsageError(f"{of} has {len(names)} app passwords; remove one first")
            form = credentials.scram_form(made, credentials.salt_of(held))
            credentials.replace(connection, of, name, {SCRAM: form}, enabled=not is_locked(held))
        return made

    def remove_app_password(self, given: str, name: str) -> None:
        """Take an app password away; programs that have it log in no more."""
        of = str(parse_address(given))
        _check_name(name)
        with self._change("app password", f"{of} {name}", PRESENT, ABSENT) as change:
            _of(change.connection, of)
            if not credentials.remove(change.connection, of, name):
                raise NothingFound(f"{of} has no app password {name}")

    def enable_cram(self, given: str, key: AuthKey) -> str:
        """Let a box log in by CRAM-MD5, with a password for that alone; returns it, once."""
        of = str(parse_address(given))
        made = passwords.generate()
        with self._change("cram-md5", of, ABSENT, PRESENT) as change:
            held = _of(change.connection, of)
            if any(one.kind == CRAM for one in held):
                change.before = PRESENT
            forms = {CRAM: key.seal(made, of)}
            credentials.replace(
                change.connection, of, CRAM_NAME, forms, enabled=not is_locked(held)
            )
        return made

    def disable_cram(self, given: str) -> None:
        """Let a box log in by CRAM-MD5 no more."""
        of = str(parse_address(given))
        with self._change("cram-md5", of, PRESENT, ABSENT) as change:
            _of(change.connection, of)
            if not credentials.remove(change.connection, of, CRAM_NAME):
                raise NothingFound(f"CRAM-MD5 is not enabled for {of}")

    def lock(self, given: str, *, locked: bool) -> None:
        """Let a box log in no more, or again; it goes on receiving mail."""
        of = str(parse_address(given))
        states = ("locked", "open") if not locked else ("open", "locked")
        with self._change("login", of, *states) as change:
            _of(change.connection, of)
            update = credential.update().where(
                credential.c.box == of, credential.c.enabled == locked
            )
            if not change.connection.execute(update.values(enabled=not locked)).rowcount:
                raise AlreadyThere(f"{of} is {states[1]} already")


def is_locked(held: tuple[credentials.Credential, ...]) -> bool:
    """Whether a box may not log in."""
    return any(not one.enabled for one in held)


def _of(connection: sa.Connection, of: str) -> tuple[credentials.Credential, ...]:
    """A box's credentials. Raises NothingFound where there is no such box."""
    if not exists(connection, box.c.address, of):
        raise NothingFound(f"there is no box {of}")
    return credentials.read(connection, of)


def _check_name(name: str) -> None:
    if not name or len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
        raise UsageError(f"an app password's name is printable text of at most {MAX_NAME} letters")
    if credentials.is_reserved(name):
        raise UsageError(f"{name} is not free as a name")
