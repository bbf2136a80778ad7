"""Both sides of conversations like those that RFC 9051 shows in its sections 6 and 7."""

import pytest

from mtad.imap import answer, write
from mtad.imap.parse import opening, parse
from mtad.imap.wire import Line, Reader, Request, Wanted
from tests.imap_examples import EXAMPLES, Kept, parsed, requests


@pytest.mark.parametrize("size", [1, 7, 4096, 10**6])
def test_a_session_of_all_commands_in_pieces(size: int) -> None:
    session = b"".join(EXAMPLES)
    events = requests([session[at : at + size] for at in range(0, len(session), size)])
    assert len(events) == len(EXAMPLES)
    for event, line in zip(events, EXAMPLES, strict=True):
        assert isinstance(event, Request)
        assert opening(event.line)[1] == parsed(line).name


# What the client sends, each octet by itself, and what the server makes of it in between.
DIALOG: list[tuple[str, bytes, str]] = [
    ("command", b"a1 CAPABILITY\r\n", "CAPABILITY"),
    ("command", b"a2 AUTHENTICATE PLAIN\r\n", "AUTHENTICATE"),
    ("line", b"AGZyZWQAc2VzYW1l\r\n", "AGZyZWQAc2VzYW1l"),
    ("command", b"a3 SELECT INBOX\r\n", "SELECT"),
    ("command", b"a4 IDLE\r\n", "IDLE"),
    ("line", b"DONE\r\n", "DONE"),
    ("asked", b"a5 APPEND Drafts (\\Seen \\Draft) {70000}\r\n", "70000"),
    ("command", b"m" * 70_000 + b"\r\n", "APPEND"),
    ("asked", b"a6 LOGIN {4}\r\n", "4"),
    ("asked", b"fred {6}\r\n", "6"),
    ("command", b"sesame\r\n", "LOGIN"),
    ("command", b"a7 UID FETCH 1:* (UID FLAGS)\r\n", "UID FETCH"),
    ("command", b"a8 LOGOUT\r\n", "LOGOUT"),
]


def test_a_dialog_octet_by_octet() -> None:
    reader = Reader(max_message=100_000)
    for kind, octets, said in DIALOG:
        reader.raw = kind == "line"
        events = []
        for at in range(len(octets)):
            reader.feed(octets[at : at + 1])
            if (event := reader.next()) is not None:
                events.append(event)
        (event,) = events
        if isinstance(event, Wanted):
            reader.accept(Kept() if event.spool else None)
            assert (kind, said) == ("asked", str(event.size))
        elif isinstance(event, Line):
            assert (kind, said) == ("line", event.text.decode())
        else:
            assert isinstance(event, Request)
            assert (kind, said) == ("command", parse(event).name)
    assert not reader.take()


RESPONSES = {
    # 7.1: statuses with codes.
    answer.line(b"*", b"OK", "IMAP4rev2 is ready"): b"* OK IMAP4rev2 is ready\r\n",
    answer.line(b"A1", b"NO", "", b"ALERT"): b"A1 NO [ALERT] .\r\n",
    answer.line(b"*", b"BYE", "a\r\nb \u043f"): b"* BYE a  b ?\r\n",
    answer.line(
        b"*", b"OK", "Unknown", write.code("BADCHARSET", write.listed([b"UTF-8", b"US-ASCII"]))
    ): b"* OK [BADCHARSET (UTF-8 US-ASCII)] Unknown\r\n",
    answer.line(b"*", b"OK", "No", write.code("PERMANENTFLAGS", write.flag_list(()))): (
        b"* OK [PERMANENTFLAGS ()] No\r\n"
    ),
    answer.line(b"*", b"OK", "Valid", write.code("UIDVALIDITY", 3857529045)): (
        b"* OK [UIDVALIDITY 3857529045] Valid\r\n"
    ),
    answer.line(b"A3", b"OK", "done", write.code("APPENDUID", 38505, write.number_set([3955]))): (
        b"A3 OK [APPENDUID 38505 3955] done\r\n"
    ),
    answer.line(
        b"A4",
        b"OK",
        "done",
        write.code("COPYUID", 38505, write.number_set([304, 319, 320]), b"3956:3958"),
    ): b"A4 OK [COPYUID 38505 304,319:320 3956:3958] done\r\n",
    answer.line(b"d1", b"OK", "x", write.code("MODIFIED", write.number_set([7, 9]))): (
        b"d1 OK [MODIFIED 7,9] x\r\n"
    ),
    answer.line(b"a", b"NO", "x", write.code("METADATA LONGENTRIES", 2199)): (
        b"a NO [METADATA LONGENTRIES 2199] x\r\n"
    ),
    # 7.2 and 7.3: what the server and mailboxes are like.
    write.line(b"ENABLED", b"CONDSTORE"): b"* ENABLED CONDSTORE\r\n",
    write.mailbox_list("foo/bar", ("\\Noselect",)): b'* LIST (\\Noselect) "/" "foo/bar"\r\n',
    write.mailbox_list('a"b\\c'): b'* LIST () "/" "a\\"b\\\\c"\r\n',
    write.mailbox_list("x", ("\\NonExistent", "\\Subscribed"), child_info=("SUBSCRIBED",)): (
        b'* LIST (\\NonExistent \\Subscribed) "/" "x" ("CHILDINFO" ("SUBSCRIBED"))\r\n'
    ),
    write.namespace([("", "/")], [("~", "/")]): b'* NAMESPACE (("" "/")) (("~" "/")) NIL\r\n',
    write.status("NIL", {"MESSAGES": 0}): b'* STATUS "NIL" (MESSAGES 0)\r\n',
    write.esearch("A2", [("COUNT", 17), ("ALL", write.number_set([4, 18, 21]))]): (
        b'* ESEARCH (TAG "A2") COUNT 17 ALL 4,18,21\r\n'
    ),
    write.esearch("A2", [("PARTIAL", write.listed([b"-1:-100", b"NIL"]))], by_uid=True): (
        b'* ESEARCH (TAG "A2") UID PARTIAL (-1:-100 NIL)\r\n'
    ),
    write.line(b"FLAGS", write.flag_list(("\\Answered", "$Junk"))): (
        b"* FLAGS (\\Answered $Junk)\r\n"
    ),
    # 7.5: what messages are like.
    write.line(b"12", b"FETCH", write.listed([b"FLAGS", write.flag_list(["\\Seen"])])): (
        b"* 12 FETCH (FLAGS (\\Seen))\r\n"
    ),
    write.line(
        b"23",
        b"FETCH",
        write.listed([b"UID", b"9", b"INTERNALDATE", write.date_time(837582264_000_000, -420)]),
    ): b'* 23 FETCH (UID 9 INTERNALDATE "16-Jul-1996 22:44:24 -0700")\r\n',
    write.line(b"1", b"FETCH", write.listed([b"PREVIEW", write.nstring("Grüße")])): (
        b"* 1 FETCH (PREVIEW {7}\r\nGr\xc3\xbc\xc3\x9fe)\r\n"
    ),
    write.line(b"1", b"FETCH", write.listed([b"BINARY[1]", write.literal8(b"\0\xff")])): (
        b"* 1 FETCH (BINARY[1] ~{2}\r\n\0\xff)\r\n"
    ),
    write.line(b"VANISHED", b"(EARLIER)", write.number_set([41, 43, 44, 45])): (
        b"* VANISHED (EARLIER) 41,43:45\r\n"
    ),
}


@pytest.mark.parametrize("made", RESPONSES, ids=lambda made: repr(made[:50]))
def test_responses(made: bytes) -> None:
    assert made == RESPONSES[made]
