"""Delivery reports made here: right as other parsers read them, whatever strangers put in."""

import email
import re
from email.header import decode_header, make_header
from email.message import Message

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtad.reports import dsn_build, fields, words
from mtad.reports.dsn_build import build
from mtad.reports.values import Original, Report, Reported
from mtad.reports.words import Lang, What
from tracing import ids

AT = 1_790_000_000_000_000
M = ids.lowest(AT)
MESSAGE = (
    b"Return-Path: <anna@example.org>\nFrom: Anna <anna@example.org>\nSubject: Lunch?\n"
    b"Message-ID: <1@example.org>\n\nAt noon.\n"
)
BOB = Reported(
    "bob@example.net",
    "5.1.1",
    "550-5.1.1 no such user\n550 5.1.1 goodbye",
    host="mx.example.net",
    ip="192.0.2.1",
    original="lunch@example.org",
    orcpt="rfc822;lunch+2Bnoon@example.org",
    last_attempt=AT + 60_000_000,
)


def original(content: bytes = MESSAGE, **more: object) -> Original:
    return Original(M, "anna@example.org", content, AT, **more)  # type: ignore[arg-type]


def report(
    *recipients: Reported,
    what: What = "failed",
    lang: Lang = "en",
    of: Original | None = None,
    to: str = "",
) -> Report:
    return Report(
        M + 1,
        AT + 120_000_000,
        what,
        of or original(),
        recipients or (BOB,),
        "mail.example.org",
        "postmaster@example.org",
        lang,
        to,
    )


def parts(octets: bytes) -> tuple[Message, str, list[Message], Message]:
    """The report, its words, its groups of fields and its third part, as email.parser sees them."""
    whole = email.message_from_bytes(octets)
    assert whole.get_content_type() == "multipart/report"
    payload = whole.get_payload()
    assert isinstance(payload, list)
    people, programs, returned = payload
    assert isinstance(people, Message)
    assert isinstance(programs, Message)
    assert isinstance(returned, Message)
    for part in (whole, people, programs, returned):
        assert part.defects == []
    said = people.get_payload(decode=True)
    assert isinstance(said, bytes)
    groups = programs.get_payload()
    assert isinstance(groups, list)
    return whole, said.decode(), [g for g in groups if isinstance(g, Message)], returned


def test_a_failure_as_it_is_written() -> None:
    assert build(report()).decode() == (
        "Return-Path: <>\n"
        "Date: Mon, 21 Sep 2026 14:15:20 +0000\n"
        "From: Mail Delivery System <postmaster@example.org>\n"
        "To: <anna@example.org>\n"
        "Subject: Not delivered: Lunch?\n"
        "Message-ID: <0a03zkr000001@mail.example.org>\n"
        "Auto-Submitted: auto-replied\n"
        "In-Reply-To: <1@example.org>\n"
        "References: <1@example.org>\n"
        "MIME-Version: 1.0\n"
        "Content-Type: multipart/report; report-type=delivery-status;\n"
        ' boundary="=_0a03zkr000001"\n'
        "Content-Transfer-Encoding: 7bit\n"
        "\n"
        "--=_0a03zkr000001\n"
        "Content-Type: text/plain; charset=us-ascii\n"
        "Content-Transfer-Encoding: 7bit\n"
        "\n"
        "This is the mail server mail.example.org.\n"
        "\n"
        "Your message could not be delivered to the recipients named below, and\n"
        "we will not try again.\n"
        "\n"
        "  Subject: Lunch?\n"
        "  Taken:   Mon, 21 Sep 2026 14:13:20 +0000\n"
        "  Number:  0a03zkr000000\n"
        "\n"
        "<bob@example.net>\n"
        "    (you wrote to lunch@example.org)\n"
        "    There is no such mailbox at example.net.\n"
        "    Check the address for a typing mistake, or ask the recipient for the\n"
        "    present one.\n"
        "    The server mx.example.net [192.0.2.1] said:\n"
        "        550-5.1.1 no such user\n"
        "        550 5.1.1 goodbye\n"
        "\n"
        "--=_0a03zkr000001\n"
        "Content-Type: message/delivery-status\n"
        "Content-Transfer-Encoding: 7bit\n"
        "\n"
        "Reporting-MTA: dns; mail.example.org\n"
        "Arrival-Date: Mon, 21 Sep 2026 14:13:20 +0000\n"
        "\n"
        "Original-Recipient: rfc822; lunch+noon@example.org\n"
        "Final-Recipient: rfc822; bob@example.net\n"
        "Action: failed\n"
        "Status: 5.1.1\n"
        "Remote-MTA: dns; mx.example.net\n"
        "Diagnostic-Code: smtp; 550-5.1.1 no such user 550 5.1.1 goodbye\n"
        "Last-Attempt-Date: Mon, 21 Sep 2026 14:14:20 +0000\n"
        "Final-Log-ID: 0a03zkr000000\n"
        "\n"
        "--=_0a03zkr000001\n"
        "Content-Type: message/rfc822\n"
        "Content-Transfer-Encoding: 7bit\n"
        "\n" + MESSAGE.decode() + "\n"
        "--=_0a03zkr000001--\n"
    )


