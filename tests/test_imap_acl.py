"""Rights as clients give them and are told of them (RFC 4314), and quota."""

from pathlib import Path

import pytest

from tests.imap import ALICE, BOB, MAIL, SECRET, Client, Running, serving
from tests.imap_acts import events
from tracing.events import BoxAcl

ALL = "lrswipkxteacd"
HERS = f"Other Users/{ALICE}"
BOBS = SECRET + " 2"


async def test_owners_may_do_everything(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        assert await client.ok("MYRIGHTS INBOX") == [f'* MYRIGHTS "INBOX" {ALL}']
        assert await client.ok("GETACL INBOX") == [f'* ACL "INBOX" {ALICE} {ALL}']
        for command in ("MYRIGHTS none", "GETACL none", "SETACL none anyone l"):
            assert (await client.no(command)).startswith("NO [NONEXISTENT] ")
        assert await client.ok(f"LISTRIGHTS INBOX {ALICE}") == [
            f'* LISTRIGHTS "INBOX" {ALICE} {ALL}'
        ]


async def test_rights_are_given_changed_and_taken(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await client.ok(f"SETACL INBOX {BOB} lrs")
        await client.ok("SETACL INBOX anyone +lr")
        await client.ok(f"SETACL INBOX -{BOB} a")
        await client.ok(f"SETACL INBOX {BOB} +d")
        await client.ok(f"SETACL INBOX {BOB} -s")
        assert await client.ok("GETACL INBOX") == [
            f'* ACL "INBOX" {ALICE} {ALL} -{BOB} a anyone lr {BOB} lrted'
        ]
        await client.ok("DELETEACL INBOX anyone")
        await client.ok(f"DELETEACL INBOX -{BOB}")
        await client.ok(f'SETACL INBOX {BOB} ""')
        assert await client.ok("GETACL INBOX") == [f'* ACL "INBOX" {ALICE} {ALL}']
        assert await client.ok(f"LISTRIGHTS INBOX {BOB}") == [
            f'* LISTRIGHTS "INBOX" {BOB} "" {" ".join(ALL)}'
        ]
        assert (await client.no(f"SETACL INBOX {BOB} lq")).startswith("BAD ")
        for who in ("bob", "nobody@local.test", ALICE, f"-{ALICE}", "$staff"):
            assert (await client.no(f"SETACL INBOX {who} lr")).startswith("NO [CANNOT] "), who
        told = events(running, "box.acl")
        assert all(isinstance(one, BoxAcl) and one.actor == f"user:{ALICE}" for one in told)
        assert len(told) == 8


async def test_capabilities_are_told(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        said = (await client.ok("CAPABILITY"))[0].split()
        assert {"ACL", "RIGHTS=texk", "LIST-MYRIGHTS"} <= set(said)


async def shared(running: Running, bob: Client, letters: str) -> None:
    """Alice's mailbox A with four messages, one deleted; Bob has rights to it."""
    await bob.log_in(BOB, BOBS)
    async with running.client("CREATE A", "CREATE A/sub", "CREATE target") as alice:
        await running.deliver(mailbox="A", count=4)
        await alice.ok("SELECT A")
        await alice.ok(r"STORE 4 +FLAGS (\Deleted)")
        await alice.ok("SETACL target anyone lri")
        if letters:
            await alice.ok(f"SETACL A {BOB} {letters}")
        if "x" in letters:
            await alice.ok(f"SETACL A/sub {BOB} lx")


TABLE = [
    # Rights that are too few, those that are enough, the command.
    ("lswipkxtea", "r", f'SELECT "{HERS}/A"'),
    ("lswipkxtea", "r", f'EXAMINE "{HERS}/A"'),
    ("lswipkxtea", "r", f'STATUS "{HERS}/A" (MESSAGES UNSEEN DELETED-STORAGE)'),
    ("lswipkxtea", "r", f'GETQUOTAROOT "{HERS}/A"'),
    ("lswipkxtea", "r", f'GETMETADATA "{HERS}/A" /private/comment'),
    ("lswipkxtea", "r", f'SETMETADATA "{HERS}/A" (/private/comment "x")'),
    ("lrsipkxtea", "rw", f'SETMETADATA "{HERS}/A" (/shared/comment "x")'),
    ("lrswpkxtea", "i", f'APPEND "{HERS}/A" {{}}'),
    ("lrswipxtea", "k", f'CREATE "{HERS}/A/made"'),
    ("lrswipkxtea", "lk", f'CREATE "{HERS}/A/sub/made"'),
    ("lrswipktea", "lx", f'DELETE "{HERS}/A"'),
    ("lrswipktea", "lkx", f'RENAME "{HERS}/A" "{HERS}/A2"'),
    ("lrswipkxte", "a", f'GETACL "{HERS}/A"'),
    ("lrswipkxte", "a", f'SETACL "{HERS}/A" anyone lr'),
    ("lrswipkxte", "a", f'DELETEACL "{HERS}/A" anyone'),
    ("lrswipkxte", "a", f'LISTRIGHTS "{HERS}/A" anyone'),
    ("", "l", f'MYRIGHTS "{HERS}/A"'),
    ("pwste", "l", f'SUBSCRIBE "{HERS}/A"'),
]
NEIGHBOURS = {
    f'CREATE "{HERS}/A/sub/made"': ("A/sub", "k"),
    f'RENAME "{HERS}/A" "{HERS}/A2"': ("INBOX", "k"),
}


@pytest.mark.parametrize(("few", "enough", "command"), TABLE)
async def test_what_needs_which_right(tmp_path: Path, few: str, enough: str, command: str) -> None:
    literals = [(MAIL % 9).decode()] if "{}" in command else []
    async with serving(tmp_path) as running, running.connect() as bob:
        await shared(running, bob, few)
        told = await bob.no(command, *literals)
        # Who has no "l" is not to know that there is anything.
        assert told.startswith(
            "NO [NOPERM] " if "l" in few else ("NO [TRYCREATE]", "NO [NONEXISTENT] ")
        )
        async with running.client(f"SETACL A {BOB} {enough}") as alice:
            mailbox, right = NEIGHBOURS.get(command, ("A", ""))
            await alice.ok(f"SETACL {mailbox} {BOB} +{right}")
        await bob.ok(command, *literals)


@pytest.mark.parametrize(
    ("few", "enough", "command"),
    [
        ("lrwite", "s", r"STORE 1 +FLAGS (\Seen)"),
        ("lrsite", "w", r"STORE 1 +FLAGS (\Flagged Todo)"),
        ("lrswie", "t", r"STORE 1 FLAGS (\Deleted)"),
        ("lriea", "w", "STORE 1 FLAGS ()"),
        ("lrswipkxta", "e", "EXPUNGE"),
        ("lrswipkxta", "e", "UID EXPUNGE 1:*"),
        ("lrswipkxt", "e", "MOVE 1 INBOX"),
        ("lrswipkxe", "t", "MOVE 1 INBOX"),
        ("lrswip", "te", f'REPLACE 1 "{HERS}/target" {{}}'),
    ],
)
async def test_what_needs_which_right_in_the_selected_mailbox(
    tmp_path: Path, few: str, enough: str, command: str
) -> None:
    literals = [(MAIL % 9).decode()] if "{}" in command else []
    async with serving(tmp_path) as running, running.connect() as bob:
        await shared(running, bob, few)
        await bob.ok(f'SELECT "{HERS}/A"')
        assert (await bob.no(command, *literals)).startswith("NO [NOPERM] ")
        async with running.client(f"SETACL A {BOB} +{enough}"):
            pass
        await bob.ok(command, *literals)


async def test_flags_that_may_not_be_set_are_left_out(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.connect() as bob:
        await shared(running, bob, "lrswi")
        told = await bob.ok(f'SELECT "{HERS}/A"')
        assert any(
            line.startswith(
                r"* OK [PERMANENTFLAGS (\Answered \Flagged \Seen \Draft $Forwarded \*)]"
            )
            for line in told
        )
        assert await bob.ok(r"STORE 1 +FLAGS (\Deleted \Flagged \Seen)") == [
            r"* 1 FETCH (FLAGS (\Flagged \Seen))"
        ]
        assert (await bob.ok("STORE 4 FLAGS (Todo)"))[-1] == r"* 4 FETCH (FLAGS (\Deleted Todo))"
        assert await bob.ok(r"STORE 1 FLAGS (\Answered)") == [r"* 1 FETCH (FLAGS (\Answered))"]
        await bob.ok("COPY 4 INBOX")
        await bob.ok(f'COPY 4 "{HERS}/target"')
        await bob.ok(rf'APPEND "{HERS}/A" (\Deleted \Flagged) {{}}', (MAIL % 9).decode())
        assert await bob.ok("FETCH 5 FLAGS") == [r"* 5 FETCH (FLAGS (\Flagged \Recent))"]
        await bob.ok(f'SELECT "{HERS}/target"')
        assert await bob.ok("FETCH 1 FLAGS") == [r"* 1 FETCH (FLAGS (\Recent))"]
        await bob.ok("SELECT INBOX")
        assert await bob.ok("FETCH 1 FLAGS") == [r"* 1 FETCH (FLAGS (\Deleted Todo \Recent))"]


async def test_who_may_only_read_changes_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.connect() as bob:
        await shared(running, bob, "lr")
        lines = await bob.command(f'SELECT "{HERS}/A"')
        assert " OK [READ-ONLY] " in lines[-1]
        assert any(line.startswith("* OK [PERMANENTFLAGS ()]") for line in lines)
        assert not any(" FLAGS (\\Seen" in line for line in await bob.ok("FETCH 1 BODY[]"))
        await bob.ok("CLOSE")
        lines = await bob.command(f'SELECT "{HERS}/A"')
        assert "* 4 EXISTS" in lines


@pytest.mark.parametrize(
    ("letters", "code"),
    [("lrs", "READ-ONLY"), ("lrp", "READ-ONLY"), ("lri", "READ-WRITE"), ("lrw", "READ-WRITE")],
)
async def test_whether_a_mailbox_is_read_only(tmp_path: Path, letters: str, code: str) -> None:
    async with serving(tmp_path) as running, running.connect() as bob:
        await shared(running, bob, letters)
        assert f" OK [{code}] " in (await bob.command(f'SELECT "{HERS}/A"'))[-1]
        assert " OK [READ-ONLY] " in (await bob.command(f'EXAMINE "{HERS}/A"'))[-1]


async def test_rights_that_change_are_told_and_heeded_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.connect() as bob, running.client() as alice:
        await shared(running, bob, "lrw")
        await bob.ok(f'SELECT "{HERS}/A"')
        await bob.talk(r"""
            C: i IDLE
            S: \+ .*
        """)
        await alice.ok(f"SETACL A {BOB} +s")
        await bob.talk(r"""
            S: \* FLAGS .*
            S: \* OK \[PERMANENTFLAGS \(\\Answered \\Flagged \\Seen \\Draft .*
        """)
        await alice.ok(f"DELETEACL A {BOB}")
        await bob.talk(r"""
            S~ \* 4 EXPUNGE
            S: \* 3 EXPUNGE
            S: \* 2 EXPUNGE
            S: \* 1 EXPUNGE
            C: DONE
            S: i OK .*
        """)
        assert (await bob.no("FETCH 1:* FLAGS")).startswith("NO ")
        assert (await bob.no("UID SEARCH ALL")).startswith("NO [NONEXISTENT] ")
        await bob.ok("CLOSE")
        assert (await bob.no(f'SELECT "{HERS}/A"')).startswith("NO [NONEXISTENT] ")


async def test_quota(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        root, usage = await client.ok("GETQUOTAROOT INBOX")
        assert root == '* QUOTAROOT "INBOX" "box"'
        assert usage.startswith('* QUOTA "box" (')
        assert await client.ok("GETQUOTA box") == [usage]
        assert (await client.no("GETQUOTA none")).startswith("NO [NONEXISTENT] ")
        assert await client.ok("GETQUOTAROOT none") == ['* QUOTAROOT "none" "box"', usage]
        assert (await client.no("SETQUOTA box (STORAGE 5)")).startswith("NO [NOPERM] ")
