"""GETMETADATA and SETMETADATA."""

from pathlib import Path

from mtad.store.annotations import MAX_ENTRIES
from tests.imap import serving


async def test_entries_of_a_mailbox_and_of_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("CREATE a") as client:
        assert await client.ok("GETMETADATA a /private/comment") == [
            '* METADATA "a" (/private/comment NIL)'
        ]
        await client.ok(
            'SETMETADATA a (/private/comment "mine" /shared/comment {})', "two\r\nlines"
        )
        assert await client.ok("GETMETADATA a (/Private/Comment /shared/comment)") == [
            '* METADATA "a" (/private/comment "mine" /shared/comment {10}\r\ntwo\r\nlines)'
        ]
        await client.ok('SETMETADATA "" (/private/vendor/acme/x "v")')
        assert await client.ok('GETMETADATA "" /private/vendor/acme/x') == [
            '* METADATA "" (/private/vendor/acme/x "v")'
        ]
        await client.ok("RENAME a b")
        await client.ok("SETMETADATA b (/shared/comment NIL)")
        assert await client.ok("GETMETADATA b (/private/comment /shared/comment)") == [
            '* METADATA "b" (/private/comment "mine" /shared/comment NIL)'
        ]


async def test_depth_and_size(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await client.ok(
            'SETMETADATA INBOX (/private/a "1" /private/a/b "22" /private/a/b/c "333" '
            '/private/ab "x")'
        )
        (line,) = await client.ok("GETMETADATA (DEPTH 1) INBOX /private/a")
        assert line.endswith('(/private/a "1" /private/a/b "22")')
        (line,) = await client.ok("GETMETADATA (DEPTH infinity) INBOX /private/a")
        assert line.endswith('(/private/a "1" /private/a/b "22" /private/a/b/c "333")')
        lines = await client.command("GETMETADATA (MAXSIZE 2 DEPTH infinity) INBOX /private/a")
        assert "/private/a/b/c" not in lines[0]
        assert " OK [METADATA LONGENTRIES 3] " in lines[-1]


async def test_all_that_is_shared_or_private(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await client.ok('SETMETADATA "" (/shared/comment "s" /private/a/b "p")')
        assert await client.ok('GETMETADATA (DEPTH infinity) "" (/shared /private)') == [
            '* METADATA "" (/shared/comment "s" /private/a/b "p")'
        ]
        assert await client.ok('GETMETADATA (DEPTH 1) "" /private') == []
        assert await client.ok('GETMETADATA "" /shared') == ['* METADATA "" (/shared NIL)']


async def test_options_may_stand_behind_the_mailbox(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await client.ok('SETMETADATA INBOX (/private/f/a "1" /private/f/b "22")')
        assert await client.ok("GETMETADATA INBOX (DEPTH 1) (/private/f)") == [
            '* METADATA "INBOX" (/private/f/a "1" /private/f/b "22")'
        ]
        lines = await client.command("GETMETADATA INBOX (maxsize 1) (/private/f/a /private/f/b)")
        assert lines[0] == '* METADATA "INBOX" (/private/f/a "1")'
        assert " OK [METADATA LONGENTRIES 2] " in lines[1]


async def test_limits(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        said = await client.no("SETMETADATA INBOX (/private/x {})", "x" * 70_000)
        assert said.startswith("NO [METADATA MAXSIZE 65536] ")
        entries = " ".join(f'/private/{number} "x"' for number in range(MAX_ENTRIES + 1))
        said = await client.no(f"SETMETADATA INBOX ({entries})")
        assert said.startswith("NO [METADATA TOOMANY] ")
        assert await client.ok("GETMETADATA INBOX /private/0") == [
            '* METADATA "INBOX" (/private/0 NIL)'
        ]
        assert (await client.no("GETMETADATA none /private/x")).startswith("NO [NONEXISTENT] ")
        assert (await client.no("SETMETADATA INBOX (comment x)")).startswith("BAD ")


async def test_metadata_in_list(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await client.ok('SETMETADATA INBOX (/private/color "red")')
        assert await client.ok('LIST "" INBOX RETURN (METADATA (/private/color))') == [
            '* LIST (\\HasNoChildren) "/" "INBOX"',
            '* METADATA "INBOX" (/private/color "red")',
        ]
