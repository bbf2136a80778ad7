"""The client's side of SMTP and LMTP as dialogs, without a socket.

``S:`` is fed to the client, ``C:`` must be the next line it sends, ``=`` is what happened,
``!`` calls the client: begin ADDRESS..., sent, secured, lost. Every dialog is held twice, the
second time with the server's octets one by one.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.outbound.envelope import Envelope, To
from mtad.outbound.login import Credentials, Plain, Scram
from mtad.outbound.protocol import (
    UNSURE,
    Answer,
    Body,
    Client,
    Done,
    Happening,
    Ready,
    Refused,
    StartTls,
)

GREETING = """
    S: 220 remote.test ESMTP
    C: EHLO us.test
    S: 250-remote.test\\r\\n250 PIPELINING
    = ready
"""
SIMPLE = """
    S: 220 remote.test
    C: EHLO us.test
    S: 250 remote.test
    = ready
"""

DIALOGS = {
    "pipelined, all taken": GREETING
    + """
    ! begin b@x.test c@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: RCPT TO:<c@x.test>
    C: DATA
    S: 250 ok\\r\\n250 ok\\r\\n250 ok\\r\\n354 go
    = body
    ! sent
    C: .
    S: 250 2.0.0 queued as ABCD
    = done delivered: 2.0.0 250 2.0.0 queued as ABCD, delivered: 2.0.0 250 2.0.0 queued as ABCD
    ! begin d@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<d@x.test>
    C: DATA
    """,
    "one command at a time": SIMPLE
    + """
    ! begin b@x.test c@x.test
    C: MAIL FROM:<a@us.test>
    S: 250 ok
    C: RCPT TO:<b@x.test>
    S: 250 ok
    C: RCPT TO:<c@x.test>
    S: 251 will forward
    C: DATA
    S: 354 go
    = body
    ! sent
    C: .
    S: 250 ok
    = done delivered: 2.0.0 250 ok, delivered: 2.0.0 250 ok
    """,
    "some are taken": GREETING
    + """
    ! begin b@x.test c@x.test d@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: RCPT TO:<c@x.test>
    C: RCPT TO:<d@x.test>
    C: DATA
    S: 250 ok\\r\\n550 5.1.1 x\\r\\n250 ok\\r\\n450 4.2.0 x\\r\\n354 go
    = body
    ! sent
    C: .
    S: 250 ok
    = done failed rcpt: 5.1.1 550 5.1.1 x, delivered: 2.0.0 250 ok, deferred rcpt: 4.2.0 450 4.2.0 x
    """,
    "nobody is taken and DATA was sent already": GREETING
    + """
    ! begin b@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: DATA
    S: 250 ok\\r\\n550 no\\r\\n354 go
    C: .
    S: 554 no valid recipients
    = done failed rcpt: 5.0.0 550 no
    """,
    "nobody is taken and DATA is refused": GREETING
    + """
    ! begin b@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: DATA
    S: 250 ok\\r\\n550 no\\r\\n554 no valid recipients
    = done failed rcpt: 5.0.0 550 no
    ! begin c@x.test
    C: RSET
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<c@x.test>
    C: DATA
    S: 250 reset\\r\\n250 ok\\r\\n250 ok\\r\\n354 go
    = body
    """,
    "nobody is taken, one at a time, and the next begins with RSET": SIMPLE
    + """
    ! begin b@x.test
    C: MAIL FROM:<a@us.test>
    S: 250 ok
    C: RCPT TO:<b@x.test>
    S: 550 no
    = done failed rcpt: 5.0.0 550 no
    ! begin c@x.test
    C: RSET
    S: 250 ok
    C: MAIL FROM:<a@us.test>
    """,
    "MAIL is refused for good": GREETING
    + """
    ! begin b@x.test c@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: RCPT TO:<c@x.test>
    C: DATA
    S: 550 5.7.1 no\\r\\n503 MAIL first\\r\\n503 MAIL first\\r\\n503 RCPT first
    = done failed mail: 5.7.1 550 5.7.1 no, failed mail: 5.7.1 550 5.7.1 no
    """,
    "MAIL is refused for now, one at a time": SIMPLE
    + """
    ! begin b@x.test
    C: MAIL FROM:<a@us.test>
    S: 451 4.7.1 greylisted
    = done deferred mail: 4.7.1 451 4.7.1 greylisted
    ! begin b@x.test
    C: MAIL FROM:<a@us.test>
    """,
    "DATA is refused": GREETING
    + """
    ! begin b@x.test c@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: RCPT TO:<c@x.test>
    C: DATA
    S: 250 ok\\r\\n550 no\\r\\n250 ok\\r\\n451 4.3.0 later
    = done failed rcpt: 5.0.0 550 no, deferred data: 4.3.0 451 4.3.0 later
    """,
    "DATA is answered as if it were done": GREETING
    + """
    ! begin b@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: DATA
    S: 250 ok\\r\\n250 ok\\r\\n250 ok
    = over deferred data: 4.4.2 DATA was answered by 250 ok
    """,
    "the message is refused for good": GREETING
    + """
    ! begin b@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: DATA
    S: 250 ok\\r\\n250 ok\\r\\n354 go
    = body
    ! sent
    C: .
    S: 554 5.7.1 spam
    = done failed dot: 5.7.1 554 5.7.1 spam
    """,
    "552 to RCPT may pass": GREETING
    + """
    ! begin b@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: DATA
    S: 250 ok\\r\\n552 5.5.3 too many\\r\\n554 none
    = done deferred rcpt: 4.5.3 552 5.5.3 too many
    """,
    "421 in the banner": """
    S: 421 4.3.2 full
    = refused deferred banner: 4.3.2 421 4.3.2 full
    """,
    "554 in the banner may pass": """
    S: 554 5.7.1 go away
    = refused deferred banner: 4.7.1 554 5.7.1 go away
    """,
    "521 in the banner does not pass": """
    S: 521 5.3.2 no mail here
    = refused failed banner: 5.3.2 521 5.3.2 no mail here
    """,
    "not SMTP at all": """
    S: SSH-2.0-OpenSSH_9.2
    = refused deferred banner: 4.4.2 not an SMTP reply: 'SSH-2.0-OpenSSH_9.2'
    """,
    "an old server": """
    S: 220 remote.test
    C: EHLO us.test
    S: 502 5.5.1 what?
    C: HELO us.test
    S: 250 remote.test
    = ready
    ! begin b@x.test
    C: MAIL FROM:<a@us.test>
    """,
    "neither EHLO nor HELO": """
    S: 220 remote.test
    C: EHLO us.test
    S: 550 no
    C: HELO us.test
    S: 550 5.7.0 no
    = refused deferred ehlo: 4.7.0 550 5.7.0 no
    """,
    "EHLO for now": """
    S: 220 remote.test
    C: EHLO us.test
    S: 450 4.3.2 busy
    = refused deferred ehlo: 4.3.2 450 4.3.2 busy
    """,
    "421 to the first of many": GREETING
    + """
    ! begin b@x.test c@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: RCPT TO:<c@x.test>
    C: DATA
    S: 250 ok\\r\\n421 4.7.0 closing
    = over deferred rcpt: 4.7.0 421 4.7.0 closing, deferred rcpt: 4.4.2 the server closed the\
 connection at another recipient: 421 4.7.0 closing
    """,
    "421 after the message": GREETING
    + """
    ! begin b@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: DATA
    S: 250 ok\\r\\n250 ok\\r\\n354 go
    = body
    ! sent
    C: .
    S: 421 4.3.0 closing
    = over deferred dot: 4.3.0 421 4.3.0 closing
    """,
    "lost before RCPT was answered": GREETING
    + """
    ! begin b@x.test c@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: RCPT TO:<c@x.test>
    C: DATA
    S: 250 ok\\r\\n550 5.1.1 no
    ! lost
    = over failed rcpt: 5.1.1 550 5.1.1 no, deferred rcpt: 4.4.2 connection lost
    """,
    "lost in the middle of the message": GREETING
    + """
    ! begin b@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: DATA
    S: 250 ok\\r\\n250 ok\\r\\n354 go
    = body
    ! lost
    = over deferred data: 4.4.2 connection lost
    """,
    "lost after the message": GREETING
    + f"""
    ! begin b@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: DATA
    S: 250 ok\\r\\n250 ok\\r\\n354 go
    = body
    ! sent
    C: .
    ! lost
    = over deferred dot: 4.4.2 unsure {UNSURE} (connection lost)
    """,
    "refused in the middle of the message": GREETING
    + """
    ! begin b@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: DATA
    S: 250 ok\\r\\n250 ok\\r\\n354 go
    = body
    S: 552 5.3.4 too big
    = over failed data: 5.3.4 552 5.3.4 too big
    """,
    "taken in the middle of the message": GREETING
    + """
    ! begin b@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: DATA
    S: 250 ok\\r\\n250 ok\\r\\n354 go
    = body
    S: 250 2.0.0 all right
    = over deferred data: 4.4.2 a reply to nothing that was asked
    """,
    "a reply too many while nothing is going on": GREETING
    + """
    S: 250 surprise
    ! begin b@x.test
    = over deferred mail: 4.4.2 connection lost
    """,
    "421 while nothing is going on": GREETING
    + """
    S: 421 4.4.2 idle too long
    ! begin b@x.test
    = over deferred mail: 4.4.2 connection lost
    """,
}

TLS_DIALOGS = {
    ("taken where offered", "may"): """
    S: 220 remote.test
    C: EHLO us.test
    S: 250-remote.test\\r\\n250-PIPELINING\\r\\n250 STARTTLS
    C: STARTTLS
    S: 220 go
    = starttls
    ! secured
    C: EHLO us.test
    S: 250 remote.test
    = ready
    ! begin b@x.test
    C: MAIL FROM:<a@us.test>
    """,
    ("what was sent before TLS is forgotten", "must"): """
    S: 220 remote.test
    C: EHLO us.test
    S: 250-remote.test\\r\\n250 STARTTLS
    C: STARTTLS
    S: 220 go\\r\\n250-evil.test\\r\\n250 AUTH PLAIN
    = starttls
    ! secured
    C: EHLO us.test
    S: 250 remote.test
    = ready
    """,
    ("not offered, may be", "may"): SIMPLE,
    ("not offered, must be", "must"): """
    S: 220 remote.test
    C: EHLO us.test
    S: 250 remote.test
    = refused deferred starttls: 4.7.4 STARTTLS is not offered
    """,
    ("refused, may be", "may"): """
    S: 220 remote.test
    C: EHLO us.test
    S: 250-remote.test\\r\\n250 STARTTLS
    C: STARTTLS
    S: 454 4.7.0 no key
    = ready
    """,
    ("refused, must be", "must"): """
    S: 220 remote.test
    C: EHLO us.test
    S: 250-remote.test\\r\\n250 STARTTLS
    C: STARTTLS
    S: 454 4.7.0 no key
    = refused deferred starttls: 4.7.0 454 4.7.0 no key
    """,
    ("offered, not wanted", "never"): """
    S: 220 remote.test
    C: EHLO us.test
    S: 250-remote.test\\r\\n250 STARTTLS
    = ready
    """,
    ("an old server cannot", "must"): """
    S: 220 remote.test
    C: EHLO us.test
    S: 500 what?
    C: HELO us.test
    S: 250 remote.test
    = refused deferred starttls: 4.7.4 STARTTLS is not offered
    """,
}

LMTP_DIALOGS = {
    "an answer for each": """
    S: 220 remote.test LMTP
    C: LHLO us.test
    S: 250-remote.test\\r\\n250 PIPELINING
    = ready
    ! begin b@x.test c@x.test d@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: RCPT TO:<c@x.test>
    C: RCPT TO:<d@x.test>
    C: DATA
    S: 250 ok\\r\\n250 ok\\r\\n550 no\\r\\n250 ok\\r\\n354 go
    = body
    ! sent
    C: .
    S: 250 boxed\\r\\n452 4.2.2 full
    = done delivered: 2.0.0 250 boxed, failed rcpt: 5.0.0 550 no, deferred dot: 4.2.2 452 4.2.2 full
    """,
    "lost between the answers": f"""
    S: 220 remote.test LMTP
    C: LHLO us.test
    S: 250-remote.test\\r\\n250 PIPELINING
    = ready
    ! begin b@x.test c@x.test
    C: MAIL FROM:<a@us.test>
    C: RCPT TO:<b@x.test>
    C: RCPT TO:<c@x.test>
    C: DATA
    S: 250 ok\\r\\n250 ok\\r\\n250 ok\\r\\n354 go
    = body
    ! sent
    C: .
    S: 250 2.0.0 stored
    ! lost
    = over delivered: 2.0.0 250 2.0.0 stored, deferred dot: 4.4.2 unsure {UNSURE} (connection lost)
    """,
    "LHLO is not known": """
    S: 220 remote.test ESMTP
    C: LHLO us.test
    S: 500 5.5.1 what?
    = refused deferred ehlo: 4.5.1 500 5.5.1 what?
    """,
}


def word(answer: Answer) -> str:
    stage = f" {answer.stage}" if answer.stage else ""
    unsure = "unsure " if answer.is_unsure else ""
    said = answer.reply.text if answer.reply else answer.why
    return f"{answer.kind}{stage}: {answer.enh} {unsure}{said}"


def words(happening: Happening) -> str:
    match happening:
        case Ready():
            return "ready"
        case StartTls():
            return "starttls"
        case Body():
            return "body"
        case Refused(answer):
            return "refused " + word(answer)
        case Done(answers, is_reusable):
            return ("done " if is_reusable else "over ") + ", ".join(map(word, answers))


def hold(script: str, client: Client, size: int) -> None:
    """Hold a dialog; the server's octets come in pieces of ``size``."""
    happened: list[str] = []
    sent = client.take().decode()
    for number, line in enumerate(filter(None, map(str.strip, script.split("\n"))), 1):
        mark, _, rest = line.partition(" ")
        where = f"line {number}: {line}"
        if mark == "S:":
            octets = rest.replace("\\r\\n", "\r\n").encode() + b"\r\n"
            for at in range(0, len(octets), size):
                happened += map(words, client.receive(octets[at : at + size]))
        elif mark == "C:":
            first, end, sent = sent.partition("\r\n")
            assert (first + end) == rest + "\r\n", where
        elif mark == "=":
            assert happened, where
            assert happened.pop(0) == rest, where
        else:
            action, *arguments = rest.split()
            if action == "begin":
                recipients = [To(address) for address in arguments]
                happened += map(words, client.begin(Envelope("a@us.test", recipients, 100)))
            elif action == "sent":
                client.sent(b".\r\n", 100)
            elif action == "secured":
                client.secured("TLSv1.3")
            else:
                assert action == "lost"
                happened += map(words, client.lost("connection lost"))
        sent += client.take().decode()
    assert not happened
    assert not sent


