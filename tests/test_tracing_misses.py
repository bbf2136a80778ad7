"""Near misses: a question that finds nothing names what nearly is what was asked for."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_tracing_cli import Place, run
from tests.tracing_events import Mail
from tracing import events, misses
from tracing.log import Applied
from tracing.nearness import slips

WORD = st.text("abc", max_size=7)


def plainly(one: str, other: str) -> int:
    """Optimal string alignment by the whole table."""
    table = [
        [i + j if not i * j else 0 for j in range(len(other) + 1)] for i in range(len(one) + 1)
    ]
    for i, char in enumerate(one, 1):
        for j, opposite in enumerate(other, 1):
            table[i][j] = min(
                table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (char != opposite)
            )
            if i > 1 and j > 1 and char == other[j - 2] and one[i - 2] == opposite:
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
    return table[-1][-1]


@given(WORD, WORD, st.integers(0, 3))
def test_slips_up_to_a_bound(one: str, other: str, most: int) -> None:
    assert slips(one, other, most) == min(plainly(one, other), most + 1)


@pytest.mark.parametrize(
    ("one", "other", "far"),
    [("alice", "alice", 0), ("alice", "alise", 1), ("alice", "alcie", 1), ("alice", "alic", 1),
     ("alice", "bob", 3), ("", "ab", 2), ("anna", "annaa", 1), ("иван", "ивна", 1)],
)  # fmt: skip
def test_slips_of_a_finger(one: str, other: str, far: int) -> None:
    assert slips(one, other, 2) == slips(other, one, 2) == far


REFUSED = "boris@beta.example"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    refused(made, REFUSED, "ailce@example.org")
    yield made
    made.recorder.close()


def refused(place: Place, sender: str, to: str) -> None:
    mail = Mail(place.mint, at=time.time_ns() // 1000, sender=sender, to=())
    no = events.SmtpReject(
        at=mail.at,
        trace=mail.m,
        addr=to,
        code=550,
        enh="5.1.1",
        reply="550 5.1.1 no such box",
        stage="rcpt",
        check="unknown_box",
    )
    place.number += 1
    place.recorder.apply([Applied("mta-0", place.number, 0, [*mail.begin(), no])])


@pytest.mark.parametrize(
    ("query", "sort", "near"),
    [
        ("from:boris@beta.example to:alice@example.org", "refused", ""),
        ("to:alise@example.org", "address", "alice@example.org"),
        ("to:alice@exmaple.org", "address", "alice@example.org"),
        ("to:alise", "address", "alice@example.org"),
        ("alise@example.org", "address", "alice@example.org"),
        ("(to:nobody | from:sendre@example.net)", "address", "sender@example.net"),
        ("from:@example.nte", "address", "sender@example.net"),
        ("to:nobody@example.org subj:figures", "subject", ""),
        ("to:alice since:2020-01-01 until:2020-01-02", "time", ""),
    ],
)
def test_what_is_near(place: Place, query: str, sort: str, near: str) -> None:
    first, *_ = [one for one in misses.of(place.log, query) if one.sort == sort]
    assert first.near == near


@pytest.mark.parametrize("query", ["to:zed@other.example", "!to:alice from:qqq", "ip:192.0.2.99"])
def test_what_is_far_is_not_near(place: Place, query: str) -> None:
    assert misses.of(place.log, query) == []


@pytest.mark.parametrize(("language", "says"), [("en", "is nearly"), ("ru", "почти то же, что")])
def test_the_command_names_them(
    place: Place, capsys: pytest.CaptureFixture[str], language: str, says: str
) -> None:
    words = ["why", "from:boris@beta.example", "to:alice@example.org", "--lang", language]
    code, out, err = run(place, capsys, *words)
    assert code == 4
    command = out.splitlines()[0]
    _, told, _ = run(place, capsys, "why", command.split()[-1])
    assert REFUSED in told
    assert err
    code, out, _ = run(place, capsys, "why", "to:alise@example.org", "--lang", language)
    assert f"alice@example.org {says} alise@example.org: " in out
    assert "\x1b" not in out
    code, out, _ = run(place, capsys, "why", "to:alise@example.org", "--json")
    assert code == 4
    assert {one["near"] for one in json.loads(out)["near"]} >= {"alice@example.org"}


def test_each_sort_has_its_words() -> None:
    for texts in misses._SENTENCES.values():
        assert texts.keys() == misses._SENTENCES["en"].keys()
