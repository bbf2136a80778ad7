"""Acts that are interrupted at each of their steps: done after all, or never begun."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from mtad.journal import disk
from mtad.journal.writer import Journal
from mtad.store import holding, index, maildir, owner, telling
from mtad.store.box import Box, Message
from mtad.store.index import BLOCK, Index
from tests.test_store_box import MAIL, Place
from tracing.events import BoxForeign


class Cut(BaseException):
    """The process ends here."""


@contextmanager
def cut_at(step: int) -> Iterator[list[str]]:
    """End at the given step of files, index or journal; the answer lists the steps so far."""
    steps: list[str] = []

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            steps.append(name)
            if len(steps) == step:
                raise Cut(name)
            return real(*args, **kwargs)

        return call

    with ExitStack() as stack:
        for owner, name in (
            (disk, "link"),
            (maildir, "rename"),
            (maildir, "remove"),
            (maildir, "sync_folder"),
            (Index, "set_applied"),
            (Index, "save_mailbox"),
            (Journal, "commit_now"),
        ):
            real = getattr(owner, name)
            stack.enter_context(mock.patch.object(owner, name, counted(name, real)))
        yield steps


@contextmanager
def durable_index(place: Place) -> Iterator[dict[str, bytes]]:
    """The files of the index as they were when it was last synced."""
    durable: dict[str, bytes] = {}
    real = Index.durably

    @contextmanager
    def durably(self: Index) -> Iterator[None]:
        with real(self):
            yield
        durable.update(index_files(place))

    with mock.patch.object(Index, "durably", durably):
        yield durable


def index_files(place: Place) -> dict[str, bytes]:
    paths = (place.folder / name for name in ("index.db", "index.db-wal"))
    return {path.name: path.read_bytes() for path in paths if path.exists()}


def put_back(place: Place, files: dict[str, bytes]) -> None:
    """The index is as it was once; what came later is lost."""
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (place.folder / name).unlink(missing_ok=True)
    for name, data in files.items():
        (place.folder / name).write_bytes(data)


def die(box: Box) -> None:
    """What is left of a process that was killed: files, index and journal as they are."""
    box.owner.index.abandon()
    os.close(box.owner._lock)


def state(place: Place) -> dict[str, tuple[str, str, tuple[str, ...], int, bytes]]:
    """The box as it is after another start: by base name mailbox, flags, keywords, UID, octets."""
    journal = place.open_journal()
    box = Box.hold(place.folder, "ann@example.org", journal, "mx")
    box.owner.sync()
    found = {m.base: _seen(place, m) for m in box.owner.messages()}
    assert box.owner.sync() == 0
    files = sum(1 for sub in place.maildir.rglob("*:2,*")) + sum(
        1 for path in place.maildir.glob("**/new/*")
    )
    assert files == len(found)
    box.close()
    journal.close_now()
    return found


def _seen(place: Place, m: Message) -> tuple[str, str, tuple[str, ...], int, bytes]:
    path = place.maildir / m.folder / m.file
    return m.mailbox, m.flags, m.keywords, m.uid, path.read_bytes()


def flags(place: Place, box: Box) -> None:
    box.owner.flags("INBOX", [1, 2], ["\\Seen", "Later"], [], actor="x")


def move(place: Place, box: Box) -> None:
    box.owner.move("INBOX", [1, 3], "Sub", actor="x")


def expunge(place: Place, box: Box) -> None:
    box.owner.expunge("INBOX", [2, 3], actor="x")


def put(place: Place, box: Box) -> None:
    items = [place.prepare(f"p{n}", MAIL % n, base=f"17{n}.base.host") for n in range(3)]
    box.owner.put("Sub", items, actor="x", snapshot="s")


def later(place: Place, box: Box) -> None:
    """Flags of so many messages that the files follow later."""
    with mock.patch.object(owner, "LATER", 1):
        box.owner.flags("INBOX", [1, 2], ["\\Seen", "Later"], [], later=True, actor="x")
    while box.owner.has_more:
        box.owner.follow()


def copy(place: Place, box: Box) -> None:
    box.owner.copy("INBOX", [3, 1], "Sub", actor="x")


def prepared(place: Place) -> Box:
    """A box with three messages, two mailboxes and numbers in reserve; its state is durable."""
    place.deliver(3)
    box = place.box()
    box.owner.create("Sub", actor="x")
    box.owner.put("Sub", [place.prepare("first", base="16.first.host")], actor="x")
    box.owner.flags("INBOX", [3], ["Junk"], [], actor="x")
    box.owner.settle()
    return box


@pytest.mark.parametrize("lost", [False, True], ids=["killed", "power-cut"])
@pytest.mark.parametrize("act", [flags, later, move, copy, expunge, put])
def test_every_act_is_whole_or_not_begun(
    tmp_path: Path, act: Callable[[Place, Box], None], lost: bool
) -> None:
    whole = Place(tmp_path / "whole")
    box = prepared(whole)
    act(whole, box)
    box.close()
    whole.journal.close_now()
    after = _shape(state(whole))
    cuts = 0
    for step in range(1, 100):
        place = Place(tmp_path / f"{step}")
        box = prepared(place)
        before = index_files(place)
        with cut_at(step) as steps, suppress(Cut):
            act(place, box)
        done = len(steps) < step
        promised = "commit_now" in (steps if done else steps[:-1])
        die(box)
        place.journal.close_now()
        if lost:  # transactions without a sync of their own may be gone; renames need not be
            put_back(place, before)
        found = state(place)
        if promised:
            assert _shape(found) == after, steps
        else:
            assert len(found) == 4, steps
        if done:
            break
        cuts += 1
    assert cuts >= 4


def start_and_die(place: Place, step: int) -> None:
    """A start that ends at a step itself."""
    journal = place.open_journal()
    with cut_at(step), suppress(Cut):
        die(Box.hold(place.folder, "ann@example.org", journal, "mx"))
    journal.close_now()


@pytest.mark.parametrize("together", [False, True], ids=["alone", "two-in-a-frame"])
@pytest.mark.parametrize("lost", [False, True], ids=["killed", "power-cut"])
def test_flags_that_overtake_files_are_whole_or_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool, together: bool
) -> None:
    """Each change whose frame is durable counts, wherever the files are by then."""
    after = [["", "", ""], ["S", "S", ""], ["S", "F", ""], ["S", "FR", "R"]]
    monkeypatch.setattr(holding, "SLICE", 1)
    monkeypatch.setattr(holding, "SLICE_SECONDS", 0)
    if together:
        monkeypatch.setattr(owner, "chunks", partial(telling.chunks, size=1))

    def acts(box: Box) -> None:
        with mock.patch.object(owner, "LATER", 1):
            box.owner.flags("INBOX", [1, 2], ["\\Seen"], [], later=True, actor="x")
        box.owner.flags("INBOX", [2], ["\\Flagged"], ["\\Seen"], later=True, actor="x")
        with mock.patch.object(owner, "LATER", 1):
            box.owner.flags("INBOX", [2, 3], ["\\Answered"], [], later=True, actor="x")
        while box.owner.has_more:
            box.owner.follow()
            assert [row.flags for row in box.owner.rows("INBOX")] == after[3]

    for step in range(1, 100):
        place = Place(tmp_path / f"{step}")
        box = prepared(place)
        before = index_files(place)
        with cut_at(step) as steps, suppress(Cut):
            acts(box)
        done = len(steps) < step
        promised = (steps if done else steps[:-1]).count("commit_now")
        die(box)
        place.journal.close_now()
        if lost:
            put_back(place, before)
        for further in (1, 2, 3) if together else ():
            start_and_die(place, further)
        flags = {base: one[1] for base, one in sorted(state(place).items()) if one[0] == "INBOX"}
        assert [*flags.values()] == after[promised], steps
        lettered = [path.name for path in place.maildir.glob("cur/*:2,*")]
        words = ["", "", "a"]
        wanted = {
            f"{base}:2,{one}{word}" for (base, one), word in zip(flags.items(), words, strict=True)
        }
        assert {*lettered} == {name for name in wanted if not name.endswith(",")}
        if done:
            break
    assert step > 8


def _shape(found: dict[str, tuple[str, str, tuple[str, ...], int, bytes]]) -> object:
    """What must be the same: base names differ between two runs."""
    return sorted(found.values())


def test_numbers_are_never_given_twice_after_a_power_cut(tmp_path: Path) -> None:
    """All that was not synced by itself is lost, again and again; no UID comes back."""
    place = Place(tmp_path)
    given: set[int] = set()
    for _ in range(5):
        with durable_index(place) as durable:
            box = place.box()
            place.deliver(300)
            box.owner.sync()
            uids = {m.uid for m in box.owner.messages() if m.uid not in given}
            fresh = {m.uid for m in box.owner.messages()} - {0}
            highest = max(fresh)
            assert highest > max(given, default=0)
            assert len(uids) >= 300
            given |= fresh
            die(box)
        put_back(place, durable)
    with Index_open(place) as index:
        mailbox = index.mailboxes["INBOX"]
        assert mailbox.uidnext > max(given)
        assert mailbox.uidnext - max(given) <= BLOCK + 1


@contextmanager
def Index_open(place: Place) -> Iterator[Index]:  # noqa: N802
    index = Index(place.folder / "index.db")
    try:
        yield index
    finally:
        index.abandon()


def test_a_reservation_is_synced_before_a_number_of_it_is_given(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.db")
    with index.transaction():
        mailbox = index.add_mailbox("INBOX", "", 1)
    said: list[str] = []
    index._db.set_trace_callback(said.append)
    assert index.take_uids(mailbox, 3) == 1
    assert index.take_uids(mailbox, 3) == 4
    index._db.set_trace_callback(None)
    full = said.index("PRAGMA synchronous=FULL")
    assert [word.split()[0] for word in said[full:]] == [
        "PRAGMA", "BEGIN", "UPDATE", "INSERT", "INSERT", "INSERT", "COMMIT", "PRAGMA",
    ]  # fmt: skip
    index.close()
    again = Index(tmp_path / "index.db")
    assert again.was_clean
    assert again.mailboxes["INBOX"].uidnext == 7
    again.abandon()


def test_an_orderly_end_gives_no_number_away(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for round_number in range(3):
        place.deliver(2)
        box = place.box()
        box.owner.sync()
        assert max(m.uid for m in box.owner.messages()) == 2 * round_number + 2
        box.close()
    place.journal.close_now()


def test_a_box_whose_making_was_cut_can_be_opened(tmp_path: Path) -> None:
    place = Place(tmp_path)
    shutil.rmtree(place.maildir)
    for _ in range(2):
        with mock.patch.object(maildir, "ensure", side_effect=Cut), suppress(Cut):
            place.box()
    box = place.box()
    assert box.owner.sync() == 0
    assert [one.name for one in box.owner.mailboxes()] == ["INBOX"]
    box.close()
    place.journal.close_now()


def test_an_index_of_a_later_version_is_refused(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.db")
    with index.transaction():
        index._set("schema", 99)
    index.close()
    with pytest.raises(Exception, match="later version"):
        Index(tmp_path / "index.db")


def test_a_damaged_index_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "index.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(Exception, match="made again"):
        Index(tmp_path / "index.db")


def test_a_lost_index_is_made_again_from_the_files(tmp_path: Path) -> None:
    place = Place(tmp_path)
    box = prepared(place)
    before = {m.base: (m.mailbox, m.st, m.flags, m.keywords) for m in box.owner.messages("INBOX")}
    box.close()
    place.journal.close_now()
    for path in place.folder.glob("index.db*"):
        path.unlink()
    journal = place.open_journal()
    box = Box.hold(place.folder, "ann@example.org", journal, "mx")
    box.owner.sync()
    after = {m.base: (m.mailbox, m.st, m.flags, m.keywords) for m in box.owner.messages("INBOX")}
    assert after == before
    box.close()
    journal.close_now()


def test_foreign_files_keep_the_copy_their_frame_gave_them(tmp_path: Path) -> None:
    place = Place(tmp_path)
    box = prepared(place)
    kept = index_files(place)
    (place.maildir / "cur" / "17.other.host:2,F").write_bytes(MAIL)
    box.owner.sync()
    (before,) = (m for m in box.owner.messages() if m.base == "17.other.host")
    die(box)
    place.journal.close_now()
    put_back(place, kept)
    place.journal = place.open_journal()
    box = place.box()
    box.owner.sync()
    (after,) = (m for m in box.owner.messages() if m.base == "17.other.host")
    assert (after.st, after.uid, after.flags) == (before.st, before.uid, "F")
    box.close()
    assert sum(isinstance(event, BoxForeign) for event in place.events()) == 1


def test_an_act_that_failed_is_finished_before_the_next(tmp_path: Path) -> None:
    place = Place(tmp_path)
    box = prepared(place)
    with mock.patch.object(maildir, "rename", side_effect=OSError(28, "no space")):
        with pytest.raises(OSError, match="no space"):
            box.owner.flags("INBOX", [1], ["\\Seen"], [], actor="x")
        with pytest.raises(Exception, match="act to finish"):
            box.owner.settle()
    assert box.owner.sync() == 0
    assert {m.uid: m.flags for m in box.owner.messages("INBOX")} == {1: "S", 2: "", 3: ""}
    box.owner.settle()
    box.close()
    place.journal.close_now()


def again(place: Place) -> Box:
    """The box after another start, in a journal of its own."""
    place.journal.close_now()
    place.journal = place.open_journal()
    box = place.box()
    box.owner.sync()
    return box


def end(place: Place, box: Box) -> None:
    box.close()
    place.journal.close_now()


@pytest.mark.parametrize("act", [flags, move, expunge])
def test_names_that_a_power_cut_took_back_are_given_again(
    tmp_path: Path, act: Callable[[Place, Box], None]
) -> None:
    """The index has done an act and the disk has not: what the owner did is not undone."""
    place = Place(tmp_path)
    box = prepared(place)
    shutil.copytree(place.maildir, tmp_path / "before", copy_function=os.link)
    act(place, box)
    wanted = {m.base: (m.mailbox, m.flags, m.keywords, m.uid) for m in box.owner.messages()}
    die(box)
    shutil.rmtree(place.maildir)
    (tmp_path / "before").rename(place.maildir)
    with mock.patch.object(index, "boot_id", return_value="another life"):
        box = again(place)
        found = {m.base: (m.mailbox, m.flags, m.keywords, m.uid) for m in box.owner.messages()}
        assert found == wanted
        end(place, box)
    kinds = [event.kind for event in place.events() if getattr(event, "actor", "") == "outside"]
    assert not kinds


def test_what_others_do_after_a_kill_is_theirs(tmp_path: Path) -> None:
    """While the kernel lives nothing is taken back: another name is another program's."""
    place = Place(tmp_path)
    box = prepared(place)
    box.owner.flags("INBOX", [1], ["\\Seen"], [], actor="x")
    die(box)
    (path,) = (path for path in (place.maildir / "cur").iterdir() if path.name.endswith(":2,S"))
    path.rename(path.with_name(path.name.replace(":2,S", ":2,F")))
    box = again(place)
    assert {m.uid: m.flags for m in box.owner.messages("INBOX")} == {1: "F", 2: "", 3: ""}
    end(place, box)


