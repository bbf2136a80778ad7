"""Which message a report is about, and whose outcome it tells."""

import pytest

from mtad.reports.match import Key, Recipient, keys, pairs
from mtad.reports.read import Incoming
from mtad.reports.status_fields import Told
from mtad.reports.token import Tokens
from tracing import ids

AT = 1_790_000_000_000_000
M = ids.lowest(AT)
TOKENS = Tokens([b"secret"])
HOST = "mail.example.org"


def look(report: Incoming, *receivers: str) -> list[Key]:
    return list(keys(report, receivers, tokens=TOKENS, at=AT))


def test_the_surest_mark_comes_first_and_none_twice() -> None:
    report = Incoming(
        "dsn",
        message_id="<1@example.org>",
        envelope_id=ids.text(M + 2),
        hops=(
            (HOST, ids.text(M + 1)),
            (HOST, "not-an-id"),
            (HOST, ids.text(M + 3).upper()),
        ),
    )
    assert look(report, "anna@example.org", TOKENS.write(M + 1, 4, "example.org")) == [
        Key("token", M + 1, 4),
        Key("envelope id", M + 2),
        Key("queue id", M + 3),
        Key("message id", message_id="<1@example.org>"),
    ]


def test_marks_of_others_are_none_of_ours() -> None:
    report = Incoming("dsn", envelope_id="QQ314159", hops=(("mx.example.net", "CEEDB20C16"),))
    assert look(report, "bounce=0a03zkr000000=1=aaaaaaaaaa@example.org") == []
    assert list(keys(report, ["x@y.test"], tokens=None, at=AT)) == []


BOB = Recipient(1, "bob@example.net")
LUNCH = Recipient(2, "carl@example.net", "lunch@example.org")
DORA = Recipient(3, "dora@example.net")


@pytest.mark.parametrize(
    ("told", "recipients", "n", "expected"),
    [
        ([Told("BOB@example.net")], [BOB, LUNCH], 0, [1]),
        ([Told("carl@example.net")], [BOB, LUNCH], 0, [2]),
        ([Told("x@y.test", "lunch@Example.org")], [BOB, LUNCH], 0, [2]),
        (
            [Told("x@y.test", "bob@example.net"), Told("dora@example.net")],
            [BOB, LUNCH, DORA],
            0,
            [1, 3],
        ),
        ([Told("x@y.test")], [BOB, LUNCH], 0, []),
        ([Told("x@y.test")], [BOB, LUNCH], 2, [2]),
        ([Told("x@y.test")], [BOB], 0, [1]),
        ([Told("x@y.test"), Told("z@y.test")], [BOB], 0, []),
        ([Told("dora@example.net")], [BOB, DORA], 1, [3]),
        ([Told("bob@example.net"), Told("y@z.test", "bob@example.net")], [BOB], 0, [1]),
        ([Told("x@y.test")], [], 0, []),
        ([], [BOB], 1, []),
        ([Told("x@y.test", "")], [BOB, Recipient(4, "e@f.test", "")], 0, []),
    ],
)
def test_whose_outcome_it_is(
    told: list[Told], recipients: list[Recipient], n: int, expected: list[int]
) -> None:
    found = list(pairs(Incoming("dsn", recipients=tuple(told)), recipients, n))
    assert [recipient.n for recipient, _ in found] == expected
    assert all(each in told for _, each in found)


def test_addresses_alone_decide_where_the_message_is_not_sure() -> None:
    report = Incoming("dsn", recipients=(Told("x@y.test"),))
    assert list(pairs(report, [BOB])) == [(BOB, Told("x@y.test"))]
    assert list(pairs(report, [BOB], is_sure=False)) == []
