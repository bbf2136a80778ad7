"""Sessions of people who have logged in: listed, ended by an operator, ended by a change.

Once a second it is looked whether the directory changed. A session ends when the password it
logged in with was changed or taken away, when its box was locked or removed, or when a network
rule no longer lets it in.
"""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from mtad.access.guests import Guest, Guests
from mtad.access.listener import Dialog, Services
from mtad.clock import from_us, now_us
from mtad.control import Answer, Verb
from mtad.directory import connections
from mtad.directory.lookup import Directory
from mtad.directory.tables import credential
from mtad.directory.verifier import normal
from mtad.errors import MtadError, NothingFound
from mtad.journal.writer import Journal
from mtad.where import Places
from tracing import ids
from tracing.access import AuthKick

log = logging.getLogger("mtad.access")

WATCH_SECONDS = 1.0
KICKED = "kicked"


class Sessions:
    """The sessions of one process; for its event loop."""

    def __init__(
        self,
        services: Services,
        guests: Guests,
        directory: Directory,
        places: Places,
        journal: Journal,
    ) -> None:
        self._services = services
        self._guests = guests
        self._directory = directory
        self._places = places
        self._journal = journal

    def verbs(self) -> dict[str, Verb]:
        """What the control socket is asked."""
        return {"auth.sessions": self.listing, "auth.kick": self.kick}

    async def listing(self, _: Answer) -> Answer:
        """Every session of somebody who has logged in, the longest first."""
        found = sorted(self._logged_in(), key=lambda one: one[1].since)
        return {"sessions": [_told(dialog, guest) for dialog, guest in found]}

    async def kick(self, request: Answer) -> Answer:
        """End the sessions of a box, or one by its id; says how many. Raises NothingFound."""
        who, actor = str(request["who"]), str(request["actor"])
        box, cn = normal(who), ids.parse(who)
        count = 0
        for dialog, guest in tuple(self._logged_in()):
            if guest.box == box or dialog.session.cn == cn:
                self._end(dialog, guest, actor, "an operator ended it")
                count += 1
        if not count:
            raise NothingFound(f"there is no session of {who}")
        return {"count": count}

    async def watch(self) -> None:
        """Look for changes of the directory until cancelled; others read it again, too."""
        looked = self._directory.generation
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                if self._directory.is_stale:
                    await asyncio.to_thread(self._directory.refresh)
                if looked != self._directory.generation:
                    looked = self._directory.generation
                    await self.look()
            except MtadError as error:
                log.warning("whether sessions may go on is not known: %s", error)

    async def look(self) -> None:
        """End the sessions that could not log in again as they did. Raises MtadError."""
        boxes = sorted({guest.box for _, guest in self._logged_in()})
        if not boxes:
            return
        passwords = await asyncio.to_thread(self._passwords, boxes)
        for dialog, guest in tuple(self._logged_in()):
            if why := self._why_not(dialog, guest, passwords):
                self._end(dialog, guest, "system", why)

    def _why_not(self, dialog: Dialog, guest: Guest, passwords: "Passwords") -> str:
        """Why a session may not go on; empty where it may."""
        added, enabled = passwords.get((guest.box, guest.password), (0, False))
        if not added:
            return "the box or its password was removed"
        if not enabled:
            return "the box was locked"
        if added > guest.since:
            return "the password was changed"
        session = dialog.session
        if rule := self._directory.rule_against(guest.box, session.name, guest.ip):
            return f"a network rule: {rule}"
        return ""

    def _passwords(self, boxes: list[str]) -> "Passwords":
        columns = credential.c
        query = (
            sa.select(
                columns.box,
                columns.name,
                sa.func.max(columns.added),
                sa.func.min(columns.enabled),
            )
            .where(columns.box.in_(boxes))
            .group_by(columns.box, columns.name)
        )
        with connections.reading(self._places.state_db) as connection:
            return {
                (box, name): (added, bool(enabled))
                for box, name, added, enabled in connection.execute(query)
            }

    def _logged_in(self) -> Iterator[tuple[Dialog, Guest]]:
        for dialog in self._services.dialogs:
            guest = self._guests.here.get(dialog.session)
            if guest is not None and guest.box and dialog.session.address:
                yield dialog, guest

    def _end(self, dialog: Dialog, guest: Guest, actor: str, why: str) -> None:
        session = dialog.session
        self._journal.note(
            AuthKick(
                at=now_us(),
                trace=session.cn,
                addr=guest.box,
                ip=guest.ip,
                actor=actor,
                service=session.name,
                why=why,
            )
        )
        dialog.stop(KICKED)


Passwords = dict[tuple[str, str], tuple[int, bool]]
"""By box and name: when it was made, in microseconds, and whether it may be used."""


def _told(dialog: Dialog, guest: Guest) -> dict[str, Any]:
    session = dialog.session
    selected = getattr(session, "selected", None)
    return {
        "id": ids.text(session.cn),
        "box": guest.box,
        "ip": guest.ip,
        "service": session.name,
        "client": getattr(session, "software", ""),
        "password": guest.password,
        "tls": dialog.stream.is_tls,
        "since": from_us(guest.since).isoformat(timespec="seconds"),
        "mailbox": selected.name if selected is not None else "",
    }
