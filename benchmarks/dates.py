"""How long it takes to look through many snapshots: list, ls, find.

python -m benchmarks.dates [--boxes 300] [--days 1826] [--messages 200000]

A repository is made with a commit for each day, every box in each; messages come evenly, a
third is deleted again after a month. Nothing is read from disk but what the commands read.
"""

import argparse
import hashlib
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from backup import format, lives, repository
from backup.cache import Head
from backup.catalog import Catalog
from backup.format import MANIFEST, BoxLine, BoxRoot, Commit, Entry, MailboxRoot
from backup.places import Folder
from backup.repository import Repository
from backup.writer import Writer

DAY_US = 86_400_000_000
START_US = 1_600_000_000_000_000
WORDS = ("report", "invoice", "meeting", "offer", "figures", "plan", "order", "ticket")


def main() -> None:
    """Make it, measure it, print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boxes", type=int, default=300)
    parser.add_argument("--days", type=int, default=1826)
    parser.add_argument("--messages", type=int, default=200_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        key = Path(root) / "key"
        repository.create(Folder(Path(root) / "repository"), key)
        with Repository(Folder(Path(root) / "repository"), key, Path(root) / "cache") as store:
            began = time.perf_counter()
            _fill(store, given.boxes, given.days, given.messages)
            print(f"made in {time.perf_counter() - began:.0f} s")
            began = time.perf_counter()
            lives.follow(store)
            print(f"followed for the first time in {time.perf_counter() - began:.1f} s")
        with Repository(Folder(Path(root) / "repository"), key, Path(root) / "cache") as store:
            _measure(Catalog(store))


def _fill(store: Repository, boxes: int, days: int, messages: int) -> None:
    """A day is a commit; a box is in one chunk for each 512 UIDs."""
    choose = random.Random(1)
    each_day = messages / days
    state: list[dict[str, Entry]] = [{} for _ in range(boxes)]
    lines: list[BoxLine] = []
    due, number = 0.0, 0
    for day in range(days):
        writer = Writer(store)
        changed = set(range(boxes)) if day == 0 else set()
        at = START_US + day * DAY_US
        due += each_day
        heads = {}
        while number < due:
            box = choose.randrange(boxes)
            entry = _entry(number, len(state[box]) + 1, at - choose.randrange(DAY_US))
            subject = f"{choose.choice(WORDS)} {choose.choice(WORDS)} {number}"
            sender = f"Somebody <sender{number % 5000}@mail{number % 700}.example>"
            heads[entry.id] = Head(subject, sender, at, f"<{number}@x.example>", _address(box))
            state[box][entry.base] = entry
            changed.add(box)
            number += 1
        for box in range(boxes):
            gone = [
                base
                for base, entry in state[box].items()
                if entry.st % 3 == 0 and entry.mtime_ns // 1000 < at - 30 * DAY_US
            ]
            for base in gone:
                del state[box][base]
                changed.add(box)
        store.cache.keep_heads(heads)
        fresh = {box: _line(store, box, state[box], writer) for box in changed}
        writer.finish()
        lines = [fresh[n] if n in fresh else lines[n] for n in range(boxes)]
        store.commit(Commit(at, "all boxes", tuple(lines), added=len(heads)))


def _address(box: int) -> str:
    return f"user{box}@domain{box % 20}.example"


def _entry(number: int, uid: int, at_us: int) -> Entry:
    base = f"{at_us // 1_000_000}.{number}.mail.example,S=4000,W=4100"
    return Entry("INBOX", uid, base, number, number, "S", (), at_us * 1000, 4000, b"%032d" % number)


def _line(store: Repository, box: int, entries: dict[str, Entry], writer: Writer) -> BoxLine:
    objects = []

    def keep(manifest: format.Chunk | BoxRoot) -> bytes:
        data = format.encode(manifest)
        object_id = store.keys.id_of(MANIFEST, hashlib.sha256(data).digest())
        if writer.claim(object_id):
            objects.append((object_id, data))
        return object_id

    rows = list(entries.values())
    chunks = b"".join(keep(chunk) for chunk in format.chunks(rows))
    root = keep(
        BoxRoot(_address(box), (MailboxRoot("INBOX", 1, len(rows) + 1, 1, len(rows), chunks),))
    )
    if objects:
        writer.add(MANIFEST, objects)
    return BoxLine(_address(box), root, len(rows), 4000 * len(rows))


def _measure(view: Catalog) -> None:
    newest = view.snapshots()[0].name
    quiet: Callable[[int, int], None] = lambda done, total: None  # noqa: E731

    def find(text: str) -> Callable[[], object]:
        return lambda: view.over_all(text, limit=100, progress=quiet)

    acts: dict[str, Callable[[], object]] = {
        "list": view.snapshots,
        "ls SNAP": lambda: view.boxes(newest),
        "ls SNAP BOX": lambda: view.mailboxes(newest, _address(7)),
        "find a common word": find("subj:report"),
        "find one message": find("subj:12345"),
        "find deleted:yes of a box": find(f"deleted:yes box:{_address(7)}"),
        "find a sender": find("from:sender4321@"),
        "find nothing": find("subj:nothing-of-the-kind"),
    }
    for name, act in acts.items():
        times = []
        for _ in range(5):
            began = time.perf_counter()
            act()
            times.append(1000 * (time.perf_counter() - began))
        print(f"{name:28} {statistics.median(times):7.1f} ms")


if __name__ == "__main__":
    main()
