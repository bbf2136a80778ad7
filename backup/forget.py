"""Forgetting snapshots that no rule keeps, and taking boxes out of those that others need.

Forgetting removes a commit file and its copy, and nothing else: what only it referred to is
reclaimed by ``backup.prune``. A snapshot that loses some of its boxes is written anew, with the
same time, before the former one is removed. Order: the event, the narrower commit (durable,
twice), the former commit, its copy. A run that stops in between leaves a snapshot whole under
one name or two, and the next one finishes it.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from backup import keys, retention
from backup.format import Commit
from backup.repository import Repository
from backup.retention import Verdict
from mtad.config import Backup
from mtad.config_keep import Policy, parse, parse_for
from mtad.errors import NothingFound, UsageError


def policies(settings: Backup, given: str = "") -> Callable[[str], Policy]:
    """The policy of a box by its address: its own, its domain's, or that of all.

    ``given`` stands for all of them. Raises UsageError.
    """
    try:
        default = parse(given or settings.keep)
    except ValueError as error:
        raise UsageError(str(error)) from None
    own = {} if given else dict(map(parse_for, settings.keep_for))

    def policy_of(address: str) -> Policy:
        return own.get(address) or own.get(address.rpartition("@")[2]) or default

    return policy_of


def chosen(
    repository: Repository, names: Sequence[str], held: Callable[[str], bool]
) -> list[Verdict]:
    """The snapshots that were named, to be forgotten.

    Raises NothingFound, and UsageError for one that is held or the newest of a box.
    """
    commits = repository.snapshots()
    newest: dict[str, str] = {}
    for name, commit in commits.items():
        newest.update(dict.fromkeys(retention.members(commit), name))
    found = []
    for given in dict.fromkeys(names):
        name, commit = repository.resolve(given)
        if held(name):
            raise UsageError(f"snapshot {name} is held: 'mtad snapshot release' lets it go")
        last = [address or "the server" for address, of in newest.items() if of == name]
        if last:
            whose = ", ".join(last[:3]) + (f" and {len(last) - 3} more" if len(last) > 3 else "")
            raise UsageError(f"snapshot {name} is the newest of {whose}, which is never forgotten")
        found.append(Verdict(name, commit, leaving=retention.members(commit)))
    if not found:
        raise NothingFound("no snapshot was named")
    return found


def apply(
    repository: Repository, verdicts: Iterable[Verdict], tell: Callable[[Verdict, str], None]
) -> None:
    """Forget what is to be forgotten. Needs a lock of the repository. Raises OSError.

    ``tell`` gets each verdict that changes something, and the name a narrowed one now has,
    before anything is removed.
    """
    for verdict in verdicts:
        if verdict.is_narrowed:
            tell(verdict, repository.commit(narrowed(verdict)))
        elif verdict.is_forgotten:
            tell(verdict, "")
        else:
            continue
        for copy in ("", keys.COPY):
            repository.folder.remove(f"snapshots/{verdict.name}{copy}")


def narrowed(verdict: Verdict) -> Commit:
    """The snapshot without the boxes that leave it."""
    leaving = set(verdict.leaving)
    boxes = tuple(line for line in verdict.commit.boxes if line.address not in leaving)
    was = (*verdict.commit.was, verdict.name)
    return msgspec.structs.replace(verdict.commit, boxes=boxes, was=was)
