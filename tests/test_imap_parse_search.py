"""SEARCH, SORT and THREAD: keys, charsets, what is returned."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.imap.charsets import CHARSETS, decode, name
from mtad.imap.commands import (
    And,
    Anything,
    Flagged,
    Key,
    ModSeq,
    Not,
    Numbers,
    NumberSet,
    ObjectId,
    Or,
    Search,
    Size,
    Sort,
    Text,
    Thread,
    When,
    Within,
)
from tests.imap_examples import parsed, refused

ONE = Numbers(NumberSet(((1, 1),)), False)
SEEN, DRAFT, FLAGGED = Flagged("\\Seen"), Flagged("\\Draft"), Flagged("\\Flagged")


def header(field: str, value: str) -> Text:
    return Text(field, value, in_header=True)


KEYS: dict[bytes, Key] = {
    b"ALL": Anything(),
    b"SAVEDATESUPPORTED": Anything(),
    b"seen": SEEN,
    b"UNANSWERED": Flagged("\\Answered", False),
    b"RECENT": Flagged("\\Recent"),
    b"OLD": Flagged("\\Recent", False),
    b"NEW": And((Flagged("\\Recent"), Flagged("\\Seen", False))),
    b"KEYWORD $Junk": Flagged("$Junk"),
    b"UNKEYWORD z": Flagged("z", False),
    b"SEEN DRAFT": And((SEEN, DRAFT)),
    b"SEEN ": SEEN,
    b"(SEEN)": SEEN,
    b"((SEEN DRAFT) FLAGGED)": And((And((SEEN, DRAFT)), FLAGGED)),
    b"NOT SEEN": Not(SEEN),
    b"NOT NOT SEEN": SEEN,
    b"not NOT not (SEEN)": Not(SEEN),
    b"OR SEEN DRAFT": Or(SEEN, DRAFT),
    b"OR SEEN OR DRAFT FLAGGED": Or(SEEN, Or(DRAFT, FLAGGED)),
    b"OR OR SEEN DRAFT FLAGGED": Or(SEEN, Or(DRAFT, FLAGGED)),
    b"OR OR SEEN DRAFT OR FLAGGED ALL ALL": And(
        (Or(Or(SEEN, DRAFT), Or(FLAGGED, Anything())), Anything())
    ),
    b"OR NOT SEEN NOT OR DRAFT 1": Or(Not(SEEN), Not(Or(DRAFT, ONE))),
    b"1": ONE,
    b"2:*,5 UID 7": And(
        (
            Numbers(NumberSet(((2, 0), (5, 5))), False),
            Numbers(NumberSet(((7, 7),)), True),
        )
    ),
    b"$": Numbers(NumberSet(saved=True), False),
    b"UID $": Numbers(NumberSet(saved=True), True),
    b"*": Numbers(NumberSet(((0, 0),)), False),
    b'SUBJECT ""': header("SUBJECT", ""),
    b"FROM NIL": header("FROM", "NIL"),
    b"TEXT x": Text("TEXT", "x"),
    b"BODY {3+}\r\n\r\na": Text("BODY", "\r\na"),
    b"HEADER x-Spam YES": header("X-SPAM", "YES"),
    b'HEADER text ""': header("TEXT", ""),
    b'SUBJECT "\xd0\x9f"': header("SUBJECT", "П"),
    b"BEFORE 1-Jan-2020": When("INTERNAL", "BEFORE", date(2020, 1, 1)),
    b'sentsince "29-feb-2020"': When("SENT", "SINCE", date(2020, 2, 29)),
    b"SAVEDON 09-DEC-9999": When("SAVED", "ON", date(9999, 12, 9)),
    b"OLDER 1": Within("OLDER", 1),
    b"YOUNGER 4294967295": Within("YOUNGER", 2**32 - 1),
    b"LARGER 0": Size("LARGER", 0),
    b"SMALLER 9223372036854775807": Size("SMALLER", 2**63 - 1),
    b"MODSEQ 0": ModSeq(0),
    b'MODSEQ "/flags/\\\\Seen" shared 7': ModSeq(7),
    b'MODSEQ "/flags/$Junk" PRIV 7': ModSeq(7),
    b"EMAILID M-_9": ObjectId("EMAILID", "M-_9"),
    b"THREADID T1": ObjectId("THREADID", "T1"),
}


@pytest.mark.parametrize("line", KEYS, ids=repr)
def test_a_key_means(line: bytes) -> None:
    assert parsed(b"a SEARCH " + line) == Search("a", "SEARCH", False, KEYS[line])
    assert parsed(b"a UID SEARCH " + line) == Search("a", "UID SEARCH", True, KEYS[line])


RETURNS = {
    b"RETURN ()": (("ALL",), None),
    b"return (min Max)": (("MIN", "MAX"), None),
    b"RETURN (SAVE ALL COUNT)": (("SAVE", "ALL", "COUNT"), None),
    b"RETURN (PARTIAL 5:1)": ((), (1, 5)),
    b"RETURN (COUNT PARTIAL -1:-5)": (("COUNT",), (-1, -5)),
}


@pytest.mark.parametrize("line", RETURNS, ids=repr)
def test_what_is_returned(line: bytes) -> None:
    returns, partial = RETURNS[line]
    assert parsed(b"a SEARCH " + line + b" SEEN") == Search(
        "a", "SEARCH", False, SEEN, "", returns, partial
    )
    assert parsed(b"a SORT " + line + b" (DATE) utf-8 SEEN") == Sort(
        "a", "SORT", False, (("DATE", False),), SEEN, "UTF-8", returns, partial
    )


def test_sort_and_thread() -> None:
    assert parsed(b"a UID SORT (reverse Size REVERSE DATE) us-ascii SEEN DRAFT") == Sort(
        "a", "UID SORT", True, (("SIZE", True), ("DATE", True)), And((SEEN, DRAFT)), "US-ASCII"
    )
    assert parsed(b'a THREAD references "UTF-8" SEEN') == Thread(
        "a", "THREAD", False, "REFERENCES", SEEN, "UTF-8"
    )


@pytest.mark.parametrize(
    ("charset", "octets", "text"),
    [
        (b"UTF-8", "Привет".encode(), "Привет"),
        (b"utf8", "Привет".encode(), "Привет"),
        (b'"KOI8-R"', "Привет".encode("koi8-r"), "Привет"),
        (b"windows-1251", "Привет".encode("cp1251"), "Привет"),
        (b"cp1251", "Привет".encode("cp1251"), "Привет"),
        (b"ISO-8859-5", "Привет".encode("iso8859-5"), "Привет"),
        (b"iso-8859-1", b"caf\xe9", "café"),
        (b"US-ASCII", b"cafe", "cafe"),
    ],
)
def test_strings_are_in_the_charset(charset: bytes, octets: bytes, text: str) -> None:
    line = b"a SEARCH CHARSET %b SUBJECT {%d+}\r\n%b SEEN" % (charset, len(octets), octets)
    command = parsed(line)
    assert isinstance(command, Search)
    assert command.key == And((header("SUBJECT", text), SEEN))
    assert command.charset == name(charset.strip(b'"').decode())


def test_an_unknown_charset_is_left_to_who_carries_out_the_command() -> None:
    for line in (b"SEARCH CHARSET x-foo", b"SORT (DATE) x-foo", b"THREAD REFERENCES x-foo"):
        command = parsed(b"a %b SUBJECT {1+}\r\n\xe9" % line)
        assert isinstance(command, Search | Sort | Thread)
        assert command.charset == "X-FOO"


@pytest.mark.parametrize("charset", CHARSETS)
@given(data=st.binary(max_size=20))
def test_a_charset_decodes_or_raises_valueerror(charset: str, data: bytes) -> None:
    assert decode(b"x", charset) == "x"
    try:
        assert isinstance(decode(data, charset), str)
    except ValueError:
        assert any(octet > 126 or octet < 32 for octet in data)


BAD = [
    b"SEARCH",
    b"SEARCH ",
    b"SEARCH ()",
    b"SEARCH (SEEN",
    b"SEARCH SEEN)",
    b"SEARCH  SEEN",
    b"SEARCH SEEN  DRAFT",
    b"SEARCH FOO",
    b"SEARCH UNRECENT",
    b'SEARCH "SEEN"',
    b"SEARCH NOT",
    b"SEARCH NOT ",
    b"SEARCH NOT NOT",
    b"SEARCH OR",
    b"SEARCH OR SEEN",
    b"SEARCH OR OR SEEN DRAFT",
    b"SEARCH FROM",
    b"SEARCH FROM (x)",
    b"SEARCH FROM \xd0\x9f",
    b"SEARCH HEADER x",
    b"SEARCH KEYWORD \\Seen",
    b'SEARCH KEYWORD "x"',
    b"SEARCH 0",
    b"SEARCH 1,$",
    b"SEARCH UID",
    b"SEARCH UID x",
    b"SEARCH SINCE 32-Jan-2020",
    b"SEARCH SINCE 30-Feb-2020",
    b"SEARCH SINCE 1-Foo-2020",
    b"SEARCH SINCE 1-Jan-20",
    b"SEARCH SINCE 1-Jan-0000",
    b"SEARCH SINCE 2020-01-01",
    b"SEARCH OLDER 0",
    b"SEARCH OLDER 4294967296",
    b"SEARCH LARGER -1",
    b"SEARCH LARGER 9223372036854775808",
    b'SEARCH LARGER "1"',
    b"SEARCH MODSEQ 9223372036854775808",
    b'SEARCH MODSEQ "/flags/\\\\Recent" all 1',
    b'SEARCH MODSEQ "/flags/\\\\Seen" any 1',
    b'SEARCH MODSEQ "/comment" all 1',
    b"SEARCH EMAILID",
    b"SEARCH RETURN",
    b"SEARCH RETURN MIN ALL",
    b"SEARCH RETURN (MIN)",
    b"SEARCH RETURN (MIN)ALL",
    b"SEARCH RETURN (FOO) ALL",
    b"SEARCH RETURN (MIN MIN) ALL",
    b"SEARCH RETURN (PARTIAL) ALL",
    b"SEARCH RETURN (PARTIAL 1:*) ALL",
    b"SEARCH RETURN (PARTIAL 1:2 ALL) ALL",
    b"SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL",
    b"SEARCH CHARSET UTF-8",
    b"SEARCH CHARSET UTF-8 RETURN (MIN) ALL",
    b"SEARCH SEEN CHARSET UTF-8 ALL",
    b'SEARCH CHARSET US-ASCII FROM "\xd0\x9f"',
    b'SEARCH CHARSET UTF-8 FROM "\xff"',
    b'SEARCH FROM "\xff"',
    b"SEARCH " + b"(" * 101 + b"ALL" + b")" * 101,
    b"SEARCH " + b"NOT (" * 101 + b"ALL" + b")" * 101,
    b"SEARCH " + b"SEEN " * 1001,
    b"SEARCH " + b"OR SEEN " * 1001 + b"SEEN",
    b"SORT",
    b"SORT (DATE) UTF-8",
    b"SORT () UTF-8 ALL",
    b"SORT DATE UTF-8 ALL",
    b"SORT (FOO) UTF-8 ALL",
    b"SORT (REVERSE) UTF-8 ALL",
    b"SORT (REVERSE REVERSE DATE) UTF-8 ALL",
    b"THREAD FOO UTF-8 ALL",
    b"THREAD REFERENCES UTF-8",
]


@pytest.mark.parametrize("line", BAD, ids=lambda line: repr(line[:60]))
def test_what_is_no_search_is_bad(line: bytes) -> None:
    assert refused(b"a " + line) == (b"BAD", "a", b"")


def depth(key: Key) -> int:
    match key:
        case Or(left, right):
            return 1 + max(depth(left), depth(right))
        case And(keys):
            return 1 + max(map(depth, keys))
        case Not(inner):
            return 1 + depth(inner)
        case _:
            return 1


@pytest.mark.parametrize(
    "line", [b"OR SEEN " * 900 + b"DRAFT", b"OR " * 900 + b"SEEN " * 900 + b"DRAFT"]
)
def test_hundreds_of_alternatives_are_no_deep_tree(line: bytes) -> None:
    command = parsed(b"a SEARCH " + line)
    assert isinstance(command, Search)
    assert depth(command.key) < 15
