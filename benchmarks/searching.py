#!/usr/bin/env python3
"""SEARCH TEXT beside everybody else: how long it takes, and how long others wait meanwhile.

One connection looks for a word in all of INBOX, again and again; a second one of the same user
says NOOP every 20 ms. Printed are the median of the searches and the NOOPs' median, 95th
percentile and maximum, while nobody searches and while somebody does. A target is
HOST:PORT,USER,PASSWORD on loopback; with ``imap.full_text`` on, run it twice to see the index.
"""

import argparse
import asyncio
import statistics
import time

WORD = "xylophone"
PAUSE = 0.02


class Client:
    """A connection that has selected INBOX."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, command: str) -> float:
        """Seconds until the command is answered. Raises RuntimeError where it is refused."""
        begin = time.perf_counter()
        self._writer.write(f"a {command}\r\n".encode())
        while not (line := await self._reader.readline()).startswith(b"a "):
            if not line:
                raise RuntimeError(f"{command}: the connection was closed")
        if not line.startswith(b"a OK"):
            raise RuntimeError(f"{command}: {line!r}")
        return time.perf_counter() - begin


async def client(target: str) -> Client:
    """Logged in, INBOX selected."""
    place, user, password = target.split(",")
    host, _, port = place.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**26)
    await reader.readline()
    made = Client(reader, writer)
    await made.ask(f'LOGIN "{user}" "{password}"')
    await made.ask("SELECT INBOX")
    return made


async def knock(other: Client, stop: asyncio.Event) -> list[float]:
    """NOOP until told to stop."""
    found = []
    while not stop.is_set():
        found.append(await other.ask("NOOP"))
        await asyncio.sleep(PAUSE)
    return found


def tell(what: str, seconds: list[float]) -> None:
    """One line in milliseconds."""
    at = [one * 1000 for one in sorted(seconds)]
    late = at[min(len(at) - 1, int(len(at) * 0.95))]
    print(
        f"{what:<28} {len(at):5}  median {statistics.median(at):8.1f} ms"
        f"  95 % {late:8.1f}  max {at[-1]:8.1f}"
    )


async def run(options: argparse.Namespace) -> None:
    """All of it."""
    searcher, other = await client(options.target), await client(options.target)
    await searcher.ask(f"SEARCH TEXT {WORD}")
    for what, work in (
        ("NOOP", asyncio.sleep(options.seconds)),
        ("NOOP during SEARCH TEXT", search(searcher, options.searches)),
    ):
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            knocking = group.create_task(knock(other, stop))
            taken = await work
            stop.set()
        tell(what, knocking.result())
        if taken is not None:
            tell("SEARCH TEXT", taken)


async def search(one: Client, count: int) -> list[float]:
    """Seconds of some searches."""
    return [await one.ask(f"SEARCH TEXT {WORD}") for _ in range(count)]


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="HOST:PORT,USER,PASSWORD")
    parser.add_argument("--searches", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of NOOP alone")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
