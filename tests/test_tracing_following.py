"""``mtad tail`` in the manner of other servers' logs, and across processes without a loss."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad import where
from mtad.journal.frame import Meta, raw
from mtad.journal.writer import Journal
from tests.test_tracing_cli import SECONDS, Place, answered, follow, until
from tests.tracing_events import AT, Mail, mint
from tracing import events, ids, sending, underway
from tracing.eximlog import EximLog
from tracing.postfixlog import PostfixLog
from tracing.render import safe

REMOTE = "maria@far.example"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.recorder.close()


def story() -> tuple[str, list[events.Event]]:
    """A message by TLS for a box here and two elsewhere, one of which fails after a deferral."""
    mail = Mail(mint(), to=("alice@example.org", REMOTE, "gone@far.example"))
    tls = events.TlsOk(at=AT, trace=mail.cn, version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384")
    opened, *rest = mail.begin()
    told = [opened, tls, *rest, *mail.accept(), *mail.deliver()[:1]]
    there: dict[str, Any] = {"trace": mail.m, "host": "mx.far.example", "ip": "192.0.2.25"}
    told += [
        sending.OutDelivered(
            at=AT + 2_000_000,
            n=2,
            addr=REMOTE,
            code=250,
            enh="2.0.0",
            reply="250 2.0.0 Ok: queued as 4XkT\x1b[2J",
            attempt=1,
            tls="TLSv1.3 TLS_AES_128_GCM_SHA256",
            wait=1500.0,
            connect=200.0,
            ms=300.0,
            **there,
        ),
        sending.OutDeferred(
            at=AT + 3_000_000,
            n=3,
            addr="gone@far.example",
            code=451,
            enh="4.3.0",
            reply="451 4.3.0 later",
            attempt=1,
            stage="rcpt",
            next_try=AT + 9_000_000,
            **there,
        ),
        sending.OutFailed(
            at=AT + 9_000_000,
            n=3,
            addr="gone@far.example",
            code=550,
            enh="5.1.1",
            reply="550 5.1.1 no such user",
            attempt=2,
            stage="rcpt",
            **there,
        ),
        sending.DsnMade(
            at=AT + 9_000_000,
            trace=mail.m,
            n=3,
            addr="gone@far.example",
            what="failed",
            report="0ampq94g00001",
        ),
    ]
    return ids.text(mail.m), told + mail.close()


def test_lines_as_of_exim() -> None:
    shown, told = story()
    log = EximLog(UTC)
    lines = [line for event in told for line in log.lines(event)]
    assert lines == [
        f"2026-11-18 11:06:40 {shown} <= sender@example.net H=mx.example.net [192.0.2.7] P=esmtps "
        'X=TLSv1.3:TLS_AES_256_GCM_SHA384 S=2000 id=1@example.net T="Quarterly figures" '
        f"for alice@example.org {REMOTE} gone@far.example",
        f"2026-11-18 11:06:40 {shown} => alice@example.org F=<sender@example.net> R=box T=maildir "
        "M=INBOX S=2000",
        f"2026-11-18 11:06:42 {shown} => {REMOTE} F=<sender@example.net> R=dnslookup "
        "T=remote_smtp H=mx.far.example [192.0.2.25] X=TLSv1.3:TLS_AES_128_GCM_SHA256 "
        'C="250 2.0.0 Ok: queued as 4XkT␛[2J" QT=2.000s DT=0.500s',
        f"2026-11-18 11:06:43 {shown} == gone@far.example R=dnslookup T=remote_smtp "
        "H=mx.far.example [192.0.2.25]: rcpt: 451 4.3.0 later",
        f"2026-11-18 11:06:49 {shown} ** gone@far.example F=<sender@example.net> R=dnslookup "
        "T=remote_smtp H=mx.far.example [192.0.2.25]: rcpt: 550 5.1.1 no such user",
        f"2026-11-18 11:06:49 {shown} Completed",
    ]


def test_lines_as_of_postfix() -> None:
    shown, told = story()
    log = PostfixLog("mx.example.org", UTC)
    lines = [line for event in told for line in log.lines(event)]
    clock = "Nov 18 11:06:40 mx.example.org postfix"
    assert lines == [
        f"{clock}/smtpd[1]: connect from unknown[192.0.2.7]",
        f"{clock}/smtpd[1]: {shown}: client=mx.example.net[192.0.2.7]",
        f"{clock}/cleanup[1]: {shown}: message-id=<1@example.net>",
        f"{clock}/qmgr[1]: {shown}: from=<sender@example.net>, size=2000, nrcpt=3 (queue active)",
        f"{clock}/local[1]: {shown}: to=<alice@example.org>, relay=local, delay=0, "
        "delays=0/0/0/0, dsn=2.0.0, status=sent (delivered to mailbox INBOX)",
        f"Nov 18 11:06:42 mx.example.org postfix/smtp[1]: {shown}: to=<{REMOTE}>, "
        "relay=mx.far.example[192.0.2.25], delay=2, delays=0/1.5/0.2/0.3, dsn=2.0.0, "
        "status=sent (250 2.0.0 Ok: queued as 4XkT␛[2J)",
        f"Nov 18 11:06:43 mx.example.org postfix/smtp[1]: {shown}: to=<gone@far.example>, "
        "relay=mx.far.example[192.0.2.25], delay=3, delays=0/3/0/0, dsn=4.3.0, status=deferred "
        "(host mx.far.example[192.0.2.25] said: 451 4.3.0 later (in reply to rcpt))",
        f"Nov 18 11:06:49 mx.example.org postfix/smtp[1]: {shown}: to=<gone@far.example>, "
        "relay=mx.far.example[192.0.2.25], delay=9, delays=0/9/0/0, dsn=5.1.1, status=bounced "
        "(host mx.far.example[192.0.2.25] said: 550 5.1.1 no such user (in reply to rcpt))",
        f"Nov 18 11:06:49 mx.example.org postfix/qmgr[1]: {shown}: removed",
        f"Nov 18 11:06:49 mx.example.org postfix/bounce[1]: {shown}: sender non-delivery "
        "notification: 0ampq94g00001",
        f"{clock}/smtpd[1]: disconnect from unknown[] commands=5",
    ]


REFUSALS = [
    (
        "rcpt",
        True,
        "{id} H=mx.example.net [192.0.2.7] F=<sender@example.net> rejected RCPT "
        "<x@example.org>: 550 5.1.1 no",
        "{id}: reject: RCPT from mx.example.net[192.0.2.7]: 550 5.1.1 no; "
        "from=<sender@example.net> to=<x@example.org> proto=ESMTP helo=<mx.example.net>",
    ),
    (
        "helo",
        False,
        "H=192.0.2.9 [192.0.2.9] rejected EHLO: 550 5.1.1 no",
        "NOQUEUE: reject: HELO from unknown[192.0.2.9]: 550 5.1.1 no; from=<> proto=ESMTP",
    ),
]


@pytest.mark.parametrize(("stage", "in_message", "exim", "postfix"), REFUSALS)
def test_refusals(stage: str, in_message: bool, exim: str, postfix: str) -> None:
    mail = Mail(mint())
    refused = events.SmtpReject(
        at=AT,
        trace=mail.m if in_message else mail.cn,
        addr="x@example.org" if in_message else "",
        ip="192.0.2.7" if in_message else "192.0.2.9",
        code=550,
        enh="5.1.1",
        reply="550 5.1.1 no",
        stage=stage,
    )
    told = [*mail.begin(), refused] if in_message else [refused]
    shown = ids.text(mail.m)
    for log, says in ((EximLog(UTC), exim), (PostfixLog("mx", UTC), postfix)):
        *_, last = [line for event in told for line in log.lines(event)]
        assert last.endswith(" " + says.format(id=shown))


def test_what_is_not_wanted_is_learnt_from() -> None:
    """Of a message that a filter takes from its acceptance on, the client is known all the same."""
    _, told = story()
    log = EximLog(UTC)
    lines = [
        line
        for event in told
        for line in log.lines(event, wanted=isinstance(event, events.SmtpAccept))
    ]
    (line,) = lines
    assert "H=mx.example.net [192.0.2.7] P=esmtps" in line


def test_what_is_remembered_has_a_limit() -> None:
    known = underway.Known()
    mails = [Mail(mint(AT + n * 1000)) for n in range(underway.MAX_KNOWN + 5)]
    for mail in mails:
        for event in mail.begin() + mail.accept():
            known.take(event)
    assert len(known._messages) == underway.MAX_KNOWN
    assert known.take(mails[0].deliver()[0]) is None
    assert known.take(mails[-1].deliver()[0]) is not None


KINDS = sorted(events.REGISTRY)
TEXT = st.text(max_size=12)


@given(st.sampled_from(KINDS), TEXT, TEXT, st.integers(0, 5))
def test_every_event_is_lines_that_are_safe(kind: str, addr: str, reply: str, n: int) -> None:
    """Whatever strangers put into an event, each line is one line and fit for a terminal."""
    cls = events.REGISTRY[kind]
    fields: dict[str, Any] = {
        "at": AT,
        "trace": 1 << 40,
        "n": n,
        "addr": addr,
        "ip": addr,
        "reply": reply,
    }
    for field in msgspec.structs.fields(cls):
        if field.required and field.name not in fields:
            fields[field.name] = {str: reply, int: n, float: 0.5}.get(field.type, ())
    event = cls(**fields)
    for log in (EximLog(UTC), PostfixLog(reply, UTC)):
        for line in log.lines(event):
            assert line == safe(line)


@pytest.mark.parametrize(
    ("style", "says"), [("exim", "<= sender@"), ("postfix", "qmgr[1]: "), ("short", "smtp.accept")]
)
def test_the_command_follows_in_a_style(
    place: Place, tmp_path: Path, style: str, says: str
) -> None:
    words = ["tail", "subj:wanted", "--format", style, "--config", str(place.settings)]
    said = tmp_path / "said"
    with said.open("w") as out:
        process = subprocess.Popen([sys.executable, "-m", "mtad", *words], stdout=out)

    def seen() -> bool:
        place.record(subject="wanted one")
        place.record(subject="another")
        return says in said.read_text()

    try:
        until(seen)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(SECONDS)
    assert "another" not in said.read_text()


def test_three_processes_lose_nothing(place: Place) -> None:
    """A running role tells each of them every event there is, in order."""
    places = where.places(place.settings)
    with answered(place), contextlib.ExitStack() as stack:
        journal = Journal.open(places.journal / "mta-0", node=1, doorbell=places.doorbell)

        def write(count: int) -> list[str]:
            mails = [Mail(journal.mint, at=time.time_ns() // 1000) for _ in range(count)]
            for mail in mails:
                journal.commit_now(Meta(events=tuple(raw(one) for one in mail.whole())))
            return [ids.text(mail.m) for mail in mails]

        followers = []
        for _ in range(3):
            process, lines = follow(place)
            stack.callback(process.communicate, timeout=SECONDS)
            stack.callback(process.send_signal, signal.SIGINT)
            followers.append(lines)
        until(lambda: write(1) and all(followers))
        last = write(300)[-1]
        until(lambda: all(any(one["trace"] == last for one in lines) for lines in followers))
        until(lambda: all(lines[-1]["kind"] == "conn.close" for lines in followers))
        ends = {lines[-1]["seq"] for lines in followers}
        assert len(ends) == 1
        for lines in followers:
            first = lines[0]["seq"]
            assert [one["seq"] for one in lines] == list(range(first, first + len(lines)))
            assert len(lines) > 300 * 7
        stack.close()
        asyncio.run(journal.close())
