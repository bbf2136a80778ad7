"""Every declared event comes back from the log exactly, whatever strangers put into it."""

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracing import codec, events, ids, replies
from tracing.events import COLUMNS, REGISTRY, Event, Unknown
from tracing.log import Applied, Recorder
from tracing.queries import Log

AT = 1_795_000_000_000_000
NUMBERS = itertools.count(1)
FRESH = ids.Mint(1, clock_ns=lambda: AT * 1000)

integers = st.one_of(st.integers(0, 10), st.integers(-(2**63), 2**63 - 1))
some_ids = st.one_of(st.just(0), st.integers(0, 1000).map(lambda n: ids.lowest(AT) + n))
texts = st.one_of(
    st.sampled_from(
        ["", "Alice@Example.ORG", "a@b", "{id}", "{{addr}}", "\0", "ё\u202e", "id", "@"]
    ),
    st.text(alphabet=st.characters(exclude_categories=[]), max_size=40),
)
LONG = "x" * 3000
UNIQUE_TRACE = {"at", "trace"}


def values(kind: Any, name: str) -> st.SearchStrategy[Any]:
    """Anything a field may hold, as a type says."""
    arguments = getattr(kind, "__args__", ())
    if arguments:
        return st.lists(values(arguments[0], name), max_size=3).map(tuple)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return struct(kind)
    if kind is int:
        return some_ids if name in ("st", "cn") else integers
    return {
        str: texts,
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
    }[kind]


def struct(cls: Any, **fixed: Any) -> st.SearchStrategy[Any]:
    """Anything of a class."""
    parts = {
        field.name: values(field.type, field.name)
        for field in msgspec.structs.fields(cls)
        if field.name not in UNIQUE_TRACE
    }
    return st.builds(cls, **{**parts, **fixed})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Recorder, Log]]:
    directory = tmp_path_factory.mktemp("log")
    recorder, log = Recorder(directory), Log(directory)
    yield recorder, log
    log.close()
    recorder.close()


def there_and_back(place: tuple[Recorder, Log], event: Event) -> Event:
    recorder, log = place
    before = log.cursor()
    noted = recorder.apply([Applied("mta-0", next(NUMBERS), event.trace, [event])])
    found = log.events_after(before)
    assert [one.seq for one in found] == [seq for seq, _ in noted]
    assert len(found) == 1
    return found[0].event


@pytest.mark.parametrize("kind", [*REGISTRY, "unknown"])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_every_event_comes_back(
    place: tuple[Recorder, Log], kind: str, data: st.DataObject
) -> None:
    cls = REGISTRY.get(kind, Unknown)
    event = data.draw(struct(cls, at=st.just(AT), trace=st.builds(FRESH.new)))
    back = there_and_back(place, event)
    assert back == codec.scrubbed(event)


def test_every_field_kind_is_tried() -> None:
    assert set(COLUMNS) >= {"addr", "reply", "also"}
    drawn = {f.name for cls in REGISTRY.values() for f in msgspec.structs.fields(cls)}
    assert {"recipients", "items", "sha256", "subjects"} <= drawn


ACCEPT: dict[str, Any] = {
    "at": AT,
    "size": 5,
    "sha256": "ab" * 32,
    "count": 2,
    "recipients": (
        events.Recipient(1, "a@x.org", "A@X.org"),
        events.Recipient(2, "b@x.org", "b@x.org"),
    ),
    "message_id": "<1@x>",
    "subject": "счёт",
    "header_from": "A <a@x>",
}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"sha256": "AB" * 32},
        {"sha256": ""},
        {"size": 0},
        {"recipients": ()},
        {"recipients": (events.Recipient(2, "a@x.org", ""), events.Recipient(1, "", "b@x.org"))},
        {"recipients": (events.Recipient(1, "a@x.org", "b@x.org"),) * 2},
        {"subject": "", "message_id": "", "header_from": ""},
        {"reply": f"250 2.0.0 queued as {'0' * 13}", "addr": "id"},
        {"host": LONG, "actor": LONG, "reply": LONG, "enh": "é", "ip": "::ffff:1.2.3"},
        {"actor": ""},
        {"subject": "lone \ud800 surrogate", "header_from": "\udfff"},
    ],
)
def test_an_acceptance_comes_back(place: tuple[Recorder, Log], changed: dict[str, Any]) -> None:
    event = events.SmtpAccept(trace=FRESH.new(), **{**ACCEPT, **changed})
    assert there_and_back(place, event) == codec.scrubbed(event)


def test_an_acceptance_is_kept_once(place: tuple[Recorder, Log]) -> None:
    """What the message's row has is not in the event's detail."""
    _, log = place
    event = events.SmtpAccept(trace=FRESH.new(), **{**ACCEPT, "recipients": ()})
    there_and_back(place, event)
    link = log._link(ids.month(event.trace))
    assert link is not None
    row = link.execute("SELECT detail FROM ev WHERE trace=?", (event.trace,)).fetchone()
    assert row == ('{"count":2}',)


def test_a_kind_of_another_version_is_shown_and_kept(place: tuple[Recorder, Log]) -> None:
    fields = {
        "kind": "imap.fetch",
        "at": AT,
        "trace": FRESH.new(),
        "addr": "a@x.org",
        "uids": [1, 2],
    }
    back = there_and_back(place, events.from_fields(fields))
    assert isinstance(back, Unknown)
    assert back.was == "imap.fetch"
    assert str(back) == 'imap.fetch: {"uids":[1,2]}'


@settings(max_examples=300, deadline=None)
@given(reply=texts, addr=texts, trace=st.integers(-5, 2**63 + 5))
@example("250 0000000000005 d for {id} {{", "d", 5)
@example("550 <a@b> no such box a@b", "a@b", 77)
def test_a_template_gives_the_reply_back(reply: str, addr: str, trace: int) -> None:
    template = replies.template(reply, trace, addr)
    if template is not None:
        assert replies.fill(template, trace, addr) == reply


@pytest.mark.parametrize(
    ("reply", "template"),
    [
        ("250 2.0.0 queued as 0000000000007", "250 2.0.0 queued as {id}"),
        ("550 5.1.1 <a@b> no such box", "550 5.1.1 <{addr}> no such box"),
        ("250 {literal}", "250 {{literal}}"),
        ("450 try in 123456 seconds", None),
        ("450 " + "x" * 200, None),
    ],
)
def test_templates(reply: str, template: str | None) -> None:
    assert replies.template(reply, 7, "a@b") == template
