"""Six days of a queue in seconds: everything ends as the schedule demands, and it balances."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mtad import books, config, control
from mtad.control import Answer
from mtad.delivery.route import Accepted
from mtad.outbound.attempt import Outcome, Recipient
from mtad.queue.schedule import HOUR, Schedule
from tests.queue_yard import ALICE, Yard, later, never, taken, yard
from tracing.states import State

MESSAGES = 300
DOMAINS = [f"there{number}.test" for number in range(40)]
DOWN = {"there7.test": (0, 1000), "there19.test": (3, 40)}
"""A twentieth of the domains does not answer; from and to which hour."""
REFUSES = "there23.test"
SENDERS = (ALICE, "bob@local.test", "s@there1.test", "s@there7.test", "")
ENDS = ("out.delivered", "out.failed", "queue.expire")
NOTIFY = ("", "", "", "NEVER", "DELAY", "FAILURE", "SUCCESS,FAILURE,DELAY")


@dataclass
class Sent:
    """A message, and what is to become of each recipient."""

    m: int
    at: int
    sender: str
    notify: str
    domains: list[str]
    wanted: list[tuple[State, int, int]] = field(default_factory=list)
    """State, tries, and when that was, by recipient."""
    delayed: list[bool] = field(default_factory=list)


def is_down(domain: str, hours: float) -> bool:
    first, last = DOWN.get(domain, (0, 0))
    return first <= hours < last


def foretell(sent: Sent, domain: str, schedule: Schedule, began: int) -> None:
    """What the schedule demands, without a queue."""
    wants = set(sent.notify.split(",")) - {""}
    warns = bool(sent.sender) and (not wants or "DELAY" in wants)
    now, tries, warned = sent.at, 0, False
    while True:
        tries += 1
        if domain == REFUSES:
            sent.wanted.append((State.BOUNCED, tries, now))
            break
        if not is_down(domain, (now - began) / HOUR):
            sent.wanted.append((State.RELAYED, tries, now))
            break
        due = schedule.next_try(sent.m, sent.at, tries, now, warns=warns and not warned)
        if not due:
            sent.wanted.append((State.EXPIRED, tries, now))
            break
        warned = warned or (warns and now >= schedule.warns_at(sent.at))
        now = due
    sent.delayed.append(warned)


async def drive(site: Yard, dice: random.Random) -> list[Sent]:
    """A day of mail, and five more for it to leave."""
    began = site.now()

    def answer(recipient: Recipient) -> Outcome:
        domain = recipient.address.rpartition("@")[2]
        if domain == REFUSES:
            return never(recipient)
        if is_down(domain, (site.now() - began) / HOUR):
            return later(recipient, stage="connect", code=0, reply="", why="no answer")
        return taken(recipient)

    site.courier.answers = dict.fromkeys(DOMAINS, answer)
    found = []
    for at in sorted(dice.randrange(24 * HOUR) for _ in range(MESSAGES)):
        await site.pass_until(began + at)
        sender, notify = dice.choice(SENDERS), dice.choice(NOTIFY)
        domains = dice.sample(DOMAINS, dice.choice((1, 1, 1, 2, 5)))
        accepted = [
            Accepted(n, f"b{n}@{domain}", remotes=(f"b{n}@{domain}",), notify=notify)
            for n, domain in enumerate(domains, 1)
        ]
        m = await site.send(accepted=accepted, sender=sender)
        sent = Sent(m, site.now(), sender, notify, domains)
        for domain in domains:
            foretell(sent, domain, site.schedule, began)
        found.append(sent)
    await site.pass_until(began + 6 * 24 * HOUR + 1)
    return found


async def test_six_days(tmp_path: Path) -> None:
    (tmp_path / "mtad.toml").write_text('hostname = "mx.local.test"\n')
    loaded = config.load(tmp_path / "mtad.toml")
    async with yard(loaded.places.data) as site:
        every = await drive(site, random.Random(4))
        ends = {(one.trace, one.n): one.at for one in site.events() if one.kind in ENDS}
        for sent in every:
            found = [(row.state, row.tries, ends[sent.m, row.n]) for row in site.rows(sent.m)]
            assert found == sent.wanted, (sent, found)
        assert {state for sent in every for state, _, _ in sent.wanted} == {
            State.RELAYED,
            State.BOUNCED,
            State.EXPIRED,
        }
        check_reports(site, every)
        left = [one for one in site.runner.entries if one.letter.rel != "dsn"]
        assert left == []
        await site.pass_until(site.now() + 6 * 24 * HOUR)  # reports to s@there7.test give up too
        assert site.runner.entries.count == 0
        assert await violations(site, loaded) == []
        assert not any(path.stat().st_nlink == 1 for path in site.places.content.rglob("*/*"))


def check_reports(site: Yard, every: list[Sent]) -> None:
    """Each sender was told what he was to be told, and nothing else."""
    wanted: Counter[tuple[int, int, str]] = Counter()
    for sent in every:
        wants = set(sent.notify.split(",")) - {""}
        for n, (state, _, _) in enumerate(sent.wanted, 1):
            if sent.delayed[n - 1]:
                wanted[sent.m, n, "delayed"] += 1
            if not sent.sender:
                continue
            if state is not State.RELAYED and (not wants or "FAILURE" in wants):
                wanted[sent.m, n, "failed"] += 1
            if state is State.RELAYED and "SUCCESS" in wants:
                wanted[sent.m, n, "relayed"] += 1
    ours = {sent.m for sent in every}
    told = Counter(
        (event.trace, event.n, event.what)
        for event in site.events("dsn.made")
        if event.trace in ours
    )
    assert told == wanted
    assert {what for _, _, what in told} == {"delayed", "failed", "relayed"}


async def violations(site: Yard, loaded: config.Loaded) -> list[str]:
    """What the audit says."""

    async def position(_: Answer) -> Answer:
        site.turn()
        return {"applied": dict(site.worker.standing.applied)}

    server = await control.serve(site.places.socket("log"), {"position": position})
    try:
        return [str(one) for one in await asyncio.to_thread(books.violations, loaded)]
    finally:
        server.close()
