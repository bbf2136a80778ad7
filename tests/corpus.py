"""Real mail for tests: the archives of ``shared/data`` beside the repository, read as they are.

Nothing is normalised: line ends, 8-bit headers and damage are what the archives hold. Where the
data is missing, tests run on ``tests.mails`` instead and are whole.
"""

import io
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import zstandard

ENVIRONMENT = "MTAD_TEST_DATA"
REPOSITORY = Path(__file__).resolve().parents[1]
MANIFEST = "MANIFEST.tsv"
MESSAGE_NAMES = (".eml", ".mbox")
"""What counts as a message in an archive whose manifest lists nothing."""
WHOLE = frozenset({"mime-tika/complex.mbox"})
"""An mbox that is one test document of a parser and counts as one message."""

_SEPARATOR = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\n]*\n")


class Mail(NamedTuple):
    """A message: where it comes from, and its bytes."""

    path: str
    data: bytes


def data_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the shared data is expected; it need not exist."""
    return Path(environ.get(ENVIRONMENT) or REPOSITORY.parent / "shared" / "data")


def messages(folder: Path) -> Iterator[Mail]:
    """Every message of every archive in ``folder``, in the same order each time."""
    for archive in sorted(folder.glob("*.tar.zst")):
        yield from _archive(archive)


def _archive(archive: Path) -> Iterator[Mail]:
    files = _files(archive)
    top = archive.name.removesuffix(".tar.zst")
    listed = [
        line.split("\t", 1)[0]
        for line in files.get(f"{top}/{MANIFEST}", b"").decode().split("\n")[1:]
        if line
    ]
    names = [f"{top}/{path}" for path in listed] or sorted(
        name for name in files if name.endswith(MESSAGE_NAMES)
    )
    for name in names:
        if not name.endswith(".mbox") or name in WHOLE:
            yield Mail(name, files[name])
            continue
        for number, data in enumerate(split_mbox(files[name]), 1):
            yield Mail(f"{name}#{number}", data)


def _files(archive: Path) -> dict[str, bytes]:
    with archive.open("rb") as packed:
        plain = zstandard.ZstdDecompressor().stream_reader(packed).read()
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return {
            member.name: content.read()
            for member in tar
            if member.isfile() and (content := tar.extractfile(member)) is not None
        }


def split_mbox(data: bytes) -> list[bytes]:
    """The messages of an mbox, without the ``From `` lines and the blank line after each."""
    return [part.removesuffix(b"\n").removesuffix(b"\r") for part in _SEPARATOR.split(data) if part]
