r"""Mailboxes of others: where they are listed, whose \Seen is whose, what goes between boxes."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mtad.directory.changes import Changes
from mtad.journal.command import command_journal
from tests.imap import ALICE, BOB, MAIL, SECRET, Client, Running, serving
from tests.imap_acts import events
from tracing.events import BoxAppend, BoxMailbox, BoxSeen

BOBS = SECRET + " 2"
HERS = f"Other Users/{ALICE}"


@asynccontextmanager
async def as_bob(running: Running, *commands: str) -> AsyncIterator[Client]:
    async with running.connect() as client:
        await client.log_in(BOB, BOBS)
        for command in commands:
            await client.ok(command)
        yield client


@asynccontextmanager
async def both(tmp_path: Path, count: int = 3) -> AsyncIterator[tuple[Running, Client, Client]]:
    """Alice with some mail in A, which Bob may work with, and Bob."""
    async with serving(tmp_path) as running, running.client("CREATE A") as alice:
        await running.deliver(mailbox="A", count=count)
        await alice.ok(f"SETACL A {BOB} lrswite")
        async with as_bob(running) as bob:
            yield running, alice, bob


def named(lines: list[str]) -> list[str]:
    """The names of LIST responses, those of one's own box left out."""
    found = [re.sub(r'.* "/" ', "", line).strip('"') for line in lines]
    return [name for name in found if name.startswith(("Other", "Shared"))]


# ------------------------------------------------------------------------- names


async def test_names_of_others_are_listed_where_they_may_be_known(tmp_path: Path) -> None:
    async with both(tmp_path) as (_, alice, bob):
        await alice.ok("CREATE A/hidden/deep")
        await alice.ok(f"DELETEACL A/hidden/deep {BOB}")
        await alice.ok("CREATE A/seen")
        assert named(await alice.ok('LIST "" *')) == []
        every = ["Other Users", HERS, f"{HERS}/A", f"{HERS}/A/seen"]
        assert named(await bob.ok('LIST "" *')) == every
        assert named(await bob.ok('LIST "" %')) == every[:1]
        assert named(await bob.ok('LIST "Other Users/" %')) == every[1:2]
        assert named(await bob.ok(f'LIST "" "{HERS}/*"')) == every[2:]
        assert named(await bob.ok(f'LIST "" "{HERS}/%"')) == every[2:3]
        assert named(await bob.ok('LIST "" "Shared/*"')) == []
        flags = {one: line for line in await bob.ok('LIST "" *') for one in named([line])}
        assert "\\Noselect \\HasChildren" in flags[HERS]
        assert "(\\HasChildren)" in flags[f"{HERS}/A"]
        assert "(\\HasNoChildren)" in flags[f"{HERS}/A/seen"]


async def test_lists_tell_counts_and_rights_of_what_may_be_read(tmp_path: Path) -> None:
    async with both(tmp_path) as (_, alice, bob):
        await alice.ok("CREATE B")
        await alice.ok(f"SETACL B {BOB} l")
        lines = await bob.ok('LIST "" (INBOX "Other*") RETURN (MYRIGHTS STATUS (MESSAGES))')
        about = [line for line in lines if not line.startswith("* LIST")]
        assert about == [
            '* MYRIGHTS "INBOX" lrswipkxteacd',
            '* STATUS "INBOX" (MESSAGES 0)',
            f'* MYRIGHTS "{HERS}/A" lrswited',
            f'* STATUS "{HERS}/A" (MESSAGES 3)',
            f'* MYRIGHTS "{HERS}/B" l',
        ]


async def test_subscriptions_are_one_s_own(tmp_path: Path) -> None:
    async with both(tmp_path) as (_, alice, bob):
        await bob.ok(f'SUBSCRIBE "{HERS}/A"')
        assert named(await bob.ok('LSUB "" *')) == [f"{HERS}/A"]
        assert named(await bob.ok('LIST (SUBSCRIBED) "" *')) == [f"{HERS}/A"]
        assert named(await bob.ok('LSUB "" "Other Users/%"')) == [HERS]
        assert await alice.ok('LSUB "" *') == []
        await alice.ok(f"DELETEACL A {BOB}")
        (line,) = await bob.ok('LIST (SUBSCRIBED) "" *')
        assert "\\NonExistent" in line
        await bob.ok(f'UNSUBSCRIBE "{HERS}/A"')
        assert await bob.ok('LSUB "" *') == []