@pytest.mark.parametrize("size", [1, 10_000], ids=["drip", "whole"])
@pytest.mark.parametrize("script", DIALOGS.values(), ids=DIALOGS)
def test_dialog(script: str, size: int) -> None:
    hold(script, Client("us.test"), size)


@pytest.mark.parametrize("size", [1, 10_000], ids=["drip", "whole"])
@pytest.mark.parametrize("script", LMTP_DIALOGS.values(), ids=LMTP_DIALOGS)
def test_lmtp(script: str, size: int) -> None:
    hold(script, Client("us.test", lmtp=True), size)


@pytest.mark.parametrize(("about", "wish"), TLS_DIALOGS, ids=lambda value: value)
def test_tls(about: str, wish: str) -> None:
    script = TLS_DIALOGS[about, wish]
    hold(script, Client("us.test", tls=wish), 10_000)  # type: ignore[arg-type]


@given(st.lists(st.binary(max_size=40)), st.booleans())
def test_any_octets_end_in_an_answer(pieces: list[bytes], begins: bool) -> None:
    client = Client("us.test")
    happened: list[Happening] = []
    if begins:
        client.receive(b"220 x\r\n250-x\r\n250 PIPELINING\r\n")
        client.begin(Envelope("a@us.test", [To("b@x.test"), To("c@x.test")], 100))
    for piece in pieces:
        happened += client.receive(piece)
        if happened and isinstance(happened[-1], Body):
            client.sent(b".\r\n", 1)
    happened += client.lost("the end")
    ends = [one for one in happened if isinstance(one, Done | Refused)]
    assert len(ends) == 1 or (not begins and any(isinstance(one, Ready) for one in happened))
    for end in ends:
        if isinstance(end, Done):
            assert len(end.answers) == 2


