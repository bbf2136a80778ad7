"""``mtad box share`` and ``mtad box shares`` as an administrator uses them."""

from pathlib import Path
from typing import Any

import pytest

from mtad.config import Loaded
from mtad.directory.lookup import Directory
from tests.test_directory_cli import Terminal

YOU, ANN, INFO = "you@example.org", "ann@example.org", "info@example.org"


@pytest.fixture
def terminal(
    site: Loaded, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    made = Terminal(site, capsys, monkeypatch)
    for address in (ANN, INFO):
        made.run("box", "add", address)
    return made


def shares(terminal: Terminal, *words: str) -> dict[str, list[tuple[str, ...]]]:
    """What each box shares: mailbox, with whom, rights."""
    found: list[dict[str, Any]] = terminal.json("box", "shares", *words)["boxes"]
    return {one["address"]: [tuple(row.values()) for row in one["shares"]] for one in found}


def test_a_mailbox_is_shared_and_not_any_more(terminal: Terminal) -> None:
    assert shares(terminal) == {}
    assert "shared with nobody" in terminal.run("box", "shares", ANN)
    said = terminal.run("box", "share", ANN, "inbox", "--with", "You@Example.org")
    assert said == f"{ANN}\n  Other Users/{ANN}/INBOX  {YOU}  read (lrs)\n"
    terminal.run("box", "share", ANN, "INBOX", "--with", YOU, "--rights", "write")
    terminal.run("box", "share", ANN, "INBOX", "--with", "anyone", "--rights", "rl")
    assert shares(terminal) == {ANN: [("INBOX", "anyone", "lr"), ("INBOX", YOU, "lrswipte")]}
    terminal.run("box", "share", ANN, "INBOX", "--with", "anyone", "--off")
    assert shares(terminal, ANN) == {ANN: [("INBOX", YOU, "lrswipte")]}
    terminal.run("box", "share", ANN, "--off")
    assert shares(terminal) == {}


def test_all_mailboxes_at_once(terminal: Terminal, site: Loaded) -> None:
    for name in (".Work", ".Work.Old"):
        Path(site.places.boxes / "example.org" / "ann" / "Maildir" / name / "cur").mkdir(
            parents=True
        )
    terminal.run("box", "share", ANN, "--with", YOU, "--with", INFO, "--rights", "all")
    full = "lrswipkxtea"
    assert shares(terminal, ANN)[ANN] == [
        (name, who, full) for name in ("INBOX", "Work", "Work/Old") for who in (INFO, YOU)
    ]
    terminal.run("box", "share", ANN, "Work", "--with", YOU, "--off")
    assert ("Work", INFO, full) in shares(terminal, ANN)[ANN]
    assert ("Work", YOU, full) not in shares(terminal, ANN)[ANN]


def test_a_public_box(terminal: Terminal, site: Loaded) -> None:
    said = terminal.run("box", "share", INFO, "--public")
    assert said == f"{INFO}  public\n  Shared/{INFO}/INBOX  anyone  read (lrs)\n"
    assert Directory(site.places.state_db).is_public(INFO)
    said = terminal.run("box", "share", INFO, "--private")
    assert said == f"{INFO}\n  Other Users/{INFO}/INBOX  anyone  read (lrs)\n"
    assert not Directory(site.places.state_db).is_public(INFO)
    terminal.run("box", "share", INFO, "--off", "--public")
    terminal.run("box", "share", INFO, "--public", "--with", YOU, "--rights", "write")
    assert shares(terminal) == {INFO: [("INBOX", YOU, "lrswipte")]}


def test_what_makes_no_sense_is_refused(terminal: Terminal) -> None:
    assert "say with whom" in terminal.run("box", "share", ANN, code=2)
    for rights in ("none", "lrq", ""):
        said = terminal.run("box", "share", ANN, "--with", YOU, "--rights", rights, code=2)
        assert "read, write, full" in said
    assert "name a box" in terminal.run("box", "share", ANN, "--with", "you", code=2)
    for words in (
        ("share", ANN, "--with", "nobody@example.org"),
        ("share", "nobody@example.org", "--with", YOU),
        ("share", ANN, "None", "--with", YOU),
        ("shares", "nobody@example.org"),
    ):
        terminal.run("box", *words, code=4)
    assert "all rights" in terminal.run("box", "share", ANN, "--with", ANN, code=2)
    assert shares(terminal) == {}
