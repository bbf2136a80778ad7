"""Mail from elsewhere: what it is, what comes in, and that it comes in once."""

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from click.testing import CliRunner

from mtad import cli, config
from mtad.address import box_folder
from mtad.config import Loaded
from mtad.errors import Exit, MtadError
from mtad.store import names, reading
from mtad.store.client import Boxes
from mtad.store.owner import Owner
from mtad.transfer import arriving, loading, trees
from tests import mails

ANNA = "anna@alpha.example"
WHO = {"actor": ANNA, "client": "test"}
FROM = b"From anna@mail.example Tue Nov 24 10:00:00 2026\n"
AT = 1_795_514_400_000_000_000
Run = Callable[..., dict[str, Any]]
State = dict[tuple[str, bytes], tuple[str, tuple[str, ...], int]]


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    site = tmp_path / "site"
    site.mkdir()
    (site / "mtad.toml").write_text('hostname = "mail.alpha.example"\n')
    return config.load(site / "mtad.toml")


@pytest.fixture
def run(loaded: Loaded) -> Run:
    """A command's JSON document; ``code`` is how it must end."""

    def command(*arguments: object, code: int = 0, text: bytes = b"") -> dict[str, Any]:
        line = ["--config", str(loaded.path), *map(str, arguments), "--json"]
        result = CliRunner().invoke(cli.root, line, input=text, standalone_mode=False)
        status = int(result.return_value or 0)
        if isinstance(result.exception, MtadError):
            status = int(result.exception.exit_code)
        elif result.exception is not None:
            raise result.exception
        assert status == code, (result.output, result.exception)
        if result.exception:
            return {"error": str(result.exception)}
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    return command


@pytest.fixture
def take(run: Run) -> Run:
    """Import a source into Anna's box, and again, which must add nothing."""

    def imported(source: Path, *options: object, code: int = 0) -> dict[str, Any]:
        line = ("mail", "import", "--box", ANNA, source, *options)
        done = run(*line, code=code)
        again = run(*line, code=code)
        assert (again["imported"], again["mailboxes"]) == (0, {})
        assert again["skipped"] == done["imported"] + done["skipped"]
        return done

    return imported


def state(loaded: Loaded) -> State:
    """Flags, keywords and time of every message, by mailbox and octets."""
    folder = loaded.places.boxes / box_folder(ANNA)
    found = {}
    for one in reading.read_box(folder, ANNA).messages:
        key = (one.mailbox, one.path.read_bytes())
        assert key not in found
        found[key] = (one.flags, one.keywords, one.path.stat().st_mtime_ns)
    return found


def left(loaded: Loaded) -> list[str]:
    """What lies in the box's ``tmp``."""
    return os.listdir(loaded.places.boxes / box_folder(ANNA) / "Maildir" / "tmp")


def raws() -> dict[str, bytes]:
    """Ordinary and odd messages of ours."""
    return {
        "plain": mails.plain(),
        "bare CR, NUL, 8-bit": b"Subject: \xff\r\n\r\na\rb\0c\n\x80\n",
        "no final line end": b"Subject: x\r\n\r\nend",
        "no body": b"Subject: x\r\n",
        "empty": b"",
        "lines of LF": b"Subject: y\n\nFrom here\n>From there\n",
        "base64 of odd width": b"Content-Transfer-Encoding: base64\n\n" + b"QUJD\nQUI=\nQUJDREVG\n",
    }


# ----------------------------------------------------------------------- mboxes


def test_an_mbox_comes_in_with_its_dates_and_flags(
    loaded: Loaded, take: Run, tmp_path: Path
) -> None:
    seen = b"Status: RO\nX-Status: AF\nX-Keywords: urgent  $Work\nSubject: a\n\nx\n"
    moved = b"X-Mozilla-Status: 1005\nSubject: b\n\nx\n"
    gone = b"X-Mozilla-Status: 0009\nSubject: c\n\nx\n"
    notes = b"X-IMAP: 1\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n\nx\n"
    path = tmp_path / "mbox"
    path.write_bytes(b"".join(FROM + one + b"\n" for one in (notes, seen, moved, gone)))
    done = take(path)
    assert (done["imported"], done["other_files"]) == (2, 2)
    assert state(loaded) == {
        ("INBOX", seen): ("FRS", ("$Work", "urgent"), AT),
        ("INBOX", moved): ("FPS", (), AT),
    }
    assert left(loaded) == []