# ------------------------------------------------------------------------------- AUTH


def auth(mechanisms: str, *, is_private: bool = True) -> tuple[Client, list[Happening], bytes]:
    client = Client(
        "us.test", tls="never", credentials=Credentials("me", "pässword"), is_private=is_private
    )
    happened = list(client.receive(b"220 x\r\n"))
    client.take()
    happened += client.receive(f"250-x\r\n250 AUTH {mechanisms}\r\n".encode())
    return client, happened, client.take()


def test_plain() -> None:
    client, happened, sent = auth("LOGIN PLAIN")
    assert not happened
    assert sent == b"AUTH PLAIN AG1lAHDDpHNzd29yZA==\r\n"
    assert client.receive(b"235 2.7.0 ok\r\n") == [Ready()]
    said = "\n".join(client.transcript.lines())
    assert "> AUTH PLAIN ***" in said
    assert "AG1l" not in said
    assert "235" in said


def test_login() -> None:
    client, happened, sent = auth("LOGIN")
    assert (happened, sent) == ([], b"AUTH LOGIN\r\n")
    client.receive(b"334 VXNlcm5hbWU6\r\n")
    assert client.take() == b"bWU=\r\n"
    client.receive(b"334 UGFzc3dvcmQ6\r\n")
    assert client.take() == b"cMOkc3N3b3Jk\r\n"
    assert client.receive(b"235 ok\r\n") == [Ready()]
    assert "cMOk" not in "\n".join(client.transcript.lines())


