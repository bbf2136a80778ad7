"""Signing mail that leaves us: which keys, and the fields that go on top of a message.

Mail is signed for the domain in its From field, where that is ours; other mail is not signed,
since nobody would believe it. Keys are read once. One that cannot be read stops no mail.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mtad import address, address_list
from mtad.completion import fields as split
from mtad.completion import name_of
from mtad.directory.lookup import DkimKey
from mtad.errors import MtadError
from mtad.mailauth import canonical, dkim_sign, keys

log = logging.getLogger("mtad.dkim")

_TRACE = frozenset({b"return-path", b"received"})

IN_LOOP_BYTES = 256 * 1024
"""A longer message is hashed in a thread: a megabyte takes 8 ms."""


class Published(Protocol):
    """What is needed of the directory."""

    def dkim_keys(self, domain: str) -> Sequence[DkimKey]:
        """The keys of a domain, in normal form."""


@dataclass(frozen=True, slots=True)
class Signed:
    """The DKIM-Signature fields for a message, LF line ends; empty where there are none."""

    fields: bytes = b""
    domain: str = ""
    selectors: tuple[str, ...] = ()


class Signer:
    """One process's keys. ``folder`` is that of the settings file."""

    def __init__(
        self,
        folder: Path,
        directory: Published,
        seconds: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._directory = directory
        self._seconds = seconds
        self._keys: dict[tuple[str, str], dkim_sign.Key | None] = {}

    async def sign(self, parts: Sequence[bytes]) -> Signed:
        """The fields for a message given in pieces, the first of which has the whole header."""
        if sum(map(len, parts)) <= IN_LOOP_BYTES:
            return self.sign_now(parts)
        return await asyncio.get_running_loop().run_in_executor(None, self.sign_now, parts)

    async def signed(self, parts: Sequence[bytes]) -> Sequence[bytes]:
        """A message made here, in pieces cut anywhere, with its signatures below the trace."""
        message = b"".join(parts)
        made = await self.sign([message])
        if not made.fields:
            return parts
        at = _end_of_trace(message)
        return [message[:at], made.fields, message[at:]]

    def sign_now(self, parts: Sequence[bytes]) -> Signed:
        """The same at once: RSA takes 0.5 ms, a megabyte 8 ms."""
        if not parts:
            return Signed()
        found, rest = split(parts[0])
        domain = from_domain(found)
        in_force = self._in_force(domain) if domain else []
        if not in_force:
            return Signed()
        body = canonical.BodyHash("relaxed")
        body.update(rest.removeprefix(b"\n"))
        for part in parts[1:]:
            body.update(part)
        digest, at = body.digest(), int(self._seconds())
        return Signed(
            b"".join(dkim_sign.sign(found, digest, key, at) for key in in_force),
            domain,
            tuple(key.selector for key in in_force),
        )

    def _in_force(self, domain: str) -> list[dkim_sign.Key]:
        """The keys that sign for a domain at present, one of each algorithm, Ed25519 on top."""
        at, chosen = int(self._seconds() * 1_000_000), dict[str, dkim_sign.Key]()
        for one in self._directory.dkim_keys(domain):
            if one.algorithm not in chosen and one.signs(at):
                key = self._key(domain, one.selector)
                if key is not None:
                    chosen[one.algorithm] = key
        return [chosen[name] for name in sorted(chosen)]

    def _key(self, domain: str, selector: str) -> dkim_sign.Key | None:
        """A key, read at its first use; None where it cannot be read, which is told once."""
        name = (domain, selector)
        if name not in self._keys:
            try:
                private = keys.read(self._folder / keys.file_of(domain, selector))
                self._keys[name] = dkim_sign.Key(domain, selector, private)
            except MtadError as error:
                log.error("mail of %s is not signed with %s: %s", domain, selector, error)
                self._keys[name] = None
        return self._keys[name]

    def forget(self) -> None:
        """Read the keys again at their next use: the settings were read again."""
        self._keys.clear()


def _end_of_trace(message: bytes) -> int:
    """Where the fields end that a server puts on top of a message (RFC 5321 4.4)."""
    end = 0
    for field in split(message)[0]:
        if name_of(field) not in _TRACE:
            break
        end += len(field)
    return end


def from_domain(fields: Sequence[bytes]) -> str:
    """The domain of the author, in normal form; empty where the From field does not tell one."""
    values = [field.partition(b":")[2] for field in fields if name_of(field) == b"from"]
    if len(values) != 1:
        return ""
    try:
        domains = {address.domain(one.rpartition("@")[2]) for one in address_list.parse(values[0])}
    except ValueError:
        return ""
    return domains.pop() if len(domains) == 1 else ""
