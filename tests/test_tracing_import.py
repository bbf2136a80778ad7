"""Logs of Postfix and Exim read in: found by trace and why, twice is once, nothing is ours."""

import contextlib
import gzip
import json
import os
import random
import smtplib
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from mtad import cli
from tests import peers
from tests.server import until
from tests.tracing_events import AT, Mail, mint
from tracing import answers, events, search, sending, verdict, words
from tracing.event import Event
from tracing.facts import LogFacts
from tracing.history import exim, postfix
from tracing.history.groups import id_at
from tracing.history.importing import run
from tracing.history.stamps import Stamps
from tracing.log import Applied, Recorder
from tracing.postfixlog import PostfixLog
from tracing.queries import Log
from tracing.states import State

NOVEMBER = datetime(2026, 11, 25, tzinfo=UTC)
HEAD = "Nov 20 10:00:0{} mx.old.example postfix/{}[7]: "
POSTFIX = "\n".join(
    HEAD.format(second, daemon) + said
    for second, daemon, said in (
        (0, "smtpd", "connect from mail.far.example[192.0.2.7]"),
        (0, "smtpd", "4F2A1C0DE: client=mail.far.example[192.0.2.7], sasl_method=PLAIN, "
         "sasl_username=anna@old.example"),
        (0, "cleanup", "4F2A1C0DE: message-id=<one@far.example>"),
        (1, "qmgr", "4F2A1C0DE: from=<Boris@far.example>, size=2345, nrcpt=3 (queue active)"),
        (2, "virtual", "4F2A1C0DE: to=<anna@old.example>, orig_to=<info@old.example>, "
         "relay=virtual, delay=1.5, delays=1/0.2/0.1/0.2, dsn=2.0.0, status=sent (delivered to "
         "maildir)"),
        (3, "smtp", "4F2A1C0DE: to=<vera@big.example>, relay=mx.big.example[198.51.100.4]:25, "
         "delay=2, delays=1/0/0.5/0.5, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 9XYZ12)"),
        (4, "smtp", "4F2A1C0DE: to=<gone@big.example>, relay=mx.big.example[198.51.100.4]:25, "
         "delay=2, delays=1/0/1/0, dsn=5.1.1, status=bounced (host mx.big.example[198.51.100.4] "
         "said: 550 5.1.1 <gone@big.example>: User unknown (in reply to RCPT TO command))"),
        (4, "bounce", "4F2A1C0DE: sender non-delivery notification: 5A5A5A5A5"),
        (4, "qmgr", "4F2A1C0DE: removed"),
        (5, "smtpd", "NOQUEUE: reject: RCPT from unknown[203.0.113.5]: 450 4.2.0 "
         "<anna@old.example>: Recipient address rejected: Greylisted; from=<x@spam.example> "
         "to=<anna@old.example> proto=ESMTP helo=<spam.example>"),
        (6, "anvil", "statistics: max connection rate 1/60s for (smtp:192.0.2.7) at Nov 20"),
    )
)  # fmt: skip
MAINLOG = r"""2026-11-20 10:00:00 1rABCD-000123-AB <= boris@far.example H=mail.far.example (mx.far.example) [192.0.2.7]:4444 P=esmtps X=TLS1.3:X:256 A=plain:anna S=2345 id=two@far.example T="Invoice \"7\" \321\221" from <boris@far.example> for anna@old.example sales@old.example
2026-11-20 10:00:01 1rABCD-000123-AB => anna <anna@old.example> F=<boris@far.example> R=localuser T=maildir_home
2026-11-20 10:00:02 1rABCD-000123-AB == team@big.example <sales@old.example> R=dnslookup T=remote_smtp H=mx.big.example [198.51.100.4] defer (-44): SMTP error from remote mail server after RCPT TO:<team@big.example>: 451 4.7.1 Greylisting in action, try later
2026-11-20 10:30:02 1rABCD-000123-AB ** team@big.example <sales@old.example> F=<boris@far.example> R=dnslookup T=remote_smtp H=mx.big.example [198.51.100.4] X=TLS1.3:X:256 CV=yes: SMTP error from remote mail server after RCPT TO:<team@big.example>: 550 5.1.1 <team@big.example>: User unknown
2026-11-20 10:30:02 1rABCD-000123-AB Completed
2026-11-20 11:00:00 H=(spam.example) [203.0.113.5] F=<x@spam.example> rejected RCPT <nobody@old.example>: Unrouteable address
2026-11-20 12:00:00.250 1rABCE-00000124abc-ABcd <= <> R=1rABCD-000123-AB U=mail P=local S=500 T="hi" for y@slow.example
2026-11-20 12:00:01 1rABCE-00000124abc-ABcd == y@slow.example R=dnslookup T=remote_smtp defer (111): Connection refused
2026-11-24 12:00:01 1rABCE-00000124abc-ABcd ** y@slow.example: retry timeout exceeded
2026-11-24 12:00:01 1rABCE-00000124abc-ABcd Completed
2026-11-20 12:10:00 1rABCF-000125-AB <= c@far.example H=mx.far.example [192.0.2.7] P=esmtp S=1 for z@big.example
2026-11-20 12:10:02 1rABCF-000125-AB => z@big.example R=dnslookup T=remote_smtp H=mx.big.example [198.51.100.4]:25 X=TLS1.3:X:256 CV=yes C="250 OK id=1s00AA-0003Xy-1D" QT=2s DT=1s
2026-11-20 12:10:02 1rABCF-000125-AB Completed
"""  # noqa: E501


