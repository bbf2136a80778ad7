"""The causal tree: a message, what came of it, and a verdict at each leaf."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from mtad import cli
from tests.tracing_events import AT, mint
from tracing import answers, events, ids, sending, tree, words
from tracing.log import Applied, Recorder

FAR, BOX, SENDER = "friend@far.test", "you@example.org", "stranger@elsewhere.test"


def made(m: int, parent: int, rel: str, to: str, subject: str) -> list[events.Event]:
    """A message of ours for one recipient elsewhere."""
    return [
        events.MailMade(
            at=AT,
            trace=m,
            size=100,
            sha256="ab" * 32,
            count=1,
            recipients=(events.Recipient(1, to, to),),
            subject=subject,
            rel=rel,
            parent=parent,
        ),
        sending.QueueAdd(at=AT, trace=m, n=1, addr=to, next_try=AT),
        sending.OutDelivered(
            at=AT, trace=m, n=1, addr=to, host="mx.far.test", code=250, reply="250 ok", attempt=1
        ),
    ]


@pytest.fixture
def log(tmp_path: Path) -> tuple[Path, list[int]]:
    """A message delivered and passed on; the second way failed, and its sender was told."""
    mint_ = mint(AT)
    first, report, notice, stranger = (mint_.new() for _ in range(4))
    recorder = Recorder(tmp_path / "data" / "log")
    begin: list[events.Event] = [
        events.SmtpMail(at=AT, trace=first, addr=SENDER, cn=0, ip="192.0.2.7", helo="h"),
        events.SmtpAccept(
            at=AT,
            trace=first,
            addr=SENDER,
            size=100,
            sha256="ab" * 32,
            count=2,
            recipients=(events.Recipient(1, BOX, BOX), events.Recipient(2, FAR, BOX)),
            subject="hello\x1b[2J",
        ),
        events.StoreDelivered(
            at=AT, trace=first, n=1, addr=BOX, st=first + 9, mailbox="INBOX", base="b", size=100
        ),
        sending.QueueAdd(at=AT, trace=first, n=2, addr=FAR, next_try=AT),
        sending.OutFailed(
            at=AT,
            trace=first,
            n=2,
            addr=FAR,
            host="mx.far.test",
            code=550,
            enh="5.1.1",
            reply="550 5.1.1 no such user",
            attempt=1,
            stage="rcpt",
        ),
    ]
    told = [
        begin,
        made(report, first, "dsn", SENDER, "Not delivered: hello"),
        made(
            notice, report, "double-bounce", "postmaster@far.test", "Not delivered: Not delivered"
        ),
        made(stranger, 0, "report", "else@far.test", "nothing to do with it"),
    ]
    for number, one in enumerate(told, 1):
        recorder.apply([Applied("mta-0", number, 0, one)])
    recorder.close()
    (tmp_path / "mtad.toml").write_text('hostname = "mx.example.org"\n')
    return tmp_path, [first, report, notice, stranger]


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_the_whole_tree_from_any_of_it(log: tuple[Path, list[int]], asked: int) -> None:
    folder, family = log
    found = answers.tree(folder / "data" / "log", ids.text(family[asked]))
    assert [one["trace"] for one in found["messages"]] == [ids.text(m) for m in family[:3]]
    drawn = list(tree.lines(found, words.book("en")))
    shown = [ids.text(m) + ("*" if n == asked else "") for n, m in enumerate(family)]
    assert drawn[0].startswith(f"{shown[0]}  ")
    assert drawn[0].endswith("hello␛[2J")
    assert drawn[1].startswith(f"├─ {BOX}: Delivered to {BOX}")
    assert drawn[2].startswith(f"├─ {FAR}: Not delivered to {FAR}")
    assert drawn[3].startswith(f"└─ {shown[1]}  [delivery report]  ")
    assert drawn[4].startswith(f"   ├─ {SENDER}: ")
    assert drawn[5].startswith(f"   └─ {shown[2]}  [notice of a failed report]  ")
    assert drawn[6].startswith("      └─ postmaster@far.test: ")
    assert len(drawn) == 7


def test_at_the_command_line(log: tuple[Path, list[int]]) -> None:
    folder, family = log
    ask = ["trace", "--tree", "--config", str(folder / "mtad.toml")]
    result = CliRunner().invoke(cli.root, [*ask, "--lang", "ru", "subj:hello", "from:stranger"])
    assert result.exit_code == 0, result.output
    assert "[отчёт о доставке]" in result.output
    assert ids.text(family[3]) not in result.output
    result = CliRunner().invoke(cli.root, [*ask, "--json", "subj:hello"])
    assert '"rel": "double-bounce"' in result.output
    result = CliRunner().invoke(cli.root, [*ask, "from:nobody"])
    assert result.exit_code != 0


def test_a_deep_family_is_bounded(tmp_path: Path) -> None:
    """A chain longer than what is shown says so, and needs no deep stack."""
    mint_ = mint(AT)
    recorder, parent = Recorder(tmp_path), 0
    for number in range(1, answers.MAX_FAMILY + 3):
        m = mint_.new()
        recorder.apply([Applied("mta-0", number, 0, made(m, parent, "dsn", FAR, "x"))])
        parent = m
    recorder.close()
    found = answers.tree(tmp_path, ids.text(parent))
    assert found["more"]
    assert len(found["messages"]) == answers.MAX_FAMILY
    assert len(list(tree.lines(found, words.book("en")))) == 2 * answers.MAX_FAMILY