def test_no_password_goes_over_a_line_that_others_read() -> None:
    _, happened, sent = auth("LOGIN PLAIN", is_private=False)
    assert sent == b""
    assert isinstance(happened[0], Refused)
    assert happened[0].answer.stage == "auth"
    assert happened[0].answer.kind == "deferred"
    assert "LOGIN PLAIN" in happened[0].answer.why
    assert auth("SCRAM-SHA-256 PLAIN", is_private=False)[2].startswith(b"AUTH SCRAM-SHA-256 ")


def test_a_wrong_password_keeps_the_mail() -> None:
    client, _, _ = auth("PLAIN")
    (refused,) = client.receive(b"535 5.7.8 no\r\n")
    assert words(refused) == "refused deferred auth: 4.7.8 535 5.7.8 no"


@pytest.mark.parametrize(
    "challenge", ["334 &&&", "334", "334 cj0=", "334 " + "QQ" * 30, "334 cj1hLHM9YWFhYSxpPTE="]
)
def test_a_challenge_that_makes_no_sense_ends_it(challenge: str) -> None:
    client, _, _ = auth("SCRAM-SHA-256")
    (refused,) = client.receive(challenge.encode() + b"\r\n")
    assert isinstance(refused, Refused)
    assert refused.answer.stage == "auth"


