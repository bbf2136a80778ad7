"""Whatever octets come, they are commands, or refused; nothing else ever happens."""

import contextlib
import gc
import os
import random
import tracemalloc

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mtad.imap import answer
from mtad.imap.parse import PARSERS, parse
from mtad.imap.wire import Rejected, Request
from tests.imap_examples import EXAMPLES, UTF8_EXAMPLES, parsed, requests
from tests.test_imap_parse_refused import BAD

SOAK = bool(os.environ.get("MTAD_SOAK"))
LINES = 1_000_000 if SOAK else 20_000


def test_examples_name_every_command() -> None:
    named = {parsed(line, utf8=line in UTF8_EXAMPLES).name for line in (*EXAMPLES, *UTF8_EXAMPLES)}
    assert named == set(PARSERS)


def attempt(data: bytes) -> None:
    """Whatever octets come: commands, or Bad and No with texts that can be sent."""
    answers: list[answer.Negative] = []
    for event in requests([data]):
        try:
            if isinstance(event, Rejected):
                raise event.error
            for utf8 in (False, True):
                assert parse(event, utf8=utf8).name in PARSERS
        except (answer.Bad, answer.No) as error:
            answers.append(error)
    for said in answers:
        assert said.text.isprintable()
        assert said.text.isascii()
        assert len(said.text) < 200


@given(st.binary(max_size=200))
@example(b"a SEARCH " + b"(" * 60_000 + b"\r\n")
@example(b"a SEARCH " + b"NOT " * 16_000 + b"ALL\r\n")
@example(b"a SEARCH " + b"NOT (" * 10_000 + b"ALL\r\n")
@example(b"a SEARCH " + b"OR " * 20_000 + b"ALL\r\n")
@example(b"a SEARCH " + b"OR (" * 10_000 + b"ALL\r\n")
@example(b"a FETCH " + b"1:*," * 16_000 + b"2 FLAGS\r\n")
@example(b'a LOGIN "' + b"\\\\" * 30_000 + b"\r\n")
@example(b'a SELECT "' + b"&AAAA" * 10_000 + b'"\r\n')
@example(b"a LOGIN" + b" {0+}\r\n" * 8_000 + b"\r\n")
def test_any_octets_are_taken_or_refused(data: bytes) -> None:
    attempt(data)


@given(
    st.sampled_from(sorted(PARSERS)),
    st.lists(
        st.sampled_from([*b' ()[]<>{}*%$\\"0123456789.:,+-~&aUILF\xd0\x9f\0\r\n']), max_size=40
    ),
)
def test_any_arguments_are_taken_or_refused(name: str, octets: list[int]) -> None:
    attempt(f"a {name} ".encode() + bytes(octets) + b"\r\n")


@given(st.sampled_from((*EXAMPLES, *UTF8_EXAMPLES)), st.randoms(use_true_random=False))
@settings(max_examples=300)
def test_changed_commands_are_taken_or_refused(line: bytes, chance: random.Random) -> None:
    attempt(changed(line, chance))


def changed(line: bytes, chance: random.Random) -> bytes:
    """A command with a few octets lost, doubled, put in, or taken from another one."""
    data = bytearray(line)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                del data[at : at + chance.randint(1, 5)]
            case 1:
                data[at:at] = data[at : at + chance.randint(1, 20)]
            case 2:
                data[at : at + 1] = bytes([chance.choice(b' ()[]{}<>"\\*%$.:,+-~&09aZ\0\r\n\xff')])
            case 3:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                other = chance.choice(EXAMPLES)
                begin = chance.randrange(len(other))
                data[at:at] = other[begin : begin + chance.randint(1, 30)]
    return bytes(data)


def test_many_lines_leave_no_memory_behind() -> None:
    """In full with MTAD_SOAK: a million command lines."""
    chance = random.Random(20)
    everything = (*EXAMPLES, *UTF8_EXAMPLES)
    tracemalloc.start()
    try:
        used = 0
        for count in range(LINES):
            if count == LINES // 10:
                gc.collect()
                used = tracemalloc.get_traced_memory()[0]
            if count % 10:
                attempt(changed(chance.choice(everything), chance))
            else:
                attempt(chance.randbytes(chance.randint(0, 300)) + b"\r\n")
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - used < 100_000
    finally:
        tracemalloc.stop()


def test_refusing_leaves_no_circles_to_collect() -> None:
    events = requests([line + b"\r\n" for line in BAD])
    gc.collect()
    gc.disable()
    try:
        for event in events:
            if isinstance(event, Request):
                with contextlib.suppress(answer.Negative):
                    parse(event)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_what_is_read_octet_by_octet_is_the_same() -> None:
    for line in (*EXAMPLES, *UTF8_EXAMPLES):
        (event,) = requests([line[at : at + 1] for at in range(len(line))])
        assert isinstance(event, Request)
        assert parse(event, utf8=True) == parsed(line, utf8=True)
