"""Which objects share a frame: neighbours, as many as compress well and are read at once (PURE)."""

from collections.abc import Iterable, Iterator

WINDOW_BYTES = 64 * 2**20
"""Messages are sorted among as many as fit into this."""
GROUP = 64
GROUP_BYTES = 2**20
"""A frame holds at most this many messages, or octets, or its one message."""


def groups(objects: Iterable[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    """Objects in runs of at most GROUP or GROUP_BYTES."""
    group: list[tuple[bytes, bytes]] = []
    size = 0
    for each in objects:
        if group and (len(group) == GROUP or size + len(each[1]) > GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(each)
        size += len(each[1])
    if group:
        yield group
