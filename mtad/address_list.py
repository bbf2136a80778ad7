"""The addresses in a header field, like From, To or Sender (RFC 5322 3.4; PURE).

Strict where a lenient reader could be led to see another address than the recipient's program
does: whatever is not the grammar is refused as a whole. Comments and display names mean nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_FIELD = 8192
"""Octets of a field that are read; a longer one is refused."""
MAX_ADDRESSES = 100
"""Addresses in one field; more are refused."""

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
  | (?P<open>\()
  | "(?P<quoted>(?:[^"\\\x00]|\\[^\x00])*)"
  | (?P<literal>\[[^\[\]\\\x00-\x20]*\])
  | (?P<special>[<>,;:@.])
  | (?P<atom>[^\x00-\x20()<>\[\]:;@\\,."\x7f]+)
    """,
    re.VERBOSE,
)
_IN_COMMENT = re.compile(r"[^()\\]*(?:\\.[^()\\]*)*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def parse(value: bytes) -> list[str]:
    """Each address as ``local@domain``, quotes taken off, in order. Raises ValueError.

    ``value`` is the field's, folded or not. A field without any address gives an empty list.
    """
    if len(value) > MAX_FIELD:
        raise ValueError("the field is too long")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("the field is not UTF-8") from None
    found, element, group = [], list[_Token](), False
    angle = False
    for token in _tokens(text):
        if angle or token.kind != "special" or token.text in "<>@.":
            angle = angle and token.text != ">" if token.kind == "special" else angle
            angle = angle or (token.kind == "special" and token.text == "<")
            element.append(token)
        elif token.text == ":":
            if group or not _is_phrase(element):
                raise ValueError("a group is malformed")
            element, group = [], True
        else:
            if element:
                found.append(_address(element))
            if len(found) > MAX_ADDRESSES:
                raise ValueError("too many addresses")
            element = []
            if token.text == ";":
                if not group:
                    raise ValueError("a semicolon ends no group")
                group = False
    if group:
        raise ValueError("a group has no end")
    if element:
        found.append(_address(element))
    return found


def _tokens(text: str) -> Iterator[_Token]:
    """The words and specials of a field, without spaces and comments."""
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"character {at} is out of place")
        at = match.end()
        kind = match.lastgroup or ""
        if kind == "open":
            at = _after_comment(text, at)
        elif kind == "quoted":
            yield _Token(kind, re.sub(r"\\(.)", r"\1", match["quoted"], flags=re.DOTALL))
        elif kind != "space":
            yield _Token(kind, match[0])


def _after_comment(text: str, at: int) -> int:
    """Where a comment ends whose opening parenthesis was before ``at``; they nest."""
    depth = 1
    while depth:
        match = _IN_COMMENT.match(text, at)
        assert match is not None
        at = match.end()
        if at >= len(text) or text[at] == "\\":
            raise ValueError("a comment has no end")
        depth += 1 if text[at] == "(" else -1
        at += 1
    return at


def _is_phrase(tokens: list[_Token]) -> bool:
    """Words only; dots are in many display names without quotes (RFC 5322 4.1)."""
    return all(token.kind in ("atom", "quoted") or token.text == "." for token in tokens)


def _address(tokens: list[_Token]) -> str:
    """One mailbox, with or without a display name (RFC 5322 3.4)."""
    marks = [i for i, token in enumerate(tokens) if token == _Token("special", "<")]
    if marks:
        start = marks[0]
        if tokens[-1] != _Token("special", ">") or not _is_phrase(tokens[:start]):
            raise ValueError("an address is malformed")
        tokens = tokens[start + 1 : -1]
    ats = [i for i, token in enumerate(tokens) if token == _Token("special", "@")]
    if len(ats) != 1:
        raise ValueError("an address is malformed")
    local, domain = tokens[: ats[0]], tokens[ats[0] + 1 :]
    if not _is_dotted(local, ("atom", "quoted")):
        raise ValueError("the part before @ is malformed")
    if not _is_dotted(domain, ("atom",)) and [one.kind for one in domain] != ["literal"]:
        raise ValueError("the domain is malformed")
    return "".join(one.text for one in local) + "@" + "".join(one.text for one in domain)


def _is_dotted(tokens: list[_Token], kinds: tuple[str, ...]) -> bool:
    """Words with a dot between each two."""
    return len(tokens) % 2 == 1 and all(
        token.text == "." and token.kind == "special" if i % 2 else token.kind in kinds
        for i, token in enumerate(tokens)
    )
