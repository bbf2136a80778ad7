"""``mtad doctor``: look at everything that keeps mail from coming, leaving or being kept."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby

import click

from mtad.cli_options import config_option, json_option, settings
from mtad.errors import Exit
from mtad.setup.doctor.check import Check, Verdict
from mtad.setup.doctor.examine import examine
from tracing.render import safe

SCHEMA = 1
"""Version of the JSON document."""
MARKS = {Verdict.OK: "●", Verdict.WARN: "!", Verdict.BAD: "✕", Verdict.UNKNOWN: "?"}


@click.command()
@config_option
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> int:
    """Check roles, ports, certificate, DNS, disk, permissions, log, queue, snapshots and books.

    What is not fine is told with its cause and what to do. Exit status 0 when nothing is bad
    (warnings and what cannot be known among it), 5 when something is.
    """
    checks = asyncio.run(examine(settings(context)))
    counts = Counter(check.verdict for check in checks)
    if as_json:
        document = {
            "schema": SCHEMA,
            "verdicts": {verdict.value: counts[verdict] for verdict in Verdict},
            "checks": [asdict(check) for check in checks],
        }
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        for line in lines(checks):
            click.echo(safe(line))
    return Exit.PROBLEMS if counts[Verdict.BAD] else Exit.OK


def lines(checks: Sequence[Check]) -> Iterator[str]:
    """What a person reads: a line for a group, and in full what is not fine in it."""
    for group, members in groupby(checks, key=lambda check: check.group):
        every = list(members)
        ill = [check for check in every if check.verdict is not Verdict.OK]
        if not ill:
            yield f"{MARKS[Verdict.OK]} {group:<12} {len(every)} fine"
            continue
        yield f"  {group:<12} {len(every) - len(ill)} of {len(every)} fine"
        for check in ill:
            yield f"{MARKS[check.verdict]} {check.verdict:<8} {check.id}: {check.measured}"
            yield f"    expected  {check.expected}"
            yield f"    cause     {check.cause}"
            if check.fix:
                yield f"    fix       {check.fix}"
