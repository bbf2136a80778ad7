"""Verdicts: one sentence a recipient, one cause for whatever was not simply delivered."""

import re
from collections.abc import Sequence
from datetime import UTC
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing import answers, causes, events, ids, proof, sending, verdict, words
from tracing.queries import Stored
from tracing.states import State

M = ids.Mint(1).new()
COPY = ids.Mint(33).new()
AT = 1_790_000_000_000_000
BOOKS = {language: words.book(language) for language in verdict.LANGUAGES}


def document(
    state: State, happened: Sequence[events.Event] = (), **recipient: Any
) -> dict[str, Any]:
    """A timeline as the log answers it, for one recipient."""
    one = {
        "n": 1,
        "address": "anna@example.net",
        "original": "",
        "state": state.word,
        "code": 0,
        "enhanced": "",
        "reply": "",
        "stored": "",
        "mailbox": "",
        "tries": 0,
        "next_try": "",
        "at": "2026-09-21T10:00:00+00:00",
    } | recipient
    message = {
        "id": ids.text(M),
        "at": one["at"],
        "state": state.word,
        "from": "boris@example.org",
        "subject": "plan",
        "size": 1234,
        "message_id": "<1@example.org>",
        "ip": "192.0.2.7",
        "recipient_list": [one],
    }
    told = [answers.happened(Stored("2026-09", n, event)) for n, event in enumerate(happened, 1)]
    return {"schema": 1, "trace": ids.text(M), "message": message, "events": told}


def judged(case: dict[str, Any], language: str = "en") -> verdict.Verdict:
    (one,) = verdict.judge(case, BOOKS[language], UTC)
    return one


def failed(reply: str, stage: str = "rcpt", why: str = "") -> events.Event:
    code, _, rest = reply.partition(" ")
    enh = rest.partition(" ")[0]
    return sending.OutFailed(
        at=AT,
        trace=M,
        n=1,
        addr="anna@example.net",
        host="mx.example.net",
        code=int(code) if code.isdigit() else 0,
        enh=enh if re.fullmatch(r"[245]\.\d{1,3}\.\d{1,3}", enh) else "",
        reply=reply if code.isdigit() else "",
        why=why,
        attempt=1,
        stage=stage,
    )


REPLIES = [
    ("550 5.1.1 The email account that you tried to reach does not exist.", "rcpt", "no_such_user"),
    ("550 5.1.1 <anna@example.net>: Recipient address rejected: User unknown in virtual mailbox "
     "table", "rcpt", "no_such_user"),
    ("550 Unknown user", "rcpt", "no_such_user"),
    ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found", "rcpt", None),
    ("550 5.7.1 No such user!", "rcpt", "no_such_user"),
    ("554 delivery error: dd This user doesn't have an account here", "dot", "no_such_user"),
    ("550 user lookup success but no user record found", "rcpt", "no_such_user"),
    ("552 5.2.2 The email account that you tried to reach is over quota.", "rcpt", "full"),
    ("452 4.2.2 Mailbox full", "rcpt", "full"),
    ("550 5.2.1 The email account that you tried to reach is disabled.", "rcpt", "disabled"),
    ("550 5.2.1 Mailbox is inactive", "rcpt", "disabled"),
    ("450 4.2.0 <anna@example.net>: Recipient address rejected: Greylisted, see http://x", "rcpt",
     "greylisted"),
    ("451 4.7.1 Please try again in 300 seconds", "rcpt", "greylisted"),
    ("554 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org", "rcpt",
     "blocklisted"),
    ("550 5.7.606 Access denied, banned sending IP [192.0.2.1]", "mail", "blocklisted"),
    ("550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Contact your provider "
     "since part of their network is on our block list (S3150).", "mail", "blocklisted"),
    ("421 4.7.0 [TSS04] Messages from 192.0.2.1 deferred due to user complaints", "mail",
     "reputation"),
    ("550 5.7.26 This mail is unauthenticated, which poses a security risk", "dot",
     "authentication"),
    ("550 5.7.23 Rejected because of Sender Policy Framework violation", "dot", "spf"),
    ("550 5.7.1 Email rejected per DMARC policy for example.org", "dot", "dmarc"),
    ("550 5.7.25 The IP address sending this message does not have a PTR record", "dot", "ptr"),
    ("450 4.7.1 Client host rejected: cannot find your reverse hostname", "rcpt", "ptr"),
    ("421 4.7.28 Our system has detected an unusual rate of unsolicited mail", "dot", "reputation"),
    ("451 4.7.500 Server busy. Please try again later; sending rate exceeded", "mail", "rate"),
    ("421 4.7.0 Too many concurrent SMTP connections", "banner", "rate"),
    ("554 5.7.1 Message rejected under suspicion of SPAM", "dot", "spam"),
    ("550 spam message rejected. Please visit http://help.example/notspam-support", "dot", "spam"),
    ("552 5.3.4 Message size exceeds fixed limit", "mail", "too_large"),
    ("552 5.7.0 This message was blocked because its content presents a potential security issue: "
     "attachment", "dot", "attachment"),
    ("554 5.6.0 Virus found: EICAR", "dot", "virus"),
    ("554 5.7.1 <anna@example.net>: Relay access denied", "rcpt", "relay_denied"),
    ("550 Sender verify failed", "rcpt", "callback"),
    ("550 5.1.8 Sender address rejected: Domain not found", "rcpt", "sender_domain"),
    ("550 5.7.1 You are not allowed to post to this mailing list", "rcpt", "list"),
    ("554 5.4.6 Too many hops", "dot", "loop"),
    ("452 4.3.1 Insufficient system storage", "mail", "disk"),
    ("421 4.3.2 Service shutting down", "mail", "busy"),
    ("451 4.3.0 Temporary lookup failure", "rcpt", "trouble"),
    ("550 5.7.1 Policy rejection on the target address", "rcpt", "policy"),
    ("550 nope", "rcpt", "refused"),
    ("450 hm", "rcpt", "later"),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "stage", "cause"), REPLIES)
