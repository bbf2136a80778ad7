"""Verdicts that need more than the message: who read it, whether it came again, who was out."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtad import cli
from tests.tracing_events import Mail, mint
from tracing import access, events, ids
from tracing.log import Applied, Recorder

NOW = time.time_ns() // 1000
HOUR = 3_600_000_000
ALICE = "user:alice@example.org"


class Told:
    """A log that is told of events, and asked why."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.settings = directory / "mtad.toml"
        self.settings.write_text('hostname = "mx.example.org"\n')
        self.recorder = Recorder(directory / "data" / "log")
        self.mint = mint(NOW - 2 * HOUR)
        self.capsys = capsys
        self.frames = 0

    def tell(self, *happened: events.Event) -> None:
        """Record a frame."""
        self.frames += 1
        self.recorder.apply([Applied("mta-0", self.frames, happened[-1].trace, list(happened))])

    def why(self, *words: str) -> dict[str, Any]:
        """The answer of ``mtad why`` in JSON."""
        with pytest.raises(SystemExit):
            cli.main(["why", "--json", *words, "--config", str(self.settings)])
        answer: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return answer

    def verdict(self, mail: Mail, *words: str) -> dict[str, Any]:
        """The one verdict on a message."""
        [message] = self.why(ids.text(mail.m), *words)["messages"]
        [found] = message["verdicts"]
        return dict(found)


@pytest.fixture
def told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Told]:
    made = Told(tmp_path, capsys)
    yield made
    made.recorder.close()


def of_box(kind: type[events.BoxEvent], mail: Mail, at: int, **fields: Any) -> events.BoxEvent:
    """Something that a client did to the copy of a message."""
    common: dict[str, Any] = {
        "at": at,
        "trace": mail.m + 1,
        "also": (mail.m,),
        "addr": "alice@example.org",
        "actor": ALICE,
        "mailbox": "INBOX",
        "items": (mail.item(),),
        "ip": "192.0.2.44",
        "client": "Thunderbird",
    }
    return kind(**(common | fields))


READINGS = {
    "IMAP": lambda mail: of_box(events.BoxRead, mail, mail.at + 5),
    "POP3": lambda mail: of_box(events.Pop3Retr, mail, mail.at + 5),
    "mark": lambda mail: of_box(events.BoxFlags, mail, mail.at + 5, added=("\\Seen",)),
}


@pytest.mark.parametrize("how", READINGS)
@pytest.mark.parametrize(("lang", "word"), [("en", "read it on"), ("ru", "прочитал его")])
def test_who_read_it_is_told(told: Told, how: str, lang: str, word: str) -> None:
    mail = Mail(told.mint, at=NOW - HOUR)
    told.tell(*mail.whole())
    assert told.verdict(mail)["verdict"] == "STORED"
    told.tell(READINGS[how](mail))
    found = told.verdict(mail, "--lang", lang)
    assert found["verdict"] == "READ"
    for said in ("alice@example.org", "Thunderbird", "192.0.2.44", word):
        assert said in found["sentence"]


def test_flags_and_programs_of_ours_are_no_readers(told: Told) -> None:
    mail = Mail(told.mint, at=NOW - HOUR)
    told.tell(*mail.whole())
    told.tell(
        of_box(events.BoxFlags, mail, mail.at + 5, added=("\\Flagged",)),
        of_box(events.BoxRead, mail, mail.at + 6, actor="system"),
    )
    assert told.verdict(mail)["verdict"] == "STORED"


def test_what_was_read_and_moved_is_told_as_both(told: Told) -> None:
    mail = Mail(told.mint, at=NOW - HOUR)
    told.tell(*mail.whole())
    told.tell(READINGS["IMAP"](mail), of_box(events.BoxMove, mail, mail.at + 9, target="Done"))
    found = told.verdict(mail)
    assert found["verdict"] == "MOVED"
    assert "read it on" in found["sentence"]


def test_a_copy_delivered_elsewhere_than_the_inbox(told: Told) -> None:
    mail = Mail(told.mint, at=NOW - HOUR)
    *before, delivered, after = mail.whole()
    told.tell(*before, _into(delivered, "Lists/mtad"), after)
    found = told.verdict(mail)
    assert found["verdict"] == "FILED_ELSEWHERE"
    assert "Lists/mtad" in found["sentence"]
    assert "Lists/mtad" in found["actions"][0]
    told.tell(of_box(events.BoxRead, mail, mail.at + 5, mailbox="Lists/mtad"))
    assert told.verdict(mail)["verdict"] == "READ"


def _into(delivered: events.Event, mailbox: str) -> events.Event:
    assert isinstance(delivered, events.StoreDelivered)
    fields = {name: getattr(delivered, name) for name in delivered.__struct_fields__}
    return events.StoreDelivered(**(fields | {"mailbox": mailbox}))


