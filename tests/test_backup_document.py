"""docs/repository.md read by a reader written from it alone, and compared with the code."""

import hashlib
import hmac
import json
import re
import struct
from typing import Any

import msgspec
import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from backup import format, keys, paper, subkeys
from tests import documents, mails, repository_example
from tests.backup_yard import ANNA, Yard


def hkdf(key: bytes, salt: bytes, info: str) -> bytes:
    return HKDF(SHA256(), 32, salt, info.encode()).derive(key)


class Reader:
    """A reader of format 1 that shares no line with the code: only what the page says."""

    def __init__(self, master: bytes, repository: bytes) -> None:
        self.ids = hkdf(master, repository, "mtad 1 ids")
        self.manifests = hkdf(master, repository, "mtad 1 manifests")
        self.private = hkdf(master, repository, "mtad 1 private")
        half = X25519PrivateKey.from_private_bytes(self.private).public_key()
        self.public = half.public_bytes_raw()

    def frame_key(self, kind: str, salt: bytes) -> bytes:
        if kind == "x":
            return hkdf(self.manifests, salt, "mtad 1 table")
        if kind in "tb":
            private = X25519PrivateKey.from_private_bytes(self.private)
            shared = private.exchange(X25519PublicKey.from_public_bytes(salt))
            return hkdf(shared, salt + self.public, "mtad 1 pack")
        return hkdf(self.manifests, salt, "mtad 1 pack")

    def frame(self, data: bytes, at: int) -> tuple[str, int, bytes, int]:
        """Kind, count, payload of a frame, and where the next begins."""
        header = data[at : at + 24]
        assert header[:4] == b"mtf1"
        kind, codec, dictionary, number, count, stored, raw = struct.unpack("<cBHIIII", header[4:])
        assert (codec, dictionary) == (1, 0)
        sealed = data[at + 24 : at + 24 + stored]
        cipher = AESGCM(self.frame_key(kind.decode(), data[8:40]))
        nonce = number.to_bytes(12, "little")
        packed = cipher.decrypt(nonce, sealed, data[:40] + header)
        payload = zstandard.ZstdDecompressor().decompress(packed)
        assert len(payload) == raw
        return kind.decode(), count, payload, at + 24 + stored

    def pack(self, data: bytes) -> tuple[str, dict[bytes, bytes]]:
        """Kind and objects of a pack, by id as its table has them."""
        magic, kind, version = struct.unpack("<4scB", data[:6])
        assert (magic, version, data[6:8]) == (b"mtP1", 1, b"\0\0")
        offset, length = struct.unpack("<QI", data[-56:-44])
        assert (data[-44:-4], data[-4:]) == (data[:40], b"mtPe")
        assert offset + length == len(data) - 56
        what, count, payload, end = self.frame(data, offset)
        assert (what, count, end) == ("x", 0, len(data) - 56)
        name, of, salt, size, frames = msgspec.msgpack.decode(payload)
        assert (name, of, salt, size) == (b"", kind, data[8:40], 0)
        found: dict[bytes, bytes] = {}
        at = 40
        for number, (n, start, stored, raw, lengths, ids) in enumerate(frames):
            assert (n, start) == (number, at)
            what, count, payload, at = self.frame(data, at)
            assert (what, count, len(payload)) == (kind.decode(), len(lengths), raw)
            assert at == start + 24 + stored
            assert list(struct.unpack_from(f"<{count}I", payload)) == lengths
            place = 4 * count
            for i, size in enumerate(lengths):
                found[ids[32 * i : 32 * i + 32]] = payload[place : place + size]
                place += size
        assert at == offset
        return kind.decode(), found

    def small(self, data: bytes, kind: str) -> Any:
        what, count, payload, end = self.frame(data, 40)
        assert (what, data[4:5].decode(), count, end) == (kind, kind, 0, len(data))
        return msgspec.msgpack.decode(payload)

    def object_id(self, kind: str, content: bytes) -> bytes:
        digest = hashlib.sha256(content).digest()
        return hmac.digest(self.ids, kind.encode() + digest, "sha256")

    def message(self, record: bytes, bodies: dict[bytes, bytes]) -> bytes:
        import base64  # noqa: PLC0415 - as any reader would

        (size,) = struct.unpack_from("<I", record)
        skeleton, out, at = record[4 + size :], b"", 0
        for place, length, body_id, width, crlf in (
            msgspec.msgpack.decode(record[4 : 4 + size]) if size else ()
        ):
            body = bodies[body_id] if body_id else skeleton[place : place + length]
            text = base64.b64encode(body)
            step = width or len(text)
            lines = [text[n : n + step] for n in range(0, len(text), step)]
            out += skeleton[at:place] + (b"\r\n" if crlf else b"\n").join(lines)
            at = place + length
        return out + skeleton[at:]


