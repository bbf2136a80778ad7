"""IDLE: news as they come (RFC 9051 6.3.13, RFC 2177)."""

import asyncio

from mtad.imap.answer import Bad, Ok, line
from mtad.imap.commands import Plain
from mtad.imap.session import Session


async def idle(session: Session, command: Plain) -> Ok | None:
    """Until the client says DONE; between news a word that the connection is alive."""
    session.put(b"+ idling\r\n")
    loop = asyncio.get_running_loop()
    every = session.service.limits.keep_alive_seconds
    heard = loop.time()
    was_idle, session.is_idle = session.is_idle, True
    try:
        while True:
            if session.has_news():
                await session.tell(expunges=True)
                heard = loop.time()
            elif loop.time() >= heard + every:
                session.put(line(b"*", b"OK", "Still here"))
                heard = loop.time()
            timer = loop.call_at(heard + every, session.connection.poke)
            try:
                said = await session.connection.line(session)
            finally:
                timer.cancel()
            if said is not None:
                break
    finally:
        session.is_idle = was_idle
    if said.upper() != b"DONE":
        raise Bad("IDLE ends with DONE")
    return Ok("IDLE terminated")
