"""A repository in an S3 bucket; the extra ``s3`` brings the library.

An object appears whole or not at all, so nothing is written under another name first. Requests
are repeated by the library, within bounds. Nothing but the locks is ever overwritten, and
nothing needs the right to delete but prune.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import IO
from urllib.parse import urlsplit

import obstore
from obstore import exceptions
from obstore.store import S3Store

from backup.access import Access
from backup.places import HASH, Away, Storage
from backup.spool import CHUNK, Spooled

CONNECT = timedelta(seconds=10)
REQUEST = timedelta(seconds=120)
"""For one request, which carries at most PART octets."""
RETRIES = 6
RETRYING = timedelta(seconds=180)
PART = 8 * 2**20


class Bucket(Storage):
    """Objects below a prefix of a bucket. Raises Away where it cannot be reached."""

    def __init__(self, bucket: str, prefix: str, access: Access) -> None:
        super().__init__()
        self.shown = f"s3://{bucket}/{prefix}".rstrip("/")
        self._below = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        given = {
            "endpoint": access.endpoint,
            "region": access.region,
            "access_key_id": access.access_key_id,
            "secret_access_key": access.secret_access_key,
            "session_token": access.session_token,
        }
        self._store = S3Store(
            bucket,
            config={name: value for name, value in given.items() if value},  # type: ignore[arg-type]
            client_options={
                "connect_timeout": CONNECT,
                "timeout": REQUEST,
                "allow_http": urlsplit(access.endpoint).scheme == "http",
            },
            retry_config={"max_retries": RETRIES, "retry_timeout": RETRYING},
        )

    def make(self) -> None:
        """A bucket needs no folders; it must be there."""

    def begin(self) -> Spooled:
        """Begin an object; it is sent when it is finished."""
        return Spooled(self, self._send)

    def _send(self, name: str, file: IO[bytes]) -> None:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if size <= PART:
            self._put(name, file.read())
            return
        with self._plain():
            obstore.put(self._store, self._below + name, self._paced(file), chunk_size=PART)

    def _paced(self, file: IO[bytes]) -> Iterator[bytes]:
        while chunk := file.read(CHUNK):
            self.pace(len(chunk))
            yield chunk

    def put(self, name: str, data: bytes) -> None:
        """Write a small object."""
        self.step("send")
        self._put(name, data)

    def _put(self, name: str, data: bytes) -> None:
        """Write an object in one request."""
        self.pace(len(data))
        with self._plain():
            obstore.put(self._store, self._below + name, data, use_multipart=False)

    def get(self, name: str) -> bytes:
        """A whole object; a large one in parts."""
        with self._plain():
            found = obstore.get(self._store, self._below + name)
            size = found.meta["size"]
            if size <= PART:
                return bytes(found.bytes())
        return self._parts(name, 0, size)

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Part of an object."""
        return self._parts(name, offset, min(offset + length, self.size(name)))

    def _parts(self, name: str, start: int, end: int) -> bytes:
        """What lies between two places, a request for each PART."""
        path, data = self._below + name, bytearray()
        for at in range(start, end, PART):
            length = min(PART, end - at)
            with self._plain():
                data += obstore.get_range(self._store, path, start=at, length=length)
        return bytes(data)

    def size(self, name: str) -> int:
        """Octets in an object."""
        with self._plain():
            return obstore.head(self._store, self._below + name)["size"]

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        try:
            self.size(name)
        except FileNotFoundError:
            return False
        return True

    def names(self, below: str) -> list[str]:
        """Names directly below a prefix."""
        start = self._below + below
        with self._plain():
            found = obstore.list_with_delimiter(self._store, start)
        paths = [each["path"] for each in found["objects"]] + list(found["common_prefixes"])
        return sorted(path.rstrip("/").rpartition("/")[2] for path in paths)

    def packs(self) -> Iterator[str]:
        """The name of every pack, a thousand with each request."""
        with self._plain():
            for some in obstore.list(self._store, f"{self._below}packs", chunk_size=1000):
                names = (each["path"].rpartition("/")[2] for each in some)
                yield from (name for name in names if HASH.fullmatch(name))

    def remove(self, name: str) -> None:
        """Remove an object."""
        self.step("remove")
        try:
            with self._plain():
                obstore.delete(self._store, self._below + name)
        except FileNotFoundError:
            return

    def modified(self, name: str) -> float:
        """When an object was written, by the server's clock."""
        with self._plain():
            return obstore.head(self._store, self._below + name)["last_modified"].timestamp()

    @contextmanager
    def _plain(self) -> Iterator[None]:
        """The library's errors as OSError, with words for people."""
        try:
            yield
        except (exceptions.NotFoundError, FileNotFoundError) as error:
            if "NoSuchBucket" in str(error):
                text = f"there is no bucket for {self.shown}: make it first"
                raise Away(errno.ENOENT, text) from error
            raise FileNotFoundError(errno.ENOENT, f"{self.shown}: no such object") from error
        except exceptions.UnauthenticatedError as error:
            text = f"{self.shown} does not accept access_key_id and secret_access_key"
            raise Away(errno.EACCES, f"{text}; see backup.access_file") from error
        except (exceptions.PermissionDeniedError, PermissionError) as error:
            if "InvalidAccessKeyId" in str(error) or "SignatureDoesNotMatch" in str(error):
                text = f"{self.shown} does not accept access_key_id and secret_access_key"
                raise Away(errno.EACCES, f"{text}; see backup.access_file") from error
            raise PermissionError(errno.EACCES, f"{self.shown} refuses this") from error
        except exceptions.BaseError as error:
            text = f"cannot reach {self.shown}: {_short(error)}"
            raise Away(errno.EIO, text) from error


def _short(error: Exception) -> str:
    """The first words of an error that would fill a screen."""
    return " ".join(str(error).split())[:200]
