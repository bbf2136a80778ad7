"""Which snapshots stay, and that forgetting removes nothing that anybody needs."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup import forget, retention
from backup.format import BoxLine, Commit
from backup.places import Folder
from backup.retention import NEWEST, judge, keep
from mtad.config import Backup
from mtad.config_keep import Policy, parse, parse_for
from mtad.errors import NothingFound, UsageError
from tests import mails
from tests.backup_yard import ANNA, BORIS, Yard
from tests.test_backup_faults import Dead, Failing

HOUR = timedelta(hours=1)
BERLIN = ZoneInfo("Europe/Berlin")


def us(when: datetime) -> int:
    return int(when.timestamp() * 1_000_000)


def series(first: datetime, count: int, step: timedelta) -> list[tuple[str, int]]:
    """Snapshots named by their UTC time."""
    times = [first.astimezone(UTC) + number * step for number in range(count)]
    return [(f"{at:%Y-%m-%d %H:%M}", us(at)) for at in times]


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("all", Policy(everything=True)),
        ("last 3", Policy(last=3)),
        (" Daily 14,weekly 8 , ", Policy(periods=(("daily", 14), ("weekly", 8)))),
        ("yearly 1, hourly 2", Policy(periods=(("hourly", 2), ("yearly", 1)))),
        ("within 30 days", Policy(within=30 * 86_400, within_text="30 days")),
        ("within 1w", Policy(within=604_800, within_text="1 week")),
    ],
)
def test_a_policy_is_read(text: str, policy: Policy) -> None:
    assert parse(text) == policy


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", "daily", "daily 0", "daily -1", "daily 1, daily 2", "within"),
        *("within 3 cats", "fortnightly 2", "last 1000000", "all, daily 1", "within 1d, within 2d"),
    ],
)
def test_a_policy_that_is_none_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match='write it like "last 7, daily 14'):
        parse(text)


def test_a_policy_for_some() -> None:
    assert parse_for("Alpha.Example: daily 7") == ("alpha.example", parse("daily 7"))
    assert parse_for(f"{ANNA}:all") == (ANNA, parse("all"))
    for line in ("alpha.example", ": daily 7", "a b: daily 7", "x: nothing"):
        with pytest.raises(ValueError, match=r"DOMAIN: RULES|is no rule"):
            parse_for(line)


def test_rules_keep_the_last_of_each_period() -> None:
    hourly = series(datetime(2026, 11, 20, tzinfo=UTC), 5 * 24, HOUR)  # until the 24th, 23:00
    found = keep(parse("last 2, hourly 3, daily 3, weekly 2, monthly 2"), hourly, UTC)
    assert found == {
        "2026-11-24 23:00": "last 1 of 2",
        "2026-11-24 22:00": "last 2 of 2",
        "2026-11-24 21:00": "hourly 2026-11-24 21:00",
        "2026-11-23 23:00": "daily 2026-11-23",
        "2026-11-22 23:00": "daily 2026-11-22",
    }


def test_weeks_months_and_years_are_the_calendars() -> None:
    daily = series(datetime(2024, 1, 1, 3, tzinfo=UTC), 800, timedelta(days=1))  # to 2026-03-10
    found = keep(parse("weekly 2, monthly 3, yearly 2"), daily, UTC)
    assert found == {
        "2026-03-10 03:00": "weekly 2026-W11",
        "2026-03-08 03:00": "weekly 2026-W10",
        "2026-02-28 03:00": "monthly 2026-02",
        "2026-01-31 03:00": "monthly 2026-01",
        "2025-12-31 03:00": "yearly 2025",
    }


@pytest.mark.parametrize(
    "night", [datetime(2026, 3, 29, tzinfo=BERLIN), datetime(2026, 10, 25, tzinfo=BERLIN)]
)
def test_a_day_of_23_or_25_hours_is_a_day(night: datetime) -> None:
    first = night.astimezone(UTC) - 24 * HOUR
    found = keep(parse("daily 3"), series(first, 24 * 3, HOUR), BERLIN)
    assert len(found) == 3
    days = [reason.removeprefix("daily ") for reason in found.values()]
    assert len(set(days)) == 3
    assert f"{night:%Y-%m-%d}" in days


def test_within_counts_from_the_newest() -> None:
    daily = series(datetime(2020, 1, 1, tzinfo=UTC), 10, timedelta(days=1))
    assert len(keep(parse("within 2 days"), daily, UTC)) == 3


@given(
    st.lists(st.integers(0, 10**15), max_size=40, unique=True),
    st.sampled_from(["last 2", "daily 3", "weekly 1, yearly 2", "within 90 days", "all"]),
)
def test_the_newest_stays_and_forgetting_twice_changes_nothing(times: list[int], text: str) -> None:
    every = [(str(at), at) for at in times]
    found = keep(parse(text), every, UTC)
    assert found.keys() <= {name for name, _ in every}
    if every:
        assert max(every, key=lambda one: one[1])[0] in found
    left = [one for one in every if one[0] in found]
    assert keep(parse(text), left, UTC).keys() == found.keys()


def commit(at: int, *boxes: str) -> Commit:
    return Commit(at, "all boxes", tuple(BoxLine(box, b"r" * 32, 1, 10) for box in boxes))


def test_each_box_has_its_own_rules() -> None:
    every = {"a": commit(1, ANNA, BORIS), "b": commit(2, ANNA, BORIS), "c": commit(3, BORIS)}
    settings = Backup(keep="last 1", keep_for=("alpha.example: last 2",))
    found = {one.name: one for one in judge(every, forget.policies(settings), lambda _: False, UTC)}
    assert found["a"].leaving == [BORIS]
    assert found["a"].kept == {"last 2 of 2": [ANNA]}
    assert found["a"].is_narrowed
    assert found["b"].leaving == [BORIS]
    assert found["c"].kept == {"last 1 of 1": [BORIS]}
    assert [line.address for line in forget.narrowed(found["a"]).boxes] == [ANNA]


def test_a_held_snapshot_stays_as_it_is() -> None:
    every = {"a": commit(1, ANNA), "b": commit(2, ANNA)}
    policy = forget.policies(Backup(keep="last 1"))
    (held, newest) = judge(every, policy, lambda name: name == "a", UTC)
    assert not held.is_forgotten
    assert not held.is_narrowed
    assert newest.kept == {"last 1 of 1": [ANNA]}


def test_the_newest_of_a_box_that_is_gone_stays() -> None:
    every = {"a": commit(1, ANNA, BORIS), "b": commit(2, ANNA), "c": commit(3, ANNA)}
    found = judge(every, forget.policies(Backup(keep="weekly 1")), lambda _: False, UTC)
    assert found[0].kept == {"weekly 1970-W01": [BORIS]}
    assert found[1].is_forgotten
    odd = judge({"a": commit(1, ANNA)}, lambda _: Policy(), lambda _: False, UTC)
    assert odd[0].kept == {NEWEST: [ANNA]}


# ------------------------------------------------------------- a repository


def snapshots(yard: Yard) -> dict[str, Commit]:
    with yard.open() as store:
        return store.snapshots()


def forgotten(yard: Yard, rules: str, *own: str) -> list[retention.Verdict]:
    with yard.open() as store:
        policy = forget.policies(Backup(keep=rules, keep_for=own))
        verdicts = judge(store.snapshots(), policy, lambda _: False, UTC)
        forget.apply(store, verdicts, lambda verdict, became: None)
        return verdicts


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three snapshots of two boxes."""
    yard = Yard(tmp_path_factory.mktemp("base"))
    for number in range(3):
        yard.deliver(ANNA, mails.plain(f"to anna {number}"))
        yard.deliver(BORIS, mails.plain(f"to boris {number}"))
        yard.take()
    return yard.root


