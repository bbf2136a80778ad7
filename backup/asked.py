"""What the words of ``mtad restore`` mean: which boxes, as of when, what of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from backup import choosing
from backup.belongings import directory_of
from backup.operations import folder_of
from backup.past import History, Past
from backup.planning import Plan, Wish, make_plan
from backup.telling import box_address
from mtad import clock
from mtad.address import box_address as address_of
from mtad.config import Loaded
from mtad.errors import NothingFound, UsageError
from tracing import moments
from tracing.search import Address, Query, SearchError

_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What was given on the command line; "" and None where nothing was."""

    terms: tuple[str, ...]
    box: str | None = None
    domain: str | None = None
    mailbox: str | None = None
    snapshot: str = ""
    at: str = ""
    deleted: bool = False
    to_folder: str = ""
    to_box: str = ""
    to: str = ""
    exact: bool = False
    unread: bool = False

    def check(self) -> None:
        """Raises UsageError for what does not go together."""
        times = [bool(self.snapshot), bool(self.at), self.deleted]
        if sum(times) > 1:
            raise UsageError("give one of --snapshot, --at and --deleted")
        if self.box and self.domain:
            raise UsageError("give --box or --domain, not both")
        if self.to and (self.to_box or self.to_folder or self.unread):
            raise UsageError("--to writes files; --to-box, --to-folder and --flags are for boxes")
        if self.exact and (self.terms_of_messages() or self.deleted or self.to_box):
            raise UsageError("--exact is about a whole box or mailbox; it takes no words to choose")
        if self.exact and (self.to or self.to_folder):
            raise UsageError("--exact restores a box in its place; it takes no --to")

    def terms_of_messages(self) -> bool:
        """Whether any words choose messages."""
        return any(not term.startswith("box:") for term in self.terms)


def pasts(loaded: Loaded, history: History, asked: Asked) -> tuple[list[Past], Wish]:
    """The boxes that are meant, as they were, and what is wanted of them.

    Raises UsageError, NothingFound, Corrupt.
    """
    asked.check()
    now = clock.now_us()
    text = " ".join(asked.terms)
    try:
        query, of = choosing.split_boxes(choosing.parse(text, now))
    except SearchError as error:
        raise UsageError(f"{error}\n{error.caret}") from error
    names = boxes(loaded, history, asked, of)
    wish = Wish(
        query,
        asked.mailbox,
        asked.to_box and _destination(loaded, asked.to_box),
        asked.to_folder,
        asked.exact,
        asked.unread,
        asked.deleted,
    )
    found: list[Past] = []
    problems: list[NothingFound] = []
    for box in names:
        try:
            found.append(_past(loaded, history, asked, query, box, now))
        except NothingFound as error:
            problems.append(error)
    if not found:
        raise problems[0]
    return found, wish


def plans(loaded: Loaded, history: History, found: Sequence[Past], wish: Wish) -> list[Plan]:
    """What is done to each box. Raises NothingFound when no box has anything that is wanted."""
    made: list[Plan] = []
    problems: list[NothingFound] = []
    for past in found:
        try:
            made.append(make_plan(history, past, wish, folder_of(loaded, wish.to_box or past.box)))
        except NothingFound as error:
            problems.append(error)
    if not made:
        raise problems[0]
    return made


def boxes(loaded: Loaded, history: History, asked: Asked, of: Sequence[Address]) -> list[str]:
    """The boxes that are meant, of those on disk and in snapshots. Raises UsageError."""
    every = _every(loaded, history)
    if asked.box and not of and "@" in asked.box.rstrip("@"):
        whole = box_address(asked.box)
        if whole in every or not any(one.startswith(asked.box.lower()) for one in every):
            return [whole]
    wanted = list(of)
    if asked.box:
        wanted.append(Address("box", part=asked.box.lower()))
    if asked.domain:
        wanted.append(Address("box", domain=asked.domain.lower().lstrip("@")))
    if not wanted:
        raise UsageError("say whose mail: --box ADDRESS, --domain NAME or box:ADDRESS")
    found = [one for one in every if all(choosing.address_fits(w, [one]) for w in wanted)]
    if asked.box and len(found) > 1:
        raise UsageError(f"{asked.box} may be any of {', '.join(found[:5])}")
    if not found:
        raise NothingFound("there is no such box, neither on disk nor in a snapshot")
    return found


def _every(loaded: Loaded, history: History) -> list[str]:
    """The boxes on disk and in snapshots."""
    on_disk = {
        address_of("/".join(path.parts[-2:]))
        for path in loaded.places.boxes.glob("*/*")
        if path.is_dir()
    }
    return sorted(on_disk | history.boxes())


def _past(loaded: Loaded, history: History, asked: Asked, query: Query, box: str, now: int) -> Past:
    if asked.deleted:
        days = loaded.config.store.keep_deleted_days
        since = query.since if query.since is not None else now - days * _DAY_US
        return history.deleted(box, since, query.until if query.until is not None else now + 1)
    if asked.at:
        try:
            at = moments.microseconds(moments.moment(asked.at, now, None))
        except (ValueError, OverflowError, OSError):
            raise UsageError(f"{asked.at!r} is no time; {moments.HINT}") from None
        return history.at(box, at)
    return history.of_snapshot(box, asked.snapshot or "latest")


def _destination(loaded: Loaded, text: str) -> str:
    """The box to restore into, which must be one. Raises UsageError, NothingFound."""
    box = box_address(text)
    directory = directory_of(loaded)
    if not (directory and directory.is_box(box)) and not folder_of(loaded, box).is_dir():
        raise NothingFound(f"there is no box {box}; 'mtad box add {box}' makes one")
    return box
