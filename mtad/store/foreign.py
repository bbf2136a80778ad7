"""A Maildir that no box of ours is: Dovecot's, or one into which Postfix or procmail delivers.

It has no index of ours. Where Dovecot numbered it, its lists say UIDs and UIDVALIDITY, and its
``dovecot-keywords`` what letters mean. Nothing is written to it, and no link is followed.
"""

import os
import pwd
from pathlib import Path

import msgspec

from mtad.errors import NothingFound, NotPermitted
from mtad.store import keywords, maildir, names, reading, uidlist
from mtad.store.reading import BoxState, Found
from mtad.store.values import MailboxInfo


def check_maildir(root: Path) -> None:
    """Raises NothingFound where there is no Maildir, NotPermitted where it cannot be read."""
    try:
        if not any((root / sub).is_dir() for sub in ("cur", "new")):
            raise NothingFound(f"{root} is no Maildir: it has neither cur/ nor new/")
        for sub in ("cur", "new"):
            if (root / sub).is_dir():
                os.listdir(root / sub)
    except PermissionError as error:
        who = pwd.getpwuid(os.geteuid()).pw_name
        raise NotPermitted(f"{error.filename} cannot be read by {who}") from error


def read_maildir(root: Path, address: str) -> BoxState:
    """What a Maildir holds, as a box of ``address``. Raises NothingFound where there is none."""
    check_maildir(root)
    folders = {sub: name for name, sub in maildir.folders(root).items()}
    words = {sub: keywords.letters(root / sub) for sub in folders}
    lists = {sub: uidlist.read(root / sub) for sub in folders}
    messages: list[Found] = []
    files = reading.list_files(root, list(folders))
    for base, sub, entry, at in reading.stats(root, files):
        found = reading.unnumbered(root, folders[sub], sub, base, entry, at, words)
        listed = lists[sub]
        uid = listed.uids.get(base, 0) if listed else 0
        messages.append(msgspec.structs.replace(found, uid=uid))
    infos = []
    for sub, name in folders.items():
        listed = lists[sub]
        numbers = (listed.uidvalidity, listed.uidnext) if listed else (0, 1)
        count = sum(one.folder == sub for one in messages)
        infos.append(MailboxInfo(name, *numbers, 0, count))
    infos.sort(key=lambda one: (one.name != names.INBOX, one.name))
    return BoxState(address, infos, messages, {name: sub for sub, name in folders.items()})
