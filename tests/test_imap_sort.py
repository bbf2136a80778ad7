"""SORT and UID SORT (RFC 5256, RFC 5267)."""

import re
from pathlib import Path

import pytest

from mtad.imap import sorting
from tests.imap import Running, serving

MAILS = (
    b"From: zed@x\nTo: mia@x\nSubject: beta\nDate: Wed, 4 Mar 2026 10:00:00 +0000\n\n" + b"x" * 50,
    b"From: Amy <amy@x>\nCc: bob@x\nSubject: Re: Alpha\nDate: Wed, 4 Mar 2026 12:00:00 +0300\n\n",
    b"From: amy@x\nCc: al@x, zz@x\nSubject: [list] alpha\nDate: Tue, 3 Mar 2026 1:00:00 +0000\n\n",
    b"Subject: Fwd: beta (fwd)\nDate: Mon, 1 Jan 2035 00:00:00 +0000\n\n" + b"x" * 20,
    b"Subject: =?utf-8?B?0LPQsNC80LzQsA==?=\nDate: Mon, 2 Jan 2006 00:00:00 +0000\n\n",
)


async def filled(running: Running) -> None:
    for mail in MAILS:
        await running.deliver(mail)


@pytest.mark.parametrize(
    ("criteria", "order"),
    [
        ("ARRIVAL", "1 2 3 4 5"),
        ("REVERSE ARRIVAL", "5 4 3 2 1"),
        ("DATE", "5 3 2 1 4"),
        ("REVERSE DATE", "4 1 2 3 5"),
        ("SUBJECT", "2 3 1 4 5"),
        ("REVERSE SUBJECT DATE", "5 1 4 3 2"),
        ("SUBJECT REVERSE DATE", "2 3 4 1 5"),
        ("FROM", "4 5 2 3 1"),
        ("TO", "2 3 4 5 1"),
        ("CC", "1 4 5 3 2"),
        ("SIZE", "4 5 3 2 1"),
        ("FROM REVERSE CC SUBJECT", "4 5 2 3 1"),
    ],
)
async def test_an_order(criteria: str, order: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await filled(running)
        async with running.client("SELECT INBOX") as client:
            if criteria == "SIZE":
                sizes = [
                    int(re.findall(r"SIZE (\d+)", one)[0])
                    for one in await client.ok("FETCH 1:* RFC822.SIZE")
                ]
                found = sorted(range(5), key=sizes.__getitem__)
                order = " ".join(str(at + 1) for at in found)
            assert await client.ok(f"SORT ({criteria}) UTF-8 ALL") == [f"* SORT {order}"]


async def test_long_lists_are_sorted_in_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorting, "RUN", 2)
    async with serving(tmp_path) as running:
        await filled(running)
        async with running.client("SELECT INBOX") as client:
            for asked, order in (
                ("REVERSE SUBJECT DATE", "5 1 4 3 2"),
                ("SUBJECT REVERSE DATE", "2 3 4 1 5"),
                ("FROM REVERSE CC SUBJECT", "4 5 2 3 1"),
            ):
                assert await client.ok(f"SORT ({asked}) UTF-8 ALL") == [f"* SORT {order}"]


async def test_what_is_told_and_how(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await filled(running)
        async with running.client("SELECT INBOX") as client:
            assert await client.ok("UID SORT (DATE) UTF-8 2:4") == ["* SORT 3 2 4"]
            assert await client.ok("SORT (DATE) US-ASCII DELETED") == ["* SORT"]
            (said,) = await client.ok("SORT RETURN (MIN MAX ALL COUNT) (DATE) UTF-8 ALL")
            assert said.endswith(" MIN 5 MAX 4 ALL 5,3,2,1,4 COUNT 5")
            (said,) = await client.ok("UID SORT RETURN (PARTIAL 2:3) (DATE) UTF-8 ALL")
            assert said.endswith(" UID PARTIAL (2:3 3,2)")
            assert (await client.no("SORT (DATE) X-NONE ALL")).startswith("NO [BADCHARSET ")
            for command in ("SORT () UTF-8 ALL", "SORT (LUCK) UTF-8 ALL", "SORT (DATE) UTF-8"):
                assert (await client.no(command)).startswith("BAD ")
