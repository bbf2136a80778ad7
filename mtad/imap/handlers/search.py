"""SEARCH and UID SEARCH (RFC 9051 6.4.4)."""

from mtad.imap import results
from mtad.imap.answer import No, Ok
from mtad.imap.commands import Search
from mtad.imap.handlers.chosen import opened
from mtad.imap.searching import Searching, asks_modseq
from mtad.imap.session import Session


async def search(session: Session, command: Search) -> Ok | None:
    """Tell which messages match. What fails leaves an empty result to ``$`` (RFC 5182 2.1)."""
    selected = opened(session)
    if asks_modseq(command.key):
        session.enabled.add("CONDSTORE")
    searching = Searching(session, selected)
    try:
        found = await searching.run(command.key)
    except No:
        if command.returns is not None and "SAVE" in command.returns:
            selected.saved = []
        raise
    await results.tell(session, selected, command, searching, found)
    return None
