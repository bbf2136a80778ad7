"""A repository behind SFTP; the extra ``sftp`` brings the library.

A connection runs on a loop in a thread of its own; every call waits for a bounded time, and is
repeated on a new connection after a loss. A file is sent under ``tmp/``, synced where the
server can (fsync@openssh.com), and renamed over its name; sent again after a loss it overwrites
itself. Folders cannot be synced through SFTP: that is the server's affair.
"""

import asyncio
import errno
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TypeVar

import asyncssh
from asyncssh import SFTPClient

from backup.access import Access
from backup.places import STALE_SECONDS, Away, Storage
from backup.spool import CHUNK, Spooled

CONNECT_SECONDS = 20.0
CALL_SECONDS = 60.0
"""For one file operation, or a chunk of a transfer."""
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each repetition after a lost connection."""
_FOLDERS = ("", "keys", "packs", "index", "snapshots", "locks", "tmp")

T = TypeVar("T")


class _Lost(Exception):
    """The connection is gone; what was asked for may or may not have happened."""


class Sftp(Storage):
    """A folder on an SFTP server. Raises Away where it cannot be reached."""

    def __init__(self, host: str, port: int, user: str, root: str, access: Access) -> None:
        super().__init__()
        login = f"{user}@" if user else ""
        self.shown = f"sftp://{login}{host}{f':{port}' if port != 22 else ''}{root}"
        self._where = (host, port, user)
        self._root = root.rstrip("/").encode()
        self._access = access
        self._connection: asyncssh.SSHClientConnection | None = None
        self._client: SFTPClient | None = None
        self._made: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sftp", daemon=True)
        self._thread.start()
        self._one = threading.Lock()
        """Held while a connection is made or dropped."""
        try:
            self._again(lambda: self._ask(_nothing))
        except BaseException:
            self.close()
            raise

    # --------------------------------------------------------------- connection

    def _path(self, name: str) -> bytes:
        return self._root + (b"/" + name.encode() if name else b"")

    def _run(self, waiting: Awaitable[T], seconds: float) -> T:
        async def bounded() -> T:
            return await asyncio.wait_for(waiting, seconds)

        return asyncio.run_coroutine_threadsafe(bounded(), self._loop).result()

    def _connected(self) -> SFTPClient:
        with self._one:
            if self._client is None:
                host, port, user = self._where
                options = {
                    "username": user or (),
                    "client_keys": self._access.identity_file or (),
                    "password": self._access.password or None,
                    "known_hosts": self._access.known_hosts or (),
                    "connect_timeout": CONNECT_SECONDS,
                    "keepalive_interval": 15,
                    "config": None if self._access.identity_file else (),
                }
                connecting = asyncssh.connect(host, port, **options)
                self._connection = self._run(connecting, CONNECT_SECONDS)
                self._client = self._run(self._connection.start_sftp_client(), CALL_SECONDS)
            return self._client

    def _drop(self) -> None:
        with self._one:
            connection, self._connection, self._client = self._connection, None, None
        if connection is not None:
            self._loop.call_soon_threadsafe(connection.abort)

    def _ask(self, ask: Callable[[SFTPClient], Awaitable[T]]) -> T:
        with _plain(self.shown):
            return self._run(ask(self._connected()), CALL_SECONDS)

    def _again(self, attempt: Callable[[], T]) -> T:
        """An attempt, repeated after a loss. Raises Away after the last, else as it does."""
        for pause in (*PAUSES, None):
            try:
                return attempt()
            except _Lost as error:
                self._drop()
                if pause is None:
                    text = f"cannot reach {self.shown}: {error}"
                    raise Away(errno.ETIMEDOUT, text) from error
                time.sleep(pause)
        raise AssertionError("unreachable")

    def _call(self, ask: Callable[[SFTPClient], Awaitable[T]]) -> T:
        return self._again(lambda: self._ask(ask))

    def close(self) -> None:
        """End the connection, its loop and thread."""
        if self._loop.is_closed():
            return
        connection, self._connection, self._client = self._connection, None, None
        if connection is not None:
            connection_gone = connection
            with suppress(Exception):
                self._loop.call_soon_threadsafe(connection_gone.close)
                self._run(connection_gone.wait_closed(), 5.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    # -------------------------------------------------------------------- files

    def make(self) -> None:
        """Create the folders of an empty repository."""
        for name in _FOLDERS:
            self.step("folder")
            self._folder(name)

    def _folder(self, name: str) -> None:
        if name in self._made:
            return
        attrs = asyncssh.SFTPAttrs(permissions=0o700)
        self._call(lambda client: client.makedirs(self._path(name), attrs, exist_ok=True))
        self._made.add(name)

    def begin(self) -> Spooled:
        """Begin a file; it is sent when it is finished."""
        return Spooled(self, self._send)

    def _send(self, name: str, file: IO[bytes]) -> None:
        self._folder("tmp")
        self._folder(name.rpartition("/")[0])
        draft = self._path(f"tmp/{secrets.token_hex(12)}")
        try:
            self._again(lambda: self._send_once(draft, self._path(name), file))
        except BaseException:
            with suppress(OSError, _Lost):
                self._ask(lambda client: client.remove(draft))
            raise

    def _send_once(self, draft: bytes, name: bytes, file: IO[bytes]) -> None:
        file.seek(0)
        target = self._ask(lambda client: client.open(draft, "wb"))
        offset = 0
        while chunk := file.read(CHUNK):
            self.pace(len(chunk))
            self._ask(lambda _, chunk=chunk, at=offset: target.write(chunk, at))  # type: ignore[misc]
            offset += len(chunk)
        with suppress(_Unsupported):
            self._ask(lambda _: target.fsync())
        self._ask(lambda _: target.close())
        self._ask(lambda client: client.posix_rename(draft, name))

    def get(self, name: str) -> bytes:
        """A whole file."""
        return self.read(name, 0, self.size(name))

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Part of a file, asked for in chunks, so that a slow line is not taken for a lost one."""
        return self._again(lambda: self._read_once(self._path(name), offset, length))

    def _read_once(self, path: bytes, offset: int, length: int) -> bytes:
        file = self._ask(lambda client: client.open(path, "rb"))
        data = bytearray()
        try:
            while left := min(CHUNK, length - len(data)):
                at = offset + len(data)
                more = self._ask(lambda _, n=left, at=at: file.read(n, at))  # type: ignore[misc]
                if not more:
                    break
                data += more if isinstance(more, bytes) else more.encode()
        finally:
            with suppress(OSError, _Lost):
                self._ask(lambda _: file.close())
        return bytes(data)

    def size(self, name: str) -> int:
        """Octets in a file."""
        found = self._call(lambda client: client.stat(self._path(name)))
        return found.size or 0

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return self._call(lambda client: client.isfile(self._path(name)))

    def names(self, below: str) -> list[str]:
        """File names directly in a folder."""
        try:
            found = self._call(lambda client: client.listdir(self._path(below)))
        except FileNotFoundError:
            return []
        names = [name.decode("utf-8", "surrogateescape") for name in found]
        return sorted(name for name in names if name not in (".", ".."))

    def remove(self, name: str) -> None:
        """Remove a file."""
        self.step("remove")
        with suppress(FileNotFoundError):
            self._call(lambda client: client.remove(self._path(name)))

    def modified(self, name: str) -> float:
        """When a file was written, by the server's clock."""
        found = self._call(lambda client: client.stat(self._path(name)))
        return float(found.mtime or 0)

    def sweep(self) -> None:
        """Remove what dead runs left under ``tmp/``."""
        for name in self.names("tmp"):
            with suppress(FileNotFoundError):
                if self.modified(f"tmp/{name}") < time.time() - STALE_SECONDS:
                    self.remove(f"tmp/{name}")


