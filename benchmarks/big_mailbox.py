#!/usr/bin/env python3
"""One very big mailbox through IMAP: how long what clients do takes, and what it costs in memory.

Makes a site whose box has so many messages, hard links of a few small files, or with ``--gb`` so
many octets in sparse files; serves it, and times commands from the socket. Printed with each is
the memory of the process that serves it. Everything stays on 127.0.0.1.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.idle import Connection, private_of
from benchmarks.smtp import DOMAIN, tree
from mtad import address
from tests.server import Server

SECRET = "a password of the load"
BOX = f"big@{DOMAIN}"
LINKS = 50_000
"""Hard links that one file has, below what file systems allow."""
SPARSE = 10 * 2**20
"""Octets of a sparse file."""
MESSAGE = "From: a@sender.test\nTo: big@%s\nSubject: number %d\n\n%s\n"
COMMANDS = (
    "SELECT INBOX",
    "SELECT INBOX",
    "FETCH 1:* (FLAGS)",
    "FETCH 1:* (UID RFC822.SIZE INTERNALDATE)",
    "UID SEARCH UNSEEN",
    "UID SEARCH SINCE 1-Jan-2020 LARGER 100",
    "UID SEARCH RETURN (COUNT) UNFLAGGED",
    "STATUS INBOX (MESSAGES UNSEEN SIZE)",
    "GETQUOTAROOT INBOX",
)
CHANGES = (
    "STORE 1:* +FLAGS.SILENT (\\Flagged)",
    "STORE 1:* -FLAGS.SILENT (\\Flagged)",
    "STORE 17 +FLAGS (\\Flagged)",
)


def fill(folder: Path, options: argparse.Namespace) -> int:
    """Put messages into a Maildir's ``cur``; returns how many."""
    for sub in ("cur", "new", "tmp"):
        (folder / sub).mkdir(parents=True, mode=0o700)
    cur = folder / "cur"
    if options.gb:
        count = options.gb * 2**30 // SPARSE
        for number in range(count):
            with open(cur / f"{number}.load,S={SPARSE},W={SPARSE + 6}:2,S", "wb") as file:
                file.write((MESSAGE % (DOMAIN, number, "")).encode())
                file.truncate(SPARSE)
        return count
    for number in range(options.messages):
        if not number % LINKS:
            text = MESSAGE % (DOMAIN, number, "x" * 500)
            source = folder / "tmp" / str(number)
            source.write_text(text)
            size, wire = len(text), len(text) + text.count("\n")
        os.link(source, cur / f"{number}.load,S={size},W={wire}:2,{'S' * (number % 3 > 0)}")
    return int(options.messages)


async def command(one: Connection, text: str) -> int:
    """Do a command; octets of the answer."""
    one.writer.write(f"a {text}\r\n".encode())
    octets, tail = 0, b"\r\n"
    while True:
        data = await one.reader.read(2**20)
        octets += len(data)
        tail = (tail + data)[-4096:]
        last = tail[:-2].rpartition(b"\r\n")[2]
        if not data or (tail.endswith(b"\r\n") and last.startswith(b"a ")):
            break
    if not last.startswith(b"a OK"):
        sys.exit(f"the server said {last!r}")
    return octets


async def measure(server: Server, count: int, options: argparse.Namespace) -> None:
    """Print what is measured."""
    assert server.process is not None
    before = {pid: private_of(pid) for pid in tree(server.process.pid)}
    link = await asyncio.open_connection("127.0.0.1", int(server.made["imap"]), limit=2**24)
    one = Connection(*link)
    await one.reader.readline()
    print(f"{count} messages, load {os.getloadavg()[0]:.1f}; seconds, answer, memory grown by")
    for text in (
        f'LOGIN {BOX} "{SECRET}"',
        *COMMANDS,
        *(() if options.gb else CHANGES),
        *options.also,
    ):
        began = time.perf_counter()
        octets = await command(one, text)
        seconds = time.perf_counter() - began
        grown = max(private_of(pid) - was for pid, was in before.items())
        name = "LOGIN, import" if text.startswith("LOGIN") else text
        said = f"{seconds:8.3f} s {octets / 2**20:7.1f} MiB {grown:7.1f} MiB"
        print(f"{name:42} {said}", flush=True)
    one.writer.close()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=500_000)
    parser.add_argument("--gb", type=int, default=0, help="sparse messages of so much in all")
    parser.add_argument("--also", action="append", default=[], help="a further command")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
        Server(Path(scratch) / "site", f"u@{DOMAIN}") as server,
    ):
        with server.changes() as changes:
            changes.add_box(BOX, SECRET)
        home = server.places.boxes / address.box_folder(BOX) / "Maildir"
        count = fill(home, options)
        server.start()
        asyncio.run(measure(server, count, options))
        server.stop()


if __name__ == "__main__":
    main()
