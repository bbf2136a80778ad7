"""Details that repeat are kept once, come back exactly, and never fill a month's dictionary."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from hypothesis import given
from hypothesis import strategies as st

from mtad import db
from tests.tracing_events import Mail, mint
from tracing import access, chain, codec, events, ids, months, replies, search, shapes
from tracing.log import Applied, Recorder
from tracing.queries import Log

AT = 1_795_000_000_000_000
MINT = ids.Mint(1, clock_ns=lambda: AT * 1000)


def handshake(
    trace: int, version: str = "TLSv1.3", cipher: str = "TLS_AES_128_GCM_SHA256"
) -> events.TlsOk:
    return events.TlsOk(at=AT, trace=trace, version=version, cipher=cipher)


def record(directory: Path, told: list[events.Event], seq: int = 1) -> None:
    recorder = Recorder(directory)
    recorder.apply([Applied("mta-0", seq, max(one.trace for one in told), told)])
    recorder.close()


def ask(directory: Path, text: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(directory / f"{ids.month_at(AT)}.db")) as link:
        return link.execute(text).fetchall()


def back(directory: Path) -> list[events.Event]:
    with closing(Log(directory)) as log:
        return [one.event for one in log.events_after({})]


CLOSED = events.ConnClose(at=AT, trace=1, why="quit", commands=5, messages=1, seconds=1.25)


@pytest.mark.parametrize(
    ("event", "shape", "values"),
    [
        (CLOSED, '[{"why":"quit","commands":5,"messages":1},"seconds"]', "1.25"),
        (
            events.SmtpEhlo(at=AT, trace=1, host="mx.x", helo="mx.x"),
            '[{"helo":null}]',
            "",
        ),
        (events.SmtpEhlo(at=AT, trace=1, host="mx.x", helo="y"), '[{},"helo"]', '"y"'),
        (
            access.AuthOk(at=AT, trace=1, addr="a@x.org", login="a@x.org", mechanism="PLAIN"),
            '[{"login":null,"mechanism":"PLAIN"}]',
            "",
        ),
        (
            events.BoxRead(at=AT, trace=7, mailbox="INBOX", items=(events.Item(9, 7, 3),)),
            '[{"mailbox":"INBOX"},"items"]',
            "[[2,0,3]]",
        ),
        (
            events.BoxRead(at=AT, trace=7, mailbox="INBOX", items=(events.Item(9, 0, 3, "b"),)),
            '[{"mailbox":"INBOX"},"items"]',
            '[[2,-7,3,"b"]]',
        ),
    ],
)
def test_a_shape_and_its_values(
    tmp_path: Path, event: events.Event, shape: str, values: str
) -> None:
    event = event.__replace__(trace=MINT.new()) if event is CLOSED else event
    numbers: dict[str, int] = {}

    class Names:
        def __init__(self) -> None:
            self.by_key: dict[tuple[Any, ...], int] = {}

        address = staticmethod(lambda _: (1, 1, True))
        string = staticmethod(lambda _: 1)
        shape = staticmethod(lambda text: numbers.setdefault(text, 17))

    assert codec.encode(1, event, Names())[-1] == (f"[17,{values}]" if values else "[17]")
    assert list(numbers) == [shape]


def test_a_thousand_equal_details_are_one_string(tmp_path: Path) -> None:
    told: list[events.Event] = [
        CLOSED.__class__(at=AT, trace=MINT.new(), why="quit", commands=5, seconds=n / 7)
        for n in range(1, 1000)
    ]
    record(tmp_path, told)
    assert len(ask(tmp_path, "SELECT s FROM str WHERE s LIKE '[{%'")) == 1
    assert back(tmp_path) == told


def test_too_many_shapes_stay_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What strangers choose cannot fill the dictionary, also not after a restart."""
    monkeypatch.setattr(shapes, "MAX_SHAPES", 3)
    told: list[events.Event] = [handshake(MINT.new(), cipher=f"cipher {n}") for n in range(6)]
    record(tmp_path, told[:4])
    record(tmp_path, told[4:], 2)
    found = [row[0] for row in ask(tmp_path, "SELECT detail FROM ev ORDER BY seq")]
    assert [str(one)[0] for one in found] == ["[", "[", "[", "{", "{", "{"]
    assert back(tmp_path) == told


