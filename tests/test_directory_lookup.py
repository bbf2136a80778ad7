"""The directory in memory: who receives, how aliases unfold, when it is read again."""

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
import sqlalchemy as sa

from mtad import db
from mtad.address import Address, parse
from mtad.directory import connections, credentials, tables
from mtad.directory.lookup import MAX_TARGETS, Directory, Target
from mtad.errors import Locked, MtadError, Unreachable


@pytest.fixture
def state_db(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    db.upgrade_state(path)
    fill(path, ["example.org", "corp.example"], ["you@example.org", "anna@corp.example"])
    return path


def fill(
    path: Path,
    domains: Iterable[str] = (),
    boxes: Iterable[str] = (),
    aliases: dict[str, list[str]] | None = None,
) -> None:
    with connections.writing(path) as connection:
        for name in domains:
            connection.execute(tables.domain.insert().values(name=name, added=1))
        for address in boxes:
            connection.execute(
                tables.box.insert().values(address=address, domain=parse(address).domain, added=1)
            )
        for address, targets in (aliases or {}).items():
            connection.execute(
                tables.alias.insert().values(address=address, domain=parse(address).domain, added=1)
            )
            for position, target in enumerate(targets, 1):
                connection.execute(
                    tables.alias_target.insert().values(
                        alias=address, position=position, target=target
                    )
                )


def boxes(directory: Directory, address: str) -> list[str]:
    return [target.box for target in directory.resolve(parse(address))]


def test_a_box_is_its_own_target(state_db: Path) -> None:
    directory = Directory(state_db)
    assert directory.is_local("example.org")
    assert not directory.is_local("example.net")
    found = directory.resolve(parse("You@Example.ORG"))
    assert found == (Target("you@example.org", "you@example.org", False),)
    assert directory.resolve(parse("nobody@example.org")) == ()


def test_aliases_unfold_in_order_and_each_box_once(state_db: Path) -> None:
    fill(
        state_db,
        aliases={
            "sales@example.org": ["anna@corp.example", "all@example.org"],
            "all@example.org": ["you@example.org", "anna@corp.example"],
        },
    )
    directory = Directory(state_db)
    assert directory.resolve(parse("sales@example.org")) == (
        Target("anna@corp.example", "sales@example.org", True),
        Target("you@example.org", "sales@example.org", True),
    )


def test_a_domain_may_be_another_servers(state_db: Path) -> None:
    with connections.writing(state_db) as connection:
        connection.execute(tables.domain.insert().values(name="sub.example", added=1, relay=True))
    fill(
        state_db,
        boxes=["here@sub.example"],
        aliases={"x@example.org": ["far@sub.example"], "al@sub.example": ["here@sub.example"]},
    )
    directory = Directory(state_db)
    assert directory.is_local("sub.example")
    far = Target("far@sub.example", "far@sub.example", False, remote=True)
    assert directory.resolve(parse("Far@sub.example")) == (far,)
    assert boxes(directory, "here@sub.example") == ["here@sub.example"]
    assert boxes(directory, "al@sub.example") == ["here@sub.example"]
    (alias,) = directory.resolve(parse("x@example.org"))
    assert (alias.box, alias.remote, alias.alias) == ("far@sub.example", True, True)
    (postmaster,) = directory.resolve(parse("postmaster@sub.example"))
    assert postmaster.remote


def pass_on(path: Path, box: str, *targets: str, keep: bool = False) -> None:
    with connections.writing(path) as connection:
        for position, target in enumerate(targets, 1):
            row = {"box": box, "position": position, "target": target, "keep": keep}
            connection.execute(tables.forward.insert().values(**row))


def test_an_alias_may_lead_elsewhere(state_db: Path) -> None:
    fill(state_db, aliases={"team@example.org": ["you@example.org", "me@elsewhere.example"]})
    directory = Directory(state_db)
    assert directory.resolve(parse("team@example.org")) == (
        Target("you@example.org", "team@example.org", True),
        Target("me@elsewhere.example", "team@example.org", True, remote=True),
    )
    assert directory.resolve(parse("me@elsewhere.example")) == ()


def test_a_box_passes_its_mail_on(state_db: Path) -> None:
    you = "you@example.org"
    pass_on(state_db, you, "me@elsewhere.example", "anna@corp.example")
    directory = Directory(state_db)
    elsewhere = Target("me@elsewhere.example", you, False, remote=True, forward=True)
    anna = Target("anna@corp.example", you, False, forward=True)
    assert directory.resolve(parse(you)) == (elsewhere, anna)
    assert directory.may_send_as(you, parse(you))
    assert not directory.may_send_as("anna@corp.example", parse(you))


def test_a_copy_stays_when_it_is_to(state_db: Path) -> None:
    pass_on(state_db, "you@example.org", "me@elsewhere.example", keep=True)
    assert boxes(Directory(state_db), "you@example.org") == [
        "you@example.org",
        "me@elsewhere.example",
    ]


def test_two_boxes_that_point_at_each_other_lose_nothing(state_db: Path) -> None:
    pass_on(state_db, "you@example.org", "anna@corp.example")
    pass_on(state_db, "anna@corp.example", "you@example.org")
    directory = Directory(state_db)
    assert boxes(directory, "you@example.org") == ["you@example.org"]
    assert boxes(directory, "anna@corp.example") == ["anna@corp.example"]


def test_who_may_send_as_whom(state_db: Path) -> None:
    fill(
        state_db,
        aliases={
            "sales@example.org": ["all@example.org"],
            "all@example.org": ["you@example.org"],
            "hers@example.org": ["anna@corp.example"],
        },
    )
    directory = Directory(state_db)

    def may(address: str) -> bool:
        return directory.may_send_as("you@example.org", parse(address))

    assert may("You@example.org")
    assert may("sales@example.org")
    assert may("all@example.org")
    assert not may("hers@example.org")
    assert not may("anna@corp.example")
    assert not may("nobody@example.org")
    assert not may("you@elsewhere.example")


def test_a_locked_box_receives_and_may_not_log_in(state_db: Path) -> None:
    with connections.writing(state_db) as connection:
        for address, enabled in (("you@example.org", True), ("anna@corp.example", False)):
            credentials.replace(connection, address, "", {"argon2id": "x"}, enabled=enabled)
    directory = Directory(state_db)
    assert directory.is_open("you@example.org")
    assert not directory.is_open("anna@corp.example")
    assert not directory.is_open("nobody@example.org")
    assert boxes(directory, "anna@corp.example") == ["anna@corp.example"]


def test_dkim_keys_latest_first(state_db: Path) -> None:
    with connections.writing(state_db) as connection:
        for selector, algorithm, since, until in (
            ("m1", "rsa-sha256", 10, 20),
            ("m2", "rsa-sha256", 20, None),
            ("e2", "ed25519-sha256", 20, None),
        ):
            connection.execute(
                tables.dkim_key.insert().values(
                    domain="example.org",
                    selector=selector,
                    algorithm=algorithm,
                    added=1,
                    signs_from=since,
                    signs_until=until,
                )
            )
    directory = Directory(state_db)
    keys = directory.dkim_keys("example.org")
    assert [key.selector for key in keys] == ["e2", "m2", "m1"]
    assert [[key.selector for key in keys if key.signs(at)] for at in (9, 10, 19, 20)] == [
        [],
        ["m1"],
        ["m1"],
        ["e2", "m2"],
    ]
    assert directory.dkim_keys("corp.example") == ()


def test_loops_and_dead_ends_lead_nowhere(state_db: Path) -> None:
    fill(
        state_db,
        aliases={
            "a@example.org": ["b@example.org", "you@example.org"],
            "b@example.org": ["a@example.org", "b@example.org", "gone@example.org"],
        },
    )
    directory = Directory(state_db)
    assert boxes(directory, "a@example.org") == ["you@example.org"]
    assert boxes(directory, "b@example.org") == ["you@example.org"]


def test_an_alias_tree_that_would_explode_is_walked_once(state_db: Path) -> None:
    layers = {
        f"l{n}@example.org": [f"l{m}@example.org" for m in range(n + 1, 40)] or ["you@example.org"]
        for n in range(40)
    }
    fill(state_db, aliases=layers)
    began = time.monotonic()
    assert boxes(Directory(state_db), "l0@example.org") == ["you@example.org"]
    assert time.monotonic() - began < 2


def test_an_alias_reaches_a_bounded_number_of_boxes(state_db: Path) -> None:
    many = [f"u{n}@example.org" for n in range(MAX_TARGETS + 5)]
    fill(state_db, boxes=many, aliases={"everyone@example.org": many})
    assert boxes(Directory(state_db), "everyone@example.org") == many[:MAX_TARGETS]


def test_every_domain_has_a_postmaster(state_db: Path) -> None:
    fill(state_db, aliases={"postmaster@example.org": ["you@example.org"]})
    with connections.writing(state_db) as connection:
        connection.execute(
            tables.setting.insert().values(name="postmaster", value="postmaster@example.org")
        )
    directory = Directory(state_db)
    assert directory.postmaster() == Address("postmaster", "example.org")
    assert boxes(directory, "postmaster@example.org") == ["you@example.org"]
    assert boxes(directory, "PostMaster@corp.example") == ["you@example.org"]
    assert boxes(directory, "postmaster@elsewhere.example") == []


def test_a_change_is_seen_at_the_next_refresh_and_costs_nothing_before(state_db: Path) -> None:
    directory = Directory(state_db)
    assert boxes(directory, "new@example.org") == []
    fill(state_db, boxes=["new@example.org"])
    directory.refresh()
    assert boxes(directory, "new@example.org") == ["new@example.org"]


def test_changes_in_the_same_instant_are_seen(state_db: Path) -> None:
    directory = Directory(state_db)
    for number in range(30):
        fill(state_db, boxes=[f"n{number}@example.org"])
        directory.refresh()
        assert boxes(directory, f"n{number}@example.org")


def test_a_settled_directory_is_not_read_again(state_db: Path) -> None:
    old = time.time() - 60
    for path in state_db.parent.iterdir():
        os.utime(path, (old, old))
    directory = Directory(state_db)
    deadline = time.monotonic() + 5
    while directory.is_stale and time.monotonic() < deadline:
        directory.refresh()
    assert not directory.is_stale
    fill(state_db, boxes=["later@example.org"])
    assert directory.is_stale


def test_a_missing_or_broken_database_is_one_sentence(tmp_path: Path, state_db: Path) -> None:
    with pytest.raises(Unreachable, match="there is no database"):
        Directory(tmp_path / "none.db")
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"not a database at all" * 100)
    with pytest.raises(MtadError, match="file is not a database"):
        Directory(broken)


