#!/usr/bin/env python3
"""Snapshots and restores of real mail, timed beside restic and borg on the same folder.

    python benchmarks/backup.py [--messages 5000] [--octets 200000000] [--repeats 3] [--folder DIR]

Boxes are filled with the real mail of the shared data, each message once, and where that is
missing with mails of our own. Every figure is of a whole process, started as an operator starts
it; the targets take turns, and short measures are medians. Everything is encrypted, and
compressed with zstd as each tool does by default (borg: zstd,3).
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backup import repository
from backup.places import Folder
from mtad import config
from mtad.address import box_folder
from mtad.store import names
from tests import corpus, mails
from tracing import ids

BOXES = ("anna@bench.test", "boris@bench.test", "clara@bench.test")
FOLDERS = ("INBOX", "INBOX", "Archive/2026", "Sent")
HOST = "mail.bench.test"
FIRST_NS = 1_700_000_000_123_456_789


def raws(messages: int, octets: int) -> Iterator[bytes]:
    """Messages as they lie in a store: different ones, with LF line ends."""
    real = [mail.data for mail in corpus.messages(corpus.data_folder() / "corpus")]
    print("mail:", "real mail of the shared data" if real else "of our own", flush=True)
    random.Random(3).shuffle(real)
    for number in range(messages):
        if real:
            if number == len(real):
                return
            raw = real[number]
        elif number % 5 == 0:
            raw = mails.with_attachment(number, 20_000 + number * 37 % 90_000)
        else:
            raw = mails.plain(f"plain-{number}", 5 + number * 7 % 300)
        octets -= len(raw)
        if octets < 0:
            return
        yield raw.replace(b"\r\n", b"\n")


class Site:
    """Settings, a key, and filled boxes; no server runs."""

    def __init__(self, root: Path, messages: int, octets: int) -> None:
        self.settings = root / "mtad.toml"
        root.mkdir(parents=True)
        self.settings.write_text(f'hostname = "{HOST}"\ndata_dir = "data"\n')
        self.loaded = config.load(self.settings)
        self.boxes = self.loaded.places.boxes
        repository.create(Folder(self.loaded.repository), self.loaded.beside("repository.key"))
        self.messages = self.octets = 0
        self.count = dict.fromkeys(BOXES, 0)
        mint = ids.Mint(1)
        choose = random.Random(5)
        for raw in raws(messages, octets):
            box = choose.choice(BOXES)
            self._deliver(self.folder(box), mint.new(), raw, choose)
            self.messages += 1
            self.octets += len(raw)
            self.count[box] += 1
        for box in BOXES:
            self.mtad("mail", "list", "--box", box, "--json")

    def _deliver(self, folder: Path, st: int, raw: bytes, choose: random.Random) -> None:
        maildir = folder / "Maildir" / names.mailbox_folder(choose.choice(FOLDERS))
        for sub in ("tmp", "new", "cur"):
            (maildir / sub).mkdir(parents=True, exist_ok=True)
        at_ns = FIRST_NS + self.messages * 1_000_000_007
        base = names.base_name(st, at_ns, HOST, len(raw), len(raw))
        path = maildir / "cur" / names.join(base, choose.choice(("", "S", "RS", "FS")))
        path.write_bytes(raw)
        os.utime(path, ns=(at_ns, at_ns))

    def folder(self, box: str) -> Path:
        """Where a box lies."""
        return self.boxes / box_folder(box)

    def files(self, box: str) -> list[Path]:
        """A box's messages, in the same order each time."""
        return sorted((self.folder(box) / "Maildir").rglob("cur/*"))

    def mtad(self, *words: str) -> None:
        """Run a command of ours."""
        run(
            [sys.executable, "-m", "mtad", *words],
            os.environ | {"MTAD_CONFIG": str(self.settings)},
        )


def run(command: list[str], environment: dict[str, str], cwd: Path | None = None) -> None:
    """Run a command quietly; end with what it said where it fails."""
    done = subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])}: {done.returncode}\n{done.stdout}{done.stderr}")


class Target(ABC):
    """A tool that takes snapshots of the boxes; every method is one process of it."""

    name: str

    def __init__(self, site: Site, root: Path) -> None:
        self.site, self.repository, self.out = site, root / "repository", root / "out"
        root.mkdir()

    @abstractmethod
    def create(self) -> None:
        """Take a snapshot."""

    @abstractmethod
    def restore(self, path: Path) -> None:
        """Get a message or a box back."""

    @abstractmethod
    def check(self) -> None:
        """Read and prove everything."""

    def clear(self, path: Path) -> None:
        """Before a restore: what is restored is not there."""
        shutil.rmtree(self.out, ignore_errors=True)

    def restored(self, path: Path) -> int:
        """How many messages came back."""
        found = self.out.rglob(path.name if path.is_file() else "cur/*")
        return sum(1 for each in found if each.is_file())


class Ours(Target):
    """mtad: puts messages into the box itself, with an event for each."""

    name = "mtad"

    def __init__(self, site: Site, root: Path) -> None:
        super().__init__(site, root)
        self.repository = site.loaded.repository

    def create(self) -> None:
        """Take a snapshot."""
        self.site.mtad("snapshot", "create")

    def restore(self, path: Path) -> None:
        """Get a message or a box back."""
        box = next(box for box in BOXES if path.is_relative_to(self.site.folder(box)))
        words = () if path == self.site.folder(box) else (self._id(path),)
        self.site.mtad("restore", "--box", box, "--yes", *words)

    def check(self) -> None:
        """Read and prove everything."""
        self.site.mtad("snapshot", "verify", "--read-data")

    def clear(self, path: Path) -> None:
        """Delete it from the box."""
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    def restored(self, path: Path) -> int:
        """How many messages came back into the box."""
        box = next(box for box in BOXES if path.is_relative_to(self.site.folder(box)))
        found = self.site.files(box)
        return len(found) if path == self.site.folder(box) else len(found) == self.site.count[box]

    @staticmethod
    def _id(path: Path) -> str:
        st = names.st_of(names.split(path.name)[0])
        assert st is not None
        return ids.text(st)


