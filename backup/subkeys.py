"""What a repository's master key becomes, and what each kind of key file holds of it (PURE).

Contents are sealed to a public key (X25519), everything else symmetrically. So there are two
rights: with *all* one holds the master key, with *put* the subkeys for ids and manifests and
the public key. Who may only put adds snapshots, sees what is stored already, lists and verifies
files, and cannot read one message, not even those he added himself.

    ids, manifests, private = HKDF-SHA-256(master, salt repository id, info "mtad 1 <name>")
    a content pack's header holds the public half of a pair made for it; its key is
        HKDF-SHA-256(X25519, salt that half and the repository's public key, info "mtad 1 pack")
    other packs' headers hold a random salt:
        HKDF-SHA-256(manifests, salt, info "mtad 1 pack"); of every table "mtad 1 table"
"""

import hmac

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from backup import format
from backup.format import BODY, TEXT, Damaged
from mtad.errors import NotPermitted

KEY = 32
ALL = "all"
PUT = "put"
CONTENTS = (TEXT, BODY)
"""Kinds of packs that only the private key reads."""


class Sealed(NotPermitted):
    """A content is to be read with a key that may only put."""

    def __init__(self) -> None:
        super().__init__(
            "the key of this server may add snapshots but not read the messages in them; name "
            "the file of a key with all rights in the variable MTAD_SNAPSHOT_KEY"
        )


class Keys(msgspec.Struct, frozen=True):
    """The repository's subkeys; ``private`` is empty for who may only put."""

    ids: bytes
    manifests: bytes
    public: bytes
    private: bytes = b""

    @property
    def can_read(self) -> bool:
        """Whether contents can be read."""
        return bool(self.private)

    def id_of(self, kind: bytes, digest: bytes) -> bytes:
        """The id of an object of ``kind`` with this SHA-256.

        HMAC over the digest, not the content: a message's digest is known from its delivery,
        so that the box's index alone tells what is stored already.
        """
        return hmac.digest(self.ids, kind + digest, "sha256")

    def begin(self, kind: bytes, random: bytes) -> tuple[bytes, AESGCM]:
        """Header and cipher of a pack to be written, out of 32 random octets."""
        if kind not in CONTENTS:
            header = format.pack_header(kind, random)
            return header, self.cipher(header)
        once = X25519PrivateKey.from_private_bytes(random)
        half = once.public_key().public_bytes_raw()
        shared = once.exchange(X25519PublicKey.from_public_bytes(self.public))
        return format.pack_header(kind, half), self._content_cipher(shared, half)

    def cipher(self, header: bytes) -> AESGCM:
        """The cipher of the frames of a pack. Raises Damaged, or Sealed for contents."""
        kind, salt = format.read_header(header)
        if kind not in CONTENTS:
            return AESGCM(_hkdf(self.manifests, salt, b"mtad 1 pack"))
        if not self.private:
            raise Sealed
        private = X25519PrivateKey.from_private_bytes(self.private)
        try:
            shared = private.exchange(X25519PublicKey.from_public_bytes(salt))
        except ValueError:
            raise Damaged("the pack's header holds no public key") from None
        return self._content_cipher(shared, salt)

    def _content_cipher(self, shared: bytes, half: bytes) -> AESGCM:
        return AESGCM(_hkdf(shared, half + self.public, b"mtad 1 pack"))

    def table_cipher(self, header: bytes) -> AESGCM:
        """The cipher of a pack's table, which whoever may put must read. Raises Damaged."""
        _, salt = format.read_header(header)
        return AESGCM(_hkdf(self.manifests, salt, b"mtad 1 table"))


def _hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(key)


def derive(master: bytes, repository: bytes) -> Keys:
    """All subkeys of a repository, bound to its id and to this format."""
    info = (b"mtad 1 " + name for name in (b"ids", b"manifests", b"private"))
    ids, manifests, private = (_hkdf(master, repository, each) for each in info)
    public = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    return Keys(ids, manifests, public, private)


def put_only(keys: Keys) -> bytes:
    """What a key that may only put holds."""
    return keys.ids + keys.manifests + keys.public


def opened(rights: str, held: bytes, repository: bytes) -> Keys:
    """The subkeys out of what a key holds. Raises Damaged."""
    if rights == ALL and len(held) == KEY:
        return derive(held, repository)
    if rights == PUT and len(held) == 3 * KEY:
        return Keys(held[:KEY], held[KEY : 2 * KEY], held[2 * KEY :])
    raise Damaged("a key holds something else than its rights say")


# --------------------------------------------------------------------- wrapping

SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**16, 8, 1
"""64 MiB and about 0.2 s for each guess (RFC 7914)."""
MAX_N, MAX_R, MAX_P = 2**20, 16, 4
"""A key file that asks for more is damaged: 2 GiB would be."""


def key_id(key: bytes) -> str:
    """What a key file is called in messages; says nothing about the key."""
    return _hkdf(key, b"", b"mtad 1 key id")[:8].hex()


def stretch(passphrase: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    """A key out of a passphrase (scrypt, RFC 7914). Raises Damaged for wild parameters."""
    if not (1 < n <= MAX_N and n & (n - 1) == 0 and 0 < r <= MAX_R and 0 < p <= MAX_P):
        raise Damaged("a passphrase's parameters are none that are written")
    return Scrypt(salt, KEY, n, r, p).derive(passphrase.encode())


def wrap(key: bytes, repository: bytes, nonce: bytes, rights: str, held: bytes) -> bytes:
    """What a key holds, readable with it alone, its rights authenticated."""
    cipher = AESGCM(_hkdf(key, repository, b"mtad 1 wrap"))
    return cipher.encrypt(nonce, held, rights.encode())


def unwrap(key: bytes, repository: bytes, nonce: bytes, rights: str, wrapped: bytes) -> bytes:
    """What a key holds. Raises Damaged when it was not wrapped with this key."""
    try:
        cipher = AESGCM(_hkdf(key, repository, b"mtad 1 wrap"))
        return cipher.decrypt(nonce, wrapped, rights.encode())
    except (InvalidTag, ValueError):
        raise Damaged("not wrapped with this key") from None
