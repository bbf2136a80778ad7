"""The hash chain over a month's events: what was recorded cannot be changed unseen (PURE).

A local chain shows accidents and casual edits; against someone who owns the machine it helps
only where a head was kept elsewhere.
"""

import hashlib
import struct
from collections.abc import Sequence
from typing import Any

import msgspec

ERASED = "chain.erased"
"""The last seq of each batch that had something erased in it, as JSON in ``meta``."""

_pack = msgspec.msgpack.Encoder().encode


def link(before: bytes, rows: Sequence[tuple[Any, ...]]) -> bytes:
    """The head after a batch of rows of ``ev``, which must not be empty.

    sha256(head before | first seq | last seq, little-endian u64 | MessagePack of the rows).
    """
    digest = hashlib.sha256(before)
    digest.update(struct.pack("<QQ", rows[0][0], rows[-1][0]))
    digest.update(_pack(rows))
    return digest.digest()
