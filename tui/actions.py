"""Every action of the terminal UI, declared once: keys, footer, palette and help derive from it.

An action belongs to a scope (the whole program, any list, or one screen). Its ``call`` is the
name of the method that runs it, with arguments where it has any. Letters and the signs that
move with the keyboard layout have a twin on the Russian one, so that a key works whichever
layout is on.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from textual.actions import parse
from textual.binding import Binding, BindingType

_LATIN = "qwertyuiop[]asdfghjkl;zxcvbnmQWERTYUIOPASDFGHJKL:ZXCVBNM/?"
_RUSSIAN = "йцукенгшщзхъфывапролджячсмитьЙЦУКЕНГШЩЗФЫВАПРОЛДЖЯЧСМИТЬ.,"
TWIN = dict(zip(_LATIN, _RUSSIAN, strict=True))
"""What the same physical key types on the Russian layout."""

_NAMES = {
    "/": "slash",
    "?": "question_mark",
    ".": "full_stop",
    ",": "comma",
    ":": "colon",
    "@": "at",
    "[": "left_square_bracket",
    "]": "right_square_bracket",
}
"""Textual's names of the signs in ``TWIN``."""


class Scope(StrEnum):
    """Where an action can be called."""

    APP = "everywhere"
    LIST = "lists"
    OVERVIEW = "Overview"
    TRACE = "Trace"
    TIMELINE = "Timeline"
    QUEUE = "Queue"
    MAILBOXES = "Mailboxes"
    SNAPSHOTS = "Snapshots"
    QUARANTINE = "Quarantine"
    HEALTH = "Health"
    HELP = "Help"
    MESSAGE = "any message"
    CONFIRM = "question"
    FORM = "form"
    PAGE = "text"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a person can ask for."""

    id: str
    scope: Scope
    keys: tuple[str, ...]
    """As typed; a single character, or a name like ``enter``. The first is shown."""
    call: str
    """The method that does it, without ``action_``."""
    label: str
    """Footer text, 14 cells at most."""
    description: str
    """A sentence for help and palette."""
    shown: bool = True
    """Whether the footer has it."""
    takes: str = ""
    """What may follow its name at the prompt; it is the call's last argument."""

    @property
    def key_text(self) -> str:
        """The keys as help shows them."""
        return " ".join(_SHOWN.get(key, key) for key in self.keys)


_SHOWN = {
    "up": "↑",
    "down": "↓",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "escape": "esc",
    "backspace": "bksp",
    "home": "Home",
    "end": "End",
    **{f"f{number}": f"F{number}" for number in range(1, 13)},
    "ctrl+q": "^q",
    "ctrl+p": "^p",
    "ctrl+r": "^r",
    "ctrl+s": "^s",
}

