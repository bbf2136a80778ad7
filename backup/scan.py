"""What packs say they hold: their tables, or, where a pack's end is damaged, their frames."""

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from backup import format
from backup.format import TABLE, TEXT, Damaged, PackEntry
from backup.places import Away, pack_path
from backup.subkeys import Sealed

if TYPE_CHECKING:
    from backup.repository import Repository


def tables(
    store: "Repository", names: Iterable[str]
) -> tuple[list[PackEntry], list[tuple[str, str]]]:
    """What packs say they hold; path and reason of those that do not say.

    A pack whose end is damaged is told by its frames, after all others: the ids of
    messages can be computed only where their bodies are known.
    """
    found: list[PackEntry] = []
    problems: list[tuple[str, str]] = []
    endless: list[tuple[bool, str]] = []
    for name in names:
        try:
            found.append(_table(store, name))
        except Away:
            raise
        except OSError as error:
            problems.append((pack_path(name), f"cannot be read: {error.strerror}"))
        except Damaged:
            header = store.folder.read(pack_path(name), 0, format.PACK.size)
            endless.append((header[4:5] == TEXT, name))
    if endless:
        store.cache.add(None, found)
    for _, name in sorted(endless):
        try:
            data = store.folder.get(pack_path(name))
            entry = _named(name, len(data), _scan(store, data))
        except Away:
            raise
        except (OSError, Damaged, Sealed) as error:
            problems.append((pack_path(name), f"cannot be indexed: {error}"))
            continue
        store.cache.add(None, [entry])
        found.append(entry)
    return found, problems


def _table(store: "Repository", name: str) -> PackEntry:
    """What a pack says at its end. Raises OSError, Damaged."""
    path = pack_path(name)
    size = store.folder.size(path)
    end = store.folder.read(path, max(0, size - format.FOOTER.size), format.FOOTER.size)
    offset, length, header = format.read_footer(end)
    if offset + length > size:
        raise Damaged("the pack's end points outside it")
    table = _read_table(store, store.folder.read(path, offset, length), header)
    return _named(name, size, table)


def _named(name: str, size: int, table: PackEntry) -> PackEntry:
    return PackEntry(bytes.fromhex(name), table.kind, table.salt, size, table.frames)


def _read_table(store: "Repository", frame: bytes, header: bytes) -> PackEntry:
    kind, number, count, stored, raw = format.read_frame_header(frame)
    sealed = frame[format.FRAME.size :]
    if kind != TABLE or stored != len(sealed):
        raise Damaged("no table")
    cipher = store.keys.table_cipher(header)
    packed = format.unseal(cipher, header, TABLE, number, count, raw, sealed)
    return format.decode(store.expand(packed, raw), PackEntry)


def _scan(store: "Repository", data: bytes) -> PackEntry:
    """A pack's table made from its readable frames, as far as they follow one another.

    Raises Damaged when there is none.
    """
    header = data[: format.PACK.size]
    kind, salt = format.read_header(header)
    cipher = store.keys.cipher(header)
    at, following = format.PACK.size, 0
    frames: list[format.FrameEntry] = []
    while True:
        start = at + format.FRAME.size
        try:
            what, number, count, stored, raw = format.read_frame_header(data[at:start])
        except Damaged:
            break
        if what == TABLE or number != following:
            break
        sealed = data[start : start + stored]
        with contextlib.suppress(Damaged):
            packed = format.unseal(cipher, header, kind, number, count, raw, sealed)
            content = store.expand(packed, raw)
            lengths = format.read_lengths(content, count)
            ids, begin = [], 4 * count
            for length in lengths:
                ids.append(store.identity(kind, content[begin : begin + length]))
                begin += length
            frames.append(format.FrameEntry(number, at, stored, raw, lengths, b"".join(ids)))
        at, following = start + stored, following + 1
    if not frames:
        raise Damaged("none of its frames can be read")
    return PackEntry(b"", kind, salt, 0, tuple(frames))
