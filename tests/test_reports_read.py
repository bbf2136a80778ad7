"""Reports from elsewhere: every form that is met, nothing else, and no input that hurts."""

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtad.headers import Block
from mtad.reports import mime, phrases, plain, status_fields
from mtad.reports.dsn_build import build
from mtad.reports.read import Incoming, is_candidate, read
from mtad.reports.status_fields import Told
from mtad.reports.values import Original, Report, Reported
from tests.corpus import Mail
from tracing import ids

HEAD = """\
Return-Path: <>
From: MAILER-DAEMON@mx.example.net
To: anna@example.org
Subject: failure notice
"""
RETURNED = """\
Return-Path: <anna@example.org>
Received: from mx.example.net ([192.0.2.7]) by relay.example.net with SMTP id relay1;
\tMon, 2 Nov 2026 10:00:05 +0000
Received: from laptop (unknown [192.0.2.5])
\tby mail.example.org (mtad) with ESMTPSA id 0a03zkr000000
\t(TLSv1.3 TLS_AES_256_GCM_SHA384);
\tMon, 2 Nov 2026 10:00:00 +0000
From: anna@example.org
To: bob@example.net
Subject: =?utf-8?B?0J7QsdC10LQ=?=
Message-ID: <lunch@example.org>
"""
DSN = (
    HEAD
    + """\
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b

Sorry.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example.net
Original-Envelope-Id: 0a03zkr000000
Arrival-Date: Mon, 2 Nov 2026 10:00:05 +0000

Original-Recipient: rfc822; b@alias.test
Final-Recipient: rfc822; bob@example.net
Action: failed
Status: 5.1.1 (no such user)
Remote-MTA: dns; mx.example.net
Diagnostic-Code: smtp; 550 5.1.1 =?utf-8?B?0L3QtdGC?=
    such user

Final-Recipient: utf-8; \\x{44F}@example.net
Action: delayed
Status: 4.4.1
Diagnostic-Code: smtp; 451 4.4.1 later

--b
Content-Type: message/rfc822

"""
    + RETURNED
    + "\nAt noon.\n--b--\n"
)

WORDS = {
    "qmail": (
        "Hi. This is the qmail-send program at mx.example.net.\n"
        "I'm afraid I wasn't able to deliver your message to the following addresses.\n"
        "This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
        "<bob@example.net>:\n192.0.2.9 does not like recipient.\n"
        "Remote host said: 550 5.1.1 no such user\nGiving up on 192.0.2.9.\n\n"
        "<carl@example.net>:\nUser's Disk Quota Exceeded.\n\n"
        "--- Below this line is a copy of the message.\n\n",
        [("bob@example.net", "failed", "5.1.1"), ("carl@example.net", "failed", "5.2.2")],
    ),
    "exim": (
        "This message was created automatically by mail delivery software.\n\n"
        "A message that you sent could not be delivered to one or more of its\n"
        "recipients. This is a permanent error. The following address(es) failed:\n\n"
        "  bob@example.net\n    (generated from lunch@example.org)\n"
        "    SMTP error from remote mail server after RCPT TO:<bob@example.net>:\n"
        "    host mx.example.net [192.0.2.1]: 550 5.2.2 Mailbox Full\n\n"
        "------ This is a copy of the message, including all the headers. ------\n\n",
        [("bob@example.net", "failed", "5.2.2")],
    ),
    "exchange": (
        "Your message\n\n  To:      bob@example.net\n  Subject: Lunch\n"
        "  Sent:    Mon, 2 Nov 2026 10:00:00 +0000\n\n"
        "did not reach the following recipient(s):\n\n"
        "carl@example.net on Mon, 2 Nov 2026 10:00:07 +0000\n"
        "    The recipient name is not recognized\n",
        [("carl@example.net", "failed", "5.1.1")],
    ),
    "gmail": (
        "Delivery to the following recipient has been delayed:\n\n     bob@example.net\n\n"
        "Message will be retried for 2 more day(s)\n\n"
        "Technical details of temporary failure:\nThe server said: 450 4.7.1 greylisted\n\n"
        "----- Original message -----\n\n",
        [("bob@example.net", "delayed", "4.7.1")],
    ),
    "mail.ru": (
        "Это письмо создано автоматически сервером Mail.Ru, отвечать на него не нужно.\n\n"
        "К сожалению, Ваше письмо не может быть доставлено одному или нескольким получателям:\n\n"
        "  bob@example.net\n    ящик переполнен\n\n"
        "Рекомендуем Вам проверить корректность указания адресов получателей.\n\n",
        [("bob@example.net", "failed", "5.2.2")],
    ),
    "yandex": (
        "Это сообщение было автоматически создано почтовым сервером.\n\n"
        "Пожалуйста, обратите внимание: не удалось доставить письмо до получателя\n\n"
        "<bob@example.net>: host mx.example.net[192.0.2.1] said: 554 5.7.1 spam message\n\n",
        [("bob@example.net", "failed", "5.7.1")],
    ),
    "imail": (
        "Unknown user: bob@example.net\n\n\nOriginal message follows.\n\n",
        [("bob@example.net", "failed", "5.1.1")],
    ),
    "sendmail": (
        "   ----- The following addresses had permanent fatal errors -----\n"
        "<bob@example.net>\n    (reason: 550 5.7.1 Relaying denied)\n\n"
        "   ----- Message header follows -----\n\n",
        [("bob@example.net", "failed", "5.7.1")],
    ),
    "nobody named": (
        "The message was not delivered.\n\n",
        [("bob@example.net", "failed", "5.0.0")],
    ),
}


