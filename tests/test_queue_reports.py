"""What senders hear of the queue: once, in the same frame as the fact, and nobody in vain."""

from collections.abc import AsyncIterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from mtad.delivery.route import Accepted
from mtad.errors import Unreachable
from mtad.journal.frame import MAX_BODY
from mtad.journal.reader import Reader
from mtad.queue.schedule import HOUR, MINUTE
from tests.queue_yard import ALICE, Yard, later, never, taken, yard
from tracing import ids
from tracing.states import State

THERE = "bob@there.test"
ELSEWHERE = "carol@sender.test"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Yard]:
    async with yard(tmp_path) as made:
        yield made


def fields(report: bytes) -> list[dict[str, str]]:
    """The groups of fields for programs."""
    parsed: Any = message_from_bytes(report)
    assert parsed.get_content_type() == "multipart/report", report
    return [dict(group.items()) for group in parsed.get_payload(1).get_payload()]


def people(report: bytes) -> str:
    """The part in words."""
    parsed: Any = message_from_bytes(report)
    words: bytes = parsed.get_payload(0).get_payload(decode=True)
    return words.decode()


async def fails(site: Yard, *addresses: str, notify: str = "", **more: Any) -> int:
    """A message that no recipient takes, tried once."""
    site.courier.answers = {"there.test": never}
    accepted = [
        Accepted(n, address, remotes=(address,), notify=notify)
        for n, address in enumerate(addresses or (THERE,), 1)
    ]
    m = await site.send(accepted=accepted, **more)
    await site.settle()
    return m


async def test_a_local_sender_gets_it_in_the_box(site: Yard) -> None:
    m = await fails(site, envid="e1")
    (report,) = site.mail_of()
    (of_message, of_recipient) = fields(report)
    assert of_message["Original-Envelope-Id"] == "e1"
    assert of_recipient["Final-Recipient"] == f"rfc822; {THERE}"
    assert of_recipient["Action"] == "failed"
    assert of_recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 who?"
    assert b"Subject: x\n\nbody\n" in report
    made = site.events("mail.made")[0]
    (told,) = site.events("dsn.made")
    assert (made.rel, made.parent, made.addr) == ("dsn", m, "")
    assert told.report == ids.text(made.trace)
    assert (told.trace, told.n, told.what) == (m, 1, "failed")
    assert message_from_bytes(report)["Message-ID"] == made.message_id


async def test_a_report_is_in_the_language_of_who_gets_it(site: Yard) -> None:
    await fails(site)
    site.book.languages[ALICE] = "ru"
    await fails(site)
    english, russian = sorted(site.mail_of(), key=lambda each: "Такого ящика" in people(each))
    assert "Такого ящика" in people(russian)
    assert "no such mailbox" in people(english)
    told = [
        [group.items() - {("Arrival-Date", group.get("Arrival-Date", ""))} for group in fields(one)]
        for one in (english, russian)
    ]
    for groups in told:
        (log_id,) = (item for group in groups for item in group if item[0] == "Final-Log-ID")
        groups[1] -= {log_id}
    assert told[0] == told[1]


async def test_reports_go_by_the_directory_as_it_is(
    site: Yard, caplog: pytest.LogCaptureFixture
) -> None:
    await fails(site)
    assert site.book.refreshed == 1
    site.book.trouble = Unreachable("no database")
    await fails(site)
    assert len(site.mail_of()) == 2
    assert "no database" in caplog.text


async def test_the_outcome_and_the_report_are_one_frame(site: Yard) -> None:
    await fails(site)
    frames = [
        [event.kind for event in frame.events]
        for frame in Reader(site.journal.directory).frames(0)
        if any(event.kind == "out.failed" for event in frame.events)
    ]
    assert [[kind for kind in kinds if kind != "out.try"] for kinds in frames] == [
        ["out.failed", "dsn.made", "mail.made"]
    ]


async def test_a_sender_elsewhere_gets_it_through_the_queue(site: Yard) -> None:
    await fails(site, sender="Carol@Sender.test")
    carried = site.courier.carried[-1]
    assert (carried.sender, carried.addresses) == ("", ("Carol@Sender.test",))
    assert not carried.content.startswith(b"Return-Path")
    assert fields(carried.content)[1]["Action"] == "failed"
    assert site.states(carried.m) == [State.RELAYED]


