"""Reports about TLS on their way: counted from the log, sent by mail and by HTTPS."""

import asyncio
import gzip
import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mtad import where
from mtad.config import Loaded
from mtad.dns import DnsError
from mtad.outbound.courier import surroundings
from mtad.outbound.https import Https
from mtad.outbound.security import VERIFY, Contexts
from mtad.reports.tlsrpt import Tally
from mtad.submit import drop, tls_reports
from mtad.submit.tls_reports import TlsReports
from tests.authority import Authority
from tests.outbound import Names
from tests.test_outbound_sts import Web, page, web
from tests.test_reports_tlsrpt import BEGIN, END, session
from tracing import ids
from tracing.log import Applied, Recorder
from tracing.sending import OutTls

ASKS = b"v=TLSRPTv1; rua=mailto:tls@remote.test"


def tally(*events: OutTls) -> Tally:
    made = Tally()
    for event in events:
        made.add(event)
    return made


class Left:
    """What was left for mail."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, bytes]] = []
        self.trouble: OSError | None = None

    def __call__(self, recipient: str, message: bytes) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.mails.append((recipient, message))


def reports(records: dict[tuple[str, str], Any], left: Left, contexts: Contexts) -> TlsReports:
    names, numbers = Names(records), itertools.count(1)
    https = Https(names, contexts.of(VERIFY), ("ipv4",), seconds=5)
    return TlsReports("mx.local.test", "pm@local.test", names, https, left, lambda: next(numbers))


async def test_by_mail_to_who_asks() -> None:
    left = Left()
    records = {
        ("_smtp._tls.remote.test", "TXT"): (ASKS,),
        ("_smtp._tls.broken.test", "TXT"): DnsError("SERVFAIL"),
    }
    sending = reports(records, left, Contexts())
    events = [session(name) for name in ("remote.test", "other.test", "broken.test")]
    assert await sending.send(tally(*events), BEGIN, END) == 1
    ((recipient, message),) = left.mails
    assert recipient == "tls@remote.test"
    assert b"\nTLS-Report-Domain: remote.test\n" in message
    assert message.startswith(b"From: pm@local.test\nTo: tls@remote.test\n")


async def test_a_place_that_is_none_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    left = Left()
    uris = b"mailto:nobody,https://,https://[,https://x.test/r,mailto:tls@remote.test"
    records = {("_smtp._tls.remote.test", "TXT"): (b"v=TLSRPTv1; rua=" + uris,)}
    sending = reports(records, left, Contexts())
    assert await sending.send(tally(session()), BEGIN, END) == 1
    assert len(left.mails) == 1
    left.trouble = OSError(28, "No space left on device")
    assert await sending.send(tally(session()), BEGIN, END) == 0
    assert "No space left" in caplog.text


@pytest.mark.parametrize(("status", "sent"), [("200 OK", 1), ("201 Created", 1), ("500 No", 0)])
async def test_by_https(status: str, sent: int, tmp_path: Path) -> None:
    authority = Authority()
    context = authority.issue("reports.remote.test").context(tmp_path)
    contexts = Contexts(authority.file(tmp_path / "authority.pem"))
    async with web(context, page(b"thanks", status)) as there:
        uri = f"https://reports.remote.test:{there.port}/tls?x=1"
        records = {
            ("_smtp._tls.remote.test", "TXT"): (f"v=TLSRPTv1; rua={uri}".encode(),),
            ("reports.remote.test", "A"): ("127.0.0.1",),
        }
        sending = reports(records, Left(), contexts)
        assert await sending.send(tally(session()), BEGIN, END) == sent
        assert_posted(there)


def assert_posted(there: Web) -> None:
    (head,) = there.requests
    assert head.startswith(b"POST /tls?x=1 HTTP/1.1\r\n")
    assert b"Content-Type: application/tlsrpt+gzip\r\n" in head
    (body,) = there.bodies
    assert json.loads(gzip.decompress(body))["policies"]


async def test_a_day_of_the_log(site: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    day = datetime(2026, 11, 23, tzinfo=UTC)
    start = int(day.timestamp() * 1_000_000)
    hours = (-1, 0, 5, 23, 24)
    recorder = Recorder(site.places.log)
    for number, hour in enumerate(hours, 1):
        at = start + hour * 3_600_000_000
        event = session(f"h{hour}.test", at=at, trace=ids.lowest(at) + 1)
        recorder.apply([Applied("mta-0", number, 0, [event])])
    recorder.close()
    found = await asyncio.to_thread(
        tls_reports.count, site.places.log, day, day + timedelta(days=1)
    )
    assert found.domains == ["h0.test", "h23.test", "h5.test"]

    def answer(loaded: Loaded) -> Any:
        records = {("_smtp._tls.h5.test", "TXT"): (ASKS,)}
        made = surroundings(loaded)
        return type(made)(made.hostname, made.settings, Names(records), made.contexts, made.own)

    folder = where.drop(site.path, where.read_toml(site.path))
    drop.make(folder)
    monkeypatch.setattr(tls_reports, "surroundings", answer)
    now = day + timedelta(days=1, hours=2)
    assert await tls_reports.send_daily(site, lambda: 5, now) == 1
    (path,) = folder.glob("*.drop")
    envelope, message = path.read_bytes().split(b"\n", 1)
    assert json.loads(envelope)["recipients"] == ["tls@remote.test"]
    assert b"Subject: Report Domain: h5.test Submitter:" in message
    assert await tls_reports.send_daily(site, lambda: 5, now + timedelta(days=9)) == 0