def log_file(folder: Path, name: str, text: str, at: datetime = NOVEMBER) -> Path:
    """A file as rotation leaves it, packed by its name's end."""
    path = folder / name
    octets = text.encode("utf-8", "surrogateescape")
    if name.endswith(".gz"):
        octets = gzip.compress(octets)
    elif name.endswith(".zst"):
        octets = zstandard.compress(octets)
    path.write_bytes(octets)
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def imported(folder: Path, *texts: str) -> Log:
    """A log into which texts were read."""
    for number, text in enumerate(texts):
        run(folder / "log", [log_file(folder, f"{number}.log", text)], "exim", UTC)
    return Log(folder / "log")


def verdicts(log: Log, text: str) -> dict[str, verdict.Verdict]:
    """The verdicts on the one message that is found, by recipient."""
    (m,) = log.ids(search.parse(text, AT + 10**14), 2)
    shown = answers.timeline(log, m)
    both = [verdict.judge(shown, words.book(language), UTC) for language in ("en", "ru")]
    assert [(one.verdict, one.cause) for one in both[0]] == [
        (one.verdict, one.cause) for one in both[1]
    ]
    assert all("{" not in one.sentence for every in both for one in every)
    return {one.addr: one for one in both[0]}


def test_postfix_from_its_arrival_to_each_end(tmp_path: Path) -> None:
    with contextlib.closing(imported(tmp_path, POSTFIX)) as log:
        found = verdicts(log, "msgid:one@far.example")
        assert {a: (one.verdict, one.cause) for a, one in found.items()} == {
            "anna@old.example": ("REMOTE_ACCEPTED", ""),
            "vera@big.example": ("REMOTE_ACCEPTED", ""),
            "gone@big.example": ("BOUNCED", "remote.no_such_user"),
        }
        assert found["anna@old.example"].sentence == (
            "mx.old.example took it for anna@old.example on 2026-11-20 10:00:02 +0000 and said: "
            "delivered to maildir. So says the log of mx.old.example, read from 0.log."
        )
        for text in (
            "from:boris@far.example", "to:info@old.example", "rqid:9XYZ12", "ip:192.0.2.7",
            "user:anna", "code:550", "state:bounced", "size:2345", "mx:big.example",
        ):  # fmt: skip
            assert len(log.ids(search.parse(f"{text} msgid:one@far.example", AT))) == 1, text
        (m,) = log.ids(search.parse("msgid:one@far.example", AT))
        told = [one.event for one in log.timeline(m)]
        (mark,) = [one for one in told if isinstance(one, events.MailImported)]
        assert (mark.source, mark.server, mark.key) == ("0.log", "mx.old.example", "4F2A1C0DE")
        assert mark.lines == (2, 3, 4, 5, 6, 7, 8, 9)
        assert mark.over
        (sent,) = [e for e in told if isinstance(e, sending.OutDelivered) and e.rqid]
        assert (sent.wait, sent.connect, sent.ms) == (1000.0, 500.0, 500.0)
        greyed = verdicts(log, "from:x@spam.example")["anna@old.example"]
        assert greyed.cause == "ours.greylisted"
        assert not greyed.actions


