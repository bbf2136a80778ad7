"""SIGHUP: settings that may change do, in every role; a broken file changes nothing."""

import json
import os
import re
import shutil
import signal
import smtplib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtad import config, reload
from mtad.config import Loaded
from mtad.control import ask
from mtad.errors import ConfigError, Exit
from mtad.journal.reader import Reader
from mtad.reload import Change, InForce
from mtad.setup.status import ROLES
from mtad.signals import Signals
from tests.server import Server, until
from tests.test_smtp_tls import files
from tracing.events import AdminChange

__all__ = ["files"]


def write(path: Path, *changes: tuple[str, str]) -> None:
    """Give settings other values; each stands in the file, perhaps as a comment."""
    wanted, lines, section = dict(changes), [], ""
    for line in path.read_text().splitlines():
        name, is_setting, _ = line.removeprefix("# ").partition(" = ")
        if line.startswith("["):
            section = line.strip("[]") + "."
        value = wanted.pop(section + name, None) if is_setting else None
        lines.append(line if value is None else f"{name} = {value}")
    assert not wanted
    path.write_text("\n".join(lines) + "\n")


BROKEN = (
    "no = toml = at all",
    "\udcff",
    "hostname = 1\nnow = 2",
    'hostname = "h"\ndata_dir = "a\\u0000"',
    "deep = " + "[" * 5000,
)

# ------------------------------------------------------------------- one process


def test_what_may_change_does_and_the_rest_is_named(site: Loaded) -> None:
    used: list[Loaded] = []
    settings = InForce(site, used.append)
    write(
        site.path,
        ("hostname", '"other.example.org"'),
        ("smtp.max_recipients", "200"),
        ("data_dir", '"elsewhere"'),
        ("listen.imap", '["127.0.0.1:1143"]'),
        ("journal.cap_bytes", "99999999"),
        ("journal.keep_seconds", "7"),
    )
    before = site.config
    changed = settings.read_again()
    assert changed == (
        Change("hostname", before.hostname, "other.example.org"),
        Change("smtp.max_recipients", "1000", "200"),
        Change("journal.keep_seconds", "45", "7"),
    )
    now = settings.loaded
    assert used == [now]
    assert (now.config.hostname, now.config.smtp.max_recipients) == ("other.example.org", 200)
    assert now.config.journal.keep_seconds == 7
    assert now.config.journal.cap_bytes == before.journal.cap_bytes
    assert now.config.listen == before.listen
    assert now.config.data_dir == before.data_dir
    assert now.places == site.places
    restart = ("data_dir", "listen.imap", "journal.cap_bytes")
    assert settings.needs_restart == restart
    assert settings.status()["needs_restart"] == list(restart)
    assert reload.said(settings, changed) == (
        f"settings read again: hostname {before.hostname} -> other.example.org, "
        "smtp.max_recipients 1000 -> 200, journal.keep_seconds 45 -> 7; "
        "only a restart changes data_dir, listen.imap, journal.cap_bytes"
    )
    assert settings.read_again() == ()
    assert settings.needs_restart == restart, "the file still says so"


@pytest.mark.parametrize("broken", [*BROKEN, None])
def test_a_broken_file_changes_nothing(site: Loaded, broken: str | None) -> None:
    used: list[Loaded] = []
    settings = InForce(site, used.append)
    good = site.path.read_text()
    if broken is None:
        site.path.unlink()
    else:
        site.path.write_bytes(broken.encode(errors="surrogateescape"))
    assert settings.read_again() == ()
    assert settings.loaded == site
    assert used == [site], "certificates are read again all the same"
    told = settings.status()
    assert str(site.path) in told["problem"]
    assert told["failed_at"] >= told["read_at"]
    line = reload.said(settings, ())
    assert line.startswith("settings NOT read again, those in force stay: ")
    assert "\n" not in line
    site.path.write_text(good)
    assert settings.read_again() == ()
    assert settings.status() | {"read_at": 0} == {
        "read_at": 0,
        "failed_at": None,
        "problem": "",
        "needs_restart": [],
    }
    assert reload.said(settings, ()) == "settings read again: nothing changed"


