"""SEARCH and UID SEARCH (RFC 9051 6.4.4)."""

from mtad.imap import results
from mtad.imap.answer import Bad, Ok
from mtad.imap.commands import Search
from mtad.imap.handlers.chosen import opened
from mtad.imap.searching import Searching, asks_modseq
from mtad.imap.session import Session


async def search(session: Session, command: Search) -> Ok | None:
    """Tell which messages match."""
    selected = opened(session)
    if command.charset and "UTF8=ACCEPT" in session.enabled:
        raise Bad("Strings are UTF-8 already, name no charset (RFC 9755 3)")
    if asks_modseq(command.key):
        session.use_modseqs()
    searching = Searching(session, selected)
    found = await searching.find(command)
    await results.tell(session, selected, command, searching, found)
    return None
