"""``mtad queue`` as a person or a script uses it, with and without a server."""

import asyncio
import hashlib
import io
import json
import smtplib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mtad import cli, clock, control
from mtad.config import Loaded
from mtad.delivery.framing import Envelope
from mtad.delivery.local import Delivery
from mtad.delivery.route import Accepted
from mtad.errors import Exit
from mtad.journal.frame import Content, Meta, raw
from mtad.journal.writer import Journal
from mtad.queue import showing
from tests.materialise_bench import messages
from tests.server import Server, until
from tracing import ids, sending
from tracing.queries import Log
from tracing.states import State

YOU = "you@example.org"
BODY = b"Subject: About \x1b[31mred\x1b[0m\nMessage-ID: <1@x>\n\nhello \x1b]0;gone\x07\n"


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@dataclass
class Shell:
    """Runs commands on one site, and queues mail for them."""

    site: Loaded
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    journal: Journal

    def run(self, *words: str, code: int = 0, typed: str = "") -> tuple[str, str]:
        """Standard output and error of ``mtad queue WORDS``; ``typed`` at a terminal."""
        self.monkeypatch.setattr("sys.stdin", Terminal(typed) if typed else io.StringIO())
        with pytest.raises(SystemExit) as ended:
            cli.main(["--config", str(self.site.path), "queue", *words])
        out, err = self.capsys.readouterr()
        assert ended.value.code == code, (out, err)
        assert "\x1b" not in out + err
        return out, err

    def json(self, *words: str, code: int = 0) -> Any:
        document = json.loads(self.run(*words, "--json", code=code)[0])
        assert document.pop("schema") == 1
        return document

    def send(self, *addresses: str, sender: str = YOU, body: bytes = BODY, **more: Any) -> str:
        """Queue a message through the journal of a server that was killed; its id."""
        at = clock.now_us()
        m = self.journal.mint.new()
        envelope = Envelope(
            m=m,
            sender=sender,
            recipients=[Accepted(n, one, remotes=(one,)) for n, one in enumerate(addresses, 1)],
            arrived_ns=at * 1000,
            started_us=at,
            subject="About \x1b[31mred\x1b[0m",
            **more,
        )
        delivery = Delivery(self.journal, self.site.places, "h")
        planned = delivery._frame(envelope, _content(m, body), 1)
        self.journal.commit_now(planned.meta, body)
        return ids.text(m)

    def tried(self, message_id: str, n: int, addr: str, reply: str, minutes: int = 5) -> None:
        """Let a recipient have been put off."""
        at = clock.now_us()
        event = sending.OutDeferred(
            at=at,
            trace=ids.parse(message_id) or 0,
            n=n,
            addr=addr,
            attempt=1,
            stage="rcpt",
            next_try=at + minutes * 60_000_000,
            host="mx.there.test",
            code=450,
            enh="4.2.0",
            reply=reply,
        )
        self.journal.commit_now(Meta(events=(raw(event),)))

    def states(self, message_id: str) -> list[State]:
        log = Log(self.site.places.log)
        try:
            return [one.state for one in log.recipients(ids.parse(message_id) or 0)]
        finally:
            log.close()

    def events(self, kind: str) -> list[Any]:
        log = Log(self.site.places.log)
        try:
            return [one.event for one in log.events_after({}, 10_000) if one.event.kind == kind]
        finally:
            log.close()


def _content(m: int, body: bytes) -> Content:
    return Content(m, len(body), hashlib.sha256(body).digest(), 5, inline=True)


@pytest.fixture
def shell(
    site: Loaded, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shell]:
    journal = Journal.open(site.places.journal / "mta-0", node=1)
    monkeypatch.setenv("SUDO_USER", "anna")
    yield Shell(site, capsys, monkeypatch, journal)
    journal.close_now()


