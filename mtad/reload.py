"""The settings a process runs by: read again while it runs, kept where the file is no good.

Every process of the server has them of its own. The supervisor reads the file first, for it
writes down what changed and says it; the roles read it when SIGHUP reaches them.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from mtad import clock, config
from mtad.config import Config, Loaded
from mtad.errors import ConfigError

RESTART = (
    "data_dir",
    "listen",
    "journal.segment_bytes",
    "journal.cap_bytes",
    "submission.drop_dir",
    "metrics.listen",
)
"""Settings, and sections of them, that stay as they are until the server starts again: its
sockets are bound, its locks and journals are open."""

_SECRET = re.compile(r"password|secret|token")
"""In a setting's name: its value is shown to nobody."""
_HIDDEN = "(not shown)"


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that has another value: its dotted name, and both values as text."""

    name: str
    before: str
    after: str


class InForce:
    """The settings in force. ``use`` is called with them after every reading.

    It must not block. A ConfigError of it is what ``status`` tells: certificate files, for
    one, may be worse than the settings that name them.
    """

    def __init__(self, loaded: Loaded, use: Callable[[Loaded], None] = lambda loaded: None) -> None:
        self.loaded = loaded
        self.problem = ""
        """Why the last reading failed, in one line; empty when it did not."""
        self.needs_restart: tuple[str, ...] = ()
        """Settings whose value in the file is not the one in force."""
        self._use = use
        self._read = clock.now()
        self._failed: datetime | None = None

    def read_again(self) -> Sequence[Change]:
        """Put in force what the file says and may change now; returns what did. Never raises.

        A file that cannot be obeyed changes nothing. What the settings name (certificates) is
        looked at again all the same.
        """
        changed: Sequence[Change] = ()
        problems = []
        try:
            found = config.load(self.loaded.path)
        except ConfigError as error:
            problems.append(_one_line(error))
        except (OSError, ValueError, RecursionError) as error:
            problems.append(f"{self.loaded.path}: {error}")
        else:
            before = self.loaded.config
            kept = _keep(before, found.config)
            changed = tuple(changes(before, kept))
            self.needs_restart = tuple(one.name for one in changes(kept, found.config))
            self.loaded = Loaded(self.loaded.path, kept, self.loaded.places)
            self._read = clock.now()
        try:
            self._use(self.loaded)
        except ConfigError as error:
            problems.append(_one_line(error))
        self.problem = "; ".join(problems)
        self._failed = clock.now() if problems else None
        return changed

    def status(self) -> dict[str, Any]:
        """What a control socket tells: times in RFC 3339."""
        return {
            "read_at": self._read.isoformat(timespec="milliseconds"),
            "failed_at": self._failed and self._failed.isoformat(timespec="milliseconds"),
            "problem": self.problem,
            "needs_restart": list(self.needs_restart),
        }


def said(settings: InForce, changed: Sequence[Change]) -> str:
    """What a reading brought, in one line for the operator."""
    if settings.problem:
        return f"settings NOT read again, those in force stay: {settings.problem}"
    what = ", ".join(f"{one.name} {one.before} -> {one.after}" for one in changed)
    line = f"settings read again: {what or 'nothing changed'}"
    if settings.needs_restart:
        line += f"; only a restart changes {', '.join(settings.needs_restart)}"
    return line


def changes(before: Config, after: Config) -> Iterator[Change]:
    """Settings that differ, in the model's order; secrets are hidden."""
    was = dict(_flat(before))
    for name, value in _flat(after):
        if value != was[name]:
            yield Change(name, _shown(name, was[name]), _shown(name, value))


def _flat(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting by its dotted name."""
    for name, value in section:
        if isinstance(value, BaseModel):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _keep(before: BaseModel, after: Any, prefix: str = "") -> Any:
    """``after`` with the values of ``before`` where only a restart can change them."""
    values = {}
    for name, value in after:
        full, was = prefix + name, getattr(before, name)
        if full in RESTART:
            values[name] = was
        elif isinstance(value, BaseModel):
            values[name] = _keep(was, value, f"{full}.")
    return after.model_copy(update=values)


def _shown(name: str, value: Any) -> str:
    if _SECRET.search(name.rpartition(".")[2]):
        return _HIDDEN
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _one_line(error: ConfigError) -> str:
    """An error that may list several problems, each on a line of its own."""
    first, *rest = str(error).splitlines()
    return f"{first} {'; '.join(line.strip() for line in rest)}".strip()
