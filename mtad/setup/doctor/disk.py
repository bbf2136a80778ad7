"""Is there space, is the disk quick, are secrets for their owner alone."""

import os
import stat
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from mtad.config import Loaded
from mtad.setup.doctor.check import Check, Verdict, judged
from tracing.render import size

WARN_PART, BAD_PART = 0.10, 0.02
"""Of the space, and of the files that can be made."""
WRITES = 9
WARN_SECONDS, BAD_SECONDS = 0.1, 1.0


def space(loaded: Loaded) -> Iterable[Check]:
    """What is free where the data is. Raises OSError."""
    found = os.statvfs(loaded.places.data)
    part = found.f_bavail / max(1, found.f_blocks)
    if found.f_files:  # some file systems do not count them
        part = min(part, found.f_favail / found.f_files)
    yield free(part, size(found.f_bavail * found.f_frsize))


def free(part: float, shown: str) -> Check:
    """What a free part of the disk means."""
    cause = "" if part >= WARN_PART else "mail is refused for now when it is full"
    return judged(
        "disk.space", f"{shown}, {part:.0%} free", f"{WARN_PART:.0%} free or more", cause,
        "make room on the disk, or move data_dir to a larger one",
        verdict=Verdict.BAD if part < BAD_PART else Verdict.WARN,
    )  # fmt: skip


def sync(loaded: Loaded) -> Iterable[Check]:
    """The median time of a small durable write. Raises OSError."""
    times = []
    with tempfile.TemporaryFile(dir=loaded.places.data) as file:
        for _ in range(WRITES):
            os.write(file.fileno(), bytes(4096))
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begun)
    yield latency(statistics.median(times))


def latency(seconds: float) -> Check:
    """What a time for a durable write means."""
    cause = "" if seconds <= WARN_SECONDS else "each message waits for the disk"
    return judged(
        "disk.sync", f"{seconds * 1000:.1f} ms", f"at most {WARN_SECONDS * 1000:.0f} ms", cause,
        "look for what else writes, or use a disk with a protected cache",
        verdict=Verdict.BAD if seconds > BAD_SECONDS else Verdict.WARN,
    )  # fmt: skip


def permissions(loaded: Loaded) -> Iterable[Check]:
    """Who may enter the data and read the secrets."""
    config, beside = loaded.config, loaded.beside
    secrets = [beside(config.tls.key), beside(config.backup.key_file), loaded.places.auth_key]
    secrets.append(beside(config.backup.access_file))
    secrets += sorted(beside("dkim").glob("*.pem"))
    if config.database.password_file:
        secrets.append(beside(config.database.password_file))
    for path in (loaded.places.data, *secrets):
        if path.exists():
            yield _mode(path)


def _mode(path: Path) -> Check:
    mode = stat.S_IMODE(path.stat().st_mode)
    cause = "others on this machine can read or change it" if mode & 0o027 else ""
    return judged(f"permissions.{path.name}", f"{mode:04o}", "nothing for others, no group write",
                  cause, f"chmod o-rwx,g-w {path}")  # fmt: skip
