"""Reports from elsewhere become events of the messages they are about, once, whatever happens."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from mtad.journal import frame
from mtad.materialise import correlate
from mtad.reports.dsn_build import build
from mtad.reports.token import Tokens
from mtad.reports.values import Original, Report, Reported
from tests.materialise_bench import ARRIVED_NS, Bench
from tracing import events, ids
from tracing.queries import Log
from tracing.sending import DsnGot, ReportGot

ANNA = "anna@one.test"
BOB = "bob@two.test"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def sent(bench: Bench, *addresses: str, message_id: str = "<lunch@one.test>") -> int:
    """A message of Anna's for recipients elsewhere, in the log; its id."""
    body = f"Message-ID: {message_id}\n\nAt noon.\n".encode()
    m = bench.journal.mint.new()
    accept = events.SmtpAccept(
        at=ids.time_us(m),
        trace=m,
        addr=ANNA,
        size=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        count=len(addresses),
        recipients=tuple(events.Recipient(n, a, a) for n, a in enumerate(addresses, 1)),
        message_id=message_id,
    )
    bench.tell(events.SmtpMail(at=ids.time_us(m), trace=m, addr=ANNA, cn=1), accept)
    bench.worker.turn()
    return m


def bounce(
    m: int = 0,
    *recipients: str,
    envid: bool = False,
    message_id: str = "<lunch@one.test>",
    size: int = 0,
) -> bytes:
    """What a remote server says of message ``m`` and recipients of it."""
    received = (
        f"Received: from x by mail.one.test (mtad) with ESMTP id {ids.text(m)}\n" if m else ""
    )
    original = f"{received}Message-ID: {message_id}\nSubject: Lunch\n\n{'x' * size}\n"
    return build(
        Report(
            7,
            0,
            "failed",
            Original(8, ANNA, original.encode(), 0, envid=ids.text(m) if envid else ""),
            [Reported(a, "5.1.1", "550 no such user", host="mx.two.test") for a in recipients],
            "relay.two.test",
            "postmaster@two.test",
        )
    )


def got(bench: Bench, m: int) -> list[DsnGot | ReportGot]:
    with closing(Log(bench.places.log)) as log:
        found = [one.event for one in log.timeline(m)]
    return [one for one in found if isinstance(one, DsnGot | ReportGot)]


def arrive(bench: Bench, body: bytes) -> int:
    meta = bench.accept(ANNA, body=body)
    assert meta.content is not None
    bench.worker.turn()
    return meta.content.m


@pytest.mark.parametrize("by", ["envelope id", "queue id", "message id"])
def test_a_bounce_is_on_the_trace_of_its_message(bench: Bench, by: str) -> None:
    m = sent(bench, "carl@two.test", BOB)
    sent(bench, BOB, message_id="<another@one.test>")
    report = arrive(bench, bounce(m if by != "message id" else 0, BOB, envid=by == "envelope id"))
    assert got(bench, m) == [
        DsnGot(
            at=ARRIVED_NS // 1000,
            trace=m,
            n=2,
            addr=BOB,
            host="mx.two.test",
            code=550,
            enh="5.1.1",
            actor="remote",
            action="failed",
            report=ids.text(report),
            by=by,
            reporter="relay.two.test",
            diagnostic="550 no such user",
        )
    ]
    assert got(bench, report) == []


def test_a_bounce_that_says_nothing_is_known_by_where_it_came(bench: Bench) -> None:
    """Postmaster's answer by hand: who sent it to this return path got recipient 2's copy."""
    m = sent(bench, "carl@two.test", BOB)
    tokens = Tokens([b"secret"])
    path = tokens.write(m, 2, "one.test")
    words = f"Return-Path: <>\nFrom: MAILER-DAEMON@two.test\nTo: <{path}>\n"
    words += "Subject: failure notice\n\n<x@elsewhere.test>: user unknown\n"
    correlator = correlate.Correlator(bench.places.log, str, tokens)
    meta = bench.plan(ANNA, body=words.encode())
    assert meta.content is not None
    # A token is honoured around the time of its message.
    now = msgspec.structs.replace(meta.content, mtime_ns=ids.time_us(m) * 1000)
    correlator.see(frame.Frame(1, 1, frame.Meta(content=now), words.encode()))
    (event,) = correlator.events()
    assert isinstance(event, DsnGot)
    assert (event.trace, event.n, event.by, event.enh) == (m, 2, "token", "5.1.1")


def test_each_recipient_told_of_has_an_event(bench: Bench) -> None:
    m = sent(bench, BOB, "carl@two.test", "dora@two.test")
    arrive(bench, bounce(m, "dora@two.test", "BOB@two.test"))
    assert [(one.n, one.addr) for one in got(bench, m)] == [
        (3, "dora@two.test"),
        (1, "BOB@two.test"),
    ]


def test_the_recipient_decides_among_messages_of_one_message_id(bench: Bench) -> None:
    first = sent(bench, BOB)
    second = sent(bench, "carl@two.test")
    arrive(bench, bounce(0, BOB))
    assert [one.n for one in got(bench, first)] == [1]
    assert got(bench, second) == []