def test_a_delay_says_until_when_and_returns_the_header_alone() -> None:
    late = Reported("bob@example.net", "4.4.1", why="timed out", retry_until=AT + 10**12)
    whole, said, (_, fields_), returned = parts(build(report(late, what="delayed")))
    assert whole["Subject"] == "Delayed: Lunch?"
    assert "could not be reached" in said
    assert "until Sat, 03 Oct 2026 04:00:00 +0000" in said
    assert "Check" not in said
    assert fields_.items() == [
        ("Final-Recipient", "rfc822; bob@example.net"),
        ("Action", "delayed"),
        ("Status", "4.4.1"),
        ("Diagnostic-Code", "x-mtad; timed out"),
        ("Final-Log-ID", "0a03zkr000000"),
        ("Will-Retry-Until", "Sat, 03 Oct 2026 04:00:00 +0000"),
    ]
    assert returned.get_content_type() == "text/rfc822-headers"
    assert returned.get_payload() == MESSAGE.partition(b"\n\n")[0].decode() + "\n"


@pytest.mark.parametrize(
    ("what", "status"),
    [("failed", "5.0.0"), ("delayed", "4.0.0"), ("delivered", "2.0.0"), ("relayed", "2.0.0")],
)
@pytest.mark.parametrize("given", ["", "5", "9.9.9", "5.1.1 x", "5.1.1\nX: y", "５.1.1"])
def test_a_status_that_is_none_is_replaced(what: What, status: str, given: str) -> None:
    _, _, (_, group), _ = parts(build(report(Reported("b@c.test", given), what=what)))
    assert group["Status"] == status
    assert group["Action"] == what


def test_each_recipient_has_its_group() -> None:
    three = (BOB, Reported("c@c.test", "5.2.2"), Reported("d@d.test", "4.4.7", why="silent"))
    _, said, groups, _ = parts(build(report(*three)))
    assert [group["Final-Recipient"] for group in groups[1:]] == [
        "rfc822; bob@example.net",
        "rfc822; c@c.test",
        "rfc822; d@d.test",
    ]
    assert groups[0].items() == [
        ("Reporting-MTA", "dns; mail.example.org"),
        ("Arrival-Date", "Mon, 21 Sep 2026 14:13:20 +0000"),
    ]
    assert "mailbox is full" in said
    assert "again and again" in said


def test_the_envelope_id_is_given_back_decoded() -> None:
    _, _, groups, _ = parts(build(report(of=original(envid="QQ+2B3+3D+0AX:y"))))
    assert groups[0]["Original-Envelope-Id"] == "QQ+3= X:y"


@pytest.mark.parametrize(
    ("lang", "subject", "said", "unsaid"),
    [
        ("en", "Not delivered: Lunch?", "no such mailbox", "ящика"),
        ("ru", "Не доставлено: Lunch?", "Такого ящика в example.net нет", "mailbox"),
        ("both", "Not delivered / Не доставлено: Lunch?", "Такого ящика", "{"),
    ],
)
def test_languages(lang: Lang, subject: str, said: str, unsaid: str) -> None:
    octets = build(report(lang=lang))
    assert octets.isascii()
    whole, people, _, _ = parts(octets)
    assert str(make_header(decode_header(whole["Subject"]))) == subject
    assert said in people
    assert unsaid not in people
    assert ("no such mailbox" in people) == (lang != "ru")


def test_every_sentence_is_there_in_both_languages() -> None:
    said: list[words.Said] = []
    for value in vars(words).values():
        if isinstance(value, words.Said):
            said.append(value)
        elif isinstance(value, words.Cause):
            said += value
        elif isinstance(value, dict):
            for entry in value.values():
                said += entry if isinstance(entry, words.Cause) else [entry]
    said = [each for each in said if isinstance(each, words.Said)]
    assert len(said) > 50
    for each in said:
        assert each.en.isascii()
        assert re.search("[а-яё]", each.ru)
        assert re.findall(r"{\w+}", each.en) == re.findall(r"{\w+}", each.ru)