def test_a_server_that_asks_without_end_is_left() -> None:
    client, _, _ = auth("PLAIN")
    (refused,) = client.receive(b"334 \r\n")
    assert words(refused) == "refused deferred auth: 4.7.0 the server asks for more than PLAIN has"


def test_scram_as_in_its_rfc() -> None:
    """The example of RFC 7677 3."""
    scram = Scram(Credentials("user", "pencil"), "rOprNGfwEbeRWgbNEkqO")
    assert scram.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    final = scram.next(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    assert final == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    with pytest.raises(Exception, match="did not prove"):
        scram.finish()
    assert scram.next(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") == b""
    scram.finish()


@pytest.mark.parametrize("given", [b"v=" + b"A" * 43 + b"=", b"e=other-error", b"v=x", b""])
def test_a_server_that_does_not_know_the_password_is_found_out(given: bytes) -> None:
    scram = Scram(Credentials("user", "pencil"), "rOprNGfwEbeRWgbNEkqO")
    scram.next(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    with pytest.raises(Exception, match="signature"):
        scram.next(given)


def test_the_cost_a_server_may_cause_is_bounded() -> None:
    scram = Scram(Credentials("user", "pencil"), "abc")
    with pytest.raises(Exception, match="iterations"):
        scram.next(b"r=abcdef,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=999999999")


def test_secrets_are_not_shown() -> None:
    credentials = Credentials("me", "secret-word")
    assert "secret-word" not in repr(credentials)
    assert "secret-word" not in repr(Plain(credentials))
