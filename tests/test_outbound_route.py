"""``mtad route``: what it says of addresses here and elsewhere, with a real name server."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mtad.errors import Exit
from tests import peers
from tests.peers import Nsd
from tests.test_directory_cli import Terminal, terminal
from tests.test_house_reload import write

__all__ = ["terminal"]
pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def nsd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nsd]:
    with peers.nsd(tmp_path_factory.mktemp("nsd")) as running:
        yield running


@pytest.fixture
def asked(terminal: Terminal, nsd: Nsd) -> Terminal:
    write(
        terminal.site.path,
        ("dns.nameservers", '["127.0.0.1"]'),
        ("dns.port", str(nsd.port)),
        ("outbound.mta_sts", "false"),
    )
    return terminal


def route(terminal: Terminal, address: str, code: int = 0) -> str:
    return terminal.run("route", address, code=code)


def trouble(terminal: Terminal, capsys: pytest.CaptureFixture[str], address: str) -> str:
    """What is said where the status is 5; that goes to standard output, too."""
    from mtad import cli  # noqa: PLC0415 - the terminal takes any output with a status for wrong

    with pytest.raises(SystemExit) as ended:
        cli.main(["--config", str(terminal.site.path), "route", address])
    assert ended.value.code == Exit.PROBLEMS
    return capsys.readouterr().out


def test_an_address_here(asked: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    assert route(asked, "You@Example.org") == "you@example.org: a box here\n"
    asked.run("alias", "add", "both@example.org", "you@example.org", "b@onlya.test")
    assert route(asked, "both@example.org") == (
        "both@example.org -> you@example.org: a box here\n"
        "both@example.org -> b@onlya.test: address\n"
        "  1  onlya.test  [127.0.0.41]:25  tls opportunistic\n"
    )
    said = trouble(asked, capsys, "nobody@example.org")
    assert said == "nobody@example.org: there is neither a box nor an alias of that name here\n"


def test_an_address_elsewhere(asked: Terminal) -> None:
    assert route(asked, "b@remote.test") == (
        "b@remote.test: mx\n"
        "  1  mx1.remote.test  [127.0.0.12]:25  tls opportunistic\n"
        "  2  mx2.remote.test  [127.0.0.13]:25  tls opportunistic\n"
    )


def test_transports(asked: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    asked.run("transport", "set", "a.test", "relay", "up.remote.test:587", "--tls", "verify")
    asked.run("transport", "set", "b.test", "lmtp", "unix:/run/lmtp")
    asked.run("transport", "set", "c.test", "error", "5.1.6", "moved")
    asked.run("transport", "set", "remote.test", "mx", "--tls", "required")
    assert route(asked, "x@a.test") == (
        "x@a.test: relay up.remote.test:587 tls=verify\n"
        "  1  up.remote.test  [127.0.0.32]:587  tls verify\n"
    )
    assert route(asked, "x@b.test") == "x@b.test: lmtp unix:/run/lmtp\n"
    assert "tls required" in route(asked, "b@remote.test")
    said = trouble(asked, capsys, "x@c.test")
    assert said == "x@c.test: error\n  mail would be returned to its sender: 5.1.6 moved\n"


@pytest.mark.parametrize(
    ("domain", "ends"),
    [
        ("nullmx.test", "be returned to its sender: nullmx.test takes no mail (null MX)"),
        ("nowhere.test", "be returned to its sender: the domain nowhere.test does not exist"),
        ("x.broken.test", "wait: x.broken.test MX: SERVFAIL"),
        ("gone.test", "be returned to its sender: it has no address"),
        ("brokenhost.test", "wait: mx.broken.test A: SERVFAIL"),
    ],
)
def test_no_way(
    asked: Terminal, capsys: pytest.CaptureFixture[str], domain: str, ends: str
) -> None:
    assert trouble(asked, capsys, f"b@{domain}").endswith(f"  mail would {ends}\n")


def test_for_programs(asked: Terminal) -> None:
    document: dict[str, Any] = json.loads(asked.run("route", "b@fallback.test", "--json"))
    assert document["schema"] == 1
    (target,) = document["targets"]
    assert target["way"] == "mx"
    assert [host["host"] for host in target["hosts"]] == ["down.remote.test", "up.remote.test"]
