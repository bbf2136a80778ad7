#!/usr/bin/env python3
"""Many mail clients that wait for mail (IDLE) over TLS, each in a box of its own: memory.

Makes a site with as many boxes, puts messages into each, and serves it. Every client logs in,
selects INBOX, reads flags, and with ``--headers`` envelopes too, as one does that comes back, then
idles. Printed is by how much the memory grew that is the server's own, and how that divides.
With ``--shared`` all are the clients of one user. Everything stays on 127.0.0.0/8.
"""

import argparse
import asyncio
import resource
import ssl
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.idle import CLIENTS, Connection, private_of
from benchmarks.smtp import DOMAIN, tree
from mtad import address
from tests.server import Server

AT_ONCE = 20
SECRET = "a password of the load"
MESSAGE = "From: a@sender.test\nTo: %s@%s\nSubject: number %d\n\n%s\n"


def site(folder: Path, options: argparse.Namespace) -> Server:
    """A served site with a box for each client, messages in it."""
    server = Server(folder, f"u@{DOMAIN}")
    with server.changes() as changes:
        for name in boxes(options):
            changes.add_box(f"{name}@{DOMAIN}", SECRET)
    for name in boxes(options):
        home = server.places.boxes / address.box_folder(f"{name}@{DOMAIN}") / "Maildir"
        for sub in ("cur", "new", "tmp"):
            (home / sub).mkdir(parents=True, mode=0o700)
        for number in range(options.messages):
            text = MESSAGE % (name, DOMAIN, number, "x" * 1000)
            (home / "cur" / f"{number}.load:2,S").write_text(text)
    text = server.config.read_text()
    limits = f"max_connections = {options.connections + 100}\n"
    limits += f"max_connections_per_user = {options.connections + 100}\n"
    server.config.write_text(text.replace("[access]\n", f"[access]\n{limits}", 1))
    server.start()
    return server


def boxes(options: argparse.Namespace) -> Iterator[str]:
    """Names of the boxes."""
    return (f"u{number}" for number in range(1 if options.shared else options.connections))


async def answered(one: Connection, command: str) -> None:
    """A command and its answer."""
    one.writer.write(f"a {command}\r\n".encode())
    while not (line := await one.reader.readline()).startswith(b"a "):
        if not line:
            sys.exit(f"the server ended the connection after {command.split()[0]}")
    if not line.startswith(b"a OK"):
        sys.exit(f"the server said {line!r}")


async def opened(
    port: int, number: int, context: ssl.SSLContext, options: argparse.Namespace
) -> Connection:
    """A client that idles."""
    source = (f"127.0.0.{number % CLIENTS + 1}", 0)
    link = await asyncio.open_connection("127.0.0.1", port, local_addr=source, ssl=context)
    one = Connection(*link)
    await one.reader.readline()
    name = "u0" if options.shared else f"u{number}"
    await answered(one, f'LOGIN {name}@{DOMAIN} "{SECRET}"')
    await answered(one, "SELECT INBOX")
    await answered(one, "FETCH 1:* (FLAGS)")
    if options.headers:
        await answered(one, "FETCH 1:* (ENVELOPE)")
    one.writer.write(b"a IDLE\r\n")
    await one.reader.readline()
    return one


async def measure(server: Server, options: argparse.Namespace) -> None:
    """Print what is measured."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    port = int(server.made["imaps"])
    first = await opened(port, 0, context, options)
    assert server.process is not None
    there = {pid: private_of(pid) for pid in tree(server.process.pid)}
    before = sum(there.values())
    many: list[Connection] = []
    for begin in range(1, options.connections, AT_ONCE):
        numbers = range(begin, min(begin + AT_ONCE, options.connections))
        many += await asyncio.gather(*(opened(port, one, context, options) for one in numbers))
    await asyncio.sleep(options.rest)
    now = {pid: private_of(pid) for pid in tree(server.process.pid)}
    workers = sum(size for pid, size in now.items() if pid not in there)
    grown = sum(now.values()) - before - workers
    most = max(now[pid] - size for pid, size in there.items())
    where = "one box" if options.shared else "boxes of their own"
    print(
        f"{len(many)} clients idle over TLS in {where} with {options.messages} messages: "
        f"{grown:.1f} MB more than {before:.1f} MB, {1024 * grown / len(many):.1f} kB each, "
        f"{most:.1f} MB of them in the process that serves them; "
        f"{workers:.1f} MB in processes that make summaries and end after a while"
    )
    for one in (first, *many):
        one.writer.transport.abort()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=100, help="in each box")
    parser.add_argument("--shared", action="store_true", help="all in one box")
    parser.add_argument("--headers", action="store_true", help="read all envelopes first")
    parser.add_argument(
        "--rest", type=float, default=50, help="seconds between opening and measuring"
    )
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as scratch, site(Path(scratch) / "site", options) as server:
        try:
            asyncio.run(measure(server, options))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
