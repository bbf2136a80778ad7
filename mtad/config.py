"""What the operator decides: one frozen model, every setting with its description.

The sections about mail on its way are in ``mtad.config_mail``, those about reading it in
``mtad.config_access``. The settings file is TOML. All
of its problems are reported at once, each with the setting's dotted name and, for a name that
does not exist, the nearest one that does.
"""

import difflib
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from mtad import address, config_keep, config_schedule, where
from mtad.config_access import Access as Access
from mtad.config_access import Imap as Imap
from mtad.config_access import Pop3 as Pop3
from mtad.config_mail import Auth as Auth
from mtad.config_mail import Dkim as Dkim
from mtad.config_mail import Dns as Dns
from mtad.config_mail import Listen as Listen
from mtad.config_mail import Lmtp as Lmtp
from mtad.config_mail import Mechanism as Mechanism
from mtad.config_mail import Outbound as Outbound
from mtad.config_mail import Queue as Queue
from mtad.config_mail import Section as Section
from mtad.config_mail import Smtp as Smtp
from mtad.config_mail import Submission as Submission
from mtad.errors import ConfigError

_CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$"


class Tls(Section):
    """The certificate shown to peers and clients."""

    certificate: str = Field(
        "tls/certificate.pem", description="Certificate chain, PEM; relative to this file."
    )
    key: str = Field("tls/key.pem", description="Private key, PEM; relative to this file.")


class Journal(Section):
    """The append-only journal that makes a message ours before the 250."""

    segment_bytes: int = Field(
        16 * 2**20, ge=2**20, le=2**30, description="Size of one preallocated segment."
    )
    cap_bytes: int = Field(
        256 * 2**20, ge=4 * 2**20, description="Space for all segments of one process."
    )
    keep_seconds: int = Field(
        45, ge=0, description="Age of a segment before its files are synced and it is reused."
    )


class Store(Section):
    """Boxes and messages."""

    keep_deleted_days: int = Field(
        14, ge=0, description="Days for which a deleted message stays recoverable on disk."
    )


class Database(Section):
    """Where directory and event log are kept: in files, or in a PostgreSQL database."""

    url: str = Field(
        "",
        description="postgresql://USER@HOST/DATABASE, or postgresql:///DATABASE?host=FOLDER for "
        "its socket; empty: SQLite files below data_dir. Needs mtad[postgresql].",
    )
    password_file: str = Field(
        "",
        description="File with the password only; relative to this file. Empty: what libpq "
        "finds, PGPASSFILE or ~/.pgpass.",
    )

    @field_validator("url")
    @classmethod
    def _without_password(cls, given: str) -> str:
        if given:
            try:
                parts = urlsplit(given)
                secret = parts.password is not None or "password" in dict(parse_qsl(parts.query))
            except ValueError as error:
                raise ValueError(f"no address of a database: {error}") from error
            if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
                raise ValueError("expected postgresql://USER@HOST/DATABASE")
            if secret:
                raise ValueError("a password does not belong here: use database.password_file")
        return given


