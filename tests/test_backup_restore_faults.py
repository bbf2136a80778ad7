"""Restores that are killed, or whose disk fails, at each of their writes: a repetition finishes."""

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from click.testing import CliRunner

from backup import outside
from mtad import cli, config
from mtad.address import box_folder
from mtad.config import Loaded
from mtad.errors import MtadError
from mtad.journal import disk
from mtad.store import reading
from mtad.store.client import Boxes
from tests import mails
from tests.backup_yard import ANNA, Yard

WHO = {"actor": ANNA, "client": "test"}
SOAK = bool(os.environ.get("MTAD_SOAK"))
KILLED = 137
BROKEN = 99
WRITES = (
    "write",
    "pwrite",
    "pwritev",
    "ftruncate",
    "utime",
    "fsync",
    "fdatasync",
    "rename",
    "link",
    "unlink",
    "mkdir",
)
FAULTS = {
    "killed": None,
    "EIO": errno.EIO,
    "ENOSPC": errno.ENOSPC,
}
State = dict[tuple[str, str], tuple[bytes, str, tuple[str, ...], int]]


def command(site: Path, *words: str) -> int:
    """Run a command here; its exit status, that of its error, or ``BROKEN`` for a mistake."""
    line = ["--config", str(site / "mtad.toml"), *words]
    result = CliRunner().invoke(cli.root, line, standalone_mode=False)
    if isinstance(result.exception, MtadError):
        return int(result.exception.exit_code)
    if isinstance(result.exception, OSError):
        return 1
    return BROKEN if result.exception else int(result.return_value or 0)


def faulty(site: Path, step: int, code: int | None, *words: str) -> int:
    """The same in a process of its own, whose ``step``-th write is its last, or fails."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = BROKEN
    try:
        count = 0

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **options: Any) -> Any:
                nonlocal count
                count += 1
                if count == step:
                    if code is None:
                        os._exit(KILLED)
                    raise OSError(code, os.strerror(code))
                return real(*args, **options)

            return call

        with ExitStack() as stack:
            for name in WRITES:
                real = getattr(disk, name)
                stack.enter_context(mock.patch.object(disk, name, counted(real)))
            status = command(site, *words)
        if count < step:
            status = KILLED - 1
    finally:
        sys.stdout.flush()
        os._exit(status)


def points(site: Path, tmp_path: Path, fault: str, stride: int, *words: str) -> Iterator[Path]:
    """Copies of a site in which the command met the fault at one write after the other.

    Every ``stride``-th, others for each fault; all of them in a soak.
    """
    stride = 1 if SOAK else stride
    start = 1 + list(FAULTS).index(fault) * 5 % stride
    for step in range(start, 100_000, stride):
        copy = tmp_path / f"{fault}-{step}"
        shutil.copytree(site, copy, symlinks=True)
        status = faulty(copy, step, FAULTS[fault], *words)
        assert status != BROKEN, f"a mistake at step {step}"
        if status == KILLED - 1:
            assert step > start, "it writes nothing"
            return
        assert FAULTS[fault] is not None or status == KILLED
        yield copy
        shutil.rmtree(copy)


def state(site: Path) -> State:
    """Octets, flags, keywords and time of every message, by mailbox and base name."""
    folder = site / "data" / "boxes" / box_folder(ANNA)
    found = {}
    for one in reading.read_box(folder, ANNA).messages:
        key = (one.mailbox, one.base)
        assert key not in found, "it is there twice"
        at_ns = one.path.stat().st_mtime_ns
        found[key] = (one.path.read_bytes(), one.flags, one.keywords, at_ns)
    return found


def numbers(site: Path, mailbox: str) -> tuple[int, list[int]]:
    """UIDVALIDITY and UIDs of a mailbox."""
    with Boxes(config.load(site / "mtad.toml")) as boxes:
        listed = boxes.list(ANNA, mailbox)
    validity = next(one.uidvalidity for one in listed.mailboxes if one.name == mailbox)
    return validity, [one.uid for one in listed.messages]


class Site:
    """A box that a snapshot has, and everything an exact restore can do has been undone in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        (path / "mtad.toml").write_text('hostname = "mail.alpha.example"\n')
        loaded: Loaded = config.load(path / "mtad.toml")
        yard = Yard(loaded.places.data)
        loaded.beside(loaded.config.backup.key_file).write_bytes(yard.key.read_bytes())
        for number, letters in enumerate(("S", "F", "", "R")):
            yard.deliver(ANNA, mails.plain(f"inbox-{number}"), letters=letters)
        for number in range(3):
            yard.deliver(ANNA, mails.plain(f"order-{number}"), "Orders", letters="S")
        with Boxes(loaded) as boxes:
            boxes.sync(ANNA)
            boxes.flags(ANNA, "Orders", [2], ["urgent"], **WHO)
        name = yard.take().name
        # By its name: an exact restore takes a snapshot of what it is about to change.
        self.exact = ("restore", "--box", ANNA, "--snapshot", name, "--exact", "--yes")
        self.then = state(path)
        self.orders = numbers(path, "Orders")
        with Boxes(loaded) as boxes:
            boxes.delete(ANNA, "Orders", **WHO)
            boxes.flags(ANNA, "INBOX", [1], ["later"], ["\\Seen"], **WHO)
            boxes.create(ANNA, "Elsewhere", actor=ANNA)
            boxes.move(ANNA, "INBOX", [2], "Elsewhere", **WHO)
            boxes.expunge(ANNA, "INBOX", [3], **WHO)
        yard.deliver(ANNA, mails.plain("new"), "Elsewhere")
        with Boxes(loaded) as boxes:
            boxes.sync(ANNA)
        self.now = state(path)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


