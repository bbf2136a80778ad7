"""A day summed up: what is counted, by which causes, in words, as JSON, and by mail."""

import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from typing import Any

import pytest

from mtad import clock, ledger
from mtad.config import Loaded
from mtad.errors import UsageError
from mtad.submit import daily, drop
from tests.test_tracing_cli import run
from tests.tracing_events import Mail
from tracing import access, daybook, daytext, events, ids, sending
from tracing.log import Applied, Recorder
from tracing.words import book

DAY = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
AT = int(DAY.timestamp() * 1_000_000) - 20 * 3600 * 1_000_000
"""A time of yesterday."""
YESTERDAY = AT - 12 * 3600 * 1_000_000, int(DAY.timestamp() * 1_000_000)


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noon of ``DAY``, also where midnight comes before a test does."""
    monkeypatch.setattr(clock, "now", lambda: (DAY + timedelta(hours=12)).astimezone(UTC))


def told() -> list[events.Event]:
    """Yesterday: three stored, three to far.example, of which one failed; refusals and logins."""
    clock_ns = lambda: AT * 1000  # noqa: E731 - the mint's clock
    mint = ids.Mint(1, clock_ns=clock_ns)
    found: list[events.Event] = []
    for number in range(3):
        mail = Mail(mint, at=AT, to=("alice@example.org", f"u{number}@far.example"))
        begun = mail.begin()
        if number:
            begun.insert(1, events.TlsOk(at=AT, trace=mail.cn, version="TLSv1.3", cipher="X"))
        accept = mail.accept()
        (stored, _) = mail.deliver()
        add = sending.QueueAdd(at=AT, trace=mail.m, n=2, addr=mail.to[1], next_try=AT)
        there: dict[str, Any] = {"at": AT + 5, "trace": mail.m, "n": 2, "addr": mail.to[1]}
        there |= {"host": "mx.far.example", "attempt": 1}
        if number == 2:
            no: dict[str, Any] = {
                "code": 550,
                "enh": "5.1.1",
                "reply": "550 5.1.1 User unknown",
                "stage": "rcpt",
            }
            end: events.Event = sending.OutFailed(**there, **no)
        else:
            yes: dict[str, Any] = {
                "code": 250,
                "reply": "250 ok",
                "wait": 1000.0,
                "connect": 200.0,
                "ms": 300.0,
            }
            tls: dict[str, Any] = {"tls": "TLSv1.3 X"} if number else {}
            end = sending.OutDelivered(**there, **yes, **tls)
        found += [*begun, *accept, stored, add, end, *mail.close()]
    for number in range(4):
        mail = Mail(mint, at=AT, to=())
        refused = events.SmtpReject(
            at=AT,
            trace=mail.m,
            addr=f"n{number}@example.org",
            code=550,
            enh="5.1.1",
            reply=f"550 5.1.1 <n{number}@example.org> no box",
            stage="rcpt",
            check="unknown_box",
        )
        found += [*mail.begin(), refused]
    cn = mint.new()
    login: dict[str, Any] = {"at": AT, "trace": cn, "ip": "192.0.2.66", "login": "alice"}
    found += [
        access.AuthFail(**login, mechanism="PLAIN", why="wrong password"),
        access.AuthFail(**login, mechanism="LOGIN", why="wrong password", again=True),
        access.AuthBan(at=AT, trace=cn, ip="192.0.2.66", why="guessing", until=AT),
        access.AuthOk(at=AT, trace=cn, login="alice", mechanism="PLAIN"),
        events.BackupDone(
            at=AT, trace=cn, snapshot="20261124T0300", boxes=1, messages=3, added=3
        ),
        events.BackupFail(at=AT, trace=cn, why="disk \x1b[2J full"),
    ]  # fmt: skip
    return found


def record(site: Loaded) -> None:
    recorder = Recorder(site.places.log)
    recorder.apply([Applied("mta-0", 1, 0, told())])
    recorder.close()


@pytest.fixture
def noted(site: Loaded) -> Loaded:
    record(site)
    drop.make(site.places.drop)
    return site


def test_what_is_counted(noted: Loaded) -> None:
    found = daybook.day(noted.places.log, *YESTERDAY, book("en"))
    assert found["messages"] == {
        "received": 3, "submitted": 0, "made": 0, "octets": 6000, "refused": 4, "try-later": 0,
        "aborted": 0,
    }  # fmt: skip
    assert found["recipients"] == {"bounced": 1, "delivered": 3, "relayed": 2}
    assert found["senders"] == [
        {"name": "sender@example.net", "messages": 3, "octets": 6000}
    ]  # fmt: skip
    assert found["boxes"][0] == {"name": "alice@example.org", "count": 3}
    assert found["sender_domains"] == [{"name": "example.net", "count": 3}]
    assert {one["name"] for one in found["recipient_domains"]} == {"example.org", "far.example"}
    assert found["slowest"] == [
        {"domain": "far.example", "count": 2, "seconds": 1.5, "before": 0.0, "queue": 1.0,
         "connect": 0.2, "transfer": 0.3}
    ]  # fmt: skip
    assert [(one["cause"], one["count"]) for one in found["causes"]["refused"]] == [
        ("ours.unknown_box", 4)
    ]
    assert found["causes"]["failed"] == [
        {"cause": "remote.no_such_user", "text": "there is no box … at mx.far.example", "count": 1}
    ]
    assert found["tls"] == {"in": 3, "in_encrypted": 2, "out": 2, "out_encrypted": 1}
    assert found["logins"] == {"ok": 1, "failed": 1, "banned": 1, "refused": 0}
    assert found["failed_logins_from"] == [{"name": "192.0.2.66", "count": 1}]
    assert found["backups"]["done"] == 1
    assert found["backups"]["last"]["snapshot"] == "20261124T0300"
    assert len(found["backups"]["failed"]) == 1
    assert found["queue"] == {"waiting": 0, "held": 0, "oldest": ""}


def test_another_day_has_nothing(noted: Loaded) -> None:
    week = 7 * 24 * 3600 * 1_000_000
    found = daybook.day(noted.places.log, YESTERDAY[0] - week, YESTERDAY[1] - week, book("en"))
    assert found["messages"]["received"] == 0
    assert found["recipients"] == {}
    assert found["causes"]["refused"] == []
    for lang in ("en", "ru"):
        assert list(daytext.lines(found, "mx", lang))


@pytest.mark.parametrize(
    ("lang", "says"),
    [
        ("en", ["received from other servers", "there is no box or alias", "66.7%  came by TLS",
                "SNAPSHOT FAILED", "THE BOOKS DO NOT BALANCE: violations", "far.example"]),
        ("ru", ["получено от других серверов", "здесь нет ящика", "66.7%  пришло по TLS",
                "СНИМОК НЕ УДАЛСЯ", "КНИГИ НЕ СХОДЯТСЯ: нарушений", "far.example"]),
    ],
)  # fmt: skip
def test_in_words(noted: Loaded, lang: str, says: list[str]) -> None:
    ledger.write(noted.places, ["something is \x1b wrong"], whole=True)
    document = daily.summary(noted, daily.day_of(None, clock.now()), lang)
    text = "\n".join(daytext.lines(document, "mx.example.org", lang))
    for one in says:
        assert one in text
    assert "\x1b" not in text


def test_both_languages_say_the_same_things() -> None:
    assert daytext._WORDS["en"].keys() == daytext._WORDS["ru"].keys()


def test_the_command(noted: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    place: Any = type("P", (), {"settings": noted.path})
    code, out, _ = run(place, capsys, "report", "--lang", "en")
    assert code == 0
    assert f"mail of {DAY - timedelta(hours=5):%Y-%m-%d}" in out
    code, out, _ = run(place, capsys, "report", "--day", "yesterday", "--json")
    assert json.loads(out)["messages"]["received"] == 3
    code, out, _ = run(place, capsys, "report", "--day", "today", "--json")
    assert json.loads(out)["messages"]["received"] == 0
    code, _, err = run(place, capsys, "report", "--day", "someday")
    assert code == 2
    assert "is no day" in err


def left(site: Loaded) -> list[drop.Dropped]:
    folder = site.places.drop
    return [drop.read(path, 1 << 20) for path in sorted(folder.glob("*.drop"))]


async def test_by_mail_to_whom_the_settings_name(noted: Loaded) -> None:
    wanted = noted.config.report.model_copy(
        update={"mail_to": ("boss@example.org", "ops@far.example"), "language": "ru"}
    )
    settings = noted.config.model_copy(update={"report": wanted})
    loaded = Loaded(noted.path, settings, noted.places)
    assert await daily.send_daily(noted, clock.now()) == 0
    assert await daily.send_daily(loaded, clock.now()) == 2
    first, second = left(noted)
    assert list(first.envelope.recipients) == ["boss@example.org"]
    assert first.envelope.sender == "postmaster@example.org"
    mail = message_from_bytes(second.message)
    assert mail["To"] == "ops@far.example"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "получено от других серверов" in b64decode(mail.get_payload()).decode()  # type: ignore[arg-type]
    assert max(map(len, second.message.split(b"\n"))) <= 78


def test_by_mail_on_request(noted: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    place: Any = type("P", (), {"settings": noted.path})
    code, out, err = run(place, capsys, "report", "--mail", "boss@example.org")
    assert (code, out) == (0, "")
    assert "on its way to boss@example.org" in err
    assert len(left(noted)) == 1
    code, _, _ = run(place, capsys, "report", "--mail", "nobody\nBcc: x")
    assert code == 2


def test_a_day_ends_at_midnight() -> None:
    begin = daily.day_of("2026-03-29", clock.now())
    assert (begin.hour, begin.day) == (0, 29)
    with pytest.raises(UsageError):
        daily.day_of("999999999w", clock.now())
