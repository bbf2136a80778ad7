"""The sendmail shim: its command line, its recipients, and the drop, which loses nothing."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad import completion
from mtad.journal import disk
from mtad.submit import arguments, drop, envelope

MESSAGE = b"To: a@example.org, B <b@example.org>\nBcc: c@example.org\nSubject: hi\n\nText\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-t"], {"from_headers": True}),
        (["-ti"], {"from_headers": True, "dot_is_text": True}),
        (["-i", "a@x.example"], {"dot_is_text": True, "recipients": ["a@x.example"]}),
        (["-oi", "-t"], {"dot_is_text": True, "from_headers": True}),
        (["-fme@x.example", "-t"], {"sender": "me@x.example", "from_headers": True}),
        (["-f", "me@x.example", "a"], {"sender": "me@x.example", "recipients": ["a"]}),
        (["-f", "<>", "a"], {"sender": "", "recipients": ["a"]}),
        (["-F", "Full Name", "a"], {"full_name": "Full Name", "recipients": ["a"]}),
        (["-oem", "-odb", "-B8BITMIME", "a"], {"recipients": ["a"]}),
        (["a", "-i", "--", "-odd"], {"dot_is_text": True, "recipients": ["a", "-odd"]}),
        (["-bp"], {"mode": "queue"}),
        (["-bs"], {"mode": "smtp"}),
        (["-q"], {"mode": "retry"}),
        (["-q30m"], {"mode": "retry"}),
        (["-N", "failure,delay", "a"], {"notify": "FAILURE,DELAY", "recipients": ["a"]}),
        (["-R", "hdrs", "-V", "id1", "a"], {"ret": "HDRS", "envid": "id1", "recipients": ["a"]}),
        (["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t"], {
            "full_name": "CronDaemon", "dot_is_text": True, "from_headers": True,
        }),
    ],
)  # fmt: skip
def test_what_programs_say(words: list[str], expected: dict[str, object]) -> None:
    assert arguments.parse(words) == arguments.Arguments(**expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [["-f"], ["-bX", "a"], ["-Z"], ["-F"]])
def test_nonsense_is_told(words: list[str]) -> None:
    with pytest.raises(arguments.UsageProblem):
        arguments.parse(words)


@given(st.lists(st.text(max_size=8), max_size=8))
def test_any_words_parse_or_are_refused(words: list[str]) -> None:
    with contextlib.suppress(arguments.UsageProblem):
        arguments.parse(words)


def test_recipients_stand_in_the_header() -> None:
    assert envelope.recipients(MESSAGE) == ["a@example.org", "b@example.org", "c@example.org"]
    resent = b"Resent-To: d@example.org\n" + MESSAGE
    assert envelope.recipients(resent) == ["d@example.org"]
    folded = b"To: a@example.org,\n\tb@example.org\nCc:\n a@example.org\n\nTo: no@example.org\n"
    assert envelope.recipients(folded) == ["a@example.org", "b@example.org"]


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        (b"a\n.\nb\n", b"a\n"),
        (b"a\n.\r\nb\n", b"a\n"),
        (b".\nb\n", b""),
        (b"a\n..\nb\n", b"a\n..\nb\n"),
        (b"a\n.", b"a\n"),
        (b"a\n.b\n", b"a\n.b\n"),
    ],
)
def test_a_dot_alone_ends_the_message(given_: bytes, kept: bytes) -> None:
    assert envelope.until_dot(given_) == kept


def test_completion_adds_what_is_missing_and_hides_bcc() -> None:
    done = completion.complete(MESSAGE, at=0, message_id="x@example.org")
    assert done.startswith(b"To: a@example.org, B <b@example.org>\nSubject: hi\nDate: ")
    assert b"Message-ID: <x@example.org>\n\nText\n" in done
    assert b"c@example.org" not in done
    assert completion.complete(done, at=9, message_id="y@example.org") == done


def test_completion_of_odd_messages() -> None:
    for odd in (b"", b"\n", b"\n\nbody", b"no header at all\n", b"Subject: x", b" folded\nA: b\n"):
        done = completion.complete(odd, at=0, message_id="x@example.org")
        fields, rest = completion.fields(done)
        assert {b"date", b"message-id"} <= {completion.name_of(field) for field in fields}
        assert rest.startswith(b"\n")
        assert odd.strip() in done
    named = completion.with_sender(b"\nbody\n", "a@example.org", 'Анна "A"')
    assert named.startswith(b"From: =?utf-8?")
    assert completion.with_sender(named, "b@example.org") == named


@given(st.binary(max_size=200))
def test_completion_keeps_the_body(body: bytes) -> None:
    message = b"Subject: x\n\n" + body
    done = completion.complete(message, at=0, message_id="x@example.org")
    assert done.endswith(b"\n\n" + body)


def test_a_left_message_is_found_as_it_was(tmp_path: Path) -> None:
    left = drop.Envelope("me@example.org", ("a@example.org",), notify="NEVER")
    paths = [drop.leave(tmp_path, left, MESSAGE) for _ in range(3)]
    assert drop.waiting(tmp_path) == paths
    found = drop.read(paths[0], 1000)
    assert (found.envelope, found.message, found.uid) == (left, MESSAGE, os.getuid())
    with pytest.raises(drop.Damaged, match="larger"):
        drop.read(paths[0], 10)


def test_what_others_may_plant_is_damage(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"{}\n")
    (tmp_path / "1.drop").symlink_to(secret)
    os.link(secret, tmp_path / "2.drop")
    os.mkfifo(tmp_path / "3.drop")
    (tmp_path / "4.drop").write_bytes(b'{"recipients": []}\n')
    (tmp_path / "5.drop").write_bytes(b"[" * 100_000)
    (tmp_path / "6.drop").write_bytes(b'{"sender": 5, "recipients": ["a"]}\n')
    (tmp_path / "7.drop").write_bytes(b"\xff\xfe")
    for path in drop.waiting(tmp_path):
        with pytest.raises(drop.Damaged):
            drop.read(path, 1000)


@pytest.mark.parametrize("fails", ["write", "fsync", "rename"])
def test_a_failure_leaves_nothing_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, fails, fail)
    with pytest.raises(OSError, match="No space"):
        drop.leave(tmp_path, drop.Envelope("", ("a@example.org",)), MESSAGE)
    assert os.listdir(tmp_path) == []


def test_the_order_of_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for name in ("write", "fsync", "rename"):
        real = getattr(disk, name)

        def noted(*words: object, name: str = name, real: object = real) -> object:
            done.append(name)
            return real(*words)  # type: ignore[operator]

        monkeypatch.setattr(disk, name, noted)
    drop.leave(tmp_path, drop.Envelope("", ("a@example.org",)), MESSAGE)
    assert done == ["write", "fsync", "rename", "fsync"]


def run(tmp_path: Path, *words: str, text: bytes = MESSAGE) -> subprocess.CompletedProcess[bytes]:
    config = tmp_path / "mtad.toml"
    if not config.exists():
        config.write_text('hostname = "mail.example.org"\n')
    command = [sys.executable, "-m", "mtad", "--config", str(config), "sendmail", *words]
    return subprocess.run(command, input=text, capture_output=True, check=False, timeout=60)


def test_the_program_queues_while_no_server_runs(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "drop"
    missing = run(tmp_path, "-t")
    assert missing.returncode == 73
    assert b"'mtad serve' makes it" in missing.stderr
    drop.make(folder)
    assert run(tmp_path, "-t", "-fme@example.org", "root").returncode == 0
    (path,) = drop.waiting(folder)
    found = drop.read(path, 1 << 20)
    assert found.envelope.sender == "me@example.org"
    assert found.envelope.recipients == (
        "root@mail.example.org", "a@example.org", "b@example.org", "c@example.org",
    )  # fmt: skip
    assert b"\nFrom: " in b"\n" + found.message


@pytest.mark.parametrize(
    ("words", "text", "status"),
    [
        (["-t"], b"Subject: x\n\n", 64),
        (["a b"], b"", 65),
        (["-Z"], b"", 64),
        (["-bs"], b"", 64),
        (["-q"], b"", 0),
    ],
)
def test_the_program_says_what_is_wrong(
    tmp_path: Path, words: list[str], text: bytes, status: int
) -> None:
    done = run(tmp_path, *words, text=text)
    assert done.returncode == status
    assert (b"sendmail: " in done.stderr) == bool(status)
    assert b"Traceback" not in done.stderr