class Backup(Section):
    """Snapshots."""

    repository: str = Field(
        "repository",
        description="Folder of the snapshot repository, relative to data_dir; or "
        "sftp://user@host:port/folder, or s3://bucket/prefix.",
    )
    access_file: str = Field(
        "repository.access",
        description="What an sftp:// or s3:// repository asks for (identity_file, known_hosts, "
        "password; endpoint, region, access_key_id, secret_access_key); relative to this file, "
        "mode 0600.",
    )
    key_file: str = Field(
        "repository.key", description="The repository's key; relative to this file. Keep a copy."
    )
    daily_at: str = Field(
        "03:00",
        pattern=f"{_CLOCK}|^$",
        description="Local time of the daily snapshot of the whole server, HH:MM; empty for none.",
    )
    schedule: tuple[str, ...] = Field(
        (),
        description="Further snapshots, of all, a domain or a box, in local time: 'all: every 4 "
        "hours', 'alpha.example: daily at 12:30', 'anna@alpha.example: monday at 06:00', or with "
        "the five fields of cron, 'beta.example: */20 8-18 * * mon-fri'.",
    )
    keep: str = Field(
        "all",
        description="Which snapshots stay; the others are forgotten each night. 'all' keeps "
        "everything; 'last 7, daily 14, weekly 8, monthly 12, yearly 3' the last seven and the "
        "last of each of so many days, weeks, months and years (hourly too), 'within 30 days' "
        "every one of that time. A box's newest snapshot stays in any case.",
    )
    keep_for: tuple[str, ...] = Field(
        (),
        description="The same for one domain or one box, like 'alpha.example: daily 30' or "
        "'anna@alpha.example: all'.",
    )

    @field_validator("schedule")
    @classmethod
    def _schedules(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for line in given:
            config_schedule.parse_for(line)
        return given

    @field_validator("keep")
    @classmethod
    def _policy(cls, given: str) -> str:
        config_keep.parse(given)
        return given

    @field_validator("keep_for")
    @classmethod
    def _policies(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for line in given:
            config_keep.parse_for(line)
        return given


class Report(Section):
    """The daily summary of 'mtad report' by mail."""

    mail_to: tuple[str, ...] = Field((), description="Who gets it; empty for nobody.")
    daily_at: str = Field(
        "06:30",
        pattern=_CLOCK,
        description="Local time at which the day before is summed up, HH:MM.",
    )
    language: Literal["en", "ru"] = Field("en", description="What it is written in.")

    @field_validator("mail_to")
    @classmethod
    def _addresses(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for text in given:
            address.parse(text)
        return given


class Log(Section):
    """How long the event log keeps what; days count from the end of a month (UTC), 0 is for ever.

    'mtad log retention' does what is due and is run daily; 'mtad log months' shows what there is.
    """

    seal_after_days: int = Field(
        7, ge=1, description="Days until a month is compressed, once nothing in it waits."
    )
    keep_details_days: int = Field(
        395, ge=0, description="Days for which every event is kept: who said and did what, when."
    )
    keep_summaries_days: int = Field(
        1095, ge=0, description="Days for which messages and what became of them are kept."
    )

    @model_validator(mode="after")
    def _in_order(self) -> "Log":
        details, summaries = self.keep_details_days, self.keep_summaries_days
        if summaries and (not details or details > summaries):
            raise ValueError(
                f"keep_details_days is {details or 'for ever'}, and summaries go after {summaries}"
            )
        return self


class Metrics(Section):
    """Figures for Prometheus at http://ADDRESS:PORT/metrics. Rules and a dashboard: contrib/."""

    listen: str = Field("", description="Loopback ADDRESS:PORT, like 127.0.0.1:9125; empty: off.")

    @field_validator("listen")
    @classmethod
    def _loopback(cls, given: str) -> str:
        if given:
            host, _, port = given.rpartition(":")
            try:
                good = ipaddress.ip_address(host.strip("[]")).is_loopback and 0 < int(port) < 65536
            except ValueError:
                good = False
            if not good:
                raise ValueError(f"{given!r} is not ADDRESS:PORT on loopback, like 127.0.0.1:9125")
        return given


class Config(Section):
    """Everything the operator decides."""

    hostname: str = Field(description="This server's name, in greetings and Received lines.")
    data_dir: str = Field(
        where.DEFAULT_DATA_DIR,
        description="Mail, log, journals and snapshots; relative to this file.",
    )
    listen: Listen = Field(default_factory=Listen)
    smtp: Smtp = Field(default_factory=Smtp)
    lmtp: Lmtp = Field(default_factory=Lmtp)
    submission: Submission = Field(default_factory=Submission)
    access: Access = Field(default_factory=Access)
    imap: Imap = Field(default_factory=Imap)
    pop3: Pop3 = Field(default_factory=Pop3)
    auth: Auth = Field(default_factory=Auth)
    dkim: Dkim = Field(default_factory=Dkim)
    dns: Dns = Field(default_factory=Dns)
    outbound: Outbound = Field(default_factory=Outbound)
    queue: Queue = Field(default_factory=Queue)
    tls: Tls = Field(default_factory=Tls)
    journal: Journal = Field(default_factory=Journal)
    store: Store = Field(default_factory=Store)
    database: Database = Field(default_factory=Database)
    backup: Backup = Field(default_factory=Backup)
    report: Report = Field(default_factory=Report)
    log: Log = Field(default_factory=Log)
    metrics: Metrics = Field(default_factory=Metrics)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings with the file they came from, which relative names start at."""

    path: Path
    config: Config
    places: where.Places

    def beside(self, name: str) -> Path:
        """A file named in the settings, relative to the settings file."""
        return self.path.resolve().parent / name

    @property
    def repository(self) -> Path:
        """The snapshot repository, where the settings name a folder."""
        return self.places.data / self.config.backup.repository


def load(path: Path) -> Loaded:
    """Read and check a settings file. Raises ConfigError that lists every problem."""
    table = where.read_toml(path)
    try:
        config = Config.model_validate(_tuples(table))
    except ValidationError as error:
        lines = "\n".join(f"  {line}" for line in _problems(error, table))
        raise ConfigError(f"{path} has problems:\n{lines}") from None
    return Loaded(path, config, where.places(path, table))


def _tuples(value: Any) -> Any:
    """TOML arrays as tuples: the model is strict and frozen."""
    if isinstance(value, dict):
        return {key: _tuples(inner) for key, inner in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def settings(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting as (dotted name, pydantic FieldInfo), sections before their settings."""
    for name, field in model.model_fields.items():
        yield prefix + name, field
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings(field.annotation, f"{prefix}{name}.")


def _problems(error: ValidationError, table: Mapping[str, Any]) -> Iterator[str]:
    known = [name for name, _ in settings()]
    for problem in error.errors():
        name = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, known, 1) or [
                full
                for last in difflib.get_close_matches(
                    name.rpartition(".")[2], [full.rpartition(".")[2] for full in known], 1
                )
                for full in known
                if full.rpartition(".")[2] == last
            ]
            hint = f"; did you mean {near[0]}?" if near else ""
            yield f"{name}: no such setting{hint}"
        elif problem["type"] == "missing":
            yield f"{name}: required"
        else:
            said = problem["msg"].removeprefix("Value error, ")
            given = "" if name == "database.url" else f", got {problem['input']!r}"
            yield f"{name}: {said[:1].lower() + said[1:]}{given}"