@pytest.mark.parametrize("fault", FAULTS)
def test_an_exact_restore_is_finished_by_its_repetition(
    site: Site, tmp_path: Path, fault: str
) -> None:
    """Put, renumber, move, mark and remove; the log is not applied, so the journals tell."""
    seen = 0
    for copy in points(site.path, tmp_path, fault, 41, *site.exact):
        seen += 1
        assert command(copy, *site.exact) == 0
        assert state(copy) == site.then
        validity, uids = numbers(copy, "Orders")
        assert validity == site.orders[0]
        assert len(uids) == len(set(uids)) == 3
        assert command(copy, *site.exact) == 0
        assert state(copy) == site.then
        assert command(copy, "snapshot", "verify") == 0
    assert seen > 1


@pytest.mark.parametrize("fault", FAULTS)
def test_putting_back_what_is_missing(site: Site, tmp_path: Path, fault: str) -> None:
    words = ("restore", "--box", ANNA, "--yes")
    expected = site.now | {
        key: what for key, what in site.then.items() if key[1] not in {base for _, base in site.now}
    }
    for copy in points(site.path, tmp_path, fault, 29, *words):
        between = state(copy)
        assert site.now.keys() <= between.keys() <= expected.keys()
        assert command(copy, *words) == 0
        assert state(copy) == expected


@pytest.mark.parametrize("fault", FAULTS)
def test_what_was_deleted_is_linked_aside_or_still_there(
    site: Site, tmp_path: Path, fault: str
) -> None:
    """A deletion that fails loses nothing: the message is in the box, or comes back."""
    words = ("mail", "delete", "--box", ANNA, "--mailbox", "INBOX", "--all", "--yes")
    back = ("restore", "--deleted", "--box", ANNA, "mbox:inbox", "since:1h", "--yes")
    for copy in points(site.path, tmp_path, fault, 7, *words):
        assert command(copy, *back) in (0, 4)
        contents = {raw for (name, _), (raw, *_) in state(copy).items() if name == "INBOX"}
        assert contents >= {raw for (name, _), (raw, *_) in site.now.items() if name == "INBOX"}


@pytest.mark.parametrize("kind", outside.FORMATS)
def test_writing_out_is_all_or_nothing(site: Site, tmp_path: Path, kind: str) -> None:
    for fault in ("killed", "ENOSPC"):
        words = ("restore", "--box", ANNA, "--format", kind, "--to")
        target = tmp_path / "whole"
        if not target.exists():
            assert command(site.path, *words, str(target)) == 0
        whole = _tree(target)
        out = tmp_path / f"out-{fault}"
        for step in range(1, 1000, 1 if SOAK else 9):
            status = faulty(site.path, step, FAULTS[fault], *words, str(out))
            if status == KILLED - 1:
                break
            assert status != BROKEN
            if out.exists():
                assert _tree(out) == whole
                _remove(out)
            assert command(site.path, *words, str(out)) == 0
            assert _tree(out) == whole
            _remove(out)
        assert step > 1


def _tree(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
