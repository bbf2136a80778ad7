"""Threads of messages (RFC 5256 3; PURE)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mtad.mime.subject import base

MAX_DEPTH = 10_000
"""Answers to answers; beyond, none is taken in."""
MAX_REFERENCES = 1000
"""Message-IDs of one References field that are looked at, the last ones."""

_ID = re.compile(rb"<([^<>\s]+)>")


class Mail(NamedTuple):
    """What a thread is made of. ``uid`` is given back; ``date`` is the sent date in seconds, and
    where that is missing when the message came (RFC 5256 2.2). The others are field values."""

    uid: int
    message_id: bytes
    references: bytes
    in_reply_to: bytes
    subject: bytes
    date: int


class Thread:
    """A message and the answers to it; ``mail`` is None where the message is not there."""

    __slots__ = ("children", "date", "mail", "order", "parent")

    def __init__(self, mail: Mail | None = None, order: int = 0) -> None:
        self.mail = mail
        self.order = order
        self.date = 0 if mail is None else mail.date
        self.parent: Thread | None = None
        self.children: list[Thread] = []

    def adopt(self, child: "Thread") -> None:
        """Take a thread in as an answer, away from where it was."""
        if child.parent is not None:
            child.parent.children.remove(child)
        child.parent = self
        self.children.append(child)

    def is_below(self, other: "Thread") -> bool:
        """Whether this is ``other`` or an answer to it; at a great depth it is said to be."""
        at: Thread | None = self
        for _ in range(MAX_DEPTH):
            if at is other:
                return True
            if at is None:
                return False
            at = at.parent
        return True


def ordered_subject(mails: Iterable[Mail]) -> list[Thread]:
    """Threads of equal base subjects, the first of each the parent of all others (RFC 5256 3)."""
    found: dict[str, list[Thread]] = {}
    for order, mail in enumerate(mails):
        found.setdefault(base(mail.subject)[0].casefold(), []).append(Thread(mail, order))
    threads = []
    for members in found.values():
        members.sort(key=_by_date)
        first, *others = members
        for other in others:
            first.adopt(other)
        threads.append(first)
    return sorted(threads, key=_by_date)


def references(mails: Iterable[Mail]) -> list[Thread]:
    """Threads by Message-IDs, then by base subjects (RFC 5256 3, REFERENCES)."""
    root = Thread()
    for thread in _linked(mails):
        if thread.parent is None:
            root.adopt(thread)
    _prune(root)
    _sort(root)
    _gather(root)
    _sort(root)
    for thread in root.children:
        thread.parent = None
    return root.children


def written(threads: Sequence[Thread], number: Mapping[int, int] | None = None) -> bytes:
    """Threads as THREAD answers them; ``number`` gives sequence numbers for UIDs."""
    out: list[bytes] = []
    todo: list[Thread | bytes] = list(reversed(threads))
    is_listed = [True] * len(todo)
    while todo:
        at, starts = todo.pop(), is_listed.pop()
        if isinstance(at, bytes):
            out.append(at)
            continue
        if starts:
            out.append(b"(")
            todo.append(b")")
            is_listed.append(False)
        if at.mail is not None:
            uid = at.mail.uid
            out.append(b"%d" % (uid if number is None else number[uid]))
            if at.children:
                out.append(b" ")
        # one answer goes on in the same list, several are lists of their own
        is_nested = len(at.children) > 1
        todo += reversed(at.children)
        is_listed += [is_nested] * len(at.children)
    return b"".join(out)


def _by_date(thread: Thread) -> tuple[int, int]:
    return thread.date, thread.order


def _linked(mails: Iterable[Mail]) -> list[Thread]:
    """Step 1: every message, and every one that is referred to, with its parent."""
    by_id: dict[bytes, Thread] = {}
    threads: list[Thread] = []
    for order, mail in enumerate(mails):
        found = _ID.search(mail.message_id)
        own = by_id.get(found[1]) if found else None
        if own is None or own.mail is not None:
            # no Message-ID, or one that another message has: nothing can refer to it
            is_known = own is not None
            own = Thread(mail, order)
            threads.append(own)
            if found and not is_known:
                by_id[found[1]] = own
        else:
            own.mail, own.order, own.date = mail, order, mail.date
        parent: Thread | None = None
        for name in _references(mail):
            referred = by_id.get(name)
            if referred is None:
                referred = by_id[name] = Thread(None, order)
                threads.append(referred)
            if parent is not None and referred.parent is None and _may_adopt(parent, referred):
                parent.adopt(referred)
            parent = referred
        if parent is not None and parent is not own.parent and _may_adopt(parent, own):
            parent.adopt(own)
        elif parent is None and own.parent is not None:
            own.parent.children.remove(own)
            own.parent = None
    return threads


def _references(mail: Mail) -> list[bytes]:
    names = _ID.findall(mail.references)[-MAX_REFERENCES:]
    if names:
        return names
    found = _ID.search(mail.in_reply_to)
    return [found[1]] if found else []


def _may_adopt(parent: Thread, child: Thread) -> bool:
    if parent is child:
        return False
    return not child.children or not parent.is_below(child)


def _every(root: Thread) -> list[Thread]:
    """All threads below a root, each before its children."""
    found, at = [root], 0
    while at < len(found):
        found += found[at].children
        at += 1
    return found


def _prune(root: Thread) -> None:
    """Step 3: those that are not there give way to their answers."""
    for thread in reversed(_every(root)):
        kept: list[Thread] = []
        for child in thread.children:
            if child.mail is None and (
                not child.children or thread is not root or len(child.children) == 1
            ):
                for grandchild in child.children:
                    grandchild.parent = thread
                kept += child.children
            else:
                kept.append(child)
        thread.children = kept


def _sort(root: Thread) -> None:
    """Steps 4 and 6: by date; one that is not there has the date of its first answer."""
    for thread in reversed(_every(root)):
        thread.children.sort(key=_by_date)
        if thread.mail is None and thread.children:
            thread.date, thread.order = _by_date(thread.children[0])


def _subject(thread: Thread) -> tuple[str, bool]:
    mail = thread.mail
    if mail is None:
        mail = thread.children[0].mail if thread.children else None
    if mail is None:
        return "", False
    text, is_reply = base(mail.subject)
    return text.casefold(), is_reply


def _gather(root: Thread) -> None:
    """Step 5: threads of one base subject become one."""
    subjects = [(thread, *_subject(thread)) for thread in root.children]
    table: dict[str, tuple[Thread, bool]] = {}
    for thread, subject, is_reply in subjects:
        if not subject:
            continue
        known = table.get(subject)
        if (
            known is None
            or (thread.mail is None and known[0].mail is not None)
            or (known[0].mail is not None and known[1] and not is_reply)
        ):
            table[subject] = (thread, is_reply)
    gone: set[int] = set()
    for thread, subject, is_reply in subjects:
        known = table.get(subject) if subject else None
        if known is None or known[0] is thread:
            continue
        first, first_is_reply = known
        gone.add(id(thread))
        thread.parent = None
        if first.mail is None:
            if thread.mail is None:
                for child in list(thread.children):
                    first.adopt(child)
            else:
                first.adopt(thread)
        elif is_reply and not first_is_reply:
            first.adopt(thread)
        else:
            both = Thread()
            both.date, both.order = _by_date(first)
            gone.add(id(first))
            first.parent = None
            both.adopt(first)
            both.adopt(thread)
            both.parent = root
            root.children.append(both)
            table[subject] = (both, first_is_reply)
    root.children = [thread for thread in root.children if id(thread) not in gone]
