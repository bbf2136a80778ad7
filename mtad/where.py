"""Where things are: the settings file, and everything below the data directory.

Imports nothing heavy, so that a command which only needs a socket's path starts at once.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtad.errors import ConfigError

ENVIRONMENT = "MTAD_CONFIG"
SYSTEM_FILE = Path("/etc/mtad/mtad.toml")
DEFAULT_DATA_DIR = "data"


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL database that keeps the directory and the log in place of files.

    ``url`` never holds a password. That is in ``password_file``, or where libpq looks for it.
    """

    url: str
    password_file: Path | None = None

    def __str__(self) -> str:
        return self.url


Kept = Path | Server
"""Where something is kept: in a file or folder, or on a server."""


@dataclass(frozen=True, slots=True)
class Places:
    """Every path below the data directory, the one home of the layout; and the database."""

    data: Path
    server: Server | None = None

    @property
    def state_db(self) -> Kept:
        """Domains, boxes, aliases, settings."""
        return self.server or self.state_file

    @property
    def state_file(self) -> Path:
        """The same in a file, whatever the settings say."""
        return self.data / "state.db"

    @property
    def log(self) -> Kept:
        """Month files of the event log."""
        return self.server or self.log_folder

    @property
    def log_folder(self) -> Path:
        """The same in files, whatever the settings say."""
        return self.data / "log"

    @property
    def journal(self) -> Path:
        """One folder of segments for each process that acknowledges anything."""
        return self.data / "journal"

    @property
    def content(self) -> Path:
        """Each delivered message once, as ``<month>/<m>``."""
        return self.data / "content"

    @property
    def boxes(self) -> Path:
        """``<domain>/<local part>/`` with ``Maildir/``, ``index.db`` and ``lock``."""
        return self.data / "boxes"

    @property
    def repository(self) -> Path:
        """The snapshot repository, unless the settings name another."""
        return self.data / "repository"

    @property
    def cache(self) -> Path:
        """What can always be rebuilt."""
        return self.data / "cache"

    @property
    def drop(self) -> Path:
        """Where local programs leave messages, unless the settings name another place."""
        return self.data / "drop"

    @property
    def auth_key(self) -> Path:
        """The server's own secret behind logins; losing it costs the secrets for CRAM-MD5."""
        return self.data / "auth.key"

    @property
    def attempts(self) -> Path:
        """Failed logins, bans and where people logged in from; losing it costs nothing."""
        return self.cache / "attempts.db"

    @property
    def audit(self) -> Path:
        """What the last audits found; losing it costs nothing."""
        return self.cache / "audit.json"

    @property
    def run(self) -> Path:
        """Sockets and pid files."""
        return self.data / "run"

    def socket(self, role: str) -> Path:
        """The control socket of a role (``log``, ``access``, ``mta``, ``jobs``)."""
        return self.run / f"{role}.sock"

    @property
    def doorbell(self) -> Path:
        """Datagram socket on which journals tell the log role that frames are durable."""
        return self.run / "doorbell.sock"


def settings_file(given: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The settings file: ``--config``, else MTAD_CONFIG, ./mtad.toml, /etc/mtad/mtad.toml.

    Raises ConfigError when there is none.
    """
    named = given or environ.get(ENVIRONMENT)
    if named:
        path = Path(named)
        if not path.is_file():
            raise ConfigError(f"there is no settings file {path}; 'mtad quickstart' makes one")
        return path
    for path in (Path("mtad.toml"), SYSTEM_FILE):
        if path.is_file():
            return path
    raise ConfigError(
        "no settings file: give --config FILE, set MTAD_CONFIG, or make one with "
        "'mtad quickstart you@example.org'"
    )


def read_toml(path: Path) -> dict[str, Any]:
    """The settings file's tables as they are written. Raises ConfigError with file and line."""
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (octet {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error


def places(path: Path, table: Mapping[str, Any] | None = None) -> Places:
    """The data directory a settings file names; relative names start at the file's folder."""
    written = (read_toml(path) if table is None else table).get("data_dir", DEFAULT_DATA_DIR)
    if not isinstance(written, str):
        raise ConfigError(f"{path}: data_dir: expected text, got {written!r}")
    return Places((path.resolve().parent / written).resolve(), _server(path, table))


def _server(path: Path, table: Mapping[str, Any] | None) -> Server | None:
    """The database server that the settings name, if they do; ``mtad.config`` checks them."""
    section = (read_toml(path) if table is None else table).get("database")
    url = section.get("url") if isinstance(section, Mapping) else None
    if not isinstance(url, str) or not url or not isinstance(section, Mapping):
        return None
    secret = section.get("password_file")
    beside = path.resolve().parent / secret if isinstance(secret, str) and secret else None
    return Server(url, beside)


def drop(path: Path, table: Mapping[str, Any]) -> Path:
    """Where local programs leave messages: ``submission.drop_dir``, else ``drop`` in the data."""
    section = table.get("submission")
    written = section.get("drop_dir") if isinstance(section, Mapping) else None
    if isinstance(written, str) and written:
        return (path.resolve().parent / written).resolve()
    return places(path, table).drop
