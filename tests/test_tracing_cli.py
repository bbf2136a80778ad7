"""``mtad trace`` and ``mtad tail`` as one meets them at a terminal."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtad import cli, config, control
from mtad.materialise import role
from mtad.signals import Signals
from tests.tracing_events import AT, Mail, mint
from tracing import answers, ids
from tracing.following import Follower
from tracing.log import Applied, Recorder
from tracing.queries import Log

SECONDS = 20


class Place:
    """Settings and a log with three messages; more can be recorded."""

    def __init__(self, directory: Path) -> None:
        self.settings = directory / "mtad.toml"
        self.settings.write_text('hostname = "mx.example.org"\n')
        self.log = directory / "data" / "log"
        self.recorder = Recorder(self.log)
        self.mint = mint(time.time_ns() // 1000)
        self.number = 0
        self.mails = [
            self.record(subject=subject, message_id=f"<{n}@example.net>")
            for n, subject in enumerate(("first figures", "second", "evil\x1b[2J"), 1)
        ]

    def record(self, **fields: Any) -> Mail:
        """Another message."""
        mail = Mail(self.mint, at=time.time_ns() // 1000, **fields)
        self.number += 1
        self.recorder.apply([Applied("mta-0", self.number, 0, mail.whole())])
        return mail


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.recorder.close()


def run(place: Place, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--config", str(place.settings)])
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


def test_a_list(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(place, capsys, "trace", "to:alice")
    assert code == 0
    assert len(out.splitlines()) == 4
    assert "● delivered  sender@example.net -> alice@example.org  evil␛[2J" in out
    assert "\x1b" not in out
    assert err == "filter: to:alice; 3 found\n"
    _, out, err = run(place, capsys, "trace", "to:alice", "subj:figures", "--limit", "1")
    assert "first figures" in out
    _, _, err = run(place, capsys, "trace", "to:alice", "--limit", "1")
    assert "2 older left out" in err


def test_one_message(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    mail = place.mails[0]
    shown = ids.text(mail.m)
    # The three ids were made in one millisecond and differ in the last character only.
    for name in (shown, "<1@example.net>"):
        code, out, _ = run(place, capsys, "trace", name)
        assert code == 0
        assert f"id          {shown}" in out
        assert f"queued as {shown}" in out
        assert "in INBOX" in out
        assert out.count("conn.open") == 1


def test_the_beginning_of_an_id(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """One message is told, of several there is a list."""
    old = Mail(mint(AT), at=AT)
    place.recorder.apply([Applied("mta-0", 99, 0, old.whole())])
    shown = ids.text(old.m)
    code, out, _ = run(place, capsys, "trace", shown[:8].upper())
    assert code == 0
    assert f"id          {shown}" in out
    code, out, err = run(place, capsys, "trace", ids.text(place.mails[0].m)[:8])
    assert code == 0
    assert "id          " not in out
    assert err.endswith("3 found\n")


def test_json(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(place, capsys, "trace", "to:alice", "--json")
    document = json.loads(out)
    assert document["schema"] == 1
    assert [one["id"] for one in document["messages"]] == [
        ids.text(mail.m) for mail in reversed(place.mails)
    ]
    assert document["messages"][0]["at"].endswith("+00:00")
    _, out, _ = run(place, capsys, "trace", ids.text(place.mails[0].m), "--jsonl")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [one["kind"] for one in lines][-2:] == ["store.delivered", "conn.close"]
    assert {one["schema"] for one in lines} == {1}
    assert lines[-2]["fields"]["st"] == ids.text(place.mails[0].sts[0])
    told = json.loads(json.dumps(answers.answer(place.log, ids.text(place.mails[0].m))))
    assert lines == [{"schema": 1, **one} for one in told["events"]]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["to:nobody"], 4, "nothing found for to:nobody"),
        (["0000000000000"], 4, "nothing found"),
        (["frm:alice"], 2, "did you mean from:?\n  frm:alice\n  ^\n"),
        (["since:\x1b[2J"], 2, "is no time"),
    ],
)
def test_no_answer(
    place: Place, capsys: pytest.CaptureFixture[str], words: list[str], code: int, says: str
) -> None:
    got, out, err = run(place, capsys, "trace", *words)
    assert (got, out) == (code, "")
    assert says in err
    assert "\x1b" not in err


def test_a_damaged_log_is_one_sentence(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    (file,) = place.log.glob("2*.db")
    (place.log / "2025-01.db").write_bytes(b"not a database at all " * 300)
    code, _, err = run(place, capsys, "trace", "to:nobody")
    assert code == 13
    assert err.count("\n") == 1
    assert "is damaged" in err
    assert file.exists()


def test_the_daemon_is_asked_first(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    found = answers.answer(place.log, "to:alice", 50)

    def ask(path: Path, verb: str, **arguments: Any) -> dict[str, Any]:
        asked.append({"name": path.name, "verb": verb, **arguments})
        return {"ok": True, **found}

    monkeypatch.setattr(control, "ask", ask)
    monkeypatch.setattr(answers, "answer", None)
    code, out, _ = run(place, capsys, "trace", "to:alice", "--json")
    assert code == 0
    assert "ok" not in json.loads(out)
    (request,) = asked
    assert request.pop("actor").startswith("admin:")
    assert request == {"name": "log.sock", "verb": "trace", "query": "to:alice", "limit": 50}


def follow(place: Place, *words: str) -> tuple[subprocess.Popen[str], list[dict[str, Any]]]:
    """``mtad tail --jsonl`` and the lines it has said, which a thread collects."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mtad", "tail", *words, "--jsonl", "--config", str(place.settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    lines: list[dict[str, Any]] = []

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(json.loads(line))

    threading.Thread(target=read, daemon=True).start()
    return process, lines


def until(done: Any) -> None:
    deadline = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.02)


