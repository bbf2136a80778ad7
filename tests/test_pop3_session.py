"""POP3 sessions as dialogs: commands in each state, what they change, and what they tell."""

import asyncio
import base64
import hashlib
from pathlib import Path

import pytest

from mtad.journal.errors import JournalFull
from mtad.pop3 import kept, maildrop
from mtad.store.values import Prepared
from tests.pop3 import ALICE, BOB, HOST, MAIL, SECRET, Client, serving, until


async def many(client: Client, command: str) -> list[str]:
    """A multi-line response without its end."""
    await client.send(f"{command}\r\n".encode())
    first = await client.line()
    assert first.startswith("+OK"), (command, first)
    lines: list[str] = []
    while (line := await client.line()) != ".":
        assert line != "EOF", (command, lines)
        lines.append(line)
    return lines


async def test_a_whole_session(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        first, second = running.deliver(MAIL % 1, MAIL % 2)
        async with running.logged_in() as client:
            size = len(MAIL % 1)
            await client.talk(
                rf"""
                C: STAT
                S: \+OK 2 {2 * size}
                C: LIST
                S: \+OK 2 messages \({2 * size} octets\)
                S: 1 {size}
                S: 2 {size}
                S: \.
                C: LIST 2
                S: \+OK 2 {size}
                C: UIDL
                S: \+OK .*
                S: 1 {first}
                S: 2 {second}
                S: \.
                C: uidl 1
                S: \+OK 1 {first}
                C: RETR 1
                S: \+OK {size} octets
                S: From: a@example.net
                S: To: alice@local.test
                S: Subject: number 1
                S: ()
                S: hello
                S: \.
                C: TOP 2 0
                S: \+OK .*
                S: From: a@example.net
                S: To: alice@local.test
                S: Subject: number 2
                S: ()
                S: \.
                C: NOOP
                S: \+OK .*
                C: DELE 1
                S: \+OK .*
                C: DELE 1
                S: -ERR message 1 is deleted
                C: RETR 1
                S: -ERR message 1 is deleted
                C: LIST
                S: \+OK 1 messages \({size} octets\)
                S: 2 {size}
                S: \.
                C: RSET
                S: \+OK 2 messages, {2 * size} octets
                C: DELE 2
                S: \+OK .*
                C: QUIT
                S: \+OK .*
                EOF
                """
            )
        await running.over()
        assert [first] == [name.split(".")[1] for name in running.files()]
        gone = running.journal.all("pop3.retr")
        assert len(gone) == 1
        assert [item.uid for item in gone[0].items] == [1]
        assert gone[0].client == "pop3 from 127.0.0.1"
        logout = running.journal.all("auth.logout")[0]
        assert (logout.addr, logout.why, logout.service) == (ALICE, "quit", "pop3")
        assert (logout.messages, logout.deleted) == (1, 1)
        assert logout.sent > logout.received > 100
        assert running.journal.all("auth.ok")[0].service == "pop3"


@pytest.mark.parametrize(
    ("stored", "fetched"),
    [
        (b"A: b\r\n\r\nx\r\n", b"A: b\r\n\r\nx\r\n"),
        (b"A: b\n\nx\n", b"A: b\r\n\r\nx\r\n"),
        (b"A: b\n\nx", b"A: b\r\n\r\nx\r\n"),
        (b"A: b\r\n\r\n.\r\n..\r\n.x", b"A: b\r\n\r\n.\r\n..\r\n.x\r\n"),
        (b".A: b\n\n.\n", b".A: b\r\n\r\n.\r\n"),
        (b"A: b\n\n" + b"y" * 300_000 + b"\n.\n", b"A: b\r\n\r\n" + b"y" * 300_000 + b"\r\n.\r\n"),
        (b"A: b\n\n" + b".z\n" * 200_000, b"A: b\r\n\r\n" + b".z\r\n" * 200_000),
        (b"", b""),
    ],
)
async def test_the_octets_of_a_message(tmp_path: Path, stored: bytes, fetched: bytes) -> None:
    async with serving(tmp_path) as running:
        running.deliver(stored)
        async with running.logged_in() as client:
            await client.send(b"RETR 1\r\nLIST 1\r\n")
            said = await client.line()
            octets = b""
            while (line := await client.reader.readline()) != b".\r\n":
                octets += line.removeprefix(b".")
            assert octets == fetched
            listed = await client.line()
            short = 2 if stored and not stored.endswith(b"\n") else 0
            assert listed == f"+OK 1 {len(fetched) - short}"
            assert said == f"+OK {len(fetched) - short} octets"


async def test_top_counts_lines_of_the_body(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        running.deliver(b"A: b\n\none\ntwo\nthree\n", b"only: header\n")
        async with running.logged_in() as client:
            assert await many(client, "TOP 1 2") == ["A: b", "", "one", "two"]
            assert await many(client, "TOP 1 100") == ["A: b", "", "one", "two", "three"]
            assert await many(client, "TOP 2 5") == ["only: header"]
        await running.over()
        assert running.journal.all("pop3.retr") == []


async def test_numbers_stay_when_the_box_changes(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        running.deliver(*(MAIL % n for n in range(1, 4)))
        async with running.logged_in() as client:
            async with running.shelf.use(ALICE) as box:
                await box.expunge("INBOX", [1], actor="user:x")
                await box.flags("INBOX", [3], ["\\Flagged"], actor="user:x")
            running.deliver(MAIL % 4)
            await client.talk(
                r"""
                C: STAT
                S: \+OK 3 .*
                C: RETR 1
                S: -ERR the message was deleted by another program meanwhile
                C: TOP 3 0
                S: \+OK .*
                S: From: .*
                S: To: .*
                S: Subject: number 3
                S: ()
                S: \.
                """
            )


async def test_unique_ids_survive_moves_and_flags(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        first, second = running.deliver(MAIL % 1, MAIL % 2)
        async with running.shelf.use(ALICE) as box:
            await box.sync()
            await box.create("Later", actor="user:x")
            await box.move("INBOX", [1], "Later", actor="user:x")
            await box.move("Later", [1], "INBOX", actor="user:x")
            await box.flags("INBOX", [2, 3], ["\\Seen", "$Junk"], actor="user:x")
        async with running.logged_in() as client:
            assert await many(client, "UIDL") == [f"1 {second}", f"2 {first}"]


async def test_one_session_at_a_time(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        async with running.logged_in() as client:
            async with running.client() as other:
                await other.talk(
                    rf"""
                    S: \+OK .*
                    C: USER {ALICE}
                    S: \+OK .*
                    C: PASS {SECRET}
                    S: -ERR \[IN-USE\] another session of POP3 has the box
                    C: USER {BOB}
                    S: \+OK .*
                    C: PASS {SECRET} 2
                    S: \+OK 0 messages, 0 octets
                    """
                )
            await client.talk("C: QUIT\nS: .*\nEOF")
        await running.over(2)
        async with running.logged_in():
            pass


async def test_deleted_only_at_quit(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        running.deliver(MAIL % 1)
        async with running.logged_in() as client:
            await client.talk("C: DELE 1\nS: .*")
        await running.over()
        assert len(running.files()) == 1
        assert running.journal.all("auth.logout")[0].why == "lost"


async def test_what_was_fetched_is_seen(tmp_path: Path) -> None:
    for marks, flags in ((True, ["S", ""]), (False, ["", ""])):
        folder = tmp_path / str(marks)
        folder.mkdir()
        async with serving(folder, mark_seen=marks) as running:
            running.deliver(MAIL % 1, MAIL % 2)
            async with running.logged_in() as client:
                await many(client, "RETR 1")
                await many(client, "TOP 2 1")
                await client.talk("C: QUIT\nS: .*\nEOF")
            async with running.shelf.use(ALICE) as box:
                assert [one.flags for one in box.owner.messages("INBOX")] == flags


async def test_deleted_messages_are_kept_for_a_while(tmp_path: Path) -> None:
    async with serving(tmp_path, keep_fetched_days=3) as running:
        first, second = running.deliver(MAIL % 1, MAIL % 2)
        async with running.logged_in() as client:
            await client.talk("C: DELE 1\nS: .*\nC: QUIT\nS: .OK .*\nEOF")
        await running.over()
        event = running.journal.all("pop3.dele")
        assert event == []  # it was committed, not noted
        assert len(running.files()) == 2
        async with running.logged_in() as client:
            assert await many(client, "UIDL") == [f"1 {second}"]
        (running.folder() / kept.NAME).write_bytes(b"rubbish")
        await running.over(2)
        async with running.logged_in() as client:
            assert await many(client, "UIDL") == [f"1 {first}", f"2 {second}"]


async def test_a_journal_that_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as running:
        running.deliver(MAIL % 1)
        async with running.logged_in() as client:
            await client.talk("C: DELE 1\nS: .*")

            def full(*_: object) -> int:
                raise JournalFull("no space")

            monkeypatch.setattr(running.journal, "commit_now", full)
            await client.talk(r"C: QUIT" "\n" r"S: -ERR \[SYS/TEMP\] .*" "\nEOF")
        monkeypatch.undo()
        assert len(running.files()) == 1


async def test_capabilities_are_true(tmp_path: Path) -> None:
    async with serving(tmp_path, login_delay_seconds=7) as running, running.client() as client:
        await client.line()
        names = await many(client, "CAPA")
        assert "LOGIN-DELAY 7" in names
        assert "EXPIRE NEVER" in names
        assert "STLS" not in names
        assert {"TOP", "UIDL", "USER", "PIPELINING", "UTF8", "RESP-CODES", "AUTH-RESP-CODE"} <= {
            *names
        }
        assert any(name.startswith("SASL SCRAM-SHA-256 PLAIN") for name in names), names
        await client.talk(
            r"""
            C: STLS
            S: -ERR TLS is not offered
            C: UTF8
            S: \+OK .*
            C: UTF8 USER
            S: -ERR .*
            """
        )


async def test_login_delay(tmp_path: Path) -> None:
    async with serving(tmp_path, login_delay_seconds=100) as running:
        async with running.logged_in() as client:
            await client.talk("C: QUIT\nS: .*\nEOF")
        async with running.client() as client:
            await client.talk(
                rf"""
                S: .*
                C: USER {ALICE}
                S: .*
                C: PASS {SECRET}
                S: -ERR \[LOGIN-DELAY\] .*
                """
            )


async def test_logins(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        plain = base64.b64encode(f"\0{ALICE}\0{SECRET}".encode()).decode()
        async with running.client() as client:
            await client.talk(
                rf"""
                S: \+OK {HOST} is ready
                C: PASS x
                S: -ERR say USER first
                C: USER {ALICE}
                S: \+OK .*
                C: PASS wrong
                S: -ERR \[AUTH\] wrong login or password
                C: USER nobody@local.test
                S: \+OK .*
                C: PASS wrong
                S: -ERR \[AUTH\] wrong login or password
                C: STAT
                S: -ERR not now
                C: APOP {ALICE} c4c9334bac560ecc979e58001b3e22fb
                S: -ERR there is no such command
                C: AUTH
                S: \+OK .*
                S: SCRAM-SHA-256
                S: PLAIN
                S: LOGIN
                S: CRAM-MD5
                S: \.
                C: AUTH NTLM
                S: -ERR this mechanism is not offered
                C: AUTH PLAIN
                S: \+ ?
                C: *
                S: -ERR given up as you wish
                C: AUTH PLAIN ====
                S: -ERR .*
                C: AUTH PLAIN {plain}
                S: \+OK 0 messages, 0 octets
                C: USER {ALICE}
                S: -ERR not now
                """
            )
        async with running.client() as client:
            await client.line()
            await client.talk(
                rf"""
                C: AUTH LOGIN
                S: \+ .*
                C: {base64.b64encode(ALICE.encode()).decode()}
                S: \+ .*
                C: {base64.b64encode(SECRET.encode()).decode()}
                S: \+OK .*
                """
            )


async def test_guessing_ends_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await client.line()
        for number in range(3):
            await client.talk(f"C: USER {ALICE}\nS: .*\nC: PASS wrong{number}\nS: -ERR .*")
        await client.talk("EOF")


async def test_lines_against_the_protocol(tmp_path: Path) -> None:
    async with serving(tmp_path, max_errors=9) as running, running.client() as client:
        await client.line()
        await client.talk(
            rf"""
            C:
            S: -ERR that is no command
            C: FOO
            S: -ERR there is no such command
            C! NO\0OP\r\n
            S: -ERR a command has no NUL in it
            C: USER
            S: -ERR USER takes a name
            C: CAPA x
            S: -ERR this command takes no argument
            C: {"x" * 20000}
            S: -ERR the line is too long
            C! QU IT\n
            S: -ERR there is no such command
            C: USER {ALICE}
            S: \+OK .*
            C! PASS {SECRET}\n
            S: \+OK .*
            C: RETR
            S: -ERR RETR takes a message number
            C: RETR 1
            S: -ERR there is no such message
            C: TOP 1
            S: -ERR TOP takes .*
            S: -ERR too many commands against the protocol
            EOF
            """
        )


async def test_pipelined_commands_are_answered_in_order(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        running.deliver(*(MAIL % n for n in range(200)))
        async with running.client() as client:
            script = [f"USER {ALICE}", f"PASS {SECRET}", *(f"TOP {n + 1} 0" for n in range(200))]
            await client.send("".join(f"{one}\r\n" for one in (*script, "QUIT")).encode())
            said = (await asyncio.wait_for(client.reader.read(-1), 20)).decode()
        subjects = [line for line in said.splitlines() if line.startswith("Subject")]
        assert subjects == [f"Subject: number {n}" for n in range(200)]
        assert said.endswith("+OK bye\r\n")


async def test_a_silent_client_is_sent_away(tmp_path: Path) -> None:
    async with serving(tmp_path, login_timeout_seconds=1) as running, running.client() as client:
        await client.talk("S: .*\nS: -ERR you were silent for too long\nEOF")


async def test_a_stop_says_goodbye(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        running.deliver(MAIL % 1)
        async with running.logged_in() as client:
            for dialog in running.services.dialogs:
                dialog.stop()
            await client.talk(r"S: -ERR \[SYS/TEMP\] the server is shutting down.*" "\nEOF")
        await until(lambda: running.journal.all("auth.logout"))
        assert running.journal.all("auth.logout")[0].why == "shutdown"


async def test_reading_can_be_nobodys_business(tmp_path: Path) -> None:
    async with serving(tmp_path, log_reading=False) as running:
        running.deliver(MAIL % 1)
        async with running.logged_in() as client:
            await many(client, "RETR 1")
            await client.talk("C: QUIT\nS: .*\nEOF")
        await running.over()
        assert running.journal.all("pop3.retr") == []
        assert running.journal.all("auth.logout")[0].messages == 1


async def test_unique_ids_survive_a_restore(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        running.deliver(MAIL % 1, MAIL % 2)
        async with running.logged_in() as client:
            before = await many(client, "UIDL")
        async with running.shelf.use(ALICE) as box:
            messages = await box.messages("INBOX")
            items = []
            for one in messages:
                draft = box.draft()
                draft.write_bytes(MAIL % one.uid)
                items.append(
                    Prepared(
                        draft.name,
                        one.base,
                        "",
                        (),
                        one.internaldate_ns,
                        one.size,
                        hashlib.sha256(MAIL % one.uid).digest(),
                        was=one.st,
                    )
                )
            await box.expunge("INBOX", [one.uid for one in messages], actor="user:x")
            await box.put("INBOX", items, actor="backup", snapshot="one")
            assert {one.st for one in await box.messages("INBOX")}.isdisjoint(
                one.st for one in messages
            )
        await running.over()
        async with running.logged_in() as client:
            assert await many(client, "UIDL") == before


async def test_messages_that_are_read_along(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        running.deliver(*(MAIL % n for n in range(30)), b"A: b\r\n\r\n" + b"x" * 200_000)
        root = running.folder() / "Maildir/new"
        small = sorted(root.iterdir())[20]
        small.write_bytes(b"A: b\r\n\r\n" + b"y" * 300_000 + b"\r\n")
        async with running.logged_in() as client:
            for number in (1, 2, 5, 3, 4, *range(6, 21)):
                assert f"Subject: number {number - 1}" in await many(client, f"RETR {number}")
            assert (await many(client, "RETR 21"))[2] == "y" * 300_000
            await client.talk("C: DELE 23\nS: .*")
            for number in (22, *range(24, 31)):
                assert f"Subject: number {number - 1}" in await many(client, f"RETR {number}")
            assert (await many(client, "RETR 31"))[2] == "x" * 200_000
            (dialog,) = running.services.pop3.sessions
            assert sum(map(len, dialog.session.maildrop.ahead.values())) <= maildrop.AHEAD
