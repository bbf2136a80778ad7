"""IMAP libraries of Python at a running server: each with its own way to ask and to read."""

import asyncio
import threading
from pathlib import Path

import aioimaplib
import imap_tools
import imapclient

from tests.imap import ALICE, SECRET, serving
from tests.test_imap_clients import in_thread, mail

HOST = "127.0.0.1"


def crlf(number: int) -> bytes:
    return mail(number).replace(b"\n", b"\r\n")


async def test_imapclient(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(*map(mail, range(1, 6)))

        def talk() -> None:
            with imapclient.IMAPClient(HOST, running.ports["imap"], ssl=False, timeout=20) as one:
                one.login(ALICE, SECRET)
                assert {b"IDLE", b"MOVE", b"UIDPLUS"} <= set(one.capabilities())
                one.create_folder("Papers/Привет")
                assert "Papers/Привет" in [name for _, _, name in one.list_folders()]
                assert one.select_folder("INBOX")[b"EXISTS"] == 5
                uids = one.search(["SUBJECT", "number 3"])
                fetched = one.fetch(uids, ["BODY.PEEK[]", "ENVELOPE", "INTERNALDATE", "FLAGS"])
                assert fetched[uids[0]][b"BODY[]"] == crlf(3)
                assert fetched[uids[0]][b"ENVELOPE"].subject == b"number 3"
                assert one.add_flags(uids, [imapclient.FLAGGED, "$Work"])[uids[0]]
                assert one.get_flags(uids)[uids[0]] >= (b"$Work",)
                assert one.sort("REVERSE ARRIVAL") == sorted(one.search(), reverse=True)
                one.copy(uids, "Papers/Привет")
                one.move([1, 2], "Papers/Привет")
                assert one.search() == [3, 4, 5]
                one.append("INBOX", mail(9), [imapclient.SEEN])
                assert one.folder_status("INBOX", ["MESSAGES"])[b"MESSAGES"] == 4
                one.delete_messages([4])
                one.uid_expunge([4])
                assert 4 not in one.search()
                assert one.get_quota_root("INBOX")
                one.logout()

        await in_thread(talk)


async def test_imapclient_idles(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(mail(1))
        idles = threading.Event()

        def talk() -> list[tuple[object, ...]]:
            with imapclient.IMAPClient(HOST, running.ports["imap"], ssl=False, timeout=20) as one:
                one.login(ALICE, SECRET)
                one.select_folder("INBOX")
                one.idle()
                idles.set()
                told: list[tuple[object, ...]] = []
                while (2, b"EXISTS") not in told:
                    told += one.idle_check(timeout=20)
                one.idle_done()
                return told

        listening = asyncio.ensure_future(in_thread(talk))
        await in_thread(lambda: idles.wait(20))
        await running.deliver(mail(2))
        assert (2, b"EXISTS") in await listening


async def test_imap_tools(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(*map(mail, range(1, 6)))

        def talk() -> None:
            box = imap_tools.MailBoxUnencrypted(HOST, running.ports["imap"], timeout=20)
            with box.login(ALICE, SECRET):
                box.folder.create("Archive")
                assert {folder.name for folder in box.folder.list()} >= {"INBOX", "Archive"}
                found = list(box.fetch(imap_tools.AND(subject="number"), mark_seen=False))
                assert [one.subject for one in found] == [f"number {n}" for n in range(1, 6)]
                assert found[0].text == "body 1\r\n"
                box.flag(["1", "2"], imap_tools.MailMessageFlags.SEEN, True)
                assert box.uids(imap_tools.AND(seen=True)) == ["1", "2"]
                box.move(["1"], "Archive")
                box.delete(["2"])
                assert box.uids() == ["3", "4", "5"]
                box.append(mail(7), "Archive", flag_set=[imap_tools.MailMessageFlags.FLAGGED])
                assert box.folder.status("Archive")["MESSAGES"] == 2
                box.folder.rename("Archive", "Old")
                box.folder.delete("Old")

        await in_thread(talk)


async def test_aioimaplib(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(*map(mail, range(1, 4)))
        one = aioimaplib.IMAP4(HOST, running.ports["imap"], timeout=20)
        await one.wait_hello_from_server()
        assert (await one.login(ALICE, SECRET)).result == "OK"
        assert b"3 EXISTS" in (await one.select("INBOX")).lines
        assert (await one.search("SUBJECT", '"number 2"')).lines[0] == b"2"
        fetched = await one.fetch("2", "(BODY.PEEK[])")
        assert bytes(fetched.lines[1]) == crlf(2)
        assert (await one.store("2", "+FLAGS", r"(\Flagged)")).result == "OK"
        assert (await one.append(mail(8), "INBOX")).result == "OK"
        assert (await one.create("Out")).result == "OK"
        assert (await one.uid("move", "1", "Out")).result == "OK"
        idling = await one.idle_start(timeout=20)
        await running.deliver(mail(9))
        assert b"4 EXISTS" in await one.wait_server_push(timeout=20)
        one.idle_done()
        await asyncio.wait_for(idling, 20)
        assert (await one.logout()).result == "OK"