def test_every_problem_stands_in_the_one_line(site: Loaded) -> None:
    settings = InForce(site)
    write(site.path, ("smtp.max_recipients", "1"), ("smtp.max_errors", "0"))
    settings.read_again()
    assert settings.problem.count("smtp.max_") == 2
    assert "\n" not in settings.problem


def test_what_the_settings_name_may_be_bad_too(site: Loaded) -> None:
    def use(loaded: Loaded) -> None:
        raise ConfigError("no such certificate")

    settings = InForce(site, use)
    write(site.path, ("smtp.max_errors", "3"))
    assert [one.name for one in settings.read_again()] == ["smtp.max_errors"]
    assert settings.problem == "no such certificate"
    assert settings.status()["failed_at"]


def test_secrets_are_shown_to_nobody(site: Loaded) -> None:
    class Relay(config.Section):
        password: str = "tiger"
        password_file: str = "a"
        token: str = ""

    class More(config.Config):
        relay: Relay = Relay()

    before = More(hostname="h")
    after = More(hostname="h", relay=Relay(password="lion", token="t", password_file="b"))
    shown = list(reload.changes(before, after))
    assert [one.name for one in shown] == ["relay.password", "relay.password_file", "relay.token"]
    assert {one.before for one in shown} | {one.after for one in shown} == {"(not shown)"}


def test_what_needs_a_restart_are_settings() -> None:
    names = {name for name, _ in config.settings()}
    assert set(reload.RESTART) <= names


def test_a_role_that_is_still_starting_hears_of_it_later() -> None:
    signals, heard = Signals(), []
    signals.hang_up()
    signals.on_reload(lambda: heard.append(1))
    assert heard == [1]
    signals.on_reload(lambda: heard.append(2))
    signals.hang_up()
    assert heard == [1, 1, 2]


# -------------------------------------------------------------------- the server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("reload")) as running:
        running.start()
        yield running
        running.stop()


def hang_up(server: Server) -> str:
    """SIGHUP to the supervisor; the line it said, once every role has read the file too."""
    assert server.process is not None
    before = server.output().count("settings ")
    tried = times(server)
    server.process.send_signal(signal.SIGHUP)
    until(lambda: server.output().count("settings ") > before, what="the line")
    until(lambda: not set(times(server)) & set(tried), what="the roles' reading")
    return [line for line in server.output().splitlines() if "settings " in line][-1]


def told(server: Server) -> dict[str, dict[str, object]]:
    """What each role says of its settings."""
    sockets = {role: server.places.socket(role) for role in ROLES}
    return {role: ask(socket, "status")["settings"] for role, socket in sockets.items()}


def times(server: Server) -> list[tuple[str, object, object]]:
    return [(role, one["read_at"], one["failed_at"]) for role, one in told(server).items()]


def recorded(server: Server) -> list[tuple[str, str, str, str]]:
    """Settings that changed, as the command journals have it."""
    return [
        (event.name, event.before, event.after, event.actor)
        for folder in sorted(server.places.journal.glob("cli-*"))
        for frame in Reader(folder).frames(0)
        for event in frame.events
        if isinstance(event, AdminChange) and event.what == "setting"
    ]


