"""The policy for mail from other servers: every check of every stage, in order."""

from mtad.smtp.checks.content import mail_loop
from mtad.smtp.checks.destination import (
    only_bounces,
    relay_denied,
    too_many_recipients,
    unknown_box,
)
from mtad.smtp.checks.source import journal_room, too_large
from mtad.smtp.policy import Policy

INBOUND = Policy(
    source=(journal_room, too_large),
    destination=(relay_denied, too_many_recipients, unknown_box, only_bounces),
    content=(mail_loop,),
)
