"""ENVELOPE, BODY, BODYSTRUCTURE and sizes as Dovecot has them, over the whole corpus.

Where they differ and why is in docs/interop.md; few messages do.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mtad.mime.bodystructure import both
from mtad.mime.envelope import envelope
from mtad.mime.message import parse, wire
from tests.corpus import Mail
from tests.peers import program

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
ITEMS = ("size.virtual", "imap.envelope", "imap.body", "imap.bodystructure")
PASSED_OVER = (".xml", "ours/base64-body", "ours/base64-odd-width")
"""Mails written down in XML, documents of a parser's tests and no mail; and two of our own with
an encoding and no type, of which Dovecot says 7bit."""
EQUAL = 0.99
"""What part of the corpus has to be the same."""

Tree = tuple[object, ...]

_TOKEN = re.compile(rb'\s*(?:\{(\d+)\}\r?\n|"((?:[^"\\]|\\.)*)"|([()])|([^\s()"{]+))', re.S)
_LABEL = re.compile(rb"(?:uid|size\.virtual|imap\.[a-z]+)=(.*)", re.S)


def tokens(data: bytes) -> Iterator[object]:
    """Strings as bytes; parentheses, NIL, numbers and doveadm's labels as text."""
    at = 0
    while found := _TOKEN.match(data, at):
        at = found.end()
        length, quoted, mark, atom = found.groups()
        if length is not None:
            yield data[at : at + int(length)]
            at += int(length)
        elif quoted is not None:
            yield re.sub(rb"\\(.)", rb"\1", quoted, flags=re.S)
        elif mark is not None:
            yield mark.decode()
        elif label := _LABEL.fullmatch(atom):
            yield "=" + atom[: label.start(1) - 1].decode()
            at = found.start(4) + label.start(1)
        else:
            yield atom.decode()


@pytest.fixture(scope="module")
def dovecot(corpus: Sequence[Mail]) -> list[dict[str, Tree]]:
    """What Dovecot says of each message, by item."""
    doveadm = program("doveadm")
    with tempfile.TemporaryDirectory(prefix="mtad-peer-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for sub in ("run", "mail", "mail/cur", "mail/new", "mail/tmp"):
            (folder / sub).mkdir()
        for number, mail in enumerate(corpus):
            (folder / "mail/cur" / f"{10**9 + number}.{number:06}.peer:2,").write_bytes(mail.data)
        user, group = (8, 8) if os.getuid() == 0 else (os.getuid(), os.getgid())
        if os.getuid() == 0:  # it reads no mail for root
            for path in (folder, *folder.rglob("*")):
                os.chown(path, user, group)
        conf = folder / "conf"
        conf.write_text(CONF.format(folder=folder, user=user, group=group))
        done = subprocess.run(
            [doveadm, "-c", str(conf), "-f", "flow", "fetch", "uid " + " ".join(ITEMS), "all"],
            env={"PATH": os.environ["PATH"], "HOME": name, "USER": "mail"},
            user=user,
            group=group,
            extra_groups=[],
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
    messages: list[dict[str, Tree]] = []
    label, values = "", []
    for token in (*tokens(done.stdout), "=end"):
        if not (isinstance(token, str) and token.startswith("=")):
            values.append(token)
            continue
        if label == "uid":
            messages.append({})
        elif label:
            messages[-1][label] = tuple(values)
        label, values = token[1:], []
    assert len(messages) == len(corpus)
    return messages


def ours(stored: bytes) -> dict[str, Tree]:
    """The same of this program; Dovecot leaves the outer parentheses out."""
    data = wire(stored)
    part = parse(data)
    body, bodystructure = both(data, part)
    return {
        "size.virtual": (str(len(data)),),
        "imap.envelope": tuple(tokens(envelope(data, part)[1:-1])),
        "imap.body": tuple(tokens(body[1:-1])),
        "imap.bodystructure": tuple(tokens(bodystructure[1:-1])),
    }


def same(item: str, one: Tree, other: Tree) -> bool:
    """Types, encodings and parameter names have no case (RFC 9051 7.5.2, RFC 2045 5.1)."""
    if item == "imap.envelope":
        return one == other
    lower = [tuple(part.lower() if isinstance(part, bytes) else part for part in tree)
             for tree in (one, other)]  # fmt: skip
    return lower[0] == lower[1]


@pytest.mark.interop
@pytest.mark.parametrize("item", ITEMS)
def test_dovecot_says_the_same(
    corpus: Sequence[Mail], dovecot: list[dict[str, Tree]], item: str
) -> None:
    messages = [
        (mail, theirs)
        for mail, theirs in zip(corpus, dovecot, strict=True)
        if not mail.path.endswith(PASSED_OVER)
    ]
    other = [
        mail.path
        for mail, theirs in messages
        if not same(item, theirs[item], ours(mail.data)[item])
    ]
    allowed = 0 if item == "size.virtual" else int(len(messages) * (1 - EQUAL))
    assert len(other) <= allowed, other