def test_a_long_report_is_read_from_its_file(bench: Bench) -> None:
    m = sent(bench, BOB)
    arrive(bench, bounce(m, BOB, size=frame.MAX_BODY))
    assert [one.n for one in got(bench, m)] == [1]


def test_a_recipient_nobody_knows_is_told_of_where_the_id_is_ours(bench: Bench) -> None:
    m = sent(bench, BOB, "carl@two.test")
    arrive(bench, bounce(m, "x@elsewhere.test"))
    assert [(one.n, one.addr) for one in got(bench, m)] == [(0, "x@elsewhere.test")]
    arrive(bench, bounce(0, "x@elsewhere.test"))
    assert len(got(bench, m)) == 1


@pytest.mark.parametrize("kind", ["unknown", "own", "ordinary"])
def test_what_is_about_nothing_of_ours_leaves_no_event(bench: Bench, kind: str) -> None:
    m = sent(bench, BOB)
    body = bounce(0 if kind == "unknown" else m, BOB, message_id="<no@such.test>")
    if kind == "ordinary":
        body = body.replace(b"multipart/report", b"multipart/mixed").replace(
            b"Return-Path: <>\n", b"Return-Path: <bob@two.test>\n"
        )
        body = body.replace(b"Mail Delivery System <postmaster@", b"Bob <bob@")
    meta = bench.plan(ANNA, body=body)
    assert meta.content is not None
    if kind == "own":
        named = f"<{ids.text(meta.content.m)}@relay.two.test>".encode()
        body = body.replace(b"<0000000000007@relay.two.test>", named)
    bench.journal.commit_now(meta, body)
    bench.worker.turn()
    assert got(bench, m) == []
    assert bench.kinds()["dsn.got"] == 0


FEEDBACK = b"""\
Return-Path: <fbl@two.test>
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b

Spam.
--b
Content-Type: message/feedback-report

Feedback-Type: abuse
Original-Rcpt-To: bob@two.test

--b
Content-Type: text/rfc822-headers

Message-ID: <lunch@one.test>
Subject: Lunch
--b--
"""


def test_an_abuse_report_is_on_the_message_or_else_on_its_own(bench: Bench) -> None:
    alone = arrive(bench, FEEDBACK)
    (event,) = got(bench, alone)
    assert isinstance(event, ReportGot)
    assert (event.what, event.summary, event.addr) == ("arf", "abuse: Lunch", BOB)
    m = sent(bench, BOB)
    report = arrive(bench, FEEDBACK)
    (event,) = got(bench, m)
    assert isinstance(event, ReportGot)
    assert (event.n, event.report) == (1, ids.text(report))
    assert got(bench, report) == []
    bench.again()
    assert len(got(bench, alone)) == len(got(bench, m)) == 1


def test_a_restart_adds_nothing(bench: Bench) -> None:
    m = sent(bench, BOB)
    arrive(bench, bounce(m, BOB))
    for _ in range(3):
        bench.again()
        bench.worker.turn()
    assert len(got(bench, m)) == 1


def test_what_a_crash_left_out_is_made_up_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    m = sent(bench, BOB)
    with monkeypatch.context() as patch:
        patch.setattr(correlate.Correlator, "events", lambda self: [])
        arrive(bench, bounce(m, BOB))
    assert got(bench, m) == []
    bench.again()
    assert len(got(bench, m)) == 1


def test_a_flood_of_reports_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlate, "MAX_REPORTS", 3)
    m = sent(bench, BOB)
    for _ in range(5):
        arrive(bench, bounce(m, BOB))
    assert len(got(bench, m)) == 3


ODD = (
    "a@b..c",
    "a@-",
    "a@" + "x" * 300,
    '"a b"@c',
    "a@b@c",
    "a@[1.2.3.4]",
    r"a@\x{d800}",
    "a@\u0130.c",
)


def test_no_address_in_a_report_troubles_the_log(bench: Bench) -> None:
    m = sent(bench, BOB, "carl@two.test")
    for address in ODD:
        group = f"Final-Recipient: utf-8; {address}\nStatus: 5.1.1\nRemote-MTA: dns; {'h' * 900}\n"
        arrive(
            bench,
            bounce(m, BOB).replace(b"Final-Recipient: rfc822; %b\n" % BOB.encode(), group.encode()),
        )
    assert [one.addr for one in got(bench, m)] == list(ODD)
    assert bench.kinds()["audit.violation"] == 0


@pytest.mark.parametrize("place", ["read", "_events"])
def test_a_report_that_breaks_the_reader_does_not_stop_the_log(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    def broken(*_: object) -> None:
        raise RecursionError("deep")

    m = sent(bench, BOB)
    with monkeypatch.context() as patch:
        patch.setattr(correlate, place, broken)
        report = arrive(bench, bounce(m, BOB))
    assert ids.text(report) in caplog.text
    assert "deep" in caplog.text
    assert [one.st != 0 for one in bench.recipients(report)] == [True]
    assert bench.worker.standing.problem == ""
