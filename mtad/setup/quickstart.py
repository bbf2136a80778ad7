"""Everything a server needs, made in one folder: settings, database, keys, the first box.

All or nothing: it is built beside its place and moves there when it is whole (``files.stage``).
"""

import os
from dataclasses import dataclass
from pathlib import Path

from backup import repository
from backup.places import Folder
from mtad import clock, config, db, where
from mtad.address import domain as normal_domain
from mtad.cli_options import administrator
from mtad.directory import passwords
from mtad.directory.changes import parse_address
from mtad.directory.key_changes import KeyChanges
from mtad.directory.lookup import POSTMASTER
from mtad.errors import UsageError
from mtad.journal.command import command_journal
from mtad.mailauth import rotation
from mtad.setup import annotated, dns, files, ports
from mtad.zone import Record

SETTINGS = "mtad.toml"
DEFAULT_FOLDER = Path("mtad-data")


@dataclass(frozen=True, slots=True)
class Made:
    """What was made, and what its owner needs to know; the password is told only here."""

    config: Path
    hostname: str
    domain: str
    address: str
    password: str
    ports: dict[str, int]
    dns: list[Record]


def create(
    address: str,
    folder: Path = DEFAULT_FOLDER,
    *,
    hostname: str | None = None,
    local: bool = False,
    first_port: int | None = None,
) -> Made:
    """Make a server in ``folder``, which must be empty or missing, with ``address`` as first box.

    ``local`` makes one that listens on the loopback only, on high ports that are free now.
    Raises UsageError for a malformed name, MtadError when the folder is in use or anything
    fails; then nothing is left behind.
    """
    owner = parse_address(address)
    if owner.local == POSTMASTER:
        raise UsageError(
            "postmaster becomes an alias of your box; give another address, like you@example.org"
        )
    host = _hostname(hostname or f"mail.{owner.domain}")
    chosen = ports.choose(first_port) if local else None
    settings = _settings(host, chosen)
    password = passwords.generate()
    mask = os.umask(0o077)
    try:
        with files.stage(folder, last=SETTINGS) as place:
            _certificate(place, host, local=local)
            text = annotated.toml(settings, defaults_as_comments=True)
            files.write(place / SETTINGS, text.encode())
            loaded = config.load(place / SETTINGS)
            _data(loaded.places)
            with command_journal(loaded.places) as journal:
                changes = KeyChanges(loaded.places.state_db, journal, administrator())
                changes.add_domain(owner.domain)
                made = rotation.rotate(
                    loaded, changes, owner.domain, (), signs_from=clock.now_us(), over=0
                )
                changes.add_box(str(owner), password)
                postmaster = f"{POSTMASTER}@{owner.domain}"
                changes.add_alias(postmaster, [str(owner)])
                changes.set_postmaster(postmaster)
            snapshots = Folder(loaded.repository)
            repository.create(snapshots, loaded.beside(settings.backup.key_file))
            dkim = [rotation.record(loaded, owner.domain, name) for name in made.made]
    finally:
        os.umask(mask)
    return Made(
        config=folder.absolute() / SETTINGS,
        hostname=host,
        domain=owner.domain,
        address=str(owner),
        password=password,
        ports=chosen or _ports(settings.listen),
        dns=dns.records(owner.domain, host, dkim),
    )


def _hostname(text: str) -> str:
    try:
        return normal_domain(text)
    except ValueError as error:
        raise UsageError(f"--hostname: {error}") from error


def _settings(hostname: str, chosen: dict[str, int] | None) -> config.Config:
    """The settings, everything at its default but the name and, on the loopback, the ports."""
    listen = config.Listen()
    if chosen is not None:
        endpoints = {name: (f"{ports.LOOPBACK}:{port}",) for name, port in chosen.items()}
        listen = config.Listen(**endpoints)
    return config.Config(hostname=hostname, listen=listen)


def _ports(listen: config.Listen) -> dict[str, int]:
    return {service: int(getattr(listen, service)[0].rpartition(":")[2]) for service in ports.NEAR}


def _certificate(place: Path, hostname: str, *, local: bool) -> None:
    """Certificate and TLS key."""
    tls = config.Tls()
    certificate, key = files.certificate(hostname, local=local)
    files.write(place / tls.certificate, certificate)
    files.write(place / tls.key, key)


def _data(places: where.Places) -> None:
    """The data directory with an up-to-date database and no mail."""
    folders = [places.data, places.boxes, places.content, places.journal]
    for path in (*folders, places.log_folder):
        path.mkdir(mode=0o700)
    places.run.mkdir(mode=0o700)
    db.upgrade_state(places.state_db)
