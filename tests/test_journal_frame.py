"""The octets of frames: what was written comes back, and nothing else ever does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.journal import frame, segment
from tracing import events

TEXT = st.text(max_size=30)
ID = st.integers(0, 2**63 - 1)
COPIES = st.lists(st.builds(frame.Copy, ID, ID, st.integers(0, 2**32), TEXT), max_size=4).map(tuple)
ACTS = st.one_of(
    st.builds(frame.Expunge, TEXT, TEXT, COPIES, ID),
    st.builds(frame.Move, TEXT, TEXT, TEXT, COPIES, st.just((1, 2)), ID),
    st.builds(frame.Flags, TEXT, TEXT, COPIES, st.just(("S",)), st.just((("a", "b"),)), ID),
    st.builds(
        frame.Put,
        TEXT,
        TEXT,
        st.lists(
            st.builds(
                frame.PutItem,
                st.builds(frame.Copy, ID, ID, ID, TEXT),
                TEXT,
                TEXT,
                st.just(("k",)),
                ID,
                ID,
                st.binary(max_size=32),
            ),
            max_size=3,
        ).map(tuple),
        ID,
    ),
)
EVENTS = st.builds(
    lambda at, trace, addr: frame.raw(events.SmtpRcpt(at=at, trace=trace, addr=addr)), ID, ID, TEXT
)
METAS = st.builds(
    frame.Meta,
    events=st.lists(EVENTS, max_size=5).map(tuple),
    content=st.none() | st.builds(frame.Content, ID, ID, st.binary(max_size=32), ID, st.booleans()),
    links=st.lists(st.builds(frame.Link, ID, ID, TEXT, TEXT, TEXT), max_size=4).map(tuple),
    acts=st.lists(ACTS, max_size=3).map(tuple),
)
EPOCHS = st.integers(0, 2**32 - 1)


def whole(meta: frame.Meta, body: bytes, seq: int, epoch: int) -> bytes:
    return b"".join(frame.encode(meta, body, seq=seq, last_id=seq + 1, epoch=epoch))


def comparable(meta: frame.Meta) -> object:
    return tuple(map(bytes, meta.events)), meta.content, meta.links, meta.acts


@given(METAS, st.binary(max_size=300), st.integers(1, 2**62), EPOCHS, st.binary(max_size=50))
def test_a_frame_comes_back(
    meta: frame.Meta, body: bytes, seq: int, epoch: int, behind: bytes
) -> None:
    data = whole(meta, body, seq, epoch)
    found = frame.decode(data + behind, 0, epoch=epoch)
    assert found is not None
    one, end = found
    assert (one.seq, one.last_id, one.body, end) == (seq, seq + 1, body, len(data))
    assert comparable(one.meta) == comparable(meta)


@given(METAS, st.binary(max_size=100), EPOCHS, st.data())
def test_a_changed_or_torn_frame_is_none(
    meta: frame.Meta, body: bytes, epoch: int, data: st.DataObject
) -> None:
    good = whole(meta, body, 7, epoch)
    at = data.draw(st.integers(0, len(good) - 1))
    changed = bytearray(good)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    assert frame.decode(bytes(changed), 0, epoch=epoch) is None
    assert frame.decode(good[:at], 0, epoch=epoch) is None
    assert frame.decode(good[:at] + bytes(len(good) - at), 0, epoch=epoch) is None or not any(
        good[at:]
    )


@given(METAS, EPOCHS, EPOCHS)
def test_a_frame_of_another_epoch_is_none(meta: frame.Meta, one: int, other: int) -> None:
    if one != other:
        assert frame.decode(whole(meta, b"body", 1, one), 0, epoch=other) is None


@given(st.binary(max_size=200), EPOCHS)
def test_any_octets_are_decoded_without_error(data: bytes, epoch: int) -> None:
    assert frame.decode(data, 0, epoch=epoch) is None
    assert frame.decode(frame.MAGIC + data, 0, epoch=epoch) is None
    assert segment.unpack(data) is None


@pytest.mark.parametrize("number", [1, 2**32 - 1])
def test_a_header_comes_back_and_a_flipped_one_does_not(number: int) -> None:
    header = segment.Header(number, 5, 2**60, 2**62, 4096)
    packed = header.pack()
    assert segment.unpack(packed) == header
    for at in range(len(packed)):
        for bit in range(8):
            changed = bytearray(packed)
            changed[at] ^= 1 << bit
            assert segment.unpack(bytes(changed)) is None