def test_a_message_put_back_is_not_deleted_once_more(tmp_path: Path) -> None:
    """It has the name of the one that was deleted, and the index has lost both acts."""
    place = Place(tmp_path)
    box = prepared(place)
    (old,) = (m for m in box.owner.messages("INBOX") if m.uid == 2)
    data = (place.maildir / old.file).read_bytes()
    with durable_index(place) as durable:
        durable.update(index_files(place))
        box.owner.expunge("INBOX", [2], actor="x")
        box.owner.put("INBOX", [place.prepare("p", data, old.base)], actor="x", snapshot="s")
    die(box)
    put_back(place, durable)
    box = again(place)
    assert [m.base for m in box.owner.messages("INBOX")].count(old.base) == 1
    end(place, box)


def test_what_a_killed_command_did_is_durable_once_its_box_is_opened(tmp_path: Path) -> None:
    """The segments of its journal may be used again, and nobody else settles what it did."""
    place = Place(tmp_path)
    end(place, prepared(place))
    words = {f"word{number:02}" for number in range(30)}
    command = Journal.open(tmp_path / "journal" / "cli-40", node=40)
    place.journal = place.open_journal()
    with durable_index(place) as durable:
        box = Box.hold(place.folder, "ann@example.org", command, "mx")
        box.owner.flags("INBOX", [1], [*words], [], actor="x")
        die(box)
        command.close_now()
        box = place.box()
        die(box)
    put_back(place, durable)
    shutil.rmtree(command.directory)
    box = again(place)
    (found,) = (m for m in box.owner.messages("INBOX") if m.uid == 1)
    assert words == set(found.keywords)
    end(place, box)