A = Action
ACTIONS: tuple[Action, ...] = (
    A("go.overview", Scope.APP, ("1", "f2"), "go('overview')", "Overview",
      "Flow, outcomes, last failures, space, snapshots, services", False),
    A("go.trace", Scope.APP, ("2", "f3"), "go('trace')", "Trace",
      "Find any message and see what became of it", False, "FILTER"),
    A("go.queue", Scope.APP, ("3", "f4"), "go('queue')", "Queue",
      "What waits to leave, and what to do about it", False),
    A("go.mailboxes", Scope.APP, ("4",), "go('mailboxes')", "Mailboxes",
      "Domains, boxes, what is in them and who may use them", False),
    A("go.snapshots", Scope.APP, ("5", "f6"), "go('snapshots')", "Snapshots",
      "Browse the mail as it was", False),
    A("go.quarantine", Scope.APP, ("6", "f7"), "go('quarantine')", "Quarantine",
      "What is held: what it says, why, release or drop it", False),
    A("go.health", Scope.APP, ("7", "f8"), "go('health')", "Health",
      "Roles, ports, certificate, DNS, disk and books: what is wrong, and what to do", False),
    A("app.help", Scope.APP, ("?", "f1"), "help", "Help", "Show every key of this screen"),
    A("app.prompt", Scope.APP, (":",), "prompt", "Command",
      "Type an action's name, like trace to:ann", False),
    A("app.palette", Scope.APP, ("ctrl+p",), "command_palette", "Commands",
      "Find an action by its name", False),
    A("app.quit", Scope.APP, ("ctrl+q",), "quit", "Quit", "Leave the program", False),
    A("list.up", Scope.LIST, ("up", "k"), "cursor(-1)", "Up", "One row up", False),
    A("list.down", Scope.LIST, ("down", "j"), "cursor(1)", "Down", "One row down", False),
    A("list.pageup", Scope.LIST, ("pageup",), "page(-1)", "Page up", "One page up", False),
    A("list.pagedown", Scope.LIST, ("pagedown",), "page(1)", "Page down", "One page down", False),
    A("list.first", Scope.LIST, ("home", "g"), "first", "First", "To the first row", False),
    A("list.last", Scope.LIST, ("end", "G"), "last", "Last", "To the last row", False),
    A("list.open", Scope.LIST, ("enter",), "open", "Open", "Open what the cursor is on"),
    A("message.why", Scope.MESSAGE, ("w",), "why", "Why",
      "Say in a sentence what became of it, and what to do"),
    A("message.trace", Scope.MESSAGE, ("t",), "trace", "Trace", "All that happened to it", False),
    A("message.retry", Scope.MESSAGE, ("R",), "retry", "Retry",
      "Try its waiting recipients at once", False),
    A("message.restore", Scope.MESSAGE, ("r",), "restore", "Restore",
      "Put it back to its place, from deleted mail or a snapshot", False),
    A("message.release", Scope.MESSAGE, ("u",), "release", "Release",
      "Let it go where it is held", False),
    A("message.copy", Scope.MESSAGE, ("y",), "copy", "Copy",
      "Copy a sheet for the other side's postmaster", False),
    A("message.export", Scope.MESSAGE, ("s",), "export", "Export",
      "Write all that happened to it into a file", False),
    A("overview.refresh", Scope.OVERVIEW, ("f5", "ctrl+r"), "reload", "Refresh",
      "Read everything again"),
    A("overview.earlier", Scope.OVERVIEW, ("[",), "walk(1)", "Earlier",
      "Flow, outcomes and failures as of an hour earlier"),
    A("overview.later", Scope.OVERVIEW, ("]",), "walk(-1)", "Later", "The same, an hour later"),
    A("overview.leave", Scope.OVERVIEW, ("q",), "quit", "Quit", "Leave the program"),
    A("trace.filter", Scope.TRACE, ("/",), "filter", "Filter",
      "Type a filter: from: to: subj: msgid: id: ip: since: until: state: or any word"),
    A("trace.tail", Scope.TRACE, ("f",), "tail", "Tail",
      "Follow new messages as they come; stops when you scroll away"),
    A("trace.detail", Scope.TRACE, ("d",), "detail", "Detail", "Show or hide the detail pane"),
    A("trace.clear", Scope.TRACE, ("escape",), "clear", "Clear", "Drop the filter", False),
    A("trace.leave", Scope.TRACE, ("q",), "quit", "Quit", "Leave the program", False),
    A("timeline.switch", Scope.TIMELINE, ("tab",), "switch", "Switch",
      "Between recipients and events"),
    A("timeline.refresh", Scope.TIMELINE, ("f5", "ctrl+r"), "reload", "Refresh",
      "Read everything again"),
    A("timeline.back", Scope.TIMELINE, ("escape", "q", "backspace"), "back", "Back",
      "Back to the list"),
    A("queue.switch", Scope.QUEUE, ("tab",), "switch", "Switch",
      "Between destinations and all recipients"),
    A("queue.mark", Scope.QUEUE, ("space",), "mark", "Mark", "Mark what is meant"),
    A("queue.hold", Scope.QUEUE, ("h",), "act('hold')", "Hold", "Keep it from being tried"),
    A("queue.drop", Scope.QUEUE, ("D",), "act('drop')", "Drop",
      "Take it out of the queue; the sender is not told"),
    A("queue.bounce", Scope.QUEUE, ("B",), "act('bounce')", "Return",
      "Give it up; the sender is told", False),
    A("queue.back", Scope.QUEUE, ("escape", "backspace"), "back", "Back",
      "Back to the destinations"),
    A("queue.refresh", Scope.QUEUE, ("f5", "ctrl+r"), "reload", "Refresh",
      "Read the queue again", False),
    A("queue.leave", Scope.QUEUE, ("q",), "quit", "Quit", "Leave the program", False),
    A("mailboxes.add", Scope.MAILBOXES, ("a",), "add", "Add",
      "Add a domain; in a domain a box"),
    A("mailboxes.alias", Scope.MAILBOXES, ("A",), "alias", "Add alias",
      "Let an address lead to others", False),
    A("mailboxes.password", Scope.MAILBOXES, ("p",), "password", "Password",
      "Give the box another password"),
    A("mailboxes.lock", Scope.MAILBOXES, ("L",), "lock", "Lock",
      "Let the box log in no more, or again; it goes on receiving mail"),
    A("mailboxes.quota", Scope.MAILBOXES, ("z",), "quota", "Quota",
      "Say how much the box may hold", False),
    A("mailboxes.forward", Scope.MAILBOXES, ("F",), "forward", "Forward",
      "Pass the mail of the box on", False),
    A("mailboxes.back", Scope.MAILBOXES, ("escape", "backspace", "left"), "back", "Back",
      "One level up"),
    A("mailboxes.refresh", Scope.MAILBOXES, ("ctrl+r",), "reload", "Refresh",
      "Read it again", False),
    A("mailboxes.leave", Scope.MAILBOXES, ("q",), "quit", "Quit", "Leave the program", False),
    A("snapshots.at", Scope.SNAPSHOTS, ("@",), "at", "Any time",
      "Browse boxes as they were at a time"),
    A("snapshots.deleted", Scope.SNAPSHOTS, ("d",), "deleted", "Deleted",
      "Browse what was deleted between two times"),
    A("snapshots.undo", Scope.SNAPSHOTS, ("U",), "undo", "Undo restore",
      "Take the last restore back", False),
    A("snapshots.back", Scope.SNAPSHOTS, ("escape", "backspace", "left"), "back", "Back",
      "One level up"),
    A("snapshots.refresh", Scope.SNAPSHOTS, ("f5", "ctrl+r"), "reload", "Refresh",
      "Read the repository again"),
    A("snapshots.leave", Scope.SNAPSHOTS, ("q",), "quit", "Quit", "Leave the program", False),
    A("quarantine.mark", Scope.QUARANTINE, ("space",), "mark", "Mark", "Mark what is meant"),
    A("quarantine.drop", Scope.QUARANTINE, ("D",), "act('drop')", "Drop",
      "Take it out of the queue; the sender is not told"),
    A("quarantine.bounce", Scope.QUARANTINE, ("B",), "act('bounce')", "Return",
      "Give it up; the sender is told", False),
    A("quarantine.refresh", Scope.QUARANTINE, ("f5", "ctrl+r"), "reload", "Refresh",
      "Read the queue again", False),
    A("quarantine.leave", Scope.QUARANTINE, ("q",), "quit", "Quit", "Leave the program", False),
    A("health.refresh", Scope.HEALTH, ("r", "f5", "ctrl+r"), "reload", "Check again",
      "Look at everything again"),
    A("health.copy", Scope.HEALTH, ("y",), "copy", "Copy",
      "Copy what is known of the check under the cursor"),
    A("health.leave", Scope.HEALTH, ("q",), "quit", "Quit", "Leave the program", False),
    A("confirm.yes", Scope.CONFIRM, ("y",), "yes", "Yes", "Do it"),
    A("confirm.no", Scope.CONFIRM, ("escape", "n", "q"), "no", "No", "Leave it"),
    A("form.done", Scope.FORM, ("ctrl+s",), "done", "Done", "Take what was typed"),
    A("form.no", Scope.FORM, ("escape",), "no", "Cancel", "Leave it"),
    A("page.copy", Scope.PAGE, ("y",), "copy", "Copy", "Copy the text"),
    A("page.back", Scope.PAGE, ("escape", "q", "enter"), "back", "Back", "Close it"),
    A("help.back", Scope.HELP, ("escape", "q", "?", "f1"), "back", "Back", "Close this page"),
)  # fmt: skip
del A


def called(action: Action) -> tuple[str, tuple[object, ...]]:
    """The method that an action calls, without ``action_``, and what it is given."""
    _namespace, name, given = parse(action.call)
    return name, given


def named(key: str) -> str:
    """Textual's name of a key."""
    return _NAMES.get(key, key)


def with_twins(keys: tuple[str, ...]) -> tuple[str, ...]:
    """The keys and, for each that the layout moves, what the Russian layout types there."""
    return keys + tuple(TWIN[key] for key in keys if key in TWIN)


def of(*scopes: Scope) -> list[Action]:
    """The actions of some scopes, scope by scope in the table's order."""
    return [action for scope in scopes for action in ACTIONS if action.scope is scope]


def bindings(*scopes: Scope, shown: Collection[str] = ()) -> list[BindingType]:
    """The actions of some scopes as a class's BINDINGS; the footer has those ``shown`` too."""
    return [
        Binding(
            ",".join(named(key) for key in with_twins(action.keys)),
            action.call,
            action.label,
            show=action.shown or action.id in shown,
            key_display=action.key_text.split()[0],
            id=action.id,
            tooltip=action.description,
        )
        for action in of(*scopes)
    ]
