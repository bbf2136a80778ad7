"""``mtad queue``: what waits to leave, and what can be done about it."""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mtad import clock, where
from mtad.cli_options import (
    administrator,
    config_option,
    config_path,
    json_option,
    settings,
    yes_option,
)
from mtad.errors import Exit, NothingFound, UsageError
from mtad.queue import asking, showing
from tracing import ids, render
from tracing.render import Document, safe

if TYPE_CHECKING:
    from mtad.queue.acts import Act, Done

F = TypeVar("F", bound=Callable[..., Any])
SHOWN = 10
"""Recipients that are shown before something is done to them."""


def _query(command: F) -> F:
    return click.argument("query", nargs=-1)(command)


@click.group(invoke_without_command=True)
@config_option
@click.pass_context
def queue(context: click.Context) -> None:
    """Look at mail that waits to leave, and decide about it; alone it lists it."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@queue.command("list")
@_query
@click.option(
    "--by",
    type=click.Choice(["destination"]),
    help="Count what waits by the domain it is for.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=100,
    show_default=True,
    help="Recipients shown at most, oldest first.",
)
@json_option
@click.option("--jsonl", is_flag=True, help="One JSON object per line.")
@config_option
@click.pass_context
def list_(
    context: click.Context,
    query: Sequence[str] = (),
    by: str | None = None,
    limit: int = 100,
    as_json: bool = False,
    jsonl: bool = False,
) -> None:
    """Show what waits to leave.

    QUERY is as for 'mtad trace': an id, to:@example.org, from:alice, state:held, since:2d ...;
    without one it is everything.
    """
    places = where.places(config_path(context))
    text = " ".join(query)
    name = "destinations" if by else "recipients"
    found: list[Document] = []
    left_out = 0
    for line in asking.lines(places, "destinations" if by else "list", text, limit):
        found += line.get(name, ())
        left_out = line.get("left_out", 0)
    if as_json:
        answer = {"schema": 1, "query": text, name: found}
        click.echo(
            json.dumps(
                answer if by else {**answer, "left_out": left_out}, indent=1, ensure_ascii=False
            )
        )
    elif jsonl:
        for one in found:
            click.echo(json.dumps({"schema": 1, **one}, ensure_ascii=False))
    elif found:
        show = showing.destinations if by else showing.recipients
        click.echo("\n".join(show(found, _width(), clock.now())))
        more = f", {left_out:,} more not shown" if left_out else ""
        waiting = sum(one["recipients"] for one in found) if by else len(found)
        click.echo(f"{render.counted(waiting, 'recipient')}{more}", err=True)
    elif not text:
        click.echo("the queue is empty", err=True)
    if text and not found:
        raise NothingFound(f"nothing in the queue matches {safe(text)}")


def _width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _message(text: str) -> int:
    m = ids.parse(text)
    if m is None:
        raise UsageError(f"{text!a} is no message id; 'mtad queue list' shows them")
    return m


@queue.command()
@click.argument("message_id", metavar="ID")
@json_option
@config_option
@click.pass_context
def show(context: click.Context, message_id: str, as_json: bool) -> None:
    """Show all that is known of a message's waiting recipients."""
    loaded = settings(context)
    _message(message_id)
    found: list[Document] = []
    for line in asking.lines(loaded.places, "list", f"id:{message_id}", 100_000):
        found += line.get("recipients", ())
    if as_json:
        click.echo(json.dumps({"schema": 1, "recipients": found}, indent=1, ensure_ascii=False))
    if not found:
        raise NothingFound(f"nobody waits for {message_id}; 'mtad trace {message_id}' tells why")
    if as_json:
        return
    now, one = clock.now(), found[0]
    accepted = datetime.fromisoformat(one["accepted_at"])
    gives_up = accepted + timedelta(hours=loaded.config.queue.give_up_after_hours)
    click.echo(f"{one['id']}  {render.size(one['size'])}  {safe(one['subject'])}")
    when = f"{accepted.astimezone():%Y-%m-%d %H:%M:%S}"
    click.echo(f"from {safe(one['from']) or '<>'}, {when}, {showing.age(one['accepted_at'], now)}")
    for recipient in found:
        click.echo("\n".join(showing.details(recipient, now, gives_up)))


@queue.command()
@click.argument("message_id", metavar="ID")
@config_option
@click.pass_context
def cat(context: click.Context, message_id: str) -> None:
    """Print a waiting message, as it is stored."""
    places = where.places(config_path(context))
    path = asking.content(places, _message(message_id))
    if sys.stdout.isatty():
        _print(path)
        return
    with path.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _print(path: Path) -> None:
    """A message on a terminal, which it must do nothing to."""
    with path.open("rb") as file:
        for line in file:
            click.echo(safe(line.rstrip(b"\n").decode("utf-8", "replace")))


# -------------------------------------------------------------------------- acts


