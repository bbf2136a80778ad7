"""Everything that serves mail clients, put together: both protocols, logins, listeners, watch."""

import asyncio
import logging
import resource
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from mtad.access.guests import Guests, ImapGate, PopGate, in_force
from mtad.access.listener import Listener, Services
from mtad.access.sessions import Sessions
from mtad.config import Loaded
from mtad.control import Answer, Verb
from mtad.directory.certificate import certificate, renewed
from mtad.directory.logins import Logins
from mtad.directory.lookup import Directory
from mtad.errors import ConfigError, Unreachable
from mtad.imap.service import Service as Imap
from mtad.journal.writer import Journal
from mtad.pop3.service import Service as Pop3
from mtad.store.quota import Limits
from mtad.store.shelf import Shelf

log = logging.getLogger("mtad.access")


class Reading:
    """The services of one process."""

    def __init__(self, loaded: Loaded, journal: Journal, shelf: Shelf) -> None:
        """Raises MtadError where the database or the certificate cannot be used."""
        config, places = loaded.config, loaded.places
        context, end_point = certificate(loaded)
        directory = Directory(places.state_db)

        def limits(box: str) -> Limits:
            with suppress(Unreachable):  # then what was known last goes on
                directory.refresh()
            return Limits(*directory.quota(box))

        shelf.limits = limits
        self._logins = Logins(places, config.auth, config.hostname, directory, journal.note)
        self._guests = Guests(in_force(config.access, open_files()))
        open_box = partial(shelf.use, make=True)
        imap = Imap(
            config.hostname,
            config.imap,
            journal,
            self._logins,
            open_box,
            shelf.shares,
            ImapGate(self._guests),
            context,
            end_point,
            log_reading=config.access.log_reading,
        )
        pop3 = Pop3(
            config.hostname,
            config.pop3,
            journal,
            self._logins,
            open_box,
            PopGate(self._guests),
            config.access.log_reading,
            context,
            end_point,
        )
        self.services = Services(self._guests.settings, imap, pop3)
        self._sessions = Sessions(self.services, self._guests, directory, places, journal)
        self._listener: Listener | None = None
        self._watching: asyncio.Task[None] | None = None

    def use(self, now: Loaded) -> None:
        """Go by other settings, each session from its next use of them on. Raises ConfigError."""
        config, services = now.config, self.services
        imap, pop3 = services.imap, services.pop3
        imap.hostname = pop3.hostname = config.hostname
        imap.limits, pop3.limits = config.imap, config.pop3
        pop3.log_reading = imap.log_reading = config.access.log_reading
        services.settings = self._guests.settings = in_force(config.access, open_files())
        self._logins.use(config.auth, config.hostname)
        try:
            found = renewed(now, imap.tls)
        except ConfigError as error:
            log.error("the certificate in use stays: %s", error)
            raise
        imap.tls, imap.end_point = pop3.tls, pop3.end_point = found

    def status(self) -> Answer:
        """What the control socket tells."""
        services = self.services
        return {
            "connections": len(self._guests.here),
            "imap": len(services.imap.sessions),
            "pop3": len(services.pop3.sessions),
            "tls": services.imap.tls is not None,
        }

    def verbs(self) -> dict[str, Verb]:
        """What the control socket is asked."""
        return self._sessions.verbs()

    async def start(self, sockets: Mapping[str, Sequence[socket.socket]]) -> None:
        """Accept connections."""
        self._listener = Listener(self.services, sockets)
        await self._listener.start()
        self._watching = asyncio.get_running_loop().create_task(self._sessions.watch())

    async def stop(self) -> None:
        """Take no further connections and end those there are."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._listener is not None:
            await self._listener.stop()
        await self._logins.close()


def open_files() -> int:
    """How many files this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