def test_the_words_of_real_servers_have_one_cause(
    reply: str, stage: str, cause: str | None
) -> None:
    one = judged(document(State.BOUNCED, [failed(reply, stage)]))
    assert one.verdict == "BOUNCED"
    if cause is not None:
        assert one.cause == f"remote.{cause}"
    assert "{" not in one.sentence


@pytest.mark.parametrize(
    ("stage", "why", "cause"),
    [
        ("connect", "connection refused", "connect.refused"),
        ("connect", "timed out", "connect.timeout"),
        ("connect", "network unreachable", "connect.unreachable"),
        ("dns", "SERVFAIL", "dns.trouble"),
        ("starttls", "handshake failure", "tls.failed"),
        ("dot", "connection lost", "connection.lost"),
        ("dot", "the connection ended after the message and before the answer", "connection.lost"),
        ("mail", "the connection ended before its turn", "connection.lost"),
    ],
)
def test_silence_has_a_cause_too(stage: str, why: str, cause: str) -> None:
    event = sending.OutDeferred(
        at=AT, trace=M, n=1, attempt=2, stage=stage, why=why, next_try=AT, host="mx.example.net"
    )
    case = document(State.DEFERRED, [event], tries=2, next_try="2026-09-21T11:00:00+00:00")
    one = judged(case)
    assert (one.verdict, one.cause) == ("WAITING", cause)
    assert "2026-09-21 11:00:00" in one.sentence
    assert f"mtad queue retry {ids.text(M)}" in " ".join(one.actions)


@pytest.mark.parametrize(
    ("stage", "enh", "cause"),
    [
        ("dns", "5.1.2", "dns.no_domain"),
        ("dns", "5.1.10", "dns.null_mx"),
        ("dns", "5.4.4", "dns.no_host"),
        ("dns", "5.4.6", "dns.ourselves"),
        ("ehlo", "5.4.6", "dns.ourselves"),
        ("dns", "4.4.3", "dns.trouble"),
    ],
)
def test_where_no_server_was_found_the_status_tells_why(stage: str, enh: str, cause: str) -> None:
    event = sending.OutFailed(at=AT, trace=M, n=1, attempt=1, stage=stage, enh=enh, why="so")
    assert judged(document(State.BOUNCED, [event])).cause == cause


@pytest.mark.parametrize("language", verdict.LANGUAGES)
def test_another_try_is_promised_only_to_who_waits(language: str) -> None:
    promise = {"en": "tried again by itself", "ru": "попытки повторяются сами"}[language]
    words = BOOKS[language]
    assert promise in words.verdicts["WAITING"][f"do_{language}"]
    others = [cause.words for cause in words.causes]
    others += [one for name, one in words.verdicts.items() if name != "WAITING"]
    assert not [one for one in others if promise in one.get(f"do_{language}", "")]


def test_a_relayed_message_tells_the_remote_words() -> None:
    event = sending.OutDelivered(
        at=AT,
        trace=M,
        n=1,
        attempt=1,
        host="mx.example.net",
        ip="192.0.2.9",
        code=250,
        reply="250 2.0.0 Ok: queued as 4Xyz",
        rqid="4Xyz",
        tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
        verdict="trusted",
    )
    case = document(State.RELAYED, [event])
    one = judged(case)
    assert one.verdict == "REMOTE_ACCEPTED"
    assert "mx.example.net took it" in one.sentence
    assert "250 2.0.0 Ok: queued as 4Xyz" in one.sentence
    told = proof.facts(case)
    text = "\n".join(proof.sheet(told, "mail.example.org", "en", UTC))
    for said in ("192.0.2.9", "4Xyz", "TLSv1.3", "trusted", "anna@example.net", "<1@example.org>"):
        assert said in text
    assert proof.facts(document(State.BOUNCED, [failed("550 no")]))["handed"] == []


