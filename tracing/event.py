"""What an event is: the fields all have in common, and how one is declared (PURE).

The events themselves are in ``tracing.events``, which is where others take these names from.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

import msgspec


class Outcome(StrEnum):
    """What an event means for the message, at a glance."""

    OK = "ok"
    INFO = "info"
    DEFER = "defer"
    FAIL = "fail"
    DROP = "drop"
    HOLD = "hold"


class Event(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag_field="kind",
    tag="event",
):
    """What all events have in common; these fields are columns of the log.

    ``trace`` is the message id, or the connection id where no message exists. ``n`` numbers
    the recipient within the message from 1, 0 means the message as a whole. ``also`` lists
    further traces the event belongs to (a bulk act names all its messages). ``actor`` is
    ``remote``, ``system``, ``user:ADDRESS``, ``admin:LOGIN``, ``rule:NAME``, ``backup`` or
    ``outside`` (a program that is not ours). ``reply`` is verbatim.
    """

    text: ClassVar[str] = ""
    outcome: ClassVar[Outcome] = Outcome.INFO

    at: int
    trace: int
    n: int = 0
    addr: str = ""
    ip: str = ""
    host: str = ""
    code: int = 0
    enh: str = ""
    reply: str = ""
    actor: str = "system"
    also: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        """The stored name, e.g. ``smtp.accept``."""
        return kind_of(type(self))

    def __str__(self) -> str:
        return self.told(self.text, counted)

    def told(self, template: str, count: "Callable[..., str]") -> str:
        """The line of people in another language: its template, and how it counts things.

        ``count`` is given a number and the forms of a noun that the template has for it.
        """
        return template.format_map(_Fields(self, count))


COLUMNS = Event.__struct_fields__
"""The fields that have a column of their own, in order."""


class _Fields(dict[str, Any]):
    """Lets ``format_map`` read a struct's fields."""

    def __init__(self, event: Event, count: Callable[..., str]) -> None:
        super().__init__()
        self._event = event
        self._count = count

    def __missing__(self, name: str) -> Any:
        value = getattr(self._event, name, "")
        if type(value) is int:
            return _Number(value, self._count)
        return ", ".join(map(str, value)) if isinstance(value, tuple) else value


class _Number:
    """A number that a text may give a noun: ``{boxes:box|boxes}``, ``{tries:try|tries}``."""

    def __init__(self, value: int, count: Callable[..., str]) -> None:
        self._value = value
        self._count = count

    def __format__(self, nouns: str) -> str:
        return self._count(self._value, *nouns.split("|")) if nouns else str(self._value)


def counted(value: int, noun: str, plural: str = "") -> str:
    """A number with its noun: ``1 box``, ``2,307 messages``; ``plural`` where s does not do."""
    return f"{value:,} {noun if value == 1 else plural or noun + 's'}"


class Unknown(Event, frozen=True, kw_only=True, tag="unknown"):
    """An event whose kind this version does not know; kept and shown as it is."""

    text: ClassVar[str] = "{was}: {fields}"

    was: str
    fields: str


REGISTRY: dict[str, type[Event]] = {}
"""Every declared event by its kind."""

E_ = TypeVar("E_", bound=Event)


def declare(text: str, outcome: Outcome = Outcome.INFO) -> Callable[[type[E_]], type[E_]]:
    """Register an event with the line people read and what it means."""

    def register(cls: type[E_]) -> type[E_]:
        cls.text = text
        cls.outcome = outcome
        kind = kind_of(cls)
        assert kind not in REGISTRY, f"two events are called {kind}"
        REGISTRY[kind] = cls
        return cls

    return register


def kind_of(cls: type[Event]) -> str:
    """The stored name of an event class."""
    return str(cls.__struct_config__.tag)
