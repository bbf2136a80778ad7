"""What goes wrong at the start is one clear sentence that says what to do, never a traceback."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from mtad import daemon, db
from mtad.config import load
from mtad.errors import Exit, NotPermitted
from tests.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """Made once and never started; each test works on a copy of its directory."""
    return Server(tmp_path_factory.mktemp("errors") / "site")


@pytest.fixture
def copy(server: Server, tmp_path: Path) -> Path:
    return Path(shutil.copytree(server.folder, tmp_path / "site"))


def refused(server: Server, folder: Path, code: Exit) -> str:
    """What ``mtad serve`` says on standard error before it ends with ``code``."""
    done = server.mtad("serve", "--config", str(folder / "mtad.toml"), code=code)
    assert done.stdout == ""
    assert done.stderr.startswith("mtad: ")
    return done.stderr.removeprefix("mtad: ")


def test_a_port_in_use(server: Server, copy: Path) -> None:
    with socket.socket() as taken:
        taken.bind(server.smtp)
        taken.listen()
        said = refused(server, copy, Exit.UNREACHABLE)
    host, port = server.smtp
    assert said == (
        f"cannot listen on {host}:{port} (smtp): Address already in use; "
        "stop the other program or change listen.smtp in the settings\n"
    )


def test_an_address_that_is_not_ours(server: Server, copy: Path) -> None:
    text = (copy / "mtad.toml").read_text()
    settings = text.replace(f"127.0.0.1:{server.smtp[1]}", "192.0.2.1:2525")
    (copy / "mtad.toml").write_text(settings)
    said = refused(server, copy, Exit.UNREACHABLE)
    assert "cannot listen on 192.0.2.1:2525 (smtp)" in said
    assert said.count("\n") == 1


def test_a_broken_settings_file(server: Server, copy: Path) -> None:
    (copy / "mtad.toml").write_text('hostnam = "x"\n[smtp]\nmax_recipient = 1\n')
    said = refused(server, copy, Exit.USAGE)
    for line in (
        "hostnam: no such setting; did you mean hostname?",
        "hostname: required",
        "smtp.max_recipient: no such setting; did you mean smtp.max_recipients?",
    ):
        assert line in said


def test_a_missing_data_directory(server: Server, copy: Path) -> None:
    shutil.rmtree(copy / "data")
    said = refused(server, copy, Exit.FAILURE)
    assert said == (
        f"the data directory {copy / 'data'} does not exist; 'mtad quickstart' makes one\n"
    )


def test_a_data_directory_that_is_not_writable(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = copy / "data"
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != data)
    with pytest.raises(NotPermitted) as raised:
        daemon.run_server(load(copy / "mtad.toml"))
    assert str(raised.value) == f"the data directory {data} is not writable for this user"


def test_a_database_from_a_newer_version(server: Server, copy: Path) -> None:
    engine = db.engine(copy / "data" / "state.db")
    with engine.connect() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'state_9999'")
        connection.commit()
    engine.dispose()
    said = refused(server, copy, Exit.FAILURE)
    assert said == (
        f"the database {copy / 'data' / 'state.db'} is from a newer version of mtad "
        "(revision state_9999); upgrade mtad\n"
    )


def test_a_file_that_is_no_database(server: Server, copy: Path) -> None:
    (copy / "data" / "state.db").write_bytes(b"something else entirely, and long enough" * 9)
    said = refused(server, copy, Exit.CORRUPT)
    assert f"{copy / 'data' / 'state.db'} is not a database of mtad" in said


def test_a_certificate_that_does_not_fit(server: Server, copy: Path) -> None:
    (copy / "tls" / "key.pem").write_text("no key at all\n")
    done = server.mtad("config", "check", "--config", str(copy / "mtad.toml"), code=Exit.PROBLEMS)
    assert "cannot use certificate" in done.stdout


def test_an_unknown_command_and_option(server: Server) -> None:
    for words in (("serv",), ("serve", "--nonsense"), ("box", "add")):
        done = server.mtad(*words, code=Exit.USAGE)
        assert done.stdout == ""
        assert "Error: " in done.stderr
