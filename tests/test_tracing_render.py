"""Nothing that comes from a stranger can do more to a terminal than be read."""

import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracing_events import AT
from tracing import events, render, sending

EAST = timezone(timedelta(hours=3))
ANY = st.text(alphabet=st.characters(exclude_categories=[]), max_size=60)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("счёт № 5", "счёт № 5"),
        ("a\x1b[31mb", "a␛[31mb"),
        ("a\nb\r\tc\0", "a⏎b␍␉c␀"),
        ("a\x7fb\x9bc", "a␡b‹U+009B›c"),
        ("a\u202eb\u2066c\u200f", "a‹U+202E›b‹U+2066›c‹U+200F›"),
        ("a\ud800b", "a\ufffdb"),
        ("a\u2028b\u2029", "a⏎b⏎"),
        ("a\xa0b\u3000c", "a b c"),
        ("\u200bzero", "‹U+200B›zero"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_safe(text: str, shown: str) -> None:
    assert render.safe(text) == shown


@settings(max_examples=500, deadline=None)
@given(ANY)
def test_safe_is_harmless(text: str) -> None:
    shown = render.safe(text)
    shown.encode()
    for char in shown:
        assert unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(char) not in (
            "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
        )  # fmt: skip
    assert render.safe(shown) == shown


@settings(max_examples=200, deadline=None)
@given(ANY, st.integers(1, 30))
def test_fit_takes_just_the_columns(text: str, columns: int) -> None:
    fitted = render.fit(render.safe(text), columns)
    assert render.width(fitted) == columns


def test_width_of_wide_and_of_combining_characters() -> None:
    assert render.width("日本") == 4
    assert render.width("e\u0301") == 1
    assert render.fit("日本語", 4) == "日… "


def test_times() -> None:
    assert render.rfc3339(AT + 1) == "2026-11-18T11:06:40.000001+00:00"
    assert datetime.fromisoformat(render.rfc3339(AT)) == datetime(2026, 11, 18, 11, 6, 40, 0, UTC)


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (999_499, "999 kB"),
        (999_600, "1.0 MB"),
        (52_000_000, "52 MB"),
        (5 * 10**12, "5.0 TB"),
        (10**15, "1.0 PB"),
        (10**19, "10000 PB"),
    ],
)
def test_size(octets: int, shown: str) -> None:
    assert render.size(octets) == shown


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (render.counted(0, "message"), "0 messages"),
        (render.counted(1, "box", "boxes"), "1 box"),
        (render.counted(2, "box", "boxes"), "2 boxes"),
        (render.counted(5307, "message"), "5,307 messages"),
    ],
)
def test_counted(shown: str, wanted: str) -> None:
    assert shown == wanted


def test_an_event_on_a_line() -> None:
    event = events.SmtpReject(
        at=AT, trace=5, stage="rcpt", reply="550 5.1.1 no\x1b[2J", check="box"
    )
    assert render.line(event, EAST) == (
        "14:06:40.000 ✕ smtp.reject      refused at rcpt: 550 5.1.1 no␛[2J"
    )


MESSAGE = {
    "id": "0amjx72jm206a",
    "at": render.rfc3339(AT),
    "state": "delivered",
    "from": "bob@example.net",
    "to": ["alice@example.org", "carol@example.org"],
    "recipients": 3,
    "subject": "figures \x1b]0;owned\x07 for November",
    "size": 2345,
}


def listed(**changed: object) -> render.Document:
    return {
        "query": "to:alice",
        "messages": [{**MESSAGE, **changed}],
        "left_out": 0,
        "more": False,
    }


def test_a_table() -> None:
    assert list(render.table(listed(), None, EAST)) == [
        "time                 state        from -> to                               subject"
        "                          size    id",
        "2026-11-18 14:06:40  ● delivered  bob@example.net -> alice@example.org +2  figures "
        "␛]0;owned␇ for November  2.3 kB  0amjx72jm206a",
    ]


@pytest.mark.parametrize("columns", [70, 80, 100, 120, 200])
def test_a_table_fits_its_terminal(columns: int) -> None:
    lines = list(render.table(listed(subject="long " * 50), columns, EAST))
    assert max(map(render.width, lines)) <= columns
    assert all(line.endswith(("id", "0amjx72jm206a")) for line in lines)


