"""The mail of an account on another IMAP server, mailbox by mailbox, as a source.

Mailboxes are only examined, so that nothing changes there. What an earlier import brought is
not asked for again. Mailboxes for a use (RFC 6154) go to the one that has this use here. Views
of other mailboxes (flagged, important) are passed by; one of all mail is read last, for what is
in no other, which Gmail and OBJECTID (RFC 8474) tell.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from mtad.errors import MtadError, NothingFound
from mtad.store import names, uses
from mtad.transfer import layout
from mtad.transfer.arriving import Incoming, Numbered, Unreadable
from mtad.transfer.heads import ARCHIVE
from mtad.transfer.present import tag
from mtad.transfer.remembered import Remembered
from mtad.transfer.remote import PIECE, Account, Pace, Session
from mtad.transfer.sources import Messages, Problem

LISTED = 20_000
"""Messages whose UIDs are asked for at once: their line must not become too long."""
TOLD = 200
"""Messages of which flags, dates and sizes are asked at once."""
SAVE_SECONDS = 2.0
"""Between two times that it is written down what came; what is not costs another look."""
_ALL = "\\All"
_VIEWS = frozenset({"\\flagged", "\\important"})
_NONE = frozenset({"\\noselect", "\\nonexistent"})
_IDS = {b"X-GM-EXT-1": "X-GM-MSGID", b"OBJECTID": "EMAILID"}


class Folder(NamedTuple):
    """A mailbox there, and what it becomes here; ``view`` that it shows other mailboxes' mail."""

    name: str
    mailbox: str
    view: bool


class Told(NamedTuple):
    """What a server says of a message before it is fetched."""

    uid: int
    size: int
    flags: tuple[str, ...]
    at_ns: int


class ImapSource:
    """An account. ``used`` are the mailboxes that have a use here, by that use."""

    def __init__(
        self, account: Account, pace: Pace, remembered: Remembered, used: Mapping[str, str]
    ) -> None:
        self.name = str(account)
        self.octets = 0
        self.done = 0
        self.problems: list[Problem] = []
        self.passed = 0
        self._account = account
        self._session = Session(account, pace)
        self._remembered = remembered
        self._used = used
        self._id_item = ""
        self._seen: set[Any] = set()
        self._is_saved = True
        self._save_at = 0.0
        try:
            self._folders = self._find()
        except BaseException:
            self._session.close()
            raise
        self._has_view = any(one.view for one in self._folders)

    def mailboxes(self) -> list[str]:
        """What the mailboxes there become here."""
        return sorted({one.mailbox for one in self._folders if not one.view})

    def messages(self) -> Messages:
        """What did not come before, in the order of the UIDs."""
        for folder in self._folders:
            yield from self._of(folder)

    def close(self) -> None:
        """Take leave of the server, and write down what came. Raises OSError."""
        self._session.close()
        self._save()

    def handed_over(self, those: Sequence[Incoming]) -> None:
        """These are in the box: they need not come again."""
        for one in those:
            if one.number is not None:
                known = self._remembered.uids(one.key, one.number.uidvalidity)
                known.add(one.number.uid)
                self._is_saved = False
        if time.monotonic() > self._save_at:
            self._save()

    def _save(self) -> None:
        if not self._is_saved:
            self._remembered.save()
            self._is_saved = True
        self._save_at = time.monotonic() + SAVE_SECONDS

    # ---------------------------------------------------------------- mailboxes

    def _find(self) -> list[Folder]:
        """The mailboxes to read. Raises NothingFound where a named one is not there."""
        capabilities = self._session.do(lambda c: c.capabilities())
        self._id_item = next((item for word, item in _IDS.items() if word in capabilities), "")
        prefix, others = "", []
        if b"NAMESPACE" in capabilities:
            space = self._session.do(lambda c: c.namespace())
            prefix = str(space.personal[0][0]) if space.personal else ""
            others = [
                str(one[0]) for one in (*(space.other or ()), *(space.shared or ())) if one[0]
            ]
        found = []
        for flags, delimiter, name in self._session.do(lambda c: c.list_folders()):
            name = name if isinstance(name, str) else str(name)
            words = {flag.decode("ascii", "replace").lower() for flag in flags}
            wanted = self._account.folder
            if wanted and name != wanted:
                continue
            if words & _NONE or (not wanted and name.startswith(tuple(others))):
                continue
            if words & _VIEWS and not wanted:
                continue
            split = delimiter.decode() if delimiter else "/"
            is_all = _ALL.lower() in words and not wanted
            if is_all and not self._id_item:
                self.problems.append(Problem(name, "it shows mail of other mailboxes: passed by"))
                continue
            found.append(Folder(name, self._mailbox(name, split, prefix, words), is_all))
        if not found and self._account.folder:
            raise NothingFound(f"{self._account} is no mailbox there")
        return sorted(found, key=lambda one: (one.view, one.name.upper() != "INBOX", one.name))

    def _mailbox(self, name: str, split: str, prefix: str, words: set[str]) -> str:
        if name.upper() == names.INBOX or self._account.folder:
            return names.INBOX
        if _ALL.lower() in words:
            return self._used.get("\\Archive", ARCHIVE)
        for use, usual in uses.USUAL.items():
            if use.lower() in words:
                return self._used.get(use, usual[0])
        if prefix and name.startswith(prefix):
            name = name.removeprefix(prefix)
        return layout.mailbox(part for part in name.split(split) if part)

    # ----------------------------------------------------------------- messages

    def _of(self, folder: Folder) -> Iterator[Incoming]:
        try:
            answer = self._session.select(folder.name)
        except MtadError as error:
            if type(error) is not MtadError:  # the server is gone
                raise
            self.problems.append(Problem(folder.name, str(error)))
            return
        validity, count = answer.get(b"UIDVALIDITY"), answer.get(b"EXISTS")
        uidnext = answer.get(b"UIDNEXT", 1)
        if not (isinstance(validity, int) and isinstance(count, int) and isinstance(uidnext, int)):
            self.problems.append(Problem(folder.name, "the server does not number its messages"))
            return
        known = self._remembered.uids(folder.name, validity)
        uids = [uid for uid in self._uids(folder, count) if uid not in known]
        for start in range(0, len(uids), TOLD):
            for few in _pieces(self._tell(uids[start : start + TOLD])):
                piece = _Piece(self._session, few)
                for one in few:
                    key = f"{self.name}\0{folder.name}\0{validity}\0{one.uid}".encode()
                    flags, words = _marks(one.flags)
                    yield Incoming(
                        folder.mailbox,
                        f"{folder.name}, UID {one.uid}",
                        partial(piece.chunks, one),
                        flags,
                        words,
                        one.at_ns,
                        True,
                        size=one.size,
                        number=Numbered(one.uid, validity, max(uidnext, one.uid + 1)),
                        tag=tag(key),
                        key=folder.name,
                    )
                    self.done += one.size

    def _uids(self, folder: Folder, count: int) -> list[int]:
        """The UIDs of a mailbox, in order; of a view, those of messages seen nowhere else."""
        found: set[int] = set()
        for first in range(1, count + 1, LISTED):
            span = f"{first}:{min(count, first + LISTED - 1)}"
            found.update(map(int, self._session.do(lambda c, span=span: c.search([span]))))  # type: ignore[misc]
        uids = sorted(found)
        return self._apart(folder, uids) if self._has_view and self._id_item else uids

    def _apart(self, folder: Folder, uids: Sequence[int]) -> list[int]:
        """Of a view the messages that no other mailbox has; what others have is kept in mind."""
        found = []
        for start in range(0, len(uids), TOLD):
            few = self._session.fetch(uids[start : start + TOLD], self._id_item)
            for uid, fields in few.items():
                identity = fields.get(self._id_item.encode())
                if not folder.view:
                    self._seen.add(identity)
                    found.append(uid)
                elif identity not in self._seen:
                    found.append(uid)
        return sorted(found)

    def _tell(self, uids: Sequence[int]) -> list[Told]:
        found = []
        told = self._session.fetch(uids, "FLAGS", "INTERNALDATE", "RFC822.SIZE")
        for uid, fields in sorted(told.items()):
            if b"RFC822.SIZE" not in fields:
                continue
            at = fields.get(b"INTERNALDATE")
            flags = tuple(flag.decode("utf-8", "replace") for flag in fields.get(b"FLAGS", ()))
            at_ns = int(at.timestamp()) * 1_000_000_000 if at else 0
            found.append(Told(uid, int(fields[b"RFC822.SIZE"]), flags, at_ns))
        self.octets += sum(one.size for one in found)
        return found