@pytest.fixture
def some(shell: Shell) -> Sequence[str]:
    """Three messages: two recipients put off, one fresh, one held."""
    first = shell.send("bob@there.test", "carol@sub.There.test")
    shell.tried(first, 1, "bob@there.test", "450 4.2.0 later\x1b[2J\nplease")
    second = shell.send("dave@other.test", sender="", priority=2)
    third = shell.send("eve@there.test")
    hold = sending.QueueHold(at=1, trace=ids.parse(third) or 0, n=1, why="the rule to:@there.test")
    shell.journal.commit_now(Meta(events=(raw(hold),)))
    return first, second, third


def test_an_empty_queue(shell: Shell) -> None:
    assert shell.run() == ("", "the queue is empty\n")
    assert shell.json("list") == {"query": "", "recipients": [], "left_out": 0}
    assert shell.run("list", "to:x@y.test", code=Exit.NOTHING_FOUND)[0] == ""
    assert "it is empty" in shell.run("drop", "--all", "--yes", code=Exit.NOTHING_FOUND)[1]


def test_the_list(shell: Shell, some: Sequence[str]) -> None:
    out, err = shell.run("list")
    lines = out.splitlines()
    assert len(lines) == 5
    assert err == "4 recipients\n"
    assert lines[0].split()[0] == "id"
    bob = next(line for line in lines if "bob@there.test" in line)
    assert bob.startswith(some[0])
    assert "◔ deferred" in bob
    assert "you@example.org -> bob@there.test" in bob
    assert "450 4.2.0 later␛[2J⏎please" in bob
    eve = next(line for line in lines if "eve@" in line)
    assert "⏸ held" in eve
    assert eve.endswith("the rule to:@there.test")
    assert "<> -> dave@other.test" in out
    assert shell.run("list", "--limit", "1")[1] == "1 recipient, 3 more not shown\n"
    assert len(shell.run("list", "--jsonl")[0].splitlines()) == 4


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("to:bob@there.test", "bob"),
        ("to:@there.test", "bob carol eve"),
        ("to:@sub.there.test", "carol"),
        ("to:@there.test state:deferred", "bob"),
        ("to:@there.test !state:held", "bob carol"),
        ("!to:@there.test", "dave"),
        ("state:held", "eve"),
        ("state:open", "bob carol dave eve"),
        ("from:<>", "dave"),
        ("to:ob@", "bob"),
        ("to:ca", "carol"),
        ("ID0", "bob carol"),
        ("id:ID1", "dave"),
        ("ID0 to:carol@sub.there.test", "carol"),
        ("since:1h", "bob carol dave eve"),
        ("until:1h", ""),
        ("state:delivered", ""),
    ],
)
def test_a_query_means_recipients(
    shell: Shell, some: Sequence[str], query: str, found: str
) -> None:
    text = query.replace("ID0", some[0]).replace("ID1", some[1])
    code = 0 if found else Exit.NOTHING_FOUND
    answer = shell.json("list", *text.split(), code=code)
    assert " ".join(one["to"].partition("@")[0] for one in answer["recipients"]) == found
    dry = ("drop", *text.split(), "--dry-run")
    if found:
        assert shell.json(*dry)["recipients"] == len(found.split())
    else:
        shell.run(*dry, code=Exit.NOTHING_FOUND)


def test_a_query_that_makes_no_sense(shell: Shell, some: Sequence[str]) -> None:
    err = shell.run("list", "too:x", code=Exit.USAGE)[1]
    assert "did you mean to:?" in err
    assert "^" in err


def test_by_destination(shell: Shell, some: Sequence[str]) -> None:
    found = shell.json("list", "--by", "destination")["destinations"]
    assert [(one["domain"], one["recipients"], one["held"]) for one in found] == [
        ("there.test", 2, 1),
        ("other.test", 1, 0),
        ("sub.there.test", 1, 0),
    ]
    assert found[0]["reply"].startswith("450 4.2.0 later")
    assert found[0]["oldest"] <= found[1]["oldest"]
    out = shell.run("list", "to:@there.test", "--by", "destination")[0]
    assert [line.split()[0] for line in out.splitlines()] == [
        "destination",
        "there.test",
        "sub.there.test",
    ]


