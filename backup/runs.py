"""What commands and the jobs role do alike: a snapshot, a check, with their events.

Events go through ``Tell``, so that a command can write them into its own journal and the
jobs role into that of the daemon.
"""

import contextlib
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from backup import (
    access,
    belongings,
    catalog,
    keys,
    repository,
    server_part,
    snapshot,
    verify,
)
from backup.locks import Lock
from backup.repository import Repository
from mtad import clock
from mtad.address import box_address, box_folder
from mtad.config import Loaded
from mtad.errors import MtadError, NothingFound, UsageError
from mtad.store.client import Boxes
from mtad.store.foreign import check_maildir
from tracing import events

BOXES_OPEN = 64
"""Boxes held at the same time when no daemon owns them; each costs file descriptors."""

_TAG = re.compile(r"[\w.@+-]{1,64}")


class Tell(Protocol):
    """Where events go: an id for the run, and a durable record of each event."""

    def new_id(self) -> int:
        """An id nobody has had."""

    def __call__(self, event: events.Event) -> None:
        """Make the event durable. Raises MtadError."""


def boxes(loaded: Loaded, box: str | None, domain: str | None) -> list[tuple[str, Path]]:
    """Address and folder of every box on disk that is wanted. Raises NothingFound."""
    found = []
    for path in sorted(loaded.places.boxes.glob("*/*")):
        address = box_address("/".join(path.parts[-2:]))
        host = address.rpartition("@")[2]
        if path.is_dir() and box in (None, address) and domain in (None, host):
            found.append((address, path))
    if not found and (box or domain):
        raise NothingFound(f"{box or domain} has no mail on this server: nothing to snapshot")
    return found


def _foreign(loaded: Loaded, box: str | None, maildir: Path) -> list[tuple[str, Path]]:
    """A Maildir under the address it is kept as. Raises UsageError, NothingFound."""
    if not box:
        raise UsageError("say with --as ADDRESS as whose the Maildir is to be kept")
    if (loaded.places.boxes / box_folder(box)).is_dir():
        raise UsageError(f"{box} is a box of this server; give --as an address that is none")
    check_maildir(maildir)
    return [(box, maildir)]


def scope(box: str | None, domain: str | None) -> str:
    """What a snapshot covers, in words."""
    return f"box {box}" if box else f"domain {domain}" if domain else "all boxes"


def open_or_create(loaded: Loaded, say: Callable[[str], None]) -> Repository:
    """The repository the settings name, made now if there is none."""
    try:
        return catalog.open_repository(loaded, heal=True)
    except keys.NoRepository:
        with contextlib.closing(access.repository_of(loaded)) as place:
            repository.create(place, catalog.key_file_of(loaded))
            say(f"made an empty repository in {place.shown}")
        return catalog.open_repository(loaded)


def check_tags(tags: Sequence[str]) -> None:
    """Raises UsageError for what can be no tag."""
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise UsageError(f"{tag!a} is no tag: up to 64 letters, digits and . _ - @ +")


def take(
    loaded: Loaded,
    tell: Tell,
    *,
    box: str | None = None,
    domain: str | None = None,
    maildir: Path | None = None,
    tags: Sequence[str] = (),
    actor: str = "backup",
    say: Callable[[str], None] = lambda sentence: None,
    progress: Callable[[snapshot.Progress], None] = lambda progress: None,
) -> snapshot.Taken:
    """Take a snapshot, with its events. ``say`` gets sentences for the operator.

    ``maildir`` is one that is no box of ours, to be kept under the address ``box``.
    Raises MtadError; a snapshot that fails leaves nothing that counts.
    """
    check_tags(tags)
    wanted = boxes(loaded, box, domain) if maildir is None else _foreign(loaded, box, maildir)
    run = tell.new_id()
    began = clock.now_us()
    name = f"{clock.from_us(began):%Y%m%dT%H%M%SZ}"
    what = scope(box, domain) if maildir is None else f"Maildir {maildir} as {box}"
    tell(events.BackupStart(at=began, trace=run, actor=actor, snapshot=name, scope=what))
    try:
        taken = _take(loaded, wanted, what, maildir, tags, say, progress)
    except BaseException as error:
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        failed = events.BackupFail(at=clock.now_us(), trace=run, actor=actor, why=why)
        with contextlib.suppress(MtadError):
            tell(failed)
        if isinstance(error, OSError):
            raise MtadError(f"no snapshot was taken: {error}") from error
        raise
    commit = taken.commit
    tell(
        events.BackupDone(
            at=clock.now_us(),
            trace=run,
            actor=actor,
            snapshot=taken.name,
            boxes=len(commit.mail),
            messages=sum(line.messages for line in commit.mail),
            added=commit.added,
            stored=commit.stored,
            seconds=commit.seconds,
        )
    )
    return taken


def _take(
    loaded: Loaded,
    wanted: Sequence[tuple[str, Path]],
    what: str,
    maildir: Path | None,
    tags: Sequence[str],
    say: Callable[[str], None],
    progress: Callable[[snapshot.Progress], None],
) -> snapshot.Taken:
    """Take a snapshot of boxes into the repository the settings name."""
    everything = what == scope(None, None)
    if everything:
        try:
            server_part.level(loaded)
        except MtadError as error:
            say(f"the event log is snapshotted as it stands: {error}")
    with open_or_create(loaded, say) as store, Lock(store.folder, say=say):
        store.folder.sweep()
        for note in store.notes:
            say(note)
        with contextlib.closing(_Numbering(loaded, say)) as numbering:
            return snapshot.create(
                store,
                wanted,
                scope=what,
                tags=tags,
                aside=loaded.places.cache / "snapshot",
                sync=numbering if maildir is None else lambda address: None,
                maildirs=dict(wanted) if maildir else {},
                server=partial(server_part.sources, loaded) if everything else None,
                account=partial(belongings.account, belongings.directory_of(loaded)),
                progress=progress,
            )


class _Numbering:
    """Asks for UIDs of what is new; a box that cannot answer is snapshotted as it is."""

    def __init__(self, loaded: Loaded, say: Callable[[str], None]) -> None:
        self._loaded, self._say = loaded, say
        self._boxes = Boxes(loaded)
        self._asked = 0

    def __call__(self, address: str) -> None:
        if self._asked == BOXES_OPEN:
            self.close()
            self._boxes, self._asked = Boxes(self._loaded), 0
        self._asked += 1
        try:
            self._boxes.sync(address)
        except MtadError as error:
            self._say(f"{address}: new mail is snapshotted without UIDs: {error}")

    def close(self) -> None:
        """Give the boxes back."""
        self._boxes.close()


def check(
    loaded: Loaded,
    tell: Tell,
    *,
    read_data: bool,
    share: float = 1.0,
    actor: str = "backup",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> verify.Report:
    """Verify the repository, reading a ``share`` of it, with its event.

    Raises MtadError when it cannot be opened.
    """
    with catalog.open_repository(loaded, heal=True) as store, Lock(store.folder):
        report = verify.verify(store, read_data=read_data, share=share, progress=progress)
    tell(
        events.BackupVerified(
            at=clock.now_us(),
            trace=tell.new_id(),
            actor=actor,
            objects=report.objects,
            damaged=len(report.findings),
            read_data=read_data,
            packs=report.packs,
            packs_read=report.packs_read,
        )
    )
    return report
