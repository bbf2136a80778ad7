"""A message's summary, made from its octets: what most clients ask of every message (PURE)."""

import msgspec

from mtad.mime import preview, section, text, words
from mtad.mime.bodystructure import both
from mtad.mime.envelope import envelope
from mtad.mime.fields import Fields
from mtad.mime.message import parse, wire
from mtad.mime.sorting import keys

FORMAT = 2
"""Higher whenever anything rendered here would come out otherwise; older caches are dropped."""
MAX_ROW = 2**20
"""Octets of a summary that is kept; a longer one is made each time."""


SEARCHED = ("bcc", "cc", "from", "subject", "to")
"""Fields that clients search all the time (RFC 9051 6.4.4)."""


class Rest(msgspec.Struct, frozen=True, array_like=True):
    """What is compared and searched, not sent: see ``mtad.mime.sorting.Keys``."""

    sent: tuple[int, int] | None
    subject: str
    is_reply: bool
    from_mailbox: str
    to_mailbox: str
    cc_mailbox: str
    from_display: str
    to_display: str
    preview: str


class Summary:
    """What is kept of a message: answers ready to be sent, and keys to compare.

    ``header`` is the whole header in its wire form with the empty line; NUL in it is octet 128.
    Where one asked for some only, the others are empty; keys and ``searched`` are made later
    than the rest where many are made.
    """

    __slots__ = ("_read", "_rest", "body", "bodystructure", "envelope", "header", "searched")

    def __init__(
        self,
        envelope: bytes = b"",
        body: bytes = b"",
        bodystructure: bytes = b"",
        rest: bytes = b"",
        header: bytes = b"",
        searched: tuple[str, ...] = (),
    ) -> None:
        self.envelope = envelope
        self.body = body
        self.bodystructure = bodystructure
        self._rest = rest
        self._read: Rest | None = None
        self.header = header
        self.searched = searched
        """Of a summary that was just made: the fields in ``SEARCHED``, decoded and folded."""

    @property
    def rest(self) -> Rest:
        """The keys; only of a summary that was asked for with them."""
        if self._read is None:
            self._read = _decoder.decode(self._rest)
        return self._read

    @property
    def sent(self) -> tuple[int, int] | None:
        """The sent date in seconds and its zone, None where there is none."""
        return self.rest.sent

    @property
    def subject(self) -> str:
        """The base subject, folded (RFC 5256 2.1)."""
        return self.rest.subject

    @property
    def is_reply(self) -> bool:
        """Whether the subject was that of a reply or forward."""
        return self.rest.is_reply

    @property
    def from_mailbox(self) -> str:
        """The mailbox of the first address in From, folded; To and Cc likewise."""
        return self.rest.from_mailbox

    @property
    def to_mailbox(self) -> str:
        """See ``from_mailbox``."""
        return self.rest.to_mailbox

    @property
    def cc_mailbox(self) -> str:
        """See ``from_mailbox``."""
        return self.rest.cc_mailbox

    @property
    def from_display(self) -> str:
        """What a client shows of From, folded (RFC 5957 3)."""
        return self.rest.from_display

    @property
    def to_display(self) -> str:
        """What a client shows of To, folded (RFC 5957 3)."""
        return self.rest.to_display

    @property
    def preview(self) -> str:
        """The first words (RFC 8970)."""
        return self.rest.preview

    def outline(self) -> tuple[bytes, bytes, bytes, bytes]:
        """What the table ``outline`` holds; of one that is not whole the last is empty."""
        return self.envelope, self.body, self.bodystructure, self._rest

    @property
    def is_whole(self) -> bool:
        """Whether it has its keys."""
        return bool(self._rest)

    @property
    def size(self) -> int:
        """Octets it takes to keep."""
        return sum(map(len, self.outline())) + len(self.header)


def rendered(stored: bytes, *, whole: bool = True) -> Summary:
    """The summary of a message as it is stored; all of it, or what is sent."""
    data = wire(stored)
    part = parse(data)
    sent = (envelope(data, part), *both(data, part))
    header = section.find(data, part, (), "HEADER") or b""
    if not whole:
        return Summary(*sent, b"", header)
    rest = _encoder.encode(Rest(*keys(part), preview.preview(data, part)))
    return Summary(*sent, rest, header, searched(part.fields))


def searched(header: Fields) -> tuple[str, ...]:
    """The fields in ``SEARCHED`` of a header, decoded and folded."""
    every = (header.get(name.encode(), ()) for name in SEARCHED)
    return tuple(text.fold("\n".join(map(words.decoded, values))) for values in every)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Rest)
