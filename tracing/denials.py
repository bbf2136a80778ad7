"""Logins that a network rule turned away: why somebody's mail was never seen."""

from collections.abc import Iterator
from contextlib import closing
from datetime import tzinfo

from mtad.where import Kept
from tracing import addresses, answers, ids, saved
from tracing.access import AuthRefused
from tracing.event import Event
from tracing.queries import Log
from tracing.render import Document, moment, rfc3339, safe
from tracing.terms import Address, Matcher, Text

MOST = 3
SPAN = 30 * 86_400_000_000
"""Microseconds before the end of the question that are looked at, where it names no beginning."""


def of(directory: Kept, text: str, now: int) -> list[AuthRefused]:
    """The last logins against a network rule by the sender that a question names, newest first."""
    with answers.readable(directory), closing(Log(directory)) as log:
        query = saved.parse(directory, text)
        people = set(_people(term.matcher for term in query.terms if not term.negated))
        if not people:
            return []
        until = query.until or now
        since = query.since or until - SPAN
        found = log.latest(("auth.refused",), since, lambda event: _is_by(event, people, until))
        return [
            one.event
            for one, _ in zip(found, range(MOST), strict=False)
            if isinstance(one.event, AuthRefused)
        ]


def _people(wanted: Iterator[Matcher]) -> Iterator[str]:
    for one in wanted:
        if isinstance(one, Address) and one.role == "from":
            yield one.exact or one.part
        elif isinstance(one, Text) and one.field == "user":
            yield addresses.fold(one.value)


def _is_by(event: Event, people: set[str], until: int) -> bool:
    if not isinstance(event, AuthRefused) or event.at >= until:
        return False
    own = addresses.fold(event.addr or event.login)
    return any(person and person in (own, own.partition("@")[0]) for person in people)


def sentence(event: AuthRefused, template: str, zone: tzinfo | None = None) -> str:
    """One of them on a line, by the template NETWORK_DENIED_LOGIN."""
    when = f"{moment(event.at, zone):%Y-%m-%d %H:%M:%S}"
    said = {"login": event.login, "ip": event.ip, "rule": event.rule, "service": event.service}
    return safe(template.format(when=when, **said))


def as_document(event: AuthRefused) -> Document:
    """One of them as JSON shows it."""
    return {
        "at": rfc3339(event.at),
        "trace": ids.text(event.trace),
        "login": event.login,
        "box": event.addr,
        "ip": event.ip,
        "service": event.service,
        "rule": event.rule,
    }