def told(report: Incoming | None) -> list[tuple[str, str, str]]:
    assert report is not None
    return [(each.final, each.action, each.status) for each in report.recipients]


def test_a_report_by_the_book() -> None:
    assert read(DSN.encode()) == Incoming(
        kind="dsn",
        reporter="relay.example.net",
        recipients=(
            Told(
                "bob@example.net",
                "b@alias.test",
                "failed",
                "5.1.1",
                "550 5.1.1 нет such user",
                "mx.example.net",
            ),
            Told("я@example.net", "", "delayed", "4.4.1", "451 4.4.1 later"),
        ),
        message_id="<lunch@example.org>",
        envelope_id="0a03zkr000000",
        hops=(("relay.example.net", "relay1"), ("mail.example.org", "0a03zkr000000")),
        receivers=("anna@example.org",),
        subject="Обед",
    )


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_do_not_matter(end: str) -> None:
    assert read(DSN.replace("\n", end).encode()) == read(DSN.encode())


@pytest.mark.parametrize("cut", [b"\n--b--\n", b"\nAt noon", b"\n--b\nContent-Type: message/rfc"])
def test_a_report_cut_short_tells_what_it_has(cut: bytes) -> None:
    octets = DSN.encode()
    report = read(octets[: octets.index(cut)])
    assert told(report) == told(read(octets))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (b"Final-Recipient: rfc/822;a@b.test\nStatus : 5.2.2", ("a@b.test", "failed", "5.2.2")),
        (b"Final-Recipient: <a@b.test>\nAction: Failed", ("a@b.test", "failed", "5.0.0")),
        (b"Original-Recipient: a@b.test\nAction: failed", ("a@b.test", "failed", "5.0.0")),
        (b"Final-Recipient: LOCAL;a@b.test.\nStatus: 4.4.7", ("a@b.test", "delayed", "4.4.7")),
        (
            b'final-recipient: rfc822;"a b"@c.test\nStatus: 2.0.0',
            ('"a b"@c.test', "delivered", "2.0.0"),
        ),
        (
            b"Final-Recipient: rfc822; a@b.test\nDiagnostic-Code: smtp; 552 mailbox full",
            ("a@b.test", "failed", "5.2.2"),
        ),
        (
            b"Final-Recipient: rfc822; a@b.test\nAction: delayed\nDiagnostic-Code: x; timed out",
            ("a@b.test", "delayed", "4.4.7"),
        ),
        (b"Action: relayed (next)\nFinal-Recipient: rfc822;a@b.test", ("a@b.test", "relayed", "")),
    ],
)
def test_fields_in_the_wild(fields: bytes, expected: tuple[str, str, str]) -> None:
    (found,) = status_fields.every_recipient(status_fields.groups(b"Reporting-MTA: x\n\n" + fields))
    assert (found.final, found.action, found.status) == expected


