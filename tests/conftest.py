"""Fixtures that several areas share: real mail, shared data, a whole server's directory."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from mtad import config
from mtad.config import Loaded
from mtad.where import Kept
from tests import corpus as archives
from tests import mails, postgresql
from tests.corpus import Mail
from tests.server import PORTS

os.umask(0o022)  # peers run as users of their own, who must get at what tests make for them


@pytest.fixture(scope="session")
def corpus() -> Sequence[Mail]:
    """Raw messages as (path, bytes): real ones where they are at hand, else mails of our own."""
    folder = archives.data_folder() / "corpus"
    return tuple(archives.messages(folder)) or tuple(mails.ours())


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """A folder or file of the shared data by name; skips the test where it is missing."""

    def find(name: str) -> Path:
        path = archives.data_folder() / name
        if not path.exists():
            pytest.skip(f"no {name} in the shared data")
        return path

    return find


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgresql.Cluster]:
    """A PostgreSQL server for this process; skips the test where its package is missing."""
    if not postgresql.BINARIES.is_dir():
        pytest.skip(f"no {postgresql.BINARIES}; Debian has it as postgresql-15")
    made = postgresql.Cluster()
    yield made
    made.remove()


@pytest.fixture(scope="module", params=["files", "server"])
def new_log(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Kept]:
    """Makes places for logs: folders, or databases of a PostgreSQL server."""
    if request.param == "server":
        made: postgresql.Cluster = request.getfixturevalue("cluster")
        return made.database
    return lambda: tmp_path_factory.mktemp("data") / "log"


@pytest.fixture
def site(tmp_path: Path) -> Loaded:
    """The settings of a server made by ``quickstart --local`` for you@example.org; not running."""
    from mtad.setup import quickstart  # noqa: PLC0415 - only the tests that want it pay for it

    port = next(PORTS)
    made = quickstart.create("you@example.org", tmp_path / "site", local=True, first_port=port)
    return config.load(made.config)
