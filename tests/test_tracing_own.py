"""A person's own mail in the log: its fate is told, and nothing of others can be found out."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtad.errors import UsageError
from mtad.where import Places
from tests.test_tracing_cli import Place, answered, run, until
from tests.tracing_events import AT, Mail, mint
from tracing import answers, events, ids, own, sending, words
from tracing.log import Applied, Recorder
from tracing.queries import Log
from tracing.verdict import judge
from tui.disk import Disk

ANNA, BORIS, SENDER = "anna@example.org", "boris@example.org", "sender@example.net"
SECRET = "secret"
"""What must be seen by nobody but its owner."""


@pytest.fixture
def mails(tmp_path: Path) -> list[Mail]:
    """One message to Anna and, blindly, to Boris, who files it; and one of Boris's own."""
    recorder = Recorder(tmp_path)
    new = mint()
    both = Mail(new, to=(ANNA, BORIS, "team@example.org"), subject="Plan")
    told = both.begin()
    accept = both.accept()[0]
    assert isinstance(accept, events.SmtpAccept)
    *two, _ = accept.recipients
    forwarded = events.Recipient(3, f"{SECRET}@far.example", "team@example.org")
    fields = {name: getattr(accept, name) for name in accept.__struct_fields__}
    told.append(events.SmtpAccept(**fields | {"recipients": (*two, forwarded)}))
    told += both.deliver()[:2]
    act: dict[str, Any] = {"at": AT, "trace": both.m, "addr": BORIS, "actor": f"user:{BORIS}"}
    told += [
        events.RouteForward(at=AT, trace=both.m, n=3, addr=forwarded.addr, original="team@x"),
        sending.QueueAdd(at=AT, trace=both.m, n=3, addr=forwarded.addr, next_try=AT),
        sending.OutDelivered(
            at=AT,
            trace=both.m,
            n=3,
            addr=forwarded.addr,
            host=f"mx.{SECRET}.example",
            code=250,
            reply=f"250 {SECRET}",
            attempt=1,
        ),
        events.BoxMove(**act, mailbox="INBOX", target=SECRET, items=(both.item(1),)),
        *both.close(),
    ]
    other = Mail(new, sender="x@far.example", to=(BORIS,), subject="Other plan")
    recorder.apply([Applied("mta-0", 1, 0, told), Applied("mta-0", 2, 0, other.whole())])
    recorder.close()
    return [both, other]


Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(tmp_path: Path, mails: list[Mail]) -> Ask:
    def asked(address: str, text: str = "") -> dict[str, Any]:
        found = own.answer(tmp_path, address, text, 10)
        if address != BORIS:
            assert SECRET not in json.dumps(found | {"query": ""})
        return found

    return asked


def listed(found: dict[str, Any]) -> list[str]:
    return [one["id"] for one in found["messages"]]


def test_everyone_sees_their_own(ask: Ask, mails: list[Mail]) -> None:
    both, other = (ids.text(mail.m) for mail in mails)
    assert listed(ask(ANNA)) == [both]
    assert listed(ask(BORIS)) == [other, both]
    assert listed(ask(SENDER)) == [both]
    assert listed(ask("nobody@example.org")) == []
    assert listed(ask("%")) == []
    (seen,) = ask(ANNA)["messages"]
    assert (seen["to"], seen["recipients"], seen["ip"], seen["state"]) == (
        [ANNA], 1, "", "delivered",
    )  # fmt: skip
    (seen,) = ask(SENDER)["messages"]
    assert seen["to"] == [ANNA, BORIS, "team@example.org"]


def test_a_recipient_is_told_of_no_other(ask: Ask, mails: list[Mail]) -> None:
    found = ask(ANNA, ids.text(mails[0].m))
    assert BORIS not in json.dumps(found)
    assert "team@" not in json.dumps(found)
    assert "192.0.2.7" not in json.dumps(found)
    (verdict,) = judge(found, words.book("en"))
    assert (verdict.verdict, verdict.addr) == ("STORED", ANNA)
    assert "it lies in INBOX" in verdict.sentence


def test_a_sender_is_told_each_fate_and_no_more(ask: Ask, mails: list[Mail]) -> None:
    found = ask(SENDER, ids.text(mails[0].m))
    judged = judge(found, words.book("ru"))
    assert [(one.addr, one.verdict) for one in judged] == [
        (ANNA, "DELIVERED"),
        (BORIS, "DELIVERED"),
        ("team@example.org", "REMOTE_ACCEPTED"),
    ]
    assert not any("INBOX" in line for one in judged for line in (one.sentence, *one.evidence))


