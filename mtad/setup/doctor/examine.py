"""All checks, at the same time and each bounded: what hangs or fails is not known."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from mtad.config import Loaded
from mtad.dns import Resolver
from mtad.setup.doctor import certificate, disk, keeping, names, running
from mtad.setup.doctor.check import SECONDS, Check, in_thread, unknown

Blocking = Callable[[Loaded], Iterable[Check]]

BLOCKING: Mapping[str, Blocking] = {
    "certificate": certificate.certificate,
    "disk.space": disk.space,
    "disk.sync": disk.sync,
    "permissions": disk.permissions,
    "queue.age": keeping.queue,
    "backup.age": keeping.snapshots,
    "backup.verify": keeping.verified,
    "audit.books": keeping.audit,
}
"""Checks that read files or ask sockets, each for a thread."""


async def examine(
    loaded: Loaded, *, ask: Resolver | None = None, seconds: float = SECONDS
) -> list[Check]:
    """Everything that can be looked at now, group by group. Raises nothing."""
    work = [
        ("roles", _blocking(loaded, running.roles)),
        ("ports", running.ports(loaded)),
        ("log.lag", running.log_lag(loaded)),
        ("dns", names.dns(loaded, ask or names.resolver(loaded))),
        *((name, _blocking(loaded, do)) for name, do in BLOCKING.items()),
    ]
    found = await asyncio.gather(*(_bounded(name, one, seconds) for name, one in work))
    return [check for checks in found for check in checks]


async def _blocking(loaded: Loaded, do: Blocking) -> Iterable[Check]:
    return await in_thread(lambda: list(do(loaded)))


async def _bounded(name: str, work: Awaitable[Iterable[Check]], seconds: float) -> Iterable[Check]:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        return [unknown(name, "an answer", f"no answer within {seconds:g} s")]
    except PermissionError as error:
        said = f"{error.filename}: {error.strerror}"
        return [unknown(name, "an answer", said, "run this as the mail server's own user")]
    except Exception as error:
        return [unknown(name, "an answer", f"{error or type(error).__name__}")]
