"""Messages of a snapshot as files elsewhere: ``.eml``, mbox, Maildir or tar.

The place must not be there yet, so that nothing is ever overwritten. A file is written under
another name and gets its own when it is whole and synced; a folder is made beside and renamed.
Names come from ids and encoded mailbox names, never from what is in a message.
"""

import contextlib
import hashlib
import io
import os
import re
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from backup.contents import Contents
from backup.format import Damaged, Entry
from mtad.errors import UsageError
from mtad.journal import disk
from mtad.store import maildir, names
from mtad.store.keywords import FILE as KEYWORDS_FILE
from tracing import ids

FORMATS = ("eml", "maildir", "mbox", "tar")
_FROM_LINE = re.compile(rb"^(>*From )", re.MULTILINE)

Failed = list[tuple[Entry, str]]


def format_of(path: Path, given: str) -> str:
    """The format of what is written to a path: as given, else by the path's ending."""
    if given:
        return given
    ending = path.suffix.lstrip(".").lower()
    return ending if ending in ("mbox", "tar") else "maildir" if ending == "maildir" else "eml"


def write(
    contents: Contents,
    boxes: Sequence[tuple[str, Sequence[Entry]]],
    path: Path,
    kind: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[int, Failed]:
    """Write messages of boxes; returns how many, and those that cannot be read.

    Several boxes are folders, or parts of the names, of one place. Raises UsageError where
    something is there already, OSError.
    """
    if os.path.lexists(path):
        raise UsageError(f"{path} is there already: give a name that is not taken")
    total = sum(len(entries) for _, entries in boxes)
    failed: Failed = []
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    done = 0

    def messages(entries: Sequence[Entry]) -> Iterator[tuple[Entry, bytes]]:
        nonlocal done
        users: dict[bytes, list[Entry]] = {}
        for entry in entries:
            users.setdefault(entry.id, []).append(entry)
        for object_id in contents.in_reading_order(users):
            try:
                raw = contents.message(object_id)[0]
            except Damaged as error:
                failed.extend((entry, str(error)) for entry in users[object_id])
            else:
                for entry in users[object_id]:
                    yield entry, raw
            done += len(users[object_id])
            progress(done, total)

    try:
        if kind in ("mbox", "tar"):
            with open(aside, "xb", opener=_private) as file:
                write_file = _mbox if kind == "mbox" else _tar
                count = write_file(file, boxes, messages)
                file.flush()
                os.fsync(file.fileno())
        else:
            aside.mkdir(mode=0o700)
            count = 0
            for box, entries in boxes:
                where = aside / box.replace("/", "_") if len(boxes) > 1 else aside
                words = _keywords(where, entries) if kind == "maildir" else {}
                for entry, raw in messages(entries):
                    _message_file(where, entry, raw, kind, words)
                    count += 1
        if not count and failed:
            raise UsageError(f"none of {len(failed)} messages can be read: {failed[0][1]}")
        disk.rename(aside, path)
        maildir.sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            shutil.rmtree(aside) if aside.is_dir() else aside.unlink()
        raise
    return count, failed


Messages = Callable[[Sequence[Entry]], Iterator[tuple[Entry, bytes]]]


def _mbox(file: IO[bytes], boxes: Sequence[tuple[str, Sequence[Entry]]], messages: Messages) -> int:
    """mboxrd: each From line inside gets one more ``>``."""
    count = 0
    for _, entries in boxes:
        for entry, raw in messages(entries):
            at = time.gmtime(entry.mtime_ns // 1_000_000_000)
            file.write(b"From MAILER-DAEMON " + time.asctime(at).encode() + b"\n")
            file.write(_FROM_LINE.sub(rb">\1", raw.replace(b"\r\n", b"\n")))
            file.write(b"\n" if raw.endswith(b"\n") else b"\n\n")
            count += 1
    return count


def _tar(file: IO[bytes], boxes: Sequence[tuple[str, Sequence[Entry]]], messages: Messages) -> int:
    count = 0
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for box, entries in boxes:
            for entry, raw in messages(entries):
                name = f"{box.replace('/', '_')}/{_folder(entry.mailbox) or 'INBOX'}/"
                member = tarfile.TarInfo(name + _name(entry))
                member.size, member.mode = len(raw), 0o600
                seconds, rest = divmod(entry.mtime_ns, 1_000_000_000)
                member.mtime = seconds
                member.pax_headers = {"mtime": f"{seconds}.{rest:09}"}
                archive.addfile(member, io.BytesIO(raw))
                count += 1
    return count


def _keywords(root: Path, entries: Sequence[Entry]) -> dict[tuple[str, str], str]:
    """Letters of keywords by mailbox, written where Dovecot and an import look for them."""
    used: dict[str, dict[str, None]] = {}
    for entry in entries:
        used.setdefault(entry.mailbox, {}).update(dict.fromkeys(entry.keywords))
    letters: dict[tuple[str, str], str] = {}
    for mailbox, words in used.items():
        lettered = list(zip(sorted(words), names.KEYWORD_LETTERS, strict=False))
        letters |= {(mailbox, word): letter for word, letter in lettered}
        if lettered:
            home = names.mailbox_folder(mailbox)
            maildir.ensure(root, home)
            lines = [f"{number} {word}\n" for number, (word, _) in enumerate(lettered)]
            maildir.write_small(root / home, KEYWORDS_FILE, "".join(lines).encode())
    return letters


def _message_file(
    root: Path, entry: Entry, raw: bytes, kind: str, words: Mapping[tuple[str, str], str]
) -> None:
    """One message as a file of its own, with its former time."""
    if kind == "eml":
        folder = root / (_folder(entry.mailbox) or "INBOX")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / _name(entry)
    else:
        home = names.mailbox_folder(entry.mailbox)
        maildir.ensure(root, home)
        letters = "".join(words.get((entry.mailbox, word), "") for word in entry.keywords)
        path = root / home / "cur" / names.join(_base(entry), entry.flags + letters)
    with open(path, "xb", opener=_private) as file:
        file.write(raw)
        file.flush()
        os.utime(file.fileno(), ns=(entry.mtime_ns, entry.mtime_ns))
        os.fsync(file.fileno())


def _name(entry: Entry) -> str:
    """A file name made of the arrival and the stored copy alone."""
    at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(entry.mtime_ns // 1_000_000_000))
    known = (
        ids.text(entry.st) if entry.st else hashlib.sha256(os.fsencode(entry.base)).hexdigest()[:13]
    )
    return f"{at}-{known}.eml"


def _base(entry: Entry) -> str:
    """The base name it had, unless that is none to be given again."""
    is_usable = entry.base.isprintable() and not set("/:;") & set(entry.base)
    return entry.base if is_usable and not entry.base.startswith(".") else _name(entry)


def _folder(mailbox: str) -> str:
    """A mailbox as folders: each level is encoded, so that none leads elsewhere."""
    return "/".join(names.to_utf7(level) for level in mailbox.split("/") if level)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
