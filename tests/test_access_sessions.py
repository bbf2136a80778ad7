"""Sessions listed, ended by an operator, and ended when what they logged in with changes."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mtad.access.sessions import Sessions
from mtad.directory import authkey
from mtad.directory.credential_changes import CredentialChanges
from mtad.directory.lookup import Directory
from mtad.directory.rule_changes import RuleChanges
from mtad.errors import NothingFound
from mtad.journal.command import command_journal
from tests.pop3 import ALICE, BOB, SECRET, Running, serving

ENDED = r"S: -ERR \[SYS/TEMP\] your session was ended, log in again" "\nEOF"


def sessions_of(running: Running) -> Sessions:
    directory = Directory(running.places.state_db)
    return Sessions(running.services, running.guests, directory, running.places, running.journal)


@contextmanager
def changing(running: Running) -> Iterator[CredentialChanges]:
    with command_journal(running.places) as journal:
        yield CredentialChanges(running.places.state_db, journal, "admin:test")


async def test_who_is_there(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        sessions = sessions_of(running)
        async with running.client() as stranger, running.logged_in(), running.client("imap") as two:
            await stranger.line()
            await two.talk(
                rf"""
                S: .*
                C: 1 ID ("name" "Thunderbird" "version" "128")
                S: \* ID .*
                S: 1 OK .*
                C: 2 LOGIN {BOB} "{SECRET} 2"
                S: 2 OK .*
                C: 3 SELECT INBOX
                """
            )
            while not (await two.line()).startswith("3 OK"):
                pass
            found = (await sessions.listing({}))["sessions"]
        assert [(one["box"], one["service"], one["mailbox"]) for one in found] == [
            (ALICE, "pop3", ""),
            (BOB, "imap", "INBOX"),
        ]
        assert "Thunderbird" in found[1]["client"]
        assert {one["ip"] for one in found} == {"127.0.0.1"}


async def test_an_operator_ends_sessions(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        sessions = sessions_of(running)
        async with (
            running.logged_in() as one,
            running.logged_in(BOB, f"{SECRET} 2") as two,
            running.client("imap") as three,
        ):
            await three.talk(f'S: .*\nC: 1 LOGIN {ALICE} "{SECRET}"\nS: 1 OK .*')
            assert await sessions.kick({"who": ALICE, "actor": "admin:ann"}) == {"count": 2}
            await one.talk(ENDED)
            await three.talk(r"S: \* BYE Your session was ended, log in again" "\nEOF")
            await running.over(2)
            (left,) = (await sessions.listing({}))["sessions"]
            await sessions.kick({"who": left["id"], "actor": "admin:ann"})
            await two.talk(ENDED)
            await running.over(3)
            with pytest.raises(NothingFound):
                await sessions.kick({"who": left["id"], "actor": "admin:ann"})
        assert {event.why for event in running.journal.all("auth.logout")} == {"kicked"}
        kicks = running.journal.all("auth.kick")
        assert [event.addr for event in kicks].count(ALICE) == 2
        assert {event.actor for event in kicks} == {"admin:ann"}


@pytest.mark.parametrize("what", ["password", "lock", "remove", "rule"])
async def test_a_change_ends_what_could_not_log_in_again(tmp_path: Path, what: str) -> None:
    async with serving(tmp_path) as running:
        sessions = sessions_of(running)
        async with running.logged_in() as one, running.logged_in(BOB, f"{SECRET} 2") as two:
            await sessions.look()
            with changing(running) as changes:
                if what == "password":
                    changes.set_password(BOB, "another one")
                    changes.add_app_password(ALICE, "tablet")
                elif what == "lock":
                    changes.lock(BOB, locked=True)
                elif what == "remove":
                    changes.remove_alias("all@local.test")
                    changes.remove_box(BOB)
                else:
                    rules = RuleChanges(running.places.state_db, changes._journal, "admin:test")
                    rules.allow(BOB, "pop3", ["10.0.0.0/8"])
                    sessions._directory.refresh()
            await sessions.look()
            await two.talk(ENDED)
            await one.talk("C: NOOP\nS: .OK .*")
        (kick,) = running.journal.all("auth.kick")
        assert kick.actor == "system"
        words = {
            "password": "the password was changed",
            "lock": "the box was locked",
            "remove": "the box or its password was removed",
            "rule": f"a network rule: {BOB} allows pop3 from 10.0.0.0/8 only",
        }
        assert kick.why == words[what]


async def test_an_app_password_ends_with_its_sessions(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        sessions = sessions_of(running)
        async with running.logged_in(ALICE, running.house.phone) as client:
            (told,) = (await sessions.listing({}))["sessions"]
            assert told["password"] == "phone"
            with changing(running) as changes:
                changes.set_password(ALICE, "another one")
                changes.enable_cram(ALICE, authkey.load(running.places.auth_key))
            await sessions.look()
            await client.talk("C: NOOP\nS: .OK .*")
            with changing(running) as changes:
                changes.remove_app_password(ALICE, "phone")
            await sessions.look()
            await client.talk(ENDED)


async def test_changes_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtad.access.sessions.WATCH_SECONDS", 0.02)
    async with serving(tmp_path) as running:
        sessions = sessions_of(running)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(sessions.watch())
            async with running.logged_in() as client:
                running.services.pop3.logins.directory.refresh()
                with changing(running) as changes:
                    changes.set_password(ALICE, "another one")
                await client.talk(ENDED)
            watching.cancel()
