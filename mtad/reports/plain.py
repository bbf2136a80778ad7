"""Bounces in plain words: who was not reached and why, out of prose (PURE).

There is no grammar for it. Mail systems put an address at the beginning of a line and the
reason beside or below it, or speak of the address in a sentence; then comes the message they
return. What tells more is asked first, and what is sure of nothing gives nothing.
"""

import re
from collections.abc import Iterator, Sequence

from mtad.reports import phrases
from mtad.reports.status_fields import MAX_GROUPS, MAX_VALUE, Told

MAX_LINES = 400
"""Lines of prose that are looked at."""
MAX_LINE = 1000
"""Characters of a line that are looked at."""
MAX_REASON = 12
"""Lines after an address in which its reason is looked for."""

_ADDRESS = r"(?<![^\s<>()\[\]\",;:'])([^\s<>()\[\]\",;:]{1,128}@[\w.-]{1,200}\w)"
_ANY = re.compile(_ADDRESS)
_LEADING = re.compile(rf"[\s>*\"'<«\[-]{{0,20}}(?:mailto:|smtp:)?{_ADDRESS}[>\"'»\]]*(.*)", re.I)
_AFTER = re.compile(r"\s*(?:$|[:;(,.-]|on\s|\s(?=[A-Z(\[<0-9])|reason\b|because\b)")
_ABOUT = re.compile(
    r"deliver|recipient|\buser|mailbox|address|unknown|reject|fail|return|reach|sen[dt]|message to"
    r"|problem|rcpt to|error|dda:|доставл|получател|адрес|^\W{0,8}[45]\d\d\b",
    re.IGNORECASE,
)
MAX_BEFORE = 120
"""Characters before an address in which it is told what it is about."""
_FROM = re.compile(rf"(?:expanded|generated|forwarded)[ -]from:? ?<?{_ADDRESS}", re.IGNORECASE)
_TO = re.compile(rf"\s{{0,20}}to:\s*<?{_ADDRESS}", re.IGNORECASE)
_NOBODY = re.compile(r"(?:mailer-daemon|postmaster|no-?reply|abuse|support|help(?:desk)?)@", re.I)
_OPENING = re.compile(
    r"(?:could|can|was|were|is) ?not (?:be )?deliver|wasn't able to deliver|unable to deliver"
    r"|undeliverable|delivery.{0,30}fail|did not (?:reach|receive)|could not deliver|has failed to"
    r"|failed recipient|intended recipient|no such user|created automatically by mail"
    r"|permanent (?:fatal )?error|user unknown|unknown user|returned mail|error was detected"
    r"|not be sent|can't be delivered|couldn't be delivered|не (?:может|удалось) .{0,9}доставл",
    re.IGNORECASE,
)
MAX_OPENING = 20
"""Lines of prose that say what a message is about."""

_MARK = re.compile(
    r"\W{0,20}(?:below this line is a copy|this is a copy of|a copy of (?:the|your) original"
    r"|(?:begin )?original message|(?:the )?headers? of the original|message headers? follow"
    r"|headers? of (?:the|your) message|included is a copy|unsent message (?:follows|below)"
    r"|message body follows|your (?:original )?message (?:follows|reads)|returned message"
    r"|copy of (?:your )?message|here is a copy|text of (?:the )?(?:original )?message)",
    re.IGNORECASE,
)
_HEADER = re.compile(r"[ \t>|]{0,12}([A-Za-z][\w-]{1,40})[ \t]?:")
_USUAL = frozenset({"from", "to", "subject", "date", "received", "message-id", "mime-version"})
_SURE = frozenset({"received", "return-path", "delivered-to", "message-id", "mime-version"})
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_AROUND = " <>[]()*:\"'"


def parted(text: str) -> tuple[str, str]:
    """The prose, and the header of the message it returns (line ends LF; may be empty)."""
    lines = [line[:MAX_LINE] for line in _CONTROL.sub(" ", text).split("\n")]
    prose = returned = min(len(lines), MAX_LINES)
    for n, line in enumerate(lines[:MAX_LINES]):
        if n and prose == returned and _MARK.match(line):
            prose = n
        if _HEADER.match(line) and _is_header(lines[n : n + 40]):
            returned = n
            break
    header = []
    for line in lines[returned : returned + 300]:
        if not line.strip():
            break
        header.append(line)
    return "\n".join(lines[: min(prose, returned)]), "\n".join(_dedented(header))


