"""Databases: how they are opened, and how they grow by Alembic revisions.

Two kinds: ``state.db`` (branch ``state``) and the month files of the log (branch ``log``); on a
PostgreSQL server the schemas ``mtad`` and ``log``.
Migrating is one transaction: it happens whole or not at all.
"""

import sqlite3
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import event

from mtad import postgresql
from mtad.errors import Corrupt, MtadError
from mtad.where import Kept

STATE = "state"
LOG = "log"
BRANCHES = (STATE, LOG)

BUSY_SECONDS = 10
"""How long a statement waits for another process's transaction."""

_INSTALLED = Path(__file__).with_name("_migrations")
_IN_SOURCES = Path(__file__).parent.parent / "migrations"


class NewerVersion(MtadError):
    """A database was migrated by a later version of mtad than this one."""

    def __init__(self, file: Kept, revision: str) -> None:
        super().__init__(
            f"the database {file} is from a newer version of mtad (revision {revision}); "
            "upgrade mtad"
        )


def engine(file: Kept, *, read_only: bool = False) -> sa.Engine:
    """An engine for a database in WAL mode with foreign keys enforced, or for a server's.

    Transactions begin with the first statement and take the write lock with the first write.
    ``read_only`` opens the file without making it.
    """
    if not isinstance(file, Path):
        return postgresql.engine(file)
    mode = "ro" if read_only else "rwc"
    quoted = str(file.resolve()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quoted}?mode={mode}", uri=True, timeout=BUSY_SECONDS, check_same_thread=False
        )

    made = sa.create_engine("sqlite://", creator=connect, poolclass=sa.QueuePool)

    @event.listens_for(made, "connect")
    def prepare(link: sqlite3.Connection, _: object) -> None:
        if not read_only:
            link.execute("PRAGMA journal_mode=WAL")
        link.execute("PRAGMA synchronous=FULL")
        link.execute("PRAGMA foreign_keys=ON")

    return made


def revision(file: Kept) -> str:
    """The revision a database is at, "" when it has none. Raises Corrupt, Unreachable."""
    if isinstance(file, Path) and not file.is_file():
        return ""
    made = engine(file, read_only=True)
    try:
        with made.connect() as link:
            if not sa.inspect(link).has_table("alembic_version"):
                return ""
            found = link.exec_driver_sql("SELECT version_num FROM alembic_version").first()
            return str(found[0]) if found else ""
    except sa.exc.DatabaseError as error:
        raise Corrupt(f"{file} is not a database of mtad: {error.orig}") from error
    finally:
        made.dispose()


def head(branch: str) -> str:
    """The revision this version of mtad brings a branch to."""
    return str(ScriptDirectory.from_config(config(branch)).get_current_head())


def check(file: Kept, branch: str) -> None:
    """Make sure this version may use a database.

    Raises NewerVersion for a revision it does not know, MtadError for one it has yet to
    migrate, Corrupt for a file that is no database.
    """
    found = revision(file)
    known = {one.revision for one in ScriptDirectory.from_config(config(branch)).walk_revisions()}
    if found and found not in known:
        raise NewerVersion(file, found)
    if found != head(branch):
        raise MtadError(f"the database {file} is not up to date; 'mtad serve' brings it there")


def upgrade_state(file: Kept) -> None:
    """Make the tables of the directory, or bring them to this version.

    Raises NewerVersion, Corrupt, and for a server what ``postgresql.connect`` does.
    """
    upgrade(file, STATE)


def upgrade(file: Kept, branch: str, to: str = "head") -> None:
    """Bring a database to a revision of a branch in one transaction."""
    _migrate(file, branch, to, command.upgrade)


def downgrade(file: Kept, branch: str, to: str = "base") -> None:
    """Take a database back to an earlier revision of a branch in one transaction."""
    _migrate(file, branch, to, command.downgrade)


def config(branch: str, link: sa.Connection | None = None) -> Config:
    """What Alembic needs to know to work on one branch."""
    root = _INSTALLED if _INSTALLED.is_dir() else _IN_SOURCES
    made = Config()
    made.set_main_option("script_location", str(root).replace("%", "%%"))
    versions = str(root / branch / "versions").replace("%", "%%")
    made.set_main_option("path_separator", "newline")
    made.set_main_option("version_locations", versions)
    made.attributes.update(branch=branch, connection=link)
    return made


def _migrate(file: Kept, branch: str, to: str, change: object) -> None:
    found = revision(file)
    known = {one.revision for one in ScriptDirectory.from_config(config(branch)).walk_revisions()}
    if found and found not in known:
        raise NewerVersion(file, found)
    made = engine(file)
    try:
        with made.connect() as link:
            if isinstance(file, Path):
                # Foreign keys are checked again from the next connection on: tables are rebuilt.
                link.exec_driver_sql("PRAGMA foreign_keys=OFF")
                link.commit()
                link.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                postgresql.prepare(file, link, branch)
            change(config(branch, link), to)  # type: ignore[operator]
            link.commit()
    finally:
        made.dispose()
