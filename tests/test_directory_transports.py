"""Transports: which one holds for a domain, and what an operator may ask for."""

import os
import stat
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.config import Loaded
from mtad.directory import transports
from mtad.directory.transport_changes import made
from mtad.directory.transports import DIRECT, Transport, Transports, TransportTable
from mtad.errors import Exit, Unreachable, UsageError
from tests.test_directory_cli import Terminal, terminal

__all__ = ["terminal"]

TABLE = Transports(
    [
        Transport("a.test", "mx", tls="verify"),
        Transport(".a.test", "relay", "sub.test", 25),
        Transport(".x.a.test", "relay", "deep.test", 25),
        Transport("*", "relay", "all.test", 25),
    ]
)


@pytest.mark.parametrize(
    ("domain", "pattern"),
    [
        ("a.test", "a.test"),
        ("b.a.test", ".a.test"),
        ("x.a.test", ".a.test"),
        ("y.x.a.test", ".x.a.test"),
        ("ba.test", "*"),
        ("test", "*"),
        ("[127.0.0.1]", "*"),
        ("", "*"),
    ],
)
def test_the_most_particular_pattern_counts(domain: str, pattern: str) -> None:
    assert TABLE.find(domain).pattern == pattern


def test_without_a_pattern_the_dns_decides() -> None:
    assert Transports([]).find("a.test") is DIRECT
    assert Transports([Transport("b.test", "mx")]).find("a.test") is DIRECT


@given(st.text(max_size=30))
def test_any_domain_has_a_transport(domain: str) -> None:
    assert TABLE.find(domain)


@pytest.mark.parametrize(
    ("arguments", "options", "expected"),
    [
        (("Bank.Example.", "mx", []), {"tls": "verify"}, "mx tls=verify"),
        (("*", "relay", ["smart.test"]), {}, "relay smart.test:25"),
        (("*", "relay", ["smart.test"]), {"tls": "implicit"}, "relay smart.test:465 tls=implicit"),
        (
            ("*", "relay", ["smart.test"]),
            {"login": "me", "password": "word"},
            "relay smart.test:587 login=me",
        ),
        (("*", "relay", ["[::1]:2525"]), {}, "relay [::1]:2525"),
        (("*", "relay", ["127.0.0.1"]), {}, "relay [127.0.0.1]:25"),
        (("*", "relay", ["x.test:26"]), {"by_mx": True}, "relay x.test:26 by its MX"),
        (("l.test", "lmtp", ["x.test"]), {}, "lmtp x.test:24"),
        (("l.test", "lmtp", ["unix:/run/lmtp"]), {}, "lmtp unix:/run/lmtp"),
        (
            ("l.test", "command", ["/bin/cat", "{recipient}"]),
            {},
            'command ["/bin/cat", "{recipient}"]',
        ),
        (("old.test", "error", ["5.1.6", "moved", "away"]), {}, "error 5.1.6 moved away"),
    ],
)
def test_what_may_be_asked_for(arguments: Any, options: Any, expected: str) -> None:
    assert str(made(*arguments, **options)) == expected


