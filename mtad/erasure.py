"""``mtad erase``: a person is taken out of the log; what happened stays, and the books balance."""

import contextlib
import json
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from backup.catalog import Catalog
from mtad import clock, control
from mtad.cli_options import administrator, config_option, json_option, settings, yes_option
from mtad.config import Loaded
from mtad.errors import Exit, Locked, MtadError, NothingFound, UsageError
from mtad.journal.command import command_journal
from mtad.journal.frame import Meta, raw
from mtad.logkeeping import OWNER_SECONDS, confirm, folder, keeper, readable
from mtad.where import Places
from tracing import addresses, months
from tracing.archive import erasing
from tracing.archive.erasing import Found
from tracing.archive.keeping import Keeper
from tracing.archive.person import PREFIX, Person
from tracing.event import counted
from tracing.events import LogErased
from tracing.render import safe

ROUNDS = 3
"""How often what came meanwhile is looked for; a server goes on receiving mail."""


@click.command(short_help="Take a person out of the log.")
@click.argument("person")
@click.option("--dry-run", is_flag=True, help="Only say what there is of the person.")
@yes_option
@config_option
@json_option
@click.pass_context
def erase(context: click.Context, person: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Take PERSON, an address, out of every month of the log.

    An alias stands in the address's place from then on, so that what happened can still be told
    and counted. The subjects of messages that the person sent, or got alone, go, and the name in
    From. The server has to run; a box of the person has to be removed before, and nothing of the
    person may wait in the queue.
    """
    loaded = settings(context)
    whom = _person(person)
    with readable():
        found = [one for one in _look(folder(loaded.places), whom) if not one.is_empty]
    if not found:
        raise NothingFound(f"the log has nothing of {safe(whom.address)}")
    _complain(found, whom)
    snapshots = _snapshots(loaded, whom.address)
    if dry_run:
        _say(found, whom, snapshots, as_json=as_json, done=False)
        return
    months_ = ", ".join(one.month for one in found)
    click.echo(f"{safe(whom.address)} is in {months_}; it becomes {_alias(whom)}", err=True)
    confirm("Erase that for ever?", yes)
    control.ask(loaded.places.socket("log"), "position", seconds=OWNER_SECONDS)
    with keeper(loaded, administrator()) as work:
        done = _erase(work, folder(loaded.places), whom)
        _tell(loaded.places, done, whom)
    _say(done, whom, snapshots, as_json=as_json, done=True)
    with readable():
        left = [one for one in _look(folder(loaded.places), whom) if not one.is_empty]
    if left:
        click.echo(f"{safe(whom.address)} came again meanwhile: erase once more", err=True)
        context.exit(Exit.PARTIAL)


def _person(given: str) -> Person:
    """Raises UsageError for what is no address."""
    address = addresses.fold(given.strip().strip("<>"))
    local, host = addresses.split(address)
    if not local or not host or any(c.isspace() or not c.isprintable() for c in address):
        raise UsageError(f"{safe(given)} is no address like anna@example.org")
    if local.startswith(PREFIX):
        raise UsageError(f"{safe(given)} is what an erased address was replaced by")
    return Person(address, PREFIX + secrets.token_hex(4))


def _alias(whom: Person) -> str:
    return addresses.join(whom.alias, whom.host)


def _names(directory: Path) -> list[str]:
    """Every month, our own and imported ones, oldest first."""
    return [name for names in reversed(months.everything(directory)) for name in names]


def _look(directory: Path, whom: Person) -> Iterator[Found]:
    for name in _names(directory):
        yield erasing.look(directory, name, whom)


def _complain(found: Sequence[Found], whom: Person) -> None:
    """Raises Locked where the books would not balance."""
    copies = sum(one.copies for one in found)
    if copies:
        raise Locked(
            f"the box {safe(whom.address)} still has {counted(copies, 'message')}; "
            f"remove it first: mtad box remove {safe(whom.address)}"
        )
    waiting = sum(one.waiting for one in found)
    if waiting:
        raise Locked(
            f"mail of the person still waits for {counted(waiting, 'recipient')}: "
            "'mtad queue' shows it"
        )


def _erase(work: Keeper, directory: Path, whom: Person) -> list[Found]:
    done: dict[str, Found] = {}
    for _ in range(ROUNDS):
        came = False
        for name in _names(directory):
            found = work.erase(name, whom)
            if not found.is_empty:
                came = True
                done.setdefault(name, found)
        if not came:
            break
    return list(done.values())


def _tell(places: Places, done: Sequence[Found], whom: Person) -> None:
    with command_journal(places) as journal:
        event = LogErased(
            at=clock.now_us(),
            trace=journal.mint.new(),
            actor=administrator(),
            alias=_alias(whom),
            months=tuple(one.month for one in done),
            messages=sum(len(one.messages) for one in done),
            details=sum(len(one.events) + len(one.traces) for one in done),
        )
        journal.commit_now(Meta(events=(raw(event),)))


def _snapshots(loaded: Loaded, address: str) -> dict[str, Any]:
    """Which snapshots still have the person's box, and whether any has others' mail."""
    with contextlib.suppress(MtadError, OSError), Catalog.open(loaded) as view:
        every = view.snapshots()
        own = [one for one in every if any(box.address == address for box in view.boxes(one.name))]
        newest = datetime.fromtimestamp(own[0].at / 1e6, UTC).isoformat() if own else None
        keep = loaded.config.backup.keep
        return {"all": len(every), "own": len(own), "newest_own": newest, "keep": keep}
    return {"all": 0, "own": 0, "newest_own": None, "keep": loaded.config.backup.keep}


def _say(
    found: Sequence[Found], whom: Person, snapshots: dict[str, Any], *, as_json: bool, done: bool
) -> None:
    shown: list[dict[str, Any]] = [
        {
            "month": one.month,
            "messages": len(one.messages),
            "recipients": len(one.recipients),
            "names": len(one.strings) + bool(one.number),
            "details": len(one.events) + len(one.traces),
        }
        for one in found
    ]
    if as_json:
        alias = _alias(whom) if done else None
        answer = {"schema": 1, "done": done, "alias": alias, "months": shown}
        click.echo(json.dumps({**answer, "snapshots": snapshots}, ensure_ascii=False))
        return
    for one in shown:
        click.echo(
            f"{one['month']}: {counted(one['messages'], 'message')}, "
            f"{counted(one['recipients'], 'recipient')}, {counted(one['names'], 'name')}, "
            f"details of {counted(one['details'], 'event')}"
        )
    if done:
        click.echo(f"{safe(whom.address)} is {_alias(whom)} from now on")
    click.echo("\n".join(_where_else(snapshots)), err=True)


def _where_else(snapshots: dict[str, Any]) -> Iterator[str]:
    """Where the person still is: not in the log, and for how long."""
    yield "mail in the boxes of others is theirs and stays; so does the journal until it is reused"
    if snapshots["own"]:
        keep = snapshots["keep"]
        until = "for ever" if keep == "all" else f"as long as the rule '{keep}' says"
        yield (
            f"the box is in {counted(snapshots['own'], 'snapshot')}, the newest of "
            f"{snapshots['newest_own']}: "
            f"{until}; or now: mtad snapshot forget"
        )
    elif snapshots["all"]:
        yield f"none of {counted(snapshots['all'], 'snapshot')} has a box of the person"
