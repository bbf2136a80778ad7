"""Commands that every client may send, as they go on the wire, and what reads them.

Each is whole, with its line end and its literals; those that need UTF-8 enabled are apart.
"""

from mtad.imap.answer import Negative
from mtad.imap.commands import Command
from mtad.imap.parse import parse
from mtad.imap.wire import Reader, Rejected, Request, Wanted


class Kept:
    """A message literal that a test looks at afterwards."""

    def __init__(self) -> None:
        self.data = b""

    @property
    def size(self) -> int:
        return len(self.data)

    def path(self) -> str:
        return "nowhere"

    def write(self, data: bytes) -> None:
        self.data += data


def requests(pieces: list[bytes]) -> list[Request | Rejected]:
    """What a reader with its usual limits makes of octets; every literal is accepted."""
    reader = Reader(max_message=10_000_000)
    found: list[Request | Rejected] = []
    for piece in pieces:
        reader.feed(piece)
        while (event := reader.next()) is not None:
            if isinstance(event, Wanted):
                reader.accept(Kept() if event.spool else None)
            elif isinstance(event, Request | Rejected):
                found.append(event)
    return found


def parsed(data: bytes, *, utf8: bool = False) -> Command:
    """The one command in ``data``, whose line end may be left out."""
    (event,) = requests([data if data.endswith(b"\n") else data + b"\r\n"])
    if isinstance(event, Rejected):
        raise event.error
    return parse(event, utf8=utf8)


def refused(data: bytes, *, utf8: bool = False) -> tuple[bytes, str, bytes]:
    """How the command in ``data`` is refused: BAD or NO, the tag, the code's name."""
    try:
        command = parsed(data, utf8=utf8)
    except Negative as error:
        return error.word, error.tag, error.code.partition(b" ")[0]
    raise AssertionError(f"taken: {command}")


