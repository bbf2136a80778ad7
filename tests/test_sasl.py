"""SASL mechanisms: the RFCs' own examples, every way to get them wrong, and any octets at all."""

import base64
import hashlib
import ssl
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.sasl import binding, lines, mechanisms, scram_keys
from mtad.sasl.bearer import REFUSED, OAuthBearer
from mtad.sasl.cram import CRAM_NAME, CramMd5
from mtad.sasl.mechanisms import NAMES, Channel, make, offered
from mtad.sasl.plain import Login, Plain
from mtad.sasl.saslprep import password, saslprep
from mtad.sasl.scram import Scram
from mtad.sasl.steps import (
    WRONG,
    Challenge,
    Failure,
    KeysWanted,
    PasswordCheck,
    ScramKeys,
    SecretWanted,
    Step,
    Success,
    TokenCheck,
)
from tests.sasl_client import ScramClient, cram_md5
from tests.test_smtp_tls import files

__all__ = ["files"]


def keys(words: dict[str, str], salt: bytes = b"0123456789abcdef", rounds: int = 64) -> ScramKeys:
    """Keys of a box's passwords, by their names."""
    made = (
        scram_keys.key(name, scram_keys.salted(word, salt, rounds)) for name, word in words.items()
    )
    return ScramKeys(salt, rounds, tuple(made))


def failed(step: Step, why: str, *, malformed: bool = False) -> None:
    assert isinstance(step, Failure), step
    assert why in step.why
    assert step.malformed is malformed


# ----------------------------------------------------------------- on the line


def test_messages_travel_as_base64() -> None:
    assert lines.initial(b"") is None
    assert lines.initial(b"=") == b""
    assert lines.initial(b"AGEAYg==") == b"\0a\0b"
    assert lines.response(b"") == b""
    assert lines.challenge(b"\0a\0b") == "AGEAYg=="
    with pytest.raises(lines.Cancelled):
        lines.response(b"*")


@pytest.mark.parametrize(
    "line", [b"A", b"AGE", b"AGEA Yg==", b"AGE-Yg==", b"AGEAYg==x", b"\xff", b"*", b"A" * 8000]
)
def test_what_is_no_base64_is_malformed(line: bytes) -> None:
    with pytest.raises(lines.Malformed):
        lines.initial(line)


@given(st.binary(max_size=3000))
def test_any_message_comes_back(message: bytes) -> None:
    assert lines.response(lines.challenge(message).encode()) == message


# ------------------------------------------------------------------- SASLprep


@pytest.mark.parametrize(
    ("text", "prepared"),
    [  # RFC 4013 3, and what the tables say
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("\u00a0x", " x"),
        ("пароль", "пароль"),
        ("й", "й"),
        ("\u0627\u0628", "\u0627\u0628"),
    ],
)
def test_saslprep(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize(
    "text", ["\x07", "a\nb", "\u0627\u0031", "\u0627a\u0628", "\ud800", "x" * 1025]
)
def test_saslprep_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"character|longer|text"):
        saslprep(text)


def test_unassigned_characters_are_for_queries_only() -> None:
    assert saslprep("🙂") == "🙂"
    with pytest.raises(ValueError, match="not assigned"):
        saslprep("🙂", stored=True)


def test_a_password_is_prepared_where_it_can_be() -> None:
    assert password("\u2168") == b"IX"
    assert password("🙂\u2168") == "🙂\u2168".encode()


@given(st.text(max_size=60))
def test_preparing_twice_changes_nothing(text: str) -> None:
    try:
        once = saslprep(text, stored=True)
    except ValueError:
        return
    assert saslprep(once, stored=True) == once


# ------------------------------------------------------------- PLAIN and LOGIN


def test_plain() -> None:
    mechanism = Plain()
    assert mechanism.step(None) == Challenge(b"")
    step = mechanism.step(b"\0tim\0tanstaaftanstaaf")  # RFC 4616 4
    assert isinstance(step, PasswordCheck)
    assert (step.login, step.password) == ("tim", "tanstaaftanstaaf")
    assert step.then("phone") == Success("tim", "phone")
    assert step.then("") == Success("tim")
    assert step.then(None) == Failure(WRONG, "tim")
    assert "tanstaaf" not in repr(step)


def test_plain_with_the_same_authorization_identity() -> None:
    assert isinstance(Plain().step(b"tim\0tim\0x"), PasswordCheck)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0",
        b"tim",
        b"\0tim",
        b"\0tim\0",
        b"\0\0x",
        b"\0a\0b\0c",
        b"\0a\0\xff",
        b"\0a\0" * 2000,
    ],
)
def test_plain_malformed(message: bytes) -> None:
    failed(Plain().step(message), "", malformed=True)


