"""What clients are told unasked of the mailbox they have selected (RFC 9051 7.4.1, 7.5).

Expunges first, since they change numbers, then the count, then flags. With QRESYNC expunges are
UIDs (RFC 7162 3.2.10), with UIDONLY everything is (RFC 9586 3).
"""

from collections.abc import Sequence

from mtad.imap import write
from mtad.imap.place import ALL_FLAGS, permitted
from mtad.imap.selected import Selected
from mtad.imap.session import Session

SLICE = 256
"""Lines after which others have their turn."""
MAX_SET = 4096
"""Octets of a set of numbers in one response."""
FLAGS = (b"\\Answered", b"\\Flagged", b"\\Deleted", b"\\Seen", b"\\Draft", b"$Forwarded")
"""What every mailbox has: Maildir's letters (``mtad.store.names``)."""


async def tell(session: Session, *, expunges: bool) -> None:
    """Send what the client does not know yet; ``expunges`` tells whether numbers may change.

    Raises Gone.
    """
    selected = session.selected
    if selected is None or not selected.has_news():
        return
    if selected.keywords != len(selected.view.keywords):
        session.put(flags(session, selected))
    news = selected.news(expunges=expunges)
    if news.gone:
        await _gone(session, news.gone)
    if news.exists is not None:
        fresh = not session.rev2 and selected.claim()
        session.put(b"* %d EXISTS\r\n" % news.exists)
        if not session.rev2 and (fresh or news.gone):
            session.put(b"* %d RECENT\r\n" % len(selected.recent))
    for start in range(0, len(news.flagged), SLICE):
        lines = [flag_line(session, selected, uid) for uid in news.flagged[start : start + SLICE]]
        await session.write(b"".join(lines))
        await session.drain()


async def _gone(session: Session, gone: Sequence[tuple[int, int]]) -> None:
    if session.qresync or session.uidonly:
        await vanished(session, [uid for _, uid in reversed(gone)])
        return
    for start in range(0, len(gone), SLICE):
        part = gone[start : start + SLICE]
        await session.write(b"".join([b"* %d EXPUNGE\r\n" % number for number, _ in part]))


async def vanished(session: Session, uids: Sequence[int], *, earlier: bool = False) -> None:
    """VANISHED for ascending UIDs, in as many responses as keep their lines short. Raises Gone."""
    numbers = write.number_set(uids)
    while numbers:
        end = len(numbers) if len(numbers) <= MAX_SET else numbers.rindex(b",", 0, MAX_SET)
        await session.write(b"* VANISHED %b%b\r\n" % (b"(EARLIER) " * earlier, numbers[:end]))
        numbers = numbers[end + 1 :]


def flag_line(session: Session, selected: Selected, uid: int) -> bytes:
    """A message's flags as an untagged FETCH or UIDFETCH; nothing when it is gone."""
    flag_text = selected.flag_text(uid)
    if flag_text is None:
        return b""
    modseq = b" MODSEQ (%d)" % selected.view.modseq(uid) if session.condstore else b""
    if session.uidonly:
        return b"* %d UIDFETCH (FLAGS (%b)%b)\r\n" % (uid, flag_text, modseq)
    number = selected.number(uid)
    return b"* %d FETCH (UID %d FLAGS (%b)%b)\r\n" % (number, uid, flag_text, modseq)


def flags(session: Session, selected: Selected) -> bytes:
    """The flags a mailbox has and those that may be set: FLAGS and PERMANENTFLAGS."""
    words = tuple(word.encode() for word in selected.view.keywords if word)
    selected.keywords = len(selected.view.keywords)
    known = b" ".join((*FLAGS, *words))
    permanent = b"" if selected.read_only else _permanent(selected.rights, known)
    said = b"Flags that can be changed" if permanent else b"No flags can be changed"
    return b"* FLAGS (%b)\r\n* OK [PERMANENTFLAGS (%b)] %b\r\n" % (known, permanent, said)


def _permanent(rights: str, known: bytes) -> bytes:
    """Those of all flags that may be changed with these rights (RFC 4314 5.1.1)."""
    if ALL_FLAGS.issubset(rights):
        return known + b" \\*"
    return " ".join(permitted(rights, [*known.decode().split(), "\\*"])).encode()
