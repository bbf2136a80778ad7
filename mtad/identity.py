"""Whose the server is: the owner of the data directory.

Nothing of it needs root but ports below 1024. What is started as root becomes the owner before
it looks at what lies there: a process that reads mail has no rights to lose, and no file appears
that the server could not read later. Where root owns the directory everything stays root's.
"""

import getpass
import os
import pwd
from pathlib import Path

from mtad.errors import MtadError, UsageError

ROOT = 0


def step_down(data: Path) -> None:
    """As root, be the owner of ``data`` from here on, for good; nothing where that is missing.

    Raises MtadError where the system does not let go of root.
    """
    if os.geteuid() != ROOT:
        return
    try:
        found = data.stat()
    except OSError:
        return
    if found.st_uid == ROOT:
        return
    # Whoever acts is told by the login's name, which is root's still (mtad.cli_options).
    os.environ.setdefault("LOGNAME", getpass.getuser())
    try:
        try:
            who = pwd.getpwuid(found.st_uid)
        except KeyError:
            group = found.st_gid
            os.setgroups(())
        else:
            group = who.pw_gid
            os.initgroups(who.pw_name, group)
        os.setresgid(group, group, group)
        os.setresuid(found.st_uid, found.st_uid, found.st_uid)
    except OSError as error:
        raise MtadError(
            f"cannot become user {found.st_uid}, who owns {data}: {error.strerror}"
        ) from error


def owner(name: str) -> pwd.struct_passwd:
    """The user that is to own a server made by root. Raises UsageError."""
    if os.geteuid() != ROOT:
        raise UsageError("--user is for root: others own what they make")
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise UsageError(f"there is no user {name}; make one, say with 'useradd -r'") from None


def give(folder: Path, to: pwd.struct_passwd) -> None:
    """Let a folder that nobody else has seen yet be a user's, with everything in it."""
    for path in (folder, *folder.rglob("*")):
        os.lchown(path, to.pw_uid, to.pw_gid)