def test_a_footer_says_what_was_left_out() -> None:
    assert render.footer(listed()) == "filter: to:alice; 1 found"
    more = {**listed(), "left_out": 12, "query": ""}
    assert render.footer(more) == (
        "no filter; the newest 1 shown, 12 older left out (--limit N shows more)"
    )
    assert "at least 12 older" in render.footer({**more, "more": True})


def happened(kind: str, after_ms: float, text: str, reply: str = "") -> render.Document:
    at = render.rfc3339(AT + int(after_ms * 1000))
    return {"at": at, "kind": kind, "outcome": "ok", "text": text, "fields": {"reply": reply}}


def test_a_timeline() -> None:
    recipient = {
        "address": "alice@example.org",
        "original": "sales@example.org",
        "state": "delivered",
        "mailbox": "Old/2026",
        "reply": "",
    }
    gone = {**recipient, "address": "carol@example.org", "original": "", "mailbox": ""}
    document: render.Document = {
        "message": {
            **MESSAGE,
            "message_id": "<1@x>",
            "header_from": "",
            "ip": "192.0.2.7",
            "helo": "mx\x1b",
            "recipient_list": [recipient, gone],
        },
        "events": [
            happened("smtp.accept", 0, "accepted", "250 queued\nx"),
            happened("store.delivered", 12, "delivered"),
            happened("box.expunge", 3_700_000, "deleted"),
        ],
    }
    assert list(render.timeline(document, EAST)) == [
        "id          0amjx72jm206a",
        "state       ● delivered",
        "from        bob@example.net",
        "to          alice@example.org  ● delivered, as sales@example.org, in Old/2026",
        "to          carol@example.org  ● delivered, no longer in the box",
        "subject     figures ␛]0;owned␇ for November",
        "Message-ID  <1@x>",
        "size        2345 octets",
        "client      192.0.2.7 (mx␛)",
        "",
        "2026-11-18 14:06:40.000      +0 ms  ● smtp.accept      accepted - 250 queued⏎x",
        "2026-11-18 14:06:40.012     +12 ms  ● store.delivered  delivered",
        "2026-11-18 15:08:20.000      +62 m  ● box.expunge      deleted",
    ]


@pytest.mark.parametrize(
    ("event", "wanted"),
    [
        (
            sending.OutTls(at=1, trace=1, host="mx.test", cn=1, policy="none", verdict="not asked"),
            "no TLS with mx.test: not asked",
        ),
        (
            sending.OutTls(
                at=1, trace=1, host="mx.test", cn=1, policy="dane", verdict="dane match",
                version="TLSv1.3", cipher="X",
            ),
            "TLSv1.3 X with mx.test: dane match",
        ),
        (
            sending.OutTry(at=1, trace=1, host="mx.test", ip="192.0.2.1", cn=1),
            "connecting to mx.test [192.0.2.1]:25",
        ),
        (
            sending.OutTry(at=1, trace=1, host="mx.test", ip="192.0.2.1", cn=1, reused=1),
            "the connection to mx.test [192.0.2.1]:25 again, after 1 message",
        ),
        (
            sending.DsnGot(
                at=1, trace=1, addr="a@b.test", action="failed", report="x", by="token",
                enh="5.1.1", reporter="mx.test",
            ),
            "mx.test says of a@b.test: failed 5.1.1",
        ),
        (
            sending.DsnGot(at=1, trace=1, action="failed", report="x", by="token", diagnostic="no"),
            "somebody says of a recipient: failed no",
        ),
        (
            sending.QueueExpire(at=1, trace=1, hours=120, tries=1, reply="no"),
            "given up after 120 hours and 1 try: no",
        ),
        (
            events.BackupDone(
                at=1, trace=1, snapshot="x", boxes=1, messages=2307, added=3
            ),
            "snapshot x done: 1 box, 2,307 messages, 3 new",
        ),
    ],
)  # fmt: skip
def test_texts_of_events(event: events.Event, wanted: str) -> None:
    assert str(event) == wanted
