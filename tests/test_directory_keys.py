"""Changes to DKIM keys: one in force per algorithm, each change an event."""

import pytest

from mtad import where
from mtad.directory.changes import AlreadyThere
from mtad.directory.key_changes import KeyChanges
from mtad.directory.lookup import Directory
from mtad.errors import NothingFound
from mtad.journal.writer import Journal
from tests.test_directory_changes import journal, logged, places

__all__ = ["journal", "places"]


@pytest.fixture
def changes(places: where.Places, journal: Journal) -> KeyChanges:
    made = KeyChanges(places.state_db, journal, "admin:tester")
    made.add_domain("example.org")
    return made


def in_force(places: where.Places, at: int) -> list[str]:
    keys = Directory(places.state_db).dkim_keys("example.org")
    return sorted(key.selector for key in keys if key.signs(at))


def test_one_key_follows_another(places: where.Places, changes: KeyChanges) -> None:
    changes.add_keys("Example.org", {"rsa-sha256": "r1"}, 100)
    changes.add_keys("example.org", {"rsa-sha256": "r2", "ed25519-sha256": "e2"}, 200)
    assert [in_force(places, at) for at in (99, 100, 199, 200)] == [
        [],
        ["r1"],
        ["r1"],
        ["e2", "r2"],
    ]
    changes.add_keys("example.org", {"rsa-sha256": "r3"}, 150)
    assert in_force(places, 160) == ["r3"], "it comes before the one that was to be next"
    assert in_force(places, 300) == ["e2", "r3"]
    changes.remove_key("example.org", "r1")
    assert in_force(places, 120) == []
    assert [str(event) for event in logged(places)][1:] == [
        "dkim keys example.org: absent -> r1 by admin:tester",
        "dkim keys example.org: r1 -> e2, r2 by admin:tester",
        "dkim keys example.org: r1, r2 -> r3 by admin:tester",
        "dkim keys example.org: r1 -> absent by admin:tester",
    ]


def test_what_makes_no_sense_changes_nothing(places: where.Places, changes: KeyChanges) -> None:
    changes.add_keys("example.org", {"rsa-sha256": "r1"}, 100)
    with pytest.raises(NothingFound, match="not a domain"):
        changes.add_keys("other.example", {"rsa-sha256": "r1"}, 100)
    with pytest.raises(AlreadyThere, match="a key r1 already"):
        changes.add_keys("example.org", {"rsa-sha256": "r1"}, 200)
    with pytest.raises(NothingFound, match="no key r9"):
        changes.remove_key("example.org", "r9")
    assert in_force(places, 10**9) == ["r1"]


def test_a_domain_goes_with_its_keys(places: where.Places, changes: KeyChanges) -> None:
    changes.add_keys("example.org", {"rsa-sha256": "r1"}, 100)
    changes.remove_domain("example.org")
    assert in_force(places, 100) == []