async def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    async with both(tmp_path) as (running, alice, bob):
        for name in (
            "Other Users/nobody@local.test/INBOX",
            f"Other Users/{BOB}/INBOX",
            f"Other Users/{ALICE.upper()}/A",
            f"Shared/{ALICE}/A",
            f"{HERS}/INBOX",
            f"{HERS}/none",
            f"{HERS}/",
            HERS,
            "Other Users/../x@local.test/A",
            "Other Users/a@b/../../A",
        ):
            told = await bob.no(f'SELECT "{name}"')
            assert told.startswith("NO [NONEXISTENT] "), name
            assert (await bob.no(f'APPEND "{name}" {{}}', "x")).startswith("NO [TRYCREATE] ")
        for name in (f"{HERS}/new", "Other Users", "Other Users/x", "Shared", "Shared/x"):
            assert (await bob.no(f'CREATE "{name}"')).startswith("NO ["), name
        assert (await bob.no(f'RENAME INBOX "{HERS}/x"')).startswith("NO ")
        assert (await alice.no("RENAME A Shared/A")).startswith("NO [CANNOT]")
        assert sorted(path.name for path in running.places.boxes.glob("*/*")) == ["alice", "bob"]


async def test_a_mailbox_called_shared_stays_one_s_own(tmp_path: Path) -> None:
    async with both(tmp_path) as (running, alice, _):
        await running.deliver(mailbox="Shared/Old")
        assert "* 1 EXISTS" in await alice.ok('SELECT "Shared/Old"')
        await alice.ok('RENAME "Shared/Old" Old')


async def test_a_renamed_mailbox_keeps_its_rights(tmp_path: Path) -> None:
    async with both(tmp_path) as (_, alice, bob):
        await bob.ok(f'SELECT "{HERS}/A"')
        await alice.ok("RENAME A Z")
        await bob.ok(r"STORE 1 +FLAGS (\Flagged)")
        assert named(await bob.ok('LIST "" *'))[2:] == [f"{HERS}/Z"]
        assert await bob.ok(f'MYRIGHTS "{HERS}/Z"') == [f'* MYRIGHTS "{HERS}/Z" lrswited']
        assert (await bob.no(f'MYRIGHTS "{HERS}/A"')).startswith("NO [NONEXISTENT]")
        await alice.ok("DELETE Z")
        assert "* 3 EXPUNGE" in await bob.ok("NOOP")


async def test_others_make_rename_and_delete_where_they_may(tmp_path: Path) -> None:
    async with both(tmp_path) as (running, alice, bob):
        await alice.ok(f"SETACL A {BOB} +kx")
        await alice.ok(f"SETACL INBOX {BOB} lk")
        await bob.ok(f'CREATE "{HERS}/A/x"')
        await bob.ok(f'CREATE "{HERS}/top"')
        assert await bob.ok(f'MYRIGHTS "{HERS}/top"') == [f'* MYRIGHTS "{HERS}/top" lkc']
        await bob.ok(f'RENAME "{HERS}/A/x" "{HERS}/y"')
        assert await bob.ok(f'MYRIGHTS "{HERS}/y"') == [f'* MYRIGHTS "{HERS}/y" lrswikxtecd']
        assert (await bob.no(f'RENAME "{HERS}/y" mine')).startswith("NO [CANNOT]")
        await bob.ok(f'DELETE "{HERS}/y"')
        made = [one for one in events(running, "box.mailbox") if one.actor == f"user:{BOB}"]
        assert [
            (one.addr, one.mailbox, one.what) for one in made if isinstance(one, BoxMailbox)
        ] == [
            (ALICE, "A/x", "created"),
            (ALICE, "top", "created"),
            (ALICE, "A/x", "renamed"),
            (ALICE, "y", "deleted"),
        ]


# -------------------------------------------------------------------------- seen


