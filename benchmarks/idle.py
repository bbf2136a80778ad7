#!/usr/bin/env python3
"""Many SMTP connections that do nothing, or next to nothing: memory, and whether others notice.

Makes a site, serves it, opens the connections (each has said EHLO, with ``--tls`` after
STARTTLS), and prints by how much the server's own memory grew and how long a further client
waits for a message's 250. With ``--slow`` each of them then sends an octet of a command every
few seconds, or with ``--slow-data`` of a message, and what is printed is how long the further
client waits meanwhile, and when the server had cut them all. Everything stays on 127.0.0.0/8.
"""

import argparse
import asyncio
import itertools
import resource
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.smtp import site, tree
from tests.server import Server

AT_ONCE = 100
CLIENTS = 50
"""Addresses that the connections come from."""
TURN_SECONDS = 5.0
"""Time in which each slow connection sends one octet."""
MESSAGE = b"Subject: idle\r\n\r\nx\r\n.\r\n"
TO_U = (b"MAIL FROM:<>", b"RCPT TO:<u@bench.test>", b"DATA")


@dataclass
class Connection:
    """One of the many."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


def private_mb(server: Server) -> float:
    """Memory that is the server's processes' own."""
    assert server.process is not None
    return sum(map(private_of, tree(server.process.pid)))


def private_of(pid: int) -> float:
    """The same of one process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


async def reply(reader: asyncio.StreamReader) -> bytes:
    """The last line of a reply."""
    while (line := await reader.readline())[3:4] == b"-":
        pass
    if not line.startswith((b"2", b"3")):
        sys.exit(f"the server said {line!r}")
    return line


async def say(connection: Connection, *lines: bytes) -> None:
    """Commands, each with its reply."""
    for line in lines:
        connection.writer.write(line + b"\r\n")
        await reply(connection.reader)


async def opened(port: int, number: int, context: ssl.SSLContext | None) -> Connection:
    """A connection that has said EHLO."""
    source = (f"127.0.0.{number % CLIENTS + 1}", 0)
    one = Connection(*await asyncio.open_connection("127.0.0.1", port, local_addr=source))
    await reply(one.reader)
    if context is not None:
        await say(one, b"EHLO idle.test", b"STARTTLS")
        await one.writer.start_tls(context)
    await say(one, b"EHLO idle.test")
    return one


async def message(port: int) -> float:
    """Milliseconds from connecting to the 250 of a message."""
    start = time.perf_counter()
    one = Connection(*await asyncio.open_connection("127.0.0.1", port))
    await reply(one.reader)
    await say(one, b"EHLO c.test", *TO_U)
    one.writer.write(MESSAGE)
    await reply(one.reader)
    took = time.perf_counter() - start
    one.writer.close()
    return 1000 * took


async def messages(port: int, count: int = 50, pause: float = 0.0) -> str:
    """How long a message takes, in words."""
    took = []
    for _ in range(count):
        took.append(await message(port))
        await asyncio.sleep(pause)
    return f"{statistics.median(took):.1f} ms (at most {max(took):.1f})"


async def crawl(many: Sequence[Connection], forms: bytes) -> None:
    """Let each connection send an octet in its turn, for ever."""
    for turn in itertools.count():
        octet = forms[turn % len(forms) : turn % len(forms) + 1]
        began = time.monotonic()
        for number, one in enumerate(many, 1):
            if not one.reader.at_eof():
                one.writer.write(octet)
            if number % AT_ONCE == 0:
                await asyncio.sleep(began + TURN_SECONDS * number / len(many) - time.monotonic())


async def cut(many: Sequence[Connection]) -> list[float]:
    """When the server ended each connection, in seconds from now."""
    start = time.monotonic()

    async def end(one: Connection) -> float:
        try:
            while await one.reader.read(4096):
                pass
        except OSError:
            pass
        return time.monotonic() - start

    return await asyncio.gather(*map(end, many))


async def measure(server: Server, options: argparse.Namespace) -> None:
    """Print what is measured."""
    port = int(server.made["smtp"])
    context = ssl.create_default_context() if options.tls else None
    if context is not None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    await messages(port, 20)
    before, alone = private_mb(server), await messages(port)
    many: list[Connection] = []
    for first in range(0, options.connections, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, options.connections))
        many += await asyncio.gather(*(opened(port, number, context) for number in numbers))
    await asyncio.sleep(2)
    grown = private_mb(server) - before
    print(
        f"{len(many)} idle connections{' over TLS' if context else ''}: "
        f"{grown:.1f} MB more than {before:.1f} MB, {1024 * grown / len(many):.1f} kB each; "
        f"a message takes {await messages(port)}, without them {alone}"
    )
    if options.slow or options.slow_data:
        if options.slow_data:
            for one in many:
                await say(one, *TO_U)
        async with asyncio.TaskGroup() as group:
            ends = group.create_task(cut(many))
            crawling = group.create_task(crawl(many, b"NOOP " + b"x" * 1000))
            beside = await messages(port, 150, 0.2)
            took = await ends
            crawling.cancel()
        print(
            f"an octet each every {TURN_SECONDS:.0f} s: a message takes {beside}; "
            f"{private_mb(server) - before:.1f} MB more once they are cut, "
            f"from {min(took):.0f} s on, the last one after {max(took):.0f} s"
        )
    for one in many:
        one.writer.transport.abort()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--tls", action="store_true", help="over TLS")
    parser.add_argument("--slow", action="store_true", help="send commands octet by octet")
    parser.add_argument("--slow-data", action="store_true", help="send messages octet by octet")
    parser.add_argument("--timeout", type=int, default=60, help="smtp.command_timeout_seconds")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as scratch:
        server = site(Path(scratch) / "site")
        settings = (
            f"max_connections = {options.connections + 100}\n"  # one client more has to get in
            f"command_timeout_seconds = {options.timeout if options.slow else 3600}\n"
        )
        text = server.config.read_text()
        server.config.write_text(text.replace("[smtp]\n", f"[smtp]\n{settings}", 1))
        server.stop()
        server.start()
        try:
            asyncio.run(measure(server, options))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
