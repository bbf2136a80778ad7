"""``mtad snapshot`` and ``mtad restore`` as a person at a terminal uses them."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mtad import cli, config
from mtad.address import box_folder
from mtad.config import Loaded
from mtad.errors import Exit, MtadError
from mtad.journal.reader import Reader
from mtad.store import names, reading
from mtad.store.client import Boxes
from tests import mails
from tests.backup_yard import ANNA, BORIS, Yard
from tracing import ids

Run = Callable[..., Result]


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """Settings whose boxes are those of a yard: no daemon runs on them."""
    (tmp_path / "mtad.toml").write_text('hostname = "mail.alpha.example"\n')
    return config.load(tmp_path / "mtad.toml")


@pytest.fixture
def yard(loaded: Loaded) -> Yard:
    key = loaded.beside(loaded.config.backup.key_file)
    yard = Yard(loaded.places.data)
    key.write_bytes(yard.key.read_bytes())
    yard.deliver(ANNA, mails.plain("one"), "INBOX", "S")
    yard.deliver(ANNA, mails.russian("koi8-r"), "Архив")
    yard.deliver(BORIS, b"Subject: \x1b[2J[/nope]\nFrom: a@mail.example\n\nx\n")
    return yard


@pytest.fixture
def run(loaded: Loaded) -> Run:
    def command(*arguments: str, code: int = 0) -> Result:
        line = ["--config", str(loaded.path), *arguments]
        result = CliRunner().invoke(cli.root, line, standalone_mode=False)
        status = result.return_value or 0
        if isinstance(result.exception, MtadError):
            status = int(result.exception.exit_code)
        elif result.exception is not None:
            raise result.exception
        assert int(status) == code, (result.output, result.exception)
        return result

    return command


def document(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    assert found["schema"] == 1
    return found


def kinds(loaded: Loaded) -> list[str]:
    """Kinds of all events in the journals of commands."""
    return [
        event.kind
        for directory in sorted(loaded.places.journal.glob("cli-*"))
        for frame in Reader(directory).frames(0)
        for event in frame.events
    ]


def delete_all(loaded: Loaded, box: str) -> None:
    with Boxes(loaded) as boxes:
        for mailbox in boxes.list(box).mailboxes:
            uids = [each.uid for each in boxes.list(box, mailbox.name).messages]
            if uids:
                boxes.expunge(box, mailbox.name, uids, actor="admin:test")


def test_the_story(run: Run, yard: Yard, loaded: Loaded) -> None:
    made = document(run("snapshot", "create", "--json"))
    assert (made["boxes"], made["messages"], made["added"]) == (2, 3, 3)
    before = yard.state(ANNA)
    (listed,) = document(run("snapshot", "list", "--json"))["snapshots"]
    assert listed["snapshot"] == made["snapshot"]
    assert document(run("snapshot", "show", "--json"))["contents"] == [
        {"box": ANNA, "messages": 2, "size_bytes": sum(len(raw) for raw, *_ in before.values())},
        {"box": BORIS, "messages": 1, "size_bytes": len(next(iter(yard.state(BORIS).values()))[0])},
    ]
    boxes = document(run("snapshot", "ls", "latest", "--json"))["boxes"]
    assert [box["box"] for box in boxes] == [ANNA, BORIS]
    inside = document(run("snapshot", "ls", "latest", ANNA, "--json"))["mailboxes"]
    assert [box["mailbox"] for box in inside] == ["INBOX", "Архив"]
    (message,) = document(run("snapshot", "ls", "latest", ANNA, "Архив", "--json"))["messages"]
    assert (message["subject"], message["uid"]) == (mails.RUSSIAN, 1)

    plan = document(run("restore", "--box", ANNA, "--dry-run", "--json"))
    assert (plan["would_restore"], plan["would_skip"]) == (0, 2)
    delete_all(loaded, ANNA)
    plan = document(run("restore", "--box", ANNA, "--dry-run", "--json"))
    assert (plan["would_restore"], plan["would_skip"]) == (2, 0)
    assert yard.state(ANNA) == {}
    run("restore", "--box", ANNA, code=Exit.USAGE)
    one = document(run("restore", "--box", ANNA, "--yes", "--json", message["st"]))
    assert (one["restored"], one["skipped"]) == (1, 0)
    rest = document(run("restore", "--box", ANNA, "--yes", "--json"))
    assert (rest["restored"], rest["skipped"]) == (1, 1)
    again = document(run("restore", "--box", ANNA, "--yes", "--json"))
    assert (again["restored"], again["skipped"]) == (0, 2)
    assert yard.state(ANNA) == before
    report = document(run("snapshot", "verify", "--read-data", "--json"))
    assert (report["clean"], report["findings"]) == (True, [])
    seen = kinds(loaded)
    for kind, times in {
        "backup.start": 1,
        "backup.done": 1,
        "restore.start": 3,
        "restore.message": 2,
        "restore.done": 3,
        "backup.verified": 1,
    }.items():
        assert seen.count(kind) == times, kind


KILLED = """
import os, signal, sys
from mtad import cli
from mtad.store import maildir

rename, left = maildir.rename, int(sys.argv[1])

def counted(*arguments):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(*arguments)

