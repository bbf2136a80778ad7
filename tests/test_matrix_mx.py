"""Where mail goes by what the name servers say, or do not say, through one real server.

At first they are silent, and a message waits. Then they answer, it goes, and all the others are
sent; what can only wait is given up by the schedule, which is short here.
"""

import contextlib
import secrets
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mtad.reports.status_fields import Told
from tests import peers
from tests.matrix import Document, Outward, bounce, events, letter, sink, states
from tracing.states import State

pytestmark = pytest.mark.interop

RELAYED, DEFERRED = State.RELAYED.word, State.DEFERRED.word
BOUNCED, EXPIRED = State.BOUNCED.word, State.EXPIRED.word
SINKS = ("127.0.0.12", "127.0.0.24", "127.0.0.32", "127.0.0.41", "::1")
DOWN = "127.0.0.31"


@dataclass(frozen=True)
class Case:
    """A domain, where its mail ends, and which addresses are tried for it.

    ``why`` is part of our words where there is no reply, ``cause`` the verdict's.
    """

    domain: str
    state: str
    ips: tuple[str, ...] = ()
    enh: str = ""
    why: str = ""
    cause: str = ""

    @property
    def address(self) -> str:
        return f"bob@{self.domain}"


CASES = [
    # preference, random among equals left out by a better one
    Case("remote.test", RELAYED, ("127.0.0.12",)),
    Case("even.test", RELAYED, ("127.0.0.24",)),
    # the first exchanger is down; its name cannot be looked up
    Case("fallback.test", RELAYED, (DOWN, "127.0.0.32")),
    Case("halfbroken.test", RELAYED, ("127.0.0.32",)),
    # no MX: A, AAAA; an address for a domain
    Case("onlya.test", RELAYED, ("127.0.0.41",)),
    Case("v6only.test", RELAYED, ("::1",)),
    Case("[127.0.0.32]", RELAYED, ("127.0.0.32",)),
    # aliases: of a domain, of an exchanger
    Case("alias.test", RELAYED, ("127.0.0.12",)),
    Case("aliasmx.test", RELAYED, ("127.0.0.32",)),
    # IDN, as people write it and as the DNS has it
    Case("пример.test", RELAYED, ("127.0.0.32",)),
    Case("xn--e1afmkfd.test", RELAYED, ("127.0.0.32",)),
    # nobody, for good
    Case("nullmx.test", BOUNCED, (), "5.1.10", "null MX", "dns.null_mx"),
    Case("nowhere.test", BOUNCED, (), "5.1.2", "does not exist", "dns.no_domain"),
    Case("loop.test", BOUNCED, (), "5.4.4", "circle", "dns.no_host"),
    Case("nothing.test", BOUNCED, (), "5.4.4", "no address", "dns.no_host"),
    Case("noaddress.test", BOUNCED, (), "5.4.4", "no address", "dns.no_host"),
    Case("ourselves.test", BOUNCED, (), "5.4.6", "come back to this server", "dns.ourselves"),
    # nobody, for now
    Case("x.broken.test", EXPIRED, (), "4.4.3", "SERVFAIL", "dns.trouble"),
    Case("brokenhost.test", EXPIRED, (), "4.4.3", "SERVFAIL", "dns.trouble"),
]
SILENT = Case("onlya.test", RELAYED, ("127.0.0.41",))
"""Sent while no name server answers."""


@dataclass
class Run:
    """The whole of it; ``ids`` are our ids, ``reports`` by the original's Message-ID."""

    server: Outward
    sinks: Mapping[str, Path]
    token: str = field(default_factory=lambda: secrets.token_hex(6))
    ids: dict[str, str] = field(default_factory=dict)
    reports: dict[str, list[Mapping[str, Told]]] = field(default_factory=dict)
    unanswered: Document = field(default_factory=dict)
    waiting: Document = field(default_factory=dict)

    def message_id(self, name: str) -> str:
        """How the message to a domain is known outside."""
        known = name.encode("idna").decode().strip("[]") if name != "silent" else name
        return f"<{len(name)}.{known}.{self.token}@example.org>"

    def send(self, names: Mapping[str, Case]) -> None:
        with self.server.submission() as link:
            for name, case in names.items():
                self.ids[name] = link.send([case.address], letter(self.message_id(name)))

    def copies(self, name: str) -> Mapping[str, int]:
        """How often each sink that has a message got it."""
        wanted = self.message_id(name).encode()
        found = {
            ip: sum(wanted in path.read_bytes() for path in folder.iterdir())
            for ip, folder in self.sinks.items()
        }
        return {ip: count for ip, count in found.items() if count}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("mx")
    port = peers.free_port(DOWN, *(ip for ip in SINKS if ":" not in ip))
    with contextlib.ExitStack() as stack:
        nsd = stack.enter_context(peers.nsd(folder / "nsd"))
        sinks = {
            ip: stack.enter_context(sink(ip, port, folder / str(number)))
            for number, ip in enumerate(SINKS)
        }
        mute = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        mute.bind(("127.0.0.1", 0))
        server = Outward(
            folder / "server",
            nsd,
            port,
            ("hostname", '"mx.local.test"'),
            ("dns.port", str(mute.getsockname()[1])),
            ("dns.timeout_seconds", "0.3"),
            ("queue.retry_minutes", "[0.02]"),
        )
        stack.enter_context(server)
        server.start()
        made = Run(server, sinks)
        drive(made, nsd.port)
        yield made
        server.stop()


