"""``mtad log export``: the log for other programs."""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mtad import where
from mtad.cli_options import config_option, config_path
from mtad.errors import NothingFound, Unreachable, UsageError

if TYPE_CHECKING:
    from tracing.queries import Stored

FORMATS = ("jsonl", "csv", "syslog", "otlp")
WAITS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before a place that is followed to is tried again."""
_EVER = (1 << 63) - 1

Send = Callable[[Sequence["Stored"]], None]


@click.command(short_help="The log for other programs.")
@click.argument("query", nargs=-1)
@click.option(
    "--format",
    "style",
    type=click.Choice(FORMATS),
    default="jsonl",
    show_default=True,
    help="JSON lines, CSV, syslog (RFC 5424), or OpenTelemetry's OTLP over HTTP.",
)
@click.option("--since", default="", help="Events from then on: 2d, yesterday, 2026-11-20T14:00.")
@click.option("--until", default="", help="Events before then.")
@click.option("--follow", is_flag=True, help="Go on with what happens from now on, until Ctrl-C.")
@click.option(
    "--to",
    "target",
    default="",
    metavar="PLACE",
    help="Of syslog: unix:/dev/log, tcp:HOST:PORT (RFC 6587) or tls:HOST:PORT (RFC 5425), else "
    "standard output; of OTLP: the collector's URL.",
)
@click.option(
    "--ca",
    "authority",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of certificates that a TLS server is checked by (else the system's).",
)
@config_option
@click.pass_context
def export(
    context: click.Context,
    query: tuple[str, ...],
    style: str,
    since: str,
    until: str,
    follow: bool,
    target: str,
    authority: Path | None,
) -> None:
    """Write the events of this server, oldest first; those of messages that match QUERY if given.

    Memory stays the same however much it is. In CSV no cell is a formula. What 'mtad log import'
    read in is left out.
    """
    from tracing import answers  # noqa: PLC0415 - needed by this command alone
    from tracing.export import chosen  # noqa: PLC0415
    from tracing.queries import Log  # noqa: PLC0415

    if follow and until:
        raise UsageError("--follow and --until contradict each other")
    if target and style not in ("syslog", "otlp"):
        raise UsageError("--to is for --format syslog and otlp; send the others where you like: >")
    file = config_path(context)
    places, text = where.places(file), " ".join(query)
    hostname = str(where.read_toml(file).get("hostname", ""))
    count = 0
    with answers.readable(places.log):
        first, last = _moment("since", since), _moment("until", until) or _EVER
        with contextlib.closing(Log(places.log)) as log:
            end = log.cursor()
        sink = _Sink(style, target, hostname, authority)
        with contextlib.closing(sink), contextlib.suppress(KeyboardInterrupt):
            for part in chosen.events(places.log, text, first, last):
                sink.send(part)
                count += len(part)
            if follow:
                for part in chosen.followed(places.log, text, end):
                    sink.persist([one for one in part if one.event.at >= first])
    if not count and not follow:
        raise NothingFound("no event was found")


def _moment(field: str, text: str) -> int:
    from tracing import search  # noqa: PLC0415 - needed by this command alone

    if not text:
        return 0
    query = search.parse(f'{field}:"{text}"', time.time_ns() // 1000)
    return (query.since if field == "since" else query.until) or 0


class _Sink:
    """Sends events in a style to a place, which is opened when it is first needed."""

    def __init__(self, style: str, target: str, hostname: str, authority: Path | None) -> None:
        self._style, self._target, self._hostname = style, target, hostname
        self._authority = authority
        self._open = contextlib.ExitStack()
        self._send: Send | None = None

    def send(self, part: Sequence["Stored"]) -> None:
        """Send events. Raises Unreachable, UsageError."""
        if self._send is None:
            self._send = self._opened()
        self._send(part)

    def persist(self, part: Sequence["Stored"]) -> None:
        """The same, trying again until the place takes them; some may come twice."""
        waits = iter(WAITS)
        wait = 0.0
        while part:
            try:
                self.send(part)
                return
            except Unreachable as error:
                wait = next(waits, WAITS[-1])
                click.echo(f"{error}; trying again in {wait:.0f} s", err=True)
                self.close()
                time.sleep(wait)

    def close(self) -> None:
        """Close the place; the next event opens it again."""
        self._send = None
        self._open.close()

    def _opened(self) -> Send:
        from tracing import answers  # noqa: PLC0415 - needed by this command alone
        from tracing.export import lines, otlp, places  # noqa: PLC0415

        if self._style == "otlp":
            url = self._target or "http://127.0.0.1:4318/v1/logs"
            if not url.startswith(("http://", "https://")):
                raise UsageError(f"{url} is no URL; write http://127.0.0.1:4318/v1/logs")
            collector = self._open.enter_context(contextlib.closing(otlp.Otlp(url, self._hostname)))
            return lambda part: collector.send([one.event for one in part])
        place = self._open.enter_context(places.opened(self._target or "-", self._authority))
        process = os.getpid()
        if self._style == "syslog":
            return lambda part: place.send(
                [lines.as_syslog(one.event, self._hostname, process) for one in part]
            )
        if self._style == "csv":
            place.send([lines.csv_header().encode()])
            return lambda part: place.send([lines.as_csv(one.event).encode() for one in part])
        return lambda part: place.send(
            [
                lines.as_json({"schema": answers.SCHEMA, **answers.happened(one)}).encode()
                for one in part
            ]
        )
