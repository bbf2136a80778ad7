"""ENABLE (RFC 5161) and COMPRESS (RFC 4978): what a client switches on."""

from mtad.imap.answer import Bad, No, Ok
from mtad.imap.commands import Compress, Enable
from mtad.imap.session import Session, State

NAMES = {
    "CONDSTORE": "CONDSTORE",
    "IMAP4REV2": "IMAP4rev2",
    "QRESYNC": "QRESYNC",
    "UIDONLY": "UIDONLY",
    "UTF8=ACCEPT": "UTF8=ACCEPT",
}
"""What can be enabled, as it is announced. UTF8=ACCEPT may change what names look like, so it
must come before any mailbox is selected (RFC 9755 3)."""


async def enable(session: Session, command: Enable) -> Ok | None:
    """Names that cannot be enabled are passed over (RFC 5161 3.1)."""
    if "UTF8=ACCEPT" in command.capabilities and session.state is State.SELECTED:
        raise Bad("UTF8=ACCEPT must be enabled before a mailbox is selected")
    fresh = [
        name
        for name in dict.fromkeys(command.capabilities)
        if name in NAMES and name not in session.enabled
    ]
    session.put(" ".join(("* ENABLED", *(NAMES[name] for name in fresh))).encode() + b"\r\n")
    if "CONDSTORE" in fresh or "QRESYNC" in fresh:
        session.use_modseqs()
    session.enabled.update(fresh)
    return None


async def compress(session: Session, command: Compress) -> Ok | None:
    """RFC 4978 3: from the answer's end on, both ways."""
    if command.algorithm != "DEFLATE":
        raise Bad("Only DEFLATE is known")
    if session.connection.is_deflated:
        raise No("The connection is compressed already", b"COMPRESSIONACTIVE")

    async def begin() -> None:
        session.connection.start_deflate()

    session.then = begin
    return Ok("DEFLATE active")
