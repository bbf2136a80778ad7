"""Random work on a whole server, and what must be true of it at each moment."""

import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import pytest

from mtad.journal import disk, frame, writer
from mtad.materialise import recycle
from mtad.store import index, maildir, names
from mtad.store import owner as owner_module
from mtad.store.owner import Owner
from mtad.store.reading import open_message
from mtad.store.values import Message, Prepared
from tests.faults.power import Tape
from tests.faults.site import Site
from tests.materialise_bench import ARRIVED_NS
from tracing import events, ids

BOXES = ("a@one.test", "b@one.test", "c@two.test")
MAILBOXES = ("Sub", "Sub/Deep", "Entwürfe", "Filed")
COPIES = "Kopien"
"""Where copies go, and nothing else: it is neither renamed nor deleted, nor what is in it."""
COPY = 1_000_000
"""Above any token: a copy's key is that of its source and this."""
FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "\\Draft")
WORDS = ("Junk", "Later", "Work", "$Label1")
WHO = "user:test"
TOKEN = re.compile(rb"Token: (\d+)\n")

Key = tuple[str, int]
"""A box, and the token in a message's body, the id of a mailbox, or -1 and down for a name."""
Number = tuple[str, str, int, int]
"""Box, mailbox, UIDVALIDITY and UID: what may mean one message only, for ever."""


@dataclass(frozen=True)
class Held:
    """A message as its box's owner last acknowledged it."""

    mailbox: str = names.INBOX
    flags: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()


State = dict[Key, Held | str]
"""What boxes hold: messages, and the names of mailboxes but INBOX; what they subscribe to."""
Changes = dict[Key, Held | str | None]


@dataclass(frozen=True)
class Step:
    """One act: between which places on the tape it was done, and what it makes of the boxes.

    An act of several frames has several parts, of which the first may be done alone.
    """

    began: int
    done: int
    parts: tuple[Changes, ...]


@dataclass(frozen=True)
class Counters:
    """A mailbox's numbers as somebody saw them."""

    place: int
    name: str
    uidvalidity: int
    uidnext: int
    highestmodseq: int


class Seen:
    """The numbers of mailboxes and messages as clients saw them, with places on a tape."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._numbers: dict[Number, tuple[int, int]] = {}
        """UID -> token, and where it was first seen."""
        self._counters: dict[Key, list[Counters]] = {}

    def look(self, box: str, owner: Owner, work: "Work") -> None:
        """Look at a box: no UID may be another message's than it ever was."""
        place = len(self._tape)
        validity = {}
        for info in owner.mailboxes():
            validity[info.name] = info.uidvalidity
            counters = Counters(
                place, info.name, info.uidvalidity, info.uidnext, info.highestmodseq
            )
            self._counters.setdefault((box, info.id), []).append(counters)
        for message in owner.messages():
            token = work.token(owner, message)
            number = (box, message.mailbox, validity[message.mailbox], message.uid)
            first = self._numbers.setdefault(number, (token, place))
            assert first[0] == token, f"{number} was another message's"

    def token(self, number: Number) -> int:
        """Whose UID it is."""
        return self._numbers[number][0]

    def counters(self) -> dict[Key, Counters]:
        """Each mailbox's counters as last seen."""
        return {mailbox: seen[-1] for mailbox, seen in self._counters.items()}

    def until(self, count: int, tape: Tape) -> "Seen":
        """What was seen up to a place, to go on from there on another tape."""
        earlier = Seen(tape)
        for number, (token, place) in self._numbers.items():
            if place <= count:
                earlier._numbers[number] = (token, 0)
        for mailbox, counters in self._counters.items():
            before = [replace(one, place=0) for one in counters if one.place <= count]
            if before:
                earlier._counters[mailbox] = before[-1:]
        return earlier


