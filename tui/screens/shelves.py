"""What is listed at each depth of the Mailboxes screen: domains, boxes, mailboxes, messages."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tracing import ids
from tui import formats
from tui.data import Account, Domain, Folder, Letter
from tui.formats import counted, number, size
from tui.lang import N_, _
from tui.screens.levels import Level
from tui.widgets.columns import Column

if TYPE_CHECKING:
    from tui.world import World


class Domains(Level):
    """The domains of the server."""

    EMPTY = N_("no domain yet; a adds one")

    def columns(self, width: int) -> Sequence[Column]:
        """The figures stand beside the name."""
        return (
            (N_("Domain"), max(20, min(60, width - 50)), ""), (N_("Boxes"), -9, ""),
            (N_("Aliases"), -10, ""), ("", 0, "dim"),
        )  # fmt: skip

    def texts(self, row: Domain, widths: Sequence[int]) -> Sequence[str]:
        """Which, how much is in it."""
        relay = _("passed on to another server") if row.relay else ""
        return row.name, number(row.boxes), number(row.aliases), relay

    def about(self, row: Domain) -> Sequence[str]:
        """The same in words."""
        boxes = counted(row.boxes, "{} box", "{} boxes")
        return row.name, f"{boxes}, {counted(row.aliases, '{} alias', '{} aliases')}"


class Accounts(Level):
    """The boxes and aliases of a domain."""

    EMPTY = N_("no box in this domain yet; a adds one")

    def columns(self, width: int) -> Sequence[Column]:
        """What is said of it has what is left."""
        return (
            ("", 1, ""), (N_("Box"), max(20, min(44, width - 47)), ""),
            (N_("Messages"), -9, ""), (N_("Size"), -8, "dim"), (N_("Full"), -6, ""),
            ("  ", 0, "dim"),
        )  # fmt: skip

    def texts(self, row: Account, widths: Sequence[int]) -> Sequence[str]:
        """Whose, how much, how full."""
        if row.is_alias:
            return "→", row.address, "-", "-", "-", ", ".join(row.leads_to)
        said = [_("locked")] if row.locked else []
        said += [f"→ {', '.join(row.forwards)}"] if row.forwards else []
        amount = number(row.messages), size(row.octets)
        return "✕" if row.locked else "●", row.address, *amount, full(row), "; ".join(said)

    def name(self, row: Account) -> str:
        """The address."""
        return row.address

    def role(self, row: Account, name: str) -> str:
        """A box that may not log in, or is nearly full, stands out."""
        if name == "":
            return "bad" if row.locked else "dim" if row.is_alias else "good"
        return "wait" if name == "Full" and part(row) >= 0.9 else ""

    def about(self, row: Account) -> Sequence[str]:
        """Who may use it, and what becomes of its mail."""
        if row.is_alias:
            return row.address, _("leads to {}").format(", ".join(row.leads_to))
        return row.address, _holds(row), _logins(row, self.world), _led(row), _passed(row)


class Folders(Level):
    """The mailboxes of a box."""

    EMPTY = N_("nothing was ever delivered here")

    def columns(self, width: int) -> Sequence[Column]:
        """The figures stand beside the name."""
        return (
            (N_("Mailbox"), max(20, min(60, width - 42)), ""), (N_("Messages"), -10, ""),
            (N_("Unseen"), -13, ""), (N_("Size"), -9, "dim"), ("", 0, ""),
        )  # fmt: skip

    def texts(self, row: Folder, widths: Sequence[int]) -> Sequence[str]:
        """Which, how many, how much."""
        return row.name, number(row.messages), number(row.unseen), size(row.octets), ""


class Letters(Level):
    """The messages of a mailbox."""

    EMPTY = N_("this mailbox is empty")

    def columns(self, width: int) -> Sequence[Column]:
        """The subject has what is left."""
        sender = min(32, (width - 30) * 2 // 5)
        return (
            (N_("Arrived"), 15, "dim"), (N_("Flags"), 5, "dim"), (N_("From"), sender, ""),
            (N_("Subject"), 0, ""), (N_("Size"), -7, "dim"),
        )  # fmt: skip

    def texts(self, row: Letter, widths: Sequence[int]) -> Sequence[str]:
        """When, from whom, what about."""
        arrived = formats.day_time(row.arrived, self.world.zone)
        said = row.sender or "-", row.subject or _("(no subject)")
        return arrived, row.kept.flags or "-", *said, size(row.kept.size)

    def about(self, row: Letter) -> Sequence[str]:
        """The whole subject, and every id."""
        kept = row.kept
        known = ids.text(kept.m) if kept.m else _("not known to the log")
        arrived = formats.full_time(row.arrived, self.world.zone)
        words = f"{_('flags')} {kept.flags or _('none')} {' '.join(kept.keywords)}".rstrip()
        return (
            row.subject or _("(no subject)"),
            f"{_('from')} {row.sender or '?'}  {arrived}  {size(kept.size)}  {words}",
            f"id {known}  UID {kept.uid}  {row.message_id}",
        )


LEVELS = (Domains, Accounts, Folders, Letters)
"""By depth."""


def part(row: Account) -> float:
    """How full a box is, of the narrower of its limits; 0 without one."""
    limits = (row.octets, row.max_octets), (row.messages, row.max_messages)
    return max((held / most for held, most in limits if most), default=0.0)


def full(row: Account) -> str:
    """How full a box is, in few characters."""
    return f"{part(row):.0%}" if row.max_octets or row.max_messages else "-"


def _holds(row: Account) -> str:
    messages = counted(row.messages, "{} message", "{} messages")
    most = [size(row.max_octets)] if row.max_octets else []
    most += [counted(row.max_messages, "{} message", "{} messages")] if row.max_messages else []
    limit = _("may hold {}").format(", ".join(most)) if most else _("no quota")
    return f"{messages}, {size(row.octets)}; {limit}"


def _logins(row: Account, world: "World") -> str:
    if row.locked:
        may = _("locked: may not log in")
    elif row.last_login:
        age = formats.age(world.now_us() - row.last_login)
        may = _("last login {} ago").format(age)
    else:
        may = _("never logged in")
    return "; ".join((may, *row.rules))


def _led(row: Account) -> str:
    return _("aliases: {}").format(", ".join(row.aliases) or "-")


def _passed(row: Account) -> str:
    if not row.forwards:
        return _("mail is not passed on")
    copy = _("a copy stays") if row.keeps else _("no copy stays")
    return f"{_('passed on to {}').format(', '.join(row.forwards))}; {copy}"
