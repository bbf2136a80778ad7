"""Makes the files a frame plans: the content once, and a link of it in each mailbox.

Nothing is synced here: the frame itself is durable, and a segment is only recycled after the
files of its frames were synced (``recycle``). What a power cut spoils until then, ``replay``
puts right from the frames. Content is never edited in place.
"""

import errno
import os
from functools import lru_cache
from pathlib import Path

from mtad import address, clock
from mtad.journal import content, disk
from mtad.journal.frame import Content, Frame, Link
from mtad.store import maildir, names
from mtad.where import Places
from tracing.events import StoreDelivered

_NO_LINK = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP}


class ContentMissing(Exception):
    """The frame says that the content file is there, and it is not."""


class Files:
    """Content files and mailboxes below one data directory; for one thread."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._content = os.fspath(places.content)
        self.folder_of = lru_cache(10_000)(self._folder_of)

    def deliver(self, frame: Frame) -> list[StoreDelivered]:
        """Execute the plan of a frame that was never executed before, and is not ``pending``'s.

        Raises OSError, ENOSPC among them: then part of it may be done, and ``replay`` has to
        finish it. Raises ContentMissing.
        """
        meta = frame.meta
        if meta.content is None:
            return []
        path = self.content_path(meta.content.m)
        if meta.content.inline:
            self.write_content(path, meta.content, frame.body)
        for link in meta.links:
            self.place(path, self.folder_of(link.box, link.mailbox), link.base, meta.content)
        return delivered(meta.content, meta.links)

    def content_path(self, m: int) -> str:
        """Where a message's content lies."""
        return content.name_of(self._content, m)

    def _folder_of(self, box: str, mailbox: str) -> str:
        """A mailbox's folder; it need not be there."""
        return os.fspath(self.maildir_of(box) / names.mailbox_folder(mailbox))

    def maildir_of(self, box: str) -> Path:
        """A box's Maildir."""
        return self.places.boxes / address.box_folder(box) / "Maildir"

    def write_content(self, path: str, wanted: Content, body: bytes) -> None:
        """Make the content file, unless it is there with these very octets and time."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            fd = disk.open_(path, flags, 0o600)
        except FileExistsError:
            if not is_right(path, wanted, body):
                self.rewrite_content(path, wanted, body)
            return
        except FileNotFoundError:
            disk.make_folder(Path(path).parent)
            fd = disk.open_(path, flags, 0o600)
        try:
            disk.write_all(fd, body)
            disk.utime(fd, ns=(wanted.mtime_ns, wanted.mtime_ns))
        except BaseException:
            disk.unlink(path)
            raise
        finally:
            disk.close(fd)

    def rewrite_content(self, path: str, wanted: Content, body: bytes) -> None:
        """Put a right content file in the place of a wrong one; its links stay as they are."""
        aside = f"{path}.new"
        if os.path.lexists(aside):
            disk.unlink(aside)
        self.write_content(aside, wanted, body)
        disk.rename(aside, path)

    def make_content_from(self, found: str, path: str) -> None:
        """Give a stored copy the content's name as well, in the place of what is there."""
        aside = f"{path}.new"
        if os.path.lexists(aside):
            disk.unlink(aside)
        disk.make_folder(Path(path).parent)
        try:
            disk.link(found, aside)
        except OSError as error:
            if error.errno in _NO_LINK:
                return
            raise
        disk.rename(aside, path)

    def place(self, path: str, folder: str, base: str, wanted: Content) -> None:
        """Link the content into a mailbox's ``new/``, making the mailbox where there is none."""
        target = f"{folder}/new/{base}"
        try:
            self._link(path, target, wanted)
        except FileNotFoundError:
            if not os.path.exists(path):
                raise ContentMissing(f"the content of {base} is gone") from None
            self.make_mailbox(folder)
            self._link(path, target, wanted)

    def make_mailbox(self, folder: str) -> None:
        """Make a mailbox's folders, durably."""
        above, last = os.path.split(folder)
        inbox = last == "Maildir"
        root = Path(folder if inbox else above)
        disk.make_folder(root.parent)
        maildir.ensure(root)
        if not inbox:
            maildir.ensure(root, last)

    def _link(self, path: str, target: str, wanted: Content) -> None:
        try:
            disk.link(path, target)
        except FileExistsError:
            if not os.path.samefile(path, target):
                self.replace(path, target, wanted)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            self._copy(path, target, wanted)

    def replace(self, path: str, target: str, wanted: Content) -> None:
        """Put the content in the place of a file of the same name, whatever that holds."""
        aside = _aside(target)
        self.make_mailbox(os.path.dirname(os.path.dirname(target)))
        if os.path.lexists(aside):
            disk.unlink(aside)
        try:
            disk.link(path, aside)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            self._copy(path, target, wanted)
            return
        disk.rename(aside, target)

    def _copy(self, path: str, target: str, wanted: Content) -> None:
        """A synced copy, where no link can be made (other file system, too many links)."""
        aside = _aside(target)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fd = disk.open_(aside, flags, 0o600)
            try:
                while chunk := os.read(source, 1 << 20):
                    disk.write_all(fd, chunk)
                disk.utime(fd, ns=(wanted.mtime_ns, wanted.mtime_ns))
                disk.fsync(fd)
            except BaseException:
                disk.unlink(aside)
                raise
            finally:
                disk.close(fd)
        finally:
            os.close(source)
        disk.rename(aside, target)


def _aside(target: str) -> str:
    """The name in ``tmp/`` of the same mailbox."""
    folder, base = os.path.split(target)
    return os.path.join(os.path.dirname(folder), "tmp", base)


def delivered(content: Content, links: tuple[Link, ...]) -> list[StoreDelivered]:
    """The events that tell of a frame's executed links."""
    at = clock.now_us()
    return [
        StoreDelivered(
            at=at,
            trace=content.m,
            n=link.n,
            addr=link.box,
            st=link.st,
            mailbox=link.mailbox,
            base=link.base,
            size=content.size,
        )
        for link in links
    ]


def is_right(path: str, wanted: Content, body: bytes) -> bool:
    """Whether a file holds these very octets and has the message's time."""
    try:
        found = os.stat(path, follow_symlinks=False)
        if found.st_size != len(body) or found.st_mtime_ns != wanted.mtime_ns:
            return False
        with open(path, "rb") as file:
            return file.read(len(body) + 1) == body
    except FileNotFoundError:
        return False
