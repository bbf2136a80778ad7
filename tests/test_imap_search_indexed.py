"""SEARCH TEXT and BODY with an index of texts: the same answers, from fewer files."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from mtad.imap import scanner, scanning
from mtad.store import text_filling
from tests.imap import ALICE, Client, Running, serving
from tests.test_store_texts import MAILS, known

NEEDLES = [
    *("p", "пр", "при", "ПРИВ", "договор", "Счёт", "bold", "subject", "SUBJECT: ", "no-such-text"),
    *("e@e", "@example", "text/html", "ab", "\x01", "ß", "ﬁ", "😀 ", "zero", "(AND*)", "'NOT'"),
    *('"quoted"', "nonsense", "от", "оплату № 42", "base64", "lorem ipsum " * 20),
]


async def answers(client: Client) -> list[Sequence[str]]:
    found: list[Sequence[str]] = []
    for needle in NEEDLES:
        for keys in ("TEXT {}", "BODY {}", "NOT TEXT {}", "2:9 OR BODY {} FROM ann"):
            found.append(await client.ok(f"SEARCH CHARSET UTF-8 {keys}", needle))
    return found


async def indexed(running: Running, count: int) -> None:
    async with running.box() as box:
        for _ in range(2000):
            if known(running.folder(ALICE)) == count and box.texts._task is None:
                return
            await asyncio.sleep(0.01)
    pytest.fail("it was not indexed")


async def test_answers_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_filling, "SOON_SECONDS", 0)
    looked: list[int] = []
    ask = scanning.Worker.ask

    def counted(worker: scanning.Worker, request: scanner.Request) -> bytes:
        looked.append(len(request.paths))
        return ask(worker, request)

    monkeypatch.setattr(scanning.Worker, "ask", counted)
    async with serving(tmp_path) as running:
        await running.deliver(*MAILS)
        async with running.client("SELECT INBOX") as client:
            without = await answers(client)
            assert {line for lines in without for line in lines} > {"* SEARCH"}
            all_files = sum(looked)
            looked.clear()
            running.shelf.full_text = True
            assert await answers(client) == without  # while it is being filled
            await indexed(running, len(MAILS))
            looked.clear()
            assert await answers(client) == without
            assert sum(looked) < all_files * 2 // 3
            looked.clear()
            assert await client.ok("SEARCH TEXT no-such-text") == ["* SEARCH"]
            assert not looked


async def test_what_came_or_went_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_filling, "SOON_SECONDS", 0)
    async with serving(tmp_path) as running:
        running.shelf.full_text = True
        await running.deliver(*MAILS)
        await indexed(running, len(MAILS))
        async with running.client("SELECT INBOX") as client:
            monkeypatch.setattr(text_filling, "SOON_SECONDS", 60)
            await running.deliver(b"Subject: late\n\nunheard-of\n")
            last = len(MAILS) + 1
            assert await client.ok("NOOP")
            assert await client.ok("SEARCH BODY unheard-of") == [f"* SEARCH {last}"]
            await client.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
            before = (await client.ok("SEARCH TEXT e"))[0].split()
            assert re.match(r"\* 1 EXPUNGE", (await client.ok("EXPUNGE"))[0])
            after = (await client.ok("SEARCH TEXT e"))[0].split()
            assert len(after) == len(before) - ("1" in before)
            assert await client.ok("SEARCH TEXT unheard-of") == [f"* SEARCH {last - 1}"]
