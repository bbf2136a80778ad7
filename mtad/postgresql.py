"""PostgreSQL: how mtad connects to a server, and what it says when that fails.

The only importer of psycopg, which is an extra: who keeps everything in files needs none of
it. PostgreSQL's text cannot hold NUL, and its JSON functions refuse ``\\u0000``; both are kept
with an escape that no reader sees.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from mtad.errors import MtadError, NotPermitted, Unreachable
from mtad.where import Server

if TYPE_CHECKING:
    import psycopg
    import sqlalchemy as sa

    Connection = psycopg.Connection[tuple[Any, ...]]

OLDEST = 15
"""The oldest major version of the server."""
CONNECT_SECONDS = 5
SILENT_MS = 15_000
"""After this long without an acknowledgement a connection is given up."""

SCHEMAS = {"state": "mtad", "log": "log"}
"""Where the tables of each branch of revisions are."""
DIRECTORY_LOCK = 0x6D746165
"""The advisory lock of whoever changes the directory."""
DIRECTORY_CHANNEL = "mtad_directory"
"""What is notified of each change of the directory."""

_ESC = "\U0010fffd"
_NUL = {"\0": f"{_ESC}0", _ESC: f"{_ESC}1", "\\u0000": f"{_ESC}2"}
_BACK = {kept: text for text, kept in _NUL.items()}
_ESCAPED = re.compile(f"\0|{_ESC}|(?<!\\\\)((?:\\\\\\\\)*)(\\\\u0000)")
_KEPT = re.compile(f"{_ESC}[012]")


def escaped(text: str) -> str:
    """Text as the server can hold it."""
    if "\0" not in text and "\\u0000" not in text and _ESC not in text:
        return text
    return _ESCAPED.sub(lambda m: (m[1] or "") + _NUL[m[2] or m[0]], text)


def plain(text: str) -> str:
    """Text as it was before ``escaped``."""
    return _KEPT.sub(lambda m: _BACK[m[0]], text) if _ESC in text else text


class Parts(NamedTuple):
    """What of the driver others need."""

    error: type[Exception]
    unreachable: tuple[type[Exception], ...]


def connect(server: Server, *, name: str = "mtad") -> "Connection":
    """A connection on which every statement stands alone unless BEGIN is said.

    Raises MtadError without the driver or for a server too old, NotPermitted where it lets
    nobody in, Unreachable where there is none.
    """
    psycopg = _driver()
    try:
        secret = password(server)
        link: Connection = psycopg.connect(
            server.url,
            autocommit=True,
            prepare_threshold=5,
            connect_timeout=CONNECT_SECONDS,
            application_name=name,
            client_encoding="UTF8",
            tcp_user_timeout=SILENT_MS,
            **({"password": secret} if secret else {}),
        )
    except psycopg.Error as error:
        raise explained(server, error) from error
    try:
        _fit(server, link)
        _adapt(link)
    except BaseException:
        link.close()
        raise
    return link


def engine(server: Server) -> "sa.Engine":
    """An engine for SQLAlchemy over ``connect``; the directory's tables are in ``mtad``."""
    import sqlalchemy as sa  # noqa: PLC0415 - only who works on the directory needs it

    def opened() -> "Connection":
        link = connect(server)
        link.execute("SET search_path TO mtad")
        link.autocommit = False
        return link

    return sa.create_engine(
        "postgresql+psycopg://", creator=opened, pool_size=2, max_overflow=8, pool_pre_ping=True
    )


def prepare(server: Server, link: "sa.Connection", branch: str) -> None:
    """Begin to change the tables of a branch, with nobody beside. Raises NotPermitted."""
    import sqlalchemy as sa  # noqa: PLC0415 - only who works on the directory needs it

    schema = SCHEMAS[branch]
    try:
        link.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": DIRECTORY_LOCK})
        link.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
        link.execute(sa.text(f"SET LOCAL search_path TO {schema}"))
    except sa.exc.DBAPIError as error:
        raise explained(server, error.orig or error) from error


def errors() -> Parts:
    """What the driver raises: anything, and what says that the connection is gone."""
    psycopg = _driver()
    return Parts(psycopg.Error, (psycopg.OperationalError, psycopg.InterfaceError))


def password(server: Server) -> str:
    """The password of the settings' file, "" without one. Raises NotPermitted, MtadError."""
    if server.password_file is None:
        return ""
    try:
        return server.password_file.read_text().rstrip("\r\n")
    except PermissionError as error:
        raise NotPermitted(f"cannot read {server.password_file}: permission denied") from error
    except (OSError, UnicodeDecodeError) as error:
        raise MtadError(f"database.password_file {server.password_file}: {error}") from error


def explained(server: Server, error: Exception) -> MtadError:
    """What the server or the network said, and what to do about it."""
    said = " ".join(str(error).split())
    for words, kind, advice in _ADVICE:
        if re.search(words, said):
            return kind(f"PostgreSQL at {server} says: {said}; {advice}")
    return Unreachable(f"cannot reach PostgreSQL at {server}: {said}; is it running?")


_ADVICE: tuple[tuple[str, Callable[[str], MtadError], str], ...] = (
    ("database .* does not exist", MtadError, "make it: createdb --encoding=UTF8 NAME"),
    (
        "(password authentication failed|no password supplied|Peer authentication failed|"
        "no pg_hba.conf entry|role .* does not exist)",
        NotPermitted,
        "see database.url, database.password_file and the server's pg_hba.conf",
    ),
    (
        "permission denied",
        NotPermitted,
        "the user must own the database, or: GRANT CREATE ON DATABASE NAME TO USER",
    ),
    ("(too many clients|remaining connection slots)", Unreachable, "raise its max_connections"),
)


def _driver() -> Any:
    try:
        import psycopg  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MtadError(
            "database.url names a PostgreSQL server, but its driver is not installed: "
            "pip install 'mtad[postgresql]'"
        ) from error
    return psycopg


def _fit(server: Server, link: "Connection") -> None:
    """Raises MtadError where the server is too old or the database of another encoding."""
    version = link.info.server_version // 10_000
    if version < OLDEST:
        raise MtadError(
            f"PostgreSQL at {server} is version {version}; mtad needs {OLDEST} or later"
        )
    encoding = link.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise MtadError(
            f"the database {server} has the encoding {encoding}; make one with "
            "createdb --encoding=UTF8 --template=template0 NAME"
        )


def _adapt(link: "Connection") -> None:
    """Text with its escape, and sums as numbers."""
    from psycopg.adapt import Loader  # noqa: PLC0415 - an extra
    from psycopg.types.string import StrDumperUnknown, TextLoader  # noqa: PLC0415 - an extra

    class Dumper(StrDumperUnknown):
        def dump(self, obj: str) -> Any:
            return super().dump(escaped(obj))

    class Plain(TextLoader):
        def load(self, data: Any) -> Any:
            return plain(super().load(data))  # type: ignore[arg-type]

    class Number(Loader):
        def load(self, data: Any) -> int | float:
            text = bytes(data).decode()
            return int(text) if "." not in text else float(Decimal(text))

    link.adapters.register_dumper(str, Dumper)
    for kind in ("text", "varchar", "name"):
        link.adapters.register_loader(kind, Plain)
    link.adapters.register_loader("numeric", Number)