def test_show(shell: Shell, some: Sequence[str]) -> None:
    out = shell.run("show", some[0])[0]
    assert "About ␛[31mred" in out
    assert "1. bob@there.test: ◔ deferred" in out
    assert "2. carol@sub.There.test: ◔ queued" in out
    assert "   > 450 4.2.0 later␛[2J\n   > please\n" in out
    assert "given up:     in 5 d" in out
    assert "held:         the rule to:@there.test" in shell.run("show", some[2])[0]
    assert shell.json("show", some[1])["recipients"][0]["priority"] == 2
    assert "no message id" in shell.run("show", "x", code=Exit.USAGE)[1]
    assert "mtad trace" in shell.run("show", "0" * 13, code=Exit.NOTHING_FOUND)[1]


def test_cat(shell: Shell, some: Sequence[str]) -> None:
    out = io.TextIOWrapper(io.BytesIO())
    with shell.monkeypatch.context() as patch:
        patch.setattr("sys.stdout", out)
        with pytest.raises(SystemExit):
            cli.main(["--config", str(shell.site.path), "queue", "cat", some[0]])
    assert out.buffer.getvalue() == BODY
    shell.run("cat", "0" * 13, code=Exit.NOTHING_FOUND)


def test_cat_on_a_terminal_does_nothing_to_it(
    shell: Shell, some: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    out = shell.run("cat", some[0])[0]
    assert out.splitlines()[0] == "Subject: About ␛[31mred␛[0m"
    assert "hello ␛]0;gone␇" in out


def test_nothing_is_done_unasked(shell: Shell, some: Sequence[str]) -> None:
    out, err = shell.run("drop", "to:@there.test", code=Exit.USAGE)
    assert "3 recipients of 2 messages" in out
    assert "bob@there.test" in out
    assert "give --yes" in err
    out = shell.run("drop", "to:@there.test", "--dry-run")[0]
    assert out.endswith("3 recipients of 2 messages\n")
    assert "say whom" in shell.run("drop", "--yes", code=Exit.USAGE)[1]
    assert "say whom" in shell.run("drop", "x", "--all", "--yes", code=Exit.USAGE)[1]
    shell.run("drop", "to:@there.test", typed="n\n", code=Exit.INTERRUPTED)
    assert State.CANCELLED not in shell.states(some[0])
    assert "dropped 1 recipient" in shell.run("drop", some[1], typed="y\n")[0]


def test_acts_without_a_server(shell: Shell, some: Sequence[str]) -> None:
    first, second, third = some
    assert (
        shell.run("hold", "to:bob@there.test", "--yes", "--why", "odd")[0] == "held 1 recipient\n"
    )
    assert shell.states(first) == [State.HELD, State.QUEUED]
    assert shell.events("queue.hold")[-1].actor == "admin:anna"
    out, err = shell.run("release", "--all", "--yes")
    assert out == "released 2 recipients\n"
    assert err == "2 recipients not in a state for it (held, or not held)\n"
    assert shell.states(first) == [State.DEFERRED, State.QUEUED]
    answer = shell.json("drop", second, "--yes", "--why", "spam")
    assert answer == {
        "act": "drop",
        "recipients": 1,
        "messages": 1,
        "done": 1,
        "busy": [],
        "gone": [],
        "unfit": [],
    }
    assert shell.states(second) == [State.CANCELLED]
    assert "retried 1" in shell.run("retry", third, "--yes")[0]
    shell.run("redirect", third, "--to", "eva@new.test", "--yes")
    (row,) = shell.json("list", third)["recipients"]
    assert (row["to"], row["accepted_for"]) == ("eva@new.test", "eve@there.test")
    assert (
        "is no address" in shell.run("redirect", third, "--to", "eva", "--yes", code=Exit.USAGE)[1]
    )
    shell.run("redirect", third, "--to", YOU, "--yes")
    assert shell.states(third) == [State.REPLACED]
    assert list(messages(shell.site.places, YOU).values()) == [BODY]
    shell.run("bounce", first, "--yes", "--why", "no such people")
    assert shell.states(first) == [State.BOUNCED] * 2
    reports = [one for one in messages(shell.site.places, YOU).values() if one != BODY]
    assert len(reports) == 1
    assert b"carol@sub.There.test" in reports[0]
    assert shell.run() == ("", "the queue is empty\n")


def test_what_is_being_tried_is_told(shell: Shell, some: Sequence[str]) -> None:
    """As the process that runs the queue answers."""
    asked: list[dict[str, Any]] = []

    async def act(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        first, *rest = request["entries"]
        return {"done": len(rest), "busy": [first], "gone": [], "unfit": []}

    async def main() -> None:
        server = await control.serve(shell.site.places.socket("mta"), {"queue.drop": act})
        await asyncio.to_thread(run)
        server.close()

    def run() -> None:
        out, err = shell.run("drop", "--all", "--yes", "--why", "x", code=Exit.PARTIAL)
        assert out == "dropped 3 recipients\n"
        assert err == "1 recipient being tried at this moment and left alone; ask again\n"

    asyncio.run(main())
    (request,) = asked
    assert (request["actor"], request["why"], len(request["entries"])) == ("admin:anna", "x", 4)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0 s"), (0, "0 s"), (119, "119 s"), (120, "2 min"), (7100, "118 min"), (7200, "2 h"),
     (172_799, "48 h"), (172_800, "2 d")],
)  # fmt: skip
def test_spans(seconds: float, shown: str) -> None:
    assert showing.span(seconds) == shown