def unwrapped(key: bytes, repository: bytes, fields: dict[str, Any]) -> bytes:
    cipher = AESGCM(hkdf(key, repository, "mtad 1 wrap"))
    nonce, wrapped = bytes.fromhex(fields["nonce"]), bytes.fromhex(fields["wrapped"])
    return cipher.decrypt(nonce, wrapped, fields["rights"].encode())


def stamped(data: bytes) -> dict[str, Any]:
    first, second, rest = data.split(b"\n")
    assert rest == b""
    assert hashlib.sha256(first + b"\n").hexdigest().encode() == second
    found: dict[str, Any] = json.loads(first)
    return found


PAGE = (documents.DOCS / "repository.md").read_text()


@pytest.fixture(scope="module")
def example() -> dict[str, bytes]:
    """The blocks of octets on the page."""
    _, _, text = PAGE.partition("<!-- example -->\n")
    found: dict[str, bytes] = {}
    for block in re.finditer(r"^(\S.*) \((\d+) octets\)\n\n((?:    .*\n)+)", text, re.MULTILINE):
        rows = [line.split(maxsplit=1) for line in block[3].splitlines()]
        data = b"".join(bytes.fromhex(row) for _, row in rows)
        assert [int(at, 16) for at, _ in rows] == list(range(0, len(data), 16))
        assert len(data) == int(block[2])
        found[block[1]] = data
    return found


def test_the_page_has_the_example_that_the_code_has(example: dict[str, bytes]) -> None:
    made = dict(repository_example.parts())
    assert made.keys() == example.keys()
    for name in made.keys() - {"pack", "pack name", "commit"}:  # these have zstd's octets
        assert made[name] == example[name], name


def test_the_example_is_read_as_the_page_says(example: dict[str, bytes]) -> None:
    fields = {"nonce": example["nonce"].hex(), "wrapped": example["wrapped"].hex()}
    master = unwrapped(example["key file"], example["repository id"], {**fields, "rights": "all"})
    assert master == example["master key"]
    assert hkdf(example["key file"], b"", "mtad 1 key id")[:8] == example["key id"]
    reader = Reader(master, example["repository id"])
    assert (reader.ids, reader.manifests) == (example["ids"], example["manifests"])
    assert (reader.private, reader.public) == (example["private"], example["public"])
    assert hashlib.sha256(example["pack"]).digest() == example["pack name"]
    kind, objects = reader.pack(example["pack"])
    assert kind == "t"
    assert reader.object_id("t", example["message"]) == example["message id"]
    assert objects.keys() == {example["message id"]}
    assert reader.message(objects[example["message id"]], {}) == example["message"]
    commit = reader.small(example["commit"], "s")
    assert commit["boxes"] == [["you@alpha.example", b"\x22" * 32, 1, 19]]
    assert (commit["at"], commit["scope"]) == (1_700_000_000_000_000, "all boxes")