def test_sighup_changes_a_running_server(server: Server) -> None:
    host = server.made["hostname"]
    with smtplib.SMTP(*server.smtp) as old:
        old.ehlo("c.test")
        write(
            server.config,
            ("hostname", '"other.example.org"'),
            ("smtp.max_message_bytes", "70000"),
            ("smtp.max_connections", "2"),
            ("backup.daily_at", '"05:15"'),
            ("journal.segment_bytes", "2097152"),
        )
        line = hang_up(server)
        assert line == (
            f"mtad: settings read again: hostname {host} -> other.example.org, "
            "smtp.max_message_bytes 52428800 -> 70000, smtp.max_connections 5000 -> 2, "
            "backup.daily_at 03:00 -> 05:15; only a restart changes journal.segment_bytes"
        )
        assert {one["problem"] for one in told(server).values()} == {""}
        assert recorded(server) == [
            ("hostname", host, "other.example.org", "admin:SIGHUP"),
            ("smtp.max_message_bytes", "52428800", "70000", "admin:SIGHUP"),
            ("smtp.max_connections", "5000", "2", "admin:SIGHUP"),
            ("backup.daily_at", "03:00", "05:15", "admin:SIGHUP"),
        ]
        # What this session was told at EHLO holds to its end.
        large = "Subject: large\r\n\r\n" + ("x" * 900 + "\r\n") * 100
        assert not old.sendmail("a@x.test", ["you@example.org"], large)
        with smtplib.SMTP(*server.smtp) as fresh:
            _, said = fresh.ehlo("c.test")
            assert said.startswith(b"other.example.org\n")
            assert fresh.esmtp_features["size"] == "70000"
            with pytest.raises(smtplib.SMTPSenderRefused, match="70000"):
                fresh.sendmail("a@x.test", ["you@example.org"], large)
            with pytest.raises(smtplib.SMTPConnectError, match="too many connections"):
                smtplib.SMTP(*server.smtp)
    shown = server.mtad("status").stdout
    assert re.search(r"(?m)^● settings read .*; a restart is needed for journal", shown)
    jobs = json.loads(server.mtad("status", "--json").stdout)["roles"]["jobs"]
    assert "05:15" in jobs["next"]["daily snapshot"] or os.environ.get("TZ")


def test_a_broken_file_is_told_once_and_changes_nothing(server: Server) -> None:
    good, before = server.config.read_text(), recorded(server)
    size = config.load(server.config).config.smtp.max_message_bytes
    server.config.write_text(good + "\n[smtpd]\nmax_recipients = 5\n")
    line = hang_up(server)
    assert line.startswith("mtad: settings NOT read again, those in force stay: ")
    assert "smtpd: no such setting; did you mean smtp?" in line
    done = server.mtad("status", code=Exit.PROBLEMS)
    assert re.search(r"(?m)^✕ settings read .* FAILED: .*smtpd: no such setting", done.stdout)
    with smtplib.SMTP(*server.smtp) as client:
        client.ehlo("c.test")
        assert client.esmtp_features["size"] == str(size)
    server.config.write_text(good)
    assert "nothing changed" in hang_up(server)
    assert recorded(server) == before
    server.mtad("status", code=0)


def test_a_role_that_starts_again_has_the_settings_in_force(server: Server) -> None:
    write(server.config, ("smtp.max_message_bytes", "80000"))
    hang_up(server)
    good = server.config.read_text()
    server.config.write_text("broken")  # not even 'mtad status' finds the server by it
    hang_up(server)
    os.kill(max(server.processes()), signal.SIGKILL)  # ``mta`` is started last
    until(lambda: "role mta ended" in server.output())
    until(server.ready)
    with smtplib.SMTP(*server.smtp) as client:
        client.ehlo("c.test")
        assert client.esmtp_features["size"] == "80000"
    server.config.write_text(good)
    assert "nothing changed" in hang_up(server)


def certificate(server: Server) -> str:
    """What STARTTLS shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP(*server.smtp) as client:
        client.starttls(context=context)
        shown = client.sock.getpeercert(binary_form=True)  # type: ignore[union-attr]
    assert shown
    return ssl.DER_cert_to_PEM_cert(shown)


def test_the_certificate_may_lie_elsewhere(server: Server, files: tuple[Path, Path]) -> None:
    folder = server.config.parent
    for name, path in zip(("chain.pem", "private.pem"), files, strict=True):
        shutil.copy(path, folder / name)
    before = certificate(server)
    write(server.config, ("tls.certificate", '"chain.pem"'), ("tls.key", '"none.pem"'))
    hang_up(server)
    assert certificate(server) == before
    assert "none.pem" in str(told(server)["mta"]["problem"])
    assert "none.pem" in server.mtad("status", code=Exit.PROBLEMS).stdout
    write(server.config, ("tls.key", '"private.pem"'))
    hang_up(server)
    assert told(server)["mta"]["problem"] == ""
    assert certificate(server) == files[0].read_text()
    (folder / "chain.pem").unlink()
    (folder / "private.pem").unlink()
    hang_up(server)
    assert "switched off by a restart only" in str(told(server)["mta"]["problem"])
    assert certificate(server) == files[0].read_text()
