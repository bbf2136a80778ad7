"""Events of one trace as one compressed blob: the form they have in a sealed month (PURE).

A blob is zstd without its magic number, with the month's dictionary, over a JSON array of columns,
for what repeats from trace to trace stands together in them:

    [kinds, ns, codes, enhs, replies, actors, seqs, details, hosts, ips, addrs, times]

Each has a value for every event, in the order of ``seq``. ``seqs`` (from the blob's ``lo`` on) and
times (in microseconds from that of the trace's id on) are what lies between one and the one before;
the others are those of ``ev``, ``ip`` in hexadecimal and ``detail`` the JSON itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat

import msgspec
import zstandard

from tracing import ids
from tracing.codec import Row

FORMAT = 1
"""What ``meta`` of a sealed month says of its blobs."""
MAX_UNPACKED = 256 * 2**20
"""Octets that a blob may unpack to."""
DICTIONARY_SIZE = 16 * 1024
LEVEL = 3
_SAMPLES = 4_000
"""Blobs that a dictionary is trained on."""
_NULL = msgspec.Raw(b"null")
_MAGIC = b"\x28\xb5\x2f\xfd"
"""What every zstd frame begins with (RFC 8878 3.1.1)."""


class _Columns(msgspec.Struct, array_like=True):
    """The events in a blob."""

    kind: list[int]
    n: list[int | None]
    code: list[int | None]
    enh: list[str | None]
    reply: list[int | None]
    actor: list[int | None]
    seq: list[int]
    detail: list[msgspec.Raw]
    host: list[int | None]
    ip: list[str | None]
    addr: list[int | None]
    at: list[int]


_json = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(_Columns).decode


class Damaged(ValueError):
    """A blob is none: it does not unpack, or not to events."""


@dataclass(frozen=True, slots=True)
class Blob:
    """The events of a trace: from seq ``lo`` to ``lo + span``."""

    trace: int
    lo: int
    span: int
    z: bytes


class Packer:
    """Packs and unpacks blobs with one month's dictionary, which may be empty; one thread."""

    def __init__(self, dictionary: bytes = b"", level: int = LEVEL) -> None:
        known = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
        self._packer = zstandard.ZstdCompressor(
            level=level, dict_data=known, write_checksum=False, write_dict_id=False
        )
        self._unpacker = zstandard.ZstdDecompressor(dict_data=known)

    def pack(self, trace: int, rows: Sequence[Row]) -> Blob:
        """The blob of a trace's rows, which come in the order of ``seq``. Raises Damaged."""
        said = text(trace, rows)
        if len(said) > MAX_UNPACKED:
            raise Damaged(f"the events of {trace} are more than a blob may hold")
        lo = rows[0][0]
        packed = self._packer.compress(said)
        return Blob(trace, lo, rows[-1][0] - lo, packed.removeprefix(_MAGIC))

    def columns(self, z: bytes) -> _Columns:
        """What is in a blob. Raises Damaged."""
        try:
            size = zstandard.frame_content_size(_MAGIC + z)
            if not 0 < size <= MAX_UNPACKED:
                raise Damaged(f"a blob that says it has {size} octets")
            columns = _read(self._unpacker.decompress(_MAGIC + z))
        except (zstandard.ZstdError, msgspec.DecodeError) as error:
            raise Damaged(str(error)) from error
        if len({len(getattr(columns, name)) for name in columns.__struct_fields__}) != 1:
            raise Damaged("columns of different lengths")
        return columns

    def events(self, z: bytes) -> bytes:
        """The events in a blob as JSON, for statements to read. Raises Damaged.

        ``[[seq - lo, time - that of the trace, kind, n, addr, ip, host, code, enh, reply, actor,
        detail], ...]``
        """
        one = self.columns(z)
        # fmt: off
        return _json(list(zip(
            accumulate(one.seq), accumulate(one.at), one.kind, one.n, one.addr, one.ip, one.host,
            one.code, one.enh, one.reply, one.actor, one.detail, strict=True,
        )))
        # fmt: on

    def rows(self, blob: Blob) -> list[Row]:
        """The rows of a blob, as ``ev`` had them. Raises Damaged."""
        one = self.columns(blob.z)
        try:
            # fmt: off
            return list(zip(
                accumulate(one.seq[1:], initial=blob.lo + one.seq[0]),
                accumulate(one.at[1:], initial=ids.time_us(blob.trace) + one.at[0]),
                one.kind, repeat(blob.trace, len(one.kind)), one.n, one.addr,
                [None if ip is None else bytes.fromhex(ip) for ip in one.ip], one.host, one.code,
                one.enh, one.reply, one.actor,
                [None if said == _NULL else str(bytes(said), "utf-8") for said in one.detail],
                strict=True,
            ))
            # fmt: on
        except (IndexError, ValueError) as error:
            raise Damaged(f"events of {blob.trace} from {blob.lo} on: {error}") from error


def text(trace: int, rows: Sequence[Row]) -> bytes:
    """The JSON of a trace's rows, by columns."""
    seq, at, kind, _, n, addr, ip, host, code, enh, reply, actor, detail = zip(*rows, strict=True)
    ips = [None if one is None else one.hex() for one in ip]
    details = [None if one is None else msgspec.Raw(one.encode()) for one in detail]
    seqs, times = _steps(seq, seq[0]), _steps(at, ids.time_us(trace))
    return _json([kind, n, code, enh, reply, actor, seqs, details, host, ips, addr, times])


def _steps(numbers: Sequence[int], before: int) -> list[int]:
    return [one - last for one, last in zip(numbers, (before, *numbers), strict=False)]


def train(samples: Iterable[bytes]) -> bytes:
    """A dictionary for blobs like these JSON texts; empty where they are too few for one."""
    taken: list[bytes | bytearray | memoryview[int]]
    taken = [one for one, _ in zip(samples, range(_SAMPLES), strict=False)]
    try:
        return zstandard.train_dictionary(DICTIONARY_SIZE, taken, level=LEVEL).as_bytes()
    except zstandard.ZstdError:
        return b""
