"""Routing: who gets a copy, and what becomes of addresses that lead to the same box."""

from hypothesis import given
from hypothesis import strategies as st

from mtad.delivery.route import Accepted, Final, plan


def test_a_box_is_its_own_final_recipient() -> None:
    assert plan([Accepted(1, "A@x.test", ("a@x.test",))]) == [
        Final(1, "a@x.test", "A@x.test", alias=False)
    ]


def test_an_alias_takes_a_number_per_box() -> None:
    finals = plan(
        [
            Accepted(1, "all@x.test", ("a@x.test", "b@x.test"), alias=True),
            Accepted(3, "c@x.test", ("c@x.test",)),
        ]
    )
    assert [(f.n, f.box, f.alias, f.first) for f in finals] == [
        (1, "a@x.test", True, 0),
        (2, "b@x.test", True, 0),
        (3, "c@x.test", False, 0),
    ]


def test_the_second_way_to_a_box_is_a_duplicate() -> None:
    finals = plan(
        [
            Accepted(1, "b@x.test", ("b@x.test",)),
            Accepted(2, "all@x.test", ("a@x.test", "b@x.test"), alias=True),
            Accepted(5, "b@x.test", ("b@x.test",)),
        ]
    )
    assert [(f.n, f.box, f.first) for f in finals] == [
        (1, "b@x.test", 0),
        (2, "a@x.test", 0),
        (3, "b@x.test", 1),
        (5, "b@x.test", 1),
    ]


def test_nobody() -> None:
    assert plan([]) == []


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=4, unique=True), max_size=8))
def test_every_box_gets_exactly_one_copy(expansions: list[list[str]]) -> None:
    accepted, n = [], 1
    for boxes in expansions:
        accepted.append(Accepted(n, "x", tuple(boxes)))
        n += max(1, len(boxes))
    finals = plan(accepted)
    copies = [final.box for final in finals if not final.first]
    assert sorted(copies) == sorted({box for boxes in expansions for box in boxes})
    assert len({final.n for final in finals}) == len(finals) == sum(map(len, expansions))
    by_number = {final.n: final for final in finals}
    for final in finals:
        if final.first:
            first = by_number[final.first]
            assert first.box == final.box
            assert not first.first
            assert first.n < final.n
