"""What a box has already of the messages that are to come in.

A message is there when its mailbox has one with the same content, whichever program wrote it
down, each counted once: two copies in a source are two in the box. A message that came in from
elsewhere keeps a name that says so, wherever in the box it is moved. Files are read only where
one of the same length comes.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from mtad.store import names
from mtad.store.reading import open_message
from mtad.store.values import Message
from mtad.transfer.arriving import Content, Incoming

TAG_LETTERS = 26
_BASE_32 = "0123456789abcdefghjkmnpqrstvwxyz"
CHUNK = 2**20


class Present:
    """The messages of a box, by what tells them apart."""

    def __init__(self, folder: Path, messages: Iterable[Message]) -> None:
        self._folder = folder
        self._sizes: dict[str, int] = {}
        self._tags: set[str] = set()
        self._by_wire: dict[int, list[Message]] = defaultdict(list)
        self._unmeasured: list[Message] = []
        self._contents: dict[bytes, Counter[str]] = defaultdict(Counter)
        self._seen: Counter[bytes] = Counter()
        for one in messages:
            self._sizes[one.base] = one.size
            self._tags.add(_tag_of(one.base))
            wire = names.wire_size_of(one.base)
            if wire is not None and names.size_of(one.base) == one.size:
                self._by_wire[wire].append(one)
            else:
                self._unmeasured.append(one)

    def has_base(self, one: Incoming) -> bool:
        """Whether a message of a Maildir is there under its name; nothing is read."""
        return bool(one.base) and self._sizes.get(one.base) == one.size >= 0

    def has_tag(self, tag: str) -> bool:
        """Whether a message that a source names by itself came in before."""
        return tag in self._tags

    def has(self, mailbox: str, content: Content, tag: str) -> bool:
        """Whether a message is there; each one that is there answers for one only."""
        self._learn(content)
        there = self._contents.get(content.same)
        if there is not None and there[mailbox] > 0:
            there[mailbox] -= 1
            return True
        return tag in self._tags

    def tag(self, mailbox: str, content: Content) -> str:
        """What names a message: its content and mailbox, and the how many-th of them it is."""
        key = hashlib.sha256(f"{mailbox}\0".encode(errors="replace") + content.same).digest()
        self._seen[key[:12]] += 1
        return tag(key, str(self._seen[key[:12]]))

    def _learn(self, content: Content) -> None:
        """Read what may be the same."""
        least = content.wire - 2 * content.ends_line
        for wire in (least, least + 2):
            for one in self._by_wire.pop(wire, ()):
                self._read(one)
        rest = []
        for one in self._unmeasured:
            if one.size <= least + 2 and 2 * one.size + 2 >= least:
                self._read(one)
            else:
                rest.append(one)
        self._unmeasured = rest

    def _read(self, one: Message) -> None:
        try:
            descriptor = open_message(self._folder, one)
        except OSError:
            return
        content = Content()
        with os.fdopen(descriptor, "rb") as file:
            while data := file.read(CHUNK):
                content.add(data)
        content.end()
        self._contents[content.same][one.mailbox] += 1


def tag(key: bytes, *more: str) -> str:
    """A name made of what tells a message apart; longer than any id, so never taken for one."""
    digest = hashlib.sha256(key + "\0".join(more).encode(errors="surrogateescape")).digest()
    number = int.from_bytes(digest[:17], "big")
    return "".join(_BASE_32[number >> 5 * place & 31] for place in range(TAG_LETTERS))


def base_name(tag: str, at_ns: int, hostname: str, content: Content) -> str:
    """The base name of a message that came in, as others have them but for the tag."""
    plain = names.base_name(0, at_ns, hostname, content.size, content.wire)
    seconds, _, rest = plain.split(".", 2)
    return f"{seconds}.{tag}.{rest}"


def _tag_of(base: str) -> str:
    parts = base.split(".", 2)
    return parts[1] if len(parts) == 3 and len(parts[1]) == TAG_LETTERS else ""
