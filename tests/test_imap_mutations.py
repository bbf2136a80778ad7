"""Mutated dialogs against a real session: every command has its one answer, none is a bug."""

import random
import re
from pathlib import Path

from tests.imap import Client, serving

LINES = (
    "NOOP",
    "CAPABILITY",
    'ID ("name" "x")',
    "ENABLE CONDSTORE QRESYNC",
    "ENABLE IMAP4rev2",
    "SELECT INBOX",
    "EXAMINE INBOX (CONDSTORE)",
    "SELECT INBOX (QRESYNC (1 1 1:5 (1:2 1:2)))",
    'SELECT "INBOX" (QRESYNC (1700000000 5))',
    "CLOSE",
    "UNSELECT",
    "CHECK",
    "CREATE a/b/c",
    "CREATE new (USE (\\Sent))",
    "DELETE a/b",
    "RENAME a x/y",
    "SUBSCRIBE a",
    "UNSUBSCRIBE a",
    'LIST "" *',
    'LIST "" "%/%*%"',
    'LIST (SUBSCRIBED RECURSIVEMATCH) "" (a* %) RETURN (CHILDREN STATUS (MESSAGES))',
    'LSUB "" *',
    "STATUS INBOX (MESSAGES UIDNEXT DELETED-STORAGE SIZE)",
    "NAMESPACE",
    "GETQUOTA box",
    "GETQUOTAROOT INBOX",
    "MYRIGHTS INBOX",
    'SETMETADATA INBOX (/private/comment "x")',
    "GETMETADATA (MAXSIZE 5 DEPTH infinity) INBOX (/private /shared/comment)",
    "NOTIFY SET STATUS (PERSONAL (MessageNew MessageExpunge MailboxName))",
    "NOTIFY NONE",
    "SELECT INBOX",
    "FETCH 1:* (UID FLAGS MODSEQ INTERNALDATE RFC822.SIZE)",
    "FETCH 1,3:* (ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (SUBJECT FROM)]<0.50>)",
    "UID FETCH 1:* (BINARY[1] PREVIEW EMAILID) (CHANGEDSINCE 1 VANISHED)",
    "STORE 1:* +FLAGS.SILENT (\\Seen Work)",
    "UID STORE 2 (UNCHANGEDSINCE 1) -FLAGS (\\Seen)",
    "COPY 1:2 new",
    "UID MOVE 1 new",
    "EXPUNGE",
    "UID EXPUNGE 1:3",
    "SEARCH RETURN (MIN MAX COUNT SAVE) OR SUBJECT number NOT (SEEN SINCE 1-Jan-2020)",
    "UID SEARCH CHARSET UTF-8 TEXT hello UID 1:* LARGER 5 MODSEQ 1",
    "SORT (REVERSE ARRIVAL SUBJECT) UTF-8 ALL",
    "UID THREAD REFERENCES UTF-8 ALL",
    "FETCH $ (FLAGS)",
)
PIECES = (
    '"',
    "(",
    ")",
    " ",
    "\\",
    "*",
    "%",
    "{1}",
    "{0+}",
    "&",
    "é",
    "\0",
    "999999999999",
    "INBOX",
)
ROUNDS = 1000


def mutated(line: str, chance: random.Random) -> str:
    letters = list(line)
    for _ in range(chance.choice((0, 0, 1, 1, 2, 5))):
        at = chance.randrange(len(letters) + 1)
        act = chance.random()
        if act < 0.4:
            letters[at:at] = chance.choice(PIECES)
        elif act < 0.8:
            del letters[at : at + chance.randrange(1, 4)]
        else:
            other = chance.choice(LINES)
            letters[at:] = other[chance.randrange(len(other)) :]
    return "".join(letters)


async def answered(client: Client, line: str, tag: str) -> str:
    """Say a line, and then something that shows where its answer ends."""
    await client.send(f"{tag} {line}\r\n\r\n{tag}z NOOP\r\n".encode())
    heard = []
    while True:
        said = await client.line()
        heard.append(said)
        if said.startswith("* BYE") or said == "EOF" or said.startswith(f"{tag}z "):
            return "\n".join(heard)


async def test_no_command_is_a_bug(tmp_path: Path) -> None:
    chance = random.Random(20261124)
    async with serving(tmp_path, max_errors=1_000_000) as running:
        await running.deliver(count=5)
        async with running.client() as client:
            for number in range(ROUNDS):
                line = mutated(chance.choice(LINES), chance)
                heard = await answered(client, line, f"m{number}")
                assert "SERVERBUG" not in heard, (line, heard)
                assert "* BYE" not in heard, (line, heard)
                tagged = re.findall(rf"(?m)^m{number} ", heard)
                assert len(tagged) <= 1, (line, heard)
                if "{" not in line and "\0" not in line:
                    assert tagged or "\n* BAD" in f"\n{heard}", (line, heard)