def _act(command: Any) -> Any:
    """The options of a command that does something to recipients."""
    for wrap in (
        config_option,
        json_option,
        yes_option,
        click.option("--dry-run", is_flag=True, help="Only say whom it would concern."),
        click.option("--all", "everything", is_flag=True, help="Everything in the queue."),
        _query,
        click.pass_context,
    ):
        command = wrap(command)
    return command


def _why_option(command: F) -> F:
    return click.option("--why", default="", metavar="TEXT", help="The reason, for the log.")(
        command
    )


@queue.command()
@_act
def retry(context: click.Context, **options: Any) -> None:
    """Try recipients at once, whatever the schedule says."""
    _do(context, "retry", "retried", **options)


@queue.command()
@_act
@_why_option
def hold(context: click.Context, **options: Any) -> None:
    """Keep recipients from being tried until they are released."""
    _do(context, "hold", "held", **options)


@queue.command()
@_act
def release(context: click.Context, **options: Any) -> None:
    """Let held recipients go."""
    _do(context, "release", "released", **options)


@queue.command()
@_act
@_why_option
def drop(context: click.Context, **options: Any) -> None:
    """Take recipients out of the queue; the sender is not told."""
    _do(context, "drop", "dropped", **options)


@queue.command()
@_act
@click.option("--why", default="", metavar="TEXT", help="The reason, for the sender and the log.")
def bounce(context: click.Context, **options: Any) -> None:
    """Give recipients up; the sender is told."""
    _do(context, "bounce", "returned", **options)


@queue.command()
@_act
@click.option("--to", required=True, metavar="ADDRESS", help="Where they go instead.")
def redirect(context: click.Context, **options: Any) -> None:
    """Send to another address instead, here or elsewhere."""
    _do(context, "redirect", "redirected", **options)


def _do(
    context: click.Context,
    act: "Act",
    past: str,
    *,
    query: Sequence[str],
    everything: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    why: str = "",
    to: str = "",
) -> None:
    """Find the recipients that are meant, show them, ask, do it, and say what came of it."""
    if bool(query) == everything:
        raise UsageError("say whom: an id, a query such as to:@example.org, or --all")
    loaded = settings(context)
    text = " ".join(query)
    keys = [
        (m, n)
        for line in asking.lines(loaded.places, "keys", text)
        for m, n in line.get("keys", ())
    ]
    if not keys:
        raise NothingFound(f"nothing in the queue matches {safe(text)}" if text else "it is empty")
    if dry_run or not yes:
        _say_whom(loaded.places, text, keys, err=as_json)
        if dry_run:
            if as_json:
                click.echo(json.dumps({"schema": 1, "act": act, **_sizes(keys), "done": 0}))
            return
        if not sys.stdin.isatty():
            raise UsageError(f"{_counted(keys)} would be {past}; give --yes to do it")
        click.confirm(f"Shall {_counted(keys)} be {past}?", abort=True, err=as_json)
    from mtad.queue.acts import Order  # noqa: PLC0415 - not needed by what only looks

    done = asking.act(loaded, Order(act, administrator(), why, to), keys)
    if as_json:
        click.echo(json.dumps(_document(act, keys, done)))
    else:
        click.echo(f"{past} {render.counted(done.done, 'recipient')}")
    _say_left(done)
    if done.busy:
        context.exit(Exit.PARTIAL)
    if not done.done:
        raise NothingFound(f"nothing was {past}")


def _say_whom(
    places: where.Places, text: str, keys: Sequence[tuple[int, int]], *, err: bool
) -> None:
    found: list[Document] = []
    for line in asking.lines(places, "list", text, SHOWN):
        found += line.get("recipients", ())
    click.echo("\n".join(showing.recipients(found, _width(), clock.now())), err=err)
    if len(keys) > len(found):
        click.echo(f"... and {len(keys) - len(found):,} more", err=err)
    click.echo(_counted(keys), err=err)


def _sizes(keys: Sequence[tuple[int, int]]) -> dict[str, int]:
    return {"recipients": len(keys), "messages": len({m for m, _ in keys})}


def _counted(keys: Sequence[tuple[int, int]]) -> str:
    sizes = _sizes(keys)
    recipients = render.counted(sizes["recipients"], "recipient")
    return f"{recipients} of {render.counted(sizes['messages'], 'message')}"


def _say_left(done: "Done") -> None:
    for left, why in (
        (done.busy, "being tried at this moment and left alone; ask again"),
        (done.gone, "no longer in the queue"),
        (done.unfit, "not in a state for it (held, or not held)"),
    ):
        if left:
            click.echo(f"{render.counted(len(left), 'recipient')} {why}", err=True)


def _document(act: str, keys: Sequence[tuple[int, int]], done: "Done") -> Document:
    def named(left: Sequence[tuple[int, int]]) -> list[Document]:
        return [{"id": ids.text(m), "n": n} for m, n in left]

    return {
        "schema": 1,
        "act": act,
        **_sizes(keys),
        "done": done.done,
        "busy": named(done.busy),
        "gone": named(done.gone),
        "unfit": named(done.unfit),
    }