class _Unsupported(OSError):
    """The server does not know how."""


async def _nothing(client: SFTPClient) -> None:
    """What is asked to see whether there is a connection."""


@contextmanager
def _plain(shown: str) -> Iterator[None]:
    """The library's errors as OSError, with words for people; a lost connection as _Lost."""
    try:
        yield
    except asyncssh.SFTPNoSuchFile as error:
        raise FileNotFoundError(errno.ENOENT, f"{shown}: {error.reason}") from error
    except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection) as error:
        raise _Lost(error.reason) from error
    except asyncssh.SFTPOpUnsupported as error:
        raise _Unsupported(errno.ENOTSUP, f"{shown}: {error.reason}") from error
    except asyncssh.SFTPPermissionDenied as error:
        raise PermissionError(errno.EACCES, f"{shown}: {error.reason}") from error
    except asyncssh.SFTPError as error:
        raise OSError(errno.EIO, f"{shown}: {error.reason}") from error
    except asyncssh.HostKeyNotVerifiable as error:
        raise Away(
            errno.EACCES,
            f"{shown}: the server's key is not known: {error.reason}; get it with ssh-keyscan, "
            "compare it with the server's, and name the file as known_hosts in "
            "backup.access_file",
        ) from error
    except asyncssh.PermissionDenied as error:
        raise Away(
            errno.EACCES,
            f"{shown}: the server refuses the login: {error.reason}; see identity_file in "
            "backup.access_file",
        ) from error
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise Away(errno.EACCES, f"{shown}: identity_file cannot be used: {error}") from error
    except asyncssh.Error as error:
        raise _Lost(error.reason) from error
    except TimeoutError as error:
        raise _Lost("no answer in time") from error
    except OSError as error:
        raise _Lost(error.strerror or str(error)) from error
