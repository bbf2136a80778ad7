"""Our own Return-Path line stays here, and nothing else does."""

import os
from pathlib import Path

import pytest

from mtad.outbound import command
from mtad.outbound.stored import MAX_LINE, open_to_send, to_send

REST = b"Received: from x\nSubject: y\n\nReturn-Path: <z>\n"


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        (b"Return-Path: <a@b.test>\n" + REST, REST),
        (b"Return-Path: <>\n" + REST, REST),
        (REST, REST),
        (b"X-Return-Path: <>\n" + REST, b"X-Return-Path: <>\n" + REST),
        (b"\nReturn-Path: <>\n", b"\nReturn-Path: <>\n"),
        (b"", b""),
    ],
)
def test_the_line_on_top(tmp_path: Path, message: bytes, sent: bytes) -> None:
    assert to_send(message) == sent
    path = tmp_path / "m"
    path.write_bytes(message)
    with open_to_send(path) as file:
        assert file.read() == sent
    number = command._open(path)
    try:
        assert os.read(number, 1000) == sent
    finally:
        os.close(number)


def test_a_line_that_is_too_long_is_none_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"Return-Path: <" + b"x" * MAX_LINE + b">\n" + REST)
    with open_to_send(path) as file:
        assert file.read(12) == b"Return-Path:"
