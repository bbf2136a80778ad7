"""Delivery status notifications made here (RFC 3464, RFC 6522, RFC 6533; PURE).

A report has three parts: words for people, fields for programs, and the message or its header.
Whatever a stranger said in it (replies, addresses, subjects) is one bounded value in one field,
or indented lines of text: it can begin no field and no part of its own.
"""

import binascii
import re
from collections.abc import Iterator, Sequence

from mtad.headers import Block, message_id, text
from mtad.reports.fields import address, date, field, unquoted
from mtad.reports.letter import MAX_REPLY, letter, title
from mtad.reports.values import Report, Reported
from tracing import ids

MAX_RETURNED = 1024 * 1024
"""Octets of a message that is returned whole; of a larger one the header alone is."""
MAX_HEADER = 64 * 1024
"""Octets of a header that is returned."""

_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_CLASS = {"failed": "5", "delayed": "4"}
_ID = re.compile(r"<[!-;=?-~]{1,250}>")


def build(report: Report) -> bytes:
    """The report as a message with line ends LF, ready to store; its reverse-path is ``<>``.

    It begins with Return-Path like every stored message; who relays it takes that line off. A
    report that is not ASCII needs 8BITMIME, one with ``is_global`` SMTPUTF8 too.
    """
    original = report.original
    block = Block(original.content, MAX_HEADER)
    subject = text(block.first(b"subject"))
    # RFC 3461 4.3: only a failure returns the whole message.
    is_wanted = report.what == "failed" and original.ret.upper() != "HDRS"
    is_whole = is_wanted and len(original.content) <= MAX_RETURNED
    parts = (
        _for_people(letter(report, subject, is_cut=is_wanted and not is_whole)),
        _for_programs(report),
        _returned(
            original.content if is_whole else _header(block),
            is_whole=is_whole,
            is_global=original.smtputf8,
        ),
    )
    boundary = _boundary(report.m, parts)
    kind = "global-delivery-status" if report.is_global else "delivery-status"
    encoding = "7bit" if all(map(bytes.isascii, parts)) else "8bit"
    head = "".join(
        (
            *_head(report, block, subject),
            "MIME-Version: 1.0\n",
            f'Content-Type: multipart/report; report-type={kind};\n boundary="{boundary}"\n',
            f"Content-Transfer-Encoding: {encoding}\n\n",
        )
    )
    line = f"--{boundary}"
    return b"%s%s%s--\n" % (
        head.encode(),
        b"".join(b"%s\n%s\n" % (line.encode(), part) for part in parts),
        line.encode(),
    )


def _head(report: Report, block: Block, subject: str) -> Iterator[str]:
    """The fields of the report's header, but those of MIME."""
    yield "Return-Path: <>\n"
    yield field("Date", date(report.at))
    yield field("From", f"Mail Delivery System <{report.postmaster}>")
    yield field("To", f"<{report.receiver}>", is_global=report.is_global)
    yield field("Subject", title(report, subject))
    yield field("Message-ID", f"<{ids.text(report.m)}@{report.hostname}>")
    yield field("Auto-Submitted", "auto-replied")
    parent = message_id(block.first(b"message-id"))
    if _ID.fullmatch(parent):
        yield field("In-Reply-To", parent)
        yield field("References", parent)


def _boundary(m: int, parts: Sequence[bytes]) -> str:
    """What is in no part, however the returned message tries."""
    boundary = f"=_{ids.text(m)}"
    while any(boundary.encode() in part for part in parts):
        boundary += "_"
    return boundary


def _part(kind: str, encoding: str, content: bytes) -> bytes:
    return f"Content-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n\n".encode() + content


def _for_people(words: str) -> bytes:
    octets = words.encode()
    if octets.isascii():
        return _part("text/plain; charset=us-ascii", "7bit", octets)
    lines = (binascii.b2a_base64(octets[n : n + 57]) for n in range(0, len(octets), 57))
    return _part("text/plain; charset=utf-8", "base64", b"".join(lines))


def _for_programs(report: Report) -> bytes:
    """Fields of the message, then of each recipient; groups are parted by empty lines."""
    groups = [_of_message(report)]
    groups += [_of_recipient(report, recipient) for recipient in report.recipients]
    content = "\n".join(
        "".join(field(name, value, is_global=report.is_global) for name, value in group)
        for group in groups
    )
    if report.is_global:
        return _part("message/global-delivery-status", "8bit", content.encode())
    return _part("message/delivery-status", "7bit", content.encode())


def _of_message(report: Report) -> Iterator[tuple[str, str]]:
    """RFC 3464 2.2."""
    yield "Reporting-MTA", f"dns; {report.hostname}"
    if report.original.envid:
        yield "Original-Envelope-Id", unquoted(report.original.envid)
    yield "Arrival-Date", date(report.original.arrived)


def _of_recipient(report: Report, recipient: Reported) -> Iterator[tuple[str, str]]:
    """RFC 3464 2.3, in the order it has there."""
    is_global = report.is_global
    kind, _, given = recipient.orcpt.partition(";")
    if given:
        yield "Original-Recipient", address(kind, unquoted(given), is_global=is_global)
    elif recipient.original:
        yield "Original-Recipient", address("rfc822", recipient.original, is_global=is_global)
    yield "Final-Recipient", address("rfc822", recipient.addr, is_global=is_global)
    yield "Action", report.what
    is_code = _STATUS.fullmatch(recipient.status)
    yield "Status", recipient.status if is_code else f"{_CLASS.get(report.what, '2')}.0.0"
    if recipient.host:
        yield "Remote-MTA", f"dns; {recipient.host}"
    if recipient.reply:
        yield "Diagnostic-Code", f"smtp; {recipient.reply[:MAX_REPLY]}"
    elif recipient.why:
        yield "Diagnostic-Code", f"x-mtad; {recipient.why[:MAX_REPLY]}"
    if recipient.last_attempt:
        yield "Last-Attempt-Date", date(recipient.last_attempt)
    yield "Final-Log-ID", ids.text(report.original.m)
    if recipient.retry_until and report.what == "delayed":
        yield "Will-Retry-Until", date(recipient.retry_until)


def _header(block: Block) -> bytes:
    """The header, or as much of it as there is room for in whole lines."""
    header = block.raw[1:]
    if len(header) >= MAX_HEADER:
        header = header[: header.rfind(b"\n") + 1]
    return header.removesuffix(b"\n") + b"\n"


def _returned(content: bytes, *, is_whole: bool, is_global: bool) -> bytes:
    """The message, or its header alone (RFC 3462 2; RFC 6533 5 and 6 where international)."""
    encoding = "7bit" if content.isascii() else "8bit"
    if is_global and encoding == "8bit":
        kind = "message/global" if is_whole else "message/global-headers"
    else:
        kind = "message/rfc822" if is_whole else "text/rfc822-headers"
    return _part(kind, encoding, content)
