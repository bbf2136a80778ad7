"""Whether what we put off was sent again: asked of the log for each recipient of a timeline."""

from contextlib import closing
from itertools import islice

from mtad.where import Kept
from tracing import answers, fields, ids, search
from tracing.queries import Log
from tracing.render import Document
from tracing.states import BY_WORD, State
from tracing.terms import Address, Term

_LOOKED = 20
"""Later messages between the two that are looked at."""


def add(directory: Kept, documents: list[Document]) -> None:
    """Put into each timeline with recipients put off ``returned``: what came of them later.

    By address the id of the next message from its sender that was taken for it, "" where none was.
    """
    waiting = [(one, given) for one in documents if (given := _put_off(one))]
    if not waiting:
        return
    with answers.readable(directory), closing(Log(directory)) as log:
        for document, given in waiting:
            document["returned"] = {to: _taken(log, document["message"], to) for to in given}


def _put_off(document: Document) -> list[str]:
    message = document["message"]
    listed = message["recipient_list"] if message is not None else ()
    return [
        one["address"]
        for one in listed
        if one["address"] and BY_WORD[one["state"]] is State.TEMPFAILED
    ]


def _taken(log: Log, message: Document, to: str) -> str:
    own = ids.parse(message["id"]) or 0
    wanted = (fields.address("from", message["from"] or "<>"), Address("to", exact=to.lower()))
    query = search.Query("", tuple(Term(one, False, "") for one in wanted))
    for m in islice(reversed(log.newer(query, own)), _LOOKED):
        states = [one.state for one in log.recipients(m) if to in (one.addr, one.original)]
        if any(state not in (State.TEMPFAILED, State.REFUSED, State.ABORTED) for state in states):
            return ids.text(m)
    return ""
