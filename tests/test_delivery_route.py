"""Routing: who gets a copy, and what becomes of addresses that lead to the same place."""

from hypothesis import given
from hypothesis import strategies as st

from mtad.delivery.route import Accepted, Final, plan


def test_a_box_is_its_own_final_recipient() -> None:
    accepted = Accepted(1, "A@x.test", ("a@x.test",))
    assert plan([accepted]) == [Final(1, "a@x.test", accepted)]


def test_an_alias_takes_a_number_per_box() -> None:
    finals = plan(
        [
            Accepted(1, "all@x.test", ("a@x.test", "b@x.test"), alias=True),
            Accepted(3, "c@x.test", ("c@x.test",)),
        ]
    )
    assert [(f.n, f.addr, f.accepted.alias, f.first) for f in finals] == [
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
    assert [(f.n, f.addr, f.first) for f in finals] == [
        (1, "b@x.test", 0),
        (2, "a@x.test", 0),
        (3, "b@x.test", 1),
        (5, "b@x.test", 1),
    ]


def test_nobody() -> None:
    assert plan([]) == []


def test_addresses_elsewhere_come_after_the_boxes() -> None:
    finals = plan(
        [
            Accepted(1, "team@x.test", ("a@x.test",), alias=True, remotes=("b@y.test", "c@y.test")),
            Accepted(4, "c@y.test", remotes=("c@y.test",)),
            Accepted(5, "d@y.test", remotes=("d@y.test",)),
        ]
    )
    assert [(f.n, f.addr, f.is_remote, f.first) for f in finals] == [
        (1, "a@x.test", False, 0),
        (2, "b@y.test", True, 0),
        (3, "c@y.test", True, 0),
        (4, "c@y.test", True, 3),
        (5, "d@y.test", True, 0),
    ]


places = st.lists(st.sampled_from("abcd"), max_size=4, unique=True)


@given(st.lists(st.tuples(places, places), max_size=8))
def test_every_place_gets_exactly_one_copy(targets: list[tuple[list[str], list[str]]]) -> None:
    accepted, n = [], 1
    for boxes, remotes in targets:
        away = tuple(name.upper() for name in remotes)
        accepted.append(Accepted(n, "x", tuple(boxes), remotes=away))
        n += max(1, accepted[-1].numbers)
    finals = plan(accepted)
    copies = [final.addr for final in finals if not final.first]
    wanted = {addr for one in accepted for addr in (*one.boxes, *one.remotes)}
    assert sorted(copies) == sorted(wanted)
    assert len({final.n for final in finals}) == len(finals) == sum(a.numbers for a in accepted)
    by_number = {final.n: final for final in finals}
    for final in finals:
        assert final.is_remote is final.addr.isupper()
        if final.first:
            first = by_number[final.first]
            assert first.addr == final.addr
            assert not first.first
            assert first.n < final.n