@pytest.fixture
def yard(base: Path, tmp_path: Path) -> Yard:
    return copied(base, tmp_path / "yard")


def copied(base: Path, root: Path, folder: Folder | None = None) -> Yard:
    shutil.copytree(base, root)
    yard = Yard(root, folder)
    yard.box(ANNA)
    yard.box(BORIS)
    return yard


def test_forgotten_snapshots_are_gone_and_the_others_whole(yard: Yard) -> None:
    (first, second, third) = snapshots(yard)
    assert [one.is_forgotten for one in forgotten(yard, "last 1")] == [True, True, False]
    assert list(snapshots(yard)) == [third]
    assert yard.verify().is_clean
    assert len(yard.entries(ANNA)) == 3
    with yard.open() as store, pytest.raises(NothingFound, match="is no snapshot"):
        store.resolve(first)
    assert not list((yard.root / "repository" / "snapshots").glob(f"{second}*"))


def test_a_snapshot_goes_on_without_a_box_and_its_former_name_finds_it(yard: Yard) -> None:
    names = list(snapshots(yard))
    forgotten(yard, "last 1", "alpha.example: last 3")
    found = snapshots(yard)
    assert [len(one.boxes) for one in found.values()] == [1, 1, 2]
    assert len(yard.entries(ANNA, next(iter(found)))) == 1
    with yard.open() as store:
        assert store.resolve(names[2])[0] == names[2]
        assert [store.resolve(name)[0] for name in names] == list(found)
    assert yard.verify().is_clean
    assert not any(one.is_forgotten or one.is_narrowed for one in forgotten(yard, "last 3"))


def test_a_named_snapshot_is_forgotten_unless_it_is_the_newest(yard: Yard) -> None:
    (first, _, third) = snapshots(yard)
    with yard.open() as store:
        with pytest.raises(UsageError, match=r"is the newest of anna@alpha\.example, boris@"):
            forget.chosen(store, [third], lambda _: False)
        with pytest.raises(UsageError, match="is held"):
            forget.chosen(store, [first], lambda _: True)
        verdicts = forget.chosen(store, [first, first], lambda _: False)
        forget.apply(store, verdicts, lambda verdict, became: None)
    assert first not in snapshots(yard)


@pytest.mark.parametrize("dies", [False, True], ids=["error", "stop"])
def test_a_fault_at_every_change_leaves_every_kept_box_readable(
    base: Path, tmp_path: Path, dies: bool
) -> None:
    for at in range(1, 60):
        root = tmp_path / str(at)
        folder = Failing(root / "repository", at, dies=dies)
        yard = copied(base, root, folder)
        try:
            forgotten(yard, "last 1", "alpha.example: last 3")
        except (Dead, OSError):
            failed = True
        else:
            failed = False
        yard.folder = Folder(root / "repository")
        assert yard.verify().is_whole
        assert sum(any(line.address == ANNA for line in c.boxes) for c in snapshots(yard).values())
        forgotten(yard, "last 1", "alpha.example: last 3")
        assert [len(one.boxes) for one in snapshots(yard).values()] == [1, 1, 2], f"point {at}"
        assert {len(yard.entries(ANNA, name)) for name in snapshots(yard)} == {1, 2, 3}
        assert yard.verify().is_clean
        shutil.rmtree(root)
        if not failed:
            assert at > 10
            return
    raise AssertionError("there was no end of changes")
