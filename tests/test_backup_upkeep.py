"""``mtad snapshot forget`` as a person at a terminal uses it."""

from mtad.config import Loaded
from mtad.errors import Exit
from tests import mails
from tests.backup_yard import ANNA, Yard
from tests.test_backup_cli import Run, document, kinds, loaded, run, yard

__all__ = ["loaded", "run", "yard"]


def test_forgetting_says_which_rule_keeps_each(loaded: Loaded, yard: Yard, run: Run) -> None:
    for number in range(3):
        yard.deliver(ANNA, mails.plain(f"more {number}"))
        run("snapshot", "create")
    assert "last 1 of 7" in run("snapshot", "forget").output
    assert len(document(run("snapshot", "list", "--json"))["snapshots"]) == 3
    plan = run("snapshot", "forget", "--keep", "last 2", "--dry-run")
    assert "1 snapshot would be forgotten, 2 snapshots kept" in plan.output
    assert "backup.forgot" not in kinds(loaded)
    found = document(run("snapshot", "forget", "--keep", "last 2", "--json"))["snapshots"]
    assert [one["forgotten"] for one in found] == [True, False, False]
    assert [rule["rule"] for one in found for rule in one["kept_by"]] == [
        "last 2 of 2",
        "last 1 of 2",
    ]
    assert kinds(loaded).count("backup.forgot") == 1
    left = document(run("snapshot", "list", "--json"))["snapshots"]
    assert [one["snapshot"] for one in left] == [one["snapshot"] for one in found[1:]]
    run("snapshot", "forget", left[0]["snapshot"])
    run("snapshot", "forget", left[1]["snapshot"], code=Exit.USAGE)
    run("snapshot", "forget", "--keep", "often", code=Exit.USAGE)
    run("snapshot", "forget", "nothing", code=Exit.NOTHING_FOUND)
