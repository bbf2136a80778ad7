"""Boxes from a process that does not own them: through the daemon, or alone without one.

While the daemon serves, every act goes to the access role. When nobody answers there, the
boxes are opened here, with a command's own journal; their locks make sure that it is not both.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, Self

import msgspec

from mtad import address, control
from mtad.config import Loaded
from mtad.errors import NothingFound, Unreachable
from mtad.journal.command import command_journal
from mtad.store import acl, private
from mtad.store.acl import Acl
from mtad.store.desk import Desk
from mtad.store.holding import MAILDIR
from mtad.store.owner import Owner
from mtad.store.rebuilding import reindex
from mtad.store.recovery import recover
from mtad.store.replay import Replay
from mtad.store.telling import chunks
from mtad.store.values import MailboxInfo, Message, Prepared

PATIENCE_SECONDS = 600.0
"""How long one act may take; the largest move a thousand messages at a time."""


class Listed(NamedTuple):
    """What a box holds."""

    mailboxes: list[MailboxInfo]
    messages: list[Message]


class Boxes:
    """Acts on boxes, as blocking calls; a context manager. For one thread."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._socket = loaded.places.socket("access")
        self._stack = ExitStack()
        self._owners: dict[str, Owner] = {}
        self._desk: Desk | None = None
        self._daemon: bool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back every box and the journal that were opened here."""
        self._owners.clear()
        self._stack.close()
        self._desk = None

    @property
    def through_daemon(self) -> bool:
        """Whether the acts go to a running daemon; settled at the first one."""
        if self._daemon is None:
            try:
                control.ask(self._socket, "status", seconds=10)
                self._daemon = True
            except Unreachable:
                self._daemon = False
        return self._daemon

    def list(self, box: str, mailbox: str | None = None) -> Listed:
        """Mailboxes, and the messages of one or all; new mail is numbered first.

        Raises NothingFound for a box or mailbox that is not there.
        """
        if self.through_daemon:
            answers = self._stream("box.list", box=box, mailbox=mailbox)
            first = next(answers)
            messages: list[Message] = []
            for part in answers:
                messages += msgspec.convert(part["messages"], list[Message])
            return Listed(msgspec.convert(first["mailboxes"], list[MailboxInfo]), messages)
        owner = self._owner(box)
        owner.sync()
        return Listed(owner.mailboxes(), owner.messages(mailbox))

    def sync(self, box: str) -> int:
        """Number new mail; returns how many messages got a UID."""
        if self.through_daemon:
            return int(self._ask("box.sync", box=box)["numbered"])
        return self._owner(box).sync()

    def flags(
        self,
        box: str,
        mailbox: str,
        uids: Sequence[int],
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        *,
        reader: str = "",
        actor: str,
        client: str = "",
    ) -> int:
        r"""Add and remove flags (``\Seen``) and keywords; returns how many messages changed.

        ``reader`` is a user with whom the owner shares the mailbox, whose ``\Seen`` is meant.
        """
        if self.through_daemon:
            answer = self._ask(
                "box.flags",
                box=box,
                mailbox=mailbox,
                uids=[*uids],
                add=[*add],
                remove=[*remove],
                reader=reader,
                actor=actor,
                client=client,
            )
            return int(answer["changed"])
        owner = self._owner(box)
        if reader:
            done = private.flags(
                owner, reader, mailbox, uids, add, remove, actor=actor, client=client
            )
        else:
            done = owner.flags(mailbox, uids, add, remove, actor=actor, client=client)
        return len(done.changed)

    def move(
        self,
        box: str,
        mailbox: str,
        uids: Sequence[int],
        target: str,
        *,
        actor: str,
        client: str = "",
    ) -> Sequence[int]:
        """Move messages; returns their UIDs in ``target``."""
        if self.through_daemon:
            answer = self._ask(
                "box.move",
                box=box,
                mailbox=mailbox,
                uids=[*uids],
                target=target,
                actor=actor,
                client=client,
            )
            return msgspec.convert(answer["uids"], list[int])
        return self._owner(box).move(mailbox, uids, target, actor=actor, client=client).targets

    def expunge(
        self, box: str, mailbox: str, uids: Sequence[int], *, actor: str, client: str = ""
    ) -> int:
        """Delete messages; returns how many."""
        if self.through_daemon:
            answer = self._ask(
                "box.expunge", box=box, mailbox=mailbox, uids=[*uids], actor=actor, client=client
            )
            return int(answer["count"])
        return len(self._owner(box).expunge(mailbox, uids, actor=actor, client=client))

    def put(
        self,
        box: str,
        mailbox: str,
        items: Sequence[Prepared],
        *,
        actor: str,
        client: str = "",
        snapshot: str | None = None,
        over_quota: bool = False,
    ) -> Sequence[int]:
        """Take files prepared in the box's ``Maildir/tmp`` in; returns their UIDs, in order.

        Raises MtadError where the box would hold more than it may, unless ``over_quota``.
        """
        if not self.through_daemon:
            owner = self._owner(box, make=True)
            return owner.put(
                mailbox,
                items,
                actor=actor,
                client=client,
                snapshot=snapshot,
                over_quota=over_quota,
            ).uids
        uids: list[int] = []
        for part in chunks(items):
            answer = self._ask(
                "box.put",
                box=box,
                mailbox=mailbox,
                items=msgspec.to_builtins(part),
                actor=actor,
                client=client,
                snapshot=snapshot,
                over_quota=over_quota,
            )
            uids += msgspec.convert(answer["uids"], list[int])
        return uids

    def renumber(
        self,
        box: str,
        mailbox: str,
        uidvalidity: int,
        uidnext: int,
        *,
        actor: str,
        client: str = "",
    ) -> bool:
        """Give a mailbox without any past its former numbers; False where it has a past."""
        if self.through_daemon:
            answer = self._ask(
                "box.renumber",
                box=box,
                mailbox=mailbox,
                numbers=[uidvalidity, uidnext],
                actor=actor,
                client=client,
            )
            return bool(answer["numbered"])
        owner = self._owner(box, make=True)
        return owner.renumber(mailbox, uidvalidity, uidnext, actor=actor, client=client)

    def create(
        self,
        box: str,
        mailbox: str,
        *,
        uses: Sequence[str] = (),
        rights: Sequence[str] | None = None,
        actor: str,
        client: str = "",
    ) -> bool:
        """Make a mailbox, and the box's folder if need be; False when it is there.

        It gets the lines of ``rights``; without any it is shared like the one above it.
        """
        if self.through_daemon:
            answer = self._ask(
                "box.create",
                box=box,
                mailbox=mailbox,
                uses=[*uses],
                rights=None if rights is None else [*rights],
                actor=actor,
                client=client,
            )
            return bool(answer["created"])
        owner = self._owner(box, make=True)
        return owner.create(mailbox, wanted=uses, rights=rights, actor=actor, client=client)

    def subscribe(self, box: str, mailbox: str, on: bool, *, actor: str, client: str = "") -> bool:
        """Subscribe a box's owner to a name or no longer; False when that was so before."""
        if self.through_daemon:
            words = {"mailbox": mailbox, "on": on, "actor": actor, "client": client}
            return bool(self._ask("box.subscribe", box=box, **words)["changed"])
        return self._owner(box, make=True).subscribe(mailbox, on, actor=actor, client=client)

    def rename(self, box: str, mailbox: str, target: str, *, actor: str, client: str = "") -> None:
        """Rename a mailbox and those below it."""
        if self.through_daemon:
            words = {"mailbox": mailbox, "target": target, "actor": actor, "client": client}
            self._ask("box.rename", box=box, **words)
        else:
            self._owner(box).rename(mailbox, target, actor=actor, client=client)

    def delete(self, box: str, mailbox: str, *, actor: str, client: str = "") -> int:
        """Delete a mailbox; returns how many messages it had."""
        if self.through_daemon:
            answer = self._ask("box.delete", box=box, mailbox=mailbox, actor=actor, client=client)
            return int(answer["count"])
        return self._owner(box).delete(mailbox, actor=actor, client=client)

    def hand_over(self, box: str) -> int:
        """Write a box's UIDs down for Dovecot, and let it go; returns how many those are.

        Raises Locked while the server has the box open.
        """
        owner = self._owner(box)
        count = owner.hand_over()
        owner.close()
        del self._owners[owner.address]
        return count

    def reindex(self, box: str) -> tuple[int, int]:
        """Make a box's index again; returns how many messages it has, and how many kept UIDs.

        Raises Locked while the server has the box open, NothingFound where there is none.
        """
        places, hostname = self._loaded.places, self._loaded.config.hostname
        return reindex(places, box, hostname, self._own_desk())

    def share(
        self, box: str, mailbox: str, who: str, rights: str, *, actor: str, client: str = ""
    ) -> Acl:
        """Give rights to a mailbox, none to take them away; returns the list there is then."""
        if self.through_daemon:
            words = {"mailbox": mailbox, "who": who, "rights": rights}
            answer = self._ask("box.share", box=box, **words, actor=actor, client=client)
            return acl.parse(answer["acl"])
        return self._owner(box).share(mailbox, who, rights, actor=actor, client=client)

    # ------------------------------------------------------------------ private

    def _ask(self, verb: str, **arguments: Any) -> control.Answer:
        return control.ask(self._socket, verb, seconds=PATIENCE_SECONDS, **arguments)

    def _stream(self, verb: str, **arguments: Any) -> Iterator[control.Answer]:
        return control.stream(self._socket, verb, seconds=PATIENCE_SECONDS, **arguments)

    def _owner(self, name: str, *, make: bool = False) -> Owner:
        """The box, opened here. Raises NothingFound, and Locked while another process has it."""
        try:
            box = str(address.parse(name))
        except ValueError as error:
            raise NothingFound(str(error)) from error
        known = self._owners.get(box)
        if known is not None:
            return known
        places, hostname = self._loaded.places, self._loaded.config.hostname
        folder = places.boxes / address.box_folder(box)
        if not make and not (folder / MAILDIR).is_dir() and not (folder / "index.db").exists():
            raise NothingFound(
                f"there is no mail of {box}: no such box, or nothing was ever delivered"
            )
        owner = Owner.open(folder, box, hostname, self._own_desk(), places.log)
        self._stack.callback(owner.close)
        self._owners[box] = owner
        return owner

    def _own_desk(self) -> Desk:
        """This command's journal, opened once every act is finished that others promise."""
        if self._desk is None:
            places = self._loaded.places
            replay = Replay(places.journal, log=places.log)
            try:
                recover(places, self._loaded.config.hostname, replay)
            finally:
                replay.close()
            self._desk = Desk(self._stack.enter_context(command_journal(places)))
            self._desk.journal.before_reuse = self._settle
        return self._desk

    def _settle(self) -> None:
        for owner in self._owners.values():
            owner.settle()
