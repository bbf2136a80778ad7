"""The policies: every check of every stage, in order."""

from mtad.smtp.checks.content import forward_loop, mail_loop
from mtad.smtp.checks.destination import (
    only_bounces,
    over_quota,
    relay_denied,
    too_many_recipients,
    unknown_box,
)
from mtad.smtp.checks.rates import message_rate, recipient_rate
from mtad.smtp.checks.source import journal_room, too_large
from mtad.smtp.checks.submission import (
    header_too_long,
    login_first,
    no_such_domain,
    not_own_author,
    not_own_sender,
    starttls_first,
    too_many_messages,
    too_many_recipients_an_hour,
)
from mtad.smtp.policy import Policy

INBOUND = Policy(
    source=(journal_room, too_large, message_rate),
    destination=(
        relay_denied,
        too_many_recipients,
        recipient_rate,
        unknown_box,
        only_bounces,
        over_quota,
    ),
    content=(mail_loop,),
    recipient=(forward_loop,),
)
"""For mail from other servers."""

LOCAL = Policy(
    source=(journal_room, too_large),
    destination=(relay_denied, too_many_recipients, unknown_box, only_bounces, over_quota),
    content=(mail_loop,),
    recipient=(forward_loop,),
)
"""For mail by LMTP: whoever hands it over has judged its sender."""

SUBMISSION = Policy(
    source=(
        starttls_first,
        login_first,
        journal_room,
        too_large,
        not_own_sender,
        too_many_messages,
    ),
    destination=(
        too_many_recipients,
        no_such_domain,
        unknown_box,
        only_bounces,
        over_quota,
        too_many_recipients_an_hour,
    ),
    content=(mail_loop, header_too_long, not_own_author),
    recipient=(forward_loop,),
)
"""For mail from our own users."""
