"""How a command ends: the status in its tagged response (RFC 9051 7.1).

A handler returns ``Ok`` or raises ``No`` or ``Bad``. ``code`` is what stands between the
brackets, ready to send; where ``text`` is empty, the command's name and "completed" are said.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ok:
    """The command succeeded."""

    text: str = ""
    code: bytes = b""


class Negative(Exception):
    """The command did not succeed; ``text`` is for people and has no line ends."""

    word = b""
    tag = "*"
    """The command's, where the error was found while it was read and it had one."""

    def __init__(self, text: str, code: bytes = b"") -> None:
        super().__init__(text)
        self.text = text
        self.code = code


class No(Negative):
    """The command was understood and failed."""

    word = b"NO"


class Bad(Negative):
    """The command is against the protocol."""

    word = b"BAD"


def line(tag: bytes, word: bytes, text: str, code: bytes = b"") -> bytes:
    """A status response as it goes on the wire; a tag of ``*`` makes it untagged.

    Text is made ASCII (RFC 9051 7.1 allows no other before ENABLE) and never empty.
    """
    said = text.encode("ascii", "replace").translate(_LINE_ENDS) or b"."
    return b"%b %b %b%b\r\n" % (tag, word, b"[%b] " % code if code else b"", said)


_LINE_ENDS = bytes.maketrans(b"\r\n\0", b"   ")
