"""Figures for Prometheus: what is told, by whom it can be had, and that contrib/ asks for these."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from mtad import config, control, ledger, metrics
from mtad.config import Loaded
from mtad.errors import ConfigError
from mtad.jobs import role as jobs
from mtad.journal.writer import Journal
from tests.peers import free_port
from tests.tracing_events import Mail, mint
from tracing import sending
from tracing.log import Applied, Recorder

CONTRIB = Path(__file__).resolve().parents[1] / "contrib"
Sample = tuple[str, tuple[str, ...]]


@pytest.fixture
def noted(site: Loaded) -> Loaded:
    """A delivered message and one that waits, an hour old."""
    at = time.time_ns() // 1000 - 3_600_000_000
    new = mint(at)
    delivered, waiting = Mail(new, at=at), Mail(new, at=at, to=("a@far.example",))
    add = sending.QueueAdd(at=at, trace=waiting.m, n=1, addr="a@far.example", next_try=at)
    recorder = Recorder(site.places.log)
    recorder.apply([Applied("mta-0", 1, 0, delivered.whole())])
    recorder.apply([Applied("mta-0", 2, 0, [*waiting.begin(), *waiting.accept(), add])])
    recorder.close()
    return site


def read(page: str) -> dict[Sample, float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


async def fetch(port: int, request: bytes) -> tuple[str, str]:
    """The head and the body of an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    head, _, body = answer.decode().partition("\r\n\r\n")
    return head, body


@contextlib.asynccontextmanager
async def served(loaded: Loaded) -> AsyncIterator[int]:
    port = free_port("127.0.0.1")
    server = await metrics.Endpoint(metrics.Figures(loaded)).serve("127.0.0.1", port)
    yield port
    server.close()


GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_what_is_told(noted: Loaded) -> None:
    ledger.write(noted.places, ["a", "b"], whole=True)
    journal = Journal.open(noted.places.journal / "mta-0", node=1)
    await journal.close()
    (noted.repository / "snapshots").mkdir(parents=True, exist_ok=True)
    (noted.repository / "snapshots" / "one").touch()

    async def status(_: control.Answer) -> control.Answer:
        return {"connections": 3, "connections_total": 40, "messages": 30}

    role = await control.serve(noted.places.socket("mta"), {"status": status})
    async with served(noted) as port:
        head, body = await fetch(port, GET)
    role.close()
    assert head.startswith("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=")
    told = read(body)
    assert told["mtad_messages_total", ("delivered",)] == 1
    assert told["mtad_messages_total", ("bounced",)] == 0
    assert told["mtad_queue_recipients", ("queued",)] == 1
    assert 3500 < told["mtad_queue_oldest_seconds", ()] < 7200
    assert told["mtad_audit_violations", ()] == 2
    assert told["mtad_audit_age_seconds", ()] < 60
    assert told["mtad_snapshot_age_seconds", ()] < 60
    assert told["mtad_journal_bytes", ("mta-0",)] > 0
    assert told["mtad_role_up", ("mta",)] == 1
    assert told["mtad_role_up", ("log",)] == 0
    assert told["mtad_smtp_connections", ()] == 3
    assert told["mtad_smtp_taken_total", ()] == 30
    assert told["mtad_disk_free_bytes", ()] > 0


def test_a_counter_never_falls(noted: Loaded) -> None:
    """A month that is dropped takes nothing back."""
    figures = metrics.Figures(noted)

    def delivered() -> float:
        for family in figures.collect():
            for sample in family.samples:
                if sample.labels == {"state": "delivered"}:
                    return sample.value
        raise AssertionError("not told")

    assert delivered() == 1
    for file in noted.places.log_folder.glob("2*.db*"):
        file.unlink()
    assert delivered() == 1
    recorder = Recorder(noted.places.log)
    recorder.apply([Applied("mta-0", 3, 0, Mail(mint()).whole())])
    recorder.close()
    assert delivered() == 2


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "404"),
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", "200"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", "405"),
        (b"\r\n\r\n", "405"),
        (b"\xff\x00\r\n\r\n", "405"),
    ],
)
async def test_requests(site: Loaded, request_: bytes, status: str) -> None:
    async with served(site) as port:
        head, _ = await fetch(port, request_)
    assert head.startswith(f"HTTP/1.1 {status} ")


async def test_what_is_no_request_is_cut_off(site: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "REQUEST_SECONDS", 0.2)
    async with served(site) as port:
        assert await fetch(port, b"x" * 3 * metrics.MAX_REQUEST) == ("", "")
        assert await fetch(port, b"GET /metrics HTTP/1.1\r\n") == ("", "")
        head, body = await fetch(port, b"HEAD" + GET[3:])
        assert (head[:12], body) == ("HTTP/1.1 200", "")


async def test_the_jobs_role_serves_them(noted: Loaded) -> None:
    port = free_port("127.0.0.1")
    wanted = config.Metrics(listen=f"127.0.0.1:{port}")
    settings = noted.config.model_copy(update={"metrics": wanted})
    loaded = Loaded(noted.path, settings, noted.places)
    server = await jobs._metrics(loaded, metrics.Figures(loaded))
    assert server is not None
    assert "mtad_build_info" in (await fetch(port, GET))[1]
    assert await jobs._metrics(loaded, metrics.Figures(loaded)) is None, "the port is taken"
    server.close()
    assert await jobs._metrics(noted, metrics.Figures(noted)) is None, "off by itself"


@pytest.mark.parametrize("listen", ["0.0.0.0:9125", "127.0.0.1", "localhost:9125", "[::1]:0"])
def test_only_on_loopback(site: Loaded, listen: str) -> None:
    path = site.path.with_name("other.toml")
    path.write_text(f'hostname = "h"\n[metrics]\nlisten = "{listen}"\n')
    with pytest.raises(ConfigError, match=r"metrics\.listen"):
        config.load(path)


def _expressions() -> dict[str, Callable[[], str]]:
    return {
        "alerts.yml": lambda: "\n".join(
            re.findall(r"expr: (.*)", (CONTRIB / "alerts.yml").read_text())
        ),
        "grafana.json": lambda: "\n".join(
            target["expr"]
            for panel in json.loads((CONTRIB / "grafana.json").read_text())["panels"]
            for target in panel["targets"]
        ),
    }


@pytest.mark.parametrize("file", _expressions())
async def test_what_is_asked_for_in_contrib_is_told(noted: Loaded, file: str) -> None:
    ledger.write(noted.places, [], whole=True)
    (noted.repository / "snapshots").mkdir(parents=True, exist_ok=True)
    (noted.repository / "snapshots" / "one").touch()
    (noted.places.journal / "mta-0").mkdir(parents=True)

    async def status(_: control.Answer) -> control.Answer:
        return {}

    roles = [
        await control.serve(noted.places.socket(role), {"status": status}) for role in metrics.ROLES
    ]
    page = await asyncio.to_thread(generate_latest, _registry(noted))
    told = {name for name, _ in read(page.decode())}
    for role in roles:
        role.close()
    asked = set(re.findall(r"mtad_\w+", _expressions()[file]()))
    assert len(asked) >= 9
    assert asked <= told


def _registry(loaded: Loaded) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics.Figures(loaded))
    return registry