EXAMPLES = (
    # The session.
    b"a001 CAPABILITY\r\n",
    b"a002 NOOP\r\n",
    b"A003 logout\r\n",
    b"s.1 STARTTLS\r\n",
    b"a AUTHENTICATE GSSAPI\r\n",
    b"a AUTHENTICATE PLAIN AGZyZWQAc2VzYW1l\r\n",
    b"a AUTHENTICATE EXTERNAL =\r\n",
    b"a LOGIN fred sesame\r\n",
    b'a LOGIN "fred \\"the\\" \\\\" {6}\r\nsesame\r\n',
    b"a LOGIN {4+}\r\nfred {8+}\r\nmellow}]\r\n",
    b"a ENABLE CONDSTORE X-GOOD-IDEA\r\n",
    b"t1 ENABLE IMAP4rev2 UTF8=ACCEPT QRESYNC UIDONLY\r\n",
    b"a IDLE\r\n",
    b"a NAMESPACE\r\n",
    b"a COMPRESS DEFLATE\r\n",
    b"a ID NIL\r\n",
    b"a ID ()\r\n",
    b'a ID ("name" "sodr" "version" "19.34" "vendor" "Pink Floyd Music Limited" "os" NIL)\r\n',
    # Mailboxes.
    b"A142 SELECT INBOX\r\n",
    b'a EXAMINE "Old mail/2020"\r\n',
    b"a SELECT inbox/sub\r\n",
    b"a SELECT INBOX (CONDSTORE)\r\n",
    b"a SELECT INBOX (QRESYNC (67890007 20050715194045000))\r\n",
    b"a SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211,214:541))\r\n",
    b"a SELECT INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541 "
    b"(1,3,5:6 41,45,60:61)) CONDSTORE)\r\n",
    b"a SELECT INBOX (QRESYNC (67890007 90060115194045000 (1:3 41:43)))\r\n",
    b"a CREATE owatagusiam/blurdybloop\r\n",
    b"a CREATE owatagusiam/\r\n",
    b"a CREATE MyDrafts (USE (\\Drafts))\r\n",
    b"a CREATE Everything (USE (\\All \\Important))\r\n",
    b"a CREATE Nothing (USE ())\r\n",
    b"a CREATE {6+}\r\na b&-c\r\n",
    b"a DELETE blurdybloop\r\n",
    b'a RENAME "&BB8EQAQ4BDIENQRC-" sarasoop\r\n',
    b"a RENAME INBOX old-mail\r\n",
    b"a SUBSCRIBE #news.comp.mail.mime\r\n",
    b"a UNSUBSCRIBE #news.comp.mail.mime\r\n",
    b'a LIST "" ""\r\n',
    b"a LIST #news. %\r\n",
    b'a LIST "~/Mail/" %/*\r\n',
    b'a LIST "" "*"\r\n',
    b'a LSUB "#news." "comp.mail.*"\r\n',
    b'a LIST (SUBSCRIBED) "" "*"\r\n',
    b'a LIST () "" "%" RETURN (CHILDREN)\r\n',
    b'a LIST (REMOTE) "" "%" RETURN (CHILDREN SUBSCRIBED)\r\n',
    b'a LIST (SUBSCRIBED REMOTE RECURSIVEMATCH) "" "*"\r\n',
    b'a LIST "" ("INBOX" "Drafts" Sent/%) RETURN ()\r\n',
    b'a LIST (SPECIAL-USE) "" "*" RETURN (SPECIAL-USE)\r\n',
    b'a LIST "" % RETURN (STATUS (MESSAGES UNSEEN SIZE) SPECIAL-USE)\r\n',
    b'a LIST "" % RETURN (METADATA ("/shared/comment" /private/comment))\r\n',
    b'a LIST "" % RETURN (MYRIGHTS)\r\n',
    b"a STATUS blurdybloop (UIDNEXT MESSAGES)\r\n",
    b"a STATUS INBOX (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ "
    b"APPENDLIMIT MAILBOXID DELETED-STORAGE)\r\n",
    b"a CHECK\r\n",
    b"a CLOSE\r\n",
    b"a UNSELECT\r\n",
    b"a EXPUNGE\r\n",
    # Messages that come.
    b"A003 APPEND saved-messages (\\Seen) {310}\r\n" + b"x" * 308 + b"\r\n\r\n",
    b'a APPEND Drafts (\\Seen \\Draft $MDNSent) " 7-Feb-1994 22:43:04 -0800" {5+}\r\na:b\r\n\r\n',
    b"a APPEND Drafts () {1+}\r\na\r\n",
    b"a APPEND saved (\\Seen) {3}\r\nabc (\\Seen) {0+}\r\n {4+}\r\n\r\n\r\n\r\n",
    b"a APPEND saved ~{4+}\r\n\0\1\2\3\r\n",
    b'a APPEND Drafts (\\Draft) CATENATE (URL "/Drafts;UIDVALIDITY=385759045/;UID=20/;section=1" '
    b"TEXT {9}\r\n\r\n--x--\r\n URL {3+}\r\n/x;)\r\n",
    b"a REPLACE 4 Drafts (\\Seen \\Draft) {3}\r\nabc\r\n",
    b"a UID REPLACE 2000 Drafts ~{3+}\r\na\0c\r\n",
    # Messages that are there.
    b"A654 FETCH 2:4 (FLAGS BODY[HEADER.FIELDS (DATE FROM)])\r\n",
    b"a FETCH 1 ALL\r\n",
    b"a fetch 1:*,3 fast\r\n",
    b"a FETCH * FULL\r\n",
    b"a FETCH $ BODY\r\n",
    b"a FETCH 12 BODY[]\r\n",
    b"a FETCH 12 BODY.PEEK[]<0.1024>\r\n",
    b"a FETCH 1 (BODY[4.2.2.1] BODY[4.2.HEADER] BODY[1.MIME] BODY[TEXT] BODY[4.TEXT]<5.5>)\r\n",
    b"a FETCH 1 BODY.PEEK[2.HEADER.FIELDS.NOT ({7+}\r\nsubject from)]\r\n",
    b"a FETCH 1 (RFC822 RFC822.HEADER RFC822.TEXT RFC822.SIZE ENVELOPE BODYSTRUCTURE UID)\r\n",
    b"a FETCH 1 (MODSEQ EMAILID THREADID SAVEDATE INTERNALDATE PREVIEW)\r\n",
    b"a FETCH 1 PREVIEW (LAZY)\r\n",
    b"a FETCH 1 (PREVIEW (LAZY) FLAGS)\r\n",
    b"a FETCH 1 (BINARY[1] BINARY.PEEK[1.2]<0.5> BINARY.SIZE[2] BINARY[])\r\n",
    b"a UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345)\r\n",
    b"a UID FETCH 300:500 (FLAGS) (CHANGEDSINCE 12345 VANISHED)\r\n",
    b"a UID FETCH 25900:26600 (UID FLAGS) (PARTIAL -1:-100)\r\n",
    b"a STORE 2:4 +FLAGS (\\Deleted)\r\n",
    b"a STORE 1 FLAGS ()\r\n",
    b"a STORE 1 -FLAGS.SILENT \\Seen $Label1\r\n",
    b"d UID STORE 7,5,9 (UNCHANGEDSINCE 320162338) +FLAGS.SILENT (\\Deleted)\r\n",
    b"a COPY 2:4 MEETING\r\n",
    b"a UID COPY $ MEETING\r\n",
    b"a MOVE 42:69 foo\r\n",
    b"a UID MOVE 42:* foo\r\n",
    b"a UID EXPUNGE 3000:3002\r\n",
    # Searching.
    b'A282 SEARCH FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"\r\n',
    b'a SEARCH TEXT "string not in mailbox"\r\n',
    b"a SEARCH CHARSET UTF-8 TEXT {12}\r\n\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82\r\n",
    b"a UID SEARCH CHARSET koi8-r SUBJECT {3+}\r\n\xd0\xd2\xc9\r\n",
    b"a SEARCH ANSWERED BCC a BEFORE 1-Jan-2020 BODY b CC c DELETED DRAFT FROM d\r\n",
    b"a SEARCH NEW OLD RECENT\r\n",
    b"a SEARCH HEADER Message-ID <1@x> KEYWORD $Junk LARGER 10 ON 01-jan-2020 SEEN SENTBEFORE "
    b"2-Jan-2020 SENTON 3-Jan-2020 SENTSINCE 4-Jan-2020 SMALLER 999 TO e UNKEYWORD z\r\n",
    b"a SEARCH UNANSWERED UNDELETED UNDRAFT UNFLAGGED UNSEEN UID 1:5,* 2,4:6 $ UID $\r\n",
    b"a SEARCH (OR SEEN (FLAGGED NOT DRAFT)) OR OR SEEN DRAFT (1:3)\r\n",
    b"a SEARCH RETURN (MIN COUNT) FLAGGED SINCE 1-Feb-1994\r\n",
    b"a SEARCH RETURN () ALL\r\n",
    b"a UID SEARCH RETURN (SAVE COUNT ALL MIN MAX) 1:*\r\n",
    b"a UID SEARCH RETURN (PARTIAL 23500:24000 COUNT) UNDELETED\r\n",
    b"a SEARCH OLDER 604800 YOUNGER 10\r\n",
    b'a SEARCH MODSEQ "/flags/\\\\draft" all 620162338\r\n',
    b"a SEARCH OR NOT MODSEQ 720162338 LARGER 50000\r\n",
    b"a SEARCH SAVEDBEFORE 28-Dec-2014 SAVEDON 1-Jan-2015 SAVEDSINCE 2-Jan-2015 "
    b"SAVEDATESUPPORTED\r\n",
    b"a SEARCH EMAILID M6d99ac3275bb4e THREADID T64b478a75b7ea9\r\n",
    b"A SORT (SUBJECT REVERSE DATE) UTF-8 ALL\r\n",
    b"a UID SORT RETURN (MIN ALL) (REVERSE SIZE ARRIVAL CC FROM TO) US-ASCII UNSEEN\r\n",
    b'a THREAD ORDEREDSUBJECT UTF-8 SINCE 5-MAR-2000 TEXT "gewp"\r\n',
    b"a UID THREAD references us-ascii ALL\r\n",
    # Quota, rights, notes, notices.
    b'a GETQUOTA ""\r\n',
    b"a GETQUOTAROOT INBOX\r\n",
    b'a SETQUOTA "" (STORAGE 512 MESSAGE 10)\r\n',
    b"a SETQUOTA #user/alice ()\r\n",
    b"a SETACL INBOX/Drafts byron +rw\r\n",
    b'a SETACL Shared anyone ""\r\n',
    b"a DELETEACL INBOX fred\r\n",
    b"a GETACL INBOX\r\n",
    b"a LISTRIGHTS ~/Mail/saved smith\r\n",
    b"a MYRIGHTS INBOX\r\n",
    b'a GETMETADATA "" /shared/comment\r\n',
    b'a GETMETADATA (DEPTH 1) INBOX (/private/filters/values "/shared")\r\n',
    b"a GETMETADATA (MAXSIZE 1024 DEPTH infinity) INBOX /private\r\n",
    b"a SETMETADATA INBOX (/private/comment {7}\r\na\r\nb\r\nc /shared/comment NIL)\r\n",
    b'a SETMETADATA "" (/shared/vendor/x/y ~{3+}\r\n\0\r\n /private/comment "x")\r\n',
    b"a NOTIFY NONE\r\n",
    b"a NOTIFY SET (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (From To)]) "
    b"MessageExpunge FlagChange)) (subtree Lists (MailboxName)) (personal NONE)\r\n",
    b"a NOTIFY SET STATUS (selected-delayed (MessageNew MessageExpunge)) (mailboxes (INBOX a) "
    b"(MessageNew MessageExpunge)) (inboxes (SubscriptionChange)) (subscribed "
    b"(MailboxMetadataChange ServerMetadataChange))\r\n",
)

UTF8_EXAMPLES = (
    b'a SELECT "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82"\r\n',
    b"a CREATE {4+}\r\n\xd0\x9f&x\r\n",
    b'a LIST "" "\xd0\x9f%"\r\n',
    b"a APPEND Drafts (\\Draft) UTF8 (~{3+}\r\n\xd0\x9f!)\r\n",
    b"a APPEND x UTF8 (~{1}\r\na) CATENATE (UTF8 (~{1+}\r\nb) TEXT {1+}\r\nc)\r\n",
    b'a SEARCH SUBJECT "\xd0\x9f"\r\n',
)
