"""What a check found, and the bounds that all checks keep."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

SECONDS = 20.0
"""The longest a group of checks may take."""

T = TypeVar("T")


class Verdict(StrEnum):
    """How it is; ``unknown`` where it could not be measured."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``cause`` and ``fix`` are empty where all is well."""

    id: str
    """Group and name, like ``dns.mx:example.org``."""
    measured: str
    expected: str
    verdict: Verdict
    cause: str = ""
    fix: str = ""

    @property
    def group(self) -> str:
        """What the id begins with."""
        return self.id.partition(".")[0]


def judged(
    name: str, measured: str, expected: str, cause: str = "", fix: str = "",
    *, verdict: Verdict = Verdict.BAD,
) -> Check:  # fmt: skip
    """A check that is well unless there is a cause, and ``verdict`` then."""
    if not cause:
        return Check(name, measured, expected, Verdict.OK)
    return Check(name, measured, expected, verdict, cause, fix)


def unknown(name: str, expected: str, cause: object, fix: str = "") -> Check:
    """A check that could not be made."""
    return Check(name, "not known", expected, Verdict.UNKNOWN, str(cause), fix)


def _kept(do: Callable[[], T]) -> Callable[[], T]:
    """Do it now; what comes back gives its result, or raises what it raised, later."""
    try:
        value = do()
    except Exception as error:
        failed = error

        def fail() -> T:
            raise failed

        return fail
    return lambda: value


async def in_thread(do: Callable[[], T]) -> T:
    """Run what blocks in a thread that nobody waits for at the end: a dead disk never answers."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(found: Callable[[], T]) -> None:
        if done.done():
            return
        try:
            done.set_result(found())
        except Exception as error:
            done.set_exception(error)

    def run() -> None:
        found = _kept(do)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            loop.call_soon_threadsafe(tell, found)

    threading.Thread(target=run, daemon=True, name="doctor").start()
    return await done