def test_equal_messages_of_a_source_are_as_many_in_the_box(
    loaded: Loaded, take: Run, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "mbox"
    path.write_bytes((FROM + b"Subject: a\n\nx\n\n") * 3)
    assert take(path)["imported"] == 3
    with Boxes(loaded) as boxes:
        boxes.create(ANNA, "Elsewhere", actor=ANNA)
        boxes.move(ANNA, "INBOX", [2, 3], "Elsewhere", **WHO)
    assert run("mail", "import", "--box", ANNA, path)["imported"] == 0
    with Boxes(loaded) as boxes:
        boxes.expunge(ANNA, "INBOX", [1], **WHO)
    assert run("mail", "import", "--box", ANNA, path)["imported"] == 1


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress]
)
def test_a_packed_mbox_is_an_mbox(
    take: Run, tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "archive"
    path.write_bytes(pack((FROM + b"Subject: a\n\nx\n\n") * 2))
    assert take(path)["mailboxes"] == {"INBOX": 2}


def test_labels_of_google_are_folders_and_flags(loaded: Loaded, take: Run, tmp_path: Path) -> None:
    labels = {
        "Inbox,Unread,Important,Category Personal": ("INBOX", ""),
        "Archived,Starred": ("Archive", "FS"),
        "Opened,Work/Orders": ("Work/Orders", "S"),
        "Trash,Inbox": ("Trash", "S"),
        "Drafts": ("Drafts", "DS"),
        "=?UTF-8?Q?=D0=9E=D1=82=D0=BF=D1=80=D0=B0=D0=B2=D0=BB=D0=B5=D0=BD=D0=BD=D1=8B=D0=B5?=": (
            "Sent",
            "S",
        ),
    }
    every = {f"X-Gmail-Labels: {one}\n\nx\n".encode(): to for one, to in labels.items()}
    path = tmp_path / "All mail.mbox"
    path.write_bytes(b"".join(FROM + one + b"\n" for one in every))
    take(path)
    assert {(raw, name): flags for (name, raw), (flags, *_) in state(loaded).items()} == {
        (raw, name): flags for raw, (name, flags) in every.items()
    }
    take(path, "--folder", "Google")
    assert sum(name == "Google" for name, _ in state(loaded)) == len(labels)


# --------------------------------------------------------------------- Maildirs


def make_maildir(root: Path, base: str = "%d.M%d.host") -> State:
    """A Maildir++ as Dovecot has it, and what must come of it."""
    expected: State = {}
    words = ("urgent", "$Junk")
    for at, folder in enumerate(("", ".Archive.2024", ".&BBIERQQ+BDQ-", ".Empty")):
        for sub in ("cur", "new", "tmp"):
            (root / folder / sub).mkdir(parents=True)
        (root / folder / "dovecot-keywords").write_text("0 urgent\n1 $Junk\n")
        if folder == ".Empty":
            continue
        name = ("INBOX", "Archive/2024", "Вход")[at]
        uids = []
        for number, (what, raw) in enumerate(raws().items()):
            letters = ("S", "FSab", "", "Rb", "D")[number % 5]
            raw = raw and raw + what.encode()
            where = "cur" if letters else "new"
            path = root / folder / where / (base % (1_700_000_000 + number, number + 100 * at))
            path = path.with_name(f"{path.name}:2,{letters}") if letters else path
            path.write_bytes(raw)
            at_ns = (1_700_000_000 + number) * 10**9 + 123_456_789
            os.utime(path, ns=(at_ns, at_ns))
            uids.append(f"{number * 10 + 5} :{path.name}")
            flags = "".join(letter for letter in letters if letter.isupper())
            marks = tuple(sorted(words["ab".index(one)] for one in letters if one in "ab"))
            expected[name, raw] = (flags, marks, at_ns)
        lines = [f"3 V17{at} N900 G0123456789abcdef0123456789abcdef", *uids]
        (root / folder / "dovecot-uidlist").write_text("\n".join(lines) + "\n")
    (root / "tmp" / "stale").write_bytes(b"x")
    (root / "cur" / ".hidden").write_bytes(b"x")
    (root / "cur" / "trap:2,S").symlink_to("/etc/passwd")
    (root / ".trap").symlink_to("/etc")
    return expected


def test_a_maildir_comes_in_as_it_is(loaded: Loaded, take: Run, tmp_path: Path) -> None:
    expected = make_maildir(tmp_path / "Maildir")
    done = take(tmp_path / "Maildir")
    assert done["failed"] == []
    assert state(loaded) == expected
    with Boxes(loaded) as boxes:
        listed = boxes.list(ANNA)
    numbers = {one.name: (one.uidvalidity, one.uidnext, one.messages) for one in listed.mailboxes}
    assert numbers["Empty"][2] == 0
    uidnext = 900 + loading.SPARE_UIDS
    assert {name: number for name, number in numbers.items() if name != "Empty"} == {
        "INBOX": (170, uidnext, 7),
        "Archive/2024": (171, uidnext, 7),
        "Вход": (172, uidnext, 7),
    }
    assert [one.uid for one in listed.messages if one.mailbox == "Вход"] == [*range(5, 75, 10)]


def test_a_maildir_comes_into_another_place_too(loaded: Loaded, take: Run, tmp_path: Path) -> None:
    expected = make_maildir(tmp_path / "Maildir", "%d.M%d.host,S=7,W=9")
    take(tmp_path / "Maildir", "--folder", "Test")
    assert take(tmp_path / "Maildir")["imported"] == len(expected)
    again = {(name.replace("INBOX", "Test").removeprefix("Test/"), raw) for name, raw in expected}
    found = state(loaded)
    assert {key: found[key] for key in expected} == expected
    assert {name.removeprefix("Test/") for name, _ in found if "Test" in name} == {
        name for name, _ in again
    }
    with Boxes(loaded) as boxes:
        for one in boxes.list(ANNA).messages:
            assert names.size_of(one.base) in (None, one.size)
            assert "7,W=9" not in one.base or one.size == 7


def test_a_home_folder_or_a_tar_of_it_is_the_same(
    loaded: Loaded, take: Run, run: Run, tmp_path: Path
) -> None:
    home = tmp_path / "srv" / "anna"
    expected = make_maildir(home / "Maildir")
    os.link(next((home / "Maildir/cur").glob("*M0.host*")), home / "Maildir/.Empty/cur/copy:2,S")
    raw = mails.plain() + b"plain"
    expected["Empty", raw] = ("S", (), expected["INBOX", raw][2])
    take(home)
    assert state(loaded) == expected
    for pack in ("w", "w:gz"):
        shutil.rmtree(loaded.places.boxes)
        path = tmp_path / f"packed-{pack[2:]}"
        with tarfile.open(path, pack, format=tarfile.PAX_FORMAT) as archive:
            archive.add(tmp_path / "srv", "srv", filter=_exact)
        take(path)
        assert state(loaded) == expected
    shutil.rmtree(loaded.places.boxes)
    run("mail", "import", "--box", ANNA, "-", text=path.read_bytes())
    assert state(loaded) == expected


def _exact(info: tarfile.TarInfo) -> tarfile.TarInfo:
    if info.isreg() and info.mtime >= 1_700_000_000 and not info.name.endswith(("list", "words")):
        info.pax_headers = {"mtime": f"{int(info.mtime)}.123456789"}
        info.mtime = int(info.mtime)
    return info


def test_folders_of_other_layouts(loaded: Loaded, take: Run, tmp_path: Path) -> None:
    root = tmp_path / "mail"
    for number, folder in enumerate(("Inbox", "Work/Orders")):
        for sub in ("cur", "new", "tmp"):
            (root / folder / sub).mkdir(parents=True)
        (root / folder / "cur" / f"1.{number}.h:2,S").write_bytes(b"Subject: maildir\n\nx\n")
    (root / "Profile" / "Inbox.sbd").mkdir(parents=True)
    (root / "Profile" / "Inbox.sbd" / "Lists").write_bytes(FROM + b"Subject: mbox\n\nx\n")
    (root / "Profile" / "Inbox.msf").write_bytes(b"// <!-- <mdb:mork:z -->")
    (root / "Apple.mbox").mkdir()
    (root / "Apple.mbox" / "mbox").write_bytes(FROM + b"Subject: apple\n\nx\n")
    (root / "mh").mkdir()
    (root / "mh" / "17").write_bytes(b"Subject: mh\n\nx\n")
    done = take(root)
    assert done["mailboxes"] == {
        "Apple": 1,
        "INBOX": 1,
        "Profile/Inbox/Lists": 1,
        "Work/Orders": 1,
        "mh": 1,
    }
    assert done["other_files"] == 1


@pytest.mark.parametrize("how", ["folder", "tar", "zip"])
def test_single_messages_and_folders_of_them(
    loaded: Loaded, take: Run, tmp_path: Path, how: str
) -> None:
    root = tmp_path / "saved"
    (root / "Orders").mkdir(parents=True)
    received = b"Received: from a by b; Tue, 24 Nov 2026 10:00:00 +0000\nSubject: a\n\nx\n"
    (root / "a letter.eml").write_bytes(received)
    (root / "Orders" / "B.EML").write_bytes(b"Date: Tue, 24 Nov 2026 10:00:00 +0000\n\nx\n")
    (root / "notes.txt").write_bytes(b"no mail")
    source = root
    if how == "tar":
        source = tmp_path / "x.tar"
        with tarfile.open(source, "w") as archive:
            archive.add(root, "saved")
    elif how == "zip":
        source = tmp_path / "x.zip"
        with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in root.rglob("*"):
                packed.write(path, path.relative_to(tmp_path))
    done = take(source)
    assert done["mailboxes"] == {"INBOX": 1, "Orders": 1}
    assert done["other_files"] == 1
    assert {at for _, _, at in state(loaded).values()} == {AT}


def test_one_message_in_a_file(loaded: Loaded, take: Run, tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_bytes(mails.plain())
    os.utime(path, ns=(AT + 5, AT + 5))
    assert (
        take(path, "--dates", "file", "--flags", "seen", "--folder", "Saved/one")["imported"] == 1
    )
    assert state(loaded) == {("Saved/one", mails.plain()): ("S", (), AT + 5)}


# ------------------------------------------------------------------- once only


def test_the_same_message_by_another_program_is_the_same(
    loaded: Loaded, run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "eml"
    folder.mkdir()
    for number, raw in enumerate(raws().values()):
        (folder / f"{number}.eml").write_bytes(raw)
    assert run("mail", "import", "--box", ANNA, folder)["imported"] == 7
    for number, raw in enumerate(raws().values()):
        crlf = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        (folder / f"{number}.eml").write_bytes(crlf if number % 2 else crlf.removesuffix(b"\r\n"))
    again = run("mail", "import", "--box", ANNA, folder)
    assert (again["imported"], again["skipped"]) == (0, 7)


def test_an_import_that_was_killed_goes_on(
    loaded: Loaded, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "BATCH", 2)
    expected = make_maildir(tmp_path / "Maildir")
    put = Owner.put
    calls = 0

    def dying(self: Owner, *args: Any, **words: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls % 2 == 0:
            if calls % 4:
                put(self, *args, **words)
            raise OSError(5, "the disk fails")
        return put(self, *args, **words)

    monkeypatch.setattr(Owner, "put", dying)
    line = ("mail", "import", "--box", ANNA, tmp_path / "Maildir")
    for _ in range(40):
        with contextlib.suppress(OSError):
            run(*line)
            break
    else:
        raise AssertionError("it came to no end")
    assert calls > 12
    assert state(loaded) == expected
    with Boxes(loaded) as boxes:
        listed = boxes.list(ANNA, "INBOX")
    assert [one.uid for one in listed.messages] == [*range(5, 75, 10)]


def test_a_dry_run_changes_nothing(loaded: Loaded, run: Run, tmp_path: Path) -> None:
    make_maildir(tmp_path / "Maildir")
    planned = run("mail", "import", "--box", ANNA, tmp_path / "Maildir", "--dry-run")
    assert planned["mailboxes"] == {"Archive/2024": 7, "INBOX": 7, "Вход": 7}
    assert (planned["dry_run"], planned["operation"]) == (True, None)
    assert not loaded.places.boxes.exists() or not list(loaded.places.boxes.rglob("Maildir"))


# --------------------------------------------------------------- what is hostile


def member(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, io.BytesIO(data)


def test_an_archive_that_leads_elsewhere_is_harmless(
    loaded: Loaded, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as archive:
        for info, data in (
            member("../../../../evil.eml", b"Subject: 1\n\nx\n"),
            member("/etc/cron.d/evil.eml", b"Subject: 2\n\nx\n"),
            member("a/link.eml", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
            member("a/hard.eml", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
            member("a/self.eml", type=tarfile.LNKTYPE, linkname="a/self.eml"),
            member("a/pipe.eml", type=tarfile.FIFOTYPE),
            member("a/disk.eml", type=tarfile.BLKTYPE, devmajor=8),
            member("a\n\x1b]0;x/b.eml", b"Subject: 3\n\nx\n"),
            member("x" * 90 + "/" + "y" * 90 + "/" + "z" * 90 + "/b.eml", b"Subject: 4\n\nx\n"),
        ):
            archive.addfile(info, data)
    before = {one for one in tmp_path.rglob("*") if loaded.places.data not in (one, *one.parents)}
    done = run("mail", "import", "--box", ANNA, path)
    assert done["imported"] == 4
    assert all(raw.startswith(b"Subject: ") for _, raw in state(loaded))
    assert {name for name, _ in state(loaded)} >= {"INBOX", "etc/cron.d", "a__]0;x"}
    after = {one for one in tmp_path.rglob("*") if loaded.places.data not in (one, *one.parents)}
    assert after == before


def test_bombs_are_refused(
    loaded: Loaded, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "FREE_OCTETS", 2**20)
    monkeypatch.setattr(arriving, "MAX_MESSAGE", 2**20)
    first = b"Subject: good\n\nx\n"
    with tarfile.open(tmp_path / "bomb.tgz", "w:gz") as archive:
        archive.addfile(*member("a.eml", first))
        archive.addfile(*member("b.eml", bytes(2**24)))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("b.eml", bytes(2**24))
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(FROM + bytes(2**24)))
    for name in ("bomb.tgz", "bomb.zip", "bomb.gz"):
        said = run("mail", "import", "--box", ANNA, tmp_path / name, code=Exit.USAGE)
        assert "unpacks to" in said["error"]
    big = tmp_path / "big.eml"
    big.write_bytes(b"Subject: a\n\n" + bytes(2**20))
    done = run("mail", "import", "--box", ANNA, big, code=Exit.PARTIAL)
    assert [one["why"] for one in done["failed"]] == ["it has more than 1 MB"]
    with tarfile.open(tmp_path / "header.tar", "w") as archive:
        info, _ = member("a.eml")
        info.pax_headers = {"comment": "x" * 2**21}
        archive.addfile(info)
    assert (
        "header" in run("mail", "import", "--box", ANNA, tmp_path / "header.tar", code=2)["error"]
    )
    assert left(loaded) == []


def test_damage_is_told_and_what_came_before_it_stays(
    loaded: Loaded, run: Run, tmp_path: Path
) -> None:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for number in range(40):
            archive.addfile(*member(f"{number}.eml", b"Subject: %d\n\n" % number + os.urandom(900)))
    data = bytearray(whole.getvalue())
    data[512 * 3 * 20 : 512 * 3 * 20 + 200] = b"\xff" * 200
    (tmp_path / "damaged.tar").write_bytes(data)
    said = run("mail", "import", "--box", ANNA, tmp_path / "damaged.tar", code=Exit.USAGE)
    assert "damaged tar" in said["error"]
    (tmp_path / "cut.tgz").write_bytes(gzip.compress(whole.getvalue())[:-9000])
    said = run("mail", "import", "--box", ANNA, tmp_path / "cut.tgz", code=Exit.USAGE)
    assert "damaged" in said["error"]
    for name, octets in (("text", b"\0\1\2"), ("pst", b"!BDN" + bytes(600))):
        (tmp_path / name).write_bytes(octets)
        said = run("mail", "import", "--box", ANNA, tmp_path / name, code=Exit.USAGE)
        assert "neither" in said["error"]
    run("mail", "import", "--box", ANNA, tmp_path / "nothing", code=Exit.NOTHING_FOUND)


def test_a_zip_with_a_wrong_checksum_gives_the_rest(
    loaded: Loaded, take: Run, tmp_path: Path
) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("a.eml", b"Subject: first\n\nx\n")
        packed.writestr("b.eml", b"Subject: second\n\nx\n")
    path.write_bytes(path.read_bytes().replace(b"Subject: first", b"Subject: fi__t", 1))
    done = take(path, code=Exit.PARTIAL)
    assert (done["imported"], len(done["failed"])) == (1, 1)


def test_memory_stays_the_same_however_large_an_mbox(
    loaded: Loaded, run: Run, tmp_path: Path
) -> None:
    import tracemalloc  # noqa: PLC0415

    path = tmp_path / "mbox"
    with path.open("wb") as file:
        for number in range(60):
            file.write(FROM + b"Subject: %d\n\n" % number + b"z" * 76 * 9000 + b"\n\n")
        file.write(FROM + b"Subject: monster\n\n" + (b"y" * 76 + b"\n") * 400_000 + b"\n")
    tracemalloc.start()
    try:
        assert run("mail", "import", "--box", ANNA, path)["imported"] == 61
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 24 * 2**20 < path.stat().st_size


def test_sources_that_cannot_be(run: Run, loaded: Loaded, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "neither" in run("mail", "import", "--box", ANNA, tmp_path / "pipe", code=2)["error"]
    (tmp_path / "empty").mkdir()
    assert run("mail", "import", "--box", ANNA, tmp_path / "empty")["imported"] == 0


# ------------------------------------------------------------------- round trips


@pytest.mark.parametrize("kind", ["maildir", "eml", "tar", "mbox"])
def test_what_is_written_out_comes_in_again(
    loaded: Loaded, run: Run, take: Run, tmp_path: Path, kind: str
) -> None:
    expected = make_maildir(tmp_path / "Maildir")
    run("mail", "import", "--box", ANNA, tmp_path / "Maildir")
    out = tmp_path / f"out.{kind}"
    line = ("mail", "export", ANNA, "--to", out, "--format", kind)
    assert run(*line, "--dry-run")["would_write"] == len(expected)
    assert not out.exists()
    assert run(*line)["written"] == len(expected)
    assert "there already" in run(*line, code=Exit.USAGE)["error"]
    if kind != "mbox":
        assert run("mail", "import", "--box", ANNA, out)["imported"] == 0
    shutil.rmtree(loaded.places.boxes)
    assert take(out)["imported"] == len(expected)
    found = state(loaded) if kind != "mbox" else {}
    if kind == "maildir":
        assert found == expected
    elif kind != "mbox":
        assert {key: at for key, (_, _, at) in found.items()} == {
            key: at for key, (_, _, at) in expected.items()
        }


def test_some_of_a_box_is_written_out(loaded: Loaded, run: Run, tmp_path: Path) -> None:
    make_maildir(tmp_path / "Maildir")
    run("mail", "import", "--box", ANNA, tmp_path / "Maildir")
    for number, (terms, count) in enumerate(
        {
            ("from:anna@mail.example",): 3,
            ("flag:urgent", "mbox:archive/*"): 2,
            ("--mailbox", "Вход"): 7,
            ("subj:y", "|", "size:<1"): 6,
        }.items()
    ):
        done = run("mail", "export", ANNA, *terms, "--to", tmp_path / f"{number}.mbox")
        assert done["written"] == count, terms
    for terms, code in {("subj:nothing",): Exit.NOTHING_FOUND, ("foo:bar:",): Exit.USAGE}.items():
        run("mail", "export", ANNA, *terms, "--to", tmp_path / "x", code=code)
    run("mail", "export", "boris@x", "--to", tmp_path / "x", code=Exit.NOTHING_FOUND)
