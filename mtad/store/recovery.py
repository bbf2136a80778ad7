"""Finishing at start what journals promise to boxes, before their frames may go.

Runs before a process opens its own journal, whose finished segments are reused from then on.
"""

import sqlite3
from pathlib import Path

from mtad import address
from mtad.errors import Locked, MtadError
from mtad.store import index
from mtad.store.owner import Owner
from mtad.store.replay import Replay
from mtad.where import Places


def recover(places: Places, hostname: str, replay: Replay) -> tuple[int, list[str]]:
    """Do every act that a box has not done; returns how many, and what could not be done.

    A box that another process owns is left to it: its opening did the same.
    """
    replay.scan()
    count = 0
    problems = []
    for box in replay.boxes:
        folder = places.boxes / address.box_folder(box)
        if not folder.is_dir() or not _is_due(folder / "index.db", box, replay):
            continue
        try:
            owner = Owner(folder, box, hostname, replay, None)
        except Locked:
            continue
        except MtadError as error:
            problems.append(f"{box}: {error}")
            continue
        count += owner.replayed
        owner.close()
    return count, problems


def _is_due(path: Path, box: str, replay: Replay) -> bool:
    """Whether a box has something to do; cheap, and yes where it cannot be told."""
    if not path.exists():
        return True
    try:
        link = sqlite3.connect(path, isolation_level=None)
        try:
            link.execute("PRAGMA query_only=1")
            meta = dict(link.execute("SELECT k, v FROM meta").fetchall())
        finally:
            link.close()
    except sqlite3.Error:
        return True
    if not meta.get("clean") and meta.get("boot") != index.boot_id():
        return True
    return replay.is_due(box, {key.removeprefix("applied."): value for key, value in meta.items()})
