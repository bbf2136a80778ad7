"""``mtad demo``: the story it tells is true, and it says so when it is not."""

import email
import re
import time
from collections.abc import Iterator
from email import policy
from email.header import decode_header, make_header
from pathlib import Path

import pytest

from mtad.config import Loaded
from mtad.errors import Exit, MtadError, Unreachable
from mtad.setup import demonstration, samples
from mtad.setup.demonstration import Stored
from tests.server import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "site")
    server.start()
    try:
        yield server
    finally:
        server.stop()


def test_the_story_is_told_within_its_time(server: Server) -> None:
    began = time.monotonic()
    told = server.mtad("demo").stdout
    assert time.monotonic() - began < 30
    [trace] = set(re.findall(r"mtad mail delete --box \S+ (\w{13}) --yes", told))
    order = [
        "queued as",
        f"$ mtad trace {trace}",
        "$ mtad snapshot create --box you@example.org",
        "$ mtad mail delete",
        "deleted from you@example.org/INBOX by ",
        f"$ mtad restore --box you@example.org {trace}",
    ]
    places = [told.index(part) for part in order]
    assert places == sorted(places)
    for what in ("date", "octets", "sha256"):
        before, after = re.findall(rf"{what} +before +(.+)\n +after +(.+?)  equal", told)[0]
        assert before == after
    assert "DIFFERENT" not in told
    server.mtad("demo")


def test_without_a_server_it_says_how_to_start_one(site: Loaded) -> None:
    said: list[str] = []
    with pytest.raises(Unreachable, match=r"no server runs on .* starts one") as raised:
        demonstration.tell(site, said.append)
    assert raised.value.exit_code == Exit.UNREACHABLE
    assert said == []


def test_a_server_that_died_is_not_taken_for_one(site: Loaded) -> None:
    for role in ("mta", "log", "access"):
        site.places.socket(role).touch()
    with pytest.raises(Unreachable, match=r"SMTP on 127\.0\.0\.1:"):
        demonstration.tell(site, lambda _: None)


def test_a_message_that_came_back_otherwise_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "mail"
    path.write_text("one")
    before = Stored.read(path)
    path.write_text("two")
    said: list[str] = []
    with pytest.raises(MtadError, match="the restored message has another"):
        demonstration._compare(before, Stored.read(path), said.append)
    assert any("DIFFERENT" in line for line in said)


def test_the_samples_are_mail_as_people_send_it() -> None:
    made = samples.samples("you@example.org")
    assert len(made) >= 3
    ids = set()
    for subject, data in made:
        assert b"\n" not in data.replace(b"\r\n", b"")
        parsed = email.message_from_bytes(data, policy=policy.compat32)
        assert str(make_header(decode_header(parsed["Subject"]))) == subject
        assert parsed["To"] == "you@example.org"
        ids.add(parsed["Message-ID"])
    assert len(ids) == len(made)
    assert any(email.message_from_bytes(data).is_multipart() for _, data in made)
