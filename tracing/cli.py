"""``mtad trace`` and ``mtad tail``: the log on the command line.

While the daemon runs its log role answers on ``run/log.sock`` and nothing heavy is imported;
otherwise the month files are read here. Both give the same documents and so the same output.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from mtad import control, where
from mtad.cli_options import config_option, config_path, json_option
from mtad.errors import NothingFound, Unreachable, UsageError
from tracing import render
from tracing.asking import ask, look
from tracing.words import language_option

if TYPE_CHECKING:
    from tracing.following import Follower
    from tracing.queries import Stored

POLL_SECONDS = 0.1
POLLS = 10
"""Looks into the files before the daemon is tried again."""
STREAM_SECONDS = 5.0
"""Silence of the daemon's stream after which the files are looked into."""

jsonl_option = click.option("--jsonl", is_flag=True, help="One JSON object per line.")


@click.command(short_help="What happened to a message.")
@click.argument("query", nargs=-1)
@click.option("--save", "name", metavar="NAME", help="Keep QUERY as the view @NAME.")
@click.option("--views", "lists", is_flag=True, help="List the views.")
@click.option("--forget", metavar="NAME", help="Take the view @NAME away.")
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=50,
    show_default=True,
    help="Messages shown at most, newest first.",
)
@click.option("--tree", is_flag=True, help="All that came of it, with a verdict at each leaf.")
@language_option
@json_option
@jsonl_option
@config_option
@click.pass_context
def trace(
    context: click.Context,
    query: tuple[str, ...],
    name: str | None,
    lists: bool,
    forget: str | None,
    limit: int,
    tree: bool,
    lang: str | None,
    as_json: bool,
    jsonl: bool,
) -> None:
    """Find messages, or tell what happened to one.

    QUERY is an id (or its first 6 characters or more) or a <Message-ID>, then the whole
    timeline is shown; or terms such as from:alice to:@example.org since:2d !state:delivered
    subj:invoice ip:192.0.2.0/24 code:5xx, bare words, brackets and | for either; @failures and
    the like are views, filters with a name, of one's own too.
    """
    places = where.places(config_path(context))
    text = " ".join(query)
    if name is not None or forget is not None or lists:
        _views(places, text, name, forget, as_json=as_json)
        return
    if not text.strip():
        raise UsageError("say which messages: an id, terms such as from:alice since:2d, or *")
    if tree:
        _tree(places, text, lang, as_json)
        return
    found = ask(places, text, limit)
    parts = found["messages"] if "messages" in found else found["events"]
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
    elif jsonl:
        for part in parts:
            click.echo(json.dumps({"schema": 1, **part}, ensure_ascii=False))
    elif parts:
        _print(found)
    if not parts:
        raise NothingFound(f"nothing found for {render.safe(text)}")


def _views(
    places: where.Places, text: str, name: str | None, forget: str | None, *, as_json: bool
) -> None:
    """Save a view, take one away, or list them."""
    from tracing import answers, saved, views  # noqa: PLC0415 - needed by these options alone

    if (name or forget) and places.server is not None:
        raise UsageError("views are kept in files only; this log is on a server")
    folder = places.log_folder
    with answers.readable(folder):
        if name is not None:
            if not text.strip():
                raise UsageError("say what the view stands for: mtad trace --save NAME FILTER")
            saved.save(folder, name, text)
        elif forget is not None:
            saved.forget(folder, forget)
        else:
            own = saved.own(folder) if places.server is None else {}
            every = {**own, **views.BUILT_IN}
            if as_json:
                shown = [
                    {"name": one, "filter": every[one], "built_in": one in views.BUILT_IN}
                    for one in every
                ]
                click.echo(json.dumps({"schema": 1, "views": shown}, ensure_ascii=False, indent=2))
            else:
                click.echo("\n".join(f"@{one:<16} {render.safe(every[one])}" for one in every))


def _tree(places: where.Places, text: str, lang: str | None, as_json: bool) -> None:
    from tracing import answers, tree, words  # noqa: PLC0415 - needed by this option alone

    found = answers.tree(places.log, text)
    for one in found["messages"]:
        look(places, one["trace"])
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
    elif found["messages"]:
        click.echo("\n".join(tree.lines(found, words.book(words.language(lang)))))
        if found["more"]:
            click.echo(f"the first {answers.MAX_FAMILY} messages are shown", err=True)
    if not found["messages"]:
        raise NothingFound(f"nothing found for {render.safe(text)}")


def _print(found: render.Document) -> None:
    if "messages" not in found:
        click.echo("\n".join(render.timeline(found)))
        return
    wide = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    click.echo("\n".join(render.table(found, wide)))
    click.echo(render.footer(found), err=True)


@click.command(short_help="Follow events as they happen.")
@click.argument("query", nargs=-1)
@click.option(
    "--format",
    "style",
    type=click.Choice(("short", "exim", "postfix", "json")),
    default="short",
    show_default=True,
    help="Lines for people, as of another server's log, or one JSON object each.",
)
@click.option("--jsonl", is_flag=True, help="The same as --format json.")
@config_option
@click.pass_context
def tail(context: click.Context, query: tuple[str, ...], style: str, jsonl: bool) -> None:
    """Print events as they happen, those of messages that match QUERY if one is given.

    In the manner of Exim (<= arrived, => delivered, == put off, ** failed) and of Postfix, with
    our ids, only what those would write has a line. Ends with Ctrl-C.
    """
    from tracing import answers, following  # noqa: PLC0415 - needed by this command alone

    file = config_path(context)
    places = where.places(file)
    lines = _style("json" if jsonl else style, str(where.read_toml(file).get("hostname", "")))
    with answers.readable(places.log):
        wanted = following.Filter(places.log, " ".join(query)) if query else None
        follower = following.Follower(places.log)
        try:
            for part in _followed(places, follower):
                said = [
                    line
                    for stored in part
                    for line in lines(stored, wanted is None or wanted.takes(stored.event))
                ]
                if said:  # as one piece: writing each line takes longer than making it
                    click.echo("\n".join(said))
        except KeyboardInterrupt:
            pass
        finally:
            follower.close()
            if wanted is not None:
                wanted.close()


Lines = Callable[["Stored", bool], Iterator[str]]
"""The lines of an event; of one that is not wanted a style may learn something."""


def _style(name: str, hostname: str) -> Lines:
    import msgspec  # noqa: PLC0415 - as what follows needed by ``tail`` alone

    from tracing import answers, eximlog, postfixlog  # noqa: PLC0415

    def short(stored: "Stored", is_wanted: bool) -> Iterator[str]:
        if is_wanted:
            yield render.line(stored.event)

    def as_json(stored: "Stored", is_wanted: bool) -> Iterator[str]:
        if is_wanted:
            shown = {"schema": answers.SCHEMA, **answers.happened(stored)}
            yield msgspec.json.encode(shown).decode()

    if name in ("exim", "postfix"):
        log = eximlog.EximLog() if name == "exim" else postfixlog.PostfixLog(hostname)
        return lambda stored, is_wanted: log.lines(stored.event, wanted=is_wanted)
    return as_json if name == "json" else short


def _followed(places: where.Places, follower: "Follower") -> "Iterator[list[Stored]]":
    """Events as they come: told of by the daemon, or found by looking again and again."""
    while True:
        try:
            lines = control.stream(places.socket("log"), "news", seconds=STREAM_SECONDS)
            for line in lines:
                yield follower.take(line)
        except Unreachable:
            pass
        for _ in range(POLLS):
            yield follower.read()
            time.sleep(POLL_SECONDS)
