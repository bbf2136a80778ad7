"""The shape of the code: who may know whom, how long a module may be, what is documented.

``lint-imports`` (in ``make lint``) checks the layers; here is what it cannot see.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from tests import documents
from tests.corpus import REPOSITORY

PACKAGES = ("mtad", "tracing", "backup", "tui")
MAX_LINES = 500
"""Lines of a module; beyond that it has more than one idea."""
MEDIAN_LINES = 200

ONLY_IMPORTERS = {
    "aiosmtpd": {"mtad/smtp/receiver.py"},
    "apscheduler": {"mtad/jobs/"},
    "asyncssh": {"backup/sftp.py"},
    "dns": {"mtad/dns.py"},
    "obstore": {"backup/bucket.py"},
    "psycopg": {"mtad/postgresql.py"},
    "textual": {"tui/"},
    "rich": {"tui/"},
}
"""Libraries that are kept behind one door each."""

EXPENSIVE = (
    "textual",
    "rich",
    "aiosmtpd",
    "apscheduler",
    "asyncssh",
    "obstore",
    "sqlalchemy",
    "alembic",
    "pydantic",
)


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((REPOSITORY / package).rglob("*.py"))


MODULES = [path.relative_to(REPOSITORY).as_posix() for path in modules()]


def imported(path: Path) -> Iterator[str]:
    """The packages a module imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_one_idea_and_says_it(name: str) -> None:
    text = (REPOSITORY / name).read_text()
    assert text.count("\n") <= MAX_LINES
    if name.endswith("__init__.py"):
        assert text == "", "a package's __init__.py is empty"
    else:
        said = ast.get_docstring(ast.parse(text)) or ""
        assert said.split("\n")[0], "the first line of a module says its one idea"


def test_most_modules_are_short() -> None:
    lengths = sorted(
        (REPOSITORY / name).read_text().count("\n")
        for name in MODULES
        if not name.endswith("__init__.py")
    )
    assert lengths[len(lengths) // 2] <= MEDIAN_LINES


@pytest.mark.parametrize("library", ONLY_IMPORTERS)
def test_a_library_is_kept_behind_its_door(library: str) -> None:
    doors = tuple(ONLY_IMPORTERS[library])
    importers = {name for name in MODULES if library in imported(REPOSITORY / name)}
    assert {name for name in importers if not name.startswith(doors)} == set()


def test_the_doors_are_there() -> None:
    for library in ("aiosmtpd", "apscheduler", "textual"):
        assert any(library in imported(REPOSITORY / name) for name in MODULES), library


@pytest.mark.parametrize("package", PACKAGES)
def test_the_packages_are_ours(package: str) -> None:
    module = import_module(package)
    assert module.__file__ is not None
    assert Path(module.__file__).parent == REPOSITORY / package


def loads(code: str) -> set[str]:
    """Which expensive libraries a fresh interpreter has loaded after ``code``."""
    script = f"import sys\n{code}\nprint(*[m for m in {EXPENSIVE!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import mtad.cli", set()),
        ("import mtad.where, mtad.control, tracing.ids, tracing.events", set()),
        ("import tracing.cli", set()),
        ("import mtad.config", {"pydantic"}),
        ("import mtad.directory.cli", {"sqlalchemy", "alembic", "pydantic"}),
        (
            "import backup.cli, backup.cli_restore",
            set(EXPENSIVE) - {"textual", "rich", "aiosmtpd", "apscheduler", "asyncssh", "obstore"},
        ),
        ("import mtad.daemon", set(EXPENSIVE) - {"textual", "rich"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nobody_pays_for_what_he_does_not_use(code: str, allowed: set[str]) -> None:
    assert loads(code) <= allowed


@pytest.mark.parametrize(
    ("words", "command"), list(documents.every_command()), ids=lambda value: str(value)
)
def test_a_command_and_its_options_have_help(words: str, command: click.Command) -> None:
    assert command.help, words
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{words} {parameter.name}"


@pytest.mark.parametrize("page", documents.PAGES)
def test_a_made_page_is_current(page: str) -> None:
    made = documents.PAGES[page]()
    assert (documents.DOCS / page).read_text() == made, "make docs writes it"


def test_every_rfc_in_the_code_is_in_the_list() -> None:
    listed = {
        line.split("\t")[0] for line in (documents.DOCS / "rfc.tsv").read_text().splitlines()[1:]
    }
    named = {
        number
        for name in MODULES
        for number in re.findall(r"RFC (\d{3,5})", (REPOSITORY / name).read_text())
    }
    assert named <= listed