def test_a_message_whose_row_was_lost_gets_it_again(tmp_path: Path) -> None:
    """Number, flags and all keywords, also those that no file name has room for."""
    place = Place(tmp_path)
    box = prepared(place)
    place.deliver()
    words = [f"word{number:02}" for number in range(30)]
    box.owner.sync()
    uid = max(m.uid for m in box.owner.messages("INBOX"))
    before = index_files(place)
    place.deliver()
    box.owner.sync()
    box.owner.flags("INBOX", [uid + 1], ["\\Seen", *words], [], actor="x")
    box.owner.flags("INBOX", [uid], ["\\Draft"], [], actor="x")
    (moved,) = box.owner.move("INBOX", [uid + 1], "Sub", actor="x").targets
    (wanted,) = (m for m in box.owner.messages("Sub") if m.uid == moved)
    die(box)
    put_back(place, before)
    box = again(place)
    (found,) = (m for m in box.owner.messages("Sub") if m.base == wanted.base)
    assert (found.uid, found.st, found.flags) == (wanted.uid, wanted.st, "S")
    assert set(found.keywords) == set(words)
    assert {m.uid: m.flags for m in box.owner.messages("INBOX")}[uid] == "D"
    end(place, box)


def test_a_letter_means_its_keyword_for_good(tmp_path: Path) -> None:
    """Index and ``dovecot-keywords`` know a keyword before a file name has its letter."""
    place = Place(tmp_path)
    box = prepared(place)
    synced: list[str] = []

    def sync(fd: int) -> None:
        os.fsync(fd)
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))

    with durable_index(place) as durable, mock.patch.object(disk, "fsync", sync):
        box.owner.flags("INBOX", [1], ["Later"], [], actor="x")
    assert synced == [str(place.maildir / "dovecot-keywords.mtad"), str(place.maildir)]
    die(box)
    put_back(place, durable)
    with Index_open(place) as found:
        assert "Later" in found.keywords(found.mailboxes["INBOX"])
    place.journal.close_now()


