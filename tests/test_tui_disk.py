"""The terminal UI over a real log directory, and over what is wrong with one."""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from mtad import cli, control, ledger
from mtad.errors import Exit
from mtad.where import Places
from tests import mails
from tests.backup_yard import ANNA, Yard
from tests.test_tui_stories import lines, press, text, until
from tracing import events, ids, months, search
from tracing.log import Applied, Recorder
from tracing.states import State
from tui.app import MtadApp
from tui.disk import Disk, sentence
from tui.run import settle
from tui.screens.timeline import TimelineScreen
from tui.screens.trace import TraceScreen
from tui.source import Trouble
from tui.world import World

SUBJECTS = ("Contract", "[/red] \x1b]0;pwn\x07", "Отчёт за неделю", "会議の資料")


class Server:
    """A data directory that mail is recorded into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "mtad.toml"
        self.settings.write_text('hostname = "mail.example.org"\n')
        self.places = Places(folder / "data")
        self.places.log_folder.mkdir(parents=True)
        self.recorder = Recorder(self.places.log)
        self.mint = ids.Mint(1)
        self.seq = 0

    def take(self, subject: str, to: str = "anna@example.org", *, refuse: bool = False) -> int:
        """Record a message; its id."""
        cn, m, stored = self.mint.new(), self.mint.new(), self.mint.new()
        at = time.time_ns() // 1000
        happened: list[events.Event] = [
            events.ConnOpen(at=at, trace=cn, ip="192.0.2.9", listener="smtp", actor="remote"),
            events.SmtpMail(
                at=at, trace=m, addr="bob@mail.example", ip="192.0.2.9", cn=cn, helo="mail.example",
                actor="remote",
            ),
        ]  # fmt: skip
        if refuse:
            happened.append(
                events.SmtpReject(
                    at=at, trace=m, addr=to, stage="rcpt", code=550, enh="5.1.1",
                    reply="550 5.1.1 no such box", argument=to, check="box",
                )
            )  # fmt: skip
        else:
            happened += [
                events.SmtpRcpt(at=at, trace=m, n=1, addr=to, code=250),
                events.SmtpAccept(
                    at=at, trace=m, addr="bob@mail.example", size=1234, sha256="ab" * 32, count=1,
                    recipients=(events.Recipient(1, to, to),), message_id=f"<{m}@mail.example>",
                    subject=subject, code=250, reply=f"2.0.0 queued as {ids.text(m)}",
                ),
                events.StoreDelivered(
                    at=at, trace=m, n=1, addr=to, st=stored, mailbox="INBOX", base=f"{m}.x",
                    size=1234,
                ),
            ]  # fmt: skip
        self.seq += 1
        self.recorder.apply([Applied("mta-0", self.seq, m, happened)])
        return m

    def app(self, start: str = "overview") -> MtadApp:
        """The program over this directory."""
        return MtadApp(World(Disk(self.places, self.settings), "mail.example.org"), start=start)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.recorder.close()


async def test_a_message_is_found_and_told(server: Server) -> None:
    for number in range(30):
        server.take(SUBJECTS[number % 4], f"user{number % 7}@example.org", refuse=number % 10 == 9)
    wanted = server.take("The one that is looked for")
    app = server.app()
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert "the server does not run" in text(app)
        assert "28" in next(line for line in lines(app) if "delivered  " in line)
        assert "550 5.1.1 no such box" in text(app)
        await press(pilot, "2", "/")
        await pilot.press(*"to:anna subj:looked", "enter")
        await settle(pilot)
        assert "1 of 31" in text(app)
        await press(pilot, "enter")
        screen = app.screen
        assert isinstance(screen, TimelineScreen)
        assert screen.m == wanted
        assert "delivered to anna@example.org, mailbox INBOX" in text(app)
        assert "connection from 192.0.2.9" in text(app)


async def test_the_tail_sees_what_is_recorded(server: Server) -> None:
    server.take("before")
    app = server.app("trace")
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await pilot.press("f")
        m = server.take("while it is watched")
        await until(pilot, "while it is watched")
        screen = app.screen
        assert isinstance(screen, TraceScreen)
        assert screen.table.newest == m


async def test_the_bell_of_the_log_role_is_heard(server: Server) -> None:
    async def tail(_: control.Answer) -> AsyncIterator[control.Answer]:
        async def stream() -> AsyncIterator[control.Answer]:
            for number in range(3):
                yield {"event": number}

        return stream()

    server.places.run.mkdir()
    role = await control.serve(server.places.socket("log"), {"tail": tail})
    disk = Disk(server.places, server.settings)
    rung = 0
    async for _ in disk.bell():
        rung += 1
    assert rung == 3
    role.close()
    await role.wait_closed()
    with pytest.raises(Trouble, match="does not answer"):
        async for _ in disk.bell():
            pass
    await disk.close()


async def test_a_running_role_is_alive_and_says_something(server: Server) -> None:
    async def status(_: control.Answer) -> control.Answer:
        return {"role": "log", "pid": 1, "behind": 4}

    server.take("x")
    role = await control.serve(server.places.socket("log"), {"status": status})
    disk = Disk(server.places, server.settings)
    around = await disk.around()
    assert [(one.name, one.alive) for one in around.roles] == [
        ("mta", False), ("log", True), ("access", False), ("jobs", False),
    ]  # fmt: skip
    assert around.roles[1].note == "behind 4"
    assert await disk.banner() == ""
    role.close()
    await role.wait_closed()
    assert "does not run" in await disk.banner()
    await disk.close()


async def test_figures_are_those_of_the_log(server: Server) -> None:
    for number in range(12):
        server.take("x", refuse=number % 4 == 0)
    disk = Disk(server.places, server.settings)
    now = time.time_ns() // 1000
    glance = await disk.glance(now)
    assert glance.outcomes == {State.STORED: 9, State.REFUSED: 3}
    assert glance.flow is not None
    earlier = await disk.glance(now - 2 * 24 * 3600 * 1_000_000)
    assert sum(earlier.outcomes.values()) == 0
    assert list(earlier.failures) == []
    assert earlier.flow is not None
    assert sum(earlier.flow.accepted) == 0
    assert sum(glance.flow.accepted) == 9
    assert sum(glance.flow.refused) == 3
    assert len(glance.flow.accepted) == 60
    assert glance.messages == 12
    assert glance.day_octets == 9 * 1234
    assert [failure.why for failure in glance.failures] == ["550 5.1.1 no such box"] * 3
    assert glance.boxes is None
    await disk.close()


@pytest.mark.parametrize("screen", ["overview", "trace", "snapshots"])
async def test_no_log_is_one_sentence_and_the_screen_works(tmp_path: Path, screen: str) -> None:
    settings = tmp_path / "mtad.toml"
    settings.write_text('hostname = "mail.example.org"\n')
    world = World(Disk(Places(tmp_path / "data"), settings), "mail.example.org")
    app = MtadApp(world, start=screen)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "there is no event log in" in text(app)
        assert "mtad serve" in text(app)
        await press(pilot, "2", "down", "f", "f", "1", "?", "escape")


@pytest.mark.parametrize("screen", ["overview", "trace"])
async def test_a_newer_database_is_one_sentence(server: Server, screen: str) -> None:
    server.take("x")
    server.recorder.close()
    file = months.path(server.places.log_folder, months.listing(server.places.log)[0])
    with sqlite3.connect(file) as link:
        link.execute("UPDATE alembic_version SET version_num='log_9999'")
    link.close()
    app = server.app(screen)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert "is from a newer version of mtad" in " ".join(text(app).split())
        assert "no message yet" not in text(app)
        assert "Traceback" not in text(app)


async def test_a_file_that_is_no_database_is_one_sentence(server: Server) -> None:
    (server.places.log_folder / "2026-10.db").write_bytes(
        b"no database at all, just some text" * 50
    )
    app = server.app("trace")
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert "the event log cannot be read" in text(app)


def test_sentences() -> None:
    assert "own user" in sentence(PermissionError(13, "Permission denied", "/x"))
    assert sentence(KeyError("x")).startswith("a fault of mtad")


async def test_snapshots_of_a_real_repository(server: Server) -> None:
    disk = Disk(server.places, server.settings)
    assert await disk.saved() == []
    with pytest.raises(Trouble, match="repository"):
        await disk.saved("latest")
    yard = Yard(server.places.data)
    (server.folder / "repository.key").write_bytes(yard.key.read_bytes())
    yard.deliver(ANNA, mails.plain("kept"), "Archive", "S")
    await asyncio.to_thread(
        CliRunner().invoke,
        cli.root,
        ["snapshot", "create", "--config", str(server.settings)],
        standalone_mode=False,
    )
    (snapshot,) = await disk.saved()
    assert [(box.address, box.messages) for box in await disk.saved(snapshot.name)] == [(ANNA, 1)]
    mailboxes = await disk.saved(snapshot.name, ANNA)
    assert {mailbox.name: mailbox.messages for mailbox in mailboxes}["Archive"] == 1
    (message,) = await disk.saved(snapshot.name, ANNA, "Archive")
    assert message.entry.flags == "S"
    await disk.close()
    app = server.app("snapshots")
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "enter", "enter")
        assert f"{ANNA}   " in text(app)
        assert "Archive" in text(app)


async def test_answers_come_in_threads(server: Server) -> None:
    for _ in range(5):
        server.take("x")
    disk = Disk(server.places, server.settings)
    source = disk.messages(search.EVERYTHING)
    found = [list(chunk) async for chunk in source.id_chunks()]
    assert sum(map(len, found)) == 5
    rows = await source.rows(found[0])
    assert set(rows) == set(found[0])
    assert list(await source.newer(found[0][1])) == found[0][:1]
    assert await disk.total() == 5
    await disk.close()


async def test_what_a_screen_shows_first_is_read_before_there_is_a_loop(server: Server) -> None:
    first = server.take("x")
    disk = Disk(server.places, server.settings)
    disk.begin("trace", "to:anna")
    assert disk._first is not None
    disk._first._asked.result(10)
    second = server.take("later")
    early = disk.messages(search.parse("to:anna", 0))
    known = early.known()
    assert known is not None
    assert list(known[0]) == list(known[1]) == [first]
    assert [list(chunk) async for chunk in early.id_chunks()] == [[first]]
    assert list(await early.rows([first])) == [first]
    assert list(await early.newer(first)) == [second]
    again = disk.messages(search.parse("to:anna", 0))
    assert [list(chunk) async for chunk in again.id_chunks()] == [[second, first]]
    disk.begin("trace", "form:x")
    assert disk.known_glance() is None
    disk.begin("overview", "")
    assert disk._glanced is not None
    known_glance = disk._glanced.result(10)
    assert disk.known_glance() is known_glance
    assert (await disk.glance(time.time_ns() // 1000)).messages == 2
    assert disk.known_glance() is None
    await disk.close()


@pytest.mark.parametrize("screen", ["overview", "trace"])
async def test_what_has_been_read_is_in_the_first_picture(server: Server, screen: str) -> None:
    for number in range(3):
        server.take("Shown at once", refuse=number == 1)
    disk = Disk(server.places, server.settings)
    disk.begin(screen, "")
    if disk._glanced is not None:
        disk._glanced.result(10)
    if disk._first is not None:
        disk._first._asked.result(10)
    seen: list[str] = []

    class First(MtadApp):
        def on_mount(self) -> None:
            laid_out = self.screen.screen_layout_refresh_signal
            laid_out.subscribe(self, lambda _: seen.append(text(self)))

    app = First(World(disk, "mail.example.org"), start=screen)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
    assert "550 5.1.1" in seen[0] if screen == "overview" else "Shown at once" in seen[0]


@pytest.mark.parametrize("screen", ["overview", "trace", "timeline", "snapshots"])
def test_a_picture_needs_no_terminal(server: Server, tmp_path: Path, screen: str) -> None:
    server.take("Shown in the picture")
    file = tmp_path / "screen.svg"
    result = CliRunner().invoke(
        cli.root,
        ["tui", "--config", str(server.settings), "--screenshot", str(file), "--screen", screen,
         "--size", "100x30"],
        standalone_mode=False,
    )  # fmt: skip
    assert result.exception is None
    drawn = file.read_text()
    assert drawn.startswith("<svg")
    assert "mail.example.org" in drawn
    if screen in ("trace", "timeline"):
        assert "picture" in drawn


def test_without_a_terminal_it_says_what_to_do(server: Server) -> None:
    result = CliRunner().invoke(
        cli.root, ["tui", "--config", str(server.settings)], standalone_mode=False
    )
    assert getattr(result.exception, "exit_code", None) == Exit.USAGE
    assert "--screenshot" in str(result.exception)
    wrong = ["tui", "--config", str(server.settings), "--screenshot", "x.svg", "--size", "big"]
    result = CliRunner().invoke(cli.root, wrong, standalone_mode=False)
    assert "120x36" in str(result.exception)


def test_a_fault_leaves_one_sentence_and_a_file(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("made up")

    server.places.run.mkdir()
    monkeypatch.setattr(TraceScreen, "_status", fail)
    arguments = ["tui", "--config", str(server.settings), "--screenshot", str(tmp_path / "x.svg"),
                 "--screen", "trace"]  # fmt: skip
    result = CliRunner().invoke(cli.root, arguments, standalone_mode=False)
    assert "ended because of a fault" in str(result.exception)
    (kept,) = server.places.run.glob("tui-fault-*.log")
    assert "made up" in kept.read_text()
    assert os.stat(kept).st_mode & 0o077 == 0
    assert "Traceback" not in capfd.readouterr().err
    assert not (tmp_path / "x.svg").exists()


async def test_the_books_are_told_as_they_were_audited_last(tmp_path: Path) -> None:
    places = Places(tmp_path)
    places.run.mkdir(parents=True)
    disk = Disk(places, tmp_path / "mtad.toml")
    assert await disk.books() == ""
    ledger.write(places, ["one", "two"], whole=True)
    assert await disk.books() == "the books do not balance: 2 violations; 'mtad audit' tells all"
    ledger.write(places, [], whole=True)
    assert await disk.books() == ""
    await disk.close()