def test_the_last_view_stays_when_the_database_goes(state_db: Path) -> None:
    directory = Directory(state_db)
    for path in list(state_db.parent.glob("state.db*")):
        path.unlink()
    with pytest.raises(Unreachable):
        directory.refresh()
    assert boxes(directory, "you@example.org") == ["you@example.org"]


def test_a_second_writer_waits_and_then_says_so(
    state_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "BUSY_SECONDS", 0.05)
    with connections.writing(state_db), pytest.raises(Locked, match="changed by another"):
        fill(state_db, domains=["late.example"])


def test_readers_do_not_wait_for_a_writer(state_db: Path) -> None:
    seen: list[bool] = []
    with connections.writing(state_db) as connection:
        connection.execute(tables.domain.insert().values(name="half.example", added=1))
        reader = threading.Thread(
            target=lambda: seen.append(Directory(state_db).is_local("half.example"))
        )
        reader.start()
        reader.join(5)
    assert seen == [False]


def test_languages(state_db: Path) -> None:
    fill(state_db, boxes=["ru@example.org"], aliases={"info@corp.example": ["ru@example.org"]})
    directory = Directory(state_db)
    assert directory.language("you@example.org") is None

    def speak(table: sa.Table, language: str, *where: sa.ColumnElement[bool]) -> None:
        with connections.writing(state_db) as connection:
            connection.execute(table.update().where(*where).values(language=language))
        directory.refresh()

    speak(tables.box, "ru", tables.box.c.address == "ru@example.org")
    speak(tables.domain, "both", tables.domain.c.name == "corp.example")
    for address, language in {
        "Ru@Example.org": "ru",
        "you@example.org": None,
        "info@corp.example": "ru",
        "anna@corp.example": "both",
        "nobody@corp.example": "both",
        "anna@far.example": None,
        "no address": None,
    }.items():
        assert directory.language(address) == language, address


def test_quotas(state_db: Path) -> None:
    fill(state_db)
    directory = Directory(state_db)
    assert directory.quota("you@example.org") == (0, 0)
    with connections.writing(state_db) as connection:
        connection.execute(tables.box.update().values(quota_messages=7))
    directory.refresh()
    assert directory.quota("you@example.org") == (0, 7)
    assert directory.quota("nobody@example.org") == (0, 0)