def test_exim_from_its_arrival_to_each_end(tmp_path: Path) -> None:
    with contextlib.closing(imported(tmp_path, MAINLOG)) as log:
        found = verdicts(log, "msgid:two@far.example")
        assert {a: (one.verdict, one.cause) for a, one in found.items()} == {
            "anna@old.example": ("REMOTE_ACCEPTED", ""),
            "team@big.example": ("BOUNCED", "remote.no_such_user"),
        }
        (row,) = log.rows(log.ids(search.parse("msgid:two@far.example", AT))).values()
        assert row.subject == 'Invoice "7" ё'
        assert (row.ip, row.helo, row.sender) == (
            "192.0.2.7",
            "mx.far.example",
            "boris@far.example",
        )
        slow = verdicts(log, "to:y@slow.example")["y@slow.example"]
        assert (slow.verdict, slow.cause) == ("EXPIRED", "connect.refused")
        assert verdicts(log, "to:nobody@old.example")["nobody@old.example"].cause == (
            "ours.unknown_box"
        )
        assert len(log.ids(search.parse("rqid:1s00AA-0003Xy-1D", AT))) == 1


POSTFIX_ENDS: list[tuple[str, State, str, str | None]] = [
    ("smtp|to=<a@b.example>, relay=none, delay=1, delays=1/0/0/0, dsn=4.4.1, status=deferred "
     "(connect to mx.b.example[192.0.2.9]:25: Connection timed out)", State.DEFERRED, "NOT_TOLD",
     ""),
    ("smtp|to=<a@b.example>, relay=none, delay=1, delays=1/0/0/0, dsn=5.4.4, status=bounced (Host "
     "or domain name not found. Name service error for name=b.example type=A: Host not found)",
     State.BOUNCED, "BOUNCED", "dns.no_host"),
    ("smtp|to=<a@b.example>, relay=none, delay=1, delays=1/0/0/0, dsn=5.1.0, status=bounced "
     "(Domain b.example does not accept mail (nullMX))", State.BOUNCED, "BOUNCED", None),
    ("lmtp|to=<a@b.example>, relay=dovecot[private/lmtp], delay=1, delays=1/0/0/0, dsn=5.2.2, "
     "status=bounced (host dovecot[private/lmtp] said: 552 5.2.2 <a@b.example> Quota exceeded "
     "(mailbox for user is full) (in reply to end of DATA command))", State.BOUNCED, "BOUNCED",
     "remote.full"),
    ('local|to=<a@b.example>, relay=local, delay=1, delays=1/0/0/0, dsn=5.1.1, status=bounced '
     '(unknown user: "a")', State.BOUNCED, "BOUNCED", "remote.no_such_user"),
    ("smtp|to=<a@b.example>, relay=mx.b.example[192.0.2.9]:25, delay=1, delays=1/0/0/0, dsn=4.7.0, "
     "status=deferred (host mx.b.example[192.0.2.9] refused to talk to me: 421 4.7.0 busy)",
     State.DEFERRED, "NOT_TOLD", ""),
    ("qmgr|from=<s@b.example>, status=expired, returned to sender", State.EXPIRED, "EXPIRED", None),
    ("postsuper|removed", State.CANCELLED, "CANCELLED", ""),
]  # fmt: skip


@pytest.mark.parametrize(("said", "state", "name", "cause"), POSTFIX_ENDS)
def test_what_postfix_says_of_an_end(
    tmp_path: Path, said: str, state: State, name: str, cause: str | None
) -> None:
    daemon, _, text = said.partition("|")
    begin = [
        ("smtpd", "4F2A1C0DE: client=unknown[192.0.2.7]"),
        ("qmgr", "4F2A1C0DE: from=<s@b.example>, size=1, nrcpt=1 (queue active)"),
        ("smtp", "4F2A1C0DE: to=<a@b.example>, relay=none, delay=1, delays=1/0/0/0, dsn=4.4.1, "
         "status=deferred (connect to mx.b.example[192.0.2.9]:25: Connection refused)"),
        (daemon, f"4F2A1C0DE: {text}"),
    ]  # fmt: skip
    lines = "\n".join(HEAD.format(n, one) + line for n, (one, line) in enumerate(begin))
    with contextlib.closing(imported(tmp_path, lines)) as log:
        (m,) = log.ids(search.parse("*", AT))
        (one,) = log.recipients(m)
        assert one.state is state
        (told,) = verdicts(log, "*").values()
        assert told.verdict == name
        assert cause is None or told.cause == cause
        assert "mtad queue retry" not in " ".join(told.actions)