def greylisted(told: Told, at: int) -> Mail:
    """A message that greylisting put off."""
    mail = Mail(told.mint, at=at)
    told.tell(
        *mail.begin()[:3],
        events.SmtpTempfail(
            at=at,
            trace=mail.m,
            addr="alice@example.org",
            ip=mail.ip,
            code=450,
            enh="4.2.0",
            reply="450 4.2.0 <alice@example.org>: Greylisted",
            stage="rcpt",
            check="greylist",
        ),
        *mail.close(),
    )
    return mail


@pytest.mark.parametrize(
    ("lang", "never", "again"),
    [("en", "never came back", "was taken"), ("ru", "не вернулся", "было принято")],
)
def test_who_never_returned_and_who_did(told: Told, lang: str, never: str, again: str) -> None:
    first = greylisted(told, NOW - HOUR)
    found = told.verdict(first, "--lang", lang)
    assert (found["verdict"], found["cause"]) == ("GREYLISTED_NO_RETURN", "ours.greylisted")
    assert never in found["sentence"]
    assert found["actions"]
    greylisted(told, NOW - HOUR + 1_000_000)
    assert told.verdict(first)["verdict"] == "GREYLISTED_NO_RETURN", "put off twice is not taken"
    later = Mail(told.mint, at=NOW - HOUR + 600_000_000)
    told.tell(*later.whole())
    found = told.verdict(first, "--lang", lang)
    assert found["verdict"] == "TRY_LATER"
    assert again in found["sentence"]
    assert ids.text(later.m) in found["sentence"]


def test_another_senders_message_is_no_return(told: Told) -> None:
    first = greylisted(told, NOW - HOUR)
    told.tell(*Mail(told.mint, at=NOW - HOUR + 9_000_000, sender="other@example.net").whole())
    assert told.verdict(first)["verdict"] == "GREYLISTED_NO_RETURN"


def against_rule(trace: int, at: int) -> access.AuthRefused:
    """A right password from a network that is not allowed."""
    return access.AuthRefused(
        at=at,
        trace=trace,
        addr="alice@example.org",
        ip="198.51.100.7",
        login="alice@example.org",
        mechanism="PLAIN",
        service="submission",
        rule="192.0.2.0/24",
    )


def test_a_login_against_a_network_rule_is_why_it_was_refused(told: Told) -> None:
    mail = Mail(told.mint, at=NOW - HOUR, sender="alice@example.org", to=("x@example.net",))
    refused = events.SmtpReject(
        at=mail.at,
        trace=mail.m,
        addr="x@example.net",
        ip=mail.ip,
        code=530,
        enh="5.7.0",
        reply="530 5.7.0 log in first",
        stage="rcpt",
        check="auth_required",
    )
    told.tell(against_rule(mail.cn, mail.at), *mail.begin()[:3], refused, *mail.close())
    for lang in ("en", "ru"):
        found = told.verdict(mail, "--lang", lang)
        assert (found["verdict"], found["cause"]) == ("NETWORK_DENIED", "ours.auth_required")
        assert "192.0.2.0/24" in found["sentence"]
        assert "mtad box allow alice@example.org" in found["actions"][-1]


@pytest.mark.parametrize("asked", ["from:alice", "from:alice@example.org", "user:alice"])
def test_mail_that_was_never_seen_since_its_sender_was_kept_out(told: Told, asked: str) -> None:
    told.tell(*Mail(told.mint, at=NOW - HOUR).whole())
    told.tell(against_rule(told.mint.new(), NOW - HOUR))
    found = told.why(asked)
    assert not found["messages"]
    [denied] = found["denied"]
    assert (denied["rule"], denied["ip"]) == ("192.0.2.0/24", "198.51.100.7")
    assert told.why("from:bob")["denied"] == []
    assert told.why(asked, "until:2d")["denied"] == [], "it was later than was asked"
    with pytest.raises(SystemExit):
        cli.main(["why", asked, "--config", str(told.settings)])
    assert "the network rule 192.0.2.0/24 keeps it out" in told.capsys.readouterr().out


def test_what_was_read_is_found(told: Told) -> None:
    mail, other = (Mail(told.mint, at=NOW - HOUR, message_id=f"<{n}@example.net>") for n in "12")
    told.tell(*mail.whole())
    told.tell(*other.whole())
    told.tell(READINGS["POP3"](mail))
    assert [one["id"] for one in told.why("verdict:read")["messages"]] == [ids.text(mail.m)]
    grey = greylisted(told, NOW - HOUR + 5)
    found = told.why("verdict:greylisted_no_return")["messages"]
    assert [one["id"] for one in found] == [ids.text(grey.m)]
