"""Commands: what they mean."""

import pytest

from mtad.imap.answer import Bad
from mtad.imap.commands import (
    Acl,
    Append,
    AppendMessage,
    Authenticate,
    Command,
    Compress,
    Copy,
    Create,
    Enable,
    EventGroup,
    Fetch,
    GetMetadata,
    Id,
    Item,
    List,
    Login,
    Notify,
    NumberSet,
    OfMailbox,
    Plain,
    QResync,
    Quota,
    Rename,
    Replace,
    Section,
    Select,
    SetMetadata,
    Status,
    Store,
    UidExpunge,
    Url,
)
from mtad.imap.parse import opening
from tests.imap_examples import parsed


def numbers(*ranges: tuple[int, int]) -> NumberSet:
    return NumberSet(ranges)


ONE = numbers((1, 1))
UID, FLAGS = Item("UID", peek=True), Item("FLAGS", peek=True)
FAST = (FLAGS, Item("INTERNALDATE", peek=True), Item("RFC822.SIZE", peek=True))
ENVELOPE, BODY = Item("ENVELOPE", peek=True), Item("BODY", peek=True)
EVENTS = ("MessageNew", "MessageExpunge", "FlagChange")

COMMANDS: dict[bytes, Command] = {
    b"a NOOP": Plain("a", "NOOP"),
    b"a1]./#=~ noop": Plain("a1]./#=~", "NOOP"),
    b"a NOOP  ": Plain("a", "NOOP"),
    b"a AUTHENTICATE plain": Authenticate("a", "AUTHENTICATE", "PLAIN", None),
    b"a AUTHENTICATE SCRAM-SHA-256-PLUS biws": Authenticate(
        "a", "AUTHENTICATE", "SCRAM-SHA-256-PLUS", b"n,,"
    ),
    b"a AUTHENTICATE PLAIN =": Authenticate("a", "AUTHENTICATE", "PLAIN", b""),
    b"a LOGIN joe ]]": Login("a", "LOGIN", b"joe", b"]]"),
    b'a LOGIN "" "\\"\\\\(){ *"': Login("a", "LOGIN", b"", b'"\\(){ *'),
    b'a LOGIN NIL "p\xc3\xa4\xff"': Login("a", "LOGIN", b"NIL", b"p\xc3\xa4\xff"),
    b"a LOGIN {2+}\r\n\r\n ~a": Login("a", "LOGIN", b"\r\n", b"~a"),
    b"a ENABLE condstore x": Enable("a", "ENABLE", ("CONDSTORE", "X")),
    b"a COMPRESS deflate": Compress("a", "COMPRESS", "DEFLATE"),
    b"a ID nil": Id("a", "ID", None),
    b'a ID ("Name" NIL "x" "\xff")': Id("a", "ID", (("Name", None), ("x", "\ufffd"))),
    b"a ID (name K-9)": Id("a", "ID", (("name", "K-9"),)),
    # Mailboxes.
    b"a SELECT iNbOx": Select("a", "SELECT", "INBOX"),
    b"a EXAMINE inbox/x": Select("a", "EXAMINE", "INBOX/x"),
    b"a SELECT inboxes": Select("a", "SELECT", "inboxes"),
    b"a SELECT NIL": Select("a", "SELECT", "NIL"),
    b"a SELECT {5+}\r\ninbox (CONDSTORE)": Select("a", "SELECT", "INBOX", True),
    b"a SELECT x (QRESYNC (7 9))": Select("a", "SELECT", "x", qresync=QResync(7, 9)),
    b"a SELECT x (condstore QRESYNC (7 9 1:3,5 (1,3 10,12)))": Select(
        "a",
        "SELECT",
        "x",
        True,
        QResync(
            7, 9, numbers((1, 3), (5, 5)), (numbers((1, 1), (3, 3)), numbers((10, 10), (12, 12)))
        ),
    ),
    b"a SELECT x (QRESYNC (7 9 (1 2)))": Select(
        "a", "SELECT", "x", qresync=QResync(7, 9, None, (ONE, numbers((2, 2))))
    ),
    b"a CREATE a.b": Create("a", "CREATE", "a.b"),
    b"a CREATE &BB8-/&-": Create("a", "CREATE", "П/&"),
    b"a CREATE x (USE (\\sent \\SENT \\X-y))": Create("a", "CREATE", "x", ("\\Sent", "\\X-y")),
    b"a DELETE INBOX": OfMailbox("a", "DELETE", "INBOX"),
    b"a RENAME inbox x": Rename("a", "RENAME", "INBOX", "x"),
    b'a LIST "" *': List("a", "LIST", "", ("*",)),
    b'a LIST "" &BB8-%': List("a", "LIST", "", ("П%",)),
    b'a LIST "" inbox': List("a", "LIST", "", ("INBOX",)),
    b'a LIST "" inbox/%': List("a", "LIST", "", ("INBOX/%",)),
    b'a LIST "" inbo%': List("a", "LIST", "", ("inbo%",)),
    b"a LIST inbox/ ]": List("a", "LIST", "INBOX/", ("]",)),
    b"a LSUB x {2+}\r\n%y": List("a", "LSUB", "x", ("%y",)),
    b'a LIST () "" x': List("a", "LIST", "", ("x",), extended=True),
    b'a LIST "" (x "y z")': List("a", "LIST", "", ("x", "y z"), extended=True),
    b'a LIST "" x RETURN ()': List("a", "LIST", "", ("x",), extended=True),
    b'a LIST (recursivematch subscribed subscribed) "" x '
    b"return (children status (unseen size))": List(
        "a",
        "LIST",
        "",
        ("x",),
        ("RECURSIVEMATCH", "SUBSCRIBED"),
        ("CHILDREN", "STATUS"),
        ("UNSEEN", "SIZE"),
        extended=True,
    ),
    b'a LIST "" % RETURN (METADATA (/shared/COMMENT))': List(
        "a", "LIST", "", ("%",), (), ("METADATA",), (), ("/shared/comment",), True
    ),
    b"a STATUS inbox (unseen UNSEEN Size)": Status("a", "STATUS", "INBOX", ("UNSEEN", "SIZE")),
    # Messages that come.
    b"a APPEND x {3+}\r\nabc": Append("a", "APPEND", "x", (AppendMessage((), None, (b"abc",)),)),
    b'a APPEND {1+}\r\nx (\\SEEN Z z) "01-Jan-1970 01:00:00 +0100" ~{2+}\r\n\0\1': Append(
        "a", "APPEND", "x", (AppendMessage(("\\Seen", "Z"), 0, (b"\0\1",), binary=True),)
    ),
    b'a APPEND x {0+}\r\n (z) {1+}\r\nb " 1-jan-1970 00:00:01 -0000" {1+}\r\nc': Append(
        "a",
        "APPEND",
        "x",
        (
            AppendMessage((), None, (b"",)),
            AppendMessage(("z",), None, (b"b",)),
            AppendMessage((), 1_000_000, (b"c",)),
        ),
    ),
    b'a APPEND x catenate (url "/y;UID=1" text {1+}\r\nt)': Append(
        "a", "APPEND", "x", (AppendMessage((), None, (Url("/y;UID=1"), b"t")),)
    ),
    b"a REPLACE * x {1+}\r\nb": Replace(
        "a", "REPLACE", 0, False, "x", AppendMessage((), None, (b"b",))
    ),
    b"a uid replace 9 x (z) {1+}\r\nb": Replace(
        "a", "UID REPLACE", 9, True, "x", AppendMessage(("z",), None, (b"b",))
    ),
    # Messages that are there.
    b"a FETCH 1 FAST": Fetch("a", "FETCH", ONE, False, FAST),
    b"a FETCH 1 all": Fetch("a", "FETCH", ONE, False, (*FAST, ENVELOPE)),
    b"a FETCH 1 FULL": Fetch("a", "FETCH", ONE, False, (*FAST, ENVELOPE, BODY)),
    b"a UID FETCH *:5,7 (uid FLAGS UID)": Fetch(
        "a", "UID FETCH", numbers((0, 5), (7, 7)), True, (UID, FLAGS)
    ),
    b"a FETCH $ FLAGS": Fetch("a", "FETCH", NumberSet(saved=True), False, (FLAGS,)),
    b"a FETCH 4294967295 BODY": Fetch(
        "a", "FETCH", numbers((4294967295, 4294967295)), False, (BODY,)
    ),
    b"a FETCH 1 (BODYSTRUCTURE RFC822.TEXT RFC822.HEADER)": Fetch(
        "a",
        "FETCH",
        ONE,
        False,
        (
            Item("BODYSTRUCTURE", peek=True),
            Item("RFC822.TEXT"),
            Item("RFC822.HEADER", peek=True),
        ),
    ),
    b"a FETCH 1 BODY[]": Fetch("a", "FETCH", ONE, False, (Item("BODY[]"),)),
    b"a FETCH 1 body.peek[2.1.text]<10.20>": Fetch(
        "a", "FETCH", ONE, False, (Item("BODY[]", Section((2, 1), "TEXT"), True, (10, 20)),)
    ),
    b'a FETCH 1 BODY[1.HEADER.FIELDS.NOT (From "x]" {1+}\r\ny)]': Fetch(
        "a",
        "FETCH",
        ONE,
        False,
        (Item("BODY[]", Section((1,), "HEADER.FIELDS.NOT", (b"From", b"x]", b"y"))),),
    ),
    b"a FETCH 1 (BODY[1.MIME] BINARY.PEEK[1]<0.9> BINARY.SIZE[1.2] BINARY[])": Fetch(
        "a",
        "FETCH",
        ONE,
        False,
        (
            Item("BODY[]", Section((1,), "MIME")),
            Item("BINARY[]", Section((1,)), True, (0, 9)),
            Item("BINARY.SIZE[]", Section((1, 2)), True),
            Item("BINARY[]"),
        ),
    ),
    b"a FETCH 1 (PREVIEW (lazy) PREVIEW)": Fetch(
        "a",
        "FETCH",
        ONE,
        False,
        (Item("PREVIEW", peek=True, lazy=True), Item("PREVIEW", peek=True)),
    ),
    b"a UID FETCH 1 FLAGS (vanished changedsince 9223372036854775807)": Fetch(
        "a", "UID FETCH", ONE, True, (FLAGS,), 2**63 - 1, True
    ),
    b"a UID FETCH 1 FLAGS (PARTIAL 500:400)": Fetch(
        "a", "UID FETCH", ONE, True, (FLAGS,), partial=(400, 500)
    ),
    b"a UID FETCH 1 FLAGS (PARTIAL -9:-2)": Fetch(
        "a", "UID FETCH", ONE, True, (FLAGS,), partial=(-2, -9)
    ),
    b"a STORE 1 flags.silent (\\ANSWERED $X $x)": Store(
        "a", "STORE", ONE, False, "", ("\\Answered", "$X"), True
    ),
    b"a UID STORE 1 (unchangedsince 0) -FLAGS \\seen z": Store(
        "a", "UID STORE", ONE, True, "-", ("\\Seen", "z"), False, 0
    ),
    b"a MOVE 1 inbox": Copy("a", "MOVE", ONE, False, "INBOX"),
    b"a UID COPY 1 x": Copy("a", "UID COPY", ONE, True, "x"),
    b"a UID EXPUNGE 1": UidExpunge("a", "UID EXPUNGE", ONE),
    # Quota, rights, notes, notices.
    b'a GETQUOTA ""': Quota("a", "GETQUOTA", ""),
    b"a SETQUOTA x (storage 512)": Quota("a", "SETQUOTA", "x", (("STORAGE", 512),)),
    b"a GETACL inbox": OfMailbox("a", "GETACL", "INBOX"),
    b'a SETACL x "\xd0\x9f" -lr': Acl("a", "SETACL", "x", "П", "-lr"),
    b"a LISTRIGHTS x y": Acl("a", "LISTRIGHTS", "x", "y"),
    b'a GETMETADATA (depth INFINITY maxsize 9) "" (/Shared)': GetMetadata(
        "a", "GETMETADATA", "", ("/shared",), 9, -1
    ),
    b"a SETMETADATA x (/private/A NIL /shared/b {0+}\r\n /shared/c ~{1+}\r\n\n)": SetMetadata(
        "a",
        "SETMETADATA",
        "x",
        (("/private/a", None), ("/shared/b", b""), ("/shared/c", b"\n")),
    ),
    b"a NOTIFY none": Notify("a", "NOTIFY", ()),
    b"a NOTIFY set status (Selected (messagenew (UID) MESSAGEEXPUNGE flagchange)) "
    b"(subtree inbox NONE) (mailboxes (a b) (MailboxName))": Notify(
        "a",
        "NOTIFY",
        (
            EventGroup("SELECTED", (), EVENTS, (UID,)),
            EventGroup("SUBTREE", ("INBOX",), ()),
            EventGroup("MAILBOXES", ("a", "b"), ("MailboxName",)),
        ),
        True,
    ),
}


@pytest.mark.parametrize("line", COMMANDS, ids=repr)
def test_a_command_means(line: bytes) -> None:
    assert parsed(line) == COMMANDS[line]


def test_names_are_utf8_once_it_is_enabled() -> None:
    assert parsed(b'a SELECT "\xd0\x9f&-"', utf8=True) == Select("a", "SELECT", "П&-")
    assert parsed(b"a CREATE &BB8-", utf8=True) == Create("a", "CREATE", "&BB8-")
    message = AppendMessage((), None, (b"\xd0\x9f",), utf8=True)
    assert parsed(b"a APPEND x UTF8 (~{2+}\r\n\xd0\x9f)", utf8=True) == Append(
        "a", "APPEND", "x", (message,)
    )


def test_the_opening_of_a_command_tells_what_it_is() -> None:
    assert opening(b"a1 uid fetch 1 (BODY[HEADER.FIELDS ({3}\r\n")[:2] == ("a1", "UID FETCH")
    assert opening(b"a1 LOGIN {3}\r\n")[:2] == ("a1", "LOGIN")
    with pytest.raises(Bad):
        opening(b"a1 FOO {3}\r\n")
