"""From which networks one may log in: the rules, who is kept out, what they hear, the commands."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad import where
from mtad.directory.changes import Changes
from mtad.directory.credential_changes import CredentialChanges
from mtad.directory.logins import Caller, Denied, Welcome
from mtad.directory.lookup import Directory
from mtad.directory.rule_changes import RuleChanges
from mtad.directory.rules import Rule, against, network
from mtad.errors import NothingFound, UsageError
from mtad.journal.command import command_journal
from mtad.journal.writer import Journal
from tests.pop3 import ALICE, SECRET, serving
from tests.submission import secured, submitting
from tests.test_directory_changes import changes, journal, places
from tests.test_directory_cli import Terminal, terminal
from tests.test_directory_logins import HERE, THERE, YOU, House_, house
from tests.test_directory_logins import SECRET as WORD
from tests.test_smtp_tls import files

__all__ = ["changes", "files", "house", "journal", "places", "terminal"]


@pytest.fixture
def rules(places: where.Places, journal: Journal, changes: CredentialChanges) -> RuleChanges:
    return RuleChanges(places.state_db, journal, "admin:test")


@pytest.mark.parametrize(
    ("listener", "ip", "is_out"),
    [
        ("imap", "10.1.2.3", False),
        ("imaps", "10.1.2.3", False),
        ("imap", "192.0.2.1", True),
        ("imaps", "192.0.2.1", True),
        ("imaps", "", True),
        ("pop3", "192.168.1.1", True),
        ("pop3s", "2001:db8::7", False),
        ("submission", "192.0.2.1", False),
        ("submissions", "192.0.2.1", False),
    ],
)
def test_rules(listener: str, ip: str, is_out: bool) -> None:
    known = {
        (YOU, "imap"): Rule(YOU, "imap", ("10.0.0.0/8",)),
        ("example.org", "imap"): Rule("example.org", "imap", ("192.0.2.0/24",)),
        ("example.org", "pop3"): Rule("example.org", "pop3", ("192.0.2.0/24", "2001:db8::/32")),
    }
    assert bool(against(known, YOU, listener, ip)) is is_out


@given(st.text(max_size=60))
def test_a_network_is_one_or_an_error(text: str) -> None:
    try:
        made = network(text)
    except ValueError:
        return
    assert network(made) == made


def test_networks_are_normal() -> None:
    assert network(" 10.1.2.3/8") == "10.0.0.0/8"
    assert network("192.0.2.7") == "192.0.2.7/32"
    assert network("2001:DB8::1/32") == "2001:db8::/32"


def test_changes_to_rules(places: where.Places, rules: RuleChanges) -> None:
    directory = Directory(places.state_db)
    assert rules.allow("You@Example.org", "imap", ["10.1.1.1/8", "10.0.0.0/8"]) == ("10.0.0.0/8",)
    rules.allow("EXAMPLE.org", "pop3", ["192.0.2.0/24"])
    directory.refresh()
    assert directory.rule_against(YOU, "imaps", HERE) == f"{YOU} allows imap from 10.0.0.0/8 only"
    assert directory.rule_against(YOU, "pop3", THERE).startswith("example.org allows pop3")
    rules.allow(YOU, "imap", [])
    directory.refresh()
    assert directory.rule_against(YOU, "imaps", HERE) == ""
    for wrong in ("nobody@example.org", "example.net"):
        with pytest.raises(NothingFound):
            rules.allow(wrong, "imap", ["10.0.0.0/8"])
    for given_ in (["10.0.0.0/33"], ["here"], [f"10.0.0.{n}" for n in range(101)]):
        with pytest.raises(UsageError):
            rules.allow(YOU, "imap", given_)


def test_rules_go_with_their_owner(
    places: where.Places, rules: RuleChanges, changes: Changes
) -> None:
    changes.add_domain("example.com")
    changes.add_box("me@example.com", "secret-word")
    rules.allow("me@example.com", "imap", ["10.0.0.0/8"])
    rules.allow("example.com", "imap", ["10.0.0.0/8"])
    changes.remove_box("me@example.com")
    changes.remove_domain("example.com")
    changes.add_domain("example.com")
    changes.add_box("me@example.com", "secret-word")
    assert Directory(places.state_db).rule_against("me@example.com", "imap", HERE) == ""


async def test_a_right_password_from_the_wrong_place(house: House_, rules: RuleChanges) -> None:
    at = house(max_failures_per_ip=2, never_ban=())
    rules.allow(YOU, "submission", ["10.0.0.0/8"])
    assert isinstance(await at.plain(WORD, ip="10.1.1.1"), Welcome)
    wrong = await at.plain("wrong", ip=THERE)
    right = await at.plain(WORD, ip=THERE)
    assert right == wrong == Denied(0.5)
    (event,) = at.told("auth.refused")
    assert (event.addr, event.ip, event.trace) == (YOU, THERE, 77)
    assert event.rule == f"{YOU} allows submission from 10.0.0.0/8 only"
    assert WORD not in repr(event)
    assert [ban.ip for ban in at.told("auth.ban")] == [THERE]
    assert len(at.told("auth.ok")) == 1


async def test_a_saved_password_counts_once(house: House_, rules: RuleChanges) -> None:
    at = house(max_failures_per_ip=2, never_ban=())
    rules.allow(YOU, "submission", ["10.0.0.0/8"])
    caller = at.caller(THERE)
    for _ in range(5):
        await at.plain(WORD, caller=caller)
    assert caller.failures == 1
    assert at.told("auth.ban") == []
    assert len(at.told("auth.refused")) == 5


async def test_who_was_there_before_hears_why(house: House_, rules: RuleChanges) -> None:
    at = house()
    await at.plain(WORD, ip=HERE)
    rules.allow(YOU, "submission", ["10.0.0.0/8"])
    answer = await at.plain(WORD, ip=HERE)
    assert isinstance(answer, Denied)
    assert answer.told == "this network may not be used for it"
    other = Caller(at.logins, 78, HERE, "imaps")
    assert isinstance(await at.plain(WORD, caller=other), Welcome)


async def test_what_clients_hear(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        with command_journal(running.places) as journal:
            own = RuleChanges(running.places.state_db, journal, "admin:test")
            own.allow(ALICE, "pop3", ["10.0.0.0/8"])
            own.allow(ALICE, "imap", ["10.0.0.0/8"])
        async with running.client() as client:
            await client.talk(
                rf"""
                S: .*
                C: USER {ALICE}
                S: .*
                C: PASS {SECRET}
                S: -ERR \[AUTH\] wrong login or password
                """
            )
        async with running.client("imap") as client:
            await client.talk(
                rf"""
                S: .*
                C: 1 LOGIN {ALICE} "{SECRET}"
                S: 1 NO \[AUTHENTICATIONFAILED\] Wrong login or password
                """
            )
        assert len(running.journal.all("auth.refused")) == 2


async def test_submission_has_rules_too(tmp_path: Path, files: tuple[Path, Path]) -> None:
    async with submitting(tmp_path, files) as running, secured(running) as client:
        with command_journal(running.places) as own:
            RuleChanges(running.places.state_db, own, "admin:test").allow(
                "local.test", "submission", ["10.0.0.0/8"]
            )
        plain = base64.b64encode(f"\0{ALICE}\0{SECRET}".encode()).decode()
        await client.talk(f"C: AUTH PLAIN {plain}\nS: 535 5.7.8 wrong login or password")


def test_the_commands(terminal: Terminal) -> None:
    run = terminal.run
    assert run("box", "allow", YOU) == (
        f"{YOU}\nimap       anywhere\npop3       anywhere\nsubmission anywhere\n"
    )
    words = ("--service", "imap", "--service", "pop3", "--from", "10.0.0.0/8", "--from", "::1")
    terminal.run("box", "allow", YOU, *words)
    document = terminal.json("box", "allow", YOU)
    assert document["allowed"] == {
        "imap": ["10.0.0.0/8", "::1/128"],
        "pop3": ["10.0.0.0/8", "::1/128"],
        "submission": [],
    }
    assert "imap      from 10.0.0.0/8, ::1/128 only" in run("box", "show", YOU)
    assert terminal.json("box", "show", YOU)["allowed"].keys() == {"imap", "pop3"}
    run("box", "allow", YOU, "--service", "imap", "--anywhere")
    assert terminal.json("box", "show", YOU)["allowed"].keys() == {"pop3"}
    run("domain", "allow", "example.org", "--from", "192.0.2.0/24")
    assert set(map(tuple, terminal.json("domain", "allow", "example.org")["allowed"].values())) == {
        ("192.0.2.0/24",)
    }
    assert "not both" in run("box", "allow", YOU, "--from", "::1", "--anywhere", code=2)
    run("box", "allow", YOU, "--from", "nowhere", code=2)
    run("domain", "allow", "example.net", "--anywhere", code=4)
