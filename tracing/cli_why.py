"""``mtad why`` and ``mtad proof``: an answer in one sentence, and a sheet for the other side.

Both ask for timelines as ``mtad trace`` does and judge them here; the daemon need not run.
"""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click

from mtad import where
from mtad.cli_options import config_option, config_path, json_option
from mtad.errors import NothingFound, UsageError
from tracing import denials, keeping, misses, render, returns, verdict
from tracing import proof as sheets
from tracing.asking import ask, ask_own
from tracing.words import book, language, language_option

MAX_MESSAGES = 20
"""Messages of one question that are judged."""


def timelines(places: where.Places, text: str, limit: int) -> tuple[list[render.Document], int]:
    """The timelines of the messages a query finds, newest first, and how many were left out."""
    found = ask(places, text, limit)
    if "messages" not in found:
        return ([found] if found["message"] is not None else []), 0
    every = [ask(places, message["id"], 1) for message in found["messages"]]
    return [one for one in every if one.get("message") is not None], found["left_out"]


@click.command(short_help="Why a message is where it is, in one sentence.")
@click.argument("query", nargs=-1, required=True)
@language_option
@json_option
@config_option
@click.pass_context
def why(context: click.Context, query: tuple[str, ...], lang: str | None, as_json: bool) -> None:
    """Say in one sentence for each recipient what became of a message, with the evidence.

    QUERY is as for 'mtad trace': an id, a <Message-ID>, or terms such as from:alice since:2d.
    Where nothing is found, what nearly is what was asked for is named.
    """
    places = where.places(config_path(context))
    text = " ".join(query)
    words = book(language(lang))
    found, left = timelines(places, text, MAX_MESSAGES)
    keeping.add(places.log, found)
    returns.add(places.log, found)
    near = [] if found else misses.of(places.log, text)
    denied = [] if found else denials.of(places.log, text, time.time_ns() // 1000)
    judged = [(document, verdict.judge(document, words)) for document in found]
    if as_json:
        shown = {
            "schema": 1,
            "query": text,
            "messages": [
                {**_named(document), "verdicts": [verdict.as_document(one) for one in verdicts]}
                for document, verdicts in judged
            ],
            "left_out": left,
            "near": [misses.as_document(one, words.language) for one in near],
            "denied": [denials.as_document(one) for one in denied],
        }
        click.echo(json.dumps(shown, ensure_ascii=False, indent=2))
    else:
        told = words.verdicts["NETWORK_DENIED_LOGIN"][words.language]
        lines = [*_lines(judged), *(denials.sentence(one, told) for one in denied)]
        lines += (misses.sentence(one, words.language) for one in near)
        click.echo("\n".join(lines), nl=bool(lines))
    if not judged:
        raise NothingFound(words.verdicts["NEVER_SEEN"][words.language])
    if left and not as_json:
        click.echo(f"the newest {len(judged)} judged, {left} older left out", err=True)


def _named(document: render.Document) -> dict[str, Any]:
    message = document["message"]
    return {name: message[name] for name in ("id", "at", "from", "subject", "message_id", "state")}


def _lines(judged: Sequence[tuple[render.Document, Sequence[verdict.Verdict]]]) -> Iterator[str]:
    for number, (document, verdicts) in enumerate(judged):
        if number:
            yield ""
        message = document["message"]
        subject = f"  {render.safe(message['subject'])}" if message["subject"] else ""
        yield f"{message['id']}  {render.safe(message['from']) or '<>'}{subject}"
        for one in verdicts:
            yield f"  {one.sentence}"
            yield from (f"    {line}" for line in one.evidence)
            yield from (f"    -> {action}" for action in one.actions)


@click.command(short_help="A sheet that proves what another server took.")
@click.argument("query", nargs=-1, required=True)
@language_option
@json_option
@config_option
@click.pass_context
def proof(context: click.Context, query: tuple[str, ...], lang: str | None, as_json: bool) -> None:
    """Print a sheet for the other side: when its server took the message, and its own words.

    QUERY names one message: its id, its <Message-ID>, or terms that find just one.
    """
    places = where.places(config_path(context))
    text = " ".join(query)
    found, left = timelines(places, text, 2)
    if not found:
        raise NothingFound(f"nothing found for {render.safe(text)}")
    if len(found) > 1 or left:
        raise UsageError(
            "more than one message was found; name one by its id ('mtad trace' lists them)"
        )
    told = sheets.facts(found[0])
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        hostname = str(where.read_toml(config_path(context)).get("hostname", ""))
        click.echo("\n".join(sheets.sheet(told, hostname, language(lang))))
    if not told["handed"]:
        raise NothingFound("no other server took this message; 'mtad why' says what became of it")


@click.command(short_help="What became of one person's own mail.")
@click.argument("address")
@click.argument("query", nargs=-1)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Messages shown at most, newest first.",
)
@language_option
@json_option
@config_option
@click.pass_context
def mine(
    context: click.Context,
    address: str,
    query: tuple[str, ...],
    limit: int,
    lang: str | None,
    as_json: bool,
) -> None:
    """Show what ADDRESS may know of its own mail: sent by it or for it, and nothing of others.

    QUERY is an id or a <Message-ID>, then it is told what became of it; or terms such as
    from:alice subj:invoice since:2d, and for what was sent to: and state:. Each look is an event.
    """
    places = where.places(config_path(context))
    text = " ".join(query)
    found = ask_own(places, address, text, limit)
    is_one = "messages" not in found
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
    elif is_one:
        words = book(language(lang))
        click.echo("\n".join(_lines([(found, verdict.judge(found, words))])))
    elif found["messages"]:
        click.echo("\n".join(render.table(found, None)))
        click.echo(render.footer(found), err=True)
    if not is_one and not found["messages"]:
        raise NothingFound(f"nothing of {render.safe(address)} found for {render.safe(text)}")
