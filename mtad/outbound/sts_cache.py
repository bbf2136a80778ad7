"""MTA-STS policies of other domains: found by DNS, fetched by HTTPS, kept on disk (RFC 8461).

A policy that is still valid is used whatever an attacker does to DNS or HTTPS meanwhile: only
a newer one that was fetched properly takes its place. That is why it is kept across restarts,
one file per domain in ``cache/mta-sts``.
"""

import asyncio
import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtad import clock
from mtad.address import folder
from mtad.dns import DnsError, Resolver
from mtad.outbound import mta_sts
from mtad.outbound.mta_sts import BadPolicy, StsPolicy

PREFIX = "_mta-sts."
HOST = "mta-sts."
RETRY_US = 300 * 1_000_000
"""Microseconds before a policy that could not be fetched is asked for again."""
MAX_FAILURES = 10_000
"""Domains whose failure is remembered."""

log = logging.getLogger("mtad.outbound")

Fetch = Callable[[str], Awaitable[bytes]]


class FetchFailed(Exception):
    """A policy file cannot be had; ``kind`` is the result type of RFC 8460 4.3.3."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Found:
    """A domain's policy, or why there is none although its DNS promises one.

    ``failure`` is a result type of RFC 8460 4.3.3; both are empty for a domain without MTA-STS.
    """

    policy: StsPolicy | None = None
    failure: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A policy as fetched; ``at`` in microseconds."""

    id: str
    at: int
    policy: StsPolicy

    def is_valid(self, now: int) -> bool:
        return self.at <= now < self.at + self.policy.max_age * 1_000_000


class StsCache:
    """The policies known; ``fetch`` gets a domain's file or raises FetchFailed."""

    def __init__(self, cache: Path | None, fetch: Fetch, now: Callable[[], int] = clock.now_us):
        self._folder = cache / "mta-sts" if cache else None
        self._fetch = fetch
        self._now = now
        self._kept: dict[str, _Kept | None] = {}
        self._failed: dict[str, tuple[int, str, Found]] = {}
        self._running: dict[str, asyncio.Future[Found]] = {}

    async def of(self, domain: str, resolver: Resolver) -> Found:
        """What holds for mail to a domain. Raises nothing: who has no policy has none."""
        kept = await self._known(domain)
        now = self._now()
        valid = kept if kept is not None and kept.is_valid(now) else None
        try:
            wanted = mta_sts.record_id((await resolver.txt(PREFIX + domain)).records)
        except DnsError:
            wanted = ""
        if valid is not None and wanted in ("", valid.id):
            if wanted and now > valid.at + valid.policy.max_age * 500_000:
                # RFC 8461 3.3: renewed before it ends, when nobody has to wait for it.
                self._begin(domain, wanted)
            return Found(valid.policy)
        if not wanted:
            return Found()
        found = await self._fetched(domain, wanted)
        if found.policy is None and valid is not None:
            return Found(valid.policy, found.failure, found.why)
        return found

    async def _fetched(self, domain: str, wanted: str) -> Found:
        """Fetch a policy once, however many ask; a failure holds for some minutes."""
        failed = self._failed.get(domain)
        if failed and failed[1] == wanted and self._now() < failed[0] + RETRY_US:
            return failed[2]
        # Shielded: the one who asked first may be cancelled, the others still wait for it.
        return await asyncio.shield(self._begin(domain, wanted))

    def _begin(self, domain: str, wanted: str) -> asyncio.Future[Found]:
        running = self._running.get(domain)
        if running is None:
            running = self._running[domain] = asyncio.ensure_future(self._get(domain, wanted))
            running.add_done_callback(lambda _: self._running.pop(domain, None))
        return running

    async def _get(self, domain: str, wanted: str) -> Found:
        try:
            policy = mta_sts.parse(await self._fetch(domain))
        except (FetchFailed, BadPolicy) as error:
            kind = error.kind if isinstance(error, FetchFailed) else "sts-policy-invalid"
            found = Found(None, kind, str(error))
            if len(self._failed) >= MAX_FAILURES:
                self._failed.clear()
            self._failed[domain] = (self._now(), wanted, found)
            return found
        self._failed.pop(domain, None)
        kept = _Kept(wanted, self._now(), policy)
        self._kept[domain] = kept
        if self._folder is not None:
            try:
                await asyncio.get_running_loop().run_in_executor(None, self._write, domain, kept)
            except OSError as error:
                log.warning("the MTA-STS policy of %s is not kept on disk: %s", domain, error)
        return Found(policy)

    async def _known(self, domain: str) -> _Kept | None:
        if domain not in self._kept:
            loop = asyncio.get_running_loop()
            if len(self._kept) >= MAX_FAILURES:
                self._kept.clear()
            self._kept[domain] = await loop.run_in_executor(None, self._read, domain)
        return self._kept[domain]

    def _read(self, domain: str) -> _Kept | None:
        """The policy on disk; what cannot be read was never there."""
        if self._folder is None:
            return None
        try:
            given: dict[str, Any] = json.loads((self._folder / folder(domain)).read_bytes())
            policy = mta_sts.parse("\n".join(given["policy"]).encode())
            return _Kept(str(given["id"]), int(given["at"]), policy)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self, domain: str, kept: _Kept) -> None:
        """Whole or not at all: written aside, synced, renamed. Raises OSError."""
        assert self._folder is not None
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        document = {"id": kept.id, "at": kept.at, "policy": kept.policy.lines()}
        number, name = tempfile.mkstemp(dir=self._folder)
        try:
            with open(number, "w") as file:
                json.dump(document, file)
                file.flush()
                os.fsync(file.fileno())
            os.rename(name, self._folder / folder(domain))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
