"""``mtad domain``, ``box`` and ``alias`` as a person or a script uses them."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from mtad import cli, clock, db
from mtad.config import Loaded
from mtad.directory import connections, passwords
from mtad.directory.attempts import Attempts
from mtad.errors import Exit


class Terminal:
    """Runs commands in this process on one site."""

    def __init__(
        self, site: Loaded, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.site = site
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def run(self, *words: str, code: int = 0, stdin: str = "") -> str:
        """Standard output of a command, or its one error sentence when ``code`` is not 0."""
        self._monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            cli.main(["--config", str(self.site.path), *words])
        out, err = self._capsys.readouterr()
        assert ended.value.code == code, err
        if code == 0:
            return out
        assert out == ""
        assert err.count("\n") == 1
        return err.removeprefix("mtad: ").rstrip("\n")

    def json(self, *words: str, stdin: str = "") -> dict[str, Any]:
        document = json.loads(self.run(*words, "--json", stdin=stdin))
        assert document.pop("schema") == 1
        return dict(document)


@pytest.fixture
def terminal(
    site: Loaded, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    return Terminal(site, capsys, monkeypatch)


def stored_password(site: Loaded, address: str) -> str:
    with connections.reading(site.places.state_db) as connection:
        return str(
            connection.exec_driver_sql(
                "SELECT value FROM credential WHERE box = ? AND kind = 'argon2id'", (address,)
            ).scalar_one()
        )


def test_domains(terminal: Terminal) -> None:
    assert terminal.run("domain", "add", "Почта.Example") == "domain xn--80a1acny.example added\n"
    assert terminal.json("domain") == {
        "domains": [
            {"domain": "example.org", "boxes": 1, "aliases": 1},
            {"domain": "xn--80a1acny.example", "boxes": 0, "aliases": 0},
        ]
    }
    assert "example.org  1 box, 1 alias" in terminal.run("domain", "list")
    shown = terminal.json("domain", "show", "EXAMPLE.org")
    assert shown["boxes"] == ["you@example.org"]
    assert shown["aliases"] == ["postmaster@example.org"]
    assert [one[:3] for one in shown["dkim_selectors"]] == ["e20", "m20"]
    assert "you@example.org" in terminal.run("domain", "show", "example.org")
    terminal.run("domain", "remove", "xn--80a1acny.example")
    assert len(terminal.json("domain", "list")["domains"]) == 1
    said = terminal.run("domain", "show", "other.example", code=Exit.NOTHING_FOUND)
    assert said == "other.example is not a domain of this server"


def test_a_box_with_a_made_password(terminal: Terminal) -> None:
    made = terminal.json("box", "add", "Anna@example.org")
    assert made["address"] == "anna@example.org"
    assert passwords.verify(stored_password(terminal.site, "anna@example.org"), made["password"])
    text = terminal.run("box", "add", "boris@example.org")
    password = text.rstrip("\n").rpartition(" ")[2]
    assert passwords.verify(stored_password(terminal.site, "boris@example.org"), password)


def test_a_box_with_a_given_password(terminal: Terminal) -> None:
    made = terminal.json("box", "add", "anna@example.org", "--password-stdin", stdin="пароль 1\n")
    assert made == {"address": "anna@example.org"}
    assert passwords.verify(stored_password(terminal.site, "anna@example.org"), "пароль 1")
    said = terminal.run("box", "add", "b@example.org", "--password-stdin", code=Exit.USAGE)
    assert said == "--password-stdin: standard input has no password"
    assert len(terminal.json("box", "list")["boxes"]) == 2


def test_another_password(terminal: Terminal) -> None:
    before = stored_password(terminal.site, "you@example.org")
    made = terminal.json("box", "passwd", "you@example.org")
    after = stored_password(terminal.site, "you@example.org")
    assert not passwords.verify(before, made["password"])
    assert passwords.verify(after, made["password"])
    terminal.run("box", "passwd", "you@example.org", "--password-stdin", stdin="mine\n")
    assert passwords.verify(stored_password(terminal.site, "you@example.org"), "mine")
    said = terminal.run("box", "passwd", "no@example.org", code=Exit.NOTHING_FOUND)
    assert said == "there is no box no@example.org"


def test_app_passwords(terminal: Terminal) -> None:
    you = "you@example.org"
    made = terminal.json("box", "app-password", "add", "You@example.org", "phone")
    assert (made["address"], made["name"]) == (you, "phone")
    assert len(made["password"]) == 19
    text = terminal.run("box", "app-password", "add", you, "Ноутбук")
    assert text.startswith("app password Ноутбук of you@example.org: ")
    listed = terminal.json("box", "app-password", "list", you)
    assert [(one["name"], one["last_used"]) for one in listed["app_passwords"]] == [
        ("phone", None),
        ("Ноутбук", None),
    ]
    assert made["password"] not in terminal.run("box", "app-password", "list", you)
    assert "never used" in terminal.run("box", "app-password", "list", you)
    assert terminal.json("box", "show", you)["app_passwords"] == ["phone", "Ноутбук"]
    assert "  login     password, 2 app passwords (phone, Ноутбук)\n" in terminal.run(
        "box", "show", you
    )
    terminal.run("box", "app-password", "remove", you, "phone")
    said = terminal.run("box", "app-password", "remove", you, "phone", code=Exit.NOTHING_FOUND)
    assert said == "you@example.org has no app password phone"
    said = terminal.run("box", "app-password", "list", "no@example.org", code=Exit.NOTHING_FOUND)
    assert said == "there is no box no@example.org"


def test_cram_and_lock(terminal: Terminal) -> None:
    you = "you@example.org"
    made = terminal.json("box", "cram", you, "on")
    assert made["cram"] is True
    assert made["password"] not in terminal.run("box", "show", you)
    assert terminal.json("box", "show", you)["cram"] is True
    assert "password, CRAM-MD5" in terminal.run("box", "show", you)
    terminal.run("box", "cram", you, "off")
    assert terminal.json("box", "show", you)["cram"] is False
    terminal.run("box", "lock", you)
    assert "  login     locked\n" in terminal.run("box", "show", you)
    said = terminal.run("box", "lock", you, code=Exit.FAILURE)
    assert said == "you@example.org is locked already"
    terminal.run("box", "unlock", you)
    assert terminal.json("box", "show", you)["locked"] is False


def test_bans(terminal: Terminal) -> None:
    assert terminal.json("bans") == {"bans": []}
    attempts = Attempts(terminal.site.places.attempts)
    later = clock.now_us() + 60_000_000
    for subject in ("client 192.0.2.1", "client 2001:db8::/64", "login you@example.org"):
        attempts.ban(subject, later)
    attempts.ban("client 192.0.2.9", 5)
    assert [one["subject"] for one in terminal.json("bans", "list")["bans"]] == [
        "client 192.0.2.1",
        "client 2001:db8::/64",
        "login you@example.org",
    ]
    for who in ("192.0.2.1", "2001:db8::17", "YOU@example.org"):
        assert terminal.run("bans", "lift", who) == f"{who} may log in again\n"
        said = terminal.run("bans", "lift", who, code=Exit.NOTHING_FOUND)
        assert said == f"{who!r} is not banned"
    assert terminal.run("bans") == ""
    attempts.ban("client 2001:db8::/64", later)
    terminal.run("bans", "lift", "2001:db8::/64")
    attempts.close()


def test_boxes_are_listed_and_shown(terminal: Terminal) -> None:
    assert terminal.run("box") == "you@example.org\n"
    shown = terminal.json("box", "show", "you@example.org")
    assert shown["aliases"] == ["postmaster@example.org"]
    assert shown["messages"] == 0
    assert Path(shown["folder"]) == terminal.site.places.boxes / "example.org" / "you"
    assert shown["added"].endswith("+00:00")
    assert "postmaster@example.org" in terminal.run("box", "show", "you@example.org")


def test_a_box_with_mail_is_not_removed_without_yes(terminal: Terminal) -> None:
    terminal.run("box", "add", "anna@example.org")
    folder = terminal.site.places.boxes / "example.org" / "anna"
    for mailbox in ("new", ".Archive/cur"):
        (folder / "Maildir" / mailbox).mkdir(parents=True)
        (folder / "Maildir" / mailbox / "1.x.host").write_text("mail")
    said = terminal.run("box", "remove", "anna@example.org", code=Exit.USAGE)
    assert said == (
        f"box anna@example.org still has mail (2 messages) in {folder}; "
        "it stays there: give --yes to remove the box"
    )
    assert terminal.json("box", "show", "anna@example.org")["messages"] == 2
    done = terminal.run("box", "remove", "anna@example.org", "--yes")
    assert done == f"box anna@example.org removed; its mail (2 messages) stays in {folder}\n"
    assert (folder / "Maildir" / "new" / "1.x.host").read_text() == "mail"
    terminal.run("box", "add", "anna@example.org")
    assert terminal.json("box", "show", "anna@example.org")["messages"] == 2


def test_an_empty_box_is_removed(terminal: Terminal) -> None:
    terminal.run("box", "add", "anna@example.org")
    assert terminal.run("box", "remove", "anna@example.org") == "box anna@example.org removed\n"
    said = terminal.run("box", "remove", "you@example.org", code=Exit.FAILURE)
    assert "aliases lead to you@example.org (postmaster@example.org)" in said


def test_aliases(terminal: Terminal) -> None:
    terminal.run("box", "add", "anna@example.org")
    made = terminal.json("alias", "add", "Team@example.org", "you@example.org", "ANNA@example.org")
    assert made == {"alias": "team@example.org", "targets": ["you@example.org", "anna@example.org"]}
    assert terminal.json("alias", "show", "team@example.org") == made
    assert terminal.json("alias")["aliases"] == [
        {"alias": "postmaster@example.org", "targets": ["you@example.org"]},
        made,
    ]
    text = terminal.run("alias", "list")
    assert "team@example.org -> you@example.org, anna@example.org\n" in text
    assert terminal.run("alias", "remove", "team@example.org") == "alias team@example.org removed\n"
    said = terminal.run("alias", "show", "team@example.org", code=Exit.NOTHING_FOUND)
    assert said == "there is no alias team@example.org"


def test_an_alias_may_lead_elsewhere_but_not_nowhere(terminal: Terminal) -> None:
    words = ("alias", "add", "out@example.org", "friend@elsewhere.example")
    assert "leads to friend@elsewhere.example" in terminal.run(*words)
    said = terminal.run("alias", "add", "in@example.org", "x@example.org", code=Exit.NOTHING_FOUND)
    assert said == "x@example.org is neither a box nor an alias of this server"


def test_a_domain_of_another_server(terminal: Terminal) -> None:
    said = terminal.run("domain", "add", "far.example", "--relay")
    assert said == "domain far.example added, its mail is passed on\n"
    assert "passed on" in terminal.run("domain", "show", "far.example")
    terminal.run("alias", "add", "out@example.org", "any@far.example")


def test_a_box_passes_its_mail_on(terminal: Terminal) -> None:
    forward = ("box", "forward", "you@example.org")
    said = terminal.run(*forward, "me@elsewhere.example", "--keep")
    assert said == "box you@example.org: passed on to me@elsewhere.example; a copy stays\n"
    shown = json.loads(terminal.run("box", "show", "you@example.org", "--json"))
    assert (shown["forward"], shown["keeps_copy"]) == (["me@elsewhere.example"], True)
    assert "no copy stays" in terminal.run(*forward, "me@elsewhere.example")
    assert terminal.run(*forward, "--off") == "box you@example.org: -\n"
    assert "name where" in terminal.run(*forward, code=Exit.USAGE)
    assert "name where" in terminal.run(*forward, "a@b.example", "--off", code=Exit.USAGE)


def test_languages_of_reports(terminal: Terminal) -> None:
    assert terminal.json("box", "show", "you@example.org")["language"] == "default"
    assert "reports   in the domain's" in terminal.run("box", "show", "you@example.org")
    said = terminal.run("box", "language", "You@example.org", "ru")
    assert said == "reports to you@example.org are written in ru\n"
    assert terminal.json("box", "show", "you@example.org")["language"] == "ru"
    assert "reports   in ru" in terminal.run("box", "show", "you@example.org")
    said = terminal.run("box", "language", "you@example.org", "default")
    assert said == "reports to you@example.org are written as by default\n"
    made = terminal.json("domain", "language", "Example.org", "both")
    assert (made["of"], made["language"]) == ("example.org", "both")
    assert terminal.json("domain", "show", "example.org")["language"] == "both"
    assert "reports  in both" in terminal.run("domain", "show", "example.org")
    assert "no box" in terminal.run(
        "box", "language", "x@example.org", "ru", code=Exit.NOTHING_FOUND
    )
    terminal.run("domain", "language", "other.example", "ru", code=Exit.NOTHING_FOUND)
    terminal.run("box", "language", "example.org", "ru", code=Exit.USAGE)


def test_how_much_a_box_may_hold(terminal: Terminal) -> None:
    shown = terminal.json("box", "quota", "You@example.org", "--size", "5G")
    assert (shown["max_size"], shown["max_messages"]) == (5_000_000_000, 0)
    said = terminal.run("box", "quota", "you@example.org", "--messages", "1000")
    assert "holds     0 messages, 0 B" in said
    assert "may hold  1,000 messages, 5.0 GB" in said
    terminal.run("box", "quota", "you@example.org", "--size", "0")
    assert "may hold  1,000 messages, any size" in terminal.run("box", "quota", "you@example.org")
    assert "no size" in terminal.run(
        "box", "quota", "you@example.org", "--size", "5 apples", code=Exit.USAGE
    )
    terminal.run("box", "quota", "x@example.org", code=Exit.NOTHING_FOUND)
    terminal.run("box", "quota", "x@example.org", "--size", "1G", code=Exit.NOTHING_FOUND)


def test_a_hostile_address_cannot_reach_the_terminal(terminal: Terminal) -> None:
    said = terminal.run("box", "add", "a\x1b[2Jb@example.org", code=Exit.USAGE)
    assert "\x1b" not in said


def test_a_database_from_a_newer_version_is_one_sentence(terminal: Terminal) -> None:
    engine = db.engine(terminal.site.places.state_db)
    with engine.connect() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'state_9999'")
        connection.commit()
    engine.dispose()
    for words in (("box", "list"), ("box", "add", "anna@example.org")):
        said = terminal.run(*words, code=Exit.FAILURE)
        assert "is from a newer version of mtad (revision state_9999); upgrade mtad" in said


def test_a_missing_database_is_one_sentence(terminal: Terminal) -> None:
    for path in list(terminal.site.places.data.glob("state.db*")):
        path.unlink()
    with pytest.raises(SystemExit) as ended:
        cli.main(["--config", str(terminal.site.path), "box", "list"])
    assert ended.value.code not in (0, None)
