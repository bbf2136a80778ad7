"""Base subjects, threads, sent dates and sort keys."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.mime.dates import sent
from mtad.mime.message import parse
from mtad.mime.sorting import keys
from mtad.mime.subject import base, base_of
from mtad.mime.text import fold
from mtad.mime.threads import Mail, Thread, ordered_subject, references, written

SUBJECTS = {
    "hello": ("hello", False),
    "Re: hello": ("hello", True),
    "RE: Fwd: FW: hello": ("hello", True),
    "Re [2]: hello": ("hello", True),
    "re:hello": ("hello", True),
    "[list] Re: [other] hello": ("hello", True),
    "[list] hello": ("hello", False),
    "Re: [list] hello": ("hello", True),
    "[only]": ("[only]", False),
    "Re: [only]": ("[only]", True),
    "[a][b]": ("[b]", False),
    "hello (fwd)": ("hello", True),
    "hello (FWD) (fwd)": ("hello", True),
    "[Fwd: hello]": ("hello", True),
    "[fwd: [Fwd: Re: hello (fwd)]]": ("hello", True),
    "  a \t b  ": ("a b", False),
    "": ("", False),
    "Re:": ("", True),
    "(fwd)": ("", True),
    "Regarding: x": ("Regarding: x", False),
    "a Re: b": ("a Re: b", False),
    "[a [b] c": ("[a [b] c", False),
}


@pytest.mark.parametrize(("subject", "expected"), SUBJECTS.items())
def test_base_subject(subject: str, expected: tuple[str, bool]) -> None:
    assert base_of(subject) == expected


def test_base_subject_of_encoded_words() -> None:
    assert base(b"=?utf-8?b?UmU6INCf0YDQuNCy0LXRgg==?=") == ("Привет", True)


@given(st.lists(st.sampled_from(["re", "fwd", ":", "[", "]", " ", "(fwd)", "x", "[fwd:"])))
def test_a_base_subject_is_its_own(pieces: list[str]) -> None:
    found, _ = base_of("".join(pieces))
    assert base_of(found) == (found, False)


# --------------------------------------------------------------------- threads


def mail(uid: int, text: str, subject: str = "s", date: int | None = None) -> Mail:
    """``own < first second`` or ``own (reply)``: an id, and what it refers to."""
    own, _, refers = text.partition("<")
    own, _, reply = own.partition("(")
    return Mail(
        uid,
        f"<{own.strip()}>".encode() if own.strip() else b"",
        " ".join(f"<{one}>" for one in refers.split()).encode(),
        f"<{reply.strip(' )')}>".encode() if reply else b"",
        subject.encode(),
        uid if date is None else date,
    )


THREADS: dict[str, tuple[list[Mail], bytes]] = {
    "nothing": ([], b""),
    "one": ([mail(1, "a")], b"(1)"),
    "strangers": ([mail(1, "a", "x"), mail(2, "b", "y")], b"(1)(2)"),
    "a chain": ([mail(1, "a"), mail(2, "b < a"), mail(3, "c < a b")], b"(1 2 3)"),
    "a fork": (
        [mail(1, "a"), mail(2, "b < a"), mail(3, "c < a"), mail(4, "d < a b")],
        b"(1 (2 4)(3))",
    ),
    "the answer came first": ([mail(1, "b < a", date=9), mail(2, "a", date=1)], b"(2 1)"),
    "In-Reply-To": ([mail(1, "a"), mail(2, "b (a)")], b"(1 2)"),
    "References before In-Reply-To": ([mail(1, "a"), mail(2, "x"), mail(3, "b (x) < a")],
                                      b"((1 3)(2))"),
    "one that is missing, with one answer": ([mail(1, "b < a")], b"(1)"),
    "one that is missing, with two answers": ([mail(1, "b < a"), mail(2, "c < a")], b"((1)(2))"),
    "missing in the middle": ([mail(1, "a"), mail(2, "c < a b")], b"(1 2)"),
    "a loop": ([mail(1, "a < b"), mail(2, "b < a")], b"(2 1)"),
    "its own answer": ([mail(1, "a < a")], b"(1)"),
    "the same id twice": ([mail(1, "a", "x"), mail(2, "a", "y"), mail(3, "b < a")], b"(1 3)(2)"),
    "no id": ([mail(1, "", "x"), mail(2, "", "y")], b"(1)(2)"),
    "by date": ([mail(1, "a", "x", 5), mail(2, "b", "y", 3)], b"(2)(1)"),
    "equal subjects": ([mail(1, "a"), mail(2, "b")], b"((1)(2))"),
    "a reply by its subject": ([mail(1, "a"), mail(2, "b", "Re: s")], b"(1 2)"),
    "a reply that came first": ([mail(1, "a", "Re: s"), mail(2, "b")], b"(2 1)"),
    "two replies": ([mail(1, "a", "Re: s"), mail(2, "b", "Re: s")], b"((1)(2))"),
    "three of a subject": ([mail(1, "a"), mail(2, "b"), mail(3, "c")], b"((1)(2)(3))"),
    "empty subjects are not alike": ([mail(1, "a", ""), mail(2, "b", "")], b"(1)(2)"),
    "two that are missing, of one subject": (
        [mail(1, "b < a"), mail(2, "c < a"), mail(3, "y < x"), mail(4, "z < x")],
        b"((1)(2)(3)(4))",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("mails", "expected"), THREADS.values(), ids=THREADS)
def test_references(mails: list[Mail], expected: bytes) -> None:
    assert written(references(mails)) == expected


def test_sequence_numbers() -> None:
    threads = references([mail(11, "a"), mail(12, "b < a")])
    assert written(threads, {11: 1, 12: 2}) == b"(1 2)"


def test_ordered_subject() -> None:
    mails = [
        mail(1, "a", "two", 9),
        mail(2, "b", "one", 2),
        mail(3, "c", "Re: two", 3),
        mail(4, "d", "fwd: TWO", 4),
        mail(5, "e", "re: one", 5),
    ]
    assert written(ordered_subject(mails)) == b"(2 5)(3 (4)(1))"


def every(threads: list[Thread]) -> Iterator[Thread]:
    todo = list(threads)
    while todo:
        thread = todo.pop()
        yield thread
        todo += thread.children


ids = st.sampled_from("abcdef")


@given(
    st.lists(
        st.builds(
            lambda own, refers, subject, date: (f"{own} < {' '.join(refers)}", subject, date),
            ids | st.just(""),
            st.lists(ids, max_size=4),
            st.sampled_from(["", "x", "Re: x", "y", "[fwd: y]"]),
            st.integers(0, 5),
        ),
        max_size=14,
    )
)
def test_every_message_is_in_one_thread(made: list[tuple[str, str, int]]) -> None:
    mails = [mail(uid, *one) for uid, one in enumerate(made, 1)]
    for threads in (references(mails), ordered_subject(mails)):
        found = sorted(one.mail.uid for one in every(threads) if one.mail is not None)
        assert found == [*range(1, len(mails) + 1)]
        text = written(threads)
        assert text.count(b"(") == text.count(b")")
        assert b"()" not in text
        assert b" )" not in text
        for one in every(threads):
            assert one.mail is not None or len(one.children) > 1 or one.parent is None


def test_a_long_chain_is_no_trouble() -> None:
    count = 5000
    mails = [mail(uid, f"{uid} < {uid - 1}") for uid in range(count, 0, -1)]
    assert written(references(mails)).startswith(b"(1 2 3 ")


# ----------------------------------------------------------------------- dates

NOON = 1704110400  # 2024-01-01 12:00:00 UTC
DATES = {
    "Mon, 1 Jan 2024 12:00:00 +0000": (NOON, 0),
    "Mon, 1 Jan 2024 15:00:00 +0300 (MSK)": (NOON, 10800),
    "1 Jan 2024 12:00 GMT": (NOON, 0),
    "Mon,  1 Jan 24 07:00:00 EST": (NOON, -18000),
    "Mon, 01 January 2024 12:00:00 Z": (NOON, 0),
    "Mon, 1-Jan-2024 12:00:00": (NOON, 0),
    "Mon Jan  1 12:00:00 2024": (NOON, 0),
    "Mon Jan 1 12:00:00 PST 2024": (NOON, 0),
    "2024-01-01 12:00:00 +0000": (NOON, 0),
    "2024-01-01T17:30:00+05:30": (NOON, 19800),
    "Mon, 1 Jan 2024 12:00:00 -0000": (NOON, 0),
    "Mon, 1 Jan 2024 12:00:00 +9999": (NOON, 0),
    "Mon, 1 Jan 2024 12.00.00 +0000": (NOON, 0),
    "Mon, 1 Jan 2024 12:00:00 PM": (NOON, 0),
    "Sat, 1 Jan 0100 12:00:00 GMT": None,
    "1 Jan 124 12:00:00 GMT": (NOON, 0),
    "1 Jan 2024": (NOON - 43200, 0),
    "31 Dec 1969 23:59:59 +0000": (-1, 0),
    "Mon, 1 Foo 2024 12:00:00": None,
    "Mon, 1 Jan 2024 32:00:00": None,
    "Mon, 99 Jan 2024 12:00:00": None,
    "": None,
    "yesterday": None,
}


@pytest.mark.parametrize(("value", "expected"), DATES.items())
def test_sent(value: str, expected: tuple[int, int] | None) -> None:
    assert sent(value.encode()) == expected


@given(st.text("0123456789 :-+,JanTMonGMTpm.", max_size=50))
def test_no_date_fails(value: str) -> None:
    found = sent(value.encode())
    assert found is None or abs(found[1]) < 86400


def test_sort_keys() -> None:
    data = (
        b"From: =?koi8-r?B?4c7OwQ==?= <anna@x>, b@x\r\nTo: Team: Bob@Y;\r\nCc: \r\n"
        b"Subject: Re: [l] HELLO\r\nDate: Mon, 1 Jan 2024 12:00:00 +0000\r\n\r\n"
    )
    found = keys(parse(data))
    assert found.sent == (NOON, 0)
    assert (found.subject, found.is_reply) == ("hello", True)
    assert (found.from_mailbox, found.from_display) == ("anna", fold("Анна"))
    assert (found.to_mailbox, found.cc_mailbox) == ("team", "")
    assert keys(parse(b"From: Bob@Y\r\n\r\n")).from_display == "bob@y"
    assert keys(parse(b"")) == (None, "", False, "", "", "", "", "")
