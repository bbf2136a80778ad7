"""Answers as they go on the wire, and back through the reader."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad import mutf7
from mtad.imap import dates, write
from mtad.imap.commands import Fetch, GetMetadata, Login, NumberSet, Select
from tests.imap_examples import parsed

STRINGS: dict[str | bytes, bytes] = {
    "": b'""',
    "a b": b'"a b"',
    'say "hi" \\o/': b'"say \\"hi\\" \\\\o/"',
    "\x01\x7f": b'"\x01\x7f"',
    "a\rb": b"{3}\r\na\rb",
    "a\nb": b"{3}\r\na\nb",
    "П": b"{2}\r\n\xd0\x9f",
    b"\xff": b"{1}\r\n\xff",
    b"a\0": b"~{2}\r\na\0",
    "x" * 4097: b"{4097}\r\n" + b"x" * 4097,
}


@pytest.mark.parametrize("text", STRINGS, ids=lambda text: repr(text[:20]))
def test_strings(text: str | bytes) -> None:
    assert write.string(text) == STRINGS[text]
    assert write.nstring(text) == STRINGS[text]


def test_strings_with_utf8_enabled() -> None:
    assert write.string("П", utf8=True) == b'"\xd0\x9f"'
    assert write.string(b"\xff", utf8=True) == b"{1}\r\n\xff"
    assert write.string("\ud800") == b'"?"'


def test_nil_is_not_the_empty_string() -> None:
    assert write.nstring(None) == b"NIL"
    assert write.nstring("") == b'""'
    assert write.nstring("NIL") == b'"NIL"'
    assert write.astring("nil") == b'"nil"'
    assert write.literal(b"NIL") == b"{3}\r\nNIL"


def test_atoms_are_written_where_they_can() -> None:
    assert write.astring("INBOX/a.b") == b"INBOX/a.b"
    for text in ("", "a]", "a b", "a%", "a*", "(a", "a)", "{1}", 'a"', "a\\b"):
        assert write.astring(text).startswith(b'"')


def test_mailbox_names() -> None:
    assert write.mailbox("INBOX") == b'"INBOX"'
    assert write.mailbox("Письма/a.b & c") == b'"&BB8EOARBBEwEPAQw-/a.b &- c"'
    assert write.mailbox("Письма", utf8=True) == '"Письма"'.encode()
    assert write.mailbox("a&b", utf8=True) == b'"a&b"'
    assert write.mailbox('"', utf8=True) == b'"\\""'


NUMBERS: dict[tuple[int, ...], bytes] = {
    (): b"",
    (1,): b"1",
    (1, 2): b"1:2",
    (1, 2, 3, 5, 7, 8): b"1:3,5,7:8",
    (4294967294, 4294967295): b"4294967294:4294967295",
    (5, 3, 4, 2): b"5,3:4,2",
}


@pytest.mark.parametrize("numbers", NUMBERS)
def test_sets_of_numbers(numbers: tuple[int, ...]) -> None:
    assert write.number_set(numbers) == NUMBERS[numbers]


@given(st.sets(st.integers(1, 300), min_size=1))
def test_a_set_of_numbers_comes_back(numbers: set[int]) -> None:
    text = write.number_set(sorted(numbers))
    command = parsed(b"a FETCH " + text + b" FLAGS")
    assert isinstance(command, Fetch)
    again = [n for first, last in command.numbers.ranges for n in range(first, last + 1)]
    assert again == sorted(numbers)
    assert all(
        last + 1 < first
        for (_, last), (first, _) in zip(
            command.numbers.ranges, command.numbers.ranges[1:], strict=False
        )
    )


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1).map(tuple))
def test_a_parsed_set_comes_back(ranges: tuple[tuple[int, int], ...]) -> None:
    command = parsed(b"a FETCH " + write.number_set(NumberSet(ranges)) + b" FLAGS")
    assert isinstance(command, Fetch)
    assert command.numbers == NumberSet(ranges)
    assert write.number_set(NumberSet(saved=True)) == b"$"


@given(st.binary(max_size=30).filter(lambda data: b"\0" not in data), st.booleans())
def test_a_string_comes_back(data: bytes, utf8: bool) -> None:
    line = b"a LOGIN " + write.string(data, utf8=utf8) + b" " + write.astring(data, utf8=utf8)
    command = parsed(line + b"\r\n")
    assert command == Login("a", "LOGIN", data, data)


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=30)


@given(NAMES, st.booleans())
def test_a_mailbox_name_comes_back(name: str, utf8: bool) -> None:
    command = parsed(b"a SELECT " + write.mailbox(name, utf8=utf8), utf8=utf8)
    assert isinstance(command, Select)
    is_inbox = re.match(r"inbox(/|\Z)", name, re.IGNORECASE)
    assert command.mailbox == ("INBOX" + name[5:] if is_inbox else name)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.booleans())
def test_modified_utf7_comes_back(text: str, dots: bool) -> None:
    coded = mutf7.encode(text, dots=dots)
    assert re.fullmatch(r"(?:[ -%'-~]|&[A-Za-z0-9+,]*-)*", coded)
    assert mutf7.decode(coded, dots=dots) == text


@given(st.text("&-+,AaBbQ7.П"))
def test_other_modified_utf7_is_refused(text: str) -> None:
    try:
        assert mutf7.encode(mutf7.decode(text)) == text
    except ValueError:
        assert "&" in text or not text.isascii()


TIMES = {
    '" 1-Jan-1970 00:00:00 +0000"': (0, 0),
    '"07-Feb-1994 22:43:04 -0800"': (760689784_000_000, -480),
    '" 1-Jan-1970 05:30:00 +0530"': (0, 330),
    '"31-Dec-1969 23:59:59 +0000"': (-1_000_000, 0),
    '"31-Dec-9999 23:59:59 +0000"': (253402300799_000_000, 0),
}


@pytest.mark.parametrize("text", TIMES)
def test_dates_and_times(text: str) -> None:
    at_us, zone = TIMES[text]
    assert dates.moment(text.strip('"')) == at_us
    assert write.date_time(at_us, zone).decode() == text.replace('"0', '" ')


@given(st.integers(-62_135_500_000, 253_402_200_000), st.integers(-1439, 1439))
def test_a_moment_comes_back(at: int, zone: int) -> None:
    text = write.date_time(at * 1_000_000 + 999_999, zone)
    assert len(text) == 28
    assert dates.moment(text.strip(b'"').decode()) == at * 1_000_000


def test_a_moment_out_of_range_is_still_a_date() -> None:
    for at_us in (-(10**18), 10**20):
        dates.moment(write.date_time(at_us).strip(b'"').decode())


# --------------------------------------------------------------------- answers


def test_lists_of_mailboxes() -> None:
    assert write.mailbox_list("INBOX") == b'* LIST () "/" "INBOX"\r\n'
    assert (
        write.mailbox_list("a/b", ("\\HasNoChildren", "\\Sent"), kind=b"LSUB")
        == b'* LSUB (\\HasNoChildren \\Sent) "/" "a/b"\r\n'
    )
    assert write.mailbox_list("x", separator=None) == b'* LIST () NIL "x"\r\n'
    assert write.mailbox_list("Fo", child_info=("SUBSCRIBED", "SPECIAL-USE")) == (
        b'* LIST () "/" "Fo" ("CHILDINFO" ("SUBSCRIBED" "SPECIAL-USE"))\r\n'
    )
    assert write.mailbox_list("new", old_name="П") == (
        b'* LIST () "/" "new" ("OLDNAME" ("&BB8-"))\r\n'
    )


def test_status() -> None:
    values: dict[str, int | str | None] = {
        "MESSAGES": 231,
        "UIDNEXT": 44292,
        "MAILBOXID": "F1",
        "APPENDLIMIT": None,
    }
    assert write.status("bl op", values) == (
        b'* STATUS "bl op" (MESSAGES 231 UIDNEXT 44292 MAILBOXID (F1) APPENDLIMIT NIL)\r\n'
    )
    assert write.status("x", {}) == b'* STATUS "x" ()\r\n'


def test_extended_search() -> None:
    assert write.esearch("A1") == b'* ESEARCH (TAG "A1")\r\n'
    assert write.esearch("A1", [("MIN", 2), ("ALL", b"2,10:11"), ("MODSEQ", 9)], by_uid=True) == (
        b'* ESEARCH (TAG "A1") UID MIN 2 ALL 2,10:11 MODSEQ 9\r\n'
    )


def test_namespaces() -> None:
    assert write.namespace([("", "/")]) == b'* NAMESPACE (("" "/")) NIL NIL\r\n'
    assert write.namespace([("", "/")], [("Other Users/", "/")], [("A/", "/"), ("B.", ".")]) == (
        b'* NAMESPACE (("" "/")) (("Other Users/" "/")) (("A/" "/")("B." "."))\r\n'
    )


def test_identity_and_codes() -> None:
    assert write.identity(None) == b"* ID NIL\r\n"
    assert write.identity({"name": "mtad", "os": None}) == b'* ID ("name" "mtad" "os" NIL)\r\n'
    assert write.code("TRYCREATE") == b"TRYCREATE"
    assert write.code("COPYUID", 38505, b"304,319:320", b"3956:3958") == (
        b"COPYUID 38505 304,319:320 3956:3958"
    )
    assert write.flag_list(()) == b"()"
    assert write.flag_list(("\\Seen", "$a")) == b"(\\Seen $a)"


def test_a_note_with_nul_is_a_literal8() -> None:
    assert write.nstring(b"\0") == b"~{1}\r\n\0"
    command = parsed(b"a GETMETADATA " + write.mailbox("x") + b" /shared/" + write.astring("y"))
    assert command == GetMetadata("a", "GETMETADATA", "x", ("/shared/y",))
