"""``mtad snapshot forget`` as a person at a terminal uses it."""

from backup.locks import Lock
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
    assert "everything is kept" in run("snapshot", "forget").output
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


def test_pruning_says_what_it_gave_back(loaded: Loaded, yard: Yard, run: Run) -> None:
    run("snapshot", "create")
    path = yard.deliver(ANNA, mails.with_attachment(5))
    run("snapshot", "create")
    path.unlink()
    run("snapshot", "create")
    run("snapshot", "forget", "--keep", "last 1")
    plan = run("snapshot", "prune", "--dry-run").output
    assert "would be dropped" in plan
    assert "backup.pruned" not in kinds(loaded)
    done = document(run("snapshot", "prune", "--json"))
    assert done["removed"] == len(done["dropped"]) + len(done["rewritten"]) > 0
    assert kinds(loaded).count("backup.pruned") == 1
    assert "0 (0 B) dropped, 0 (0 B) written anew" in run("snapshot", "prune").output
    assert kinds(loaded).count("backup.pruned") == 1
    assert "pack" in run("snapshot", "compact", "--all", "--dry-run").output
    assert document(run("snapshot", "verify", "--read-data", "--json"))["clean"]
    with Lock(yard.folder):
        run("snapshot", "create")
        run("snapshot", "compact")
    assert "marked" not in run("snapshot", "prune").output
