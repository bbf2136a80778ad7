r"""Names in a Maildir++: what a file name and a folder name say (PURE).

A message is ``<base>:2,<letters>``: the base name never changes and is unique in the box, the
letters are its flags. Ours is ``<seconds>.<st>.<host>,S=<octets>,W=<octets with CRLF>``, so a
file alone tells which stored copy it is. A mailbox ``A/B`` is the folder ``.A.B``, each level
in modified UTF-7 (RFC 3501 5.1.3) with ``.`` encoded as well, since it separates the levels;
INBOX is the Maildir itself. Names from a disk may hold surrogate escapes.
"""

import re
from collections.abc import Iterable

from mtad import mutf7
from tracing import ids

INBOX = "INBOX"
MAX_FOLDER = 255
"""Octets in a folder name: what file systems take (NAME_MAX)."""
KEYWORD_LETTERS = "abcdefghijklmnopqrstuvwxyz"
"""Keyword number i of a mailbox is letter i of a file name; those from 26 on have none."""

FLAGS = {
    "D": "\\Draft",
    "F": "\\Flagged",
    "P": "$Forwarded",
    "R": "\\Answered",
    "S": "\\Seen",
    "T": "\\Deleted",
}
"""Maildir's letters and the IMAP flags they mean; P (passed) is the keyword $Forwarded."""

_LETTER = {flag.lower(): letter for letter, flag in FLAGS.items()}
_INFO = re.compile(r"[:;]2,([^:;]*)\Z")
_SIZE = re.compile(r",S=(\d{1,15})(?=,|\Z)")
_WIRE_SIZE = re.compile(r",W=(\d{1,15})(?=,|\Z)")
_HOST_OTHER = re.compile(r"[^A-Za-z0-9._-]")
_MAX_HOST = 100
_NO_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


# ------------------------------------------------------------------ messages


def base_name(st: int, at_ns: int, hostname: str, size: int, wsize: int) -> str:
    """The base name of stored copy ``st``: arrival time, id, host, octets, octets with CRLF."""
    host = _HOST_OTHER.sub(
        lambda found: "".join(f"\\{octet:03o}" for octet in found[0].encode(errors="replace")),
        hostname,
    )[:_MAX_HOST]
    return f"{at_ns // 1_000_000_000}.{ids.text(st)}.{host},S={size},W={wsize}"


def st_of(base: str) -> int | None:
    """The stored copy that one of our base names (or a full file name) names, else None."""
    seconds, _, rest = base.partition(".")
    shown, dot, _ = rest.partition(".")
    if not (dot and seconds.isascii() and seconds.isdigit()):
        return None
    st = ids.parse(shown)
    return st if st is not None and ids.text(st) == shown else None


def size_of(base: str) -> int | None:
    """The size in octets that a name claims (``,S=``); the file itself is the authority."""
    found = _SIZE.search(split(base)[0])
    return int(found[1]) if found else None


def wire_size_of(base: str) -> int | None:
    """The size with CRLF line ends that a name claims (``,W=``)."""
    found = _WIRE_SIZE.search(split(base)[0])
    return int(found[1]) if found else None


def split(filename: str) -> tuple[str, str]:
    """Base name and letters, each letter once, sorted; ``;`` is read as ``:`` (Windows).

    Another info version, or none, means no letters. Upper-case letters without a meaning
    are kept, so that renaming does not lose another program's marks.
    """
    found = _INFO.search(filename)
    if found:
        return filename[: found.start()], letters(found[1])
    return filename.partition(":")[0], ""


def join(base: str, marks: str) -> str:
    """The file name in ``cur/`` for a base name and letters."""
    return f"{base}:2,{letters(marks)}"


def letters(marks: Iterable[str]) -> str:
    """Letters as they stand in a name: ASCII letters only, each once, in ASCII order."""
    return "".join(sorted({mark for mark in marks if mark.isascii() and mark.isalpha()}))


def flag_names(marks: str) -> tuple[str, ...]:
    r"""The flags that letters mean (``\Seen`` ...); keyword and unknown letters are left out."""
    return tuple(FLAGS[mark] for mark in letters(marks) if mark in FLAGS)


def flag_letter(flag: str) -> str | None:
    r"""The letter of ``\Seen`` and the like (in any case, RFC 3501 2.3.2); None for a keyword."""
    return _LETTER.get(flag.lower())


# ----------------------------------------------------------------- mailboxes


def mailbox_folder(mailbox: str) -> str:
    """The folder of a mailbox below the Maildir: ``A/B`` is ``.A.B``, INBOX is ``""``.

    Raises ValueError for a name no mailbox can have: empty levels, control characters, or
    longer than a folder name may be.
    """
    if mailbox.upper() == INBOX:
        return ""
    levels = mailbox.split("/")
    if not all(levels) or _NO_NAME.search(mailbox):
        raise ValueError(f"{mailbox!a} is not a name a mailbox can have")
    folder = "".join(f".{to_utf7(level)}" for level in levels)
    if len(folder) > MAX_FOLDER:
        raise ValueError(f"the mailbox name is too long: {mailbox[:60]!a}...")
    return folder


def folder_mailbox(folder: str) -> str:
    """The mailbox a folder name means; what is not modified UTF-7 is taken as it is written.

    ``mailbox_folder`` leads back to the folder only if it is written as this module would;
    what cannot stand in a name (control characters, octets that are not UTF-8) shows as %XX.
    """
    if not folder:
        return INBOX
    return "/".join(_level(part) for part in folder.removeprefix(".").split("."))


def is_exact(folder: str) -> bool:
    """Whether ``mailbox_folder`` of the folder's mailbox is this very folder."""
    try:
        return mailbox_folder(folder_mailbox(folder)) == folder
    except ValueError:
        return False


def _level(part: str) -> str:
    try:
        name = from_utf7(part)
    except ValueError:
        name = part
    return _NO_NAME.sub(_shown, name)


def _shown(found: re.Match[str]) -> str:
    """One character that no name may have, as %XX of its octets."""
    escaped = "\udc80" <= found[0] <= "\udcff"
    octets = found[0].encode(errors="surrogateescape" if escaped else "surrogatepass")
    return "".join(f"%{octet:02X}" for octet in octets)


def to_utf7(text: str) -> str:
    """Modified UTF-7 (RFC 3501 5.1.3), with ``.`` encoded too. Raises ValueError on surrogates."""
    return mutf7.encode(text, dots=True)


def from_utf7(text: str) -> str:
    """The text that modified UTF-7 spells. Raises ValueError for anything not exactly that."""
    return mutf7.decode(text, dots=True)
