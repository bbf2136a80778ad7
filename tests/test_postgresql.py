"""Directory and log on a PostgreSQL server: made, moved, lost for a while, and divided."""

import contextlib
import json
import smtplib
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from mtad import databases, db, postgresql
from mtad.address import parse
from mtad.directory import connections, tables
from mtad.directory.lookup import Directory
from mtad.errors import MtadError, NotPermitted, Unreachable
from mtad.where import Server as Kept
from tests import server as site
from tests.postgresql import Cluster
from tests.test_tracing_log import everything, over_the_turn
from tests.tracing_events import AT, Mail, mint
from tracing import copying, events, months
from tracing.facts import LogFacts
from tracing.log import Applied, Recorder, Renewed
from tracing.postgresql.pen import CHANNEL
from tracing.queries import Log


@pytest.fixture
def server(cluster: Cluster) -> Kept:
    return cluster.database()


@pytest.fixture
def own(cluster: Cluster) -> Iterator[Cluster]:
    """A cluster that a test may stop; like the shared one it is skipped without the package."""
    made = Cluster()
    yield made
    made.remove()


def add(state_db: Kept | Path, *boxes: str) -> None:
    with connections.writing(state_db) as connection:
        known = {row.name for row in connection.execute(sa.select(tables.domain))}
        for name in boxes:
            domain = parse(name).domain
            if domain not in known:
                known.add(domain)
                connection.execute(tables.domain.insert().values(name=domain, added=1))
            box = {"address": name, "domain": domain, "added": 1}
            connection.execute(tables.box.insert().values(box))


def hears(directory: Directory, box: str) -> Callable[[], bool]:
    def look() -> bool:
        directory.refresh()
        return directory.is_box(box)

    return look


# ------------------------------------------------------------------- the directory


def test_revisions_make_the_declared_tables(server: Kept) -> None:
    db.upgrade_state(server)
    db.check(server, db.STATE)
    engine = db.engine(server)
    with engine.connect() as link:
        seen = sa.inspect(link)
        for table in tables.metadata.sorted_tables:
            columns = {one["name"]: one["nullable"] for one in seen.get_columns(table.name)}
            assert columns == {one.name: one.nullable for one in table.columns}, table.name
    engine.dispose()
    db.downgrade(server, db.STATE)
    assert db.revision(server) == ""


def test_a_change_is_heard_of(server: Kept) -> None:
    db.upgrade_state(server)
    add(server, "you@example.org")
    directory = Directory(server)
    assert directory.is_box("you@example.org")
    assert not directory.is_box("anna@example.org")
    add(server, "anna@example.org")
    site.until(hears(directory, "anna@example.org"), 10)


def test_the_directory_stays_while_the_server_is_away(own: Cluster) -> None:
    server = own.database()
    db.upgrade_state(server)
    add(server, "you@example.org")
    directory = Directory(server)
    own.stop()
    directory.refresh()
    assert directory.is_box("you@example.org")
    with pytest.raises(Unreachable, match="is it running"):
        Directory(server)
    own.start()
    add(server, "anna@example.org")
    site.until(hears(directory, "anna@example.org"), 20)


# ---------------------------------------------------------------------- what fails


