"""The log for other programs: nothing lost, nothing that does harm there, memory that stays."""

import contextlib
import csv
import io
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.authority import self_signed
from tests.server import until
from tests.test_tracing_cli import Place, place, run  # noqa: F401 - a fixture
from tests.test_tracing_schema import fits
from tests.tracing_events import AT, Mail, mint
from tracing import events, eventschema, ids, moments
from tracing.eventexamples import example
from tracing.events import REGISTRY
from tracing.export import chosen, lines
from tracing.log import Applied, Recorder
from tracing.queries import Log

MESSAGE = re.compile(
    rb"<(\d{1,3})>1 (\S+) (\S{1,255}) mtad (\d+) (\S{1,32}) "
    rb'\[mtad@32473((?: [!-~]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*)\] \xef\xbb\xbf(.*)',
    re.DOTALL,
)


def read_back(line: str) -> events.Event:
    """The event of a line of JSON."""
    shown = json.loads(line)
    fields = {**shown["fields"], "kind": shown["kind"], "trace": ids.parse(shown["trace"])}
    for name in ("cn", "st"):
        if isinstance(fields.get(name), str):
            fields[name] = ids.parse(fields[name])
    if "also" in fields:
        fields["also"] = [ids.parse(trace) for trace in fields["also"]]
    at = moments.microseconds(datetime.fromisoformat(shown["at"]))
    return events.from_fields({**fields, "at": at})


def test_json_lines_are_the_events_and_fit_their_schemas(
    place: Place,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    every = [example(kind) for kind in sorted(REGISTRY)]
    place.recorder.apply([Applied("jobs", 1, 0, every)])
    code, out, _ = run(place, capsys, "log", "export", "--since", "2024-01-01")
    assert code == 0
    shown = [json.loads(line) for line in out.splitlines()]
    assert out.isascii()
    for one in shown:
        whole = eventschema.schema(one["kind"])
        assert fits(one, whole, whole), one
    with contextlib.closing(Log(place.log)) as log:
        known = [one for one in log.events_after({}, 10_000)]
    assert [(one["month"], one["seq"]) for one in shown] == [(k.month, k.seq) for k in known]
    for line, stored in zip(out.splitlines(), known, strict=True):
        assert read_back(line) == stored.event


def test_a_filter_and_a_time_choose(
    place: Place,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    every = run(place, capsys, "log", "export", "subj:second")[1]
    told = [json.loads(line) for line in every.splitlines()]
    assert {one["trace"] for one in told} >= {ids.text(place.mails[1].m)}
    assert all(ids.text(place.mails[1].m) == one["trace"] for one in told)
    monkeypatch.setattr(chosen, "FEW", 0)
    assert run(place, capsys, "log", "export", "subj:second")[1] == every
    code, out, err = run(place, capsys, "log", "export", "--until", "2d")
    assert (code, out) == (4, "")
    assert "no event was found" in err
    assert run(place, capsys, "log", "export", "--since", "1h")[1].count("smtp.accept") == 3
    for words, says in (
        (("--since", "nonsense"), "is no time"),
        (("nofield:x",), "no field nofield"),
        (("--follow", "--until", "now"), "contradict"),
        (("--to", "tcp:x:1"), "--to is for"),
        (("--format", "syslog", "--to", "nowhere"), "no place to send to"),
        (("--format", "syslog", "--to", "tcp:127.0.0.1"), "has no port"),
        (("--format", "otlp", "--to", "127.0.0.1:4318"), "is no URL"),
    ):
        code, out, err = run(place, capsys, "log", "export", *words)
        assert (code, out) == (2, ""), words
        assert says in err
    code, out, err = run(place, capsys, "log", "export", "--format", "syslog", "--to", "unix:/no")
    assert code == 10
    assert "cannot reach unix:/no" in err


NASTY = st.text(st.sampled_from("=+-@|%\t\r\n\0\x1b\"',;]\\ё\u202e\ud800a1 ")) | st.text()


@given(subject=NASTY, sender=NASTY, reply=NASTY)
def test_no_cell_of_csv_is_a_formula(subject: str, sender: str, reply: str) -> None:
    told = events.SmtpReject(
        at=AT, trace=1, stage=subject, addr=sender, reply=reply, actor=f"={sender}"
    )
    header, row = csv.reader(io.StringIO(f"{lines.csv_header()}\n{lines.as_csv(told)}\n"))
    assert header == list(lines.COLUMNS)
    assert len(row) == len(header)
    for cell in row:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "|", "%"))
        assert not re.search("[\0-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", cell)


@given(subject=NASTY, reply=NASTY | st.text(min_size=5000), host=NASTY)
def test_a_syslog_message_keeps_its_form(subject: str, reply: str, host: str) -> None:
    told = events.SmtpReject(at=AT, trace=1, stage=subject, reply=reply, code=550)
    message = lines.as_syslog(told, host, 7)
    assert len(message) <= lines.MAX_MESSAGE
    found = MESSAGE.fullmatch(message)
    assert found is not None, message
    assert found[1] == b"20"
    assert found[5] == b"smtp.reject"
    assert found[6].startswith(b' outcome="fail" trace="')
    assert b"\n" not in message
    assert b"\0" not in message
    assert lines.counted(message) == f"{len(message)} ".encode() + message


