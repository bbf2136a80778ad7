"""Who looks at a box: views that sessions share, and listeners told of each change.

Everything here belongs to the event loop's thread. Deltas come from the threads in which acts
are done, in the order of their commits, and before the act's own caller goes on.
"""

from collections.abc import Callable, Sequence
from itertools import chain

from mtad.store.deltas import Delta
from mtad.store.view import Change, View

Listener = Callable[[Change], None]
_Uids = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Added, changed, gone."""


class Watching:
    """The views and listeners of one box."""

    def __init__(self) -> None:
        self._views: dict[tuple[int, str], View] = {}
        self._users: dict[tuple[int, str], int] = {}
        self._listeners: list[Listener] = []

    def __bool__(self) -> bool:
        """Whether anybody looks."""
        return bool(self._views or self._listeners)

    def view(self, mailbox: int, reader: str = "") -> View | None:
        """The view of a mailbox by its number, if there is one; in any thread."""
        return self._views.get((mailbox, reader))

    def offer(self, view: View) -> None:
        """Keep a view up to date that somebody is about to take."""
        self._views.setdefault((view.number, view.reader), view)

    def take(self, view: View) -> bool:
        """Use a view; False when it is no longer kept up to date."""
        key = view.number, view.reader
        if self._views.get(key) is not view:
            return False
        self._users[key] = self._users.get(key, 0) + 1
        return True

    def release(self, view: View) -> None:
        """Use it no longer; views that nobody uses are forgotten."""
        key = view.number, view.reader
        if self._views.get(key) is view:
            self._users[key] -= 1
        for one in [one for one in self._views if not self._users.get(one)]:
            self._forget(one)

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


def _union(told: Sequence[_Uids]) -> _Uids:
    """What any of several views took in; one that was loaded later knew some of it."""
    added, changed, gone = (tuple(sorted({*chain(*parts)})) for parts in zip(*told, strict=True))
    return added, changed, gone