def test_nobody_acts_for_another() -> None:
    failed(Plain().step(b"boss\0tim\0x"), "may not act as boss")


def bearer(login: str = "a=ann@example.org", auth: str = "auth=Bearer dG9rZW4=") -> bytes:
    return f"n,{login},\1host=mx\1port=143\1{auth}\1\1".encode()


@pytest.mark.parametrize("login", ["a=ann@example.org", "a=Ann@Example.org", ""])
def test_bearer(login: str) -> None:
    mechanism = OAuthBearer()
    assert mechanism.step(None) == Challenge(b"")
    check = mechanism.step(bearer(login))
    assert isinstance(check, TokenCheck)
    assert check.token == "dG9rZW4="
    assert "dG9rZW4" not in repr(check)
    assert check.then("ann@example.org") == Success("ann@example.org")


@pytest.mark.parametrize("owner", [None, "bob@example.org"])
def test_bearer_tells_why_before_it_fails(owner: str | None) -> None:
    mechanism = OAuthBearer()
    check = mechanism.step(bearer())
    assert isinstance(check, TokenCheck)
    assert check.then(owner) == Challenge(REFUSED)
    assert isinstance(mechanism.step(b"\1"), Failure)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff",
        b"n,a=x,",
        b"auth=Bearer x\1\1",
        bearer(auth="auth=Basic x"),
        bearer(auth="auth=Bearer "),
        bearer()[:-1],
        b"p=tls-unique,,\1auth=Bearer x\1\1",
        b"n,,\1" + b"x" * 5000 + b"\1\1",
    ],
)
def test_bearer_malformed(message: bytes) -> None:
    verdict = OAuthBearer().step(message)
    assert isinstance(verdict, Failure)
    assert verdict.malformed


def test_bearer_is_offered_while_tokens_can_be_validated() -> None:
    assert "OAUTHBEARER" not in offered(NAMES, plus=True, cram=True)
    assert "OAUTHBEARER" in offered(NAMES, plus=True, cram=True, bearer=True)


def test_login() -> None:
    mechanism = Login()
    assert mechanism.step(None) == Challenge(b"Username:")
    assert mechanism.step("почта@x.test".encode()) == Challenge(b"Password:")
    step = mechanism.step("пароль с пробелом".encode())
    assert isinstance(step, PasswordCheck)
    assert (step.login, step.password) == ("почта@x.test", "пароль с пробелом")


def test_login_with_the_login_at_once() -> None:
    mechanism = Login()
    assert mechanism.step(b"tim") == Challenge(b"Password:")
    assert isinstance(mechanism.step(b"x"), PasswordCheck)


@pytest.mark.parametrize("answer", [b"", b"a\0b", b"\xff", b"x" * 5000])
@pytest.mark.parametrize("first", [True, False])
def test_login_malformed(answer: bytes, first: bool) -> None:
    mechanism = Login()
    if not first:
        mechanism.step(b"tim")
    failed(mechanism.step(answer), "", malformed=True)


# -------------------------------------------------------------------- CRAM-MD5

EXAMPLE = b"<1896.697170952@postoffice.reston.mci.net>"  # RFC 2195 2


def test_cram_md5() -> None:
    mechanism = CramMd5(EXAMPLE, b"decoy")
    assert mechanism.step(None) == Challenge(EXAMPLE)
    step = mechanism.step(b"tim b913a602c7eda7a495b4e6e7334d3890")
    assert isinstance(step, SecretWanted)
    assert step.login == "tim"
    assert step.then(b"tanstaaftanstaaf") == Success("tim", CRAM_NAME)
    failed(step.then(b"other"), WRONG)
    failed(step.then(None), "not enabled")


def test_cram_md5_knows_no_decoy() -> None:
    """The decoy is checked, and knowing it helps nobody."""
    mechanism = CramMd5(EXAMPLE, b"decoy")
    mechanism.step(None)
    step = mechanism.step(cram_md5("x", b"decoy", EXAMPLE))
    assert isinstance(step, SecretWanted)
    failed(step.then(None), "not enabled")


@pytest.mark.parametrize(
    "answer", [b"", b"tim", b"tim short", b" " + b"0" * 32, b"\xff " + b"0" * 32, b"x" * 9000]
)
def test_cram_md5_malformed(answer: bytes) -> None:
    mechanism = CramMd5(EXAMPLE, b"")
    mechanism.step(None)
    failed(mechanism.step(answer), "", malformed=True)
    failed(CramMd5(EXAMPLE, b"").step(answer), "no initial response", malformed=True)


