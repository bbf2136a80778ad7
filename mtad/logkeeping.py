"""``mtad log retention`` and what belongs to it: months that are over are sealed, thinned, dropped.

The commands run beside the server, which lets them have a month only between two of its own
writings; without a server they take the log themselves. What was done is in the log and in the
list of seals. The jobs role runs ``mtad log retention`` once a day.
"""

import contextlib
import fcntl
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from mtad import clock, control
from mtad.cli_options import administrator, config_option, json_option, settings, yes_option
from mtad.config import Loaded
from mtad.errors import Corrupt, Exit, Locked, MtadError, NothingFound, Unreachable, UsageError
from mtad.journal.command import command_journal
from mtad.journal.frame import Meta, raw
from mtad.where import Places
from tracing import answers, months
from tracing.archive import building, keeping, seals, verify
from tracing.archive.blob import Damaged
from tracing.archive.classes import Due, Month, Rules, due
from tracing.archive.seals import Seal
from tracing.cli_log import log
from tracing.events import AuditViolation, Event, LogSealed
from tracing.log import Busy, Recorder

OWNER_SECONDS = 120
NICE = 10


class _Role:
    """The running log role."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def _ask(self, verb: str, **arguments: Any) -> bool:
        answer = control.ask(self._socket, verb, seconds=OWNER_SECONDS, **arguments)
        return bool(answer.get("done"))

    def replace(self, month: str, draft: Path, position: dict[str, bytes]) -> bool:
        """Ask it to let a draft be the month."""
        shown = {name: value.hex() for name, value in position.items()}
        return self._ask("month.replace", month=month, draft=draft.name, position=shown)

    def drop(self, month: str) -> bool:
        """Ask it to let go of a month."""
        return self._ask("month.drop", month=month)

    def forget(self) -> None:
        """Ask it to read names again."""
        self._ask("forget")


def folder(places: Places) -> Path:
    """Where the month files are. Raises UsageError where the log is on a server."""
    if not isinstance(places.log, Path):
        raise UsageError(
            "the log is on a PostgreSQL server; only month files can be sealed or let go"
        )
    return places.log


@contextlib.contextmanager
def owner(places: Places) -> Iterator[keeping.Owner]:
    """Who writes the log: the role, or this process while no server runs. Raises Locked."""
    with contextlib.suppress(Unreachable):
        control.ask(places.socket("log"), "status", seconds=OWNER_SECONDS)
        yield _Role(places.socket("log"))
        return
    try:
        recorder = Recorder(places.log)
    except Busy as error:
        raise Locked("the log is being written but its server does not answer") from error
    try:
        yield recorder
    finally:
        recorder.close()


@contextlib.contextmanager
def alone(places: Places) -> Iterator[None]:
    """One at a time does this. Raises Locked."""
    handle = os.open(
        places.log_folder / "keeping.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640
    )
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Locked("another command is at work on months that are over") from error
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """What can go wrong, as the operator can act on it. Raises MtadError."""
    try:
        yield
    except building.ChainBroken as error:
        raise Corrupt(f"{error}; it stays as it is - 'mtad audit' tells more") from error
    except (building.NotEqual, Damaged, seals.SealsBroken, months.NewerVersion) as error:
        raise Corrupt(str(error)) from error
    except keeping.NotNow as error:
        raise Locked(f"{error}; try again later") from error
    except sqlite3.Error as error:
        raise Corrupt(f"a month of the log cannot be read or written: {error}") from error
    except OSError as error:
        raise MtadError(f"{error.strerror or error}: {error.filename or 'the log'}") from error


def rules(loaded: Loaded) -> Rules:
    """The settings' days."""
    given = loaded.config.log
    return Rules(
        given.seal_after_days,
        given.keep_details_days,
        given.keep_summaries_days,
    )


@contextlib.contextmanager
def keeper(loaded: Loaded, actor: str) -> Iterator[keeping.Keeper]:
    """What does it, with the log's owner behind it and a journal for what it tells."""
    places = loaded.places
    with readable(), alone(places), owner(places) as behind:
        os.nice(NICE)

        def tell(seal: Seal, head: str, octets: int) -> None:
            with command_journal(places) as journal:
                event: Event = LogSealed(
                    at=seal.at,
                    trace=journal.mint.new(),
                    actor=actor,
                    month=seal.month,
                    what=seal.what,
                    events=seal.events,
                    octets=octets,
                    digest=seal.digest,
                    head=head,
                )
                journal.commit_now(Meta(events=(raw(event),)))

        made = keeping.Keeper(folder(places), behind, tell, clock.now_us)
        made.recover()
        yield made


_DONE = {
    "seal": "sealed",
    "reseal": "sealed anew, events came late",
    "summarise": "events let go of, summaries kept",
    "reduce": "all let go of but what is still in boxes",
    "drop": "dropped",
}


@log.command("months")
@config_option
@json_option
@click.pass_context
def months_(context: click.Context, as_json: bool) -> None:
    """List the log's months: form, size, what is in the way of the next form."""
    loaded = settings(context)
    with readable():
        found = keeping.survey(folder(loaded.places))
    waits = {one.month.name: one for one in due(found, rules(loaded), clock.now_us())}
    if as_json:
        shown = [_fields(month, waits.get(month.name)) for month in found]
        click.echo(json.dumps({"schema": 1, "months": shown}, ensure_ascii=False))
        return
    for month in found:
        one = waits.get(month.name)
        note = f"{_DONE[one.act]}: {one.blocked or 'due'}" if one else ""
        line = f"{month.name}  {month.form:<8} {month.octets / 1e6:>9.1f} MB  {note}"
        click.echo(line.rstrip())


