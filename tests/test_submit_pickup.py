"""What local programs leave is taken once, whatever happens meanwhile."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from mtad.address import Address
from mtad.delivery.local import Delivery
from mtad.directory.lookup import Target
from mtad.journal import disk
from mtad.journal.errors import JournalFull
from mtad.submit import drop
from mtad.submit.pickup import Pickup
from mtad.where import Places
from tests.dialog import Memory
from tests.server import Server, until
from tracing import ids

MESSAGE = b"From: cron@host.test\nTo: root\nBcc: x@y.test\nSubject: done\n\nall well\n"


class Book:
    def is_local(self, domain: str) -> bool:
        return domain == "host.test"

    def resolve(self, address: Address) -> tuple[Target, ...]:
        given = str(address)
        if given == "root@host.test":
            return (Target("admin@host.test", given, True),)
        if given == "fw@host.test":
            return (Target("me@far.test", given, False, True, True),)
        return ()

    def refresh(self) -> None:
        pass


class Bench:
    def __init__(self, folder: Path) -> None:
        self.drop = folder / "drop"
        self.drop.mkdir()
        self.journal = Memory()
        self.known: set[int] = set()
        places = Places(folder)
        self.pickup = Pickup(
            self.drop,
            self.journal,
            Book(),
            Delivery(self.journal, places, "host.test"),
            self.known.__contains__,
            "host.test",
            1 << 20,
        )

    def leave(self, *recipients: str, message: bytes = MESSAGE) -> Path:
        return drop.leave(self.drop, drop.Envelope("cron@host.test", recipients), message)

    def look(self) -> None:
        asyncio.run(self.pickup.look())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_message_is_taken_with_its_fate_planned(bench: Bench) -> None:
    bench.leave("root@host.test", "fw@host.test", "a@far.test", "nobody@host.test")
    bench.look()
    assert os.listdir(bench.drop) == []
    (frame,) = bench.journal.frames
    meta, body = frame
    assert [link.box for link in meta.links] == ["admin@host.test"]
    added = bench.journal.all("queue.add")
    assert [(e.n, e.addr) for e in added] == [
        (2, "me@far.test"), (3, "a@far.test"), (4, "nobody@host.test"),
    ]  # fmt: skip
    made = bench.journal.one("mail.made")
    assert made.rel == "local"
    assert made.actor.startswith("user:")
    assert body.startswith(b"Return-Path: <cron@host.test>\nReceived: by host.test (mtad, from ")
    assert b"Bcc" not in body
    assert b"\nMessage-ID: <" + ids.text(made.trace).encode() in body


def test_what_was_half_taken_is_taken_or_gone(bench: Bench) -> None:
    halfway = bench.leave("root@host.test")
    done = bench.leave("root@host.test")
    first, second = ids.Mint(1).new(), ids.Mint(2).new()
    halfway.rename(halfway.with_name(f"1.{ids.text(first)}.taken"))
    done.rename(done.with_name(f"2.{ids.text(second)}.taken"))
    bench.known.add(second)
    bench.look()
    assert os.listdir(bench.drop) == []
    assert [e.trace for e in bench.journal.all("mail.made")] == [first]


def test_where_there_is_no_room_it_waits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.leave("root@host.test")

    async def full(*_: Any, **__: Any) -> int:
        raise JournalFull("full")

    with monkeypatch.context() as patch:
        patch.setattr(bench.journal, "commit", full)
        with pytest.raises(JournalFull):
            bench.look()
    (waits,) = os.listdir(bench.drop)
    assert waits.endswith(".taken")
    bench.look()
    assert os.listdir(bench.drop) == []
    assert len(bench.journal.frames) == 1


@pytest.mark.parametrize(
    ("recipients", "planted"),
    [(("not an address",), b""), ((), b"no envelope\n"), ((), b"")],
)
def test_what_is_no_message_is_set_aside_and_told(
    bench: Bench, recipients: tuple[str, ...], planted: bytes
) -> None:
    if recipients:
        bench.leave(*recipients)
    else:
        (bench.drop / "9.drop").write_bytes(planted)
    bench.leave("root@host.test")
    bench.look()
    (bad,) = os.listdir(bench.drop)
    assert bad.endswith(".bad")
    assert bench.journal.kinds.count("check.result") == 1
    assert len(bench.journal.frames) == 1
    bench.look()
    assert os.listdir(bench.drop) == [bad]


def test_claimed_durably_before_it_is_taken(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.leave("root@host.test")
    done: list[str] = []
    for name in ("rename", "fsync", "unlink"):
        real = getattr(disk, name)

        def noted(*words: Any, name: str = name, real: Any = real) -> Any:
            done.append(name)
            return real(*words)

        monkeypatch.setattr(disk, name, noted)
    commit = bench.journal.commit

    async def committed(*words: Any) -> int:
        done.append("commit")
        return await commit(*words)

    monkeypatch.setattr(bench.journal, "commit", committed)
    bench.look()
    assert done == ["rename", "fsync", "commit", "unlink", "fsync"]


def test_sendmail_on_a_real_server(tmp_path: Path) -> None:
    with Server(tmp_path / "server") as server:
        server.start()
        text = "Subject: from cron\n\nhello\n"
        server.mtad("sendmail", "-i", "you@example.org", text=text)
        folder = server.places.data / "drop"
        until(lambda: not os.listdir(folder), what="the drop to be empty")
        server.settle()
        assert "from cron" in server.mtad("mail", "list", "--box", "you@example.org").stdout
        server.stop()
        server.mtad("sendmail", "-i", "you@example.org", text=text.replace("cron", "night"))
        assert len(os.listdir(folder)) == 1
        server.start()
        until(lambda: not os.listdir(folder), what="the drop to be empty")
        server.settle()
        assert "from night" in server.mtad("mail", "list", "--box", "you@example.org").stdout
        server.mtad("audit")
        server.stop()
