"""Changes to the directory: checked, explained by an event first, whole or not at all."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from mtad import db, where
from mtad.address import parse
from mtad.directory import connections, passwords, tables
from mtad.directory.changes import AlreadyThere, InUse
from mtad.directory.credential_changes import CredentialChanges as Changes
from mtad.directory.lookup import Directory
from mtad.errors import MtadError, NothingFound, UsageError
from mtad.journal.command import command_journal
from mtad.journal.errors import JournalFull
from mtad.journal.reader import Reader
from mtad.journal.writer import Journal
from tracing.events import AdminChange, Event


@pytest.fixture
def places(tmp_path: Path) -> where.Places:
    places = where.Places(tmp_path)
    db.upgrade_state(places.state_db)
    return places


@pytest.fixture
def journal(places: where.Places) -> Iterator[Journal]:
    with command_journal(places) as journal:
        yield journal


@pytest.fixture
def changes(places: where.Places, journal: Journal) -> Changes:
    made = Changes(places.state_db, journal, "admin:tester")
    made.add_domain("Example.ORG")
    made.add_box("You@example.org", "secret-word")
    return made


def logged(places: where.Places) -> list[Event]:
    frames = Reader(places.journal / "cli-40").frames(0)
    return [event for frame in frames for event in frame.events]


def everything(places: where.Places) -> list[object]:
    with connections.reading(places.state_db) as connection:
        return [
            tuple(row)
            for table in tables.metadata.sorted_tables
            for row in connection.execute(sa.select(table))
        ]


def test_each_change_is_an_event_in_a_journal(places: where.Places, changes: Changes) -> None:
    changes.set_password("you@example.org", "other-secret")
    changes.add_alias("info@example.org", ["YOU@example.org", "you@example.org"])
    changes.set_postmaster("info@example.org")
    changes.set_language("you@example.org", "ru")
    changes.set_language("you@example.org", None)
    changes.remove_alias("info@example.org")
    changes.remove_box("you@example.org")
    changes.remove_domain("example.org")
    told = [
        (event.what, event.name, event.before, event.after)
        for event in logged(places)
        if isinstance(event, AdminChange) and event.actor == "admin:tester" and event.trace
    ]
    assert told == [
        ("domain", "example.org", "absent", "present"),
        ("box", "you@example.org", "absent", "present"),
        ("password", "you@example.org", "one", "another"),
        ("alias", "info@example.org", "absent", "you@example.org"),
        ("postmaster", "", "absent", "info@example.org"),
        ("language", "you@example.org", "default", "ru"),
        ("language", "you@example.org", "ru", "default"),
        ("alias", "info@example.org", "you@example.org", "absent"),
        ("box", "you@example.org", "present", "absent"),
        ("domain", "example.org", "present", "absent"),
    ]
    assert everything(places) == []


def test_no_secret_reaches_the_journal(places: where.Places, changes: Changes) -> None:
    changes.set_password("you@example.org", "other-secret")
    written = b"".join(path.read_bytes() for path in places.journal.rglob("*") if path.is_file())
    for secret in (b"secret-word", b"other-secret", b"argon2"):
        assert secret not in written
    assert b"you@example.org" in written


def test_a_box_gets_the_password_it_was_given(places: where.Places, changes: Changes) -> None:
    def stored() -> str:
        with connections.reading(places.state_db) as connection:
            columns = tables.credential.c
            own = sa.select(columns.value).where(columns.kind == "argon2id")
            return str(connection.execute(own).scalar_one())

    assert passwords.verify(stored(), "secret-word")
    changes.set_password("you@example.org", "other-secret")
    assert passwords.verify(stored(), "other-secret")
    assert not passwords.verify(stored(), "secret-word")


REFUSED: dict[str, tuple[Callable[[Changes], object], type[MtadError], str]] = {
    "malformed domain": (lambda c: c.add_domain("no domain"), UsageError, "not a domain"),
    "domain twice": (lambda c: c.add_domain("EXAMPLE.org."), AlreadyThere, "already"),
    "box without domain": (
        lambda c: c.add_box("a@elsewhere.example", "x"),
        NothingFound,
        "mtad domain add elsewhere.example",
    ),
    "box twice": (lambda c: c.add_box("YOU@example.org", "x"), AlreadyThere, "is a box already"),
    "box without password": (lambda c: c.add_box("a@example.org", ""), UsageError, "empty"),
    "malformed box": (lambda c: c.add_box("a b@example.org", "x"), UsageError, "characters"),
    "alias over box": (
        lambda c: c.add_alias("you@example.org", ["you@example.org"]),
        UsageError,
        "lead to itself",
    ),
    "alias that leads nowhere": (
        lambda c: c.add_alias("a@example.org", ["you@example.org", "x@example.org"]),
        NothingFound,
        "x@example.org is neither a box nor an alias of this server",
    ),
    "forward of no box": (
        lambda c: c.set_forward("x@example.org", ["y@elsewhere.example"], keep=False),
        NothingFound,
        "no box x@example.org",
    ),
    "forward to nowhere": (
        lambda c: c.set_forward("you@example.org", ["x@example.org"], keep=False),
        NothingFound,
        "neither a box nor an alias",
    ),
    "forward to itself": (
        lambda c: c.set_forward("you@example.org", ["You@example.org"], keep=True),
        UsageError,
        "lead to itself",
    ),
    "alias to itself": (
        lambda c: c.add_alias("a@example.org", ["you@example.org", "A@example.org"]),
        UsageError,
        "lead to itself",
    ),
    "alias without target": (lambda c: c.add_alias("a@example.org", []), UsageError, "target"),
    "domain with boxes": (lambda c: c.remove_domain("example.org"), InUse, "you@example.org"),
    "no such domain": (lambda c: c.remove_domain("other.example"), NothingFound, "not a domain"),
    "no such box": (lambda c: c.remove_box("x@example.org"), NothingFound, "no box"),
    "no such alias": (lambda c: c.remove_alias("x@example.org"), NothingFound, "no alias"),
    "password of no box": (
        lambda c: c.set_password("x@example.org", "y"),
        NothingFound,
        "no box x@example.org",
    ),
    "postmaster outside": (
        lambda c: c.set_postmaster("x@elsewhere.example"),
        NothingFound,
        "neither a box nor an alias",
    ),
}


@pytest.mark.parametrize(("act", "error", "says"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_changes_nothing_and_logs_nothing(
    places: where.Places,
    changes: Changes,
    act: Callable[[Changes], object],
    error: type[MtadError],
    says: str,
) -> None:
    before, events = everything(places), len(logged(places))
    with pytest.raises(error, match=says):
        act(changes)
    assert everything(places) == before
    assert len(logged(places)) == events


def test_what_an_alias_leads_to_stays(changes: Changes) -> None:
    changes.add_alias("a@example.org", ["you@example.org"])
    changes.add_alias("b@example.org", ["a@example.org"])
    with pytest.raises(InUse, match=r"aliases lead to you@example.org \(a@example.org\)"):
        changes.remove_box("you@example.org")
    with pytest.raises(InUse, match=r"b@example\.org"):
        changes.remove_alias("a@example.org")
    changes.remove_alias("b@example.org")
    changes.remove_alias("a@example.org")
    changes.remove_box("you@example.org")


def test_aliases_cannot_form_a_loop(places: where.Places, changes: Changes) -> None:
    changes.add_alias("a@example.org", ["you@example.org"])
    changes.add_alias("b@example.org", ["a@example.org"])
    with pytest.raises(AlreadyThere):
        changes.add_alias("a@example.org", ["b@example.org"])
    found = Directory(places.state_db).resolve(parse("b@example.org"))
    assert [target.box for target in found] == ["you@example.org"]


def test_an_alias_over_a_box_is_refused_and_the_other_way_round(changes: Changes) -> None:
    changes.add_alias("a@example.org", ["you@example.org"])
    with pytest.raises(AlreadyThere, match="is an alias already"):
        changes.add_box("a@example.org", "x")
    changes.add_box("b@example.org", "x")
    with pytest.raises(AlreadyThere, match="is a box already"):
        changes.add_alias("b@example.org", ["you@example.org"])


def test_a_journal_that_cannot_be_written_stops_the_change(
    places: where.Places, changes: Changes, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise OSError(28, "No space left on device")

    before = everything(places)
    monkeypatch.setattr(journal, "commit_now", broken)
    with pytest.raises(OSError, match="No space left"):
        changes.add_box("new@example.org", "x")
    assert everything(places) == before


def test_the_event_is_durable_before_the_change_shows(
    places: where.Places, changes: Changes, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = journal.commit_now, []

    def watched(*args: object) -> int:
        number = real(*args)  # type: ignore[arg-type]
        with connections.reading(places.state_db) as connection:
            seen.append(connection.scalars(sa.select(tables.box.c.address)).all())
        return number

    monkeypatch.setattr(journal, "commit_now", watched)
    changes.add_box("new@example.org", "x")
    assert seen == [["you@example.org"]]
    assert any("new@example.org" in str(row) for row in everything(places))


def test_every_command_has_a_journal_of_its_own(places: where.Places) -> None:
    with command_journal(places) as first, command_journal(places) as second:
        assert first.name != second.name
        assert first.mint.node != second.mint.node
    with command_journal(places) as again:
        assert again.name == first.name


def test_a_full_journal_is_one_sentence(
    places: where.Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise JournalFull("no space left for the journal")

    monkeypatch.setattr(Journal, "commit_now", full)
    with (
        pytest.raises(MtadError, match="nothing was changed: no space left for the journal"),
        command_journal(places) as journal,
    ):
        Changes(places.state_db, journal, "admin:tester").add_domain("example.org")
    assert everything(places) == []
