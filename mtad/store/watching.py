"""Who looks at a box: views that sessions share, and listeners told of each change.

Everything here belongs to the event loop's thread. Deltas come from the threads in which acts
are done, in the order of their commits, and before the act's own caller goes on.
"""

from collections.abc import Callable, Sequence

from mtad.store.deltas import Delta
from mtad.store.view import Change, View

Listener = Callable[[Change], None]


class Watching:
    """The views and listeners of one box."""

    def __init__(self) -> None:
        self._views: dict[int, View] = {}
        self._users: dict[int, int] = {}
        self._listeners: list[Listener] = []

    def __bool__(self) -> bool:
        """Whether anybody looks."""
        return bool(self._views or self._listeners)

    def view(self, mailbox: int) -> View | None:
        """The view of a mailbox by its number, if there is one; in any thread."""
        return self._views.get(mailbox)

    def offer(self, view: View) -> None:
        """Keep a view up to date that somebody is about to take."""
        self._views.setdefault(view.number, view)

    def take(self, view: View) -> bool:
        """Use a view; False when it is no longer kept up to date."""
        if self._views.get(view.number) is not view:
            return False
        self._users[view.number] = self._users.get(view.number, 0) + 1
        return True

    def release(self, view: View) -> None:
        """Use it no longer; views that nobody uses are forgotten."""
        if self._views.get(view.number) is view:
            self._users[view.number] -= 1
        for number in [one for one in self._views if not self._users.get(one)]:
            self._forget(number)

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
                for listener in list(self._listeners):
                    listener(change)

    def _change(self, delta: Delta, by: object) -> Change | None:
        view = self._views.get(delta.mailbox)
        if delta.what:
            if view is not None and delta.what == "renamed":
                view.name = delta.target
            elif view is not None and delta.what == "deleted":
                view.is_gone = True
                self._forget(delta.mailbox)
            return Change(delta.name, by=by, what=delta.what, target=delta.target)
        if view is not None:
            added, changed, gone = view.apply(delta)
        else:
            added = tuple(row.uid for row in delta.added)
            changed = tuple(row.uid for row in delta.changed)
            gone = tuple(delta.gone)
        if not (added or changed or gone):
            return None
        return Change(delta.name, added, changed, gone, delta.modseq, by)

    def _forget(self, mailbox: int) -> None:
        del self._views[mailbox]
        self._users.pop(mailbox, None)