class _Piece:
    """Messages that are fetched at once, as soon as one of them is wanted."""

    def __init__(self, session: Session, few: Sequence[Told]) -> None:
        self._session = session
        self._few = few
        self._raws: dict[int, bytes | None] | None = None

    def chunks(self, one: Told) -> Iterator[bytes]:
        """A message's octets. Raises Unreadable where the server has none."""
        if one.size > PIECE:
            yield from self._in_parts(one)
            return
        if self._raws is None:
            found = self._session.fetch([each.uid for each in self._few], "BODY.PEEK[]")
            self._raws = {uid: fields.get(b"BODY[]") for uid, fields in found.items()}
        raw = self._raws.get(one.uid)
        if raw is None:
            raise Unreadable("the server does not give it")
        yield raw

    def _in_parts(self, one: Told) -> Iterator[bytes]:
        at = 0
        while True:
            item = f"BODY.PEEK[]<{at}.{PIECE}>"
            part = self._session.fetch([one.uid], item).get(one.uid, {}).get(b"BODY[]<%d>" % at)
            if part is None:
                raise Unreadable(f"the server does not give it from octet {at:,} on")
            if part:
                yield part
            if len(part) < PIECE:
                return
            at += len(part)


def _pieces(told: Sequence[Told]) -> Iterator[list[Told]]:
    """Messages that are asked for at once; a large one by itself."""
    few: list[Told] = []
    size = 0
    for one in told:
        if few and size + one.size > PIECE:
            yield few
            few, size = [], 0
        few.append(one)
        size += one.size
    if few:
        yield few


def _marks(flags: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Letters and keywords of flags; what a session alone has is left out."""
    letters, words = "", []
    for flag in flags:
        letter = names.flag_letter(flag)
        if letter is not None:
            letters += letter
        elif not flag.startswith("\\"):
            words.append(flag)
    return letters, tuple(words)
