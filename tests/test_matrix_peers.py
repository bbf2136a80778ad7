"""What other people's servers do, by what comes of it: state, trace, report, copies, why, proof.

All of it goes through one real server. Each message is tried once; then one peer relents, the
server is told to give up at once, and an operator retries all that waits: the second try of
each is its last, and nothing depends on time.
"""

import contextlib
import os
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from mtad.directory import transports
from mtad.reports.status_fields import Told
from tests import peers
from tests.matrix import (
    BODY,
    YOU,
    Document,
    Front,
    Outward,
    bounce,
    copies,
    events,
    letter,
    states,
)
from tests.peers import CUT, NO_TLS, START, Meddler, Peer
from tests.server import until
from tracing.states import State

pytestmark = pytest.mark.interop

RELAYED, DEFERRED = State.RELAYED.word, State.DEFERRED.word
BOUNCED, EXPIRED = State.BOUNCED.word, State.EXPIRED.word
VERDICTS = {
    RELAYED: "REMOTE_ACCEPTED",
    DEFERRED: "WAITING",
    BOUNCED: "BOUNCED",
    EXPIRED: "EXPIRED",
}


@dataclass(frozen=True)
class Behaviour:
    """What a server does to the recipient ``local``, or to all, and the states it leads to.

    ``states`` are those after the first try and at the end. ``sub`` begins the domain, which
    leads to the peer itself or to what stands before it. ``text`` is what the server says, if
    it speaks.
    """

    local: str = ""
    sub: str = ""
    states: tuple[str, str] = (RELAYED, RELAYED)
    stages: tuple[str, ...] = ()
    code: int = 0
    enh: str = ""
    text: str = ""
    cause: str = ""


RCPT = ("rcpt",)
GIVEN_UP, FAILED, MENDED = (DEFERRED, EXPIRED), (BOUNCED, BOUNCED), (DEFERRED, RELAYED)
LOST = "connection.lost"
BEHAVIOURS = {
    "accepted": Behaviour(),
    "450": Behaviour("temp", "", GIVEN_UP, RCPT, 450, "4.2.0", "try later", "remote.later"),
    "452": Behaviour("full", "", GIVEN_UP, RCPT, 452, "4.2.2", "mailbox full", "remote.full"),
    "550": Behaviour("gone", "", FAILED, RCPT, 550, "5.1.1", "no such user", "remote.no_such_user"),
    "421": Behaviour("busy", "", GIVEN_UP, RCPT, 421, "4.7.0", "closing", "remote.busy"),
    "drop in DATA": Behaviour("", "cut.", MENDED, ("data", "dot"), 0, "4.4.2", "", LOST),
    "STARTTLS ok": Behaviour(),
    "TLS broken": Behaviour(sub="tls."),
    "TLS broken, required": Behaviour("", "tls.", GIVEN_UP, ("tls",), 0, "4.7.5", "", "tls.policy"),
}


@dataclass(frozen=True)
class Cell:
    """One square of the matrix: one message."""

    peer: str
    name: str
    several: bool

    def __str__(self) -> str:
        return f"{self.peer}-{self.name}-{'several' if self.several else 'one'}"

    @property
    def behaviour(self) -> Behaviour:
        return BEHAVIOURS[self.name]

    @property
    def domain(self) -> str:
        # Debian's OpenSMTPD breaks every handshake: its TLS is that of what stands before it.
        fronted = self.name == "STARTTLS ok" and self.peer == "opensmtpd"
        return f"{'cut.' if fronted else self.behaviour.sub}{self.peer}.test"

    @property
    def recipients(self) -> Sequence[str]:
        special = self.behaviour.local or "bob"
        locals_ = ("first", special, "last") if self.several else (special,)
        return [f"{local}@{self.domain}" for local in locals_]

    def suffers(self, address: str) -> bool:
        """Whether the behaviour concerns a recipient."""
        one = self.behaviour
        return not one.local or address.startswith(f"{one.local}@")

    def state(self, address: str, attempt: int) -> str:
        """A recipient's state after the first try (1) or at the end (2)."""
        if not self.suffers(address):
            return RELAYED
        if attempt == 2 and self.name == "450" and self.peer == RELENTS:
            return RELAYED
        return self.behaviour.states[attempt - 1]

    @property
    def reply(self) -> str:
        """The peer's very words."""
        one = self.behaviour
        if not one.text:
            return ""
        about = f"<{one.local}@{self.domain}>: Recipient address rejected: "
        return f"{one.code} {one.enh} {about if self.peer == 'postfix' else ''}{one.text}"


RELENTS = "exim"
"""The peer that takes ``temp`` at the second try."""
CELLS = [
    Cell(peer, name, several) for peer in START for name in BEHAVIOURS for several in (False, True)
]


@dataclass
class Seen:
    """What was seen of a message after its first try and at the end."""

    id: str
    timelines: list[Document] = field(default_factory=list)
    verdicts: list[Mapping[str, Document]] = field(default_factory=list)


