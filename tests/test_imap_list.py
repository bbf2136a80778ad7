"""LIST and LSUB with their extensions."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.imap import Client, serving


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """Logged in; INBOX, Sent, a/b, a/c/d, "Да & нет", and subscriptions to a/b and gone/x."""
    async with serving(tmp_path) as running, running.client() as client:
        for name in ("Sent", "a/b", "a/c/d", '"&BBQEMA- &- &BD0ENQRC-"'):
            await client.ok(f"CREATE {name}")
        for name in ("a/b", "gone/x"):
            await client.ok(f"SUBSCRIBE {name}")
        yield client


async def test_everything(client: Client) -> None:
    assert sorted(await client.ok('LIST "" *')) == [
        '* LIST (\\HasNoChildren \\Sent) "/" "Sent"',
        '* LIST (\\HasNoChildren) "/" "&BBQEMA- &- &BD0ENQRC-"',
        '* LIST (\\HasNoChildren) "/" "INBOX"',
        '* LIST (\\HasNoChildren) "/" "a/b"',
        '* LIST (\\HasNoChildren) "/" "a/c/d"',
        '* LIST (\\Noselect \\HasChildren) "/" "a"',
        '* LIST (\\Noselect \\HasChildren) "/" "a/c"',
    ]


async def names(client: Client, command: str) -> list[str]:
    return [line.partition('"/" "')[2].partition('"')[0] for line in await client.ok(command)]


async def test_levels_and_references(client: Client) -> None:
    assert await names(client, 'LIST "" %') == ["INBOX", "Sent", "a", "&BBQEMA- &- &BD0ENQRC-"]
    assert await names(client, 'LIST "" a/%') == ["a/b", "a/c"]
    assert await names(client, "LIST a/ %") == ["a/b", "a/c"]
    assert await names(client, 'LIST "" inBox') == ["INBOX"]
    assert await names(client, 'LIST "" nothing') == []
    assert await names(client, 'LIST "" ("Sent" "a/%" "Sent")') == ["Sent", "a/b", "a/c"]


async def test_the_delimiter(client: Client) -> None:
    assert await client.ok('LIST "" ""') == ['* LIST (\\Noselect) "/" ""']


async def test_what_is_subscribed(client: Client) -> None:
    assert await client.ok('LIST (SUBSCRIBED) "" *') == [
        '* LIST (\\Subscribed \\HasNoChildren) "/" "a/b"',
        '* LIST (\\NonExistent \\Subscribed \\HasNoChildren) "/" "gone/x"',
    ]
    assert await client.ok('LIST "" (a/b Sent) RETURN (SUBSCRIBED CHILDREN)') == [
        '* LIST (\\HasNoChildren \\Sent) "/" "Sent"',
        '* LIST (\\Subscribed \\HasNoChildren) "/" "a/b"',
    ]


async def test_children_that_are_subscribed(client: Client) -> None:
    assert await client.ok('LIST (SUBSCRIBED RECURSIVEMATCH) "" %') == [
        '* LIST (\\NonExistent \\HasChildren) "/" "a" ("CHILDINFO" ("SUBSCRIBED"))',
        '* LIST (\\NonExistent \\HasNoChildren) "/" "gone" ("CHILDINFO" ("SUBSCRIBED"))',
    ]
    assert (await client.no('LIST (RECURSIVEMATCH) "" *')).startswith("BAD ")


async def test_parents_of_what_is_told_are_left_out(client: Client) -> None:
    assert await names(client, 'LIST (SUBSCRIBED RECURSIVEMATCH) "" *') == ["a/b", "gone/x"]
    await client.ok("SUBSCRIBE a/c/d")
    # a is above a/c/d, which the pattern leaves out (RFC 5258 3.5).
    assert await names(client, 'LIST (SUBSCRIBED RECURSIVEMATCH) "" (a a/b)') == ["a", "a/b"]
    assert await names(client, 'LIST (SUBSCRIBED RECURSIVEMATCH) "" (a/c a/c/d)') == ["a/c/d"]
    await client.ok("SUBSCRIBE a/c")
    assert await client.ok('LIST (SUBSCRIBED RECURSIVEMATCH) "" (a/c a/c/d)') == [
        '* LIST (\\NonExistent \\Subscribed \\HasChildren) "/" "a/c" ("CHILDINFO" ("SUBSCRIBED"))',
        '* LIST (\\Subscribed \\HasNoChildren) "/" "a/c/d"',
    ]


async def test_special_uses(client: Client) -> None:
    assert await client.ok('LIST (SPECIAL-USE) "" *') == [
        '* LIST (\\HasNoChildren \\Sent) "/" "Sent"'
    ]
    assert await names(client, 'LIST "" % RETURN (SPECIAL-USE)') == await names(client, 'LIST "" %')


async def test_status_and_rights_with_the_names(client: Client) -> None:
    lines = await client.ok('LIST "" (Sent a) RETURN (STATUS (MESSAGES UNSEEN))')
    assert lines == [
        '* LIST (\\HasNoChildren \\Sent) "/" "Sent"',
        '* STATUS "Sent" (MESSAGES 0 UNSEEN 0)',
        '* LIST (\\NonExistent \\HasChildren) "/" "a"',
    ]


async def test_utf8_names_for_who_enabled_them(client: Client) -> None:
    await client.ok("ENABLE IMAP4rev2")
    assert 'LIST (\\HasNoChildren) "/" "Да & нет"' in "\n".join(await client.ok('LIST "" *'))
    assert await names(client, 'LIST "" "Да*"') == ["Да & нет"]
    assert '* LIST (\\NonExistent \\HasChildren) "/" "a"' in await client.ok('LIST "" a')


async def test_lsub(client: Client) -> None:
    assert await client.ok('LSUB "" *') == [
        '* LSUB () "/" "a/b"',
        '* LSUB () "/" "gone/x"',
    ]
    assert await client.ok('LSUB "" %') == [
        '* LSUB (\\Noselect) "/" "a"',
        '* LSUB (\\Noselect) "/" "gone"',
    ]


async def test_subscriptions_need_no_mailbox(client: Client) -> None:
    await client.ok("UNSUBSCRIBE gone/x")
    await client.ok("UNSUBSCRIBE never/was")
    await client.ok("SUBSCRIBE INBOX")
    assert await client.ok('LSUB "" *') == ['* LSUB () "/" "INBOX"', '* LSUB () "/" "a/b"']
    assert (await client.no('SUBSCRIBE ""')).startswith(("NO ", "BAD "))
