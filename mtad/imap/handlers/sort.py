"""SORT and UID SORT (RFC 5256, RFC 5267)."""

from mtad.imap import results, sorting
from mtad.imap.answer import Ok
from mtad.imap.commands import Sort
from mtad.imap.handlers.chosen import opened
from mtad.imap.searching import Searching, asks_modseq
from mtad.imap.session import Session


async def sort(session: Session, command: Sort) -> Ok | None:
    """Tell which messages match, in order."""
    selected = opened(session)
    if asks_modseq(command.key):
        session.use_modseqs()
    searching = Searching(session, selected)
    found = await searching.find(command)
    found = await sorting.ordered(session, selected, searching, found, command.criteria)
    await results.tell(session, selected, command, searching, found)
    return None