def test_each_challenge_is_another() -> None:
    channel = Channel("mx.test", b"decoy")
    made = {str(make("CRAM-MD5", channel).step(None)) for _ in range(50)}
    assert len(made) == 50


# ----------------------------------------------------------------------- SCRAM


def test_the_example_of_rfc_7677() -> None:
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    mechanism = Scram("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", {})
    step = mechanism.step(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    assert isinstance(step, KeysWanted)
    assert step.login == "user"
    assert step.then(keys({"": "pencil"}, salt, 4096)) == Challenge(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    assert mechanism.step(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    ) == Challenge(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    assert mechanism.step(b"") == Success("user")


BOUND = {binding.END_POINT: b"hash of a certificate", binding.EXPORTER: b"keying material"}


def exchange(mechanism: Scram, client: ScramClient, known: ScramKeys) -> Step:
    """An exchange to its verdict."""
    step = mechanism.step(client.first())
    if isinstance(step, KeysWanted):
        step = step.then(known)
    if isinstance(step, Challenge):
        step = mechanism.step(client.final(step.data))
    if isinstance(step, Challenge):
        assert client.trusts(step.data)
        step = mechanism.step(b"")
    return step


@pytest.mark.parametrize("user", ["tim", "a,b=c", "почта@x.test", "n=3D"])
def test_logins_are_escaped(user: str) -> None:
    known = keys({"": "pencil"})
    assert exchange(Scram("n", {}), ScramClient(user, "pencil"), known) == Success(user)


def test_which_password_it_was() -> None:
    known = keys({"": "main", "phone": "first", "laptop": "second"})
    for name, word in (("", "main"), ("phone", "first"), ("laptop", "second")):
        assert exchange(Scram("n", {}), ScramClient("tim", word), known) == Success("tim", name)
    failed(exchange(Scram("n", {}), ScramClient("tim", "third"), known), WRONG)


@pytest.mark.parametrize("kind", BOUND)
def test_a_bound_channel(kind: str) -> None:
    known, client = keys({"": "x"}), ScramClient("tim", "x", binding=(kind, BOUND[kind]))
    assert exchange(Scram("n", BOUND, plus=True), client, known) == Success("tim")


BAD_BINDINGS: dict[str, tuple[dict[str, Any], bool, str, bool]] = {
    "other channel": ({"binding": (binding.EXPORTER, b"x")}, True, "another channel", False),
    "other type": ({"binding": ("tls-unique", b"x")}, True, "no channel binding of type", True),
    "not bound": ({}, True, "no channel binding of type none", True),
    "bound without -PLUS": ({"binding": (binding.EXPORTER, b"x")}, False, "needs", True),
    "did not see -PLUS": ({"flag": "y"}, False, "someone is in between", False),
}


@pytest.mark.parametrize(("named", "plus", "why", "malformed"), BAD_BINDINGS.values())
def test_bad_bindings(named: dict[str, Any], plus: bool, why: str, malformed: bool) -> None:
    step = exchange(Scram("n", BOUND, plus=plus), ScramClient("t", "x", **named), keys({"": "x"}))
    failed(step, why, malformed=malformed)


def test_without_tls_a_client_may_be_ready_to_bind() -> None:
    client = ScramClient("tim", "x", flag="y")
    assert exchange(Scram("n", {}), client, keys({"": "x"})) == Success("tim")


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n,,",
        b"n,n=a,r=b",
        b"n,,n=a",
        b"n,,r=b,n=a",
        b"n,,n=,r=b",
        b"n,,n=a,r=",
        b"n,,n=a=b,r=c",
        b"n,,n=a=2c,r=c",
        b"n,,n=a\0,r=b",
        b"n,,n=a\x07,r=b",
        b"n,,m=x,n=a,r=b",
        b"x,,n=a,r=b",
        b"p=,,n=a,r=b",
        b"n,,n=a,r=b\x80",
        "n,,n=a,r=ж".encode(),
        b"n,,n=a,r=" + b"x" * 5000,
    ],
)
def test_malformed_first_messages(first: bytes) -> None:
    failed(Scram("n", {}).step(first), "", malformed=True)


def test_an_authorization_identity_must_be_the_login() -> None:
    assert isinstance(Scram("n", {}).step(b"n,a=tim,n=tim,r=x"), KeysWanted)
    failed(Scram("n", {}).step(b"n,a=boss,n=tim,r=x"), "may not act as boss")


@pytest.mark.parametrize(
    ("final", "why", "malformed"),
    [
        (b"", "malformed", True),
        (b"c=biws,r=xn", "malformed", True),
        (b"p=AAAA,c=biws,r=xn", "malformed", True),
        (b"c=biws,r=xn,p=A", "base64", True),
        (b"c=b,r=xn,p=AAAA", "base64", True),
        (b"c=biws,r=other,p=AAAA", "nonce", True),
        (b"c=biws,r=xn,p=AAAA", "length", True),
        (b"c=eSws,r=xn,p=AAAA", "another channel", False),
        (b"c=biws,r=xn,p=" + base64.b64encode(bytes(32)), WRONG, False),
        (b"c=biws,r=xn,x=ignored,p=" + base64.b64encode(bytes(32)), WRONG, False),
        (b"c=biws,r=xn\xff,p=AAAA", "UTF-8", True),
    ],
)
def test_bad_final_messages(final: bytes, why: str, malformed: bool) -> None:
    mechanism = Scram("n", {})
    step = mechanism.step(b"n,,n=tim,r=x")
    assert isinstance(step, KeysWanted)
    step.then(keys({"": "pencil"}))
    failed(mechanism.step(final), why, malformed=malformed)


def test_nothing_follows_the_last_message() -> None:
    mechanism, client = Scram("n", {}), ScramClient("tim", "x")
    step = mechanism.step(client.first())
    assert isinstance(step, KeysWanted)
    challenge = step.then(keys({"": "x"}))
    assert isinstance(challenge, Challenge)
    mechanism.step(client.final(challenge.data))
    failed(mechanism.step(b"more"), "too many", malformed=True)


def test_a_login_without_keys_is_answered_the_same_each_time() -> None:
    nobody, other = scram_keys.decoy(b"secret", "nobody"), scram_keys.decoy(b"secret", "other")
    assert nobody == scram_keys.decoy(b"secret", "nobody")
    assert nobody.salt != other.salt
    assert nobody.salt != scram_keys.decoy(b"another", "nobody").salt
    assert (len(nobody.salt), nobody.iterations) == (scram_keys.SALT, scram_keys.ITERATIONS)
    failed(exchange(Scram("n", {}), ScramClient("nobody", "x"), nobody), WRONG)


@given(st.binary(max_size=200), st.lists(st.binary(max_size=200), max_size=3))
@pytest.mark.parametrize("name", NAMES)
def test_any_octets_end_in_a_verdict(name: str, secret: bytes, said: list[bytes]) -> None:
    mechanism = make(name, Channel("mx.test", b"decoy", BOUND))
    for message in (None, *said, b"", b""):
        step = mechanism.step(message)
        if isinstance(step, PasswordCheck):
            step = step.then(None)
        elif isinstance(step, KeysWanted):
            step = step.then(scram_keys.decoy(secret, step.login))
        elif isinstance(step, SecretWanted):
            step = step.then(None)
        assert not isinstance(step, Success)
        if isinstance(step, Failure):
            return
    raise AssertionError("no verdict")


text = st.text(string.ascii_letters + "жé ,=", min_size=1, max_size=20).filter(str.strip)


@given(text, text, st.binary(min_size=1, max_size=30), st.integers(1, 50))
def test_any_login_and_password(user: str, word: str, salt: bytes, rounds: int) -> None:
    known = keys({"": word}, salt, rounds)
    assert exchange(Scram("n", {}), ScramClient(user, word), known) == Success(user)
    assert scram_keys.read("", scram_keys.written(known)) == known


@pytest.mark.parametrize(
    "stored",
    ["", "x", "SCRAM-SHA-256$", "SCRAM-SHA-256$x:YQ==$YQ==:YQ==", "SCRAM-SHA-256$1:YQ==$YQ==:YQ=="],
)
def test_what_is_no_key_is_not_read(stored: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        scram_keys.read("", stored)


# ---------------------------------------------------- what is offered, bindings


def test_what_is_offered() -> None:
    assert offered(NAMES, plus=True, cram=True, bearer=True) == NAMES
    assert offered(NAMES, plus=False, cram=False) == ("SCRAM-SHA-256", "PLAIN", "LOGIN")
    assert offered(("PLAIN", mechanisms.PLUS), plus=True, cram=True) == (mechanisms.PLUS, "PLAIN")
    with pytest.raises(KeyError):
        make("GSSAPI", Channel("mx.test", b""))


def test_each_name_makes_its_mechanism() -> None:
    for name in NAMES:
        assert make(name, Channel("mx.test", b"")).name == name


def test_the_binding_to_a_certificate(files: tuple[Path, Path]) -> None:
    pem = files[0].read_bytes()
    der = ssl.PEM_cert_to_DER_cert(pem.decode())
    assert binding.server_end_point(pem) == hashlib.sha256(der).digest()
    with pytest.raises(ValueError, match=r".+"):
        binding.server_end_point(b"no certificate")
