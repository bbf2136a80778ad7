"""A process that kills itself at the n-th change of a snapshot or a copy: WHAT ROOT N [TARGET]."""

import os
import signal
import sys
from pathlib import Path

from backup import grouping, writer
from backup.copying import copy
from backup.places import Folder
from tests.backup_yard import ANNA, Yard


class Deadly(Folder):
    """A folder whose n-th change is the last thing this process does."""

    at = 0

    def step(self, what: str) -> None:
        if what == "create" and not self.root.joinpath("locks").is_dir():
            return
        self.at -= 1
        if self.at == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main(what: str, root: Path, at: int, target: str = "") -> None:
    if os.environ.get("MTAD_SOAK"):
        writer.PACK_BYTES = 1
        grouping.GROUP_BYTES = 2_000
    if what == "copy":
        deadly = Deadly(Path(target))
        deadly.at = at
        copy(Folder(root / "repository"), deadly)
        return
    deadly = Deadly(root / "repository")
    yard = Yard(root, deadly)
    yard.box(ANNA)
    deadly.at = at
    yard.take()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
