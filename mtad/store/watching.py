"""Who looks at a box: views that sessions share, and listeners told of each change.

Everything here belongs to the event loop's thread. Deltas come from the threads in which acts
are done, in the order of their commits, and before the act's own caller goes on.
"""

import time
from collections.abc import Callable, Sequence
from itertools import chain

from mtad.store.deltas import Delta
from mtad.store.view import Change, View

Listener = Callable[[Change], None]
SPARE = 4
"""Views that nobody uses and that are kept all the same: the last of them, whatever its size, and
others with ``SPARE_MESSAGES`` in all (45 octets each)."""
SPARE_MESSAGES = 100_000
_Uids = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Added, changed, gone."""


class Watching:
    """The views and listeners of one box."""

    def __init__(self) -> None:
        self._views: dict[tuple[int, str], View] = {}
        self._users: dict[tuple[int, str], int] = {}
        self._left: dict[tuple[int, str], float] = {}
        """Since when nobody uses them, the longest first."""
        self._listeners: list[Listener] = []

    def __bool__(self) -> bool:
        """Whether anybody looks."""
        return bool(self._users or self._listeners)

    def view(self, mailbox: int, reader: str = "") -> View | None:
        """The view of a mailbox by its number, if there is one; in any thread."""
        return self._views.get((mailbox, reader))

    def offer(self, view: View) -> None:
        """Keep a view up to date that somebody is about to take."""
        key = view.number, view.reader
        if self._views.setdefault(key, view) is view:
            self._left[key] = time.monotonic()

    def take(self, view: View) -> bool:
        """Use a view; False when it is no longer kept up to date."""
        key = view.number, view.reader
        if self._views.get(key) is not view:
            return False
        self._users[key] = self._users.get(key, 0) + 1
        self._left.pop(key, None)
        return True

    def release(self, view: View) -> None:
        """Use it no longer; it is kept up to date for a while, for who comes back."""
        key = view.number, view.reader
        if self._views.get(key) is view:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key]
                self._left[key] = time.monotonic()
                self._shrink()

    def rest(self, before: float) -> None:
        """Forget views that nobody used since ``before`` (time.monotonic)."""
        for key in [key for key, left in self._left.items() if left < before]:
            self._forget(key)

    def _shrink(self) -> None:
        """Forget of the views that nobody uses those that were left first."""
        messages = 0
        for count, key in enumerate(reversed([*self._left]), 1):
            messages += len(self._views[key])
            if count > SPARE or (count > 1 and messages > SPARE_MESSAGES):
                self._forget(key)

    def watch(self, listener: Listener) -> None:
        """Tell a listener of each change from here on."""
        self._listeners.append(listener)

    def unwatch(self, listener: Listener) -> None:
        """Tell it nothing further."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def hear(self, deltas: Sequence[Delta], by: object) -> None:
        """Bring views up to date, then tell the listeners; ``by`` is the session that acted."""
        for delta in deltas:
            change = self._change(delta, by)
            if change is not None:
                self.tell(change)

    def tell(self, change: Change) -> None:
        """Tell the listeners of a change that no view shows."""
        for listener in list(self._listeners):
            listener(change)

    def _change(self, delta: Delta, by: object) -> Change | None:
        views = [view for key, view in self._views.items() if key[0] == delta.mailbox]
        if delta.what:
            for view in views:
                if delta.what == "renamed":
                    view.name = delta.target
                elif delta.what == "deleted":
                    view.is_gone = True
                    self._forget((view.number, view.reader))
            return Change(delta.name, by=by, what=delta.what, target=delta.target, acl=delta.acl)
        if views:
            told = [view.apply(delta) for view in views]
            added, changed, gone = told[0] if len(told) == 1 else _union(told)
        else:
            added = tuple(row.uid for row in delta.added)
            changed = tuple(row.uid for row in delta.changed)
            gone = tuple(delta.gone)
        if not (added or changed or gone):
            return None
        reader = delta.seen[0][0] if delta.seen else ""
        return Change(delta.name, added, changed, gone, delta.modseq, by, reader=reader)

    def _forget(self, key: tuple[int, str]) -> None:
        del self._views[key]
        self._users.pop(key, None)
        self._left.pop(key, None)


def _union(told: Sequence[_Uids]) -> _Uids:
    """What any of several views took in; one that was loaded later knew some of it."""
    added, changed, gone = (tuple(sorted({*chain(*parts)})) for parts in zip(*told, strict=True))
    return added, changed, gone