def test_due() -> None:
    now = clock.now()
    assert showing.due((now + timedelta(minutes=5)).isoformat(), now) == "in 5 min"
    assert showing.due((now - timedelta(minutes=5)).isoformat(), now) == "now"
    assert showing.due("", now) == "-"


# ------------------------------------------------------------- a whole server


def test_the_queue_of_a_server(tmp_path: Path) -> None:
    """In over SMTP, passed on, put off, looked at, kept over a restart, and away."""
    with Server(tmp_path / "site") as server:
        away = tmp_path / "away"
        away.mkdir()
        server.mtad("transport", "set", "slow.test", "error", "4.4.1", "not today")
        program = f"cat > {away}/$$"
        server.mtad("transport", "set", "fast.test", "command", "--", "/bin/sh", "-c", program)
        server.mtad("box", "forward", "you@example.org", "a@slow.test", "b@fast.test", "--keep")
        server.start()
        with smtplib.SMTP(*server.smtp) as client:
            client.sendmail("s@far.test", ["you@example.org"], b"Subject: on\r\n\r\nits way\r\n")
        until(lambda: list(away.iterdir()), 30, "the program to get it")

        def queued() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = json.loads(server.mtad("queue", "list", "--json").stdout)[
                "recipients"
            ]
            return found

        until(lambda: [one["tries"] for one in queued()] == [1], 30, "the other to be put off")
        (one,) = queued()
        assert (one["to"], one["reply"], one["original"]) == (
            "a@slow.test",
            "not today",
            "you@example.org",
        )
        assert one["from"].startswith("SRS0=")
        assert "its way" in server.mtad("queue", "cat", one["id"]).stdout
        server.mtad("queue", "hold", one["id"], "--yes")
        assert queued()[0]["state"] == "held"
        server.stop()
        server.mtad("queue", "release", one["id"], "--yes")
        server.mtad("transport", "remove", "slow.test")
        server.mtad("transport", "set", "slow.test", "command", "--", "/bin/sh", "-c", program)
        server.start()
        until(lambda: not queued(), 30, "the rest to leave")
        assert len(list(away.iterdir())) == 2
        for path in away.iterdir():
            assert not path.read_bytes().startswith(b"Return-Path: <s@far.test>")
        server.mtad("audit")
        server.stop()