def test_groups_without_empty_lines_between_them() -> None:
    run = b"".join(b"Final-Recipient: rfc822; %d@x.test\nStatus: 5.1.1\n" % n for n in range(300))
    found = status_fields.every_recipient(status_fields.groups(run))
    assert len(found) == status_fields.MAX_GROUPS
    assert found[1].final == "1@x.test"


@pytest.mark.parametrize("system", WORDS)
@pytest.mark.parametrize("returned", ["in the text", "as a part"])
def test_bounces_in_words(system: str, returned: str) -> None:
    words, expected = WORDS[system]
    if returned == "as a part":
        head = HEAD + "Content-Type: multipart/mixed; boundary=b\n\n"
        octets = head.encode() + "\n".join(
            ("--b\n", words, "--b\nContent-Type: message/rfc822\n", RETURNED, "At noon.\n--b--\n")
        ).encode("koi8-r" if "ь" in words else "utf-8")
    else:
        octets = (HEAD + "\n" + words + RETURNED + "\nAt noon.\n").encode()
    report = read(octets)
    assert told(report) == expected
    assert report is not None
    assert report.kind == "bounce"
    assert report.message_id == "<lunch@example.org>"
    assert ("mail.example.org", "0a03zkr000000") in report.hops
    if system == "exim":
        assert report.recipients[0].original == "lunch@example.org"


def test_the_words_add_what_the_fields_leave_out() -> None:
    octets = DSN.replace("Sorry.", "<bob@example.net>: 550 5.1.1 not here").encode()
    octets = re.sub(rb"Diagnostic-Code: smtp; 550.*\n.*\n", b"", octets)
    report = read(octets)
    assert report is not None
    assert report.recipients[0].diagnostic == "550 5.1.1 not here"


def test_a_report_inside_a_report() -> None:
    outer = HEAD + "Content-Type: multipart/mixed; boundary=o\n\n--o\n\nCould not be delivered.\n"
    octets = (outer + "--o\nContent-Type: message/rfc822\n\n" + DSN + "\n--o--\n").encode()
    assert told(read(octets)) == told(read(DSN.encode()))


def test_a_disposition_notification() -> None:
    octets = (
        b"From: bob@example.net\nTo: anna@example.org\nSubject: Read: Lunch\n"
        b"Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n"
        b"--b\n\nI read it.\n--b\nContent-Type: message/disposition-notification\n\n"
        b"Reporting-UA: laptop; Mailer 1\nOriginal-Recipient: rfc822;b@alias.test\n"
        b"Final-Recipient: rfc822; bob@example.net\nOriginal-Message-ID: <lunch@example.org>\n"
        b"Disposition: manual-action/MDN-sent-manually; displayed\n--b--\n"
    )
    report = read(octets)
    assert report is not None
    assert (report.kind, report.what, report.reporter) == ("mdn", "displayed", "laptop; Mailer 1")
    assert report.message_id == "<lunch@example.org>"
    assert [(each.final, each.original) for each in report.recipients] == [
        ("bob@example.net", "b@alias.test")
    ]


def test_an_abuse_report() -> None:
    octets = (
        "From: fbl@example.net\nTo: abuse@example.org\nSubject: FW: Lunch\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n"
        "--b\n\nSpam.\n--b\nContent-Type: message/feedback-report\n\n"
        "Feedback-Type: abuse\nUser-Agent: FBL/1\nVersion: 1\nSource-IP: 192.0.2.5\n"
        "Original-Rcpt-To: <bob@example.net>\nOriginal-Rcpt-To: carl@example.net\n"
        "--b\nContent-Type: text/rfc822-headers\n\n" + RETURNED + "--b--\n"
    ).encode()
    report = read(octets)
    assert report is not None
    assert (report.kind, report.what, report.reporter) == ("arf", "abuse", "example.net")
    assert [each.final for each in report.recipients] == ["bob@example.net", "carl@example.net"]
    assert report.subject == "Обед"
    assert report.hops[1] == ("mail.example.org", "0a03zkr000000")