@dataclass
class Run:
    """The whole of it; ``reports`` are by the original's Message-ID."""

    server: Outward
    peers: Mapping[str, Peer]
    token: str = field(default_factory=lambda: secrets.token_hex(6))
    cells: dict[Cell, Seen] = field(default_factory=dict)
    reports: dict[str, list[Mapping[str, Told]]] = field(default_factory=dict)

    def message_id(self, cell: object) -> str:
        """How a cell's message is known outside."""
        return f"<{str(cell).replace(' ', '.').replace(',', '')}.{self.token}@example.org>"

    def copies(self, peer: str) -> Mapping[tuple[str, str], Sequence[bytes]]:
        return copies(self.peers[peer], self.token)

    @property
    def to_everyone(self) -> Sequence[str]:
        """The recipients of the one message that goes to all peers."""
        return [f"{local}@{peer}.test" for peer in START for local in ("gone", "all")]

    def send(self, cells: Sequence[Cell]) -> None:
        """Hand the cells' messages in, and look at them once all have been tried."""
        with self.server.submission() as link:
            for cell in cells:
                cut = ("X-Cut: yes",) if cell.name.startswith("drop") else ()
                message = letter(self.message_id(cell), *cut)
                self.cells[cell] = Seen(link.send(cell.recipients, message))
        self.look(cells, is_over=False)

    def look(self, cells: Sequence[Cell], *, is_over: bool) -> None:
        """Wait for the next try, and note what it brought."""
        self.server.until_tried([self.cells[cell].id for cell in cells], is_over=is_over)
        for cell in cells:
            seen = self.cells[cell]
            seen.timelines.append(self.server.timeline(seen.id))
            seen.verdicts.append(self.server.verdicts(seen.id))

    def send_to_all(self) -> None:
        """One message to all peers, from a program on this machine."""
        message = letter(self.message_id("all")).decode()
        self.server.mtad("sendmail", "-i", "-f", YOU, *self.to_everyone, text=message)
        drop = self.server.places.data / "drop"
        until(lambda: not os.listdir(drop), what="the drop to be empty")
        self.server.settle()

    def await_copies(self) -> None:
        """Wait until the peers have delivered what they took."""

        def have_all() -> bool:
            return all(len(self.copies(name)) >= len(self.expected(name)) for name in START)

        until(have_all, what="delivery by the peers")

    def expected(self, peer: str) -> set[tuple[str, str]]:
        """Everything that a peer took, by Message-ID and recipient."""
        found = {
            (self.message_id(cell), address)
            for cell in CELLS
            for address in cell.recipients
            if cell.peer == peer and cell.state(address, 2) == RELAYED
        }
        return found | {(self.message_id("all"), f"all@{peer}.test")}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("matrix")
    port = peers.common_port()
    with contextlib.ExitStack() as stack:
        nsd = stack.enter_context(peers.nsd(folder / "nsd"))
        started = {name: stack.enter_context(START[name](port)) for name in START}
        for name, peer in started.items():
            stack.enter_context(Front(CUT[name], port, peer.host, folder / name))
            stack.enter_context(Meddler(NO_TLS[name], port, peer.host, breaks_tls=True))
        retry = ("queue.retry_minutes", "[60]")
        server = stack.enter_context(Outward(folder / "server", nsd, port, retry))
        server.start()
        made = Run(server, started)
        drive(made)
        yield made
        server.stop()


def drive(run: Run) -> None:
    """All messages through both tries."""
    required = [cell for cell in CELLS if cell.name == "TLS broken, required"]
    run.send_to_all()
    run.send([cell for cell in CELLS if cell not in required])
    for cell in required:
        run.server.run("transport", "set", cell.domain, "mx", "--tls", "required")
    time.sleep(transports.LOOK_SECONDS)
    run.send(required)
    (run.peers[RELENTS].maildir.parent / "relents").touch()
    run.server.change(("queue.give_up_after_hours", "0.000001"))
    run.server.run("queue", "retry", "--all", "--yes")
    run.look(CELLS, is_over=True)
    run.server.until_tried([run.message_id("all")], is_over=True)
    run.await_copies()
    for octets in run.server.inbox():
        original, told = bounce(octets)
        run.reports.setdefault(original, []).append(told)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cell(run: Run, cell: Cell) -> None:
    check_states(run, cell)
    check_attempts(run, cell)
    check_copies(run, cell)
    check_reports(run, cell)
    check_why(run, cell)
    check_proof(run, cell)


def check_states(run: Run, cell: Cell) -> None:
    for attempt, timeline in enumerate(run.cells[cell].timelines, 1):
        expected = {address: cell.state(address, attempt) for address in cell.recipients}
        assert states(timeline) == expected, attempt