def split(text: str, folder: Path) -> list[Path]:
    """A log as rotation leaves it: three files, the newest first."""
    lines = text.splitlines(keepends=True)
    third = len(lines) // 3
    parts = ["".join(lines[:third]), "".join(lines[third : 2 * third]), "".join(lines[2 * third :])]
    names = ("mail.log.2.gz", "mail.log.1.zst", "mail.log")
    return [log_file(folder, n, p) for n, p in zip(names, parts, strict=True)][::-1]


def everything(log: Log) -> list[tuple[Any, ...]]:
    """All that is known, but for when and from which file it was read."""
    found = []
    for m in sorted(log.ids(search.EVERYTHING, 1000)):
        told = [one.event for one in log.timeline(m)]
        shown = [str(one) for one in told if not isinstance(one, events.MailImported)]
        found.append((m, [(r.addr, r.state, r.tries) for r in log.recipients(m)], shown))
    return found


@pytest.mark.parametrize("text", [POSTFIX, MAINLOG])
def test_rotated_files_in_any_order_are_one_history(tmp_path: Path, text: str) -> None:
    with contextlib.closing(imported(tmp_path / "a", text)) as log:
        whole = everything(log)
    paths = split(text, tmp_path)
    total = run(tmp_path / "log", paths, "exim", UTC)
    assert sum(one.lines for one in total.files) == text.count("\n") + (not text.endswith("\n"))
    with contextlib.closing(Log(tmp_path / "log")) as log:
        assert everything(log) == whole
        again = run(tmp_path / "log", paths[::-1], "exim", UTC)
        assert (again.messages, again.added) == (0, 0)
        assert all(one.before == one.lines for one in again.files)
        assert everything(log) == whole


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()


@pytest.mark.parametrize("text", [POSTFIX, MAINLOG])
@pytest.mark.parametrize("cut", range(1, 11, 2))
def test_a_log_that_grew_and_an_import_that_was_cut_short(
    tmp_path: Path, text: str, cut: int
) -> None:
    with contextlib.closing(imported(tmp_path / "a", text)) as log:
        whole = everything(log)
    lines = text.splitlines(keepends=True)
    path = log_file(tmp_path, "mail.log", "".join(lines[:cut]))
    run(tmp_path / "log", [path], "exim", UTC)
    log_file(tmp_path, "mail.log", text)
    total = run(tmp_path / "log", [path], "exim", UTC)
    assert total.files[0].before == cut
    with contextlib.closing(Log(tmp_path / "log")) as log:
        assert [(m, states) for m, states, _ in everything(log)] == [
            (m, states) for m, states, _ in whole
        ]
    # The same lines in a file that begins elsewhere: known again one by one.
    other = log_file(tmp_path, "exported.log", "first line of another program\n" + text)
    assert run(tmp_path / "log", [other], "exim", UTC).added == 0


def test_nothing_of_it_is_ours(tmp_path: Path) -> None:
    with contextlib.closing(Recorder(tmp_path / "log")) as recorder:
        own = Mail(mint(AT), at=AT)
        recorder.apply([Applied("mta-0", 1, 0, own.whole())])
    with contextlib.closing(imported(tmp_path, POSTFIX, MAINLOG)) as log:
        assert len(log.ids(search.EVERYTHING, 100)) == 7
        assert {e.event.trace for e in log.events_after({}, 999)} == {own.m, own.cn}
    with contextlib.closing(LogFacts(tmp_path / "log")) as facts:
        assert [one.m for one in facts.messages()] == [own.m]


