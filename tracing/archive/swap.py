"""A month file takes its next form, or goes: a rename each, so that always one of them counts.

The draft ``.2026-11.sealed.new`` is durable before anything else happens. It is renamed into place,
the directory is synced, and from then on it counts (``months.path``); the form before is renamed to
``.2026-11.db.old``, which readers keep open as long as they like. ``finish`` removes what is so set
aside, and what a crash between the two left: a form that a later one has replaced.
"""

import contextlib
import os
from pathlib import Path

from tracing import months
from tracing.creation import sync

_DRAFT = ".new"
_OLD = ".old"
_BESIDE = ("", "-wal", "-shm", "-journal")


def draft(directory: Path, month: str, form: str) -> Path:
    """Where a month's next form is made; what an earlier try left there is removed."""
    file = directory / f".{month}{form}{_DRAFT}"
    _remove(file)
    return file


def drafted(directory: Path, month: str, name: str) -> Path:
    """The draft of a month that goes by a name. Raises ValueError for another name."""
    for form in months.FORMS[1:]:
        if name == f".{months.checked(month)}{form}{_DRAFT}":
            return directory / name
    raise ValueError(f"{name!r} is no draft of {month}")


def position(file: Path) -> dict[str, bytes]:
    """What a month says of itself: the same before and after means that nothing came to it."""
    with contextlib.closing(months.open_reading(file)) as link:
        return {k: bytes(v or b"") for k, v in link.execute("SELECT k, v FROM meta")}


def put(directory: Path, month: str, made: Path) -> None:
    """Let a durable draft be the month. Nobody may have the form before open to write."""
    form = made.name.removesuffix(_DRAFT).removeprefix(f".{month}")
    os.rename(made, directory / (month + form))
    sync(directory)
    for earlier in months.FORMS[: months.FORMS.index(form)]:
        _set_aside(directory / (month + earlier))
    sync(directory)


def set_aside(directory: Path, month: str) -> None:
    """Let a month be gone, the form that counts last, so that none comes back by a crash."""
    for form in months.FORMS:
        _set_aside(directory / (month + form))
        sync(directory)


def finish(directory: Path) -> int:
    """Remove what was set aside or replaced; how many files."""
    removed = 0
    for month in months.listing(directory):
        counts = months.path(directory, month).suffix
        for earlier in months.FORMS[: months.FORMS.index(counts)]:
            removed += _remove(directory / (month + earlier))
    for file in directory.glob(f".*{_OLD}"):
        removed += _remove(file)
    if removed:
        sync(directory)
    return removed


def _set_aside(file: Path) -> None:
    if file.exists():
        os.rename(file, file.with_name(f".{file.name}{_OLD}"))
        _remove(file)  # the empty write-ahead log and its index, which belong to the name


def _remove(file: Path) -> int:
    removed = 0
    for ending in _BESIDE:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{file}{ending}")
            removed += not ending
    return removed
