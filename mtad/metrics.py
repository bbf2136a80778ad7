"""Figures for Prometheus, over HTTP on loopback: ``GET /metrics``.

What is told is read when it is asked for, from the log's hourly counts, the roles' own answers and
the disk, a few seconds at most before it is told. Labels are states, roles and journals, so there
are few of them whatever mail comes. The only importer of ``prometheus_client``.
"""

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backup import ages
from mtad import clock, control, ledger
from mtad.config import Loaded
from mtad.errors import MtadError
from tracing import ids, months, retrieval
from tracing.states import State
from tracing.waiting import OPEN_STATES

ROLES = ("mta", "log", "access", "jobs")
ASK_SECONDS = 3
FRESH_SECONDS = 5
"""For how long an answer is given again without looking."""
REQUEST_SECONDS = 10
MAX_REQUEST = 8192
"""Octets of a request's head."""

_QUEUE = (
    f"SELECT status, count(*), min(msg) FROM rcpt WHERE status IN ({OPEN_STATES}) "  # noqa: S608
    f"AND status!={int(State.STORED)} AND params IS NOT NULL GROUP BY 1"
)
_TOLD = tuple(state for state in State if not state.is_open and state is not State.RECEIVING)
"""States that a message comes to once, so that it can be counted."""


class Figures(Collector):
    """Everything that is told. For one thread at a time."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._seen: Counter[State] = Counter()
        self._total: Counter[State] = Counter()

    def use(self, loaded: Loaded) -> None:
        """Go by these settings."""
        self._loaded = loaded

    def collect(self) -> Iterator[Metric]:
        """One look at everything."""
        build = GaugeMetricFamily("mtad_build_info", "The version that runs.", labels=["version"])
        build.add_metric([version("mtad")], 1)
        yield build
        yield from self._log()
        yield from self._roles()
        yield from self._disk()
        accounts = ledger.read(self._loaded.places)
        yield _gauge("mtad_audit_violations", "What does not balance.", accounts.count)
        if accounts.last_at:
            yield _gauge("mtad_audit_age_seconds", "Since the last audit.", _ago(accounts.last_at))

    # ------------------------------------------------------------------ the log

    def _log(self) -> Iterator[Metric]:
        counts: Counter[State] = Counter()
        waiting: Counter[State] = Counter()
        events = oldest = 0
        directory = self._loaded.places.log
        for month in months.listing(directory):
            with closing(months.reading(directory, month)) as link:
                for status, n in link.execute("SELECT status, sum(n) FROM stat_hour GROUP BY 1"):
                    counts[State(status)] += n
                for status, n, m in link.execute(_QUEUE):
                    waiting[State(status)] += n
                    oldest = min(oldest or m, m)
                events += retrieval.last(link)[0]
        total = CounterMetricFamily(
            "mtad_messages", "Messages that came to a state, by the log.", labels=["state"]
        )
        for state in _TOLD:
            # What the log lets go of when a month is dropped was there all the same.
            self._total[state] += max(0, counts[state] - self._seen[state])
            self._seen[state] = counts[state]
            total.add_metric([state.word], self._total[state])
        yield total
        queue = GaugeMetricFamily("mtad_queue_recipients", "Who waits.", labels=["state"])
        for state in (State.QUEUED, State.DEFERRED, State.HELD):
            queue.add_metric([state.word], waiting[state])
        yield queue
        age = _ago(ids.time_us(oldest)) if oldest else 0
        yield _gauge("mtad_queue_oldest_seconds", "Age of the oldest message that waits.", age)
        yield _gauge("mtad_log_events", "Events in the log.", events)

    # ---------------------------------------------------------------- the roles

    def _roles(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("mtad_role_up", "Whether a role answers.", labels=["role"])
        said: dict[str, dict[str, Any]] = {}
        for role in ROLES:
            with contextlib.suppress(MtadError):
                path = self._loaded.places.socket(role)
                said[role] = control.ask(path, "status", seconds=ASK_SECONDS)
            up.add_metric([role], role in said)
        yield up
        if mta := said.get("mta"):
            yield _gauge("mtad_smtp_connections", "Connections now.", mta.get("connections", 0))
            for name, about in (("connections", "Connections"), ("messages", "Messages taken")):
                count = mta.get("connections_total" if name == "connections" else name, 0)
                family = f"mtad_smtp_{'opened' if name == 'connections' else 'taken'}"
                yield CounterMetricFamily(family, f"{about} since it started.", value=count)
        if log := said.get("log"):
            stuck = log.get("problem_seconds", 0)
            yield _gauge("mtad_log_stuck_seconds", "For how long the log cannot go on.", stuck)
        if access := said.get("access"):
            yield _gauge("mtad_boxes_open", "Boxes in use.", access.get("open", 0))

    # ----------------------------------------------------------------- the disk

    def _disk(self) -> Iterator[Metric]:
        places = self._loaded.places
        space = GaugeMetricFamily(
            "mtad_journal_bytes", "Octets of a journal's segments.", labels=["journal"]
        )
        for folder in sorted(places.journal.glob("*/")):
            space.add_metric([folder.name], sum(_sizes(folder)))
        yield space
        cap = self._loaded.config.journal.cap_bytes
        yield _gauge("mtad_journal_cap_bytes", "What a journal may take at most.", cap)
        with contextlib.suppress(OSError):
            found = os.statvfs(places.data)
            free = found.f_bavail * found.f_frsize
            yield _gauge("mtad_disk_free_bytes", "Free where the data is.", free)
        with contextlib.suppress(OSError):
            newest = ages.newest(self._loaded)
            age = max(0.0, time.time() - newest)
            if newest:
                yield _gauge("mtad_snapshot_age_seconds", "Since the last snapshot.", age)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _ago(at: int) -> float:
    return max(0, clock.now_us() - at) / 1_000_000


def _sizes(folder: Path) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for file in os.scandir(folder):
            yield file.stat(follow_symlinks=False).st_size


# ------------------------------------------------------------------------- HTTP


class Endpoint:
    """Answers ``GET /metrics`` until it is closed."""

    def __init__(self, figures: Figures) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(figures)
        self._turn = asyncio.Lock()
        self._page, self._at = b"", -float(FRESH_SECONDS)

    async def serve(self, host: str, port: int) -> asyncio.Server:
        """Begin. Raises OSError."""
        return await asyncio.start_server(self._connection, host, port, limit=MAX_REQUEST)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._answer(head))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", b"only GET\n")
        if path != b"/metrics":
            return _response("404 Not Found", b"see /metrics\n")
        try:
            page = await self._fresh()
        except Exception as error:
            return _response("503 Service Unavailable", f"{type(error).__name__}\n".encode())
        return _response("200 OK", page, is_head=method == b"HEAD")

    async def _fresh(self) -> bytes:
        async with self._turn:
            if time.monotonic() - self._at >= FRESH_SECONDS:
                self._page = await asyncio.to_thread(generate_latest, self._registry)
                self._at = time.monotonic()
            return self._page


def _response(status: str, body: bytes, *, is_head: bool = False) -> bytes:
    kind = CONTENT_TYPE_PLAIN_1_0_0 if status.startswith("200") else "text/plain"
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\nX-Content-Type-Options: nosniff\r\n\r\n"
    )
    return head.encode() + (b"" if is_head else body)
