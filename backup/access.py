"""Where a repository is, and what its place asks for: one file of secrets beside the settings."""

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backup.places import Folder, Storage
from mtad import where
from mtad.errors import ConfigError, NotPermitted

if TYPE_CHECKING:
    from mtad.config import Loaded

SCHEMES = ("sftp", "s3")


class Access(BaseModel):
    """What an SFTP server or a bucket wants to know of whoever comes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity_file: str = Field("", description="SSH private key without a passphrase.")
    known_hosts: str = Field("", description="Host keys of the SFTP server, in OpenSSH's form.")
    password: str = Field("", description="Password for SFTP; a key is better.", repr=False)
    endpoint: str = Field("", description="URL of the S3 service; empty for Amazon's.")
    region: str = Field("", description="Region of the bucket.")
    access_key_id: str = Field("", description="Name of the S3 key.", repr=False)
    secret_access_key: str = Field("", description="Secret of the S3 key.", repr=False)
    session_token: str = Field("", description="Token of a temporary S3 key.", repr=False)


def is_remote(where_: str) -> bool:
    """Whether a repository's name is an address elsewhere, not a folder."""
    return "://" in where_


def read(path: Path) -> Access:
    """The access file; what it does not say comes from SSH's own files or AWS's variables.

    Raises ConfigError, or NotPermitted when others may read it.
    """
    if not path.exists():
        return Access()
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise NotPermitted(f"{path} can be read by others; 'chmod 600 {path}'")
    table = where.read_toml(path)
    try:
        access = Access.model_validate(table)
    except ValidationError as error:
        names = ", ".join(Access.model_fields)
        wrong = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
        raise ConfigError(f"{path}: cannot use {wrong}; it may hold {names}") from None
    beside = {
        name: str(path.resolve().parent / value)
        for name in ("identity_file", "known_hosts")
        if (value := getattr(access, name))
    }
    return access.model_copy(update=beside)


def open_storage(name: str, base: Path, access: Access) -> Storage:
    """The place with this name: a folder relative to ``base``, ``sftp://`` or ``s3://``.

    Raises ConfigError for an address that is none, Away where nobody answers.
    """
    if not is_remote(name):
        return Folder(base / name)
    url = urlsplit(name)
    if url.scheme not in SCHEMES:
        known = " and ".join(f"{each}://" for each in SCHEMES)
        raise ConfigError(f"{name!r} is neither a folder nor one of {known}")
    try:
        port = url.port
    except ValueError:
        raise ConfigError(f"{name}: the port is no number") from None
    if not url.hostname or url.password or url.query or url.fragment:
        raise ConfigError(f"{name!r} is no address like {_LIKE[url.scheme]}")
    try:
        if url.scheme == "s3":
            from backup.bucket import Bucket  # noqa: PLC0415 - an extra

            return Bucket(url.netloc, url.path.strip("/"), access)
        from backup.sftp import Sftp  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise ConfigError(
            f"{url.scheme}:// needs a library more: install mtad[{url.scheme}]"
        ) from None
    if not url.path.strip("/"):
        raise ConfigError(f"{name!r} names no folder; say it like {_LIKE['sftp']}")
    return Sftp(url.hostname, port or 22, unquote(url.username or ""), unquote(url.path), access)


_LIKE = {"sftp": "sftp://user@host:22/folder", "s3": "s3://bucket/prefix"}


def repository_of(loaded: "Loaded") -> Storage:
    """The place of the repository that the settings name. Raises ConfigError, Away."""
    backup = loaded.config.backup
    if not is_remote(backup.repository):
        return Folder(loaded.repository)
    access = read(loaded.beside(backup.access_file))
    return open_storage(backup.repository, Path(os.curdir), access)