async def test_everybody_has_a_seen_of_their_own(tmp_path: Path) -> None:
    async with both(tmp_path) as (running, alice, bob):
        await alice.ok("SELECT A")
        await bob.ok(f'SELECT "{HERS}/A"')
        told = await bob.ok("FETCH 2 (FLAGS BODY[TEXT])")
        assert "FLAGS (\\Seen" in told[0]
        await bob.ok(r"STORE 3 +FLAGS (\Seen \Flagged)")
        await alice.ok(r"STORE 1 +FLAGS (\Seen)")
        await bob.ok("NOOP")
        assert await alice.ok("SEARCH SEEN") == ["* SEARCH 1"]
        assert await alice.ok("SEARCH FLAGGED") == ["* SEARCH 3"]
        assert await bob.ok("SEARCH UNSEEN") == ["* SEARCH 1"]
        assert await bob.ok("SEARCH SEEN FLAGGED") == ["* SEARCH 3"]
        await bob.ok(r"STORE 2 -FLAGS (\Seen)")
        assert await alice.ok("STATUS A (UNSEEN)") == ['* STATUS "A" (UNSEEN 2)']
        assert await bob.ok(f'STATUS "{HERS}/A" (UNSEEN)') == [f'* STATUS "{HERS}/A" (UNSEEN 2)']
        lines = await bob.ok(f'SELECT "{HERS}/A"')
        assert any("[UNSEEN 1]" in line for line in lines)
        acts = [one for one in events(running, "box.seen") if isinstance(one, BoxSeen)]
        assert [(one.addr, one.actor, one.seen) for one in acts] == [
            (ALICE, f"user:{BOB}", True),
            (ALICE, f"user:{BOB}", True),
            (ALICE, f"user:{BOB}", False),
        ]
        assert all("from 127.0.0.1" in one.client for one in acts)
        (read,) = running.journal.all("box.read")
        assert (read.addr, read.mailbox, read.actor) == (ALICE, "A", f"user:{BOB}")


async def test_changes_are_told_to_all_who_have_it_selected(tmp_path: Path) -> None:
    async with both(tmp_path) as (running, alice, bob), as_bob(running) as phone:
        await alice.ok("SELECT A")
        await bob.ok(f'SELECT "{HERS}/A"')
        await phone.ok(f'SELECT "{HERS}/A"')
        await phone.talk(r"""
            C: i IDLE
            S: \+ .*
        """)
        await bob.ok(r"STORE 1 +FLAGS (\Seen)")
        await phone.talk(r"S: \* 1 FETCH \(UID 1 FLAGS \(\\Seen\)\)")
        await running.deliver(mailbox="A")
        await phone.talk(r"S~ \* 4 EXISTS")
        await alice.ok(r"STORE 2 +FLAGS.SILENT (\Deleted)")
        await alice.ok("EXPUNGE")
        await phone.talk(r"""
            S~ \* 2 EXPUNGE
            C: DONE
            S~ i OK .*
        """)
        assert await alice.ok("FETCH 1 FLAGS") == [r"* 1 FETCH (FLAGS (\Recent))"]


async def test_who_comes_back_finds_what_became_of_it(tmp_path: Path) -> None:
    async with both(tmp_path, count=5) as (running, alice, bob):
        await bob.ok("ENABLE QRESYNC")
        lines = await bob.ok(f'SELECT "{HERS}/A"')
        validity, modseq = (
            next(found[1] for line in lines if (found := re.search(rf"\[{word} (\d+)\]", line)))
            for word in ("UIDVALIDITY", "HIGHESTMODSEQ")
        )
        await bob.ok("CLOSE")
        async with as_bob(running, f'SELECT "{HERS}/A"') as phone:
            await phone.ok(r"STORE 2 +FLAGS (\Seen)")
        await alice.ok("SELECT A")
        await alice.ok(r"STORE 3 +FLAGS (\Seen \Flagged)")
        await alice.ok(r"STORE 4 +FLAGS (\Deleted)")
        await alice.ok("EXPUNGE")
        lines = await bob.ok(f'SELECT "{HERS}/A" (QRESYNC ({validity} {modseq} 1:5))')
        assert "* VANISHED (EARLIER) 4" in lines
        told = [re.sub(r" MODSEQ \(\d+\)", "", line) for line in lines if " FETCH " in line]
        assert told == [
            r"* 2 FETCH (UID 2 FLAGS (\Seen))",
            r"* 3 FETCH (UID 3 FLAGS (\Flagged))",
        ]


# ------------------------------------------------------------------ between boxes


async def test_messages_are_copied_from_box_to_box(tmp_path: Path) -> None:
    async with both(tmp_path) as (running, alice, bob):
        await alice.ok("SELECT A")
        await alice.ok(r"STORE 1:2 +FLAGS (\Seen Todo $Forwarded)")
        await bob.ok(f'SELECT "{HERS}/A"')
        await bob.ok(r"STORE 2:3 +FLAGS (\Seen)")
        items = "(INTERNALDATE RFC822.SIZE BODY.PEEK[])"
        source = await bob.ok(f"FETCH 1:3 {items}")
        lines = await bob.command("COPY 1:3 INBOX")
        assert re.search(r"OK \[COPYUID \d+ 1:3 1:3\]", lines[-1])
        await bob.ok("SELECT INBOX")
        assert await bob.ok(f"FETCH 1:3 {items}") == source
        assert await bob.ok("FETCH 1:3 FLAGS") == [
            r"* 1 FETCH (FLAGS ($Forwarded Todo \Recent))",
            r"* 2 FETCH (FLAGS ($Forwarded \Seen Todo \Recent))",
            r"* 3 FETCH (FLAGS (\Seen \Recent))",
        ]
        assert (await alice.ok("SEARCH SEEN"))[0] == "* SEARCH 1 2"
        assert not list((running.folder(BOB) / "Maildir" / "tmp").iterdir())
        copied = [e for e in events(running, "box.append") if isinstance(e, BoxAppend)]
        assert [(e.addr, e.actor, len(e.items)) for e in copied] == [(BOB, f"user:{BOB}", 3)]
        assert (await bob.no("COPY 1 none")).startswith("NO [TRYCREATE]")


