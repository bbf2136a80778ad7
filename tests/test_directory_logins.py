"""Logging in: who is let in, what is counted, who is banned, and what the log tells."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import argon2
import pytest
import sqlalchemy as sa

from mtad import where
from mtad.config import Auth
from mtad.directory import authkey, connections, credentials, passwords
from mtad.directory.attempts import Attempts, network
from mtad.directory.credential_changes import CredentialChanges
from mtad.directory.guard import MINUTE, Guard
from mtad.directory.logins import Answer, Caller, Denied, Logins, Welcome
from mtad.directory.lookup import Directory
from mtad.directory.tables import credential
from mtad.sasl.steps import Challenge
from tests.sasl_client import ScramClient, cram_md5
from tests.test_directory_changes import changes, journal, places
from tracing.event import Event

__all__ = ["changes", "journal", "places"]

YOU, SECRET = "you@example.org", "secret-word"
HERE, THERE = "192.0.2.1", "198.51.100.7"


class House:
    """Logins of one data directory, with the events they made."""

    def __init__(self, places: where.Places, settings: dict[str, Any]) -> None:
        self.places = places
        self.events: list[Event] = []
        self.directory = Directory(places.state_db)
        self.logins = Logins(
            places, Auth(**settings), "mx.example.org", self.directory, self.events.append
        )

    def caller(self, ip: str = HERE) -> Caller:
        return Caller(self.logins, 77, ip, "submission")

    async def plain(
        self, password: str, login: str = YOU, ip: str = HERE, caller: Caller | None = None
    ) -> Answer:
        message = f"\0{login}\0{password}".encode()
        return await (caller or self.caller(ip)).begin("PLAIN", message, {})

    def told(self, kind: str) -> list[Any]:
        return [event for event in self.events if event.kind == kind]

    def reasons(self) -> list[tuple[str, bool]]:
        return [(event.why, event.again) for event in self.told("auth.fail")]


@pytest.fixture
async def house(
    places: where.Places, changes: CredentialChanges
) -> AsyncIterator[Callable[..., House]]:
    made: list[House] = []

    def make(**settings: Any) -> House:
        made.append(House(places, {"fail_delay_seconds": 0.5, **settings}))
        return made[-1]

    yield make
    for one in made:
        await one.logins.close()


House_ = Callable[..., House]


async def test_the_owner_is_let_in(house: House_) -> None:
    at = house()
    assert await at.plain(SECRET, "You@EXAMPLE.org") == Welcome(YOU, "", "PLAIN")
    (event,) = at.events
    assert str(event) == "You@EXAMPLE.org logged in by PLAIN"
    assert (event.trace, event.addr, event.ip, event.actor) == (77, YOU, HERE, f"user:{YOU}")
    assert SECRET not in repr(event)


@pytest.mark.parametrize("login", ["nobody@example.org", "nonsense", "postmaster@example.org"])
async def test_a_stranger_is_answered_like_the_owner(house: House_, login: str) -> None:
    at = house()
    assert await at.plain("wrong", login) == await at.plain("wrong", YOU) == Denied(0.5)
    assert [event.why for event in at.told("auth.fail")] == ["wrong password"] * 2


async def test_app_passwords(house: House_, changes: CredentialChanges) -> None:
    phone, tablet = changes.add_app_password(YOU, "phone"), changes.add_app_password(YOU, "tablet")
    at = house()
    assert await at.plain(phone) == Welcome(YOU, "phone", "PLAIN")
    assert await at.plain(tablet) == Welcome(YOU, "tablet", "PLAIN")
    assert await at.plain(SECRET) == Welcome(YOU, "", "PLAIN")
    assert [event.password for event in at.events] == ["phone", "tablet", ""]  # type: ignore[attr-defined]
    changes.remove_app_password(YOU, "phone")
    assert isinstance(await at.plain(phone), Denied)


async def test_login_and_its_questions(house: House_) -> None:
    caller = house().caller()
    assert await caller.begin("LOGIN", None, {}) == Challenge(b"Username:")
    assert await caller.answer(YOU.encode()) == Challenge(b"Password:")
    assert await caller.answer(SECRET.encode()) == Welcome(YOU, "", "LOGIN")


async def scram(
    caller: Caller, login: str, password: str, bindings: dict[str, bytes] | None = None
) -> Answer:
    bound = next(iter(bindings.items())) if bindings else None
    client = ScramClient(login, password, binding=bound)
    name = "SCRAM-SHA-256-PLUS" if bindings else "SCRAM-SHA-256"
    answer = await caller.begin(name, client.first(), bindings or {})
    if not isinstance(answer, Challenge):
        return answer
    answer = await caller.answer(client.final(answer.data))
    if not isinstance(answer, Challenge):
        return answer
    assert client.trusts(answer.data)
    return await caller.answer(b"")


async def test_scram(house: House_, changes: CredentialChanges) -> None:
    phone = changes.add_app_password(YOU, "phone")
    at = house()
    assert await scram(at.caller(), YOU, SECRET) == Welcome(YOU, "", "SCRAM-SHA-256")
    assert await scram(at.caller(), YOU, phone, {"tls-exporter": b"x"}) == Welcome(
        YOU, "phone", "SCRAM-SHA-256-PLUS"
    )
    assert await scram(at.caller(), YOU, "wrong") == Denied(0.5)
    assert await scram(at.caller(), "nobody@example.org", "wrong") == Denied(0.5)


async def first_words(at: House, login: str) -> bytes:
    answer = await at.caller().begin("SCRAM-SHA-256", f"n,,n={login},r=x".encode(), {})
    assert isinstance(answer, Challenge)
    return answer.data.partition(b",")[2]


async def test_the_salt_of_a_stranger_looks_like_any_and_stays(
    house: House_, places: where.Places
) -> None:
    first, second = house(), house()
    salts = [await first_words(at, "nobody@example.org") for at in (first, second)]
    assert salts[0] == salts[1]
    known = await first_words(first, YOU)
    assert known == await first_words(second, YOU)
    assert len(known) == len(salts[0])
    assert known.rpartition(b",")[2] == salts[0].rpartition(b",")[2]


async def test_cram_md5_only_where_it_was_enabled(
    house: House_, changes: CredentialChanges, places: where.Places
) -> None:
    at = house()
    assert "CRAM-MD5" not in at.logins.offered({})
    made = changes.enable_cram(YOU, authkey.load(places.auth_key))
    at.directory.refresh()
    assert "CRAM-MD5" in at.logins.offered({})

    async def attempt(login: str, secret: str) -> Answer:
        caller = at.caller()
        answer = await caller.begin("CRAM-MD5", None, {})
        assert isinstance(answer, Challenge)
        return await caller.answer(cram_md5(login, secret.encode(), answer.data))

    assert await attempt(YOU, made) == Welcome(YOU, "cram-md5", "CRAM-MD5")
    assert await attempt(YOU, SECRET) == Denied(0.5)
    assert await attempt("no@example.org", made) == Denied(0.5)
    assert isinstance(await at.plain(made), Denied), "it is good for CRAM-MD5 alone"
    places.auth_key.unlink()
    other = house()
    caller = other.caller()
    answer = await caller.begin("CRAM-MD5", None, {})
    assert isinstance(answer, Challenge)
    assert isinstance(await caller.answer(cram_md5(YOU, made.encode(), answer.data)), Denied)


async def test_a_locked_box_is_told_in_the_log_alone(
    house: House_, changes: CredentialChanges
) -> None:
    changes.lock(YOU, locked=True)
    at = house()
    assert await at.plain(SECRET) == Denied(0.5)
    assert isinstance(await scram(at.caller(), YOU, SECRET), Denied)
    assert {why for why, _ in at.reasons()} == {"the box is locked"}
    changes.lock(YOU, locked=False)
    assert isinstance(await at.plain(SECRET), Welcome)


# --------------------------------------------------------------- what it costs


async def test_a_right_password_is_not_hashed_again(
    house: House_, changes: CredentialChanges, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, hashed = passwords.verify, []

    def counting(stored: str | None, password: str) -> bool:
        hashed.append(password)
        return real(stored, password)

    monkeypatch.setattr(passwords, "verify", counting)
    at = house()
    for _ in range(3):
        assert isinstance(await at.plain(SECRET), Welcome)
    assert hashed == [SECRET]
    for _ in range(2):
        assert isinstance(await at.plain("wrong"), Denied)
    assert hashed == [SECRET, "wrong", "wrong"], "what is wrong is never remembered"
    changes.set_password(YOU, "other")
    assert isinstance(await at.plain(SECRET), Denied)
    assert isinstance(await at.plain("other"), Welcome)
    changes.lock(YOU, locked=True)
    assert isinstance(await at.plain("other"), Denied)


async def test_it_is_hashed_again_some_minutes_later(
    house: House_, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = house(remember_minutes=5)
    verifier = at.logins.verifier
    assert isinstance(await at.plain(SECRET), Welcome)
    later = time.monotonic() + 301
    monkeypatch.setattr(verifier, "_seconds", lambda: later)
    monkeypatch.setattr(passwords, "verify", lambda *_: False)
    assert isinstance(await at.plain(SECRET), Denied)


async def test_nothing_is_remembered_when_it_is_off(
    house: House_, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = house(remember_minutes=0)
    assert isinstance(await at.plain(SECRET), Welcome)
    monkeypatch.setattr(passwords, "verify", lambda *_: False)
    assert isinstance(await at.plain(SECRET), Denied)


async def test_hashes_at_once_are_fewer_than_cores(
    house: House_, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most = 0, 0

    def slow(*_: object) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.01)
        running -= 1
        return False

    monkeypatch.setattr(passwords, "verify", slow)
    at = house(max_failures_per_ip=0)
    await asyncio.gather(*(at.plain(f"wrong {number}") for number in range(12)))
    assert most <= max(1, min(3, (os.cpu_count() or 1) - 1))


async def test_too_many_at_once_are_asked_to_come_later(
    house: House_, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtad.directory.logins.MAX_WAITING", 2)
    at = house()
    answers = await asyncio.gather(*(at.plain(f"wrong {number}") for number in range(5)))
    assert [one for one in answers if one == Denied(temporary=True)] == [answers[2]] * 3
    assert ("too many logins at once", False) in at.reasons()


async def test_an_unreadable_database_is_our_trouble(house: House_, places: where.Places) -> None:
    at = house()
    places.state_file.write_bytes(b"damaged" * 1000)
    for end in ("-wal", "-shm"):
        places.state_file.with_name(f"state.db{end}").unlink(missing_ok=True)
    at.logins.verifier._engine.dispose()
    assert await at.plain(SECRET) == Denied(temporary=True)


async def test_a_damaged_form_is_our_trouble(
    house: House_, changes: CredentialChanges, places: where.Places
) -> None:
    with connections.writing(places.state_db) as connection:
        connection.execute(credential.update().values(value="damaged"))
    at = house()
    assert await at.plain(SECRET) == Denied(temporary=True)
    assert await scram(at.caller(), YOU, SECRET) == Denied(temporary=True)


async def test_older_forms_are_made_anew_at_login(
    house: House_, changes: CredentialChanges, places: where.Places
) -> None:
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(SECRET)
    with connections.writing(places.state_db) as connection:
        credentials.replace(connection, YOU, "", {"argon2id": cheap})
    at = house()
    assert isinstance(await scram(at.caller(), YOU, SECRET), Denied), "there is no key for it yet"
    assert isinstance(await at.plain(SECRET), Welcome)
    assert isinstance(await scram(at.caller(), YOU, SECRET), Welcome)
    with connections.reading(places.state_db) as connection:
        forms = {one.kind: one.value for one in credentials.read(connection, YOU)}
    assert not passwords.is_outdated(forms["argon2id"])


async def test_when_a_password_was_used_is_written_down_later(
    house: House_, changes: CredentialChanges, places: where.Places
) -> None:
    phone = changes.add_app_password(YOU, "phone")

    def used() -> dict[str, int | None]:
        columns = credential.c
        with connections.reading(places.state_db) as connection:
            rows = connection.execute(sa.select(columns.name, columns.last_used)).all()
            return {name: at for name, at in rows}

    at = house()
    await at.plain(phone)
    assert used() == {"": None, "phone": None}
    at.logins.verifier._flush()
    written = used()
    assert written[""] is None
    assert written["phone"] is not None
    assert abs(written["phone"] - time.time() * 1e6) < 60e6


# ------------------------------------------------------------ what counts once


async def test_one_wrong_password_by_plain_then_login_counts_once(house: House_) -> None:
    at = house()
    caller = at.caller()
    assert await at.plain("wrong", caller=caller) == Denied(0.5)
    await caller.begin("LOGIN", YOU.encode(), {})
    assert await caller.answer(b"wrong") == Denied(1.0)
    assert caller.failures == 1
    assert at.reasons() == [("wrong password", False), ("wrong password", True)]
    assert isinstance(await at.plain("other", caller=caller), Denied)
    assert caller.failures == 2


async def test_a_client_that_falls_back_from_scram_counts_once(house: House_) -> None:
    at = house()
    caller = at.caller()
    await scram(caller, YOU, "wrong")
    await at.plain("wrong", caller=caller)
    assert [again for _, again in at.reasons()] == [False, True]
    await scram(caller, YOU, "wrong")
    assert [again for _, again in at.reasons()] == [False, True, False]
    assert caller.failures == 2


async def test_an_old_password_in_some_program_bans_nobody(house: House_) -> None:
    at = house(max_failures_per_ip=3)
    for _ in range(10):
        await at.plain("the old one")
    assert not at.told("auth.ban")
    assert isinstance(await at.plain(SECRET), Welcome)


async def test_what_is_malformed_is_no_guess(house: House_) -> None:
    at = house(max_failures_per_ip=1)
    caller = at.caller()
    for _ in range(3):
        answer = await caller.begin("PLAIN", b"nonsense", {})
        assert answer == Denied(0.5, malformed=True)
    assert caller.failures == 0
    assert not at.told("auth.ban")


async def test_who_gives_up_is_in_the_log(house: House_) -> None:
    at = house()
    caller = at.caller()
    await caller.begin("LOGIN", None, {})
    caller.cancel()
    caller.cancel()
    assert at.reasons() == [("the client gave up", False)]


async def test_delays_grow_on_one_connection(house: House_) -> None:
    at = house(max_failures_per_ip=0)
    caller = at.caller()
    delays = [
        answer.delay
        for number in range(5)
        if isinstance(answer := await at.plain(f"wrong {number}", caller=caller), Denied)
    ]
    assert delays == [0.5, 1.0, 2.0, 2.0, 2.0]


# ------------------------------------------------------------------------ bans


async def test_who_guesses_is_banned_before_anything_is_hashed(
    house: House_, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = house(max_failures_per_ip=3, ban_minutes=15)
    for number in range(3):
        await at.plain(f"guess {number}")
    (ban,) = at.told("auth.ban")
    assert ban.ip == HERE
    assert ban.why == f"3 failed logins within 10 minutes, client {HERE}"
    assert abs(ban.until - time.time() * 1e6 - 15 * MINUTE) < MINUTE
    monkeypatch.setattr(passwords, "verify", lambda *_: pytest.fail("hashed"))
    for login in (YOU, "nobody@example.org"):
        answer = await at.plain(SECRET, login)
        assert isinstance(answer, Denied)
        assert answer.banned
    assert at.reasons()[-1] == ("the client is banned", False)
    again = house(max_failures_per_ip=3)
    assert isinstance(await again.plain(SECRET), Denied), "a restart forgets no ban"


async def test_another_client_is_not_banned(house: House_) -> None:
    at = house(max_failures_per_ip=2)
    for number in range(2):
        await at.plain(f"guess {number}")
    assert isinstance(await at.plain(SECRET, ip=THERE), Welcome)


async def test_guessers_in_many_places_do_not_lock_the_owner_out(house: House_) -> None:
    at = house(max_failures_per_login=4)
    assert isinstance(await at.plain(SECRET, ip=HERE), Welcome)
    for number in range(4):
        await at.plain(f"guess {number}", ip=f"203.0.113.{number}")
    assert str(at.told("auth.ban")[0].why).endswith(f"login {YOU}")
    answer = await at.plain(SECRET, ip=THERE)
    assert isinstance(answer, Denied)
    assert answer.banned
    assert isinstance(await at.plain(SECRET, ip=HERE), Welcome)


async def test_our_own_machine_is_never_banned(house: House_) -> None:
    at = house(max_failures_per_ip=1)
    for number in range(3):
        await at.plain(f"guess {number}", ip="127.0.0.1")
    assert not at.told("auth.ban")


async def test_bans_end(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path / "cache" / "attempts.db")
    guard = Guard(attempts, Auth(max_failures_per_ip=2, ban_minutes=15, failure_minutes=10))
    assert guard.failed(HERE, YOU, 1000) == []
    assert guard.failed(HERE, YOU, 1000 + 11 * MINUTE) == [], "too long ago to count together"
    (ban,) = guard.failed(HERE, YOU, 1000 + 12 * MINUTE)
    assert guard.refuses(HERE, YOU, ban.until - 1)
    assert not guard.refuses(HERE, YOU, ban.until)
    assert not guard.refuses(THERE, YOU, 0)
    attempts.close()


def test_an_ipv6_client_is_its_network() -> None:
    assert network("2001:db8:1:2:3:4:5:6") == network("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert network("192.0.2.1") == "192.0.2.1"
    assert network("") == ""


# ----------------------------------------------------- the throw-away database


def test_a_damaged_or_other_database_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "attempts.db"
    for spoil in (
        lambda: file.write_bytes(b"no database" * 1000),
        lambda: file.unlink(),
        lambda: older(file),
    ):
        attempts = Attempts(file)
        attempts.ban("client x", 10)
        assert attempts.banned_until("client x", 5) == 10
        attempts.close()
        spoil()
        again = Attempts(file)
        assert again.banned_until("client x", 5) == 0
        again.close()


def older(file: Path) -> None:
    import sqlite3  # noqa: PLC0415

    with sqlite3.connect(file) as link:
        link.execute("PRAGMA user_version=0")
    link.close()


def test_a_locked_database_is_not_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtad.db.BUSY_SECONDS", 0.05)
    file = tmp_path / "attempts.db"
    first = Attempts(file)
    first.ban("client x", 10)
    with first._writing() as connection:
        connection.exec_driver_sql("UPDATE ban SET until = 20")
        with pytest.raises(sa.exc.OperationalError, match="locked"):
            Attempts(file)
    assert first.banned_until("client x", 5) == 20
    first.close()


def test_what_is_counted_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtad.directory.attempts.MAX_ROWS", 20)
    attempts = Attempts(tmp_path / "attempts.db")
    for number in range(100):
        attempts.count(f"login {number}", number, 1000)
    with attempts._engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM failure").scalar_one() <= 20
    assert attempts.count("login 99", 100, 1000) == 2
    attempts.close()


async def test_trouble_with_the_counts_keeps_nobody_out(
    house: House_, places: where.Places
) -> None:
    at = house()
    with at.logins.attempts._engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE ban")
        connection.exec_driver_sql("DROP TABLE seen")
        connection.exec_driver_sql("DROP TABLE failure")
    assert isinstance(await at.plain("wrong"), Denied)
    assert isinstance(await at.plain(SECRET), Welcome)


async def test_who_read_a_box_a_short_while_ago(house: House_) -> None:
    at = house()
    assert await at.logins.recent_login(HERE, 10) is None
    await at.plain(SECRET, ip=HERE)
    assert await at.logins.recent_login(HERE, 10) is None, "submission itself opens nothing"
    caller = Caller(at.logins, 78, HERE, "pop3")
    assert isinstance(await at.plain(SECRET, caller=caller), Welcome)
    assert await at.logins.recent_login(HERE, 10) == YOU
    assert await at.logins.recent_login(THERE, 10) is None
    at.logins.attempts.note_login(THERE, YOU, "pop3", 5, 0)
    assert await at.logins.recent_login(THERE, 10) is None, "that was long ago"
