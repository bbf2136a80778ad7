"""SASL messages as SMTP, IMAP and POP3 carry them: base64 on a line (RFC 4954 4) (PURE)."""

import binascii

from mtad.sasl.steps import MAX_MESSAGE

MAX_LINE = MAX_MESSAGE // 3 * 4 + 4
"""Characters of a message's base64. RFC 4954 4 names 12,288 for mechanisms with tickets."""


class Malformed(ValueError):
    """The line is no base64, or too long."""


class Cancelled(Exception):
    """The client gave up the exchange with ``*``."""


def initial(argument: bytes) -> bytes | None:
    """An initial response: None where there is none, ``=`` is an empty one. Raises Malformed."""
    if not argument:
        return None
    return b"" if argument == b"=" else _decoded(argument)


def response(line: bytes) -> bytes:
    """The answer to a challenge. Raises Malformed, Cancelled."""
    if line == b"*":
        raise Cancelled
    return _decoded(line)


def challenge(data: bytes) -> str:
    """A challenge as it goes on the line."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def _decoded(line: bytes) -> bytes:
    if len(line) > MAX_LINE:
        raise Malformed("the response is too long")
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error:
        raise Malformed("the response is not base64") from None