def test_a_failed_batch_takes_its_shapes_back(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    writer = recorder._writer(ids.month_at(AT))
    for n in range(5):
        writer.note(handshake(MINT.new(), cipher=f"c{n}"))
    writer.abandon()
    event = handshake(MINT.new(), cipher="c4")
    recorder.apply([Applied("mta-0", 1, event.trace, [event])])
    recorder.close()
    assert back(tmp_path) == [event]


@given(
    st.one_of(st.integers(-5, 5), st.integers(0, 2**63 - 1)),
    st.one_of(
        st.text(max_size=60),
        st.from_regex(r"\A\.?-?\d{1,22}\.[0-9a-z]{0,14}\.?mx,S=1\Z"),
    ),
)
def test_a_base_name_comes_back(number: int, base: str) -> None:
    if not base.startswith("."):
        assert shapes.full_base(number, shapes.short_base(number, base)) == base


def test_the_base_name_of_a_delivery_is_short() -> None:
    number = MINT.new()
    base = f"{AT // 1_000_000 + 2}.{ids.text(number)}.mx,S=5,W=6"
    assert shapes.short_base(number, base) == ".2.mx,S=5,W=6"


@given(st.text(), st.sampled_from(["", "a", "a@x", "0", "\x1a"]))
def test_a_from_comes_back(text: str, sender: str) -> None:
    assert shapes.full_from(shapes.short_from(text, sender), sender) == text


@pytest.mark.parametrize(
    ("reply", "rqid", "template"),
    [
        ("250 Ok: queued as 4XkT1", "4XkT1", "250 Ok: queued as {rqid}"),
        ("250 Ok: queued as 4Xk", "4Xk", "250 Ok: queued as 4Xk"),
        ("250 {rqid} 4XkT1", "4XkT1", "250 {{rqid}} {rqid}"),
        ("250 x{y", "x{y__", "250 x{{y"),
        ("250 1234567 Ok", "1234567", "250 {rqid} Ok"),
    ],
)
def test_the_other_servers_id_is_no_part_of_a_reply(reply: str, rqid: str, template: str) -> None:
    assert replies.template(reply, 0, "", rqid) == template
    assert replies.fill(template, 0, "", rqid) == reply


def test_tls_is_found_by_shape_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mails(count: int, **changed: str) -> list[Mail]:
        made = [Mail(own) for _ in range(count)]
        told = [one for mail in made for one in (handshake(mail.cn, **changed), *mail.whole())]
        record(tmp_path, told, next(numbers))
        return made

    numbers, own = iter(range(1, 9)), mint()
    shaped = mails(2)
    with monkeypatch.context() as patched:
        patched.setattr(shapes, "MAX_SHAPES", 0)
        plain = mails(1, version="TLSv1.2")
    bare = [Mail(own)]
    record(tmp_path, bare[0].whole(), next(numbers))
    with closing(Log(tmp_path)) as log:
        for text, wanted in {
            "tls:any": [*shaped, *plain],
            "tls:tlsv1.3": shaped,
            "tls:tlsv1.2": plain,
            "tls:aes_128": [*shaped, *plain],
            "tls:none": bare,
        }.items():
            found = log.ids(search.parse(text, AT), 100)
            assert sorted(found) == sorted(mail.m for mail in wanted), text


def test_a_name_that_looks_like_a_shape_is_none() -> None:
    assert shapes.fixed('[{"version"') == {}
    assert shapes.fixed('["version"]') == {}


def old(directory: Path) -> Path:
    """A month as the revision before made it, whose rows have no shapes and no short names."""
    file = directory / f"{ids.month_at(AT)}.db"
    with db.engine(file).connect() as link:
        command.upgrade(db.config(db.LOG, link), "log_0004")
    return file


@pytest.mark.parametrize("upgraded", [False, True])
def test_a_month_of_an_earlier_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upgraded: bool
) -> None:
    """It is read as it is, brought up to date, written on, and its chain holds."""
    file = old(tmp_path)
    own = mint()
    mail = Mail(own)
    with closing(sqlite3.connect(file)) as link, link:
        link.execute("INSERT INTO meta VALUES ('month', ?)", (file.stem.encode(),))
    as_before: dict[str, Callable[..., object]] = {
        "shaped": lambda *_: None,
        "short_base": lambda _, base: base,
        "short_from": lambda text, _: text,
    }
    told = [handshake(mail.cn), *mail.whole()]
    with monkeypatch.context() as patched:
        for name, other in as_before.items():
            patched.setattr(shapes, name, other)
        patched.setattr("tracing.writer.short_base", as_before["short_base"])
        patched.setattr("tracing.creation.upgrade", lambda _: None)
        record(tmp_path, told)
    assert months.open_reading(file).execute("SELECT * FROM alembic_version").fetchone() == (
        "log_0004",
    )
    if upgraded:
        further = Mail(own)
        record(tmp_path, more := [handshake(further.cn), *further.whole()], 2)
        told += more
        assert ask(tmp_path, "SELECT version_num FROM alembic_version") == [(months.REVISION,)]
    assert back(tmp_path) == told
    with closing(Log(tmp_path)) as log:
        assert mail.m in log.ids(search.parse(f"msgid:{mail.message_id}", AT), 10)
        assert mail.m in log.ids(search.parse("tls:TLSv1.3", AT), 10)
    rows = ask(tmp_path, "SELECT * FROM ev ORDER BY seq")
    head = b""
    for hi, recorded in ask(tmp_path, "SELECT hi, head FROM chain ORDER BY hi"):
        assert isinstance(hi, int)
        batch, rows = [r for r in rows if r[0] <= hi], [r for r in rows if r[0] > hi]  # type: ignore[operator]
        head = chain.link(head, batch)
        assert head == recorded
    assert not rows
