"""What POP3 clients deleted and is kept for a while: hidden, durable, gone in the end."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mtad import control
from mtad.access import keeping
from mtad.clock import now_us
from mtad.journal import disk
from mtad.pop3 import kept
from mtad.store import maildir
from tests.pop3 import ALICE, BOB, MAIL, SECRET, Running, serving
from tests.test_jobs import loaded, role_of
from tracing.events import Pop3Dele, decode

__all__ = ["loaded"]

DAY = keeping.DAY


async def delete(running: Running, *numbers: int) -> None:
    async with running.logged_in() as client:
        for number in numbers:
            await client.talk(f"C: DELE {number}\nS: .OK .*")
        await client.talk("C: QUIT\nS: .OK bye\nEOF")
    await running.over()


def older(running: Running, days: int) -> None:
    """Let all deletions be that much longer ago."""
    kept.change(running.folder(), lambda was: {st: at - days * DAY for st, at in was.items()})


async def test_they_go_when_their_time_is_over(tmp_path: Path) -> None:
    async with serving(tmp_path, keep_fetched_days=3) as running:
        uidls = running.deliver(*(MAIL % n for n in range(3)))
        running.deliver(MAIL % 9, box=BOB)
        await delete(running, 1, 2)
        expire = keeping.expire
        assert await expire(running.shelf, running.places, 3 * DAY) == 0
        assert len(running.files()) == 3
        older(running, 4)
        assert await expire(running.shelf, running.places, 3 * DAY) == 2
        assert [name.split(".")[1] for name in running.files()] == uidls[2:]
        assert kept.read(running.folder()) == {}
        assert await expire(running.shelf, running.places, 0) == 0


async def test_what_was_moved_meanwhile_stays(tmp_path: Path) -> None:
    async with serving(tmp_path, keep_fetched_days=3) as running:
        running.deliver(MAIL % 1, MAIL % 2)
        await delete(running, 1, 2)
        async with running.shelf.use(ALICE) as box:
            await box.create("Kept", actor="user:x")
            await box.move("INBOX", [1], "Kept", actor="user:x")
        assert await keeping.expire(running.shelf, running.places, 0) == 1
        async with running.shelf.use(ALICE) as box:
            assert len(await box.messages("Kept")) == 1
        assert kept.read(running.folder()) == {}


async def test_imap_shows_what_pop3_hides(tmp_path: Path) -> None:
    async with serving(tmp_path, keep_fetched_days=3) as running:
        running.deliver(MAIL % 1)
        await delete(running, 1)
        async with running.client("imap") as client:
            await client.talk(
                rf"""
                S: .*
                C: 1 LOGIN {ALICE} "{SECRET}"
                S: 1 OK .*
                C: 2 STATUS INBOX (MESSAGES)
                S: \* STATUS "?INBOX"? \(MESSAGES 1\)
                S: 2 OK .*
                """
            )


async def test_the_log_has_each_of_them(tmp_path: Path) -> None:
    committed: list[Any] = []
    async with serving(tmp_path, keep_fetched_days=3) as running:
        running.deliver(MAIL % 1, MAIL % 2)
        commit = running.journal.commit

        async def watched(meta: Any, body: bytes = b"") -> int:
            committed.append(meta)
            assert kept.read(running.folder()) == {}, "the event comes first"
            return await commit(meta, body)

        running.journal.commit = watched  # type: ignore[method-assign]
        await delete(running, 1, 2)
    (event,) = [decode(event) for meta in committed for event in meta.events]
    assert isinstance(event, Pop3Dele)
    assert [item.uid for item in event.items] == [1, 2]
    assert (event.days, event.actor, event.client) == (3, f"user:{ALICE}", "pop3 from 127.0.0.1")


@pytest.mark.parametrize("step", ["write_all", "fsync", "rename", "sync_folder"])
def test_it_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    kept.change(tmp_path, lambda was: {1: 10})

    def fail(*_: object) -> None:
        raise OSError(28, "no space")

    owner = disk if step in ("write_all", "fsync") else maildir
    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(OSError, match="no space"):
        kept.change(tmp_path, lambda was: was | {2: 20})
    monkeypatch.undo()
    assert kept.read(tmp_path) == ({1: 10, 2: 20} if step == "sync_folder" else {1: 10})


def test_synced_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    for owner, name in ((disk, "fsync"), (maildir, "rename"), (maildir, "sync_folder")):
        real = getattr(owner, name)

        def noted(*given: Any, real: Any = real, name: str = name) -> Any:
            steps.append(name)
            return real(*given)

        monkeypatch.setattr(owner, name, noted)
    kept.change(tmp_path, lambda was: {1: now_us()})
    assert steps[:3] == ["fsync", "rename", "sync_folder"]


async def test_the_job_asks_the_owner(loaded: Any) -> None:
    asked: list[dict[str, Any]] = []

    async def purge(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        return {"count": 7}

    async with role_of(loaded) as role:
        assert await role.purge_fetched() == 0
        loaded.places.run.mkdir(exist_ok=True)
        server = await control.serve(loaded.places.socket("access"), {"pop3.purge": purge})
        assert await role.purge_fetched() == 7
        server.close()
        await asyncio.sleep(0)
    assert asked == [{}]
