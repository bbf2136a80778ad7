"""What acceptance reads of a header: hostile input bounded, the body never looked at."""

import io
import json
import re
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from mtad.headers import MAX_TEXT
from mtad.smtp import headers
from tests import mails
from tests.corpus import Mail


def test_scan() -> None:
    seen = headers.scan(
        b"Received: from a\n\tby b\nreceived: from c\nMESSAGE-ID:\n <1@x.test>\n"
        b"X-Subject: no\nSubject : no\nSubject: one\n two\nSubject: second\nFrom: A <a@x.test>\n"
        b"\nSubject: body\nReceived: body\n"
    )
    assert seen == headers.Headers("<1@x.test>", "one two", "A <a@x.test>", 2)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", headers.Headers()),
        (b"\nSubject: body\n", headers.Headers()),
        (b"no header at all\n", headers.Headers()),
        (b"Subject: last", headers.Headers(subject="last")),
        (b"Subject:\n\n", headers.Headers()),
        (b"Message-ID: without-brackets@x\n", headers.Headers(message_id="without-brackets@x")),
        (b"Message-ID: <a b@x> <c@x>\n", headers.Headers(message_id="<c@x>")),
        (b"Message-ID: <a\x00\x1b@x>\n", headers.Headers(message_id="<a @x>")),
        (b"Subject: a\x00b\n", headers.Headers(subject="a b")),
    ],
)
def test_odd_headers(message: bytes, expected: headers.Headers) -> None:
    assert headers.scan(message) == expected


def test_everything_is_bounded() -> None:
    seen = headers.scan(
        b"Subject: "
        + b"=?utf-8?Q?a?= " * 100_000
        + b"\nFrom: "
        + b"x" * 10**6
        + b"\nMessage-ID: <"
        + b"y" * 10**6
        + b">\n\n"
    )
    assert len(seen.subject) <= MAX_TEXT
    assert len(seen.header_from) <= MAX_TEXT
    assert len(seen.message_id) <= MAX_TEXT
    folded = headers.scan(b"Subject: a\n" + b" b\n" * 10**5)
    assert len(folded.subject) <= MAX_TEXT


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=60))
def test_anything_gives_storable_text(message: bytes, value: bytes) -> None:
    for octets in (message, b"Subject: =?" + value + b"?=\nFrom: " + value + b"\n" + message):
        seen = headers.scan(octets)
        for text in (seen.message_id, seen.subject, seen.header_from):
            assert text.encode().decode() == text
            assert "\n" not in text
            assert "\x00" not in text


SUBJECT = re.compile(rb"(?im)^subject:[ \t]*\S")


def test_real_headers_are_text(corpus: Sequence[Mail]) -> None:
    with_subject = said = 0
    for mail in corpus:
        seen = headers.scan(mail.data.replace(b"\r\n", b"\n"))
        for text in (seen.message_id, seen.subject, seen.header_from):
            text.encode()
            assert not any(char < " " for char in text)
        with_subject += bool(seen.subject)
        said += SUBJECT.search(mail.data.partition(b"\n\n")[0].partition(b"\n\r\n")[0]) is not None
    assert with_subject >= said > len(corpus) / 2


@pytest.mark.parametrize("charset", ["utf-8", "koi8-r", "windows-1251", "iso-8859-5"])
def test_russian_subjects(charset: str) -> None:
    encoded = mails.russian(charset).replace(b"\r\n", b"\n")
    assert headers.scan(encoded).subject == mails.RUSSIAN


@pytest.mark.parametrize("charset", ["utf-8", "koi8-r", "windows-1251"])
def test_raw_russian_subjects(charset: str) -> None:
    raw = mails.raw_russian(charset).replace(b"\r\n", b"\n")
    assert headers.scan(raw).subject == mails.RUSSIAN.replace("№", "N")


def test_russian_mail_as_expected(shared_data: Callable[[str], Path]) -> None:
    """Subjects of mail in six charsets, raw and encoded, against what they were made from."""
    packed = shared_data("corpus/ru-synthetic.tar.zst").read_bytes()
    plain = zstandard.ZstdDecompressor().stream_reader(packed).read()
    good, wrong = 0, []
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        files = {
            m.name: f.read() for m in tar if m.isfile() and (f := tar.extractfile(m)) is not None
        }
    (listed,) = [text for name, text in files.items() if name.endswith("expected.jsonl")]
    top = next(iter(files)).split("/")[0]
    for line in listed.decode().splitlines():
        row: dict[str, Any] = json.loads(line)
        name = row.get("path") or row.get("file") or row["name"]
        data = files.get(f"{top}/{name}") or files[name]
        subject = headers.scan(data.replace(b"\r\n", b"\n")).subject
        want = " ".join((row["subject"] or "").split())
        if subject == want:
            good += 1
        else:
            wrong.append((name, want, subject))
    assert good >= 285, (good, wrong)
