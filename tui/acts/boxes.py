"""What can be done to domains and boxes."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mtad import db
from mtad.cli_options import administrator
from mtad.errors import UsageError
from tui.formats import number, size
from tui.lang import _

if TYPE_CHECKING:
    from mtad.config import Loaded
    from mtad.directory.credential_changes import CredentialChanges


def add_domain(loaded: "Loaded", name: str) -> str:
    """Take mail for a domain; says what was done. Raises MtadError."""
    with _changing(loaded) as changes:
        return _("domain {} added").format(changes.add_domain(name))


def add_box(loaded: "Loaded", address: str, password: str) -> tuple[str, str]:
    """Make a box: its address, and its password where that was made up. Raises MtadError."""
    from mtad.directory import passwords  # noqa: PLC0415 - slow to load

    made = "" if password else passwords.generate()
    with _changing(loaded) as changes:
        return str(changes.add_box(address, password or made)), made


def add_alias(loaded: "Loaded", address: str, targets: str) -> str:
    """Let an address lead to others; says what was done. Raises MtadError."""
    with _changing(loaded) as changes:
        alias, wanted = changes.add_alias(address, targets.replace(",", " ").split())
    return _("{} leads to {}").format(alias, ", ".join(wanted))


def set_password(loaded: "Loaded", address: str, password: str) -> str:
    """Give a box another password; returns it where it was made up. Raises MtadError."""
    from mtad.directory import passwords  # noqa: PLC0415 - slow to load

    made = "" if password else passwords.generate()
    with _changing(loaded) as changes:
        changes.set_password(address, password or made)
    return made


def lock(loaded: "Loaded", address: str, locked: bool) -> str:
    """Let a box log in no more, or again; says what was done. Raises MtadError."""
    with _changing(loaded) as changes:
        changes.lock(address, locked=locked)
    told = _("{} may log in no more") if locked else _("{} may log in again")
    return told.format(address)


def set_quota(loaded: "Loaded", address: str, octets: str, messages: str) -> str:
    """Say how much a box may hold, in words like ``5G``; says what it may. Raises MtadError."""
    from mtad.boxes import octets_of  # noqa: PLC0415 - slow to load

    if not messages.isdecimal():
        raise UsageError(_("{!r} is no number of messages").format(messages))
    limit, most = octets_of(octets.strip()), int(messages)
    with _changing(loaded) as changes:
        changes.set_quota(address, limit, most)
    words = size(limit) if limit else _("any size")
    return _("{} may hold {}, messages: {}").format(
        address, words, number(most) if most else _("any number")
    )


def forward(loaded: "Loaded", address: str, targets: str, keep: bool) -> str:
    """Pass the mail of a box on, or with no targets no more. Raises MtadError."""
    with _changing(loaded) as changes:
        wanted = changes.set_forward(address, targets.replace(",", " ").split(), keep=keep)
    if not wanted:
        return _("mail of {} is not passed on").format(address)
    return _("mail of {} is passed on to {}").format(address, ", ".join(wanted))


@contextlib.contextmanager
def _changing(loaded: "Loaded") -> Iterator["CredentialChanges"]:
    """The means to change the directory, as the commands have them."""
    from mtad.directory.credential_changes import CredentialChanges  # noqa: PLC0415 - slow
    from mtad.journal.command import command_journal  # noqa: PLC0415

    db.check(loaded.places.state_db, db.STATE)
    with command_journal(loaded.places) as journal:
        yield CredentialChanges(loaded.places.state_db, journal, administrator())
