"""A person's own mail in the log: what became of it, and nothing of others.

A message is a person's own when the address sent it, by envelope or login, or is one of its
recipients, as given or as rewritten. Who sent it sees each recipient's fate under the address it
was sent to, but not where recipients keep their copies, what they did with them, or where they
pass their mail on. A recipient sees nothing of the other recipients, blind copies least of all,
and no question can find out about them.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from mtad.where import Kept
from tracing import addresses, answers, ids, search
from tracing.choosing import matches
from tracing.queries import Log
from tracing.render import Document
from tracing.terms import (
    Address,
    Anywhere,
    Group,
    Id,
    InState,
    Matcher,
    MessageId,
    Query,
    SearchError,
    Span,
    Subject,
    Term,
    Text,
)
from tracing.verdict import HIDDEN

_OF_COPIES = ("box.", "restore.message")
_OF_MESSAGE = ("smtp.accept", "mail.made")
_OF_RECIPIENT = (
    *("route.", "queue.", "store.", "dsn.", "smtp.rcpt", "smtp.reject", "smtp.tempfail"),
    *("out.delivered", "out.deferred", "out.failed"),
)
_OF_OTHERS = frozenset(
    {"n", "addr", "code", "enh", "reply", "host", "stage", "why", "attempt", "next_try", "hours"}
    | {"tries", "action", "diagnostic", "reporter", "actor"}
)
"""Fields that a sender may see of what happened to a recipient."""


def answer(directory: Kept, address: str, text: str, limit: int) -> Document:
    """The person's messages that a query finds, or the timeline of one that it names.

    Raises what ``answers.readable`` does.
    """
    with answers.readable(directory), closing(Log(directory)) as log:
        return _View(log, addresses.fold(address)).answer(text, limit)


def _term(matcher: Matcher, *, negated: bool = False) -> Term:
    return Term(matcher, negated, "")


def _is_to(matcher: Matcher) -> bool:
    return isinstance(matcher, Address) and matcher.role == "to"


@dataclass(slots=True)
class _View:
    """The log through the eyes of one person."""

    log: Log
    person: str

    def answer(self, text: str, limit: int) -> Document:
        named = answers.named(self.log, addresses.storable(text.strip())) if text.strip() else None
        asked = search.parse("" if named is not None else text, time.time_ns() // 1000)
        terms = [_term(Id(named, named + 1))] if named is not None else list(self._safe(asked))
        own = _term(Group(tuple((way,) for way in (*self._sent(), self._got()))))
        query = Query(text, (own, *terms), asked.since, asked.until)
        page = self.log.page(query, limit, answers.MAX_COUNTED, answers.MAX_LOOKED)
        if named is not None and page.ids == [named]:
            return self._timeline(named)
        rows = self.log.rows([m for m in page.ids if self._was_given(m, terms)])
        return {
            "schema": answers.SCHEMA,
            "address": self.person,
            "query": text,
            "messages": [self._listed(answers.message(rows[m])) for m in page.ids if m in rows],
            "left_out": page.older,
            "more": page.more,
        }

    # ------------------------------------------------------------ what may be asked

    def _sent(self) -> tuple[Term, ...]:
        return (_term(Address("from", exact=self.person)), _term(Text("user", self.person)))

    def _got(self) -> Term:
        return _term(Address("to", exact=self.person))

    def _safe(self, query: Query) -> Iterator[Term]:
        """The conditions of a query, those about others only of messages the person sent."""
        for term in query.terms:
            matcher = term.matcher
            if isinstance(matcher, Anywhere):
                kept = (one for one in matcher.terms if self._is_harmless(one))
                ways = tuple((_term(one),) for one in kept)
                yield _term(Group(ways), negated=term.negated)
            elif self._is_harmless(matcher):
                yield term
            elif isinstance(matcher, InState) or _is_to(matcher):
                yield _term(Group(tuple((sent, term) for sent in self._sent())))
            else:
                raise SearchError(
                    query.text, 0, f"{term.written or 'this'} is not asked of one's own mail"
                )

    def _was_given(self, m: int, terms: Sequence[Term]) -> bool:
        """Whether the conditions on recipients hold for the addresses the message was sent to.

        The log finds it by what they led to as well, which its sender does not know.
        """
        given = [one.original or one.addr for one in self.log.recipients(m)]
        for term in terms:
            ways = term.matcher.alternatives if isinstance(term.matcher, Group) else ()
            for wanted in {way[-1] for way in ways if len(way) == 2 and _is_to(way[-1].matcher)}:
                assert isinstance(wanted.matcher, Address)
                if any(matches(wanted.matcher, one) for one in given) is wanted.negated:
                    return False
        return True

    def _is_harmless(self, matcher: Matcher) -> bool:
        if isinstance(matcher, Address):
            return matcher.role == "from" or matcher.exact == self.person
        return isinstance(matcher, Subject | MessageId | Id) or (
            isinstance(matcher, Span) and matcher.field in ("size", "dir")
        )

    # --------------------------------------------------------------- what is shown

    def _is_sender(self, m: int) -> bool:
        narrow = _term(Id(m, m + 1))
        return any(self.log.ids(Query("", (way, narrow)), 1) for way in self._sent())

    def _listed(self, message: Document) -> Document:
        m = ids.parse(message["id"]) or 0
        if self._is_sender(m):
            given = [one.original or one.addr for one in self.log.recipients(m)]
            return {**message, "to": given[:3]}
        own = [one for one in self.log.recipients(m) if self.person in (one.addr, one.original)]
        state = own[0].state.word if own else message["state"]
        to = {"to": [self.person], "recipients": 1}
        return {**message, **to, "state": state, "ip": "", "helo": ""}

    def _timeline(self, m: int) -> Document:
        """The message with what concerns the person."""
        whole = answers.timeline(self.log, m)
        is_sender = self._is_sender(m)
        listed = {
            one["n"]: one
            for one in whole["message"]["recipient_list"]
            if is_sender or self._is_own(one)
        }
        events = [
            shown
            for event in whole["events"]
            if (shown := self._event(event, whole["trace"], listed, is_sender=is_sender))
        ]
        recipients = [self._recipient(one) for one in listed.values()]
        message = {**self._listed(whole["message"]), "recipient_list": recipients}
        return {**whole, "address": self.person, "message": message, "events": events}

    def _is_own(self, recipient: Document) -> bool:
        return self.person in (recipient["address"], recipient["original"])

    def _recipient(self, one: Document) -> Document:
        if self._is_own(one):
            return one
        place = {"mailbox": HIDDEN if one["mailbox"] else "", "stored": ""}
        if one["original"]:
            place |= {"address": one["original"], "original": "", "reply": ""}
        return {**one, **place}

    def _event(
        self, event: Document, trace: str, listed: dict[int, Document], *, is_sender: bool
    ) -> Document | None:
        """An event as the person may see it; None for one that is not to be seen."""
        kind, fields = event["kind"], event["fields"]
        if kind.startswith(_OF_COPIES):
            return event if fields.get("addr") == self.person else None
        if event["trace"] != trace:
            return None
        if kind in _OF_MESSAGE:
            kept = {
                name: fields[name] for name in ("code", "enh", "reply", "size") if name in fields
            }
            return {**event, "text": fields.get("reply", ""), "fields": kept}
        if not kind.startswith(_OF_RECIPIENT):
            return None
        one = listed.get(fields.get("n", 0))
        if one is None:
            is_refusal = is_sender and kind in ("smtp.reject", "smtp.tempfail")
            return event if is_refusal else None
        if self._is_own(one):
            return event
        if one["original"]:
            kept = {"n": one["n"], "addr": one["original"]}
        else:
            kept = {name: value for name, value in fields.items() if name in _OF_OTHERS}
        return {**event, "text": kept.get("reply", kept.get("why", "")), "fields": kept}
