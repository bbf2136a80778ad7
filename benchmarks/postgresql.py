"""The same events in files and on a PostgreSQL server, and the same questions to both.

    python benchmarks/postgresql.py [--events 200000] [--batch 75]

Starts a server of its own (Debian's postgresql-15) with its usual durability, so that both
engines are measured in one run on one machine.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks import log
from mtad.where import Kept
from tests.postgresql import BINARIES, Cluster


def measure(name: str, place: Kept, given: argparse.Namespace) -> None:
    """Fill a log, then ask."""
    count, messages, wall, cpu = log.fill(place, given.events, given.batch)
    print(
        f"{name}: {count:,} events of {messages:,} messages, {count / wall:,.0f} a second, ", end=""
    )
    print(f"processor {cpu / messages * 1e6:.0f} µs a message on our side")
    log.ask(place)


def main() -> None:
    """Files first, then the server."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=200_000)
    options.add_argument("--batch", type=int, default=75, help="messages in a transaction")
    given = options.parse_args()
    if not BINARIES.is_dir():
        print(f"no {BINARIES}: nothing is measured")
        return
    with tempfile.TemporaryDirectory(prefix="mtad-") as folder:
        measure("files", Path(folder) / "log", given)
    cluster = Cluster(fsync="on", full_page_writes="on", shared_buffers="256MB")
    try:
        server = cluster.database()
        measure("server", server, given)
        ((octets,),) = cluster.run("mtad1", "SELECT pg_database_size('mtad1')")
        print(f"{octets / given.events:.0f} octets an event on the server, all indexes")  # type: ignore[operator]
    finally:
        cluster.remove()


if __name__ == "__main__":
    main()