async def test_messages_are_moved_and_put_into_a_shared_mailbox(tmp_path: Path) -> None:
    async with both(tmp_path, count=1) as (running, alice, bob):
        await running.deliver(box=BOB, count=2)
        await bob.ok("SELECT INBOX")
        await bob.ok(r"STORE 1 +FLAGS (\Seen)")
        lines = await bob.command(f'MOVE 1:2 "{HERS}/A"')
        assert any(re.search(r"OK \[COPYUID \d+ 1:2 2:3\]", line) for line in lines)
        assert {"* 1 EXPUNGE", "* 2 EXPUNGE"} & set(lines)
        await bob.ok(rf'APPEND "{HERS}/A" (\Seen \Flagged) {{}}', (MAIL % 9).decode())
        await alice.ok("SELECT A")
        assert await alice.ok("SEARCH SEEN") == ["* SEARCH"]
        await bob.ok(f'SELECT "{HERS}/A"')
        assert await bob.ok("SEARCH SEEN") == ["* SEARCH 2 4"]
        await bob.ok("MOVE 4 INBOX")
        await bob.ok("SELECT INBOX")
        assert await bob.ok("FETCH 1:* FLAGS") == [r"* 1 FETCH (FLAGS (\Flagged \Seen \Recent))"]


async def test_within_a_shared_mailbox_copies_are_seen_by_who_saw_them(tmp_path: Path) -> None:
    async with both(tmp_path) as (_, alice, bob):
        await bob.ok(f'SELECT "{HERS}/A"')
        await bob.ok(r"STORE 1 +FLAGS (\Seen)")
        await bob.ok(f'COPY 1:2 "{HERS}/A"')
        assert await bob.ok("SEARCH SEEN") == ["* SEARCH 1 4"]
        await alice.ok("SELECT A")
        assert await alice.ok("SEARCH SEEN") == ["* SEARCH"]


async def test_reading_in_all_ways(tmp_path: Path) -> None:
    async with both(tmp_path) as (_, alice, bob):
        await alice.ok("SELECT A")
        await bob.ok(f'SELECT "{HERS}/A"')
        for command in (
            "FETCH 1:* (ENVELOPE BODYSTRUCTURE RFC822.HEADER)",
            "SORT (SUBJECT) UTF-8 ALL",
            "THREAD REFERENCES UTF-8 ALL",
            'SEARCH SUBJECT "number"',
            'SEARCH BODY "hello"',
            "FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])",
        ):
            told = await bob.ok(command)
            assert told == await alice.ok(command)
            assert told
        url = f"/{HERS.replace(' ', '%20')}/A/;UID=1/;SECTION=TEXT"
        await bob.ok(f'APPEND INBOX CATENATE (TEXT {{}} URL "{url}")', "Subject: x\r\n\r\n")
        url = f"/{HERS.replace(' ', '%20')}/INBOX/;UID=1"
        assert (await bob.no(f'APPEND INBOX CATENATE (URL "{url}")')).startswith("NO [BADURL")


async def test_annotations_of_a_shared_mailbox(tmp_path: Path) -> None:
    async with both(tmp_path) as (_, alice, bob):
        await alice.ok('SETMETADATA A (/private/comment "hers" /shared/comment "all")')
        both_ = f'GETMETADATA "{HERS}/A" (/private/comment /shared/comment)'
        told = await bob.ok(both_)
        assert "hers" not in "".join(told)
        assert '"all"' in "".join(told)
        await bob.ok(f'SETMETADATA "{HERS}/A" (/private/comment "his" /shared/comment "new")')
        assert '"his"' in "".join(await bob.ok(both_))
        told = await alice.ok("GETMETADATA A (/private/comment /shared/comment)")
        assert '"hers"' in "".join(told)
        assert '"new"' in "".join(told)


# ------------------------------------------------------------------------ public


