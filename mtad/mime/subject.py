"""Base subjects (RFC 5256 2.1; PURE)."""

import re

from mtad.mime import words

MAX_SUBJECT = 4096
"""Characters of a subject that count."""

_BLOB = r"\[[^\[\]]*\][ \t]*"
_LEADER = re.compile(r"(?:re|fwd?)[ \t]*(?:" + _BLOB + r")?:[ \t]*", re.I)
_LEADING_BLOB = re.compile(_BLOB)
_TRAILER = "(fwd)"
_FORWARD = re.compile(r"\[fwd:(.*)\]\Z", re.I | re.S)


def base(subject: bytes) -> tuple[str, bool]:
    """The base subject of a Subject's value, and whether it was that of a reply or forward."""
    return base_of(words.decoded(subject))


def base_of(text: str) -> tuple[str, bool]:
    """The same of a subject that is decoded."""
    text = " ".join(text[:MAX_SUBJECT].split())
    is_reply = False
    while True:
        while text[-len(_TRAILER) :].lower() == _TRAILER:
            text = text[: -len(_TRAILER)].rstrip()
            is_reply = True
        at, is_leading = _without_leaders(text)
        is_reply |= is_leading
        text = text[at:]
        forward = _FORWARD.match(text)
        if forward is None:
            return text, is_reply
        text = forward[1].strip()
        is_reply = True


def _without_leaders(text: str) -> tuple[int, bool]:
    """Where the subject begins behind what RFC 5256 calls subj-leader and subj-blob."""
    at, is_reply = 0, False
    while True:
        before, end = at, at
        while found := _LEADING_BLOB.match(text, end):
            before, end = end, found.end()
        # blobs go with a leader behind them, and alone as long as something is left
        leader = _LEADER.match(text, end)
        if leader is None:
            return (end if end < len(text) else before), is_reply
        at, is_reply = leader.end(), True