@pytest.mark.parametrize(
    ("status", "en"),
    [
        ("5.1.1", "no such mailbox"),
        ("4.2.2", "is full"),
        ("5.3.4", "larger"),
        ("5.7.1", "by its rules"),
        ("5.7.26", "SPF, DKIM"),
        ("4.4.3", "DNS"),
        ("5.7.30", "encrypted"),
        ("4.4.1", "could not be reached"),
        ("5.1.99", "no such mailbox"),
        ("5.0.0", "known only by the words"),
        ("", "known only by the words"),
        ("5.9.9", "known only by the words"),
    ],
)
def test_causes_in_plain_words(status: str, en: str) -> None:
    assert en in words.cause(status).why.en


@pytest.mark.parametrize(
    ("reply", "why", "en"),
    [
        ("550 Mailbox full", "", "mailbox is full"),
        ("550 blocked as spam", "timed out", "by its rules"),
        ("", "no MX record for c.test", "(DNS)"),
        ("550 no", "", "only by the words below"),
    ],
)
def test_a_server_without_codes_is_taken_at_its_word(reply: str, why: str, en: str) -> None:
    _, said, (_, group), _ = parts(build(report(Reported("b@c.test", "5.0.0", reply, why))))
    assert en in " ".join(said.split())
    assert group["Status"] == "5.0.0"


def test_a_double_bounce_goes_to_another_and_says_why() -> None:
    whole, said, _, _ = parts(build(report(to="postmaster@example.org")))
    assert whole["To"] == "<postmaster@example.org>"
    assert "no sender who could be told" in " ".join(said.split())


# ------------------------------------------------------------- the third part


@pytest.mark.parametrize("ret", ["FULL", "full", ""])
def test_a_failure_returns_the_message(ret: str) -> None:
    octets = build(report(of=original(ret=ret)))
    assert parts(octets)[3].get_content_type() == "message/rfc822"
    assert MESSAGE in octets


def test_the_header_alone_when_asked_for() -> None:
    octets = build(report(of=original(ret="HDRS")))
    _, said, _, returned = parts(octets)
    assert returned.get_content_type() == "text/rfc822-headers"
    assert b"At noon" not in octets
    assert "is large" not in said


def test_a_large_message_is_not_returned_whole() -> None:
    large = MESSAGE + b"x" * 70 + b"\n"
    large += b"y" * (dsn_build.MAX_RETURNED + 1 - len(large))
    _, said, _, returned = parts(build(report(of=original(large))))
    assert returned.get_content_type() == "text/rfc822-headers"
    assert "its header alone" in said
    assert parts(build(report(of=original(large[:-1]))))[3].get_content_type() == "message/rfc822"


def test_a_large_header_is_cut_between_lines() -> None:
    long = b"Subject: a\n" + b"X: " + b"y" * 60 + b"\n"
    octets = build(report(of=original(long + long * 2000 + b"\nbody\n", ret="HDRS")))
    assert len(octets) < dsn_build.MAX_HEADER + 4096
    returned = parts(octets)[3].get_payload()
    assert isinstance(returned, str)
    assert returned.endswith("y" * 60 + "\n") or returned.endswith("Subject: a\n")


@pytest.mark.parametrize("content", [b"", b"\n", b"\nbody", b"no header", b"A: b", b"A: b\n\n"])
@pytest.mark.parametrize("ret", ["FULL", "HDRS"])
def test_odd_messages(content: bytes, ret: str) -> None:
    whole, _, groups, _ = parts(build(report(of=original(content, ret=ret))))
    assert whole["Subject"] == "Not delivered: (no subject)"
    assert whole["In-Reply-To"] is None
    assert len(groups) == 2


def test_octets_above_127_are_announced() -> None:
    octets = build(report(of=original("Subject: Обед\n\nВ полдень.\n".encode("koi8-r"))))
    whole, said, _, returned = parts(octets)
    assert whole["Content-Transfer-Encoding"] == "8bit"
    assert returned["Content-Transfer-Encoding"] == "8bit"
    assert returned.get_content_type() == "message/rfc822"
    assert "Subject: Обед" in said
    assert octets.partition(b"\n\n")[0].isascii()


def test_a_message_cannot_forge_a_boundary() -> None:
    mean = MESSAGE + b"--=_0a03zkr000001--\n\n--=_0a03zkr000001_\nContent-Type: text/html\n\nhi\n"
    whole, _, _, returned = parts(build(report(of=original(mean))))
    assert whole.get_boundary() == "=_0a03zkr000001__"
    assert returned.get_payload(0).as_bytes() == mean  # type: ignore[union-attr]


# ------------------------------------------------------------- beyond ASCII