@pytest.mark.parametrize(
    ("arguments", "options", "why"),
    [
        (("a..b", "mx", []), {}, "not a domain name"),
        (("*.a.test", "mx", []), {}, "not a domain name"),
        (("*", "mx", ["x.test"]), {}, "takes no host"),
        (("*", "mx", []), {"tls": "implicit"}, "implicit"),
        (("*", "mx", []), {"by_mx": True}, "--mx is for relay"),
        (("*", "relay", []), {}, "takes one place"),
        (("*", "relay", ["a", "b"]), {}, "takes one place"),
        (("*", "relay", ["x.test:99999"]), {}, "HOST:PORT"),
        (("*", "relay", ["x.test:"]), {}, "HOST:PORT"),
        (("*", "relay", ["[x.test]"]), {}, "no address in brackets"),
        (("*", "relay", ["a\r\nb.test"]), {}, "not a domain name"),
        (("*", "relay", ["unix:/run/x"]), {}, "HOST:PORT"),
        (("*", "relay", ["x.test"]), {"login": "me"}, "one needs the other"),
        (("*", "relay", ["x.test"]), {"password": "w"}, "one needs the other"),
        (("*", "relay", ["x.test"]), {"login": "me", "password": "a\nb"}, "control"),
        (("*", "lmtp", ["x.test"]), {"login": "me", "password": "w"}, "is for relay"),
        (("*", "lmtp", ["unix:run"]), {}, "unix:/PATH"),
        (("*", "lmtp", ["unix:/run/x"]), {"tls": "verify"}, "over a network"),
        (("*", "command", []), {}, "full path"),
        (("*", "command", ["cat"]), {}, "full path"),
        (("*", "command", ["/no/such/program"]), {}, "full path"),
        (("*", "command", ["/bin/cat", "{user}"]), {}, "are replaced"),
        (("*", "error", []), {}, "enhanced status"),
        (("*", "error", ["moved"]), {}, "enhanced status"),
        (("*", "error", ["2.0.0", "fine"]), {}, "enhanced status"),
    ],
)
def test_what_may_not(arguments: Any, options: Any, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        made(*arguments, **options)


def test_the_commands(terminal: Terminal) -> None:
    terminal.run("transport", "list")
    said = terminal.run("transport", "set", "Lists.Test", "lmtp", "unix:/run/lmtp.sock")
    assert said == "transport lists.test lmtp unix:/run/lmtp.sock\n"
    words = ("transport", "set", "*", "relay", "smart.test", "--login", "me", "--password-stdin")
    assert terminal.json(*words, stdin="a secret\n") == {
        "pattern": "*",
        "kind": "relay",
        "host": "smart.test",
        "port": 587,
        "login": "me",
    }
    assert terminal.run("transport", "show", "*") == "* relay smart.test:587 login=me\n"
    assert [one["pattern"] for one in terminal.json("transport")["transports"]] == [
        "*",
        "lists.test",
    ]
    said = terminal.run("transport", "set", "*", "error", "4.3.0", "wait")
    assert said == "transport * error 4.3.0 wait, was relay smart.test:587 login=me\n"
    assert terminal.run("transport", "remove", "*") == "transport * removed\n"
    assert terminal.run("transport", "remove", "*", code=Exit.NOTHING_FOUND)
    assert terminal.run("transport", "show", "*", code=Exit.NOTHING_FOUND)
    assert terminal.run("transport", "set", "*", "relay", code=Exit.USAGE)
    terminal.run("transport", "set", "p.test", "command", "--", "/bin/cat", "-n", "{local}")
    assert terminal.json("transport", "show", "p.test")["argv"] == ["/bin/cat", "-n", "{local}"]


def test_a_password_is_kept_and_never_shown(terminal: Terminal) -> None:
    words = ("transport", "set", "*", "relay", "smart.test", "--login", "me", "--password-stdin")
    shown = terminal.run(*words, stdin="s3cr3t-word\n")
    shown += terminal.run("transport", "list", "--json") + terminal.run("transport", "show", "*")
    assert "s3cr3t-word" not in shown
    state_db = terminal.site.places.state_file
    assert stat.S_IMODE(os.stat(state_db).st_mode) & 0o077 == 0
    table = TransportTable(state_db)
    assert table().find("x.test").password == "s3cr3t-word"
    assert "s3cr3t-word" not in repr(table().find("x.test"))
    journal = b"".join(
        path.read_bytes() for path in terminal.site.places.journal.rglob("*") if path.is_file()
    )
    assert b"relay smart.test:587 login=me" in journal
    assert b"s3cr3t-word" not in journal


def test_changes_are_seen(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    table = TransportTable(terminal.site.places.state_db)
    assert table().find("a.test") is DIRECT
    terminal.run("transport", "set", "a.test", "error", "5.1.6", "gone")
    now[0] += transports.LOOK_SECONDS
    assert table().find("a.test").text == "5.1.6 gone"
    terminal.run("transport", "remove", "a.test")
    now[0] += transports.LOOK_SECONDS
    assert table().find("a.test") is DIRECT


def test_a_database_that_is_gone_changes_nothing(
    terminal: Terminal, caplog: pytest.LogCaptureFixture
) -> None:
    terminal.run("transport", "set", "a.test", "error", "5.1.6", "gone")
    table = TransportTable(terminal.site.places.state_db)
    assert table().find("a.test").kind == "error"
    terminal.site.places.state_file.rename(terminal.site.places.state_file.with_suffix(".away"))
    table._looked = 0
    assert table().find("a.test").kind == "error"
    assert "stay as they were" in caplog.text
    with pytest.raises(Unreachable):
        TransportTable(terminal.site.places.state_db)()


def test_it_costs_nothing_while_nothing_changes(
    site: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = TransportTable(site.places.state_db)
    old = time.time() - 10
    for _ in range(2):
        table()
        table._looked = 0
        for path in site.places.state_file.parent.glob("state.db*"):
            os.utime(path, (old, old))
    table()
    monkeypatch.setattr(transports, "read", None)
    for _ in range(3):
        table()
        table._looked = 0
    table()
