"""The lock that keeps a second server, or whatever moves its data, off a data directory."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from mtad.errors import Locked


@contextlib.contextmanager
def only_one(run: Path) -> Iterator[None]:
    """Hold the lock. Raises Locked while another process has it."""
    run.mkdir(parents=True, exist_ok=True, mode=0o750)
    path = run / "serve.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            pid = file.read().strip() or "unknown"
            raise Locked(f"a server runs on this data directory already (process {pid})") from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
