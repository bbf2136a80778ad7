"""A message with all that came of it, drawn as a tree with a verdict at each leaf (PURE)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from tracing import verdict
from tracing.render import Document, safe

_RELATIONS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "dsn": "delivery report",
        "double-bounce": "notice of a failed report",
        "report": "report",
        "notice": "notice",
        "local": "handed over here",
        "redirect": "sent on in its place",
    },
    "ru": {
        "dsn": "отчёт о доставке",
        "double-bounce": "извещение о недоставленном отчёте",
        "report": "отчёт",
        "notice": "извещение",
        "local": "передано на этой машине",
        "redirect": "отправлено вместо него",
    },
}


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A recipient, and its verdict."""

    address: str
    sentence: str


def lines(document: Document, words: verdict.Book, zone: tzinfo | None = None) -> Iterator[str]:
    """The lines of a tree document (``tracing.answers.tree``); the one asked for is marked."""
    members: Sequence[Document] = document["messages"]
    known = {one["trace"] for one in members}
    children: dict[str, list[Document]] = {}
    for one in members:
        parent = one["parent"] if one["parent"] in known else ""
        children.setdefault(parent, []).append(one)
    for one in children.get("", ()):
        yield _message(one, document["asked"], words.language)
        yield from _below(one, "", document["asked"], children, words, zone)


def _below(
    top: Document,
    indent: str,
    asked: str,
    children: Mapping[str, Sequence[Document]],
    words: verdict.Book,
    zone: tzinfo | None,
) -> Iterator[str]:
    """Recipients and messages below one; walks without recursion, however deep it is."""
    stack: list[tuple[str, Iterator[tuple[bool, _Leaf | Document]]]] = [
        (indent, _members(top, children, words, zone))
    ]
    while stack:
        indent, rest = stack[-1]
        found = next(rest, None)
        if found is None:
            stack.pop()
            continue
        is_last, one = found
        branch, further = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
        if isinstance(one, _Leaf):
            yield f"{indent}{branch}{safe(one.address) or '-'}: {one.sentence}"
        else:
            yield f"{indent}{branch}{_message(one, asked, words.language)}"
            stack.append((indent + further, _members(one, children, words, zone)))


def _members(
    one: Document,
    children: Mapping[str, Sequence[Document]],
    words: verdict.Book,
    zone: tzinfo | None,
) -> Iterator[tuple[bool, _Leaf | Document]]:
    below: list[_Leaf | Document] = [
        _Leaf(judged.addr, judged.sentence) for judged in verdict.judge(one, words, zone)
    ]
    below += children.get(one["trace"], ())
    for number, member in enumerate(below, 1):
        yield number == len(below), member


def _message(one: Document, asked: str, language: str) -> str:
    message = one["message"]
    rel = _RELATIONS[language].get(one["rel"], safe(one["rel"]))
    said = [
        one["trace"] + ("*" if one["trace"] == asked else ""),
        f"[{rel}]" if rel else "",
        verdict.clock(message["at"], None) if message["at"] else "",
        safe(message["from"]) or "<>",
        safe(message["subject"]),
    ]
    return "  ".join(filter(None, said))
