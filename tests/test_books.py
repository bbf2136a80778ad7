"""``mtad audit`` on a whole directory: what it finds is told once, kept, and shown in red."""

import asyncio
import json
from pathlib import Path

import pytest

from mtad import cli, clock, ledger
from mtad.config import Loaded
from mtad.errors import Exit
from mtad.jobs import role as jobs
from mtad.journal.reader import Reader
from mtad.journal.writer import Journal
from mtad.setup import status
from tests.materialise_bench import Bench
from tests.test_whole_path import files
from tracing import events

BOX = "you@example.org"


class Receiver:
    """What a frame needs that makes a message ours."""

    def __init__(self, site: Loaded) -> None:
        self.places = site.places
        self.journal = Journal.open(site.places.journal / "mta-0", node=1)

    def accept(self) -> None:
        body = b"Subject: x\n\nbody\n"
        self.journal.commit_now(Bench.plan(self, BOX, body=body), body)  # type: ignore[arg-type]


@pytest.fixture
def delivered(site: Loaded) -> Loaded:
    """A site with three delivered messages."""
    receiver = Receiver(site)
    for _ in range(3):
        receiver.accept()
    asyncio.run(receiver.journal.close())
    return site


def audit(site: Loaded, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["audit", "--json", *words, "--config", str(site.path)])
    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == (Exit.PROBLEMS if told["count"] else Exit.OK)
    return [one["text"] for one in told["violations"]]


def recorded(site: Loaded) -> list[str]:
    """What the journals have as events, in order."""
    return [
        event.what
        for folder in site.places.journal.glob("cli-*")
        for frame in Reader(folder).frames(0)
        for event in frame.events
        if isinstance(event, events.AuditViolation)
    ]


def plant(site: Loaded) -> Path:
    """A file among the messages that nobody put there."""
    path = next(path for _, _, path in files(site.places.boxes)).with_name("1.odd.host")
    path.write_bytes(b"x")
    return path


def test_a_planted_violation_is_told_once_and_kept_until_it_is_mended(
    delivered: Loaded, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(delivered, capsys) == []
    assert status.balance(ledger.read(delivered.places))[0]
    odd = plant(delivered)
    (text,) = audit(delivered, capsys)
    assert "is not explained by any event" in text
    assert audit(delivered, capsys) == [text]
    assert recorded(delivered) == [text]
    balanced, line = status.balance(ledger.read(delivered.places))
    assert not balanced
    assert "DO NOT BALANCE, 1 violation, audited" in line
    assert text in line
    assert audit(delivered, capsys, "--until", "2020-01-01") == []
    assert ledger.read(delivered.places).count == 1, "a part says nothing of the rest"
    odd.unlink()
    assert audit(delivered, capsys) == []
    assert status.balance(ledger.read(delivered.places))[0]


def test_a_period_leaves_the_rest_alone(
    delivered: Loaded, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(delivered, capsys) == []
    plant(delivered)
    assert audit(delivered, capsys, "--until", "2020-01-01") == []
    (text,) = audit(delivered, capsys, "--since", "1h")
    assert "1.odd.host" in text


def test_a_time_that_is_none(delivered: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["audit", "--since", "soon", "--config", str(delivered.path)])
    assert ended.value.code == Exit.USAGE
    assert "is no time" in capsys.readouterr().err


def test_the_status_is_red(delivered: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    ledger.write(delivered.places, ["a \x1b[2J file is gone"], whole=True)
    for words in (["status"], ["status", "--json"]):
        with pytest.raises(SystemExit):
            cli.main([*words, "--config", str(delivered.path)])
        out = capsys.readouterr().out
        assert "\x1b" not in out
    assert json.loads(out)["audit"]["count"] == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"whole": {"at": 1}}', '{"whole": 3}', "\0"])
def test_a_file_that_is_none_is_no_account(site: Loaded, text: str) -> None:
    site.places.audit.parent.mkdir(parents=True, exist_ok=True)
    site.places.audit.write_text(text)
    assert ledger.read(site.places) == ledger.Accounts()


async def test_the_jobs_role_audits(delivered: Loaded) -> None:
    """All there is first, then the last day only, in a process of its own."""
    journal = Journal.open(delivered.places.journal / jobs.NAME, node=jobs.NODE)
    try:
        role = jobs.Jobs(delivered, journal)
        assert await role.audit()
        first = ledger.read(delivered.places)
        assert first.whole is not None
        assert first.part is None
        await asyncio.to_thread(plant, delivered)
        assert not await role.audit()
        second = ledger.read(delivered.places)
        assert second.whole == first.whole
        assert second.count == 1
        assert clock.now_us() - second.last_at < 60_000_000
    finally:
        await journal.close()
