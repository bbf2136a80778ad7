"""Commands that are legal at any time: CAPABILITY, NOOP, LOGOUT, ID (RFC 9051 6.1, RFC 2971)."""

from importlib.metadata import version

from mtad.imap import capabilities, write
from mtad.imap.answer import Ok, line
from mtad.imap.commands import Id, Plain
from mtad.imap.session import LOGGED_IN, MAX_SOFTWARE, Session, State


async def capability(session: Session, command: Plain) -> Ok | None:
    """RFC 9051 6.1.1."""
    session.put(b"* CAPABILITY %b\r\n" % capabilities.of(session))
    return None


async def noop(session: Session, command: Plain) -> Ok | None:
    """RFC 9051 6.1.2: the time to tell what is new, also what other programs did to files."""
    if session.state & LOGGED_IN:
        await session.box.sync()
        if session.selected is not None and session.selected.place.reader:
            await session.selected.box.sync()
    return None


async def logout(session: Session, command: Plain) -> Ok | None:
    """RFC 9051 6.1.3."""
    session.put(line(b"*", b"BYE", "Logging out"))
    await session.unselect()
    session.state = State.LOGOUT
    return None


async def identify(session: Session, command: Id) -> Ok | None:
    """RFC 2971: who the client is goes into events; who we are is no secret either."""
    fields = {name.lower(): value for name, value in command.fields or () if value}
    said = " ".join(filter(None, (fields.get("name"), fields.get("version"))))
    session.software = "".join(filter(str.isprintable, said))[:MAX_SOFTWARE].strip()
    session.put(write.identity({"name": "mtad", "version": version("mtad")}))
    return None
