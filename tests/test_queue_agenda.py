"""Whose turn it is: nobody is forgotten, nobody has two turns, and everyone has his in time."""

from collections import Counter
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mtad.queue.agenda import Agenda
from mtad.queue.entries import Entries, Entry, Place
from tracing import sending

DOMAINS = ("one.test", "two.test", "three.test")


class Turns(RuleBasedStateMachine):
    """Entries come, wait, are held, redirected and tried, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.agenda = Agenda(lambda address: address.rpartition("@")[2])
        self.entries = Entries(self.agenda.put)
        self.now = 0
        self.made = 0
        self.busy: list[tuple[str, list[Entry]]] = []
        self.rooms: Counter[str] = Counter(dict.fromkeys(DOMAINS, 2))

    def all(self, *places: Place) -> list[Entry]:
        return [entry for entry in self.entries if not places or entry.place in places]

    @rule(
        domains=st.lists(st.sampled_from(DOMAINS), min_size=1, max_size=4),
        wait=st.integers(0, 5),
        priority=st.integers(0, 1),
    )
    def add(self, domains: list[str], wait: int, priority: int) -> None:
        self.made += 1
        self.entries.open_letter(self.made, "s@x.test", 1, self.now)
        for n, domain in enumerate(domains, 1):
            add = sending.QueueAdd(
                at=self.now,
                trace=self.made,
                n=n,
                addr=f"b{n}@{domain}",
                priority=priority,
                next_try=self.now + wait + 1,
            )
            self.entries.apply(add)

    @rule(seconds=st.integers(0, 6))
    def time_goes_by(self, seconds: int) -> None:
        self.now += seconds
        self.agenda.advance(self.now)
        due = self.agenda.next_due()
        assert not due or due > self.now
        for entry in self.all(Place.WAITING):
            assert entry.next_try > self.now
            assert 0 < due <= entry.next_try

    def _one(self, data: st.DataObject, *places: Place) -> Entry | None:
        found = self.all(*places)
        return data.draw(st.sampled_from(found)) if found else None

    @rule(data=st.data(), to=st.sampled_from(DOMAINS), wait=st.integers(0, 3))
    def someone_does_something(self, data: st.DataObject, to: str, wait: int) -> None:
        entry = self._one(data, Place.WAITING, Place.READY, Place.HELD)
        if entry is None:
            return
        what: dict[str, Any] = {"at": self.now, "trace": entry.letter.m, "n": entry.n}
        due = self.now + wait
        self.entries.apply(
            data.draw(
                st.sampled_from(
                    [
                        sending.QueueHold(**what, why="x"),
                        sending.QueueRelease(**what, next_try=due),
                        sending.QueueRetry(**what, next_try=due),
                        sending.QueueDrop(**what),
                        sending.QueueRedirect(**what, addr=f"r@{to}", was=entry.addr, next_try=due),
                    ]
                )
            )
        )

    @rule(most=st.integers(1, 3))
    def take(self, most: int) -> None:
        running = Counter(destination for destination, _ in self.busy)
        taken = self.agenda.take(lambda name: self.rooms[name] - running[name], most)
        ready = self.all(Place.READY)
        if taken is None:
            self.agenda.look_again()
            for entry in ready:
                domain = entry.addr.rpartition("@")[2]
                assert running[domain] >= self.rooms[domain], "there is room for it"
            return
        destination, batch = taken
        assert running[destination] < self.rooms[destination]
        assert 0 < len(batch) <= most
        assert len({id(entry) for entry in batch}) == len(batch)
        assert {entry.letter.m for entry in batch} == {batch[0].letter.m}
        for entry in batch:
            assert entry.place is Place.BUSY
            assert entry.addr.endswith("@" + destination)
            assert entry.next_try <= self.now
        others = [
            entry.letter.priority
            for entry in ready
            if running[domain := entry.addr.rpartition("@")[2]] < self.rooms[domain]
        ]
        assert batch[0].letter.priority >= max(others, default=0)
        self.busy.append(taken)

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), later=st.booleans())
    def an_attempt_ends(self, data: st.DataObject, later: bool) -> None:
        destination, batch = self.busy.pop(data.draw(st.integers(0, len(self.busy) - 1)))
        self.agenda.freed(destination)
        for entry in batch:
            what: dict[str, Any] = {"at": self.now, "trace": entry.letter.m, "n": entry.n}
            self.entries.apply(
                sending.OutDeferred(**what, attempt=1, stage="rcpt", next_try=self.now + 2)
                if later
                else sending.OutDelivered(**what, attempt=1)
            )

    @invariant()
    def busy_are_the_busy(self) -> None:
        taken = [id(entry) for _, batch in self.busy for entry in batch]
        assert len(set(taken)) == len(taken)
        assert set(taken) == {id(entry) for entry in self.all(Place.BUSY)}
        assert self.entries.count == len(self.all())

    def teardown(self) -> None:
        """With time and room, everyone has his turn."""
        self.busy.clear()
        self.agenda.advance(self.now + 100)
        self.agenda.look_again()
        while self.agenda.take(lambda name: 1, 2):
            pass
        assert self.all(Place.WAITING, Place.READY) == []


TestTurns = Turns.TestCase