@contextlib.contextmanager
def listening(link: socket.socket, context: ssl.SSLContext | None = None) -> Iterator[list[bytes]]:
    """A server that keeps the octets of each connection."""
    got: list[bytes] = []
    done = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = link.accept()
                with contextlib.suppress(OSError):
                    if context is not None:
                        client = context.wrap_socket(client, server_side=True)
                    got.append(b"")
                    while data := client.recv(65536):
                        got[-1] += data
                client.close()
                done.set()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield got
    assert done.wait(10)
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
    link.close()
    thread.join(10)


def framed(data: bytes) -> list[bytes]:
    """The messages of a stream in which each has its length before it."""
    found = []
    while data:
        length, _, data = data.partition(b" ")
        found.append(data[: int(length)])
        assert len(found[-1]) == int(length)
        data = data[int(length) :]
    return found


def test_syslog_goes_to_standard_output_tcp_tls_and_unix_sockets(
    place: Place,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    words = ("log", "export", "--format", "syslog", "--to")
    chain, key = self_signed("localhost").files(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    wanted = 0
    for kind, tls in (("tcp", None), ("tls", context)):
        link = socket.create_server(("127.0.0.1", 0))
        port = link.getsockname()[1]
        with listening(link, tls) as got:
            if tls is not None:
                code, _, err = run(place, capsys, *words, f"tls:localhost:{port}")
                assert code == 10
                assert "certificate" in err
                got.clear()
            target = f"{kind}:localhost:{port}"
            code, out, err = run(place, capsys, *words, target, "--ca", str(chain))
            assert (code, out, err) == (0, "", "")
        wanted = wanted or len(framed(got[0]))
        (whole,) = got  # the server has ended, so it has read all
        assert len(framed(whole)) == wanted
        assert all(map(MESSAGE.fullmatch, framed(whole)))
    assert wanted > 10
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as datagrams:
        datagrams.bind(str(tmp_path / "log.sock"))
        received: list[bytes] = []
        reader = threading.Thread(
            target=lambda: received.extend(datagrams.recv(65536) for _ in range(wanted))
        )
        reader.start()
        assert run(place, capsys, *words, f"unix:{tmp_path / 'log.sock'}")[0] == 0
        reader.join(20)
        assert len(received) == wanted
        assert all(map(MESSAGE.fullmatch, received))


def test_what_happens_from_now_on_follows(place: Place, tmp_path: Path) -> None:  # noqa: F811
    command = [sys.executable, "-m", "mtad", "--config", str(place.settings), "log", "export"]
    out = tmp_path / "out"
    with out.open("wb") as file:
        process = subprocess.Popen([*command, "--follow", "from:late@"], stdout=file)
    try:
        place.record(sender="late@example.net", subject="before or after")
        until(lambda: "store.delivered" in out.read_text(), 30, "the event")
        place.record(sender="early@example.net")
        place.record(sender="late@example.net")
        until(lambda: out.read_text().count("store.delivered") == 2, 30, "the next")
    finally:
        process.terminate()
        process.wait(20)
    seen = [(one["month"], one["seq"]) for one in map(json.loads, out.read_text().splitlines())]
    assert len(seen) == len(set(seen))
    assert "early@" not in out.read_text()


def test_memory_stays_the_same(tmp_path: Path) -> None:
    with contextlib.closing(Recorder(tmp_path)) as recorder:
        made = mint(AT)
        for seq in range(1, 4):
            told = [one for _ in range(1000) for one in Mail(made, at=AT).whole()]
            recorder.apply([Applied("mta-0", seq, 0, told)])
    count = 0
    tracemalloc.start()
    for part in chosen.events(tmp_path, "", 0, 1 << 62):
        count += len(part)
        if count < 2_000:
            tracemalloc.reset_peak()
            tracemalloc.clear_traces()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 21_000
    assert peak < 4_000_000


class Collector(BaseHTTPRequestHandler):
    """Takes what is posted."""

    def do_POST(self) -> None:
        octets = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, octets))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def collector(status: int = 200) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.got, server.status = [], status
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_otlp_comes_to_a_collector(place: Place, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    service = pytest.importorskip("opentelemetry.proto.collector.logs.v1.logs_service_pb2")
    words = ("log", "export", "subj:second", "--format", "otlp", "--to")
    with collector() as server:
        url = f"http://127.0.0.1:{server.server_port}/v1/logs"
        assert run(place, capsys, *words, url)[0] == 0
    ((path, octets),) = server.got
    assert path == "/v1/logs"
    (resource,) = service.ExportLogsServiceRequest.FromString(octets).resource_logs
    known = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert known == {"service.name": "mtad", "host.name": "mx.example.org"}
    records = [one for scope in resource.scope_logs for one in scope.log_records]
    assert [one.event_name for one in records][-2:] == ["mail.smtp.accept", "mail.store.delivered"]
    assert {int.from_bytes(one.trace_id) for one in records} == {place.mails[1].m}
    assert all(one.severity_text == "INFO" and one.time_unix_nano for one in records)
    last = {one.key: one.value.string_value for one in records[-1].attributes}
    assert last["mail.mailbox"] == "INBOX"
    assert last["mail.addr"] == "alice@example.org"
    with collector(400) as server:
        url = f"http://127.0.0.1:{server.server_port}/v1/logs"
        code, _, err = run(place, capsys, *words, url)
        assert code == 10
        assert "did not take the events" in err


def test_otlp_without_its_library_says_what_to_install(
    place: Place,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http._log_exporter", None)
    code, _, err = run(place, capsys, "log", "export", "--format", "otlp")
    assert code == 2
    assert "pip install 'mtad[otlp]'" in err
