"""NOTIFY: which events of which mailboxes a client wants to hear of (RFC 5465 8; PURE)."""

from collections.abc import Mapping

from mtad.imap.answer import Bad, No
from mtad.imap.commands import Command, EventGroup, Item, Notify
from mtad.imap.lexer import Lexer, unique
from mtad.imap.parse_fetch import items_listed
from mtad.imap.parse_session import Parser

EVENTS = {
    event.upper(): event
    for event in (
        "MessageNew",
        "MessageExpunge",
        "FlagChange",
        "MailboxName",
        "SubscriptionChange",
        "MailboxMetadataChange",
        "ServerMetadataChange",
    )
}
"""Events that can be asked for; AnnotationChange needs annotations, which are not here."""
BAD_EVENT = b"BADEVENT (%b)" % " ".join(EVENTS.values()).encode("ascii")

OF_MESSAGES = frozenset(("MessageNew", "MessageExpunge", "FlagChange"))
SELECTED = ("SELECTED", "SELECTED-DELAYED")
FILTERS = (*SELECTED, "INBOXES", "PERSONAL", "SUBSCRIBED", "SUBTREE", "MAILBOXES")


def notify(lexer: Lexer, tag: str, name: str) -> Command:
    """NOTIFY SET and NOTIFY NONE."""
    lexer.space()
    if lexer.one_of(("SET", "NONE"), "a way to notify") == "NONE":
        return Notify(tag, name, ())
    lexer.space()
    status = lexer.skip(b"STATUS")
    if status:
        lexer.space()
    groups = [_group(lexer)]
    while lexer.has_more():
        lexer.space()
        groups.append(_group(lexer))
    filters = [group.filter for group in groups if group.filter in SELECTED]
    if len(filters) > 1:
        raise Bad("SELECTED and SELECTED-DELAYED exclude each other")
    return Notify(tag, name, tuple(groups), status)


def _group(lexer: Lexer) -> EventGroup:
    lexer.expect(b"(")
    which = lexer.one_of(FILTERS, "a filter")
    mailboxes: tuple[str, ...] = ()
    if which in ("SUBTREE", "MAILBOXES"):
        lexer.space()
        mailboxes = tuple(lexer.one_or_listed(lexer.mailbox))
    lexer.space()
    items: list[Item] = []

    def event() -> str:
        found = lexer.atom("an event").upper()
        if found not in EVENTS:
            raise No("an event is not known here", BAD_EVENT)
        if found == "MESSAGENEW" and lexer.text[lexer.at : lexer.at + 2] == b" (":
            if which not in SELECTED:
                raise Bad("items are for the selected mailbox only")
            lexer.space()
            items.extend(items_listed(lexer))
        return EVENTS[found]

    events: tuple[str, ...] = ()
    if lexer.peek() == b"(":
        events = unique(lexer.listed(event))
    else:
        lexer.expect(b"NONE")
    lexer.expect(b")")
    _check(which, events)
    return EventGroup(which, mailboxes, events, tuple(items))


def _check(which: str, events: tuple[str, ...]) -> None:
    """Arrivals and expunges are told together, flags only beside them (RFC 5465 5)."""
    if which in SELECTED and not OF_MESSAGES.issuperset(events):
        raise Bad("only events of messages are told of the selected mailbox")
    if ("MessageNew" in events) != ("MessageExpunge" in events):
        raise Bad("MessageNew and MessageExpunge go together")
    if "FlagChange" in events and "MessageNew" not in events:
        raise Bad("FlagChange needs MessageNew and MessageExpunge")


PARSERS: Mapping[str, Parser] = {"NOTIFY": notify}
