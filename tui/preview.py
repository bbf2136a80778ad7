"""A message as a page of text: a few header fields, its text part, what is attached. PURE.

Nothing of it is carried out or fetched; of HTML there is the text a reader sees. The lines may
hold anything a stranger wrote: they are cleaned where they are shown.
"""

from collections.abc import Iterator, Sequence

from mtad.mime import fields, message, text, words
from mtad.mime.message import Part
from mtad.mime.parameters import disposition
from tui import formats
from tui.lang import N_, _

MAX_OCTETS = 8 * 2**20
"""Octets of a message that are read to show its text."""
MAX_TEXT = 32_768
"""Characters of the text that are shown."""
MAX_LINES = 1_000
MAX_ATTACHED = 50
HEADER: tuple[tuple[bytes, str], ...] = (
    (b"from", N_("From")), (b"to", N_("To")), (b"cc", N_("Cc")), (b"date", N_("Date")),
    (b"subject", N_("Subject")), (b"message-id", "Message-ID"),
)  # fmt: skip
"""The fields that are shown, and what they are called."""


def lines(raw: bytes, size: int) -> Sequence[str]:
    """The page of a message of ``size`` octets, of which ``raw`` is the beginning."""
    data = message.wire(raw)
    root = message.parse(data)
    page = [f"{_(name)}: {value}" for name, value in _header(root)]
    page += ["", *_body(data, root)]
    attached = list(_attached(data, root))
    if attached:
        page += ["", *(f"[{line}]" for line in attached[:MAX_ATTACHED])]
    if len(attached) > MAX_ATTACHED:
        page.append(_("{} more are not shown").format(len(attached) - MAX_ATTACHED))
    if len(raw) < size:
        page += ["", _("the message goes on; this is its beginning")]
    return page


def _header(root: Part) -> Iterator[tuple[str, str]]:
    for field, name in HEADER:
        value = fields.first(root.fields, field)
        if value is not None:
            yield name, words.decoded(fields.shown(value), "")


def _body(data: bytes, root: Part) -> Sequence[str]:
    """The first text that says anything, plain text before HTML."""
    for kinds in ((b"plain", b"enriched", b"markdown"), (b"html", b"xhtml")):
        for part in text.every(root):
            if part.kind != b"text" or part.subtype not in kinds or _name(part) is not None:
                continue
            found = text.of_part(data, part, 4 * MAX_TEXT)
            if found.strip():
                return _bounded(found)
    return [_("it has no text")]


def _bounded(found: str) -> Sequence[str]:
    every = found[:MAX_TEXT].replace("\t", "    ").splitlines()
    cut = len(found) > MAX_TEXT or len(every) > MAX_LINES
    page = [line.rstrip() for line in every[:MAX_LINES]]
    return [*page, "", _("the text goes on; this is its beginning")] if cut else page


def _attached(data: bytes, root: Part) -> Iterator[str]:
    """What is beside the text: name, kind, octets."""
    for part in text.every(root):
        name = _name(part)
        if part.is_multipart or part.message is not None or (part.kind == b"text" and name is None):
            continue
        kind = f"{part.kind.decode('latin-1')}/{part.subtype.decode('latin-1')}"
        octets = formats.size(part.body[1] - part.body[0])
        yield f"{name or _('no name')}  {kind}  {octets}"


def _name(part: Part) -> str | None:
    """The name of an attachment; None for what is none, empty for one without a name."""
    said = disposition(fields.first(part.fields, b"content-disposition") or b"")
    named = part.parameter(b"name")
    for key, value in said[1] if said is not None else ():
        if key == b"filename":
            named = value
    if named is not None:
        return words.decoded(named, "")
    return "" if said is not None and said[0].lower() == b"attachment" else None