def check_attempts(run: Run, cell: Cell) -> None:
    """Each try of each recipient is an event, with the server's very words."""
    timeline = run.cells[cell].timelines[-1]
    one, peer = cell.behaviour, run.peers[cell.peer]
    for address in cell.recipients:
        first, last = cell.state(address, 1), cell.state(address, 2)
        put_off = events(timeline, "out.deferred", address)
        failed = events(timeline, "out.failed", address)
        delivered = events(timeline, "out.delivered", address)
        count = (first == DEFERRED) + (last == EXPIRED)
        assert [event["attempt"] for event in put_off] == [1, 2][:count]
        assert len(failed) == (last == BOUNCED)
        for event in (*put_off, *failed):
            assert event["stage"] in one.stages
            assert (event["code"] or 0, event["enh"]) == (one.code, one.enh)
            assert event["reply"] == cell.reply
            assert bool(event["why"]) != bool(cell.reply)
            assert event["host"] == f"mx.{cell.domain}"
        assert len(delivered) == (last == RELAYED)
        for event in delivered:
            assert event["attempt"] == 1 + (first == DEFERRED)
            assert (event["host"], event["code"]) == (f"mx.{cell.domain}", 250)
            assert event["reply"].startswith("250 ")
            assert event["rqid"] in peer.log.read_text()
            check_tls(cell, event)
        expired = events(timeline, "queue.expire", address)
        assert [event["tries"] for event in expired] == [2] * (last == EXPIRED)
        retried = events(timeline, "queue.retry", address)
        assert len(retried) == (first == DEFERRED)
    if cell.reply:
        said = [line for each in events(timeline, "out.transcript") for line in each["lines"]]
        assert f"< {cell.reply}" in said
    if cell.name == "TLS broken, required":
        assert {event["policy"] for event in events(timeline, "out.tls")} == {"required"}


def check_tls(cell: Cell, delivered: Document) -> None:
    """What the event of a delivery says of the connection."""
    is_fronted = cell.domain.startswith("cut.")
    if cell.domain.startswith("tls.") or (cell.peer == "opensmtpd" and not is_fronted):
        assert delivered["tls"] == ""
        assert delivered["verdict"].startswith("clear text: ")
    else:
        assert delivered["tls"].startswith("TLSv1.3 TLS_")
        assert delivered["verdict"] == "self-signed"


def check_copies(run: Run, cell: Cell) -> None:
    """One copy for whom it was taken, as it was; none for anybody else."""
    found = run.copies(cell.peer)
    for address in cell.recipients:
        there = found.get((run.message_id(cell), address), [])
        assert there == [BODY] * (cell.state(address, 2) == RELAYED)


def check_reports(run: Run, cell: Cell) -> None:
    """One report that names exactly those who did not get it, or none."""
    failed = [each for each in cell.recipients if cell.state(each, 2) != RELAYED]
    reports = run.reports.get(run.message_id(cell), [])
    assert [list(told) for told in reports] == ([failed] if failed else [])
    for told in reports:
        for address in failed:
            one = told[address]
            assert (one.action, one.status) == ("failed", cell.behaviour.enh)
            assert one.remote_mta == f"mx.{cell.domain}"
            if cell.reply:
                assert one.diagnostic == cell.reply
            else:
                assert one.diagnostic.startswith("TLS failed: ")


def check_why(run: Run, cell: Cell) -> None:
    for attempt, verdicts in enumerate(run.cells[cell].verdicts, 1):
        assert set(verdicts) == set(cell.recipients)
        for address, found in verdicts.items():
            state = cell.state(address, attempt)
            assert found["verdict"] == VERDICTS[state]
            assert found["cause"] == ("" if state == RELAYED else cell.behaviour.cause)
            assert address in found["sentence"]
            assert found["evidence"]


def check_proof(run: Run, cell: Cell) -> None:
    seen = run.cells[cell]
    taken = [each for each in cell.recipients if cell.state(each, 2) == RELAYED]
    told = run.server.document("proof", seen.id, code=0 if taken else 4)
    assert sorted(one["recipient"] for one in told["handed"]) == sorted(taken)
    for one in told["handed"]:
        (event,) = events(seen.timelines[-1], "out.delivered", one["recipient"])
        assert (one["host"], one["ip"]) == (event["host"], event["ip"])
        assert (one["reply"], one["queue_id"]) == (event["reply"], event["rqid"])
        assert (one["tls"], one["certificate"]) == (event["tls"], event["verdict"])


def test_one_message_to_all_peers(run: Run) -> None:
    found = states(run.server.timeline(run.message_id("all")))
    assert found == {
        address: BOUNCED if address.startswith("gone@") else RELAYED for address in run.to_everyone
    }
    told = Counter(address for report in run.reports[run.message_id("all")] for address in report)
    assert told == {f"gone@{peer}.test": 1 for peer in START}


def test_nothing_twice_and_nothing_lost(run: Run) -> None:
    for name in START:
        found = run.copies(name)
        assert found == {key: [BODY] for key in run.expected(name)}
    failing = {
        run.message_id(cell)
        for cell in CELLS
        if any(cell.state(address, 2) != RELAYED for address in cell.recipients)
    }
    assert set(run.reports) == failing | {run.message_id("all")}
    assert run.server.document("queue", "list")["recipients"] == []
    assert run.server.mtad("audit").returncode == 0
    assert "Traceback" not in run.server.output()
    assert "mistake" not in run.server.output()