def test_the_numbers_of_mailboxes_hold_after_a_power_cut(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with durable_index(place) as durable:
        box = prepared(place)
        box.owner.create("Empty", actor="x")
        place.deliver()
        box.owner.sync()
        before = box.owner.mailboxes()
    die(box)
    put_back(place, durable)
    with Index_open(place) as found:
        for one in before:
            now = found.mailboxes[one.name]
            assert (now.uidvalidity, now.objectid) == (one.uidvalidity, one.id)
            assert now.uidnext >= one.uidnext
            assert now.highestmodseq >= one.highestmodseq
    place.journal.close_now()


def append(place: Place, box: Box) -> tuple[int, Path]:
    """One short message, of which nothing but its frame is synced; UID and file."""
    with mock.patch.object(disk, "fsync", side_effect=AssertionError("synced")):
        placed = box.owner.put("INBOX", [place.prepare("draft-1-1", MAIL * 9)], actor="x")
    (found,) = (m for m in box.owner.messages("INBOX") if m.uid == placed.uids[0])
    return found.uid, place.maildir / found.file


@pytest.mark.parametrize("knows", [False, True], ids=["index-lost", "index-kept"])
@pytest.mark.parametrize("left", ["nothing", "zeros", "torn", "aside", "torn-aside", "whole"])
def test_a_message_in_its_frame_outlives_its_file(tmp_path: Path, left: str, knows: bool) -> None:
    """A power cut took the file, its octets or its name: it is written again, once."""
    place = Place(tmp_path)
    box = prepared(place)
    before = index_files(place)
    uid, path = append(place, box)
    wanted, mtime_ns = path.read_bytes(), path.stat().st_mtime_ns
    die(box)
    if not knows:
        put_back(place, before)
    if left == "zeros":
        path.write_bytes(bytes(len(wanted)))
    elif "torn" in left:
        path.write_bytes(wanted[:100])
    if "aside" in left:
        path.rename(place.maildir / "tmp" / "draft-1-1")
    elif left == "nothing":
        path.unlink()
    with mock.patch.object(index, "boot_id", return_value="another life"):
        box = again(place)
        (found,) = (m for m in box.owner.messages("INBOX") if m.uid == uid)
        path = place.maildir / found.file
        assert path.read_bytes() == wanted
        assert path.stat().st_mtime_ns == mtime_ns
        assert len(box.owner.messages("INBOX")) == 4
        assert not list((place.maildir / "tmp").iterdir())
        end(place, box)
    kinds = [event.kind for event in place.events() if getattr(event, "actor", "") == "outside"]
    assert not kinds


@pytest.mark.parametrize("act", ["expunge", "outside"])
def test_a_message_in_its_frame_stays_deleted(tmp_path: Path, act: str) -> None:
    place = Place(tmp_path)
    box = prepared(place)
    uid, path = append(place, box)
    if act == "expunge":
        box.owner.expunge("INBOX", [uid], actor="x")
    else:
        path.unlink()
        box.owner.sync()
    die(box)
    with mock.patch.object(index, "boot_id", return_value="another life"):
        box = again(place)
        assert len(box.owner.messages("INBOX")) == 3
        end(place, box)


def test_a_message_in_its_frame_goes_where_it_was_moved(tmp_path: Path) -> None:
    place = Place(tmp_path)
    box = prepared(place)
    uid, path = append(place, box)
    wanted = path.read_bytes()
    (moved,) = box.owner.move("INBOX", [uid], "Sub", actor="x").targets
    (found,) = (m for m in box.owner.messages("Sub") if m.uid == moved)
    (place.maildir / found.folder / found.file).write_bytes(b"")
    die(box)
    with mock.patch.object(index, "boot_id", return_value="another life"):
        box = again(place)
        (found,) = (m for m in box.owner.messages("Sub") if m.uid == moved)
        assert (place.maildir / found.folder / found.file).read_bytes() == wanted
        assert len(box.owner.messages("INBOX")) == 3
        end(place, box)


@pytest.mark.parametrize("end", ["settled", "closed", "killed"])
def test_a_file_is_synced_before_its_frame_may_go(tmp_path: Path, end: str) -> None:
    place = Place(tmp_path)
    box = prepared(place)
    append(place, box)
    synced: list[Path] = []
    with mock.patch.object(disk, "sync_file_system", synced.append):
        if end == "settled":
            box.owner.settle()
        elif end == "closed":
            box.close()
        else:
            die(box)
            place.journal.close_now()
            place.journal = place.open_journal()
            box = place.box()
        assert synced == [place.maildir]
        box.close()
    assert synced == [place.maildir]
    place.journal.close_now()
