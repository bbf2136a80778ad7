"""Blobs give back exactly what was put in, and nothing that is none gets through as events."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracing.archive import blob
from tracing.archive.blob import Blob, Damaged, Packer
from tracing.codec import Row

number = st.integers(0, 2**62)
small = st.none() | st.integers(0, 2**31)
value = st.text(max_size=9) | number | st.floats(allow_nan=False, allow_infinity=False)
key = st.text('aя"\\', max_size=4)
detail = st.none() | st.dictionaries(key, value, max_size=3).map(json.dumps)
rest = st.tuples(
    number,
    number,
    number,
    small,
    small,
    st.none() | st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16),
    small,
    small,
    st.none() | st.text("245.01", max_size=9),
    small,
    small,
    detail,
)


def rows_of(trace: int, made: list[Any]) -> list[Row]:
    """Rows of one trace with rising seq."""
    found: list[Row] = []
    for seq, (step, at, kind, *others) in enumerate(made):
        found.append((seq * 3 + step % 3 + 1, at, kind, trace, *others))
    return found


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text takes long to choose
@given(trace=st.integers(-5, 2**63 - 1), made=st.lists(rest, min_size=1, max_size=20))
def test_rows_come_back(trace: int, made: list[Any]) -> None:
    rows = rows_of(trace, made)
    packer = Packer()
    packed = packer.pack(trace, rows)
    assert packer.rows(packed) == rows
    assert (packed.lo, packed.lo + packed.span) == (rows[0][0], rows[-1][0])


def test_a_dictionary_makes_blobs_smaller() -> None:
    """And only the packer that has it reads them."""
    rest = (1, 7, b"\xc0\0\2\7", 3, 250, "2.0.0", 5, 6, '{"stage":"rcpt"}')
    rows = [[(n * 9 + i, 10**15 + n, i, n << 22, *rest) for i in range(5)] for n in range(1, 500)]
    dictionary = blob.train(blob.text(part[0][3], part) for part in rows)
    assert dictionary
    with_it, without = Packer(dictionary), Packer()
    packed = with_it.pack(rows[0][0][3], rows[0])
    assert len(packed.z) < len(without.pack(rows[0][0][3], rows[0]).z)
    with pytest.raises(Damaged):
        without.rows(packed)


def test_too_few_samples_are_no_dictionary() -> None:
    assert blob.train([b"[]"]) == b""


@given(st.binary(max_size=200))
def test_what_is_no_blob_is_damaged(octets: bytes) -> None:
    with pytest.raises(Damaged):
        Packer().rows(Blob(1, 1, 0, octets))


@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_flipped_octets_are_damage_or_other_events(place: int, flip: int) -> None:
    """Never anything but rows or Damaged: the digest of the month tells of the rest."""
    packer = Packer()
    packed = packer.pack(1 << 22, [(1, 5, 2, 1 << 22, *[None] * 8, '{"a":"b"}')])
    z = bytearray(packed.z)
    z[place % len(z)] ^= flip
    with contextlib.suppress(Damaged):
        assert isinstance(packer.rows(Blob(packed.trace, 1, 0, bytes(z))), list)


def test_a_blob_that_would_unpack_to_very_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(1, 5, 2, 1 << 22, *[None] * 8, json.dumps({"a": "x" * 5000}))]
    packed = Packer().pack(1 << 22, rows)
    monkeypatch.setattr(blob, "MAX_UNPACKED", 4096)
    with pytest.raises(Damaged):
        Packer().rows(packed)
    with pytest.raises(Damaged):
        Packer().pack(1 << 22, rows)
