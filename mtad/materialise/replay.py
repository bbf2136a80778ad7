"""Executes frames once more, so that what should be there is there, once and whole.

For frames that may have been executed in part, or whose files a power cut may have spoiled.
Each stored copy is looked for by base name in all mailboxes of its box. What is found is
verified by length and digest and replaced when wrong; what is missing is made again, where
it was moved to if it was moved; what was expunged stays away.
"""

import hashlib
import os

from mtad.journal.frame import Content, Frame, Link
from mtad.materialise.fates import Fates
from mtad.materialise.files import Files, delivered, is_right
from mtad.store import maildir
from tracing.events import StoreDelivered

_BOXES = 200
"""Listings of boxes kept while frames are replayed."""


class Replay:
    """Replays frames against the files; ``repaired`` counts what it had to make or replace."""

    def __init__(self, files: Files, fates: Fates) -> None:
        self._files = files
        self._fates = fates
        self._listings: dict[str, dict[str, str]] = {}
        self.repaired = 0

    def execute(self, frame: Frame) -> list[StoreDelivered]:
        """Bring the files of a frame to what it says; frames of ``pending`` are not for here.

        Raises OSError; running it again is safe.
        """
        content = frame.meta.content
        if content is None:
            return []
        path = self._files.content_path(content.m)
        whole = self._content(path, content, frame)
        for link in frame.meta.links:
            self._link(path, whole, content, link)
        return delivered(content, frame.meta.links)

    def _content(self, path: str, content: Content, frame: Frame) -> bool:
        """Put the content file right; whether it is there and whole."""
        if not content.inline:
            return is_whole(path, content)
        if not is_right(path, content, frame.body):
            self.repaired += 1
            if os.path.lexists(path):
                self._files.rewrite_content(path, content, frame.body)
            else:
                self._files.write_content(path, content, frame.body)
        return True

    def _link(self, path: str, whole: bool, content: Content, link: Link) -> None:
        found = self._find(link)
        if found is not None:
            if _same(path, found) or is_whole(found, content):
                if not whole:
                    self._adopt(path, found)
                return
            if whole:
                self.repaired += 1
                self._files.replace(path, found, content)
            return
        self._fates.refresh()
        if self._fates.is_gone(link.st):
            return
        mailbox = self._fates.moved.get(link.st, link.mailbox)
        folder = self._files.folder_of(link.box, mailbox)
        self._files.place(path, folder, link.base, content)
        self._listings.get(link.box, {})[link.base] = f"{folder}/new/{link.base}"
        self.repaired += 1

    def _adopt(self, path: str, found: str) -> None:
        """Give a whole stored copy the content's name, which is missing or wrong."""
        self._files.make_content_from(found, path)
        self.repaired += 1

    def _find(self, link: Link) -> str | None:
        """The file of a stored copy, in whatever mailbox of its box and under whatever flags.

        A base name that an earlier listing did not have is not there now: only this process
        brings new ones.
        """
        planned = f"{self._files.folder_of(link.box, link.mailbox)}/new/{link.base}"
        if os.path.lexists(planned):
            return planned
        listing = self._listings.get(link.box)
        if listing is None:
            listing = self._list(link.box)
        found = listing.get(link.base)
        if found is not None and not os.path.lexists(found):
            found = self._list(link.box).get(link.base)
        return found

    def _list(self, box: str) -> dict[str, str]:
        root = self._files.maildir_of(box)
        found: dict[str, str] = {}
        if root.is_dir():
            for folder in maildir.folders(root).values():
                mailbox = root / folder
                for base, entry in maildir.listing(mailbox).entries.items():
                    found[base] = os.fspath(entry.below(mailbox))
        while len(self._listings) >= _BOXES:
            self._listings.pop(next(iter(self._listings)))
        self._listings[box] = found
        return found


def _same(path: str, found: str) -> bool:
    try:
        return os.path.samefile(path, found)
    except FileNotFoundError:
        return False


def is_whole(path: str, content: Content) -> bool:
    """Whether a file has a message's length, digest and time."""
    try:
        found = os.stat(path, follow_symlinks=False)
        if found.st_size != content.size or found.st_mtime_ns != content.mtime_ns:
            return False
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest() == content.sha256
    except FileNotFoundError:
        return False