async def test_an_alias_of_the_sender_leads_the_report_to_its_boxes(site: Yard) -> None:
    await fails(site, sender="all@local.test")
    assert len(site.mail_of(ALICE)) == len(site.mail_of("bob@local.test")) == 1


async def test_recipients_that_fail_together_are_one_report(site: Yard) -> None:
    site.courier.answers = {"there.test": never, "ok@there.test": taken}
    m = await site.send("a@there.test", "ok@there.test", "b@there.test")
    await site.settle()
    (report,) = site.mail_of()
    assert [group["Final-Recipient"] for group in fields(report)[1:]] == [
        "rfc822; a@there.test",
        "rfc822; b@there.test",
    ]
    assert site.states(m) == [State.BOUNCED, State.RELAYED, State.BOUNCED]


async def test_a_long_message_is_reported_with_its_header(site: Yard) -> None:
    """Longer than a frame holds; the report is, too."""
    body = b"Subject: long\n\n" + b"x" * 70 * 10 + b"\n" + (b"y" * 70 + b"\n") * 5000
    assert len(body) > MAX_BODY
    m = await fails(site, body=body)
    (report,) = site.mail_of()
    assert body in report
    assert site.states(m) == [State.BOUNCED]


@pytest.mark.parametrize(
    ("notify", "reports"),
    [("", 1), ("FAILURE", 1), ("success,failure", 1), ("NEVER", 0), ("SUCCESS,DELAY", 0)],
)
async def test_a_failure_is_told_to_who_wants_to_know(
    site: Yard, notify: str, reports: int
) -> None:
    m = await fails(site, notify=notify)
    assert len(site.mail_of()) == reports
    assert site.states(m) == [State.BOUNCED]
    suppressed = site.events("dsn.suppressed")
    assert [event.why for event in suppressed] == ([] if reports else [f"NOTIFY={notify}"])


@pytest.mark.parametrize(
    ("notify", "lmtp", "takes_over", "action"),
    [
        ("SUCCESS", False, False, "relayed"),
        ("success,delay", True, False, "delivered"),
        ("SUCCESS", False, True, ""),
        ("", False, False, ""),
        ("FAILURE", False, False, ""),
    ],
)
async def test_a_success_is_told_when_it_was_asked_for(
    site: Yard, notify: str, lmtp: bool, takes_over: bool, action: str
) -> None:
    site.courier.answers = {"there.test": lambda one: taken(one, lmtp=lmtp, dsn=takes_over)}
    await site.send(accepted=[Accepted(1, THERE, remotes=(THERE,), notify=notify)])
    await site.settle()
    assert [fields(report)[1]["Action"] for report in site.mail_of()] == [action] * bool(action)


async def test_the_null_sender_is_never_told(site: Yard) -> None:
    m = await fails(site, sender="", notify="FAILURE")
    assert site.states(m) == [State.BOUNCED]
    (event,) = site.events("dsn.suppressed")
    assert (event.why, event.what) == ("null sender", "failed")
    assert site.events("mail.made") == []


async def test_a_report_that_fails_goes_to_the_postmaster_once(site: Yard) -> None:
    site.courier.answers = {"sender.test": never}
    m = await fails_elsewhere(site)
    first, second = site.events("mail.made")
    assert (first.rel, first.parent) == ("dsn", m)
    assert (second.rel, second.parent) == ("double-bounce", first.trace)
    (report,) = site.mail_of()  # alice is the postmaster
    assert message_from_bytes(report)["To"] == "<postmaster@local.test>"
    assert fields(report)[1]["Final-Recipient"] == f"rfc822; {ELSEWHERE}"
    assert site.states(first.trace) == [State.BOUNCED]
    assert site.runner.entries.count == 0


async def fails_elsewhere(site: Yard) -> int:
    site.courier.answers |= {"there.test": never}
    m = await site.send(THERE, sender=ELSEWHERE)
    await site.settle()
    return m


