"""NOTIFY: the client chooses what it is told of."""

import re
from pathlib import Path

from mtad.imap.commands import EventGroup
from mtad.imap.notices import MAX_WAITING, Notices
from tests.imap import serving

MESSAGES = "MessageNew MessageExpunge"


async def test_other_mailboxes_are_told_as_counts(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("CREATE a", "CREATE b") as client:
        await client.ok(f"NOTIFY SET (MAILBOXES a ({MESSAGES}))")
        await running.deliver(mailbox="b")
        await running.deliver(mailbox="a")
        line = await client.line()
        assert line.startswith('* STATUS "a" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ')
        assert line.endswith(" UNSEEN 1)")
        await client.ok("NOTIFY NONE")
        await running.deliver(mailbox="a")
        assert await client.ok("NOOP") == []


async def test_status_comes_first_where_it_is_asked(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("CREATE a") as client:
        lines = await client.ok(f"NOTIFY SET STATUS (PERSONAL ({MESSAGES}))")
        assert [line.split()[2] for line in lines] == ['"INBOX"', '"a"']


async def test_the_selected_mailbox_is_told_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("SELECT INBOX") as client:
        await client.ok(f"NOTIFY SET (SELECTED ({MESSAGES}))")
        await running.deliver(count=2)
        assert await client.line() == "* 2 EXISTS"
        await client.line()
        async with running.box() as box:
            await box.flags("INBOX", [1], ["\\Seen"], actor="test")
            await box.expunge("INBOX", [1], actor="test")
        assert await client.line() == "* 1 EXPUNGE"


async def test_what_comes_is_fetched_where_that_is_asked(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("SELECT INBOX") as client:
        await running.deliver()
        fetches = "(MessageNew (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)]) MessageExpunge)"
        await client.ok(f"NOTIFY SET (SELECTED {fetches})")
        await running.deliver(count=2)
        await client.talk(
            r"""
            S: \* 3 EXISTS
            S: \* \d RECENT
            S: \* 2 FETCH \(UID 2 BODY\[HEADER.FIELDS \(SUBJECT\)\] \{21\}
            S: Subject: number 0
            """
        )


async def test_expunges_can_wait(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("SELECT INBOX") as client:
        await running.deliver(count=2)
        await client.ok(f"NOTIFY SET (SELECTED-DELAYED ({MESSAGES} FlagChange))")
        async with running.box() as box:
            await box.expunge("INBOX", [1], actor="test")
            await box.flags("INBOX", [2], ["\\Seen"], actor="test")
        assert (await client.line()).startswith("* 2 FETCH ")
        assert (await client.ok("NOOP"))[0] == "* 1 EXPUNGE"


async def test_names_and_subscriptions(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as other, running.client() as client:
        await client.ok("NOTIFY SET (PERSONAL (MailboxName SubscriptionChange))")
        await other.ok("CREATE a")
        assert await client.line() == '* LIST (\\HasNoChildren) "/" "a"'
        await other.ok("SUBSCRIBE a")
        assert await client.line() == '* LIST (\\Subscribed \\HasNoChildren) "/" "a"'
        await other.ok("RENAME a b/c")
        assert await client.line() == '* LIST (\\HasNoChildren) "/" "b/c" ("OLDNAME" ("a"))'
        await other.ok("DELETE b/c")
        assert await client.line() == '* LIST (\\NonExistent \\HasNoChildren) "/" "b"'
        assert await client.line() == '* LIST (\\NonExistent \\HasNoChildren) "/" "b/c"'


async def test_what_the_client_did_itself_is_no_news(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("CREATE a") as client:
        await client.ok(f"NOTIFY SET (PERSONAL ({MESSAGES} MailboxName SubscriptionChange))")
        await client.ok("CREATE b")
        await client.ok("SUBSCRIBE b")
        await client.ok("APPEND a {}", "Subject: x\r\n\r\n")
        assert await client.ok("NOOP") == []


async def test_flags_are_told_with_their_mod_sequence(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("CREATE a") as client:
        (line,) = await client.ok(f"NOTIFY SET STATUS (MAILBOXES a ({MESSAGES} FlagChange))")
        assert re.search(r" UNSEEN 0 HIGHESTMODSEQ \d+\)$", line)
        assert await client.ok(f"NOTIFY SET (MAILBOXES a ({MESSAGES} FlagChange))") == []


async def test_subscriptions_are_looked_at_anew(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("CREATE a", "CREATE b") as client:
        await client.ok(f"NOTIFY SET (SUBSCRIBED ({MESSAGES}))")
        await running.deliver(mailbox="a")
        await client.ok("SUBSCRIBE b")
        await running.deliver(mailbox="b")
        assert (await client.line()).startswith('* STATUS "b" (MESSAGES 1 ')


async def test_entries_of_metadata(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as other, running.client() as client:
        await client.ok("NOTIFY SET (PERSONAL (MailboxMetadataChange ServerMetadataChange))")
        await other.ok('SETMETADATA INBOX (/shared/comment "x" /private/comment NIL)')
        assert await client.line() == '* METADATA "INBOX" /shared/comment /private/comment'
        await other.ok('SETMETADATA "" (/private/comment "x")')
        assert await client.line() == '* METADATA "" /private/comment'
        await client.ok("NOTIFY SET (PERSONAL (MailboxMetadataChange))")
        await other.ok('SETMETADATA "" (/private/comment "y")')
        await client.ok("SETMETADATA INBOX (/shared/comment NIL)")
        assert await client.ok("NOOP") == []


async def test_events_that_are_not_known(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        said = await client.no("NOTIFY SET (PERSONAL (AnnotationChange))")
        assert said.startswith("NO [BADEVENT (")
        assert (await client.no("NOTIFY SET (PERSONAL (MessageNew))")).startswith("BAD ")


def notices(*groups: tuple[str, tuple[str, ...], str]) -> Notices:
    made = tuple(EventGroup(one, names, tuple(events.split())) for one, names, events in groups)
    return Notices(made, {"sub"}, lambda name: name[:6] != "Other ")


def test_all_groups_that_name_a_mailbox_apply() -> None:
    found = notices(
        ("MAILBOXES", ("quiet",), ""),
        ("SUBTREE", ("tree",), MESSAGES),
        ("INBOXES", (), MESSAGES),
        ("SUBSCRIBED", (), "MailboxName"),
    )
    assert found.wanted("quiet") == frozenset()
    assert found.wanted("tree") == found.wanted("tree/leaf") == set(MESSAGES.split())
    assert found.wanted("trees") == frozenset()
    assert found.wanted("INBOX") == set(MESSAGES.split())
    assert found.wanted("sub") == {"MailboxName"}
    both = notices(("MAILBOXES", ("a",), MESSAGES), ("PERSONAL", (), "SubscriptionChange"))
    assert both.wanted("a") == {*MESSAGES.split(), "SubscriptionChange"}
    assert both.wanted("Other Users/b@example.org/a") == frozenset()


def test_too_much_is_told_as_such() -> None:
    found = notices(("PERSONAL", (), MESSAGES))
    for number in range(MAX_WAITING + 1):
        found.hear_messages(str(number), came_or_went=True, flagged=False)
    assert found.is_overflown
    assert not found.counts