def test_the_code_reads_the_example_and_seals_its_frames_again(example: dict[str, bytes]) -> None:
    opened = subkeys.derive(example["master key"], example["repository id"])
    whole = example["pack"]
    offset, length, header = format.read_footer(whole[-format.FOOTER.size :])
    assert header == whole[: format.PACK.size]
    for at, cipher in (
        (format.PACK.size, opened.cipher(header)),
        (offset, opened.table_cipher(header)),
    ):
        start = at + format.FRAME.size
        kind, number, count, stored, raw = format.read_frame_header(whole[at:start])
        sealed = whole[start : start + stored]
        packed = format.unseal(cipher, header, kind, number, count, raw, sealed)
        again = format.seal(cipher, header, kind, number, count, raw, packed)
        assert again == whole[at : start + stored]
    assert opened.begin(format.TEXT, repository_example.RANDOM)[0] == header
    assert format.footer(offset, length, header) == whole[-format.FOOTER.size :]


def test_a_repository_is_read_by_the_page_alone(tmp_path: Any) -> None:
    yard = Yard(tmp_path)
    yard.fill([mail.data.replace(b"\r\n", b"\n") for mail in mails.ours()], [ANNA])
    yard.deliver(ANNA, mails.with_attachment(3))
    yard.take()
    root, key = yard.folder.root, yard.key.read_bytes()
    config = stamped((root / "config.json").read_bytes())
    assert config["format"] == 1
    (file,) = (root / "keys").glob("*.json")
    fields = stamped(file.read_bytes())
    repository = bytes.fromhex(config["id"])
    reader = Reader(unwrapped(key, repository, fields), repository)
    objects: dict[str, dict[bytes, bytes]] = {"t": {}, "b": {}, "m": {}}
    packs = {}
    for path in (root / "packs").glob("*/*"):
        data = path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == path.name
        assert path.parent.name == path.name[:2]
        kind, found = reader.pack(data)
        objects[kind].update(found)
        packs[path.name] = (kind, len(data))
    listed = {}
    for path in (root / "index").iterdir():
        for name, kind, _, size, _ in reader.small(path.read_bytes(), "i"):
            listed[name.hex()] = (kind.decode(), size)
    assert listed == packs
    (name,) = (p for p in (root / "snapshots").iterdir() if not p.name.endswith(".copy"))
    data = name.read_bytes()
    assert name.with_name(name.name + ".copy").read_bytes() == data
    assert name.name.rpartition("-")[2] == hashlib.sha256(data).hexdigest()[:8]
    ((address, box_id, count, _),) = reader.small(data, "s")["boxes"]
    box = msgspec.msgpack.decode(objects["m"][box_id])
    assert (address, box[0]) == (ANNA, ANNA)
    seen = {}
    for mailbox in box[1]:
        for at in range(0, len(mailbox[5]), 32):
            chunk = msgspec.msgpack.decode(objects["m"][mailbox[5][at : at + 32]])
            ids = [chunk[8][n : n + 32] for n in range(0, len(chunk[8]), 32)]
            for base, mtime, flags, each in zip(chunk[1], chunk[6], chunk[4], ids, strict=True):
                raw = reader.message(objects["t"][each], objects["b"])
                assert reader.object_id("t", raw) == each
                seen[mailbox[0], base.decode()] = (raw, flags, (), mtime)
    assert len(seen) == count
    assert seen == yard.state(ANNA)


def test_every_file_and_field_is_on_the_page() -> None:
    """The page names what the code declares."""
    for name in (
        "config.json",
        "keys/",
        "packs/",
        "index/",
        "snapshots/",
        "holds/",
        "retired/",
        "locks/",
    ):
        assert f"`{name}" in PAGE
    _, data = keys.wrapped("a long passphrase", b"r" * 16, subkeys.ALL, b"m" * 32)
    for field in (*format.unstamp(data), *format.Commit.__struct_fields__):
        assert f"`{field}`" in PAGE or f"{field}," in PAGE or f", {field}\n" in PAGE, field
    for number in (subkeys.SCRYPT_N, subkeys.MAX_R, subkeys.MAX_P):
        assert str(number) in PAGE
    assert paper.LETTERS in PAGE