async def test_a_double_bounce_that_fails_is_dropped(site: Yard) -> None:
    """The postmaster's mail may go elsewhere."""

    site.book.domains.clear()
    site.courier.answers = {"sender.test": never, "local.test": never}
    await fails_elsewhere(site)
    assert [made.rel for made in site.events("mail.made")] == ["dsn", "double-bounce"]
    assert [event.why for event in site.events("dsn.suppressed")] == ["a double bounce"]
    assert site.runner.entries.count == 0


async def test_where_the_sender_has_no_box_the_postmaster_is_told(site: Yard) -> None:
    await fails(site, sender="gone@local.test")
    (report,) = site.mail_of()
    assert message_from_bytes(report)["To"] == "<postmaster@local.test>"
    assert [made.rel for made in site.events("mail.made")] == ["double-bounce"]


@pytest.mark.parametrize("sender", ["gone@local.test", "no-domain", "x@b d", '"a b"@local.test'])
async def test_where_nobody_can_be_told_the_log_says_so(site: Yard, sender: str) -> None:
    del site.book.entries["postmaster@local.test"]
    m = await fails(site, sender=sender)
    assert site.states(m) == [State.BOUNCED]
    (event,) = site.events("dsn.suppressed")
    assert event.why == "the postmaster has no box"


# ------------------------------------------------------------------- delays


@pytest.mark.parametrize(
    ("notify", "reports"), [("", 1), ("DELAY", 1), ("FAILURE", 0), ("NEVER", 0)]
)
async def test_a_delay_is_told_once(site: Yard, notify: str, reports: int) -> None:
    site.courier.answers = {"there.test": later}
    began = site.now()
    m = await site.send(accepted=[Accepted(1, THERE, remotes=(THERE,), notify=notify)])
    await site.pass_until(began + 4 * HOUR - MINUTE)
    assert site.mail_of() == []
    await site.pass_until(began + 100 * HOUR)
    assert [fields(report)[1]["Action"] for report in site.mail_of()] == ["delayed"] * reports
    warned = [event.at - began for event in site.events("dsn.made")]
    assert warned == [4 * HOUR] * reports
    assert site.states(m) == [State.DEFERRED]


async def test_a_delay_is_told_once_over_a_restart(site: Yard) -> None:
    site.courier.answers = {"there.test": later}
    began = site.now()
    m = await site.send(THERE)
    await site.pass_until(began + 5 * HOUR)
    assert len(site.mail_of()) == 1
    assert site.entry(m).warned
    reload(site)
    assert site.entry(m).warned
    await site.pass_until(began + 20 * HOUR)
    assert len(site.mail_of()) == 1


def reload(site: Yard) -> None:
    """A process that knows only what the log says."""
    from tracing import waiting  # noqa: PLC0415 - used by this alone

    for entry in site.runner.entries:
        site.worker.ask(entry.letter.m)  # its file, which the log role would be asked for
    site.turn()
    runner = site.new_runner()
    for part in waiting.parts(site.places.log):
        runner.entries.load(part)


async def test_nobody_waits_for_a_null_sender(site: Yard) -> None:
    site.courier.answers = {"there.test": later}
    await site.send(THERE, sender="")
    await site.pass_until(site.now() + 130 * HOUR)
    assert site.events("dsn.made") == []
    assert [event.what for event in site.events("dsn.suppressed")] == ["failed"]


async def test_what_is_given_up_is_reported_with_the_last_answer(site: Yard) -> None:
    site.courier.answers = {"there.test": later}
    began = site.now()
    m = await site.send(THERE)
    await site.pass_until(began + 120 * HOUR - 1)
    assert site.states(m) == [State.DEFERRED]
    await site.pass_until(began + 120 * HOUR)
    assert site.states(m) == [State.EXPIRED]
    (end,) = site.events("queue.expire")
    assert (end.at, end.hours, end.reply) == (began + 120 * HOUR, 120, "450 4.2.0 later")
    assert end.tries == len(site.courier.carried) == site.events("out.deferred")[-1].attempt
    delayed, failed = sorted(site.mail_of(), key=len)
    assert fields(failed)[1]["Status"] == "4.2.0"
    assert fields(failed)[1]["Action"] == "failed"
    assert fields(delayed)[1]["Will-Retry-Until"]
    assert site.runner.entries.count == 0
