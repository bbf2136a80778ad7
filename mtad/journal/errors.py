"""Why a journal takes nothing: it is full, or it cannot be written."""

import errno


class JournalFull(Exception):
    """No space: the cap is reached or the file system is nearly full (SMTP 452, IMAP NO)."""


class JournalBroken(Exception):
    """A write or a sync failed, the cause attached; what was refused does not count (451)."""


def failure(error: BaseException) -> JournalFull | JournalBroken:
    """The refusal that an error of the system means, with its cause."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        full = JournalFull("no space left for the journal")
        full.__cause__ = error
        return full
    if isinstance(error, JournalFull):
        return JournalFull(str(error))
    broken = JournalBroken(f"the journal cannot be written: {error}")
    broken.__cause__ = error
    return broken
