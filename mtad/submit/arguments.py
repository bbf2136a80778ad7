"""The ``sendmail`` command line, as cron, PHP and mail programs use it (PURE).

Flags may be joined to their values (``-fanna@example.org``), stand together (``-ti``), and come
after recipients. What other programs accept and ignore is ignored here as well, so that no
script breaks over it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

IGNORED_WITH_VALUE = frozenset("ABCLMOQXdhp")
"""-B type, -C file, -L tag, -O option, -V id, -X log ... change nothing here."""
IGNORED = frozenset("GJUjmnvwx")
MODES = {"m": "send", "p": "queue", "i": "newaliases", "s": "smtp", "d": "daemon", "v": "verify"}


class UsageProblem(ValueError):
    """The command line makes no sense; the text says why."""


@dataclass(slots=True)
class Arguments:
    """What was asked for; ``sender`` None means the caller's own address."""

    recipients: list[str] = field(default_factory=list)
    sender: str | None = None
    full_name: str = ""
    from_headers: bool = False
    """-t: recipients are in To, Cc and Bcc."""
    dot_is_text: bool = False
    """-i, -oi: a line with one dot does not end the message."""
    mode: str = "send"
    notify: str = ""
    ret: str = ""
    envid: str = ""


def parse(words: Sequence[str]) -> Arguments:
    """The arguments after the command's name. Raises UsageProblem."""
    found = Arguments()
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        if word == "--":
            found.recipients += reversed(waiting)
            break
        if len(word) < 2 or not word.startswith("-"):
            found.recipients.append(word)
            continue
        _flags(found, word[1:], waiting)
    return found


def _flags(found: Arguments, letters: str, waiting: list[str]) -> None:
    """One word of flags; takes the next word where the last one wants a value."""
    while letters:
        letter, letters = letters[0], letters[1:]
        match letter:
            case "t":
                found.from_headers = True
            case "i":
                found.dot_is_text = True
            case "f" | "r":
                found.sender = _value(letter, letters, waiting).strip().strip("<>")
                return
            case "F":
                found.full_name = _value(letter, letters, waiting)
                return
            case "N":
                found.notify = _value(letter, letters, waiting).upper()
                return
            case "R":
                found.ret = _value(letter, letters, waiting).upper()
                return
            case "V":
                found.envid = _value(letter, letters, waiting)
                return
            case "o":
                # -oi, -oem, -odb ...: the value is joined; -o alone takes the next word.
                value = _value(letter, letters, waiting)
                found.dot_is_text = found.dot_is_text or value == "i"
                return
            case "b":
                mode = _value(letter, letters, waiting)
                if mode not in MODES:
                    raise UsageProblem(f"-b{mode} is not known")
                found.mode = MODES[mode]
                return
            case "q":
                found.mode = "retry"
                return
            case _ if letter in IGNORED_WITH_VALUE:
                _value(letter, letters, waiting)
                return
            case _ if letter in IGNORED:
                continue
            case _:
                raise UsageProblem(f"-{letter} is not known")


def _value(letter: str, joined: str, waiting: list[str]) -> str:
    if joined:
        return joined
    if not waiting:
        raise UsageProblem(f"-{letter} wants a value")
    return waiting.pop()