@pytest.mark.parametrize(
    ("url", "kind", "says"),
    [
        ("postgresql:///x?host=/nowhere", Unreachable, "is it running"),
        ("postgresql://mtad@/missing?host={}", MtadError, "createdb"),
        ("postgresql://stranger@/postgres?host={}", NotPermitted, "pg_hba.conf"),
    ],
)
def test_a_failure_says_what_to_do(
    cluster: Cluster, url: str, kind: type[MtadError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        postgresql.connect(Kept(url.format(cluster.folder)))


def test_a_user_who_may_not_create_is_told_so(cluster: Cluster, server: Kept) -> None:
    cluster.run("postgres", "CREATE ROLE guest LOGIN")
    guest = replace(server, url=server.url.replace("mtad@", "guest@"))
    with pytest.raises(NotPermitted, match="GRANT CREATE ON DATABASE"):
        db.upgrade_state(guest)
    with pytest.raises(sqlite3.Error, match="permission denied"):
        Recorder(guest)


def test_another_encoding_is_refused(cluster: Cluster) -> None:
    cluster.run("postgres", "CREATE DATABASE odd ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(MtadError, match="encoding LATIN1"):
        postgresql.connect(Kept(cluster.url("odd")))


def test_without_the_driver_it_says_which_extra(
    server: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MtadError, match=r"pip install 'mtad\[postgresql\]'"):
        postgresql.connect(server)


def test_the_password_file_is_read_and_never_shown(server: Kept, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("geheim\n")
    kept = replace(server, password_file=secret)
    assert postgresql.password(kept) == "geheim"
    assert "geheim" not in f"{kept} {kept!r}"
    postgresql.connect(kept).close()
    with pytest.raises(MtadError, match="password_file"):
        postgresql.connect(replace(server, password_file=tmp_path / "none"))


# ------------------------------------------------------------------------- the log


def told(count: int) -> list[Applied]:
    new = mint()
    mails = [
        Mail(new, subject=f"no {n} \0 {n}", to=("a@x.org", f"b{n}@x.org"))
        for n in range(1, count + 1)
    ]
    return [Applied("mta-0", n, 0, mail.whole()) for n, mail in enumerate(mails, 1)]


def test_a_server_lost_between_batches_is_waited_for(own: Cluster, cluster: Cluster) -> None:
    """Nothing is lost and nothing doubled, whatever of a batch the server had committed."""
    frames = told(6)
    expected = cluster.database()
    whole = Recorder(expected)
    whole.apply(frames)
    whole.close()
    lost = own.database()
    recorder = Recorder(lost)
    recorder.apply(frames[:2])
    recorder.checkpoint()
    recorder.apply(frames[2:4])
    own.stop()
    for _ in range(3):
        with pytest.raises(sqlite3.OperationalError):
            recorder.apply(frames[4:])
    own.start()
    with pytest.raises(Renewed):
        recorder.apply(frames[4:])
    assert recorder.resume()
    recorder.apply(frames[recorder.applied("mta-0") :])
    assert recorder.applied("mta-0") == 6
    recorder.close()
    assert everything(lost) == everything(expected)
    facts = LogFacts(lost)
    assert list(facts.breaks()) == []
    facts.close()


def test_each_statement_of_a_commit_fails_once(
    server: Kept, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tracing.postgresql.session import Session  # noqa: PLC0415 - patched here alone

    first, frame = told(2)
    expected = cluster.database()
    recorder = Recorder(expected)
    recorder.apply([first])
    recorder.apply([frame])
    recorder.close()
    recorder = Recorder(server)
    recorder.apply([first])
    before = everything(server)
    run, copy = Session.run, Session.copy
    fails_at, failed = 0, True
    while failed:
        fails_at += 1
        count, failed = 0, False

        def failing(do: Any) -> Any:
            def done(*given: Any, **named: Any) -> Any:
                nonlocal count, failed
                count += 1
                if count == fails_at:  # noqa: B023 - called within the round
                    failed = True
                    raise sqlite3.OperationalError("the line is dead")
                return do(*given, **named)

            return done

        monkeypatch.setattr(Session, "run", failing(run))
        monkeypatch.setattr(Session, "copy", failing(copy))
        try:
            recorder.apply([frame])
        except sqlite3.OperationalError:
            monkeypatch.undo()
            assert everything(server) == before
        monkeypatch.undo()
    assert fails_at > 8
    recorder.close()
    assert everything(server) == everything(expected)


def test_a_batch_is_notified(server: Kept) -> None:
    recorder = Recorder(server)
    recorder.apply(told(1))
    with contextlib.closing(postgresql.connect(server)) as link:
        link.execute(f"LISTEN {CHANNEL}")
        noted = recorder.apply([Applied("mta-0", 2, 0, Mail(mint(AT + 10**7)).whole())])
        (found,) = link.notifies(timeout=10, stop_after=1)
    recorder.close()
    assert found.payload == f"2026-11 {noted[-1][0]}"


def test_a_month_is_dropped_with_its_schema(cluster: Cluster, server: Kept) -> None:
    _, both = over_the_turn()
    recorder = Recorder(server)
    recorder.apply([Applied("mta-0", 1, 0, both)])
    recorder.close()
    name = server.url.split("/")[3].split("?")[0]
    count = "SELECT month, count(*) FROM log.meta GROUP BY 1 ORDER BY 1"
    assert [row[0] for row in cluster.run(name, count)] == [202611, 202612]
    cluster.run(name, "DROP SCHEMA log_2026_11 CASCADE")
    assert [row[0] for row in cluster.run(name, count)] == [202612]
    assert months.listing(server) == ["2026-12"]


def test_a_log_of_an_earlier_version_is_brought_up_to_date(cluster: Cluster, server: Kept) -> None:
    """It can be read before; the writer changes the indexes, and rows stay as they are."""
    recorder = Recorder(server)
    recorder.apply(told(3))
    recorder.close()
    name = server.url.split("/")[3].split("?")[0]
    fresh = "SELECT indexdef FROM pg_indexes WHERE schemaname='log' ORDER BY indexname"
    made = cluster.run(name, fresh)
    for text in (
        "DROP INDEX log.ev_actor",
        "CREATE INDEX ev_actor ON log.ev (actor, seq) WHERE actor IS NOT NULL",
        "CREATE INDEX msg_cn ON log.msg (cn, id)",
        "UPDATE log.alembic_version SET version_num='log_0004'",
    ):
        cluster.run(name, text)
    before = everything(server)
    recorder = Recorder(server)
    assert cluster.run(name, "SELECT version_num FROM log.alembic_version") == [(months.REVISION,)]
    assert cluster.run(name, fresh) == made
    assert everything(server) == before
    assert recorder.applied("mta-0") == 3
    recorder.close()


# ----------------------------------------------------------------------- moving it


def test_a_log_goes_there_and_back(server: Kept, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "log")
    recorder.apply(told(30))
    recorder.apply([Applied("mta-0", 31, 0, over_the_turn()[1])])
    recorder.close()
    there = list(copying.copy(tmp_path / "log", server))
    assert [one.fresh for one in there] == [True, True]
    assert everything(server) == everything(tmp_path / "log")
    assert [one.fresh for one in copying.copy(tmp_path / "log", server)] == [False, False]
    back = list(copying.copy(server, tmp_path / "back"))
    assert [one.tables for one in back] == [one.tables for one in there]
    assert everything(tmp_path / "back") == everything(tmp_path / "log")
    facts = LogFacts(tmp_path / "back")
    assert list(facts.breaks()) == []
    facts.close()
    recorder = Recorder(server)  # and it goes on where the files ended
    assert recorder.applied("mta-0") == 31
    recorder.close()


def test_a_copy_that_was_interrupted_goes_on(
    server: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(tmp_path / "log")
    recorder.apply([Applied("mta-0", 1, 0, over_the_turn()[1])])
    recorder.close()
    fill, calls = copying._fill, 0

    def failing(*given: Any) -> None:
        nonlocal calls
        calls += 1
        fill(*given)
        if calls == 2:
            raise sqlite3.OperationalError("the line is dead")

    monkeypatch.setattr(copying, "_fill", failing)
    with pytest.raises(sqlite3.OperationalError):
        list(copying.copy(tmp_path / "log", server))
    assert months.listing(server) == ["2026-11"]
    assert [one.fresh for one in copying.copy(tmp_path / "log", server)] == [False, True]


def test_another_log_is_not_touched(server: Kept, tmp_path: Path) -> None:
    for place, frames in ((server, told(1)), (tmp_path, told(2))):
        recorder = Recorder(place)
        recorder.apply(frames)
        recorder.close()
    before = everything(server)
    with pytest.raises(MtadError, match="empty database"):
        list(copying.copy(tmp_path, server))
    assert everything(server) == before


def test_a_directory_goes_there_and_back(server: Kept, tmp_path: Path) -> None:
    db.upgrade_state(tmp_path / "state.db")
    add(tmp_path / "state.db", "you@example.org", "анна@example.org")
    assert databases.directory(tmp_path / "state.db", server) == (True, 3)
    assert databases.directory(tmp_path / "state.db", server) == (False, 3)
    assert databases.directory(server, tmp_path / "back.db") == (True, 3)
    add(server, "more@example.org")
    with pytest.raises(MtadError, match="another one"):
        databases.directory(tmp_path / "state.db", server)


# ------------------------------------------------------------------ the whole server


def test_mail_is_taken_while_the_server_is_away(own: Cluster, tmp_path: Path) -> None:
    """From outside: moved to the server, served, the server lost and back, nothing lost."""
    kept = own.database()
    with site.Server(tmp_path / "site") as running:
        running.start()
        send(running, "before")
        running.settle()
        running.stop()
        said = running.config.read_text().replace('# url = ""', f'url = "{kept.url}"', 1)
        running.config.write_text(said)
        assert "'mtad db copy'" in running.mtad("serve", code=None).stderr
        assert "the same on both sides" in running.mtad("db", "copy").stdout
        running.places = replace(running.places, server=kept)
        running.start()
        assert "a server runs" in running.mtad("db", "copy", code=None).stderr
        send(running, "there")
        running.settle()
        own.stop()
        for number in range(5):
            send(running, f"away {number}")
        own.start()
        running.settle()
        send(running, "back")
        running.settle()
        found = json.loads(running.mtad("trace", "to:you", "--json").stdout)["messages"]
        expected = ["back", *(f"away {n}" for n in range(4, -1, -1)), "there", "before"]
        assert [one["subject"] for one in found] == expected
        assert {one["state"] for one in found} == {"delivered"}
        assert "the books balance" in running.mtad("audit").stderr
        running.stop()
        assert "the same on both sides" in running.mtad("db", "copy", "--back", code=None).stdout


def send(running: site.Server, subject: str) -> None:
    with smtplib.SMTP(*running.smtp, timeout=20) as client:
        body = f"From: a@x.test\r\nTo: you@example.org\r\nSubject: {subject}\r\n\r\nhello\r\n"
        client.sendmail("a@x.test", ["you@example.org"], body)


def test_events_without_a_month_of_their_own_are_read(server: Kept) -> None:
    recorder = Recorder(server)
    started = events.SysStart(at=Mail(mint()).at, trace=1, role="log", version="1")
    recorder.apply([Applied("log", 1, 0, [started])])
    recorder.close()
    log = Log(server)
    assert [one.event for one in log.events_after({})] == [started]
    log.close()


def test_commands_say_that_the_server_is_away(own: Cluster, tmp_path: Path) -> None:
    with site.Server(tmp_path / "site") as running:
        said = running.config.read_text().replace('# url = ""', f'url = "{own.url("gone")}"', 1)
        running.config.write_text(said)
        own.stop()
        commands = [("serve",), ("db",), ("db", "copy"), ("audit",), ("box",), ("trace", "to:you")]
        for words in [*commands, ("why", "to:you"), ("report",), ("tail",), ("queue", "list")]:
            done = running.mtad(*words, code=None)
            assert done.returncode == 10, (words, done.stderr)
            assert "is it running?" in done.stderr, words
            assert "mistake in mtad" not in done.stderr, words