def test_a_report_that_came_later_is_part_of_the_verdict() -> None:
    delivered = sending.OutDelivered(
        at=AT, trace=M, n=1, attempt=1, host="mx.example.net", reply="250 ok"
    )
    got = sending.DsnGot(
        at=AT + 1,
        trace=M,
        n=1,
        enh="5.1.1",
        code=550,
        action="failed",
        report="x",
        by="message id",
        diagnostic="user unknown",
    )
    one = judged(document(State.RELAYED, [delivered, got]))
    assert (one.verdict, one.cause) == ("REMOTE_LOST", "remote.no_such_user")
    assert one.sentence.startswith("mx.example.net took it for anna@example.net on ")
    assert "in which somebody says that it was not delivered: " in one.sentence
    named = msgspec.structs.replace(got, reporter="relay.two.test", host="mx.evil.test")
    case = document(State.RELAYED, [delivered, named])
    assert "relay.two.test says that" in judged(case).sentence
    assert "relay.two.test утверждает, что" in judged(case, "ru").sentence
    assert judged(case).sentence.startswith("mx.example.net took it")


@pytest.mark.parametrize("language", verdict.LANGUAGES)
def test_a_deletion_names_who_and_the_way_back(language: str) -> None:
    stored = events.StoreDelivered(
        at=AT, trace=M, n=1, addr="anna@example.net", st=COPY, mailbox="INBOX", base="b", size=1
    )
    gone = events.BoxExpunge(
        at=AT + 60_000_000,
        trace=M + 1,
        also=(M,),
        addr="anna@example.net",
        mailbox="INBOX",
        items=(events.Item(COPY, M),),
        actor="user:anna@example.net",
        ip="192.0.2.44",
        client="Thunderbird",
    )
    case = document(State.STORED, [stored, gone], stored=ids.text(COPY))
    one = judged(case, language)
    assert one.verdict == "DELETED"
    for said in ("anna@example.net", "192.0.2.44", "Thunderbird", "INBOX"):
        assert said in one.sentence
    assert f"mtad restore --box anna@example.net {ids.text(M)}" in " ".join(one.actions)
    assert len(one.evidence) == 2


def test_our_own_refusal_names_the_check() -> None:
    refused = events.SmtpReject(
        at=AT,
        trace=M,
        n=1,
        addr="anna@example.net",
        code=550,
        enh="5.1.1",
        reply="550 5.1.1 no such box here",
        stage="rcpt",
        check="unknown_box",
    )
    one = judged(document(State.REFUSED, [refused]))
    assert (one.verdict, one.cause) == ("REJECTED", "ours.unknown_box")
    assert "mtad box add anna@example.net" in " ".join(one.actions)


@pytest.mark.parametrize("language", verdict.LANGUAGES)
@pytest.mark.parametrize("state", list(State))
def test_every_state_has_a_sentence(state: State, language: str) -> None:
    one = judged(document(state), language)
    assert one.sentence
    assert "{" not in one.sentence
    if one.verdict in ("BOUNCED", "EXPIRED", "WAITING", "REJECTED", "TRY_LATER"):
        assert one.cause


def test_the_two_files_are_whole_in_both_languages() -> None:
    for texts in BOOKS["en"].verdicts.values():
        assert texts["en"]
        assert texts["ru"]
        assert ("do_en" in texts) == ("do_ru" in texts)
    names = set()
    for cause in BOOKS["en"].causes:
        assert cause.words["en"]
        assert cause.words["ru"]
        assert ("do_en" in cause.words) == ("do_ru" in cause.words), cause.name
        names.add(cause.name)
    assert len(names) >= 60
    unknown = {key for c in BOOKS["en"].causes for key in c.words} - {
        "name", "who", "check", "stage", "code", "enh", "says", "en", "ru", "do_en", "do_ru",
    }  # fmt: skip
    assert not unknown


@given(
    reply=st.text(max_size=300),
    stage=st.sampled_from(["dns", "connect", "rcpt", "dot", "odd"]),
    code=st.integers(0, 999),
    who=st.sampled_from(["ours", "remote"]),
)
def test_whatever_was_said_there_is_a_cause(reply: str, stage: str, code: int, who: str) -> None:
    refusal = causes.Refused(who, stage, "", code, "", reply)
    assert BOOKS["en"].cause(refusal) is not None


def test_hostile_words_cannot_move_a_cursor() -> None:
    one = judged(document(State.BOUNCED, [failed("550 5.1.1 \x1b[2J\x07{id} user unknown")]))
    assert "\x1b" not in "".join((one.sentence, *one.evidence, *one.actions))


def test_each_refused_recipient_has_its_own_cause() -> None:
    """Recipients that were refused have no numbers; what one was told is not the others'."""
    refused = [
        events.SmtpReject(
            at=AT, trace=M, addr=address, stage="rcpt", check=check, code=550, reply="550 no"
        )
        for address, check in (("Anna@example.net", "unknown_box"), ("x@far.test", "relay_denied"))
    ]
    case = document(State.REFUSED, refused, n=0, code=550)
    other = {**case["message"]["recipient_list"][0], "address": "x@far.test"}
    case["message"]["recipient_list"].append(other)
    first, second = verdict.judge(case, BOOKS["en"], UTC)
    assert (first.cause, second.cause) == ("ours.unknown_box", "ours.relay_denied")
    assert len(first.evidence) == len(second.evidence) == 1
