"""Do the roles live, do the ports listen as the settings say, does the log keep up."""

import asyncio
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import ip_address

from mtad import control
from mtad.config import Loaded
from mtad.config_mail import is_path
from mtad.errors import MtadError, Unreachable
from mtad.setup import status
from mtad.setup.doctor.check import Check, Verdict, in_thread, judged, unknown

CONNECT_SECONDS = 3.0
LAG_SECONDS = 2.0
ASK_SECONDS = 10
_NOT_SERVED = "managesieve"


def roles(loaded: Loaded) -> Iterable[Check]:
    """Whether each role answers."""
    for role, said in status.roles(loaded.places).items():
        cause = "" if said is not None else "the process does not run or is stuck"
        yield judged(
            f"roles.{role}", status.sentence(role, said), "up", cause,
            "start the server with 'mtad serve'; its standard error says why it ended",
        )  # fmt: skip


async def ports(loaded: Loaded) -> Iterable[Check]:
    """Whether this server listens where the settings say.

    One connection to each place, closed at once, and the word of the roles on where they
    listen: no other program can listen there as well.
    """
    wanted = [
        (service, endpoint)
        for service, endpoints in loaded.config.listen.model_dump().items()
        if service != _NOT_SERVED
        for endpoint in endpoints
    ]
    said = await in_thread(lambda: status.roles(loaded.places))
    ours = [place for one in said.values() if one for place in one.get("listening", ())]
    return await asyncio.gather(*(_port(loaded, *one, ours) for one in wanted))


def listened(loaded: Loaded, endpoint: str) -> str:
    """An endpoint of the settings as the role that listens there names it."""
    if is_path(endpoint):
        return str(loaded.beside(endpoint))
    host, _, port = endpoint.rpartition(":")
    with suppress(ValueError):
        host = str(ip_address(host.strip("[]")))
    return f"{host}:{port}"


async def _port(loaded: Loaded, service: str, endpoint: str, ours: Sequence[str]) -> Check:
    name, expected = f"ports.{service}:{endpoint}", "this server listens"
    fix = f"start the server, or look at listen.{service}: the port may be another program's"
    measured, cause = "this server listens", ""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await _connect(loaded, endpoint)
    except PermissionError as error:
        return unknown(name, expected, error.strerror, "run this as the mail server's own user")
    except TimeoutError:
        measured, cause = "no answer", f"no connection within {CONNECT_SECONDS:.0f} s"
    except OSError as error:
        measured, cause = "does not listen", os.strerror(error.errno) if error.errno else str(error)
    else:
        if listened(loaded, endpoint) not in ours:
            measured, cause = "another program listens", "no role of this server listens there"
    return judged(name, measured, expected, cause, fix)


async def _connect(loaded: Loaded, endpoint: str) -> None:
    if is_path(endpoint):
        _, writer = await asyncio.open_unix_connection(loaded.beside(endpoint))
    else:
        host, _, port = endpoint.rpartition(":")
        here = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104
        _, writer = await asyncio.open_connection(here, int(port))
    writer.close()


async def log_lag(loaded: Loaded) -> Iterable[Check]:
    """How long the log takes to have all that is durable now."""
    name, expected = "log.lag", f"at most {LAG_SECONDS:.0f} s"
    socket, begun = loaded.places.socket("log"), time.monotonic()
    try:
        await in_thread(lambda: control.ask(socket, "position", seconds=ASK_SECONDS))
    except Unreachable as error:
        return [unknown(name, expected, error, "start the server with 'mtad serve'")]
    except MtadError as error:
        fix = "free space, or look at the error of the log role in 'mtad status'"
        return [judged(name, "does not catch up", expected, str(error), fix)]
    took = time.monotonic() - begun
    cause = "" if took <= LAG_SECONDS else "the log is behind the journals"
    fix = "wait for the load to pass; a slow disk shows as disk.sync"
    return [judged(name, f"{took:.2f} s", expected, cause, fix, verdict=Verdict.WARN)]
