"""Which waiting recipients a query means: the filter language, on the queue.

A message is found as everywhere; of its recipients, those count that still wait and that the
query's ``to:`` and ``state:`` speak of. So ``to:@slow.test state:deferred`` means a domain's
recipients and not everyone a message to it has.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from mtad.where import Kept
from tracing import addresses, ids, saved, search, waiting
from tracing.queries import Log
from tracing.render import Document, rfc3339
from tracing.states import State
from tracing.terms import conjunctions
from tracing.waiting import ENTRY, Part

_OPEN = search.Term(search.InState(tuple(state for state in State if state.is_open)), False, "")
_M, _N, _ADDR, _STATE, _ORIGINAL = (
    ENTRY.index(name) for name in ("m", "n", "addr", "state", "original")
)

Takes = Callable[[list[Any]], bool]


def parts(directory: Kept, text: str) -> Iterator[Part]:
    """The recipients that a query means, oldest first. Raises search.SearchError."""
    query = saved.parse(directory, _spelled(text))
    if not query.terms and query.since is None and query.until is None:
        yield from waiting.parts(directory)
        return
    # Of each alternative the recipients it speaks of: one may mean others of the same message.
    ways: dict[int, list[list[Takes]]] = {}
    with closing(Log(directory)) as log:
        for way in conjunctions(query):
            takes = [_takes(term) for term in way.terms if _is_of_recipient(term)]
            whole = search.Query(way.text, (*way.terms, _OPEN), way.since, way.until)
            for chunk in log.id_chunks(whole):
                for m in chunk:
                    ways.setdefault(m, []).append(takes)
    for part in waiting.parts(directory, sorted(ways)):
        entries = [
            entry
            for entry in part["entries"]
            if any(all(take(entry) for take in takes) for takes in ways[entry[_M]])
        ]
        if entries:
            wanted = {entry[_M] for entry in entries}
            messages = [one for one in part["messages"] if one[0] in wanted]
            yield {"messages": messages, "entries": entries}


def _spelled(text: str) -> str:
    """A whole id by itself is that message and no word of a subject."""
    words = (f"id:{word}" if ids.parse(word) is not None else word for word in text.split(" "))
    return text if '"' in text else " ".join(words)


def _is_of_recipient(term: search.Term) -> bool:
    matcher = term.matcher
    return isinstance(matcher, search.InState) or (
        isinstance(matcher, search.Address) and matcher.role == "to"
    )


def _takes(term: search.Term) -> Takes:
    matcher = term.matcher
    if isinstance(matcher, search.InState):
        states = {int(state) for state in matcher.states}
        return lambda entry: (entry[_STATE] in states) is not term.negated
    assert isinstance(matcher, search.Address)
    wanted = matcher
    return lambda entry: (
        any(matches(wanted, entry[field]) for field in (_ADDR, _ORIGINAL)) is not term.negated
    )


def matches(wanted: search.Address, address: str) -> bool:
    """Whether an address is one that is wanted, as ``tracing.finding`` looks addresses up."""
    folded = addresses.fold(address)
    local, host = addresses.split(folded)
    if wanted.null or not folded:
        return False
    if wanted.domain:
        return host == wanted.domain or host.endswith("." + wanted.domain)
    if wanted.exact:
        return folded == wanted.exact
    if len(wanted.part) < 3:
        return local.startswith(wanted.part)
    return addresses.words(wanted.part) in addresses.words(folded)


# ------------------------------------------------------------------- documents


def listing(directory: Kept, text: str, limit: int) -> Iterator[Document]:
    """Lines of up to ``limit`` ``recipients``; the last one says how many were ``left_out``."""
    shown = left_out = 0
    for part in parts(directory, text):
        messages = {message[0]: message for message in part["messages"]}
        entries = part["entries"][: limit - shown]
        shown += len(entries)
        left_out += len(part["entries"]) - len(entries)
        if entries:
            nobody = ["", 0, "", ""]
            yield {
                "recipients": [
                    _recipient(entry, *messages.get(entry[_M], [0, *nobody])[1:])
                    for entry in entries
                ]
            }
    yield {"done": True, "left_out": left_out}


def keys(directory: Kept, text: str) -> Iterator[Document]:
    """Lines of ``keys``, each a message and a number, and a last one that says ``done``."""
    for part in parts(directory, text):
        yield {"keys": [[entry[_M], entry[_N]] for entry in part["entries"]]}
    yield {"done": True}


def by_destination(directory: Kept, text: str) -> Iterator[Document]:
    """One line of ``destinations``: what waits, by domain; the one with most comes first."""
    found: dict[str, _Destination] = {}
    for part in parts(directory, text):
        for entry in part["entries"]:
            domain = addresses.fold(entry[_ADDR]).rpartition("@")[2]
            found.setdefault(domain, _Destination(domain)).add(entry)
    ordered = sorted(found.values(), key=lambda one: (-one.recipients, one.domain))
    yield {"destinations": [one.document() for one in ordered], "done": True}


def _recipient(entry: list[Any], sender: str, size: int, rel: str, subject: str) -> Document:
    """A waiting recipient; times are RFC 3339, ids as people read them."""
    said = dict(zip(ENTRY, entry, strict=True))
    params = waiting.parameters(entry)
    return {
        "id": ids.text(said["m"]),
        "n": said["n"],
        "state": State(said["state"]).word,
        "from": params.get("sender", "") if params.get("resent") else sender,
        "to": said["addr"],
        "original": said["original"],
        "accepted_for": params.get("was", ""),
        "accepted_at": rfc3339(said["at"]),
        "tries": said["tries"],
        "next_try": rfc3339(said["next_try"]) if said["next_try"] else "",
        "held": params.get("held", ""),
        "warned": bool(params.get("warned")),
        "host": said["host"],
        "code": said["code"],
        "enhanced": said["enh"],
        "reply": said["reply"],
        "notify": params.get("notify", ""),
        "priority": params.get("priority", 0),
        "size": size,
        "subject": subject,
        "rel": rel,
    }


@dataclass(slots=True)
class _Destination:
    """What waits for a domain; times in microseconds."""

    domain: str
    recipients: int = 0
    held: int = 0
    oldest: int = 0
    next_try: int = 0
    said_at: int = -1
    reply: str = ""

    def add(self, entry: list[Any]) -> None:
        said = dict(zip(ENTRY, entry, strict=True))
        self.recipients += 1
        self.held += said["state"] == State.HELD
        self.oldest = min(self.oldest or said["at"], said["at"])
        if said["next_try"]:
            self.next_try = min(self.next_try or said["next_try"], said["next_try"])
        if said["reply"] and said["last"] > self.said_at:
            self.said_at, self.reply = said["last"], said["reply"]

    def document(self) -> Document:
        return {
            "domain": self.domain,
            "recipients": self.recipients,
            "held": self.held,
            "oldest": rfc3339(self.oldest),
            "next_try": rfc3339(self.next_try) if self.next_try else "",
            "reply": self.reply,
        }
