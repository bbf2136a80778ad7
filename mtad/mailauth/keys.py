"""DKIM keys: made, written for their owner alone, read, and told as DNS has them.

A key is ``dkim/<domain>.<selector>.pem`` beside the settings file. It is written and synced
before the directory names it, so that there is no key in force without its file.
"""

import base64
import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from mtad.errors import MtadError
from mtad.journal import disk
from mtad.mailauth.dkim_sign import ED25519, RSA
from mtad.zone import Record, text

ALGORITHMS = (RSA, ED25519)
"""What a domain signs with: RSA is verified everywhere, Ed25519 is short (RFC 8463)."""
LETTERS = {RSA: "m", ED25519: "e"}
"""What a selector made here begins with; the day follows."""
RSA_BITS = 2048
"""RFC 8301 3.2: signers use at least 2048 bits. Longer keys do not fit one UDP answer."""

Private = RSAPrivateKey | Ed25519PrivateKey


def file_of(domain: str, selector: str) -> str:
    """Where a key lies, relative to the settings file."""
    return f"dkim/{domain}.{selector}.pem"


def generate(algorithm: str) -> Private:
    """A fresh key; an RSA key takes some 100 ms."""
    if algorithm == ED25519:
        return Ed25519PrivateKey.generate()
    return generate_private_key(public_exponent=65537, key_size=RSA_BITS)


def record(domain: str, selector: str, key: Private) -> Record:
    """What to publish of a key (RFC 6376 3.6.1, RFC 8463 4)."""
    public = key.public_key()
    if isinstance(key, RSAPrivateKey):
        kind, form = "rsa", serialization.PublicFormat.SubjectPublicKeyInfo
        octets = public.public_bytes(serialization.Encoding.DER, form)
    else:
        kind, form = "ed25519", serialization.PublicFormat.Raw
        octets = public.public_bytes(serialization.Encoding.Raw, form)
    value = f"v=DKIM1; k={kind}; p={base64.b64encode(octets).decode('ascii')}"
    return Record(f"{selector}._domainkey.{domain}.", "TXT", text(value))


def write(path: Path, key: Private) -> None:
    """Write a key durably with mode 0600, for the owner of its folder, or nothing at all.

    Raises OSError, FileExistsError where there is one.
    """
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    disk.make_folder(path.parent, 0o700)
    fd = disk.open_(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.fchown(fd, owner.st_uid, owner.st_gid)
        disk.write_all(fd, pem)
        disk.fsync(fd)
    except BaseException:
        disk.unlink(path)
        raise
    finally:
        disk.close(fd)
    disk.sync_path(path.parent)


def read(path: Path) -> Private:
    """The key in a file. Raises MtadError that says why not."""
    try:
        # A key of our own needs no proof that it is a good one, which takes tens of milliseconds.
        key = serialization.load_pem_private_key(
            path.read_bytes(), None, unsafe_skip_rsa_key_validation=True
        )
    except OSError as error:
        raise MtadError(f"cannot read the DKIM key {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise MtadError(f"{path} is not a private key without a password") from error
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise MtadError(f"{path} is neither an RSA nor an Ed25519 key")
    return key