@pytest.mark.parametrize(
    "header",
    [
        "Subject: Re: failure notice\n",
        "From: Bob <bob@example.net>\nSubject: Fwd: Undelivered Mail Returned to Sender\n",
        "Return-Path: <>\nFrom: bob@example.net\nSubject: Out of office\n",
        "From: postmaster@example.net\nSubject: Welcome\n",
        "From: shop@example.net\nSubject: Your delivery failed, call carl@example.net\n",
        "",
    ],
)
def test_mail_that_is_no_report(header: str) -> None:
    assert (
        read((header + "To: anna@example.org\n\nSee carl@example.net about it.\n").encode()) is None
    )


@pytest.mark.parametrize(
    ("header", "sender", "expected"),
    [
        (b"", "", True),
        (b"Subject: x\n", "bob@example.net", False),
        (b"Content-Type: Multipart/Report; boundary=b\n", "bob@example.net", True),
        (b"From: Mail Delivery System <x@y.test>\n", "x@y.test", True),
        (b"X-Failed-Recipients: a@b.test\n", "x@y.test", True),
        (b"From: a@b.test\n", "MAILER-DAEMON@b.test", True),
    ],
)
def test_the_first_look(header: bytes, sender: str, expected: bool) -> None:
    assert is_candidate(Block(header), sender) is expected


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("550 5.1.1 <x@y.test>... User unknown", "5.1.1"),
        ("host 10.5.1.1 said: 550 no such user", "5.1.1"),
        ("450 mailbox is full", "4.2.2"),
        ("version 5.5.19.60 says 554 blocked", "5.7.1"),
        ("552 5.3.4 too large", "5.3.4"),
        ("Соединение: 550 ящик не существует", "5.1.1"),
        ("(#5.1.1)", "5.1.1"),
        ("ERROR_CODE :5.2.1", "5.2.1"),
        ("", "5.0.0"),
    ],
)
def test_what_words_stand_for(said: str, status: str) -> None:
    assert phrases.status(said) == status


# --------------------------------------------------------------------- our own


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(
            Reported,
            addr=st.from_regex(r"[a-z0-9+_.-]{1,20}@[a-z]{1,9}\.test", fullmatch=True),
            status=st.sampled_from(["5.1.1", "4.4.7", "5.7.26"]),
            reply=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=80),
            host=st.sampled_from(["", "mx.example.net"]),
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda each: each.addr,
    ),
    st.sampled_from(["failed", "delayed"]),
    st.sampled_from(["en", "ru", "both"]),
    st.booleans(),
)
def test_what_is_built_is_read(
    recipients: list[Reported], what: str, lang: str, smtputf8: bool
) -> None:
    m = ids.lowest(1_790_000_000_000_000)
    envid = ids.text(m)
    of = Original(m, "anna@example.org", RETURNED.encode(), 0, envid=envid, smtputf8=smtputf8)
    octets = build(
        Report(m + 1, 0, what, of, recipients, "mail.test", "postmaster@mail.test", lang)  # type: ignore[arg-type]
    )
    report = read(octets)
    assert report is not None
    assert (report.kind, report.reporter, report.envelope_id) == ("dsn", "mail.test", envid)
    assert report.message_id == "<lunch@example.org>"
    assert report.hops[1] == ("mail.example.org", "0a03zkr000000")
    assert [(each.final, each.action, each.status) for each in report.recipients] == [
        (each.addr, what, each.status) for each in recipients
    ]
    assert [each.diagnostic for each in report.recipients] == [each.reply for each in recipients]
    assert is_candidate(Block(octets), "")


# -------------------------------------------------------------------- real ones

FINAL = re.compile(
    rb"(?im)^final-recipient\s*:[ \t]*(?:[^;\n]*;)?[ \t]*<?([^\s<>;]+@[^\s<>;]+?)>?[ \t\r]*$"
)
STATUS = re.compile(rb"(?im)^status\s*:[ \t]*([245]\.\d{1,3}\.\d{1,3})")


