"""Filling the queue from the log: all of it at the start, and what others put there later.

The log role answers once everything durable is applied, so the entries of a process that was
killed are all there. What this process did while the answer was on its way counts above the
answer. Recipients that commands and jobs queue or change through journals of their own are
told of by a bell; one that nobody heard changes nothing at the next start.
"""

import asyncio
import json
import logging
import socket
from collections.abc import Sequence

from mtad import control
from mtad.errors import MtadError
from mtad.queue.runner import Runner
from mtad.where import Places

log = logging.getLogger("mtad.queue")

RETRY_SECONDS = 1.0
BELL = "mta.bell"
_MAX_RING = 64 * 1024


class Loader:
    """Keeps a runner's queue in step with the log."""

    def __init__(self, runner: Runner, places: Places) -> None:
        self._runner = runner
        self._places = places
        self._bell = control.bind(places.run / BELL, socket.SOCK_DGRAM)
        self.is_done = asyncio.Event()
        """Set once the whole queue was loaded."""

    async def run(self) -> None:
        """Load everything, then what the bell tells of, until cancelled."""
        await self._insist(None)
        self.is_done.set()
        loop = asyncio.get_running_loop()
        while True:
            said = await loop.sock_recv(self._bell, _MAX_RING)
            try:
                messages = [int(m) for m in json.loads(said)]
            except (ValueError, TypeError):
                continue
            await self._insist(messages)

    def close(self) -> None:
        """Let the bell go."""
        self._bell.close()

    async def _insist(self, messages: Sequence[int] | None) -> None:
        """Load until the log role has answered to the end."""
        told = ""
        while True:
            try:
                await self.load(messages)
                return
            except MtadError as error:
                if str(error) != told:
                    told = str(error)
                    log.warning("the queue cannot be read yet: %s", told)
            await asyncio.sleep(RETRY_SECONDS)

    async def load(self, messages: Sequence[int] | None = None) -> None:
        """Take in the log's queue, or bring messages to what the log says. Raises MtadError."""
        runner = self._runner
        runner.changed = set()
        try:
            request = {} if messages is None else {"messages": list(messages)}
            asked = control.listen(self._places.socket("log"), "queue.load", **request)
            parts, is_whole = [], False
            async for part in asked:
                if part.get("done"):
                    is_whole = True
                elif messages is None:
                    runner.entries.load(part, runner.changed)
                else:
                    parts.append(part)
            if not is_whole:
                raise MtadError("the log role went away in the midst of the queue")
            for m in messages or ():
                runner.entries.forget(m, runner.changed)
            for part in parts:
                runner.entries.load(part, runner.changed)
        finally:
            runner.changed = None