maildir.rename = counted
cli.main(sys.argv[2:])
"""


@pytest.mark.parametrize("renames", [1, 150, 300])
def test_a_restore_that_is_killed_is_repeated_without_doubles(
    run: Run, yard: Yard, loaded: Loaded, renames: int
) -> None:
    for number in range(300):
        yard.deliver(ANNA, mails.plain(f"many-{number}"), letters="S")
    run("snapshot", "create")
    before = yard.state(ANNA)
    delete_all(loaded, ANNA)
    words = ["--config", str(loaded.path), "restore", "--box", ANNA, "--yes"]
    command = [sys.executable, "-c", KILLED, str(renames), *words]
    killed = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL, killed
    assert len(yard.state(ANNA)) < len(before)
    result = document(run(*words[2:], "--json"))
    assert result["restored"] + result["skipped"] == len(before)
    assert yard.state(ANNA) == before
    assert document(run(*words[2:], "--json"))["restored"] == 0


def test_people_see_tables_and_no_control_characters(run: Run, yard: Yard) -> None:
    text = run("snapshot", "create").stdout
    assert text.startswith("snapshot 20")
    assert "3 messages, 3 new" in text
    assert "nothing changed since" in run("snapshot", "create").stdout
    assert "SNAPSHOT" in run("snapshot").stdout
    shown = run("snapshot", "ls", "latest", BORIS, "INBOX").stdout
    assert "\x1b" not in shown
    assert " [2J[/nope]" in shown
    assert "there already" in run("restore", "--box", ANNA, "--dry-run").stdout
    assert "read and proven; 0 problems" in run("snapshot", "verify", "--read-data").stdout


def test_scopes(run: Run, yard: Yard) -> None:
    one = document(run("snapshot", "create", "--box", "ANNA@alpha.example", "--json"))
    assert (one["boxes"], one["scope"]) == (1, f"box {ANNA}")
    many = document(run("snapshot", "create", "--domain", "beta.example", "--json"))
    assert (many["boxes"], many["scope"]) == (1, "domain beta.example")
    run("snapshot", "create", "--box", "nobody@alpha.example", code=Exit.NOTHING_FOUND)
    run("snapshot", "create", "--box", ANNA, "--domain", "x.example", code=Exit.USAGE)
    assert (
        document(run("restore", "--box", ANNA, "--dry-run", "--json"))["snapshot"]
        == (one["snapshot"])
    )


def test_answers_that_are_no(run: Run, yard: Yard) -> None:
    run("snapshot", "list")
    run("restore", "--box", ANNA, "--dry-run", code=Exit.NOTHING_FOUND)
    run("snapshot", "create")
    run("restore", "--box", ANNA, "--dry-run", "no such words", code=Exit.NOTHING_FOUND)
    run("restore", "--box", "nobody@alpha.example", "--dry-run", code=Exit.NOTHING_FOUND)
    run("restore", "--box", ANNA, "--snapshot", "1999", "--dry-run", code=Exit.NOTHING_FOUND)
    run("restore", "--box", "not an address", "--dry-run", code=Exit.NOTHING_FOUND)
    run("restore", "--dry-run", code=Exit.USAGE)
    run("snapshot", "ls", "latest", ANNA, "Nowhere", code=Exit.NOTHING_FOUND)


def test_damage_is_exit_13_with_what_it_costs(run: Run, yard: Yard, loaded: Loaded) -> None:
    run("snapshot", "create")
    for path in (loaded.repository / "packs").rglob("*"):
        if path.is_file() and path.read_bytes()[4:5] == b"t":
            data = bytearray(path.read_bytes())
            data[100] ^= 1
            path.write_bytes(data)
    shown = run("snapshot", "verify", "--read-data", code=Exit.CORRUPT).stdout
    assert f"lost: {ANNA} INBOX UID 1" in shown
    assert "object " in shown
    delete_all(loaded, ANNA)
    run("restore", "--box", ANNA, "--yes", code=Exit.CORRUPT)


def test_healed_damage_is_exit_5_once(run: Run, yard: Yard, loaded: Loaded) -> None:
    run("snapshot", "create")
    (loaded.repository / "config.json").write_bytes(b"{}")
    assert "healed" in run("snapshot", "verify", code=Exit.PROBLEMS).stdout
    run("snapshot", "verify")


def test_a_missing_repository_is_made_by_the_first_snapshot(run: Run, loaded: Loaded) -> None:
    run("snapshot", "list", code=Exit.NOTHING_FOUND)
    box = loaded.places.boxes / box_folder(ANNA) / "Maildir"
    for sub in ("tmp", "new", "cur"):
        (box / sub).mkdir(parents=True)
    base = names.base_name(ids.Mint(1).new(), 10**18, "host", 1, 1)
    (box / "new" / base).write_bytes(mails.plain())
    run("snapshot", "create")
    assert loaded.beside("repository.key").is_file()
    assert len(reading.read_box(box.parent, ANNA).messages) == 1
    assert len(document(run("snapshot", "list", "--json"))["snapshots"]) == 1


def test_a_lost_key_and_another_key_are_exit_12(run: Run, yard: Yard, loaded: Loaded) -> None:
    run("snapshot", "create")
    key = loaded.beside("repository.key")
    key.write_bytes(b"x" * 32)
    run("snapshot", "list", code=Exit.NOT_PERMITTED)
    key.unlink()
    run("snapshot", "create", code=Exit.NOT_PERMITTED)
    assert not key.exists()


def test_a_snapshot_imports_no_other_part(yard: Yard, loaded: Loaded) -> None:
    code = (
        "import sys; from mtad import cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} "
        "& {'textual', 'aiosmtpd', 'sqlalchemy', 'apscheduler', 'uvloop'}))"
    )
    line = [
        sys.executable,
        "-c",
        code,
        "--config",
        str(loaded.path),
        "snapshot",
        "create",
        "--box",
        ANNA,
    ]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr == ""
