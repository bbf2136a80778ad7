"""The worked example of docs/repository.md: ``python -m tests.repository_example`` prints it.

Everything random is fixed here. What zstd makes of the payloads may differ from version to
version of it, so the document's octets are read in the test, not compared with these.
"""

import hashlib
from collections.abc import Iterator

from backup import format, subkeys
from backup.format import COMMIT, TABLE, TEXT
from backup.repository import compress

MASTER = bytes(range(32))
REPOSITORY = bytes(range(0xA0, 0xB0))
KEY = bytes(range(0x40, 0x60))
NONCE = bytes(range(0x80, 0x8C))
RANDOM = b"\x11" * 32
MESSAGE = b"Subject: hi\n\nhello\n"
AT = 1_700_000_000_000_000


def record() -> bytes:
    return bytes(4) + MESSAGE


def pack() -> tuple[bytes, bytes]:
    """A pack of one message, and the message's id."""
    opened = subkeys.derive(MASTER, REPOSITORY)
    header, cipher = opened.begin(TEXT, RANDOM)
    data = format.payload([record()])
    packed = compress(data)
    frame = format.seal(cipher, header, TEXT, 0, 1, len(data), packed)
    object_id = opened.id_of(TEXT, hashlib.sha256(MESSAGE).digest())
    _, salt = format.read_header(header)
    stored = len(packed) + format.TAG
    entry = format.FrameEntry(0, len(header), stored, len(data), (len(record()),), object_id)
    table = format.encode(format.PackEntry(b"", TEXT, salt, 0, (entry,)))
    sealed = format.seal(
        opened.table_cipher(header), header, TABLE, 1, 0, len(table), compress(table)
    )
    end = format.footer(len(header) + len(frame), len(sealed), header)
    return header + frame + sealed + end, object_id


def commit() -> bytes:
    opened = subkeys.derive(MASTER, REPOSITORY)
    line = format.BoxLine("you@alpha.example", b"\x22" * 32, 1, len(MESSAGE))
    data = format.encode(format.Commit(AT, "all boxes", (line,), 1, 340, 0.5))
    header, cipher = opened.begin(COMMIT, RANDOM)
    return header + format.seal(cipher, header, COMMIT, 0, 0, len(data), compress(data))


def parts() -> Iterator[tuple[str, bytes]]:
    """The name and octets of each block of the document."""
    opened = subkeys.derive(MASTER, REPOSITORY)
    wrapped = subkeys.wrap(KEY, REPOSITORY, NONCE, subkeys.ALL, MASTER)
    whole, object_id = pack()
    yield "master key", MASTER
    yield "repository id", REPOSITORY
    yield "key file", KEY
    yield "key id", bytes.fromhex(subkeys.key_id(KEY))
    yield "nonce", NONCE
    yield "wrapped", wrapped
    yield "ids", opened.ids
    yield "manifests", opened.manifests
    yield "private", opened.private
    yield "public", opened.public
    yield "message", MESSAGE
    yield "message id", object_id
    yield "pack", whole
    yield "pack name", hashlib.sha256(whole).digest()
    yield "commit", commit()


def blocks() -> str:
    lines = []
    for name, data in parts():
        lines += [f"{name} ({len(data)} octets)", ""]
        for at in range(0, len(data), 16):
            row = data[at : at + 16]
            lines.append(f"    {at:04x}  {row.hex(' ')}")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(blocks(), end="")
