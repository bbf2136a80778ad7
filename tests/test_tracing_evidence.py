"""Fields of the filter language that ask what events say: stage, rule, tls, snap, dur, verdict."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.test_tracing_fields import scanned, steps
from tests.tracing_events import AT, Mail, mint
from tracing import events, fields, search, sending
from tracing.log import Applied, Recorder
from tracing.queries import Log

NOW = AT + 10**9


def told() -> dict[str, tuple[Mail, list[events.Event]]]:
    """Messages by what is to be known of them."""
    new = mint()
    found: dict[str, tuple[Mail, list[events.Event]]] = {}

    def mail(name: str, **fields: Any) -> tuple[Mail, dict[str, Any]]:
        made = Mail(new, subject=name, **fields)
        found[name] = made, made.begin()
        return made, {"at": AT, "trace": made.m, "n": 1, "addr": made.to[0] if made.to else "x@y"}

    one, about = mail("refused", to=())
    found["refused"][1].append(
        events.SmtpReject(**about | {"n": 0}, code=550, stage="rcpt", check="unknown_box")
    )
    one, about = mail("held", to=("a@far.test",))
    add = sending.QueueAdd(**about, next_try=AT)
    hold = sending.QueueHold(**about, why="to:@far.test")
    found["held"][1].extend([*one.accept(), add, hold])
    one, about = mail("failed", to=("b@far.test",))
    add = sending.QueueAdd(**about, next_try=AT)
    failed = sending.OutFailed(**about, code=550, reply="550 no", attempt=1, stage="dot")
    found["failed"][1].extend([*one.accept(), add, failed])
    one, about = mail("safe", to=("c@far.test",))
    tls = events.TlsOk(at=AT, trace=one.cn, version="TLSv1.2", cipher="ECDHE_50%")
    add = sending.QueueAdd(**about, next_try=AT)
    taken = sending.OutDelivered(**about, code=250, attempt=1, tls="TLSv1.3 AES")
    found["safe"][1].extend([tls, *one.accept(), add, taken])
    one, about = mail("restored")
    restored = events.RestoreMessage(
        at=AT,
        trace=one.m,
        addr="alice@example.org",
        actor="admin:root",
        mailbox="INBOX",
        snapshot="s1",
        items=(events.Item(new.new(), one.m, 9, "b"),),
        was=(1,),
    )
    found["restored"][1].extend([*one.accept(), *one.deliver(), restored])
    one, about = mail("slow")
    accept = one.accept()[0]
    values = {name: getattr(accept, name) for name in accept.__struct_fields__}
    found["slow"][1].extend([events.SmtpAccept(**values | {"ms": 3500.0}), *one.deliver()])
    return found


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Log, dict[int, str]]]:
    folder: Path = tmp_path_factory.mktemp("evidence")
    recorder = Recorder(folder)
    known = told()
    for number, (_, happened) in enumerate(known.values(), 1):
        recorder.apply([Applied("mta-0", number, 0, happened)])
    recorder.close()
    log = Log(folder)
    yield log, {mail.m: name for name, (mail, _) in known.items()}
    log.close()


EVERYONE = {"refused", "held", "failed", "safe", "restored", "slow"}
QUESTIONS: dict[str, set[str]] = {
    "stage:rcpt": {"refused"},
    "stage:dot": {"failed"},
    "stage:helo": set(),
    "rule:unknown_box": {"refused"},
    "rule:to:@far.test": {"held"},
    "rule:nothing": set(),
    "tls:none": EVERYONE - {"safe"},
    "tls:any": {"safe"},
    "tls:TLSv1.2": {"safe"},
    "tls:tlsv1.3": {"safe"},
    "tls:50%": {"safe"},
    "tls:5_%": set(),
    "snap:s1": {"restored"},
    "snap:s2": set(),
    "dur:>2s": {"slow"},
    "dur:<1s": {"held", "failed", "safe", "restored"},
    "verdict:rejected": {"refused"},
    "verdict:bounced": {"failed"},
    "verdict:remote-accepted": {"safe"},
    "verdict:restored": {"restored"},
    "verdict:held": {"held"},
    "!verdict:stored": {"refused", "held", "failed", "safe"},
    "stage:rcpt | snap:s1": {"refused", "restored"},
    "stage:dot rule:unknown_box": set(),
}


@pytest.mark.parametrize("text", QUESTIONS)
def test_what_is_found(log: tuple[Log, dict[int, str]], text: str) -> None:
    view, names = log
    found = view.ids(search.parse(text, NOW), 100)
    assert {names[m] for m in found} == QUESTIONS[text]
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("text", QUESTIONS)
def test_nothing_is_read_through(log: tuple[Log, dict[int, str]], text: str) -> None:
    link = log[0]._link("2026-11")
    assert isinstance(link, sqlite3.Connection)
    assert scanned(steps(link, text)) == []
    assert scanned(steps(link, f"{text} from:sender@example.net")) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [("verdict:deletd", "did you mean deleted?"), ("dur:long", "is no time span")],
)
def test_what_cannot_be_read(text: str, says: str) -> None:
    with pytest.raises(search.SearchError) as error:
        search.parse(text, NOW)
    assert says in str(error.value)


def test_every_verdict_can_be_asked_for() -> None:
    for name in fields._VERDICTS:
        assert search.parse(f"verdict:{name}", NOW).terms
