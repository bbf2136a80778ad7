"""Is this the password, what are the keys: the questions of mechanisms, answered from the database.

Everything here takes a while and runs in threads. A login that does not exist is answered like
one that does: the same hashes are computed, of passwords that nobody has.

A password that was right is known again for some minutes without hashing. What is kept for
that is an HMAC, by a key that this process made for itself and never writes down, of the
password together with every stored form of the box's passwords. So nothing wrong is ever
accepted, a changed, removed or locked password is asked for its hash again at once, and who
could read the key and the HMACs from this process's memory could read passwords there too.
"""

import hmac
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import sqlalchemy as sa

from mtad import clock, db
from mtad.address import parse
from mtad.directory import connections, credentials, passwords
from mtad.directory.authkey import AuthKey
from mtad.directory.credentials import ARGON2, CRAM, OWN, SCRAM, Credential
from mtad.directory.tables import credential
from mtad.errors import MtadError
from mtad.sasl import scram_keys
from mtad.sasl.steps import ScramKeys
from mtad.where import Kept

log = logging.getLogger("mtad.auth")

MAX_REMEMBERED = 10_000
"""Passwords known again at the same time."""
USED_SECONDS = 300
"""How long it may take until the database tells that a password was used."""

Held = tuple[Credential, ...]


def normal(login: str) -> str:
    """The box a login names, in normal form; what is no address stays as it is."""
    try:
        return str(parse(login))
    except ValueError:
        return login


class Verifier:
    """One process's answers. Safe for several threads."""

    def __init__(
        self,
        state_db: Kept,
        key: AuthKey,
        remember_seconds: float,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state_db = state_db
        self._engine = db.engine(state_db, read_only=True)
        self._key = key
        self.remember_seconds = remember_seconds
        """For how long a right password is known again; may change at any time."""
        self._seconds = seconds
        self._secret = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, tuple[float, str]] = OrderedDict()
        self._used: dict[tuple[str, str], int] = {}
        self._flushed = seconds()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Write down what is not yet, and let go of the database."""
        self._flush()
        self._engine.dispose()

    def fingerprint(self, *parts: str) -> bytes:
        """A secret hash of texts, to know them again in this process."""
        joined = b"\0".join(part.encode("utf-8", "surrogatepass") for part in parts)
        return hmac.digest(self._secret, joined, "sha256")

    def password(self, box: str, password: str) -> str | None:
        """The name of the password that it is; None where it is none of the box's.

        The box's own costs an argon2 hash, all app passwords together one PBKDF2.
        """
        held = self._held(box)
        mark = self.fingerprint(box, password, *(f"{one.value} {one.enabled}" for one in held))
        if (name := self._recalled(mark)) is not None:
            return name
        own = next((one.value for one in held if (one.name, one.kind) == (OWN, ARGON2)), None)
        if passwords.verify(own, password):
            self._renew(box, password, held, own or "")
            return self._remembered(mark, OWN)
        keys = credentials.scram_of(held) or scram_keys.decoy(self._key.decoy, box)
        try:
            made = scram_keys.salted(password, keys.salt, keys.iterations)
        except UnicodeEncodeError:
            return None
        stored = scram_keys.key("", made).stored
        for one in keys.keys:
            if hmac.compare_digest(one.stored, stored) and one.name != OWN:
                return self._remembered(mark, one.name)
        return None

    def keys(self, box: str) -> ScramKeys:
        """The box's SCRAM keys, or some that nobody has."""
        return credentials.scram_of(self._held(box)) or scram_keys.decoy(self._key.decoy, box)

    def secret(self, box: str) -> bytes | None:
        """The box's secret for CRAM-MD5; None where it has none that can be read."""
        for one in self._held(box):
            if one.kind == CRAM:
                opened = self._key.open(one.value, box)
                if opened is None:
                    log.error("the secret of %s for CRAM-MD5 is sealed with another key", box)
                    return None
                return opened.encode()
        return None

    def is_open(self, box: str, name: str) -> bool:
        """Whether a password may be used: it is there, and the box is not locked."""
        return any(one.enabled for one in self._held(box) if one.name == name)

    def used(self, box: str, name: str) -> None:
        """Note that a password was used; the database tells some minutes later."""
        with self._lock:
            self._used[box, name] = clock.now_us()
            due = self._seconds() - self._flushed > USED_SECONDS
        if due:
            self._flush()

    def _held(self, box: str) -> Held:
        """Raises MtadError where the database cannot be read."""
        try:
            with self._engine.connect() as connection:
                return credentials.read(connection, box)
        except sa.exc.DatabaseError as error:
            raise MtadError(f"cannot read {self._state_db}: {error.orig}") from error

    def _recalled(self, mark: bytes) -> str | None:
        with self._lock:
            until, name = self._known.get(mark, (0.0, ""))
            return name if until > self._seconds() else None

    def _remembered(self, mark: bytes, name: str) -> str:
        if self.remember_seconds:
            with self._lock:
                self._known[mark] = (self._seconds() + self.remember_seconds, name)
                self._known.move_to_end(mark)
                while len(self._known) > MAX_REMEMBERED:
                    self._known.popitem(last=False)
        return name

    def _renew(self, box: str, password: str, held: Held, own: str) -> None:
        """Make the forms of a password again where there is a better one, or one is missing.

        No event tells of it: nothing about the box has changed.
        """
        has_key = any((one.name, one.kind) == (OWN, SCRAM) for one in held)
        if has_key and not passwords.is_outdated(own):
            return
        forms = credentials.own_forms(password, credentials.salt_of(held))
        try:
            with connections.writing(self._state_db) as connection:
                if credentials.read(connection, box) == held:
                    enabled = all(one.enabled for one in held)
                    credentials.replace(connection, box, OWN, forms, enabled=enabled)
        except MtadError as error:
            log.warning("the password of %s could not be stored anew: %s", box, error)

    def _flush(self) -> None:
        with self._lock:
            used, self._used = self._used, {}
            self._flushed = self._seconds()
        if not used:
            return
        update = credential.update().where(
            credential.c.box == sa.bindparam("of"), credential.c.name == sa.bindparam("called")
        )
        rows = [{"of": box, "called": name, "at": at} for (box, name), at in used.items()]
        try:
            with connections.writing(self._state_db) as connection:
                connection.execute(update.values(last_used=sa.bindparam("at")), rows)
        except MtadError as error:
            log.warning("when passwords were used could not be written down: %s", error)
