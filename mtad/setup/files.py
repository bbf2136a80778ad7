"""The files a server starts with: certificate, keys, settings, and a stage to make them on.

Secrets are written with mode 0600 in folders of mode 0700. ``Stage`` gives all or nothing: what
was made appears in its place only when everything was made, and else nothing is left.
"""

import contextlib
import datetime
import ipaddress
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mtad import clock
from mtad.errors import MtadError

CERTIFICATE_DAYS = 3650
"""A self-signed certificate is replaced by hand, so it lasts."""
MAX_COMMON_NAME = 64
"""Characters of a common name (RFC 5280 A.1); the names that count are the alternative ones."""


@contextlib.contextmanager
def stage(folder: Path, last: str) -> Iterator[Path]:
    """A private folder whose content moves into ``folder`` when the block ends well.

    ``folder`` is made if it is missing and must be empty. The entry called ``last`` moves
    last, so that where it is, all is. When the block or the moving fails, everything made is
    removed again, ``folder`` and its parents too if they were made here.

    Raises MtadError where the folder has something in it or cannot be used.
    """
    folder = folder.absolute()
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    moved: list[Path] = []
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise MtadError(f"{folder} is not empty; name another with --dir")
        sync_folder(folder.parent)
        place = Path(tempfile.mkdtemp(prefix=".quickstart-", dir=folder))
        try:
            yield place
            entries = sorted(place.iterdir(), key=lambda entry: entry.name == last)
            for entry in entries:
                moved.append(folder / entry.name)
                entry.rename(folder / entry.name)
                sync_folder(folder)
            place.rmdir()
        except BaseException:
            for path in moved:
                _remove(path)
            shutil.rmtree(place, ignore_errors=True)
            raise
    except BaseException as error:
        for path in missing:
            with contextlib.suppress(OSError):
                path.rmdir()
        if isinstance(error, OSError):
            where = error.filename or folder
            raise MtadError(f"cannot make {where}: {error.strerror or error}") from error
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write(path: Path, data: bytes) -> None:
    """A file of mode 0600, synced, in a folder of mode 0700 made if it is missing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(number, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def certificate(hostname: str, *, local: bool) -> tuple[bytes, bytes]:
    """A self-signed certificate and its key, both PEM; ``local`` adds the loopback names."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:MAX_COMMON_NAME])])
    names: list[x509.GeneralName] = [x509.DNSName(hostname)]
    if local:
        names += [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
    now = clock.now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM), _private(key)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