def test_years_and_zones_are_found_out() -> None:
    written = datetime(2026, 1, 3, tzinfo=UTC)
    stamps = Stamps(written, UTC)
    read = [stamps.read(f"{day} 23:59:59 mx x: y") for day in ("Dec 30", "Jan  2", "Dec 31")]
    when = [datetime.fromtimestamp(one[0] / 1e6, UTC).strftime("%Y-%m-%d") for one in read if one]
    assert when == ["2025-12-30", "2026-01-02", "2025-12-31"]
    leap = Stamps(written, UTC).read("Feb 29 12:00:00 mx x: y")
    assert leap is not None
    assert leap[0] == 1_709_208_000_000_000
    for text, zone, wanted in (
        ("2026-11-20T10:00:00.123456+03:00 mx", UTC, 1_795_158_000_123_456),
        ("2026-11-20 10:00:00 +0300 x", UTC, 1_795_158_000_000_000),
        ("2026-11-20T07:00:00Z mx", ZoneInfo("Asia/Omsk"), 1_795_158_000_000_000),
        ("2026-11-20 13:00:00 x", ZoneInfo("Asia/Omsk"), 1_795_158_000_000_000),
        ("<22>Nov 20 13:00:00 x", ZoneInfo("Asia/Omsk"), 1_795_158_000_000_000),
        ("2026-11-20 13:00:00.5 x", ZoneInfo("Asia/Omsk"), 1_795_158_000_500_000),
    ):
        found = Stamps(NOVEMBER, zone).read(text)
        assert found is not None
        assert found[0] == wanted, text
    assert Stamps(NOVEMBER, UTC).read("no time here") is None
    for wrong in ("2026-13-20T10:00:00Z x", "Feb 30 10:00:00 mx x", "Foo 10 10:00:00 mx x"):
        with pytest.raises(ValueError, match=r"."):
            Stamps(NOVEMBER, UTC).read(wrong)


def test_ids_are_of_the_time_and_before_2024_there_are_none() -> None:
    at = 1_795_158_000_000_000
    made = {id_at(at, mixed) for mixed in range(5000)}
    assert len(made) == 5000
    with pytest.raises(ValueError, match="2024"):
        id_at(1_600_000_000_000_000, 1)


WORDS = (
    "postfix/smtpd[1]: ", "postfix/qmgr[1]: ", "4F2A1C0DE: ", "NOQUEUE: ", "reject: RCPT from ",
    "x[192.0.2.7]: ", "; from=<", "> to=<", "> proto=ESMTP helo=<", "to=<a@b>, ", "status=sent (",
    "status=bounced (host x[1.2.3.4] said: 550 5.1.1 no ", "(in reply to RCPT TO command))",
    "client=", "sasl_username=", "from=<>", ", size=", "delays=1/2/nan/inf, ", "removed",
    "1rABCD-000123-AB ", "<= ", "=> ", "** ", "== ", "H=(", ") [192.0.2.7]", "F=<",
    "rejected RCPT <",
    'T="', '\\"', "\\377", "for ", "C=\"", "Completed", "id=", "S=99999999999999999999",
    "\x00", "\x1b[2J",
    "\udcff", "ё", "\u202e", ": ", " ", "\t",
)  # fmt: skip
STAMPS = (
    "Nov 20 10:00:00 mx ", "2026-11-20 10:00:00 ", "2026-11-20T10:00:00.1+25:00 mx ",
    "Feb 31 1:1:1",
    "2026-11-20 10:00:61 ", "2019-11-20 10:00:00 ", "9999-12-31T23:59:59-14:00 mx ", "",
)  # fmt: skip
HOSTILE = st.builds(
    lambda stamp, parts: stamp + "".join(parts),
    st.sampled_from(STAMPS),
    st.lists(st.sampled_from(WORDS) | st.text(max_size=8), max_size=14),
)


@given(st.lists(HOSTILE, max_size=12))
@settings(max_examples=60, deadline=None)
def test_hostile_lines_are_counted_and_do_no_harm(lines: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = "\n".join(line.replace("\n", " ").replace("\r", " ") for line in lines)
        with (folder / "mail.log").open("wb") as file:
            file.write(text.encode("utf-8", "surrogatepass"))
        total = run(folder / "log", [folder / "mail.log"], "exim", UTC)
        (account,) = total.files
        counted = account.taken + account.silent + account.other + account.bad
        assert counted == account.lines
        with contextlib.closing(Log(folder / "log")) as log:
            for m in log.ids(search.EVERYTHING, 100):
                for language in verdict.LANGUAGES:
                    shown = answers.timeline(log, m)
                    assert verdict.judge(shown, words.book(language), UTC)
        again = run(folder / "log", [folder / "mail.log"], "exim", UTC)
        assert again.added == 0


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "head",
    [
        "4F2A1C0DE: to=<a@b>, status=bounced (",
        "NOQUEUE: reject: RCPT from ",
        "1rABCD-000123-AB ** ",
        "1rABCD-000123-AB <= ",
        '1rABCD-000123-AB <= a T="',
        "H=x rejected RCPT ",
    ],
)
def test_the_longest_lines_are_read_in_no_long_time(head: str) -> None:
    """Work that grew with the square of a line's length would take minutes here."""
    for piece in ("a ", "(", "<", "a=", ": ", "; from=<", "x[1.1.1.1]", '\\"', "550 5.1.1 "):
        for _ in range(20):
            postfix.told("smtp", AT, (head + piece * 16_384)[:16_384])
            exim.told(AT, (head + piece * 16_384)[:16_384])


