"""What is said of messages again and again: envelopes, structures, headers, sort keys."""

from collections.abc import Sequence
from dataclasses import dataclass

from mtad.imap import bodies
from mtad.imap.session import Session
from mtad.mime import bodystructure, envelope, preview, sorting
from mtad.mime.message import parse


@dataclass(frozen=True, slots=True)
class Summary:
    """One message: answers of FETCH ready to send, its header, its sort keys."""

    envelope: bytes
    body: bytes
    bodystructure: bytes
    header: bytes
    preview: str
    keys: sorting.Keys


async def summarised(session: Session, mailbox: str, uids: Sequence[int]) -> dict[int, Summary]:
    """Summaries by UID, without those of messages that are gone."""
    return await bodies.each(session.box, mailbox, uids, summary)


def summary(data: bytes) -> Summary:
    """The summary of a message as on the wire."""
    part = parse(data)
    body, extended = bodystructure.both(data, part)
    start, end = part.header
    return Summary(
        envelope.envelope(data, part),
        body,
        extended,
        data[start:end],
        preview.preview(data, part),
        sorting.keys(part),
    )
