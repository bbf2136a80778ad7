"""What FETCH takes out of a message's octets, ready to send (RFC 9051 6.4.5, RFC 3516; PURE).

Octets are as on the wire, line ends CRLF.
"""

from collections.abc import Sequence

from mtad.imap import write
from mtad.imap.commands import Item, Section
from mtad.mime import section as sections
from mtad.mime.message import Part, parse

SECTIONS = {
    "RFC822": Section(),
    "RFC822.HEADER": Section(what="HEADER"),
    "RFC822.TEXT": Section(what="TEXT"),
}
"""Items of RFC 3501 and the sections they are other names of."""


def label(item: Item) -> bytes:
    """How an item is named in the answer, such as ``BODY[1.HEADER.FIELDS (To)]<0>``."""
    if not item.name.endswith("[]"):
        return item.name.encode()
    of = item.section
    said = ".".join([*map(str, of.part), *filter(None, [of.what])]).encode()
    if of.fields:
        said += b" (%b)" % b" ".join(map(write.astring, of.fields))
    begin = b"" if item.partial is None else b"<%d>" % item.partial[0]
    return b"%b[%b]%b" % (item.name.removesuffix("[]").encode(), said, begin)


def partly(item: Item, data: bytes) -> bytes:
    """What ``<offset.count>`` leaves of octets."""
    if item.partial is None:
        return data
    offset, count = item.partial
    return data[offset : offset + count]


class Reading:
    """The items that are read from files; one message after the other, in any thread."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        self.is_unknown = False
        """Whether a part could not be decoded (RFC 3516 4.3); it is told as NIL."""

    def __call__(self, data: bytes) -> Sequence[bytes | write.Long]:
        """The items' values, in order."""
        message = Opened(data)
        return [self._value(item, message) for item in self._items]

    def _value(self, item: Item, message: "Opened") -> bytes | write.Long:
        if item.name.startswith("BINARY"):
            try:
                found = sections.binary(message.data, message.part, item.section.part)
            except sections.UnknownEncoding:
                self.is_unknown = True
                found = None
            if item.name == "BINARY.SIZE[]":
                return b"%d" % len(found or b"")
            if found is None:
                return b"NIL"
            found = partly(item, found)
            return write.literal8(found) if b"\0" in found else write.literal(found)
        found = message.section(SECTIONS.get(item.name, item.section))
        return b"NIL" if found is None else write.long_literal(partly(item, found))


class Opened:
    """A message that is parsed when it has to be."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._part: Part | None = None

    @property
    def part(self) -> Part:
        """Its structure."""
        if self._part is None:
            self._part = parse(self.data)
        return self._part

    def section(self, of: Section) -> bytes | None:
        """A section's octets, None where the message has no such part."""
        if not of.part and not of.what:
            # A NUL, which no literal may have, is shown as octet 128.
            return self.data.replace(b"\0", b"\x80") if b"\0" in self.data else self.data
        return sections.find(self.data, self.part, of.part, of.what, of.fields)
