"""What was imported is found beside what was recorded here, in one order, and is nobody's copy."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tracing_events import AT, DECEMBER, Mail, mint
from tracing import ids, months, search
from tracing.facts import LogFacts
from tracing.log import Applied, Recorder
from tracing.queries import Log

NOW = DECEMBER + 3_600_000_000


@pytest.fixture
def log(tmp_path: Path) -> Iterator[tuple[Log, list[Mail]]]:
    """40 messages of two months in turn, every second one imported."""
    mails: list[Mail] = []
    for number in range(40):
        at = (AT if number < 20 else DECEMBER) + number * 10_000_000
        node = ids.IMPORTED if number % 2 else 1
        mails.append(Mail(mint(at, node), at=at, sender=f"s{number % 3}@example.net"))
    for directory, part in ((tmp_path, mails[::2]), (tmp_path / months.IMPORTED, mails[1::2])):
        with contextlib.closing(Recorder(directory)) as recorder:
            for seq, mail in enumerate(part, 1):
                told = mail.whole() if directory == tmp_path else [*mail.begin(), *mail.accept()]
                recorder.apply([Applied("mta-0", seq, 0, told)])
    reading = Log(tmp_path)
    yield reading, mails
    reading.close()


@pytest.mark.parametrize("text", ["", "from:s1@example.net", "subj:figures", "from:s1 to:alice"])
def test_lists_have_both_in_one_order(log: tuple[Log, list[Mail]], text: str) -> None:
    reading, mails = log
    query = search.parse(text, NOW)
    meant = [m for m in reversed(mails) if "s1" not in text or m.sender.startswith("s1@")]
    wanted = [mail.m for mail in meant]
    assert reading.ids(query, 100) == wanted
    assert [m for part in reading.id_chunks(query, 3, 4) for m in part] == wanted
    walked: list[int] = []
    while part := reading.ids(query, 3, walked[-1] if walked else None):
        walked += part
    assert walked == wanted
    for limit in (1, 4, 12, 13, 39, 40, 50):
        page = reading.page(query, limit, 1000, 1000)
        assert page.ids == wanted[:limit]
        assert page.older == len(wanted) - len(page.ids)
        assert not page.more
    assert reading.page(query, 2, 5, 1000).more


def test_a_message_is_read_from_its_own_file(log: tuple[Log, list[Mail]]) -> None:
    reading, mails = log
    rows = reading.rows([mail.m for mail in mails])
    assert {m: row.sender for m, row in rows.items()} == {one.m: one.sender for one in mails}
    for mail in mails:
        told = reading.timeline(mail.m)
        assert "smtp.accept" in [one.event.kind for one in told]
        where = {one.month for one in told if one.event.trace == mail.m}
        assert where == {months.home(mail.m)}
        assert [one.addr for one in reading.recipients(mail.m)] == ["alice@example.org"]
        assert [kin.id for kin in reading.family(mail.m, 9)] == [mail.m]
    assert reading.total() == len(mails)


def test_the_books_and_the_tail_know_our_own_only(
    log: tuple[Log, list[Mail]], tmp_path: Path
) -> None:
    reading, mails = log
    with contextlib.closing(LogFacts(tmp_path)) as facts:
        assert [message.m for message in facts.messages()] == [mail.m for mail in mails[::2]]
    own = {trace for mail in mails[::2] for trace in (mail.m, mail.cn)}
    assert {one.event.trace for one in reading.events_after({}, 10_000)} == own
    assert set(reading.cursor()) == set(months.listing(tmp_path))
