"""Which messages of other servers came into a box already: UIDs by account and mailbox.

A small file beside the box's index, written after each act of the owner. It saves looking at
what is here, and keeps what was deleted here from coming again. A UIDVALIDITY that changed makes
what is remembered of a mailbox void (RFC 9051 2.3.1.1). Losing the file loses nothing: names
of files tell the same of what is still in the box.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from mtad.store import maildir

MAX_FILE = 64 * 2**20


class Remembered:
    """What came of one account into one box."""

    def __init__(self, folder: Path, source: str) -> None:
        self._folder = folder
        self._source = source
        self._name = f"imported-{hashlib.sha256(source.encode()).hexdigest()[:16]}.json"
        self._uids: dict[str, tuple[int, set[int]]] = {}
        try:
            descriptor = maildir.open_file(folder / self._name)
        except OSError:
            return
        with open(descriptor, "rb") as file:
            data = file.read(MAX_FILE)
        try:
            for name, (validity, ranges) in json.loads(data)["mailboxes"].items():
                self._uids[name] = int(validity), set(_numbers(ranges))
        except (ValueError, KeyError, TypeError, AttributeError):
            self._uids.clear()

    def uids(self, mailbox: str, uidvalidity: int) -> set[int]:
        """UIDs of a mailbox there that need not be looked at again."""
        known = self._uids.get(mailbox)
        if known is None or known[0] != uidvalidity:
            known = self._uids[mailbox] = uidvalidity, set()
        return known[1]

    def save(self) -> None:
        """Write it down, durably. Raises OSError."""
        told = {name: [validity, _ranges(uids)] for name, (validity, uids) in self._uids.items()}
        document = {"source": self._source, "mailboxes": told}
        maildir.write_small(self._folder, self._name, json.dumps(document).encode())


def _ranges(uids: Iterable[int]) -> str:
    """Numbers as ``1:4,7``."""
    parts: list[list[int]] = []
    for uid in sorted(uids):
        if parts and parts[-1][1] == uid - 1:
            parts[-1][1] = uid
        else:
            parts.append([uid, uid])
    return ",".join(str(a) if a == b else f"{a}:{b}" for a, b in parts)


def _numbers(ranges: str) -> Iterator[int]:
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition(":")
        low, high = int(first), int(last or first)
        if not 0 < low <= high < 2**32 or high - low > 2**24:
            raise ValueError(f"{part} is no range of UIDs")
        yield from range(low, high + 1)
