"""The power goes at any moment: what was acknowledged is there, once and whole, and explained.

Everything is real but the disk: the journals, the log role, the owners of the boxes with their
indexes, commands beside them. The disk is a tape of what was done to it (``power``), cut at
random places; from what may be left of it a server is started in the order of ``mtad serve``.
Its start is cut as well.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from mtad import cli
from mtad.store import index, names
from tests.faults.power import Tape, build, cut
from tests.faults.site import Site
from tests.faults.work import BOXES, COPY, Held, Seen, State, Work, name_key
from tracing import events
from tracing.queries import Log

SOAK = bool(os.environ.get("MTAD_SOAK"))
RUNS, CUTS, STEPS = (10, 20, 400) if SOAK else (4, 5, 150)
UNSYNCED = {"lock", "mark", "run", "doorbell.sock"}
"""What a server makes and no start relies on."""


def holdings(work: Work, site: Site, seen: Seen) -> State:
    """What the boxes hold, once all of it was looked at; each message is whole and there once."""
    found: State = {}
    for box in BOXES:
        if not site.folder(box).is_dir():
            continue
        owner = site.box(box)
        owner.sync()
        assert owner.sync() == 0
        seen.look(box, owner, work)
        for info in owner.mailboxes():
            if info.name != names.INBOX:
                found[box, info.id] = info.name
        for name in owner.subscriptions():
            found[name_key(box, name)] = name
        messages = owner.messages()
        for message in messages:
            token = work.key(owner, message)
            assert (box, token) not in found, "a message is there twice"
            assert message.internaldate_ns == work.dates[token % COPY]
            flags = frozenset(names.flag_names(message.flags))
            found[box, token] = Held(message.mailbox, flags, frozenset(message.keywords))
        files = [
            path
            for path in owner.ground.files.root.rglob("*")
            if path.parent.name in ("new", "cur")
        ]
        assert len(files) == len(messages)
    return found


def start(work: Work, count: int, seen: Seen, folder: Path) -> tuple[Site, State]:
    """A server on what a cut after ``count`` operations has left, and what it holds."""
    site = Site(folder)
    try:
        assert site.worker.turn(), site.worker.standing.problem
        before = seen.counters()
        found = holdings(work, site, seen)
        assert found in work.expected(count)
        for (box, number), was in before.items():
            if was.name != names.INBOX and (box, number) not in found:
                continue  # it was deleted
            (now,) = (one for one in site.box(box).mailboxes() if one.id == number)
            assert now.uidvalidity == was.uidvalidity
            assert now.uidnext >= was.uidnext
            assert now.highestmodseq >= was.highestmodseq
        highest = max((last for place, last in work.highest if place <= count), default=0)
        assert site.journal.mint.new() > highest
    except BaseException:
        site.close()
        raise
    return site, found


def goes_on(work: Work, site: Site, found: State, seen: Seen) -> None:
    """More mail and more acts, a kill, and nothing that a further start has to repair."""
    token, body = work.body(500)
    site.accept(*BOXES, body=body)
    site.worker.turn()
    for box in BOXES:
        owner = site.box(box)
        owner.sync()
        seen.look(box, owner, work)
        uids = [message.uid for message in owner.messages(names.INBOX)]
        owner.flags(names.INBOX, uids, ["\\Flagged"], [], actor="user:test")
        found[box, token] = Held()
    after = dict(found)
    for key, held in found.items():
        if isinstance(held, Held) and held.mailbox == names.INBOX:
            after[key] = Held(held.mailbox, held.flags | {"\\Flagged"}, held.words)
    site.worker.turn()
    recovered = site.kinds()["sys.recovered"]
    site.stop_access(orderly=False)
    site.again()
    site.start_access()
    assert holdings(work, site, seen) == after
    assert site.kinds()["sys.recovered"] == recovered


def balanced(folder: Path) -> None:
    """``mtad audit`` on a server that is down finds nothing, and no UID ever meant two things."""
    settings = folder.with_suffix(".toml")
    settings.write_text(f'hostname = "host"\ndata_dir = "{folder.name}"\n')
    result = CliRunner().invoke(cli.root, ["--config", str(settings), "audit"])
    assert result.exit_code == 0, result.output
    log = Log(folder / "log")
    meant: dict[tuple[str, str], dict[int, int]] = {}
    try:
        for stored in log.events_after({}, 100_000):
            event = stored.event
            assert not isinstance(event, events.AuditViolation)
            if isinstance(event, events.BoxMailbox):
                tree = [(box, name) for box, name in meant if box == event.addr]
                for box, name in tree:
                    if event.what == "deleted" and name == event.mailbox:
                        del meant[box, name]
                    elif event.what == "renamed" and f"{name}/".startswith(f"{event.mailbox}/"):
                        other = event.target + name.removeprefix(event.mailbox)
                        meant[box, other] = meant.pop((box, name))
            elif isinstance(event, events.BoxEvent):
                mailbox = event.mailbox
                if isinstance(event, events.BoxMove | events.BoxCopy):
                    mailbox = event.target
                known = meant.setdefault((event.addr, mailbox), {})
                for item in event.items:
                    assert not item.uid or known.setdefault(item.uid, item.st) == item.st, event
    finally:
        log.close()


def survives(work: Work, count: int, folder: Path) -> None:
    """Cut after ``count`` operations and start again, cut that and start once more."""
    once, twice = folder / "once", folder / "twice"
    for target in (once, twice):
        target.mkdir(parents=True)
    cut(work.tape, count, once, work.rng)
    with living(once, "the second life") as tape:
        seen = work.seen.until(count, tape)
        site, _ = start(work, count, seen, once)
        site.close()
        balanced(once)
    again = work.rng.randint(tape.begin, len(tape))
    cut(tape, again, twice, work.rng)
    with living(twice, "the third life") as last:
        seen = seen.until(again, last)
        site, found = start(work, count, seen, twice)
        try:
            goes_on(work, site, found, seen)
        finally:
            site.close()
        balanced(twice)


@contextmanager
def living(folder: Path, boot: str) -> Iterator[Tape]:
    """A kernel's life, of which what a server does to a folder is on tape."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "boot_id", lambda: boot)
        yield Tape(folder, patch)


@pytest.mark.parametrize("seed", range(RUNS))
def test_any_power_cut_loses_nothing_acknowledged(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        work = Work(tmp_path / "site", seed, patch)
        work.run(STEPS)
    done = {one.target[1] for one in work.tape.operations if one.what == "rename"}
    assert any(name.endswith(".done") for name in done), "too short: no segment was finished"
    for number in range(CUTS):
        count = work.rng.randint(1, len(work.tape))
        survives(work, count, tmp_path / f"cut{number}")
        shutil.rmtree(tmp_path / f"cut{number}")


def test_the_tape_misses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tape says was done is what is there, so no durable write goes past it."""
    with monkeypatch.context() as patch:
        work = Work(tmp_path / "site", 100, patch)
        work.run(100)
    (tmp_path / "built").mkdir()
    build(work.tape, tmp_path / "built")
    assert tree(tmp_path / "built") == tree(tmp_path / "site")


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else b""
        for path in root.rglob("*")
        if path.name not in UNSYNCED
    }