def test_a_box_s_owner_is_told_what_was_done_there(ask: Ask, mails: list[Mail]) -> None:
    (verdict,) = judge(ask(BORIS, ids.text(mails[0].m)), words.book("en"))
    assert verdict.verdict == "MOVED"
    assert SECRET in verdict.sentence


def test_what_is_not_one_s_own_is_not_there(ask: Ask, mails: list[Mail]) -> None:
    assert ask(ANNA, ids.text(mails[1].m)) == ask(ANNA, "id:0000000000000") | {
        "query": ids.text(mails[1].m)
    }


@pytest.mark.parametrize("query", [f"to:{BORIS}", "to:@far.example", BORIS, "state:relayed"])
def test_a_recipient_finds_nothing_out_by_asking(ask: Ask, query: str) -> None:
    assert listed(ask(ANNA, query)) == []


@pytest.mark.parametrize(
    "query",
    [f"to:{BORIS}", "to:team", f"from:{SENDER}", "subj:plan", "plan", f"to:{ANNA}", "size:>5"],
)
def test_a_sender_may_ask_for_what_was_sent(ask: Ask, mails: list[Mail], query: str) -> None:
    assert listed(ask(SENDER, query)) == [ids.text(mails[0].m)]


@pytest.mark.parametrize("query", [f"to:{SECRET}@far.example", "to:@far.example", f"!to:{ANNA}"])
def test_a_sender_does_not_find_out_where_mail_is_passed_on_to(ask: Ask, query: str) -> None:
    """By an address it was not sent to a message is not found."""
    assert listed(ask(SENDER, query)) == []


@pytest.mark.parametrize("query", [f"box:{BORIS}", "ip:192.0.2.7", "mx:secret.example", "(a | b)"])
def test_what_is_not_to_be_asked(ask: Ask, query: str) -> None:
    with pytest.raises(UsageError, match="is not asked of one's own mail"):
        ask(ANNA, query)


async def opened(place: Place, m: int) -> None:
    """Open a message's timeline as the dashboard does."""
    disk = Disk(Places(place.log.parent), place.settings)
    await disk.story(m)
    await disk.close()


def test_looking_is_an_event_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Place(tmp_path)
    shown = ids.text(place.mails[0].m)
    try:
        with answered(place):
            for _ in range(2):
                code, out, _ = run(place, capsys, "mine", "alice@example.org", "--json")
                assert code == 0
                assert len(json.loads(out)["messages"]) == 3
                code, out, _ = run(place, capsys, "mine", "alice@example.org", shown)
                assert "it lies in INBOX" in out
                run(place, capsys, "trace", shown)
                code, _, _ = run(place, capsys, "mine", "bob@example.org", shown)
                assert code == 4
                other = ids.text(place.mails[1].m)
                assert run(place, capsys, "trace", "subj:second", "--tree")[0] == 0
                asyncio.run(opened(place, place.mails[2].m))

            def looks() -> list[events.AdminViewed]:
                log = Log(place.log)
                try:
                    found = [one.event for one in log.events_after({}, 1000)]
                finally:
                    log.close()
                return [one for one in found if isinstance(one, events.AdminViewed)]

            until(lambda: len(looks()) >= 6)
            told = looks()
    finally:
        place.recorder.close()
    assert [(one.addr, one.query) for one in told] == [
        ("alice@example.org", ""),
        ("alice@example.org", shown),
        ("", shown),
        ("bob@example.org", shown),
        ("", other),
        ("", ids.text(place.mails[2].m)),
    ]
    assert str(told[1]) == f"{told[1].actor} looked at mail of alice@example.org: {shown}"
    assert str(told[2]) == f"{told[2].actor} looked at mail: {shown}"
    assert all(one.actor.startswith("admin:") for one in told)
    assert [one.trace == place.mails[0].m for one in told] == [
        False,
        True,
        True,
        False,
        False,
        False,
    ]
    with answers.readable(place.log):
        kinds = [one["kind"] for one in answers.answer(place.log, shown)["events"]]
    assert kinds.count("admin.viewed") == 2