class Restic(Target):
    """restic, with its default compression."""

    name = "restic"

    def __init__(self, site: Site, root: Path) -> None:
        super().__init__(site, root)
        self._environment = os.environ | {
            "RESTIC_PASSWORD": "of the benchmark",
            "RESTIC_REPOSITORY": str(self.repository),
            "RESTIC_CACHE_DIR": str(root / "cache"),
        }
        self._restic("init", "--repository-version", "2")

    def _restic(self, *words: str) -> None:
        run(["restic", "--quiet", *words], self._environment)

    def create(self) -> None:
        """Take a snapshot."""
        self._restic("backup", str(self.site.boxes))

    def restore(self, path: Path) -> None:
        """Get a message or a box back."""
        self._restic("restore", "latest", "--target", str(self.out), "--include", str(path))

    def check(self) -> None:
        """Read and prove everything."""
        self._restic("check", "--read-data")


class Borg(Target):
    """borg, with zstd in place of its default lz4."""

    name = "borg"

    def __init__(self, site: Site, root: Path) -> None:
        super().__init__(site, root)
        self._environment = os.environ | {
            "BORG_PASSPHRASE": "of the benchmark",
            "BORG_BASE_DIR": str(root / "base"),
            "BORG_REPO": str(self.repository),
        }
        self._number = 0
        self._borg("init", "--encryption", "repokey-blake2")

    def _borg(self, *words: str, cwd: Path | None = None) -> None:
        run(["borg", *words], self._environment, cwd)

    def create(self) -> None:
        """Take a snapshot."""
        self._number += 1
        self._borg("create", "--compression", "zstd,3", f"::{self._number}", str(self.site.boxes))

    def restore(self, path: Path) -> None:
        """Get a message or a box back."""
        self.out.mkdir()
        self._borg("extract", f"::{self._number}", str(path).lstrip("/"), cwd=self.out)

    def check(self) -> None:
        """Read and prove everything."""
        self._borg("check", "--verify-data")


def timed(action: Callable[[], None]) -> float:
    """Seconds that an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def restore(target: Target, path: Path, expected: int) -> float:
    """Seconds a restore takes; ends where it brought back anything else than expected."""
    target.clear(path)
    seconds = timed(lambda: target.restore(path))
    if target.restored(path) != expected:
        sys.exit(f"{target.name} restored {target.restored(path)} messages instead of {expected}")
    return seconds


def measure(site: Site, targets: list[Target], repeats: int) -> dict[str, dict[str, float]]:
    """Every figure of every target: seconds, and octets of the repository."""
    found: dict[str, dict[str, list[float]]] = {}

    def turns(what: str, times: int, one: Callable[[Target], float]) -> None:
        for number in range(times):
            shift = number % len(targets)
            for target in targets[shift:] + targets[:shift]:
                found.setdefault(what, {}).setdefault(target.name, []).append(one(target))

    turns("first snapshot", 1, lambda target: timed(target.create))
    turns("repository", 1, lambda target: size_of(target.repository))
    turns("nothing changed", repeats, lambda target: timed(target.create))
    some = site.files(BOXES[0])
    message = some[len(some) // 2]
    whole = site.folder(BOXES[1])
    turns("one message back", repeats, lambda target: restore(target, message, 1))
    turns("one box back", 1, lambda target: restore(target, whole, site.count[BOXES[1]]))
    turns("verify, all read", 1, lambda target: timed(target.check))
    return {
        what: {name: statistics.median(values) for name, values in by.items()}
        for what, by in found.items()
    }


def size_of(folder: Path) -> int:
    """Octets of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def show(site: Site, targets: list[Target], found: dict[str, dict[str, float]]) -> None:
    """The figures, and how many times ours each other's is."""
    print(f"{'':18}" + "".join(f"{target.name:>10}{'':9}" for target in targets))
    for what, by in found.items():
        unit, scale = ("MB", 1e6) if what == "repository" else ("s", 1)
        line = f"{what:18}"
        for target in targets:
            value = by[target.name]
            ratio = f" ({value / by['mtad']:.2f})" if target.name != "mtad" else ""
            line += f"{value / scale:>8.2f} {unit:2}{ratio:8}"
        print(line.rstrip())
    first, box = (found[what]["mtad"] for what in ("first snapshot", "one box back"))
    share = found["repository"]["mtad"] / site.octets
    print(
        f"mtad: first snapshot {site.octets / first / 1e6:.1f} MB/s, "
        f"{site.messages / first:.0f} messages/s; repository {share:.1%} of the mail; "
        f"a box comes back at {site.count[BOXES[1]] / box:.0f} messages/s"
    )
    print("In brackets: so many times what mtad takes.")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--octets", type=int, default=200_000_000, help="of mail, at most")
    parser.add_argument("--repeats", type=int, default=3, help="of short measures")
    parser.add_argument("--folder", type=Path, help="where to work (default: temporary)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        root = Path(scratch)
        site = Site(root / "site", options.messages, options.octets)
        print(f"{site.messages} messages, {site.octets / 1e6:.1f} MB, {len(BOXES)} boxes")
        targets: list[Target] = [Ours(site, root / "mtad")]
        for kind in (Restic, Borg):
            if shutil.which(kind.name):
                targets.append(kind(site, root / kind.name))
            else:
                print(f"{kind.name} is not installed: left out")
        show(site, targets, measure(site, targets, options.repeats))


if __name__ == "__main__":
    main()
