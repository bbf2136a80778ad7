"""``mtad send`` against a real server: every word shown, secrets not, failures named."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("send") / "server") as made:
        made.start()
        yield made
        made.stop()


def send(server: Server, *words: str, code: int = 0, text: str = "") -> str:
    done = server.mtad("send", *words, code=code, text=text)
    return done.stdout + done.stderr


def test_a_message_is_sent_and_every_word_shown(server: Server) -> None:
    said = send(server, "you@example.org", "--from", "me@example.com", "--body", "hello")
    for line in ("=== connecting to 127.0.0.1:", "<-  220 ", " -> EHLO localhost", "<-  250-",
                 " -> MAIL FROM:<me@example.com>", " -> RCPT TO:<you@example.org>", "<-  354 ",
                 " octets of message)", "queued as ", " -> QUIT"):  # fmt: skip
        assert line.lower() in said.lower(), said


def test_tls_and_json(server: Server) -> None:
    said = json.loads(send(server, "you@example.org", "--tls", "--json"))
    assert said["accepted"] is True
    assert said["recipients"] == ["you@example.org"]
    assert any(line.startswith("=== TLSv1.") for line in said["dialogue"])


def test_a_file_goes_as_it_is(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "m.eml"
    path.write_bytes(b"From: a@example.com\nSubject: dots\n\n.\n..two\nend")
    assert "queued as" in send(server, "you@example.org", "--from", "", "--data", str(path))
    assert (
        "MAIL FROM:<>" in send(server, "you@example.org", "--from", "", "--data", str(path)).upper()
    )


def test_a_refusal_names_stage_and_words(server: Server) -> None:
    said = send(server, "nobody@example.org", code=1)
    assert "refused at rcpt: 550 5.1.1" in said
    one_of_two = send(server, "nobody@example.org", "you@example.org")
    assert "queued as" in one_of_two


def test_it_goes_only_as_far_as_told(server: Server) -> None:
    said = send(server, "you@example.org", "--quit-after", "rcpt")
    assert "RCPT" in said.upper()
    assert "DATA" not in said


def test_a_certificate_that_proves_nothing_is_refused_on_demand(server: Server) -> None:
    assert "certificate" in send(server, "you@example.org", "--tls", "--verify", code=10)


@pytest.mark.parametrize("words", [("--server", "127.0.0.1:x"), ("--header", "no colon")])
def test_nonsense_is_told(server: Server, words: tuple[str, str]) -> None:
    send(server, "you@example.org", *words, code=2)


def test_nobody_there(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mtad", "send", "a@b.example", "--server", "127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 10
    assert "refused" in done.stderr
