"""A content file that could not be made durable is not left behind."""

import os
import stat
from pathlib import Path

import pytest

from mtad.journal import content, disk
from mtad.where import Places
from tracing import ids


def test_a_folder_that_cannot_be_synced_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(tmp_path)
    mint = ids.Mint(1)
    content.write_content(places, mint.new(), b"first", 1)
    m = mint.new()

    def sync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(5, "Input/output error")
        os.fsync(fd)

    monkeypatch.setattr(disk, "fsync", sync)
    with pytest.raises(OSError, match="Input/output"):
        content.write_content(places, m, b"x", 1)
    assert not content.path_of(places, m).exists()
