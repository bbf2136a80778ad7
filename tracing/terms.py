"""A query taken apart: its conditions, and what is said of one that cannot be read (PURE)."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product

from tracing.states import State


class SearchError(ValueError):
    """What is wrong with a query, and where: ``str()`` is one sentence, ``caret`` points."""

    def __init__(self, text: str, position: int, reason: str) -> None:
        super().__init__(reason)
        self.text = text
        self.position = position

    @property
    def caret(self) -> str:
        """The query on a line that is safe to show, and a mark under the place on another."""
        shown = "".join(char if char.isprintable() else " " for char in self.text)
        return f"  {shown}\n  {' ' * self.position}^"


@dataclass(frozen=True, slots=True)
class Address:
    """``from:`` or ``to:``. ``exact``, a ``domain`` with its subdomains, or a ``part`` of it.

    The role ``box`` means recipients whose copy was stored.
    """

    role: str
    exact: str = ""
    domain: str = ""
    part: str = ""
    null: bool = False


@dataclass(frozen=True, slots=True)
class MessageId:
    """``msgid:``: the Message-ID, with or without its angle brackets."""

    value: str


@dataclass(frozen=True, slots=True)
class Id:
    """``id:``: ids from ``low`` up to but not ``high``; one id, all it abbreviates, or a time."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Ip:
    """``ip:``: addresses from ``low`` to ``high``, packed."""

    low: bytes
    high: bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """``subj:``: words, all of which stand in the subject; ``…*`` begins a word."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InState:
    """``state:``: the message or one of its recipients is in one of these states."""

    states: tuple[State, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A field of plain text; what ``value`` has to do with it is the field's own matter."""

    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Span:
    """A number from ``low`` to ``high``, both included, None for no bound."""

    field: str
    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class Anywhere:
    """Any of these matches."""

    terms: tuple["Address | MessageId | Id | Ip | Subject", ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Alternatives, each of conditions that hold together."""

    alternatives: tuple[tuple["Term", ...], ...]


Matcher = Address | MessageId | Id | Ip | Subject | InState | Text | Span | Anywhere | Group


@dataclass(frozen=True, slots=True)
class Term:
    """One condition of a query; ``written`` is its text."""

    matcher: Matcher
    negated: bool
    written: str


@dataclass(frozen=True, slots=True)
class Query:
    """All conditions; ``since`` and ``until`` in microseconds since the Unix epoch."""

    text: str = ""
    terms: tuple[Term, ...] = ()
    since: int | None = None
    until: int | None = None


EVERYTHING = Query()
"""The query that leaves nothing out."""

MAX_CONJUNCTIONS = 256


def conjunctions(query: Query) -> list[Query]:
    """Queries without groups, of which a message meets one when it meets ``query``.

    Raises SearchError where they would be more than MAX_CONJUNCTIONS.
    """
    spread = list(islice(_spread(query.terms), MAX_CONJUNCTIONS + 1))
    if len(spread) > MAX_CONJUNCTIONS:
        raise SearchError(query.text, 0, "there are too many alternatives in this query")
    return [Query(query.text, terms, query.since, query.until) for terms in spread]


def _spread(terms: tuple[Term, ...]) -> Iterator[tuple[Term, ...]]:
    for chosen in product(*(list(islice(_ways(t), MAX_CONJUNCTIONS + 1)) for t in terms)):
        yield tuple(term for way in chosen for term in way)


def _ways(term: Term) -> Iterator[tuple[Term, ...]]:
    """The ways in which one term can be met."""
    if not isinstance(term.matcher, Group):
        yield (term,)
    elif not term.negated:
        for alternative in term.matcher.alternatives:
            yield from _spread(alternative)
    else:  # none of the alternatives: of each one, some condition fails
        failing = tuple(
            Term(Group(tuple((_opposite(one),) for one in alternative)), False, term.written)
            for alternative in term.matcher.alternatives
        )
        yield from _spread(failing)


def _opposite(term: Term) -> Term:
    return Term(term.matcher, not term.negated, term.written)
