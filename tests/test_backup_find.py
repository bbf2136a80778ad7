"""Messages found over all dates, what differs between two, one message as it was."""

from pathlib import Path

import pytest

from backup import lives
from backup.cache import Cache
from backup.lives import Life
from mtad.config import Loaded
from mtad.errors import Exit
from tests import mails
from tests.backup_yard import ANNA, BORIS, Yard
from tests.test_backup_cli import Run, document, loaded, run
from tests.test_backup_cli import yard as cli_yard
from tests.test_backup_forget import forgotten, snapshots
from tracing.search import SearchError

__all__ = ["cli_yard", "loaded", "run"]


def mail(subject: str) -> bytes:
    return mails.plain(subject).replace(b"Subject: plain", f"Subject: {subject}".encode())


def found(yard: Yard, text: str, limit: int = 0) -> list[Life]:
    with yard.open() as store:
        lives.follow(store)
        return list(lives.find(store, text, 2**53, limit=limit))


def subjects(yard: Yard, text: str) -> list[str]:
    return sorted(one.head.subject for one in found(yard, text) if one.head)


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    """Four days: one message stays, one is deleted on the third, one moves, one comes late."""
    yard = Yard(tmp_path)
    yard.deliver(ANNA, mail("stays"), letters="S")
    goes = yard.deliver(ANNA, mail("goes"), letters="S")
    moves = yard.deliver(ANNA, mail("moves"), letters="S")
    yard.deliver(BORIS, mail("other"))
    yard.take()
    archive = yard.deliver(ANNA, mail("archived"), "Archive/2024", "S").parent
    moves.rename(archive / moves.name.replace(":2,S", ":2,FS"))
    yard.take()
    goes.unlink()
    yard.take()
    yard.deliver(ANNA, mails.russian("koi8-r"))
    yard.take()
    return yard


def test_each_message_is_found_once_with_when_it_came_and_went(yard: Yard) -> None:
    names, times = list(snapshots(yard)), [one.at for one in snapshots(yard).values()]
    (goes,) = found(yard, "subj:goes")
    assert (goes.first, goes.last) == (names[0], names[1])
    assert (goes.appeared, goes.vanished) == (times[0], times[2])
    (moves,) = found(yard, "moves")
    assert (moves.entry.mailbox, moves.entry.flags) == ("Archive/2024", "FS")
    assert (moves.first, moves.last, moves.vanished) == (names[0], names[3], 0)
    assert subjects(yard, "deleted:yes") == ["goes"]
    assert subjects(yard, "deleted:no box:anna mbox:INBOX") == sorted([mails.RUSSIAN, "stays"])
    assert subjects(yard, "!deleted:yes mbox:archive/*") == ["archived", "moves"]
    assert subjects(yard, f"subj:{mails.RUSSIAN.split()[0]}") == [mails.RUSSIAN]
    assert subjects(yard, "size:>1M") == []
    assert subjects(yard, f"box:{BORIS}") == ["other"]
    assert len(found(yard, "deleted:no", 2)) == 2
    for text in ("deleted:maybe", "deleted:yes | subj:x"):
        with pytest.raises(SearchError):
            found(yard, text)


def test_new_snapshots_are_followed_and_old_ones_leave(yard: Yard) -> None:
    assert subjects(yard, "box:anna")
    path = next((yard.boxes[ANNA] / "Maildir" / "cur").iterdir())
    path.unlink()
    yard.take()
    assert subjects(yard, "deleted:yes") == ["goes", "stays"]
    forgotten(yard, "last 2")
    assert subjects(yard, "deleted:yes") == ["stays"]
    names = list(snapshots(yard))
    (stays,) = found(yard, "subj:stays")
    assert (stays.first, stays.last) == (names[0], names[0])
    path.write_bytes(mail("stays"))
    yard.take()
    (stays,) = found(yard, "subj:stays")
    assert stays.vanished == 0


def test_what_is_found_is_the_same_from_an_empty_cache(yard: Yard) -> None:
    one_by_one = found(yard, "since:1970-01-01")
    (cache,) = (yard.root / "cache").glob("repository-*.sqlite")
    for path in (yard.root / "cache").glob("repository-*"):
        path.unlink()
    assert found(yard, "since:1970-01-01") == one_by_one
    Cache(cache, "another").close()
    assert found(yard, "since:1970-01-01") == one_by_one


def test_two_snapshots_are_compared(yard: Yard) -> None:
    with yard.open() as store:
        (first, *_, last) = store.snapshots().values()
        changes = list(lives.difference(store, first, last))
        assert sorted(one.what for one in changes) == ["gone", "moved", "new", "new"]
        assert not list(lives.difference(store, last, last))
        back = list(lives.difference(store, last, first, ANNA))
        assert sorted(one.what for one in back) == ["gone", "gone", "moved", "new"]
        assert not list(lives.difference(store, first, last, BORIS))


def test_commands(loaded: Loaded, cli_yard: Yard, run: Run) -> None:
    yard = cli_yard
    run("snapshot", "create")
    path = yard.deliver(ANNA, mail("two"))
    run("snapshot", "create")
    path.unlink()
    run("snapshot", "create")
    (one,) = document(run("snapshot", "find", "deleted:yes", "subj:two", "--json"))["messages"]
    assert one["first_snapshot"] == one["last_snapshot"]
    assert one["gone"]
    assert "two" in run("snapshot", "find", "two").output
    assert "latest 1" in run("snapshot", "find", "box:anna", "--limit", "1").output
    run("snapshot", "find", "nothing-like-it", code=Exit.NOTHING_FOUND)
    run("snapshot", "find", "deleted:perhaps", code=Exit.USAGE)
    raw = run("snapshot", "cat", one["last_snapshot"], one["st"]).stdout_bytes
    assert raw == mail("two")
    run("snapshot", "cat", "latest", one["st"], code=Exit.NOTHING_FOUND)
    said = run("snapshot", "diff", one["last_snapshot"], "latest").output
    assert "1 message differs: 0 new, 1 gone" in said
    changes = document(run("snapshot", "diff", one["last_snapshot"], "--json"))["changes"]
    assert [(each["what"], each["box"]) for each in changes] == [("gone", ANNA)]
    assert "\x1b" not in run("snapshot", "find", f"box:{BORIS}").output
    run("snapshot", "diff", "latest", "--box", "nobody@x.example", code=Exit.NOTHING_FOUND)