def test_our_own_lines_in_the_manner_of_postfix_are_understood(tmp_path: Path) -> None:
    mail = Mail(mint(AT), at=AT, to=("alice@example.org", "carol@example.org"))
    told: list[Event] = [*mail.begin(), *mail.accept(), *mail.deliver()]
    writer = PostfixLog("mx.example.org", UTC)
    lines = [line for event in told for line in writer.lines(event)]
    with contextlib.closing(imported(tmp_path, "\n".join(lines))) as log:
        found = verdicts(log, "msgid:1@example.net")
        assert {one.verdict for one in found.values()} == {"REMOTE_ACCEPTED"}
        assert set(found) == set(mail.to)


def test_damaged_and_strange_files_are_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def mtad(*said: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["--config", str(tmp_path / "mtad.toml"), *said])
        out = capsys.readouterr()
        return int(ended.value.code or 0), out.out, out.err

    (tmp_path / "mtad.toml").write_text('hostname = "mx.example.org"\n')
    whole = log_file(tmp_path, "mail.log.gz", POSTFIX * 50)
    cut = tmp_path / "cut.gz"
    cut.write_bytes(whole.read_bytes()[:-40])
    os.utime(cut, (NOVEMBER.timestamp(),) * 2)
    code, out, err = mtad("log", "import", str(cut), "--zone", "UTC")
    assert code == 3
    assert "is damaged or not whole" in err
    assert "messages and" in out
    old = log_file(
        tmp_path, "old.log", "2019-11-20T10:00:00Z mx postfix/qmgr[1]: 4F2A1C0DE: removed\n"
    )
    code, out, err = mtad("log", "import", str(old), str(log_file(tmp_path, "x", "Nov 99 1")))
    assert code == 4
    assert "old.log:1: it is from before 2024" in err
    assert "no line tells of mail" in err
    code, out, err = mtad("log", "import", str(whole), "--zone", "Mars/Base")
    assert (code, out) == (2, "")
    assert "there is no time zone Mars/Base" in err
    code, out, err = mtad("log", "import", str(log_file(tmp_path, "exim.log", MAINLOG)), "--json")
    assert code == 0
    assert json.loads(out)["messages"] == 4
    code, out, err = mtad("why", "msgid:two@far.example", "to:team@big.example")
    assert code == 0
    assert "there is no box team@big.example" in out
    code, out, err = mtad("trace", "msgid:two@far.example", "--tree")
    assert code == 0
    with contextlib.closing(Recorder(tmp_path / "data" / "log" / "imported")):
        code, out, err = mtad("log", "import", str(whole))
    assert code == 11
    assert "another import is running" in err


@pytest.mark.interop
def test_a_real_postfix(tmp_path: Path) -> None:
    with peers.postfix(peers.free_port(peers.TAKES_MAIL["postfix"])) as peer:
        with smtplib.SMTP(peer.host, peer.port, "mx.far.example") as client:
            client.ehlo()
            client.mail("boris@far.example")
            codes = [client.rcpt(f"{name}@postfix.test")[0] for name in ("anna", "gone", "temp")]
            assert codes == [250, 550, 450]
            text = "Subject: x\r\nMessage-ID: <real@far.example>\r\n\r\nHello\r\n"
            code, said = client.data(text)
            assert code == 250
        key = said.split()[-1].decode()
        until(lambda: f"{key}: removed" in peer.log.read_text(), 30, "delivery")
        written = peer.log.read_text()
    path = log_file(tmp_path, "log", written, datetime.now(UTC) + timedelta(hours=1))
    total = run(tmp_path / "log.d", [path], "x")
    (account,) = total.files
    assert (account.other, account.bad) == (0, 0)
    with contextlib.closing(Log(tmp_path / "log.d")) as log:
        found = verdicts(log, "msgid:real@far.example")
        assert {a.partition("@")[0]: (v.verdict, v.cause) for a, v in found.items()} == {
            "anna": ("REMOTE_ACCEPTED", ""),
            "gone": ("REJECTED", "ours.unknown_box"),
            "temp": ("TRY_LATER", "ours.refused"),
        }
        assert random.choice(list(found.values())).sentence