def test_tail_follows_the_files_and_ends_cleanly(place: Place) -> None:
    process, lines = follow(place, "subj:wanted")
    try:
        # It is following once it shows a message that was recorded meanwhile.
        told: list[int] = []

        def seen() -> bool:
            told.append(place.record(subject="wanted one").m)
            place.record(subject="another")
            return bool(lines)

        until(seen)
        last = place.record(subject="wanted last")
        shown = ids.text(last.m)
        until(
            lambda: any(one["trace"] == shown and one["kind"] == "store.delivered" for one in lines)
        )
        wanted = {ids.text(m) for m in told} | {shown}
        assert {one["trace"] for one in lines} <= wanted
        seqs = [one["seq"] for one in lines]
        assert seqs == sorted(set(seqs))
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize("tail", [True, False])
def test_a_missed_line_is_read_from_the_files(place: Place, tail: bool) -> None:
    """A stream that leaves out or repeats a line loses and doubles nothing."""
    follower = Follower(place.log)
    place.record()
    place.record()
    log = Log(place.log)
    stored = log.events_after({})[-12:]
    lines = [answers.happened(one) for one in stored]
    heard: list[Any] = [{"ok": True}, lines[0], lines[0], lines[4], lines[2], {"seq": "?"}]
    if tail:
        heard.append(lines[-1])
    seqs = [one.seq for line in heard for one in follower.take(line)]
    seqs += [one.seq for one in follower.read()]
    last = stored[-1].seq
    assert seqs == list(range(last - 13, last + 1))
    follower.close()
    log.close()


HEAVY = ("sqlalchemy", "pydantic", "alembic", "textual", "rich", "asyncio")


def traced(place: Place, *words: str, code: int = 0) -> tuple[str, str, set[str]]:
    """``mtad trace`` in a process of its own: what it says, and which modules it had loaded."""
    script = (
        "import atexit, sys\n"
        "from mtad import cli\n"
        "tell = lambda: print('loaded', *sys.modules, file=sys.stderr)\n"
        "atexit.register(tell)\n"
        "cli.main(sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "trace", *words, "--config", str(place.settings)],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=SECONDS,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        check=False,
    )
    said, _, loaded = done.stderr.rpartition("loaded")
    assert done.returncode == code, done.stderr
    return done.stdout, said, set(loaded.split())


@contextlib.contextmanager
def answered(place: Place) -> Iterator[None]:
    """The log role on its socket, in a thread."""
    place.recorder.close()
    loaded = config.load(place.settings)
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    signals = Signals(ready=ready.set)

    thread = threading.Thread(
        target=lambda: loop.run_until_complete(role.serve(loaded, signals)), daemon=True
    )
    thread.start()
    assert ready.wait(SECONDS)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(signals.stop.set)
        thread.join(SECONDS)
        assert not thread.is_alive()
        loop.close()


def test_files_and_daemon_say_the_same(place: Place) -> None:
    """Lists, timelines, nothing found and mistakes; and neither way loads what it needs not."""
    shown = ids.text(place.mails[0].m)
    questions = [
        (["to:alice"], 0),
        (["to:alice", "subj:figures", "--limit", "1"], 0),
        (["to:alice", "--json"], 0),
        (["!to:bob", "--jsonl"], 0),
        ([shown], 0),
        (["<2@example.net>", "--json"], 0),
        ([ids.text(place.mails[0].cn), "--jsonl"], 0),
        (["to:nobody"], 4),
        (["frm:alice"], 2),
        (["state:\x1b[2J"], 2),
        (["to:\udcff"], 4),
    ]
    files = [traced(place, *words, code=code) for words, code in questions]
    with answered(place):
        daemon = [traced(place, *words, code=code) for words, code in questions]
    for (words, _), one, other in zip(questions, files, daemon, strict=True):
        assert one[:2] == other[:2], words
        assert one[2].isdisjoint(HEAVY), words
        assert other[2].isdisjoint((*HEAVY, "sqlite3", "tracing.queries")), words
    assert "did you mean from:?\n  frm:alice\n  ^\n" in files[8][1]
