"""What data says of itself, in the language of the screens: states, events, counts."""

from tracing.events import Event
from tracing.states import State
from tui.formats import number
from tui.lang import _, language, plural


def state(of: State) -> str:
    """What became of a message, in a word."""
    return _(of.word)


def event(happened: Event) -> str:
    """The line of an event. Replies and what else comes from data stay as they are."""
    if language() == "en" or not happened.text:
        return str(happened)
    return happened.told(_(happened.text), _count)


def _count(value: int, *forms: str) -> str:
    return f"{number(value)} {forms[min(plural(value), len(forms) - 1)]}"
