"""Which snapshots of a box its policy keeps, and why (PURE).

A box's series is every snapshot that has it. Each rule looks at the series by itself and keeps
the last snapshot of each of its newest periods, by the calendar of ``zone``, in which a day
that is 23 or 25 hours long is a day. The newest snapshot of a box stays whatever a policy says.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from backup.format import Commit
from mtad.clock import from_us
from mtad.config_keep import Policy

NEWEST = "the newest of the box"
_KEYS: Mapping[str, Callable[[datetime], str]] = {
    "hourly": lambda at: f"{at:%Y-%m-%d %H:00}",
    "daily": lambda at: f"{at:%Y-%m-%d}",
    "weekly": lambda at: f"{at:%G-W%V}",
    "monthly": lambda at: f"{at:%Y-%m}",
    "yearly": lambda at: f"{at:%Y}",
}


@dataclass(slots=True)
class Verdict:
    """What becomes of a snapshot: for whom it stays, by which rule, and who leaves it."""

    name: str
    commit: Commit
    held: bool = False
    kept: dict[str, list[str]] = field(default_factory=dict)
    """Boxes by the rule that keeps them; the empty address is the server's own part."""
    leaving: list[str] = field(default_factory=list)
    """Boxes that no rule keeps."""

    @property
    def is_forgotten(self) -> bool:
        """Whether nobody needs it any more."""
        return not self.held and not self.kept

    @property
    def is_narrowed(self) -> bool:
        """Whether it stays, without some of its boxes."""
        return not self.held and bool(self.kept) and bool(self.leaving)


def keep(
    policy: Policy, series: Sequence[tuple[str, int]], zone: tzinfo | None = None
) -> dict[str, str]:
    """Those of a series (name, microseconds) that stay, each with its first reason.

    ``zone`` None is local time.
    """
    newest_first = sorted(series, key=lambda one: (one[1], one[0]), reverse=True)
    found: dict[str, str] = {}
    for number, (name, at) in enumerate(newest_first):
        if policy.everything:
            found[name] = "everything is kept"
        elif number < policy.last:
            found[name] = f"last {number + 1} of {policy.last}"
        elif policy.within and at >= newest_first[0][1] - policy.within * 1_000_000:
            found[name] = f"within {policy.within_text}"
    for rule, count in policy.periods:
        seen: set[str] = set()
        for name, at in newest_first:
            period = _KEYS[rule](from_us(at).astimezone(zone))
            if period not in seen:
                if len(seen) == count:
                    break
                seen.add(period)
                found.setdefault(name, f"{rule} {period}")
    if newest_first:
        found.setdefault(newest_first[0][0], NEWEST)
    return found


def judge(
    commits: Mapping[str, Commit],
    policy_of: Callable[[str], Policy],
    held: Callable[[str], bool],
    zone: tzinfo | None = None,
) -> list[Verdict]:
    """What becomes of each snapshot, oldest first. ``policy_of`` an address, "" the server."""
    verdicts = {name: Verdict(name, commit, held(name)) for name, commit in _whole(commits).items()}
    series: dict[str, list[str]] = {}
    for name, verdict in verdicts.items():
        for address in members(verdict.commit):
            series.setdefault(address, []).append(name)
    alike: dict[tuple[Policy, tuple[str, ...]], list[str]] = {}
    for address, names in series.items():
        alike.setdefault((policy_of(address), tuple(names)), []).append(address)
    for (policy, of), addresses in alike.items():
        stay = keep(policy, [(name, verdicts[name].commit.at) for name in of], zone)
        for name in of:
            if name in stay:
                verdicts[name].kept.setdefault(stay[name], []).extend(addresses)
            else:
                verdicts[name].leaving += addresses
    superseded = [Verdict(name, commits[name]) for name in commits if name not in verdicts]
    return sorted([*verdicts.values(), *superseded], key=lambda one: (one.commit.at, one.name))


def members(commit: Commit) -> list[str]:
    """The boxes of a snapshot; one of no box belongs to the server."""
    return [line.address for line in commit.boxes] or [""]


def _whole(commits: Mapping[str, Commit]) -> dict[str, Commit]:
    """All but those that a narrower one with the same time was to replace when a run stopped."""
    narrowest: dict[int, tuple[int, str]] = {}
    for name, commit in commits.items():
        mine = (len(commit.boxes), name)
        narrowest[commit.at] = min(narrowest.get(commit.at, mine), mine)
    wanted = {name for _, name in narrowest.values()}
    return {name: commit for name, commit in commits.items() if name in wanted}
