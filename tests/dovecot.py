"""A Dovecot that serves one Maildir by IMAP, on standard input and output; nothing listens."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.test_smtp_interop import program

CONF = """
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
protocols = imap
ssl = no
mail_location = maildir:{folder}/mail
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 1
"""


class Dovecot:
    """Serves a copy of a Maildir, in a folder that other users may enter."""

    def __init__(self, folder: Path) -> None:
        self._doveadm = program("doveadm")
        self._user, self._group = (8, 8) if os.getuid() == 0 else (os.getuid(), os.getgid())
        self.folder = folder
        self.maildir = folder / "mail"
        folder.chmod(0o755)
        (folder / "run").mkdir()

    def take(self, maildir: Path) -> None:
        """Have a copy of a Maildir, dates included."""
        shutil.rmtree(self.maildir, ignore_errors=True)
        shutil.copytree(maildir, self.maildir, symlinks=True)

    def say(self, *commands: str) -> str:
        """What the server answers to commands, one after the other."""
        conf = self.folder / "conf"
        conf.write_text(CONF.format(folder=self.folder, user=self._user, group=self._group))
        if os.getuid() == 0:  # it reads no mail for root
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, self._user, self._group, follow_symlinks=False)
        lines = [f"{number} {command}" for number, command in enumerate(commands, 1)]
        done = subprocess.run(
            [self._doveadm, "-c", str(conf), "exec", "imap"],
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "USER": "mail"},
            input="\r\n".join((*lines, "z LOGOUT", "")).encode(),
            user=self._user,
            group=self._group,
            extra_groups=[],
            capture_output=True,
            timeout=60,
            check=False,
        )
        said = done.stdout.decode()
        for number in range(1, len(commands) + 1):
            assert re.search(rf"(?m)^{number} OK", said), (said, done.stderr)
        return said
