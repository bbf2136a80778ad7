"""An index made again, from whatever is left that knows the numbers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from mtad import cli
from mtad.errors import Exit, Locked, NothingFound
from mtad.store import private
from mtad.store.checking import check
from mtad.store.desk import Desk
from mtad.store.owner import Owner
from mtad.store.rebuilding import reindex
from tests.faults.site import HOST, Site
from tests.test_store_box import MAIL
from tracing import boxlog

BOX, READER = "a@one.test", "b@one.test"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def grown(site: Site) -> Owner:
    """A box with all that gives UIDs, and the log that tells of it."""
    for number in range(6):
        site.accept(BOX, body=MAIL % number)
    site.worker.turn()
    owner = site.box(BOX)
    owner.sync()
    root = owner.ground.files.root
    (root / "cur" / "1000000001.foreign:2,S").write_bytes(MAIL % 7)
    owner.sync()
    for name in ("Sub", "Sub/Deep", "Gone", "Empty"):
        owner.create(name, actor="x")
    owner.move("INBOX", [2, 7], "Sub", actor="x")
    owner.copy("INBOX", [1, 3], "Sub/Deep", actor="x")
    owner.copy("INBOX", [1, 3], "Gone", actor="x")
    owner.flags("INBOX", [1], ["\\Flagged", "Later"], [], actor="x")
    owner.expunge("INBOX", [6], actor="x")
    owner.expunge("Sub/Deep", [1], actor="x")
    owner.rename("Sub", "Other", actor="x")
    owner.share("Other", READER, "lrs", actor="x")
    private.flags(owner, READER, "INBOX", [1, 3, 4], ["\\Seen"], actor="x")
    private.flags(owner, READER, "INBOX", [3], [], ["\\Seen"], actor="x")
    owner.delete("Gone", actor="x")
    site.worker.turn()
    return owner


def pictured(owner: Owner, copies: bool) -> dict[str, object]:
    """What no repair may change, by mailbox; stored copies where they can be known."""
    return {
        box.name: (
            box.uidvalidity,
            [
                (row.uid, row.base, row.flags, row.words, row.st if copies else 0)
                for row in owner.index.of_mailbox(box)
            ],
            owner.acl(box.name).entries,
            owner.index.seen_by(box, READER) if copies else (),
        )
        for box in owner.index.mailboxes.values()
    }


@pytest.mark.parametrize("index", ["whole", "damaged", "gone"])
@pytest.mark.parametrize("log", ["whole", "gone"])
def test_no_uid_changes(site: Site, index: str, log: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = grown(site)
    known = index == "whole" or log == "whole"
    before = pictured(owner, known)
    mailboxes = dict(owner.index.mailboxes)
    emails = {row.base: row.email for row in owner.index.rows("1")}
    if log == "gone" and index != "whole":
        owner.hand_over()
    owner.close()
    site.owners.clear()
    path = site.folder(BOX) / "index.db"
    if index == "damaged":
        with path.open("r+b") as file:
            file.write(b"\xff" * 65536)
    elif index == "gone":
        path.unlink()
    if log == "gone":
        monkeypatch.setattr(boxlog, "acts", lambda *_: iter(()))
    count, kept = reindex(site.places, BOX, HOST, Desk(site.owner))
    assert (count, kept) == (7, 7)
    for _ in range(2):
        again = site.box(BOX)
        assert again.sync() == 0
        after = pictured(again, known)
        if index != "whole" and log == "whole":  # of what never held mail the log has no number
            before.pop("Empty", None)
            after.pop("Empty")
        assert after == before
        for name in after:
            assert again.index.mailboxes[name].uidnext >= mailboxes[name].uidnext
            assert again.index.mailboxes[name].highestmodseq > mailboxes[name].highestmodseq
        if index == "whole":
            assert {row.base: row.email for row in again.index.rows("1")} == emails
            assert again.index.mailboxes["Other"].objectid == mailboxes["Other"].objectid
        again.close()
        site.owners.clear()


def test_what_cannot_be_repaired_is_told(site: Site) -> None:
    owner = site.box(BOX)
    with pytest.raises(Locked):
        reindex(site.places, BOX, HOST, Desk(site.owner))
    owner.close()
    site.owners.clear()
    with pytest.raises(NothingFound):
        reindex(site.places, "nobody@one.test", HOST, Desk(site.owner))


def test_a_check_tells_what_differs(site: Site) -> None:
    owner = grown(site)
    folder = site.folder(BOX)
    root = owner.ground.files.root
    assert check(folder, BOX) == []
    rows = owner.index.of_mailbox(owner.index.mailboxes["INBOX"])
    owner.ground.files.path("", owner.ground.entry(rows[0])).unlink()
    with owner.ground.files.path("", owner.ground.entry(rows[3])).open("ab") as file:
        file.write(b"more")
    third = owner.ground.files.path("", owner.ground.entry(rows[2]))
    third.rename(root / "cur" / f"{rows[2].base}:2,D")
    (root / "new" / "stranger").write_bytes(MAIL)
    with owner.index.transaction():
        owner.index.octets += 7
    assert sorted(check(folder, BOX)) == sorted(
        (
            f"{rows[0].base} (UID {rows[0].uid}) has no file",
            f"{rows[3].base} has {rows[3].size + 4} octets, not {rows[3].size} as the index says",
            f"INBOX: the name of cur/{rows[2].base}:2,D says other flags than the index",
            "INBOX: new/stranger has no UID",
            f"the index counts 7 messages and {owner.index.octets} octets, "
            f"but has 7 and {owner.index.octets - 7}",
        )
    )


def test_from_the_command_line(site: Site, tmp_path: Path) -> None:
    owner = grown(site)
    before = pictured(owner, True)
    owner.close()
    site.owners.clear()
    settings = tmp_path.with_suffix(".toml")
    settings.write_text(f'hostname = "host"\ndata_dir = "{tmp_path.name}"\n')

    def run(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(cli.root, ["--config", str(settings), "box", *words])
        assert result.exit_code == code, result.output
        return result.output

    assert run("check", BOX) == f"{BOX}: index and files say the same\n"
    assert run("export", BOX) == f"{BOX}: 7 UIDs written down\n"
    index = site.folder(BOX) / "index.db"
    with index.open("r+b") as file:
        file.write(b"\xff" * 65536)
    assert "cannot be read" in run("check", BOX, code=Exit.PROBLEMS)
    assert run("reindex", BOX) == f"{BOX}: 7 messages, 7 with the UIDs they had\n"
    assert run("check", BOX) == f"{BOX}: index and files say the same\n"
    assert index.with_name("index.db.former").exists()
    assert pictured(site.box(BOX), True) == before