def test_an_international_address_with_smtputf8() -> None:
    at = Reported("почта@xn--e1afmkfd.test", "5.1.1", "550 нет такого", original="я@a.test")
    of = Original(M, "анна@example.org", "Subject: Да\n\n".encode(), AT, smtputf8=True)
    octets = build(report(at, of=of))
    whole = email.message_from_bytes(octets)
    assert whole.get_param("report-type") == "global-delivery-status"
    assert "To: <анна@example.org>\n".encode() in octets
    assert (
        b"Content-Type: message/global-delivery-status\nContent-Transfer-Encoding: 8bit" in octets
    )
    assert "Final-Recipient: utf-8; почта@xn--e1afmkfd.test\n".encode() in octets
    assert "Original-Recipient: utf-8; я@a.test\n".encode() in octets
    assert "Diagnostic-Code: smtp; 550 нет такого\n".encode() in octets
    assert b"Content-Type: message/global\n" in octets


def test_an_international_address_without_smtputf8() -> None:
    at = Reported("я+b=c\\@a.test", "5.1.1", "550 5.1.1 нет такого here\n550 end")
    _, _, (_, group), _ = parts(build(report(at)))
    assert group["Final-Recipient"] == r"utf-8; \x{44F}\x{2B}b\x{3D}c\x{5C}@a.test"
    assert group["Diagnostic-Code"].startswith("smtp; 550 5.1.1 =?utf-8?b?")
    assert str(make_header(decode_header(group["Diagnostic-Code"]))) == (
        "smtp; 550 5.1.1 нет такого here 550 end"
    )


# ----------------------------------------------------------------- hostile text

HOSTILE = st.text(
    st.sampled_from("ab \r\n\t\0:;<>=?-_@.%{}\x1b\x85\u2028\u202eяЖ\ud800") | st.characters(),
    max_size=80,
)
HEADER = [
    "Return-Path",
    "Date",
    "From",
    "To",
    "Subject",
    "Message-ID",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
]
GROUP = {
    "Original-Recipient",
    "Final-Recipient",
    "Action",
    "Status",
    "Remote-MTA",
    "Diagnostic-Code",
    "Final-Log-ID",
}


@settings(max_examples=200, deadline=None)
@given(
    st.builds(
        Reported,
        addr=HOSTILE,
        status=HOSTILE,
        reply=HOSTILE,
        why=HOSTILE,
        host=HOSTILE,
        ip=HOSTILE,
        original=HOSTILE,
        orcpt=HOSTILE,
    ),
    HOSTILE,
    HOSTILE,
    st.binary(max_size=100),
    st.sampled_from(["en", "ru", "both"]),
    st.booleans(),
)
def test_no_text_becomes_more_than_text(
    at: Reported, sender: str, envid: str, content: bytes, lang: Lang, smtputf8: bool
) -> None:
    content = b"Subject: " + content.replace(b"\n", b" ") + b"\n\n" + content
    of = Original(M, sender, content, AT, envid=envid, smtputf8=smtputf8)
    octets = build(report(at, of=of, lang=lang))
    assert b"\r" not in octets.replace(content, b"")
    lines = octets.partition(b"\n\n")[0].split(b"\n")
    names = [line.partition(b":")[0].decode() for line in lines if not line.startswith(b" ")]
    assert names == HEADER
    boundary = re.findall(rb'boundary="(.*)"', octets)[0]
    _, people, programs, returned, end = octets.split(b"--" + boundary)
    assert end == b"--\n"
    assert returned.endswith(content + b"\n")
    assert people.count(b"Content-Type") == 1
    head, message, group, *rest = programs.removesuffix(b"\n\n").split(b"\n\n")
    assert (head.count(b"\n"), rest) == (2, [])
    named = [line.partition(b":")[0].decode() for line in group.split(b"\n") if line[:1] != b" "]
    assert set(named) <= GROUP
    assert len(set(named)) == len(named)
    assert len(message.split(b"\n")) >= 2
    assert max(map(len, programs.split(b"\n"))) < 998 * (4 if smtputf8 else 1)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Zs"]), min_size=1))
def test_encoded_words_read_back(value: str) -> None:
    written = fields.field("Subject", f"a {value} b")
    assert written.isascii()
    assert all(len(line) <= fields.MAX_LINE for line in written.split("\n") if "=?" in line)
    unfolded = written.removeprefix("Subject: ").removesuffix("\n").replace("\n", "")
    if value.isascii():
        assert unfolded == f"a {value} b"
    else:
        assert str(make_header(decode_header(unfolded))) == f"a {value} b"


def test_a_reply_without_end_is_cut() -> None:
    octets = build(report(Reported("b@c.test", "5.0.0", "x" * 10**6)))
    assert len(octets) < 16_000
    assert max(map(len, parts(octets)[2][1].as_string().split("\n"))) < 998
