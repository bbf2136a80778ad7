"""The saved views of a log: ``views.json`` in its folder, read when a query names one.

Written as a whole beside it, synced, renamed, and the folder synced: it is the old one or the
new one. The daemon and commands without it read the same file, and no database is loaded.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from mtad.errors import Corrupt, NothingFound, UsageError
from mtad.where import Kept
from tracing import search
from tracing.render import safe
from tracing.views import BUILT_IN, MAX_VIEWS, NAME

FILE = "views.json"


def parse(log: Kept, text: str) -> search.Query:
    """The query that a line means to a log, its saved views included.

    Raises search.SearchError, Corrupt for a file of views that cannot be read.
    """
    views = load(log) if "@" in text else BUILT_IN
    return search.parse(text, time.time_ns() // 1000, views=views)


def load(log: Kept) -> Mapping[str, str]:
    """Every view by its name; of a log on a server those that are always there. Raises Corrupt."""
    return {**own(log), **BUILT_IN} if isinstance(log, Path) else BUILT_IN


def own(directory: Path) -> dict[str, str]:
    """The views that were saved. Raises Corrupt."""
    path = directory / FILE
    try:
        table = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise Corrupt(f"{path} is damaged: {error}; delete it, and save the views again") from error
    views = table.get("views") if isinstance(table, dict) else None
    if not isinstance(views, dict) or not all(isinstance(text, str) for text in views.values()):
        raise Corrupt(f"{path} holds no views; delete it, and save the views again")
    return {str(name): text for name, text in views.items()}


def save(directory: Path, name: str, text: str) -> None:
    """Keep a filter by a name, in the place of an earlier one.

    Raises UsageError for a name that cannot be one, search.SearchError for a bad filter.
    """
    name = name.removeprefix("@").lower()
    if not NAME.fullmatch(name):
        raise UsageError(f"{safe(name)} is no name; take up to 32 letters, digits and -")
    if name in BUILT_IN:
        raise UsageError(f"@{name} is always there, as {BUILT_IN[name]}; take another name")
    views = own(directory)
    if len(views) >= MAX_VIEWS and name not in views:
        raise UsageError(f"there are {MAX_VIEWS} views already; 'mtad trace --forget NAME' first")
    views[name] = text
    search.parse(text, time.time_ns() // 1000, views={**views, **BUILT_IN})
    search.parse(f"@{name}", time.time_ns() // 1000, views={**views, **BUILT_IN})
    _write(directory, views)


def forget(directory: Path, name: str) -> None:
    """Take a view away. Raises UsageError for one that is always there, NothingFound."""
    name = name.removeprefix("@").lower()
    views = own(directory)
    if name in BUILT_IN:
        raise UsageError(f"@{name} is always there")
    if name not in views:
        raise NothingFound(f"there is no view @{safe(name)}; 'mtad trace --views' lists them")
    del views[name]
    _write(directory, views)


def _write(directory: Path, views: Mapping[str, str]) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o750)
    path, fresh = directory / FILE, directory / f".{FILE}.{os.getpid()}"
    with fresh.open("w", encoding="utf-8") as file:
        json.dump({"schema": 1, "views": dict(sorted(views.items()))}, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