def _is_header(lines: Sequence[str]) -> bool:
    """Whether a header begins here: three usual fields, and one that prose never has."""
    names = set[str]()
    for line in lines:
        if found := _HEADER.match(line):
            names.add(found[1].lower())
        elif not line[:1].isspace() or not line.strip():
            break
    return len(names & _USUAL) >= 3 and bool(names & _SURE)


def _dedented(lines: list[str]) -> Iterator[str]:
    found = _HEADER.match(lines[0]) if lines else None
    margin = found.start(1) if found else 0
    for line in lines:
        yield line[margin:] if not line[:margin].strip(" \t>|") else line


def is_about_failure(prose: str) -> bool:
    """Whether it begins like a bounce does."""
    return bool(_OPENING.search(_joined(prose.split("\n")[:MAX_OPENING])))


def recipients(prose: str, known: Sequence[str], others: Sequence[str]) -> tuple[Told, ...]:
    """Who was not reached, as the prose tells.

    ``known`` are the recipients where they were told of elsewhere; ``others`` addresses that
    are none: the person the bounce is for and the system that sent it.
    """
    lines = [line.rstrip() for line in prose.split("\n")]
    if known:
        found = [(_line_of(lines, address), address) for address in known]
    else:
        found = _mentions(lines, {address.lower() for address in others})
    whole = _joined(lines)
    is_delay = phrases.is_delay(whole)
    usual = phrases.status(_ANY.sub("", whole), delayed=is_delay)
    starts = sorted(n for n, _ in found if n >= 0)
    told = {}
    for n, address in found[:MAX_GROUPS]:
        after = next((start for start in starts if start > n), len(lines))
        own = lines[n : min(after, n + MAX_REASON)] if n >= 0 else []
        told[address.lower()] = _told(address, _joined(own), usual, is_delay=is_delay)
    return tuple(told.values())


def _mentions(lines: Sequence[str], not_wanted: set[str]) -> list[tuple[int, str]]:
    """Line and address of each recipient named, by the surest of the ways that finds any."""
    for way in (_leading, _spoken, _alias, _to):
        found = dict[str, tuple[int, str]]()
        for n, line in enumerate(lines):
            for address in way(line):
                if address.lower() not in not_wanted and not _NOBODY.match(address):
                    found.setdefault(address.lower(), (n, address))
        if found:
            return list(found.values())
    return []


def _line_of(lines: Sequence[str], address: str) -> int:
    """The line that tells of an address, -1 where none does."""
    leading = (n for n, line in enumerate(lines) for a in _leading(line) if a == address)
    naming = (n for n, line in enumerate(lines) if address in line)
    return next(leading, next(naming, -1))


def _leading(line: str) -> Iterator[str]:
    """An address that begins the line and is followed by nothing, a colon or a reason."""
    found = _LEADING.match(line)
    if found and _AFTER.match(found[2]):
        yield _plain(found[1])


def _spoken(line: str) -> Iterator[str]:
    """Addresses that a sentence is about, or a reply of a server."""
    end = 0
    for found in _ANY.finditer(line):
        before = line[max(end, found.start() - MAX_BEFORE) : found.start()]
        end = found.end()
        if _ABOUT.search(before) and not before.endswith("from "):
            yield _plain(found[1])


def _alias(line: str) -> Iterator[str]:
    """An address that led to one that is kept secret."""
    if found := _FROM.search(line):
        yield _plain(found[1])


def _to(line: str) -> Iterator[str]:
    """An address of the message returned, where nothing else tells."""
    if found := _TO.match(line):
        yield _plain(found[1])


def _plain(address: str) -> str:
    address = address.strip("'`").rstrip(".")
    return address[5:] if address[:5].lower() == "smtp=" else address


def _told(address: str, said: str, usual: str, *, is_delay: bool) -> Told:
    """What the lines about an address tell, or else the whole prose (``usual``)."""
    before, _, after = said.partition(address)
    reason = after.lstrip(".,;").strip(_AROUND) or before.strip(_AROUND)
    status = phrases.status(reason, delayed=is_delay) if reason else ""
    status = usual if status[2:] in ("", "0.0") else status
    original = _FROM.search(said)
    return Told(
        address,
        _plain(original[1]) if original else "",
        "delayed" if is_delay else "failed",
        status,
        reason[:MAX_VALUE],
    )


def _joined(lines: Sequence[str]) -> str:
    return " ".join(" ".join(lines).split())[: 4 * MAX_VALUE]
