"""``mtad status``: which roles answer, and the exit status a script can use."""

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from mtad import cli, control
from mtad.config import Loaded
from mtad.errors import Exit
from mtad.setup import status


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


@contextmanager
def answering(site: Loaded, roles: Sequence[str]) -> Iterator[None]:
    """Control sockets of some roles, in a thread of their own."""
    ready, stop = threading.Event(), threading.Event()

    async def said(_: control.Answer) -> control.Answer:
        return {"pid": 7, "note": "\x1b[2J"}

    async def serve() -> None:
        servers = [
            await control.serve(site.places.socket(role), {"status": said}) for role in roles
        ]
        ready.set()
        await asyncio.to_thread(stop.wait, 30)
        for server in servers:
            server.close()
            await server.wait_closed()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        stop.set()
        thread.join(30)


def test_nothing_runs(site: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "status", "--config", str(site.path))
    assert code == Exit.UNREACHABLE
    assert out.count("does not answer") == len(status.ROLES)
    assert err == f"mtad: no server runs on {site.places.data}; 'mtad serve' starts one\n"


def test_all_roles_run(site: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(site, status.ROLES):
        code, out, _ = run(capsys, "status", "--config", str(site.path))
        assert code == 0
        assert out.count(" up, ") == 4
        assert "\x1b" not in out
        code, out, _ = run(capsys, "status", "--config", str(site.path), "--json")
        assert json.loads(out)["roles"]["mta"] == {"up": True, "pid": 7, "note": "\x1b[2J"}


def test_some_roles_run(site: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(site, ["log", "mta"]):
        code, out, _ = run(capsys, "status", "--config", str(site.path), "--json")
    roles = json.loads(out)["roles"]
    assert code == Exit.PROBLEMS
    assert [role for role, said in roles.items() if said["up"]] == ["mta", "log"]


def test_the_roles_are_those_the_server_starts() -> None:
    from mtad import daemon  # noqa: PLC0415 - heavy, and for this test alone

    assert set(daemon.ROLES) == set(status.ROLES)


READ = {"read_at": "2026-11-24T07:00:00.000+00:00", "failed_at": None, "problem": ""}


def test_settings_speak_for_all_roles() -> None:
    assert status.settings({"mta": None, "log": {"frames": 1}}) is None
    later = READ | {"read_at": "2026-11-24T08:00:00.000+00:00", "needs_restart": ["data_dir"]}
    good = status.settings({"mta": None, "log": {"settings": later}, "jobs": {"settings": READ}})
    assert good is not None
    assert good[0]
    assert good[1].endswith(":00:00; a restart is needed for data_dir")
    failed = READ | {"failed_at": later["read_at"], "problem": "line 1"}
    bad = status.settings({"log": {"settings": READ}, "jobs": {"settings": failed}})
    assert bad is not None
    assert not bad[0]
    assert bad[1].endswith(":00:00 FAILED: line 1")


@pytest.mark.parametrize(
    ("role", "said", "sentence"),
    [
        ("mta", None, "does not answer"),
        (
            "mta",
            {
                "connections": 1,
                "connections_total": 2,
                "messages": 1,
                "tls": True,
                "queue": {"loaded": True, "recipients": 3},
            },
            "up, 1 connection now, 2 connections and 1 message since it started, "
            "3 recipients in the queue, TLS offered",
        ),
        ("log", {"frames": 1}, "up, 1 journal frame applied since it started"),
        (
            "log",
            {"problem": "no space", "problem_seconds": 7},
            "up, but stuck for 7 s: no space",
        ),
        ("access", {"open": 2}, "up, 2 boxes open"),
        (
            "jobs",
            {"running": "snapshot", "last": {"ok": False, "error": "no key"}},
            "up, snapshot is running, the last one FAILED: no key",
        ),
    ],
)
def test_a_role_speaks_in_words(role: str, said: dict[str, object] | None, sentence: str) -> None:
    assert status.sentence(role, said) == sentence
