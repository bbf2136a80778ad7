"""An index that several processes have open, one of which owns it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtad.store.box import Box
from tests.test_store_box import Place

ASK = """
import sqlite3, sys
link = sqlite3.connect(sys.argv[1], isolation_level=None)
print(link.execute("SELECT flags FROM msg").fetchone()[0])
link.close()
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.journal.close_now()


def elsewhere(box: Box) -> str:
    """The flags of its message as another process reads them."""
    words = [sys.executable, "-c", ASK, str(box.owner.index.path)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


async def test_others_may_read_after_it_was_made_durable(place: Place) -> None:
    """A process that closes any descriptor of a file gives up its locks there (POSIX): SQLite
    would then let another that closes the index last take its write-ahead log away."""
    place.deliver()
    box = place.box()
    await box.sync()
    box.owner.settle()
    assert elsewhere(box) == ""
    assert box.owner.index.path.with_name("index.db-wal").exists()
    await box.flags("INBOX", [1], add=["\\Seen"], actor="user:ann")
    assert elsewhere(box) == "S"
    box.close()