async def test_public_boxes_are_in_a_namespace_of_their_own(tmp_path: Path) -> None:
    async with both(tmp_path) as (running, _, bob):
        await bob.ok(f'SELECT "{HERS}/A"')
        with command_journal(running.places) as journal:
            Changes(running.places.state_db, journal, "admin:x").set_public(ALICE, True)
        running.service.logins.directory.refresh()
        assert named(await bob.ok('LIST "" *')) == [
            "Shared", f"Shared/{ALICE}", f"Shared/{ALICE}/A",
        ]  # fmt: skip
        assert (await bob.no(f'SELECT "{HERS}/A"')).startswith("NO [NONEXISTENT]")
        assert "* 3 EXISTS" in await bob.ok(f'SELECT "Shared/{ALICE}/A"')


@pytest.mark.parametrize("who", ["anyone", "authenticated"])
async def test_what_everybody_may_read(tmp_path: Path, who: str) -> None:
    async with serving(tmp_path) as running, running.client(f"SETACL INBOX {who} lr"):
        await running.deliver(count=1)
        async with as_bob(running) as bob:
            assert "* 1 EXISTS" in await bob.ok(f'EXAMINE "{HERS}/inbox"')


# ------------------------------------------------------------------------ NOTIFY

COUNTS = "MessageNew MessageExpunge"


async def test_news_of_others_mailboxes(tmp_path: Path) -> None:
    async with both(tmp_path, count=1) as (running, alice, bob):
        await alice.ok("CREATE B")
        (line,) = await bob.ok(f'NOTIFY SET STATUS (SUBTREE "{HERS}" ({COUNTS}))')
        assert line.startswith(f'* STATUS "{HERS}/A" (MESSAGES 1 ')
        await running.deliver(mailbox="B")
        await running.deliver(mailbox="A")
        assert (await bob.line()).startswith(f'* STATUS "{HERS}/A" (MESSAGES 2 ')
        await bob.ok(f'SELECT "{HERS}/A"')
        await running.deliver(mailbox="A")
        lines = await bob.ok("NOOP")
        assert lines[0] == "* 3 EXISTS"
        assert not any("STATUS" in line for line in lines)
        await bob.ok("UNSELECT")
        # What may not be read any more is not told of.
        await alice.ok(f"SETACL A {BOB} l")
        await running.deliver(mailbox="A")
        assert await bob.ok("NOOP") == []
        await bob.ok(f"NOTIFY SET (PERSONAL ({COUNTS}))")
        await alice.ok(f"SETACL A {BOB} lr")
        await running.deliver(mailbox="A")
        assert await bob.ok("NOOP") == []


async def test_names_of_others_come_and_go_with_the_right_to_list(tmp_path: Path) -> None:
    async with both(tmp_path) as (_, alice, bob):
        await alice.ok("CREATE A/hidden")
        await alice.ok(f"DELETEACL A/hidden {BOB}")
        await bob.ok(f'NOTIFY SET (SUBTREE "{HERS}/A" (MailboxName MailboxMetadataChange))')
        await alice.ok("RENAME A/hidden A/secret")
        await alice.ok('SETMETADATA A/secret (/shared/comment "x")')
        await alice.ok("DELETE A/secret")
        assert await bob.ok("NOOP") == []
        await alice.ok("CREATE A/new")
        assert await bob.line() == f'* LIST (\\HasNoChildren) "/" "{HERS}/A/new"'
        await alice.ok("RENAME A/new A/newer")
        named = f'* LIST (\\HasNoChildren) "/" "{HERS}/A/newer" ("OLDNAME" ("{HERS}/A/new"))'
        assert await bob.line() == named
        await alice.ok('SETMETADATA A/newer (/shared/comment "x" /private/comment "y")')
        assert await bob.line() == f'* METADATA "{HERS}/A/newer" /shared/comment'
        await alice.ok(f"DELETEACL A/newer {BOB}")
        gone = f'* LIST (\\NonExistent \\HasNoChildren) "/" "{HERS}/A/newer"'
        assert await bob.line() == gone
        await alice.ok("DELETE A/newer")
        await bob.ok("NOTIFY NONE")
        await alice.ok(f"DELETEACL A {BOB}")
        assert await bob.ok("NOOP") == []


async def test_what_may_be_listed_and_not_read_is_said_so(tmp_path: Path) -> None:
    async with both(tmp_path) as (_, alice, bob):
        await alice.ok(f"SETACL A {BOB} l")
        assert await bob.ok(f'NOTIFY SET STATUS (MAILBOXES "{HERS}/A" ({COUNTS}))') == [
            f'* LIST (\\NoAccess) "/" "{HERS}/A"'
        ]
