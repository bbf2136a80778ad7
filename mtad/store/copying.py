"""Copying messages within a box: a further name for the same file.

Order: links in ``tmp``, files and ``tmp`` synced; the frame; renames into ``cur``; the index.
So a copy that was promised has its octets whatever becomes of its source (the log role makes
what it delivered durable only later, from another frame), and a crash before the frame leaves
names in ``tmp`` that mean nothing. Date and content are the file's own, and shared.
"""

import errno
import os
import shutil
from collections.abc import Callable, Sequence

from mtad import clock
from mtad.errors import MtadError
from mtad.journal import disk
from mtad.journal.frame import Act, Copy, Put, PutItem
from mtad.store import maildir, names
from mtad.store.acts import Ground
from mtad.store.desk import Desk
from mtad.store.rows import MailboxRow, Row
from mtad.store.telling import chunks, traced
from tracing import ids
from tracing.events import BoxCopy, Event, Item

SYNC_ALL = 16
"""Files from which on the whole file system is written back at once: one flush, not one each."""
_NO_LINK = (errno.EMLINK, errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP)


class Copying:
    """One call of ``copy`` from one mailbox to another, or to itself."""

    def __init__(
        self, ground: Ground, desk: Desk, hostname: str, source: MailboxRow, target: MailboxRow
    ) -> None:
        self._ground = ground
        self._index = ground.index
        self._desk = desk
        self._hostname = hostname
        self._source = source
        self._target = target
        self._tmp = ground.files.root / "tmp"

    def run(
        self, rows: Sequence[Row], do: Callable[[Act, Event], None], *, actor: str, client: str
    ) -> list[tuple[int, int]]:
        """UIDs in the source and in the target; a message whose file is gone is left out.

        Raises MtadError and OSError, after parts that were done.
        """
        made: list[tuple[Row, str, int]] = []
        try:
            for row in rows:
                st = self._desk.mint()
                tmp = f"copy-{ids.text(st)}"
                if self._link(row, tmp):
                    made.append((row, tmp, st))
            if len(made) > SYNC_ALL:
                disk.sync_file_system(self._tmp)
            else:
                for _, tmp, _ in made:
                    maildir.sync_file(self._tmp / tmp)
            maildir.sync_folder(self._tmp)
            done: list[tuple[int, int]] = []
            for part in chunks(made):
                first = self._index.take_uids(self._target, len(part))
                items = [
                    self._item(row, tmp, st, uid) for uid, (row, tmp, st) in enumerate(part, first)
                ]
                act = Put(
                    self._ground.address,
                    self._target.name,
                    tuple(items),
                    self._index.take_modseq(),
                )
                do(act, self._event([row for row, _, _ in part], items, actor, client))
                done += [
                    (row.uid, item.copy.uid) for (row, _, _), item in zip(part, items, strict=True)
                ]
        except (MtadError, OSError):
            for _, tmp, _ in made:
                (self._tmp / tmp).unlink(missing_ok=True)
            raise
        return done

    def _link(self, row: Row, tmp: str) -> bool:
        """Give a message's file a name in ``tmp``; False when the file is gone."""
        ground, folder = self._ground, self._source.folder
        for _ in range(3):
            path = ground.files.path(folder, ground.entry(row))
            try:
                disk.link(path, self._tmp / tmp)  # of a symbolic link it would be another such
                return True
            except FileNotFoundError:
                found = ground.files.find(folder, row.base)
                if found is None:
                    return False
                row.fresh, row.name = int(found.fresh), found.name
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
                self._duplicate(row, tmp)
                return True
        return False

    def _duplicate(self, row: Row, tmp: str) -> None:
        """The same where a file can have no further name: its octets and its date."""
        path = self._ground.files.path(self._source.folder, self._ground.entry(row))
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with (
            open(maildir.open_file(path), "rb") as source,
            open(disk.open_(self._tmp / tmp, flags, 0o600), "wb") as target,
        ):
            shutil.copyfileobj(source, target, 2**20)
            target.flush()
            disk.utime(target.fileno(), ns=(row.date_ns, row.date_ns))

    def _item(self, row: Row, tmp: str, st: int, uid: int) -> PutItem:
        base = names.base_name(st, row.date_ns, self._hostname, row.size, row.wire)
        return PutItem(
            Copy(st, row.m or 0, uid, base),
            tmp,
            row.flags,
            row.words,
            row.date_ns,
            row.size,
            row.sha256 or b"",
            row.email,
        )

    def _event(
        self, rows: Sequence[Row], items: Sequence[PutItem], actor: str, client: str
    ) -> BoxCopy:
        named = tuple(
            Item(item.copy.st, item.copy.m, item.copy.uid, item.copy.base) for item in items
        )
        trace, also = traced(named, self._desk)
        return BoxCopy(
            at=clock.now_us(),
            trace=trace,
            also=also,
            addr=self._ground.address,
            mailbox=self._source.name,
            items=named,
            uidvalidity=self._target.uidvalidity,
            client=client,
            actor=actor,
            target=self._target.name,
            was=tuple(row.st for row in rows),
            uids=tuple(row.uid for row in rows),
        )
