"""UIDs that Dovecot gave are kept, and ours are kept by Dovecot."""

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.store import uidlist
from mtad.store.uidlist import Uidlist, parse
from tests.dovecot import Dovecot
from tests.test_store_box import MAIL, Place, by_uid

NEW = b"""3 V1700000001 N600 G7597f92b9a9c056bbe70000083ecc375
7 :1000000001.M1.peer
42 W17 Pmine-2 O3 :1000000002.M2.peer,S=17:2,S
42 :1000000003.M3.peer
40 :1000000004.M4.peer
nonsense
100 :gone.peer
99999999999 :1000000005.M5.peer
499 :1000000006.M6.peer
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.journal.close_now()


def test_a_list_is_read() -> None:
    found = parse(NEW)
    assert found == Uidlist(
        1700000001,
        600,
        {
            "1000000001.M1.peer": 7,
            "1000000002.M2.peer,S=17": 42,
            "gone.peer": 100,
            "1000000006.M6.peer": 499,
        },
        0x7597F92B9A9C056BBE70000083ECC375,
    )
    assert parse(b"1 17 9\n3 a\n8 b:2,S\n") == Uidlist(17, 9, {"a": 3, "b": 8})
    assert parse(b"3 N4 V5\n7 :x") == Uidlist(5, 8, {"x": 7})
    for other in (b"", b"3 N4\n1 :x\n", b"2 V3 N4\n", b"3 V0 N4\n", b"3 Vx N4\n", b"\xff"):
        assert parse(other) is None


@given(st.binary(max_size=300))
def test_whatever_is_in_it(data: bytes) -> None:
    found = parse(b"3 V1 N2\n" + data)
    assert found is not None
    assert all(0 < uid < found.uidnext for uid in found.uids.values())


async def test_uids_that_dovecot_gave_are_taken_over(place: Place) -> None:
    for name in ("1.peer:2,S", "2.peer,S=17:2,", "6.peer:2,", "new.peer:2,"):
        (place.maildir / "cur" / f"100000000{name[0]}.M{name}").write_bytes(MAIL)
    (place.maildir / "dovecot-uidlist").write_bytes(NEW)
    (place.maildir / ".Empty" / "cur").mkdir(parents=True)
    (place.maildir / ".Empty" / "dovecot-uidlist").write_bytes(b"3 V1700000002 N77\n")
    box = place.box()
    assert await box.sync() == 4
    assert {uid: message.base for uid, message in by_uid(box).items()} == {
        7: "1000000001.M1.peer",
        42: "1000000002.M2.peer,S=17",
        499: "1000000006.M6.peer",
        600: "100000000n.Mnew.peer",
    }
    inbox, empty = box.owner.mailboxes()
    assert (inbox.uidvalidity, inbox.uidnext) == (1700000001, 601)
    assert (empty.uidvalidity, empty.uidnext) == (1700000002, 77)
    assert not (place.maildir / "dovecot-uidlist").exists()
    assert (place.maildir / "dovecot-uidlist.taken").exists()
    await box.create("Later", actor="x")
    assert box.owner.mailbox("Later").uidvalidity > 1700000002
    box.close()
    (place.maildir / "dovecot-uidlist").write_bytes(b"3 V9 N9000\n5 :1000000001.M1.peer\n")
    box = place.box()
    assert await box.sync() == 0
    assert box.owner.mailboxes()[0].uidnext == 601
    assert (place.maildir / "dovecot-uidlist").exists(), "it is of another life of the mailbox"
    box.close()


async def test_what_came_while_dovecot_served_keeps_its_uid(place: Place) -> None:
    place.deliver(3)
    box = place.box()
    await box.sync()
    await box.expunge("INBOX", [2], actor="x")
    assert box.owner.hand_over() == 2
    box.close()
    listed = uidlist.read(place.maildir)
    assert listed is not None
    assert sorted(listed.uids.values()) == [1, 3]
    with (place.maildir / "dovecot-uidlist").open("ab") as file:
        file.write(b"9 :1000000009.M9.peer\n")
    (place.maildir / "new" / "1000000009.M9.peer").write_bytes(MAIL)
    (place.maildir / "new" / "1000000010.M10.peer").write_bytes(MAIL)
    box = place.box()
    await box.sync()
    assert {uid: m.base[:10] for uid, m in by_uid(box).items() if uid > 3} == {
        9: "1000000009",
        10: "1000000010",
    }
    box.close()


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    with tempfile.TemporaryDirectory(prefix="mtad-peer-", dir="/tmp") as name:
        yield Dovecot(Path(name))


def fetched(said: str) -> dict[int, tuple[str, str]]:
    """UIDs with flags and INTERNALDATE, of FETCH answers."""
    found = re.findall(r'UID (\d+) FLAGS \(([^)]*)\) INTERNALDATE "([^"]+)"', said)
    return {int(uid): (flags.replace("\\Recent", "").strip(), date) for uid, flags, date in found}


ASK = ("SELECT {}", "FETCH 1:* (UID FLAGS INTERNALDATE)")


@pytest.mark.interop
async def test_there_and_back_with_a_real_dovecot(place: Place, dovecot: Dovecot) -> None:
    for number in range(5):
        path = place.maildir / "cur" / f"{10**9 + number}.M{number}.peer:2,S"
        path.write_bytes(MAIL % number)
        os.utime(path, ns=(10**18 + number * 10**12,) * 2)
    dovecot.take(place.maildir)
    dovecot.say(
        "SELECT INBOX",
        "STORE 2 +FLAGS (\\Flagged $Label1)",
        "STORE 3:4 +FLAGS (\\Deleted)",
        "EXPUNGE",
        "CREATE A.B",
        "SUBSCRIBE A.B",
        "COPY 2 A.B",
    )
    theirs = {name: dovecot.say(ASK[0].format(name), ASK[1]) for name in ("INBOX", "A.B")}
    for path in place.maildir.rglob("*.peer*"):
        path.unlink()
    for path in sorted(dovecot.maildir.rglob("*")):
        if path.is_file() and not path.name.startswith("dovecot.index"):
            target = place.maildir / path.relative_to(dovecot.maildir)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
            os.utime(target, ns=(path.stat().st_mtime_ns,) * 2)

    box = place.box()
    await box.sync()
    for name, said in theirs.items():
        view = await box.select(name.replace(".", "/"))
        assert f"UIDVALIDITY {view.uidvalidity}" in said
        assert f"UIDNEXT {view.uidnext}" in said
        assert list(view.uids) == sorted(fetched(said))
        flags = {uid: set(view.flag_text(at).decode().split()) for at, uid in enumerate(view.uids)}
        assert flags == {uid: set(text.split()) for uid, (text, _) in fetched(said).items()}
    assert await box.subscriptions() == {"A/B"}

    place.deliver(2)
    await box.sync()
    await box.flags("INBOX", [6], ["\\Answered", "$Label2"], [], actor="x")
    await box.copy("INBOX", [1, 6], "A/B", actor="x")
    await box.expunge("INBOX", [7], actor="x")
    await box.subscribe("Архив/2026", True, actor="x")
    ours = {}
    for name in ("INBOX", "A/B"):
        view = await box.select(name)
        ours[name.replace("/", ".")] = (
            f"UIDVALIDITY {view.uidvalidity}",
            f"UIDNEXT {view.uidnext}",
            {uid: set(view.flag_text(at).decode().split()) for at, uid in enumerate(view.uids)},
        )
    box.owner.hand_over()
    box.close()
    dovecot.take(place.maildir)
    for name, (validity, uidnext, flags) in ours.items():
        said = dovecot.say(ASK[0].format(name), ASK[1])
        assert validity in said
        assert uidnext in said
        assert {uid: set(text.split()) for uid, (text, _) in fetched(said).items()} == flags
    said = dovecot.say('LSUB "" "*"')
    assert "&BBAEQARFBDgEMg-.2026" in said
    assert "A.B" in said