@pytest.fixture
def bounces(shared_data: Callable[[str], Path]) -> Sequence[Mail]:
    folder = shared_data("bounces")
    return tuple(
        Mail(str(path.relative_to(folder)), path.read_bytes())
        for pattern in ("sisimai/maildir/*/*.eml", "flufl.bounce/tests/data/*.txt")
        for path in sorted(folder.glob(pattern))
    )


def test_real_reports_with_a_recipient_and_a_status_give_both(bounces: Sequence[Mail]) -> None:
    """At least 95 %, judged by the fields as they stand in the octets."""
    good, wrong = 0, []
    for mail in bounces:
        lines = mail.data if b"\n" in mail.data else mail.data.replace(b"\r", b"\n")
        finals = {each.lower().decode() for each in FINAL.findall(lines)}
        statuses = {each.decode() for each in STATUS.findall(lines)}
        if finals and statuses:
            report = read(mail.data)
            found = report.recipients if report else ()
            if {each.final.lower() for each in found} >= finals and {
                each.status for each in found
            } >= statuses:
                good += 1
            else:
                wrong.append(mail.path)
    assert good + len(wrong) == 238
    # Two of them return a bounce, whose fields are counted too and are not theirs.
    assert good >= 236, wrong


def test_real_bounces_of_all_kinds_name_a_recipient_and_a_status(bounces: Sequence[Mail]) -> None:
    good, wrong = 0, []
    for mail in bounces:
        report = read(mail.data)
        if report and report.recipients:
            assert report.kind in ("arf", "mdn") or all(each.status for each in report.recipients)
            good += 1
        else:
            wrong.append(mail.path)
    assert good >= 509, wrong


def test_the_recipients_another_detector_finds(
    bounces: Sequence[Mail], shared_data: Callable[[str], Path]
) -> None:
    rows: dict[str, tuple[set[str], bool]] = {}
    listed = shared_data("bounces/flufl.bounce/expected.jsonl")
    for line in listed.read_text().splitlines():
        row = json.loads(line)
        addresses, temporary = row["rest"]
        known = rows.get(row["file"], (set(), False))
        rows[row["file"]] = (
            known[0] | {address.lower() for address in addresses},
            known[1] or temporary == "True",
        )
    good, wrong = 0, []
    for mail in bounces:
        name = mail.path.rpartition("/")[2]
        if not mail.path.startswith("flufl") or name not in rows:
            continue
        expected, temporary = rows[name]
        report = read(mail.data)
        found = [each for each in report.recipients if report] if report else []
        named = {each.final.lower() for each in found} | {e.original.lower() for e in found} - {""}
        if (
            named >= expected
            and len(found) <= len(expected)
            and (any(each.action == "delayed" for each in found) == temporary)
        ):
            good += 1
        else:
            wrong.append(name)
    assert good + len(wrong) == 115
    assert good >= 107, wrong


def test_real_mail_is_taken_for_a_report_only_where_it_is_one(corpus: Sequence[Mail]) -> None:
    """The reports among the corpus, known by their paths."""
    found = [mail.path for mail in corpus if read(mail.data)]
    strange = [
        path
        for path in found
        if not re.search(
            r"bounce|report|status|complaints|disposition|badbound|msg_(16|25|42|43)\.txt"
            r"|rfc822-multipart2|mimepart_without|mail_malformed_2|easy-ham-1/01542|easy-ham-2/01304",
            path,
        )
    ]
    assert strange == []
    assert not found or len(found) >= 25


# ---------------------------------------------------------------------- hostile