def _fields(month: Month, one: Due | None) -> dict[str, Any]:
    return {
        "month": month.name,
        "form": month.form,
        "octets": month.octets,
        "ended": datetime.fromtimestamp(month.end / 1e6, UTC).isoformat(),
        "waiting": month.waiting,
        "in_boxes": month.copies,
        "late": month.late,
        "due": one.act if one else None,
        "blocked": (one.blocked or None) if one else None,
    }


@log.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--by-the-clock", is_flag=True, hidden=True, help="Run by the jobs role.")
@yes_option
@config_option
@json_option
@click.pass_context
def retention(
    context: click.Context, dry_run: bool, by_the_clock: bool, yes: bool, as_json: bool
) -> None:
    """Do what the settings in [log] make due: seal months, let go of details, drop months.

    The server does this by itself once a day. Exit status 3 when something that is due has to wait.
    """
    loaded = settings(context)
    with readable():
        found = due(keeping.survey(folder(loaded.places)), rules(loaded), clock.now_us())
    wanted = [one for one in found if not one.blocked]
    losing = [one for one in wanted if one.act in ("summarise", "reduce", "drop")]
    if losing and not dry_run:
        for one in losing:
            click.echo(f"{one.month.name}: {_DONE[one.act]}", err=True)
        confirm("Let go of that?", yes or by_the_clock)
    failed: dict[Due, str] = {}
    if wanted and not dry_run:
        with keeper(loaded, "system" if by_the_clock else administrator()) as work:
            for one in wanted:
                try:
                    with readable():
                        work.carry_out(one)
                except MtadError as error:
                    failed[one] = str(error)
    _say(found, failed, dry_run=dry_run, as_json=as_json)
    waits = bool(failed) or any(one.blocked for one in found)
    context.exit(Exit.PARTIAL if waits else Exit.OK)


def confirm(question: str, yes: bool) -> None:
    """Go on only if told to. Raises UsageError without a terminal, click.Abort for a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("this cannot be undone; give --yes to do it without being asked")
    click.confirm(question, abort=True, err=True)


def _say(found: list[Due], failed: dict[Due, str], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        shown = [
            {
                "month": one.month.name,
                "act": one.act,
                "done": not (dry_run or one.blocked or one in failed),
                "why_not": one.blocked or failed.get(one),
            }
            for one in found
        ]
        answer = {"schema": 1, "dry_run": dry_run, "due": shown}
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    for one in found:
        why = one.blocked or failed.get(one, "")
        told = f"not {_DONE[one.act]}: {why}" if why else _DONE[one.act]
        click.echo(f"{one.month.name}: {told}")
    if dry_run and found:
        click.echo("nothing was done: that is what would be", err=True)
    if not found:
        click.echo("nothing is due", err=True)


@log.command()
@click.argument("month")
@config_option
@click.pass_context
def seal(context: click.Context, month: str) -> None:
    """Seal a month like 2026-11 now that is over, without waiting for its days."""
    loaded = settings(context)
    with readable():
        there = {one.name: one for one in keeping.survey(folder(loaded.places))}
    if month not in there:
        raise NothingFound(f"there is no month {month!a} in the log; 'mtad log months' lists them")
    one: Month = there[month]
    if one.form != "hot":
        raise UsageError(f"{month} is {one.form} already")
    if one.end > clock.now_us():
        raise UsageError(f"{month} is not over yet")
    if one.waiting:
        raise Locked(f"{one.waiting} recipients of {month} still wait: 'mtad queue' shows them")
    with keeper(loaded, administrator()) as work, readable():
        work.seal(month)
    size = months.path(folder(loaded.places), month).stat().st_size
    click.echo(f"{month}: sealed, {one.octets / 1e6:.1f} MB are now {size / 1e6:.1f} MB")


def _complain(places: Places, bad: list[verify.Finding]) -> None:
    with command_journal(places) as journal:
        made = [
            AuditViolation(
                at=clock.now_us(),
                trace=journal.mint.new(),
                what=f"month {one.month or 'list'} of the log is {one.fault}: {one.text}",
            )
            for one in bad
        ]
        journal.commit_now(Meta(events=tuple(raw(event) for event in made)))


@log.command("verify")
@click.argument("month", nargs=-1)
@click.option("--tell", is_flag=True, help="Make what is wrong an event in the log, too.")
@config_option
@json_option
@click.pass_context
def verify_(context: click.Context, month: tuple[str, ...], tell: bool, as_json: bool) -> None:
    """Say which months that were sealed are altered, missing or exchanged, of all or some.

    Exit status 5 when one is. The last line is the head of the chain of seals: keep it elsewhere,
    and nobody can write the whole chain anew unseen.
    """
    loaded = settings(context)
    directory = folder(loaded.places)
    with readable(), answers.readable(directory):
        found = list(verify.findings(directory, month))
        known, head = ([], "") if any(not one.month for one in found) else seals.read(directory)
    bad = [one for one in found if not one.is_harmless]
    if tell and bad:
        _complain(loaded.places, bad)
    if as_json:
        shown = [{"month": one.month, "fault": one.fault, "text": one.text} for one in found]
        count = len(seals.latest(known))
        answer = {"schema": 1, "whole": not bad, "months": count, "head": head, "found": shown}
        click.echo(json.dumps(answer, ensure_ascii=False))
    else:
        for one in found:
            click.echo(f"{one.month or 'log'}: {one.fault}: {one.text}")
        if not bad:
            click.echo(f"{len(seals.latest(known))} months are as they were sealed", err=True)
        if head:
            click.echo(head)
    context.exit(Exit.PROBLEMS if bad else Exit.OK)
