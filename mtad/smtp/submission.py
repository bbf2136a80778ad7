"""What the sessions of our own users share, beside what all sessions do."""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

from mtad.config import Submission as Settings
from mtad.directory.logins import Logins
from mtad.mailauth.signing import Signer
from mtad.smtp.checks.standard import SUBMISSION
from mtad.smtp.policy import Policy, Rights
from mtad.smtp.usage import ERRORS, Usage, Used

log = logging.getLogger("mtad.smtp")


@dataclass(slots=True)
class Submission:
    """One process's submission service; ``settings`` and ``signer`` may change while it runs."""

    settings: Settings
    logins: Logins
    usage: Usage
    signer: Signer | None = None
    end_point: bytes = b""
    """The hash of the certificate in ``Service.tls`` (``mtad.sasl.binding``)."""
    policy: Policy = SUBMISSION
    open: set[Any] = field(default_factory=set)
    """Sessions with a mail transaction of a user."""

    async def rights(self, login: str) -> Rights:
        """What a user may do, and how much it has done of it already."""
        settings, usage = self.settings, self.usage
        if not usage.is_known(login):
            loop = asyncio.get_running_loop()
            try:
                usage.learn(login, await loop.run_in_executor(None, usage.read, login))
            except ERRORS as error:
                log.error("what %s sent before is not known: %s", login, error)
                usage.learn(login, ())
        return Rights(
            settings.own_addresses_only,
            settings.max_messages_per_hour,
            settings.max_recipients_per_hour,
            lambda: self._used(login),
        )

    def _used(self, login: str) -> Used:
        """What a user sent within an hour, and what it is about to send on any connection."""
        used = self.usage.used(login)
        under_way = [one.transaction for one in self.open if one.transaction is not None]
        pending = [
            sum(recipient.numbers for recipient in one.recipients)
            for one in under_way
            if one.login == login and one.recipients
        ]
        return Used(used.messages + len(pending), used.recipients + sum(pending))