def drive(run: Run, port: int) -> None:
    """First into silence, then to everyone."""
    server = run.server
    run.send({"silent": SILENT})
    server.until_tried(list(run.ids.values()))
    run.unanswered = server.timeline(run.ids["silent"])
    run.waiting = server.verdicts(run.ids["silent"])[SILENT.address]
    server.change(("dns.port", str(port)), ("dns.timeout_seconds", "10"))
    server.until_tried(list(run.ids.values()), is_over=True)
    server.change(("queue.give_up_after_hours", "0.0005"))
    run.send({case.domain: case for case in CASES})
    server.until_tried(list(run.ids.values()), is_over=True)
    for octets in server.inbox():
        original, told = bounce(octets)
        run.reports.setdefault(original, []).append(told)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.domain)
def test_domain(run: Run, case: Case) -> None:
    timeline = run.server.timeline(run.ids[case.domain])
    found = run.server.verdicts(run.ids[case.domain])
    ((address, state),) = states(timeline).items()
    assert state == case.state
    tried = events(timeline, "out.try")
    assert tuple(event["ip"] for event in tried) == case.ips
    # Over a connection that is kept there is nothing to ask.
    assert events(timeline, "out.dns") or tried[0]["reused"]
    verdict = found[address]
    assert verdict["cause"] == case.cause
    if case.state == RELAYED:
        (event,) = events(timeline, "out.delivered")
        assert (event["ip"], event["attempt"]) == (case.ips[-1], 1)
        assert verdict["verdict"] == "REMOTE_ACCEPTED"
        assert run.copies(case.domain) == {case.ips[-1]: 1}
        assert run.message_id(case.domain) not in run.reports
        return
    check_failure(case, timeline)
    assert verdict["verdict"] == {BOUNCED: "BOUNCED", EXPIRED: "EXPIRED"}[case.state]
    assert "tried again" not in " ".join(verdict["actions"])
    assert run.copies(case.domain) == {}
    (report,) = run.reports[run.message_id(case.domain)]
    assert list(report) == [case.address]
    told = report[case.address]
    assert (told.action, told.status) == ("failed", case.enh)
    assert case.why in told.diagnostic


def check_failure(case: Case, timeline: Document) -> None:
    """The tries that the schedule has, each with our own words."""
    put_off = events(timeline, "out.deferred")
    failed = events(timeline, "out.failed")
    for event in (*put_off, *failed):
        assert (event["stage"], event["enh"], event["reply"]) == ("dns", case.enh, "")
        assert case.why in event["why"]
    if case.state == BOUNCED:
        assert (len(put_off), len(failed)) == (0, 1)
        return
    assert failed == []
    tries = len(put_off)
    assert tries >= 2
    assert [event["attempt"] for event in put_off] == [*range(1, tries + 1)]
    assert [bool(event["next_try"]) for event in put_off] == [True] * (tries - 1) + [False]
    (expired,) = events(timeline, "queue.expire")
    assert expired["tries"] == tries


def test_silence_of_the_name_servers_is_outlived(run: Run) -> None:
    assert states(run.unanswered) == {SILENT.address: DEFERRED}
    for event in events(run.unanswered, "out.deferred"):
        assert (event["stage"], event["enh"]) == ("dns", "4.4.3")
        assert "no answer in time" in event["why"]
    assert events(run.unanswered, "out.try") == []
    assert (run.waiting["verdict"], run.waiting["cause"]) == ("WAITING", "dns.trouble")
    timeline = run.server.timeline(run.ids["silent"])
    assert states(timeline) == {SILENT.address: RELAYED}
    (event,) = events(timeline, "out.delivered")
    assert event["attempt"] == len(events(timeline, "out.deferred")) + 1 >= 2
    assert run.copies("silent") == {SILENT.ips[0]: 1}
    assert run.message_id("silent") not in run.reports


def test_nothing_else_was_sent(run: Run) -> None:
    taken = [path for folder in run.sinks.values() for path in folder.iterdir()]
    assert len(taken) == 1 + sum(case.state == RELAYED for case in CASES)
    assert len(run.reports) == sum(case.state != RELAYED for case in CASES)
    assert run.server.document("queue", "list")["recipients"] == []
    assert run.server.mtad("audit").returncode == 0
    assert "mistake" not in run.server.output()