START = HEAD.encode()
MIXED = START + b"Content-Type: multipart/mixed; boundary=b\n\n"
STATUS_PART = MIXED + b"--b\nContent-Type: message/delivery-status\n\n"
HTML = START + b"Content-Type: text/html\n\n"
NESTED = b"".join(
    b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(9999)
)
HOSTILE = {
    "tags": (HTML, b"<a b"),
    "comments": (HTML, b"<!--"),
    "styles": (HTML, b"<style "),
    "entities": (HTML, b"&#1"),
    "addresses": (START + b"\n", b"a@b.c "),
    "address lines": (START + b"\n", b"a@b.c " * 160 + b"\n"),
    "no address": (START + b"\n", b"error" * 200 + b"@b\n"),
    "locals": (START + b"\n", b"a" * 128 + b"@"),
    "recipients": (START + b"\n", b"<a@b.test>: address address user\n"),
    "headers": (START + b"\n", b"X-A: b\n"),
    "fields": (STATUS_PART, b"A: b\n"),
    "empty lines": (STATUS_PART, b"\n"),
    "folding": (STATUS_PART + b"A: b\n", b" c\n"),
    "words": (STATUS_PART + b"A: ", b"=?a?q?"),
    "boundaries": (MIXED, b"--b\n"),
    "near boundaries": (MIXED, b"--b" + b" " * 1000 + b"x\n"),
    "depth": (START + NESTED, b""),
    "parameters": (START + b"Content-Type: multipart/mixed", b';a="'),
    "hops": (MIXED + b"--b\nContent-Type: message/rfc822\n\n" + b"Received: by a ", b"() "),
    "quoted": (START + b"Content-Transfer-Encoding: quoted-printable\n\n", b"=\n"),
    "base64": (START + b"Content-Transfer-Encoding: base64\n\n", b"A"),
    "zeros": (b"", b"\0"),
    "high": (b"Subject: ", b"\xf0"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_work_is_bounded(kind: str) -> None:
    """Each would take hours if any step were quadratic."""
    before, piece = HOSTILE[kind]
    report = read(before + piece * (mime.MAX_MESSAGE // max(1, len(piece))))
    if report:
        assert len(report.recipients) <= status_fields.MAX_GROUPS
        assert all(len(each.diagnostic) <= status_fields.MAX_VALUE for each in report.recipients)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", START, MIXED + b"--b\n", STATUS_PART, HTML]))
def test_any_octets(octets: bytes, before: bytes) -> None:
    sane(read(before + octets))


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab@.<>:;= \n\t5.1не\x00-") | st.characters(), max_size=300))
def test_any_text(text: str) -> None:
    prose, header = plain.parted(text)
    assert len(prose) + len(header) <= len(text)
    sane(read(START + b"\nUser unknown\n" + text.encode("utf-8", "surrogatepass")))


def test_reports_damaged() -> None:
    chance = random.Random(2026)
    ours = [DSN, *(HEAD + "\n" + words + RETURNED for words, _ in WORDS.values())]
    for _ in range(20):
        for text in ours:
            for octets in damaged(text.encode(), chance):
                sane(read(octets))


def test_real_reports_damaged(bounces: Sequence[Mail]) -> None:
    chance = random.Random(2026)
    for mail in bounces:
        for octets in damaged(mail.data, chance):
            sane(read(octets))


def damaged(octets: bytes, chance: random.Random) -> Iterator[bytes]:
    """Cut, with octets changed, with lines gone, with a piece twice."""
    yield octets[: chance.randrange(len(octets))]
    changed = bytearray(octets)
    for _ in range(20):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    yield bytes(changed)
    lines = octets.split(b"\n")
    yield b"\n".join(line for line in lines if chance.random() > 0.1)
    at = chance.randrange(len(octets))
    yield octets[:at] + octets[at // 2 :]


def sane(report: Incoming | None) -> None:
    """What is read can be stored and shown as text of bounded length."""
    if report is None:
        return
    said = [report.reporter, report.message_id, report.envelope_id, report.subject, report.what]
    said += [part for hop in report.hops for part in hop] + list(report.receivers)
    for each in report.recipients:
        assert "@" in each.final
        assert each.action in ("", "failed", "delayed", "delivered", "relayed", "expanded")
        assert re.fullmatch(r"([245]\.\d{1,3}\.\d{1,3})?", each.status)
        said += [each.final, each.original, each.diagnostic, each.remote_mta]
    for text in said:
        assert text.encode().decode() == text
        assert "\n" not in text
        assert "\0" not in text
        assert len(text) <= status_fields.MAX_VALUE
    assert len(report.recipients) <= status_fields.MAX_GROUPS


def test_parts_of_a_message() -> None:
    octets = DSN.encode()
    assert [part.kind for part in mime.walk(octets)] == [
        "text/plain",
        "message/delivery-status",
        "message/rfc822",
    ]
    assert mime.walk(octets)[2].octets.endswith(b"\nAt noon.")