class Work:
    """Random acts of all who may change a server, with all that reaches the disk on tape."""

    def __init__(self, root: Path, seed: int, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(recycle, "LOOK_SECONDS", 0)
        patch.setattr(writer, "FIRST_BYTES", 2**13)
        patch.setattr(index, "boot_id", lambda: "the life before")
        self.rng = random.Random(seed)
        root.mkdir()
        self.root = root
        self.tape = Tape(root, patch)
        self.steps: list[Step] = []
        self.now: State = {}
        self.bodies: dict[int, bytes] = {}
        self.dates: dict[int, int] = {}
        self.expunged: list[tuple[Key, str]] = []
        self.seen = Seen(self.tape)
        self.highest: list[tuple[int, int]] = []
        self.site = Site(root, keep_seconds=0)

    def run(self, steps: int) -> None:
        """Do random things, and end in order."""
        doings: tuple[tuple[Callable[[], None], float], ...] = (
            (self.accept, 10),
            (self.note, 3),
            (self.turn, 6),
            (self.look, 6),
            (self.flag, 8),
            (self.move, 5),
            (self.expunge, 3),
            (self.append, 2),
            (self.copy, 3),
            (self.subscribe, 1),
            (self.restore, 3),
            (self.create, 1.5),
            (self.rename, 1),
            (self.rename_inbox, 0.2),
            (self.delete, 0.7),
            (self.glance, 1),
            (self.close_box, 0.5),
            (self.command, 0.5),
            (self.restart_mta, 0.3),
            (self.restart_log, 0.3),
            (self.restart_access, 0.5),
        )
        for doing in self.rng.choices(*zip(*doings, strict=True), k=steps):
            doing()
        self.site.close()

    # -------------------------------------------------------------- who sends mail

    def accept(self) -> None:
        size = self.rng.choice((200, 2_000, 20_000, 100_000, frame.MAX_BODY + 5_000))
        token, body = self.body(size)
        boxes = self.rng.sample(BOXES, self.rng.randint(1, 3))
        began = len(self.tape)
        meta = self.site.plan(*boxes, body=body)
        assert meta.content is not None
        self.site.journal.commit_now(meta, body if meta.content.inline else b"")
        self._step(began, {(box, token): Held() for box in boxes})
        self.highest.append((len(self.tape), self.site.journal.mint.last))

    def note(self) -> None:
        journal = self.site.journal
        trace = journal.mint.new()
        journal.note(events.ConnOpen(at=ids.time_us(trace), trace=trace, listener="x"))
        if self.rng.random() < 0.5:  # what the timer does in a process with a loop
            journal._enqueue(None, b"")
            journal._write_pending()

    def restart_mta(self) -> None:
        if self.rng.random() < 0.5:
            self.site.journal.close_now()
        else:
            self.site.journal._release()
        self.site.start_mta()

    # ---------------------------------------------------------------- the log role

    def turn(self) -> None:
        assert self.site.worker.turn(), self.site.worker.standing.problem

    def restart_log(self) -> None:
        self.site.again()

    # ------------------------------------------------------------ who owns the boxes

    def look(self) -> None:
        box = self.rng.choice(BOXES)
        self.site.box(box).sync()
        self.seen.look(box, self.site.box(box), self)

    def flag(self) -> None:
        box = self.rng.choice(BOXES)
        self._flag(box, self.site.box(box))

    def move(self) -> None:
        box = self.rng.choice(BOXES)
        self._move(box, self.site.box(box))

    def expunge(self) -> None:
        box = self.rng.choice(BOXES)
        self._expunge(box, self.site.box(box))

    def append(self) -> None:
        """A client puts messages of its own."""
        box = self.rng.choice(BOXES)
        owner = self.site.box(box)
        mailbox = self.rng.choice(_open(owner) or [names.INBOX])
        items: list[Prepared] = []
        changes: Changes = {}
        for _ in range(self.rng.randint(1, 3)):
            date = 1_600_000_000_000_000_000 + self.rng.randrange(10**18)
            token, _ = self.body(self.rng.choice((300, 3_000)), date)
            item, held = self._prepare(owner, token, "", mailbox)
            items.append(item)
            changes[box, token] = held
        began = len(self.tape)
        uids = owner.put(mailbox, items, actor=WHO).uids
        assert len(set(uids)) == len(items)
        self._step(began, changes)
        self.seen.look(box, owner, self)

    def restore(self) -> None:
        """A message that was expunged is put back under its former name."""
        lost = [one for one in self.expunged if one[0] not in self.now]
        if not lost:
            return
        (box, token), base = self.rng.choice(lost)
        owner = self.site.box(box)
        owner.create(names.INBOX, actor=WHO)
        mailbox = self.rng.choice(_open(owner))
        item, held = self._prepare(owner, token, base, mailbox)
        began = len(self.tape)
        owner.put(mailbox, [item], actor=WHO, snapshot="s")
        self._step(began, {(box, token): held})
        self.seen.look(box, owner, self)

    def create(self) -> None:
        box, mailbox = self.rng.choice(BOXES), self.rng.choice(MAILBOXES)
        owner = self.site.box(box)
        began = len(self.tape)
        if owner.create(mailbox, actor=WHO):
            self._step(began, {(box, _id(owner, mailbox)): mailbox})
            self.seen.look(box, owner, self)

    def copy(self) -> None:
        """Messages that have no copy get one, which lives on whatever becomes of its source."""
        box = self.rng.choice(BOXES)
        owner = self.site.box(box)
        began = len(self.tape)
        if owner.create(COPIES, actor=WHO):
            self._step(began, {(box, _id(owner, COPIES)): COPIES})
        chosen = [one for one in self._some(box, owner, 4) if (box, COPY + one[0]) not in self.now]
        if not chosen:
            return
        began = len(self.tape)
        done = owner.copy(chosen[0][1].mailbox, _uids(chosen), COPIES, actor=WHO)
        assert list(done.sources) == _uids(chosen)
        changes: Changes = {
            (box, COPY + token): replace(self._held(box, token), mailbox=COPIES)
            for token, _ in chosen
        }
        self._step(began, changes)
        self.seen.look(box, owner, self)

    def subscribe(self) -> None:
        """A name, whether or not there is such a mailbox."""
        box = self.rng.choice(BOXES)
        owner = self.site.box(box)
        name = self.rng.choice(MAILBOXES)
        began = len(self.tape)
        on = self.rng.random() < 0.6
        owner.subscribe(name, on, actor=WHO)
        self._step(began, {name_key(box, name): name if on else None})

    def rename(self) -> None:
        """A mailbox and those below it."""
        box = self.rng.choice(BOXES)
        owner = self.site.box(box)
        owner.sync()
        there = {one.name: one.id for one in owner.mailboxes()}
        target = self.rng.choice((*MAILBOXES, "Sub/Other", "Umbenannt"))
        former = self.rng.choice([*(there.keys() - {COPIES})])
        tree = {
            name: target + name.removeprefix(former)
            for name in there
            if f"{name}/".startswith(f"{former}/")
        }
        taken = any(name in there for name in tree.values())
        if former == names.INBOX or taken or f"{target}/".startswith(f"{former}/"):
            return
        began = len(self.tape)
        owner.rename(former, target, actor=WHO)
        changes: Changes = {(box, there[name]): other for name, other in tree.items()}
        for (where, token), held in self.now.items():
            if where == box and isinstance(held, Held) and held.mailbox in tree:
                changes[box, token] = replace(held, mailbox=tree[held.mailbox])
        self._step(began, changes)
        self.seen.look(box, owner, self)

    def rename_inbox(self) -> None:
        """All of its messages move to a mailbox that is made for them."""
        box = self.rng.choice(BOXES)
        owner = self.site.box(box)
        owner.sync()
        target = self.rng.choice(MAILBOXES)
        if any(one.name == target for one in owner.mailboxes()):
            return
        tokens = [self.token(owner, one) for one in owner.messages(names.INBOX)]
        began = len(self.tape)
        owner.rename(names.INBOX, target, actor=WHO)
        self._step(
            began,
            {(box, _id(owner, target)): target},
            {(box, token): replace(self._held(box, token), mailbox=target) for token in tokens},
        )
        self.seen.look(box, owner, self)

    def delete(self) -> None:
        """A mailbox with its messages."""
        box = self.rng.choice(BOXES)
        owner = self.site.box(box)
        owner.sync()
        mailbox = self.rng.choice(owner.mailboxes())
        if mailbox.name in (names.INBOX, COPIES):
            return
        messages = [(self.token(owner, one), one) for one in owner.messages(mailbox.name)]
        began = len(self.tape)
        assert owner.delete(mailbox.name, actor=WHO) == len(messages)
        self._step(began, {(box, token): None for token, _ in messages}, {(box, mailbox.id): None})
        self.expunged += (((box, token), message.base) for token, message in messages)
        self.seen.look(box, owner, self)

    def close_box(self) -> None:
        if self.site.owners:
            box = self.rng.choice(sorted(self.site.owners))
            self.site.owners.pop(box).close()

    def restart_access(self) -> None:
        self.site.stop_access(orderly=self.rng.random() < 0.5)
        self.site.start_access()

    def command(self) -> None:
        """A command works on a box beside the access role, and may be killed after its acts.

        It moves nothing and stays in INBOX: the log role reads one journal after the other, so
        that of two moves of a message in two journals either may count in the log.
        """
        box = self.rng.choice(BOXES)
        with self.site.command(box, orderly=self.rng.random() < 0.5) as owner:
            self._flag(box, owner, names.INBOX)
            self._expunge(box, owner, names.INBOX)

    def glance(self) -> None:
        """Another program has seen what is new (mutt's ``O``) and says so by the file's name."""
        box = self.rng.choice(BOXES)
        root = self.site.folder(box) / "Maildir"
        if root.is_dir():
            for entry in list(maildir.scan(root, "new"))[:2]:
                disk.rename(entry.below(root), root / "cur" / f"{entry.name}:2,")

    # --------------------------------------------------------------------- one act

    def _flag(self, box: str, owner: Owner, mailbox: str = "") -> None:
        chosen = self._some(box, owner, 4, mailbox)
        if not chosen:
            return
        add = set(self.rng.sample((*FLAGS, *WORDS), self.rng.randint(0, 3)))
        remove = set(self.rng.sample((*FLAGS, *WORDS), self.rng.randint(0, 3)))
        began = len(self.tape)
        later = self.rng.random() < 0.5  # then the files follow, perhaps in another life
        with mock.patch.object(owner_module, "CHUNK", 0):
            owner.flags(
                chosen[0][1].mailbox, _uids(chosen), [*add], [*remove], later=later, actor=WHO
            )
        changes: Changes = {}
        for token, _ in chosen:
            held = self._held(box, token)
            flags = (held.flags - remove) | (add & {*FLAGS})
            words = (held.words - remove) | (add & {*WORDS})
            changes[box, token] = Held(held.mailbox, flags, words)
        self._step(began, changes)
        self.seen.look(box, owner, self)

    def _move(self, box: str, owner: Owner) -> None:
        chosen = self._some(box, owner, 3)
        targets = _open(owner)
        if not chosen or len(targets) < 2:
            return
        targets.remove(chosen[0][1].mailbox)
        target = self.rng.choice(targets)
        began = len(self.tape)
        uids = owner.move(chosen[0][1].mailbox, _uids(chosen), target, actor=WHO).targets
        changes: Changes = {}
        for token, _ in chosen:
            held = self._held(box, token)
            changes[box, token] = Held(target, held.flags, held.words)
        self._step(began, changes)
        self.seen.look(box, owner, self)
        (validity,) = (one.uidvalidity for one in owner.mailboxes() if one.name == target)
        for (token, _), uid in zip(chosen, uids, strict=True):
            assert self.seen.token((box, target, validity, uid)) == token

    def _expunge(self, box: str, owner: Owner, mailbox: str = "") -> None:
        chosen = self._some(box, owner, 2, mailbox)
        if not chosen:
            return
        began = len(self.tape)
        owner.expunge(chosen[0][1].mailbox, _uids(chosen), actor=WHO)
        self._step(began, {(box, token): None for token, _ in chosen})
        self.expunged += (((box, token), message.base) for token, message in chosen)
        self.seen.look(box, owner, self)

    # ------------------------------------------------------------------- the books

    def token(self, owner: Owner, message: Message) -> int:
        """Which message it is, by its octets."""
        with open(open_message(owner.folder, message), "rb") as file:
            data = file.read()
        found = TOKEN.match(data)
        assert found is not None, message
        assert data == self.bodies[int(found[1])]
        return int(found[1])

    def key(self, owner: Owner, message: Message) -> int:
        """What names it in the state of its box."""
        return self.token(owner, message) + (COPY if message.mailbox == COPIES else 0)

    def expected(self, count: int) -> list[State]:
        """What boxes may hold after ``count`` operations: an act under way may be done in part."""
        state: State = {}
        for number, step in enumerate(self.steps):
            if step.done > count:
                possible = [dict(state)]
                for part in step.parts if step.began < count else ():
                    _apply(state, part)
                    possible.append(dict(state))
                assert all(later.began >= count for later in self.steps[number + 1 :])
                return possible
            for part in step.parts:
                _apply(state, part)
        return [state]

    def _step(self, began: int, *parts: Changes) -> None:
        self.steps.append(Step(began, len(self.tape), parts))
        for part in parts:
            _apply(self.now, part)

    def _held(self, box: str, token: int) -> Held:
        held = self.now[box, token]
        assert isinstance(held, Held)
        return held

    def _some(
        self, box: str, owner: Owner, most: int, mailbox: str = ""
    ) -> list[tuple[int, Message]]:
        """Messages of one mailbox, by token."""
        owner.sync()
        messages = [one for one in owner.messages(mailbox or None) if one.mailbox != COPIES]
        if not messages:
            return []
        mailbox = self.rng.choice(messages).mailbox
        there = [one for one in messages if one.mailbox == mailbox]
        chosen = self.rng.sample(there, min(len(there), self.rng.randint(1, most)))
        return [(self.token(owner, one), one) for one in chosen]

    def body(self, size: int, date: int = ARRIVED_NS) -> tuple[int, bytes]:
        """The octets of one more message, and its token."""
        token = len(self.bodies)
        body = b"Token: %d\nSubject: %d\n\n" % (token, token) + self.rng.randbytes(size)
        self.bodies[token], self.dates[token] = body, date
        return token, body

    def _prepare(self, owner: Owner, token: int, base: str, mailbox: str) -> tuple[Prepared, Held]:
        """A file in ``tmp/``, as whoever puts it leaves it: nothing synced."""
        body, date = self.bodies[token], self.dates[token]
        name = f"put-{len(self.tape)}"
        fd = disk.open_(owner.ground.files.root / "tmp" / name, 0o101, 0o600)
        disk.write_all(fd, body)
        disk.utime(fd, ns=(date, date))
        disk.close(fd)
        flags = frozenset(self.rng.sample(FLAGS, self.rng.randint(0, 2)))
        words = frozenset(self.rng.sample(WORDS, self.rng.randint(0, 2)))
        letters = names.letters(names.flag_letter(flag) or "" for flag in flags)
        digest = hashlib.sha256(body).digest()
        item = Prepared(name, base, letters, tuple(sorted(words)), date, len(body), digest)
        return item, Held(mailbox, flags, words)


def _apply(state: State, part: Changes) -> None:
    for key, value in part.items():
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value


def _id(owner: Owner, mailbox: str) -> int:
    (found,) = (one.id for one in owner.mailboxes() if one.name == mailbox)
    return found


def _uids(chosen: list[tuple[int, Message]]) -> list[int]:
    return [message.uid for _, message in chosen]


def _open(owner: Owner) -> list[str]:
    """The mailboxes into which anything may go."""
    return [one.name for one in owner.mailboxes() if one.name != COPIES]


def name_key(box: str, name: str) -> Key:
    """What names a subscription in the state of its box."""
    return box, -1 - MAILBOXES.index(name)
