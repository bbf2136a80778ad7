"""DKIM: the RFCs' example, other people's signatures, tampering, bad keys, real mail."""

import base64
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from mtad.completion import fields as split
from mtad.mailauth import canonical, dkim_sign, dkim_verify, tags
from mtad.mailauth.dkim_sign import Key
from mtad.mailauth.dkim_verify import Signature, Verdict
from tests.corpus import Mail

NOW = 1_700_000_000
EXAMPLE = b"""\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
"""  # RFC 8463 A.3
RSA_RECORD = (
    b"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6"
    b"Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6l"
    b"HvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
)
ED_RECORD = b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
KEYS = {
    "test._domainkey.football.example.com": RSA_RECORD,
    "brisbane._domainkey.football.example.com": ED_RECORD,
}


def parts(message: bytes) -> tuple[list[bytes], bytes]:
    fields, rest = split(message)
    return fields, rest.removeprefix(b"\n")


def verdicts(message: bytes, records: dict[str, bytes], now: int = NOW) -> list[Verdict]:
    fields, content = parts(message)
    found = []
    for one in dkim_verify.signatures(fields):
        if isinstance(one, Signature):
            body = dkim_verify.body_hash(one)
            body.update(content)
            record = [records[one.query]] if one.query in records else []
            one = dkim_verify.verify(one, fields, body, record, now)
        found.append(one)
    return found


def statuses(message: bytes, records: dict[str, bytes]) -> list[str]:
    return [one.status for one in verdicts(message, records)]


# ------------------------------------------------------- other people's signatures


def test_the_example_of_rfc_8463() -> None:
    ed, old = verdicts(EXAMPLE, KEYS)
    assert (ed.status, ed.domain, ed.selector) == ("pass", "football.example.com", "brisbane")
    assert (old.status, old.bits, old.why) == ("pass", 1024, "")


@pytest.mark.parametrize(
    ("name", "passing"), [("rfc6376.signed.msg", 2), ("rfc6376.signed.rsa.msg", 1)]
)
def test_signatures_by_others(name: str, passing: int, shared_data: Callable[[str], Path]) -> None:
    message = (shared_data("dkim-dkimpy") / "data" / name).read_bytes().replace(b"\r\n", b"\n")
    assert statuses(message, KEYS) == ["pass"] * passing
    changed = message.replace(b"hungry", b"thirsty")
    assert {one.why for one in verdicts(changed, KEYS)} == {"the body was changed"}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"dinner", b"lunch", "the header was changed"),
        (b"hungry yet", b"thirsty", "the body was changed"),
        (b"From: Joe", b"From: boss@x.test\nFrom: Joe", "the header was changed"),
        (b"Subject: Is", b"Subject: Urgent\nSubject: Is", "the header was changed"),
        (b"t=1528637909", b"t=1528637908", "the header was changed"),
    ],
)
def test_what_was_changed_is_seen(old: bytes, new: bytes, why: str) -> None:
    for one in verdicts(EXAMPLE.replace(old, new), KEYS):
        assert one.status == "fail"
        assert one.why.startswith(why)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"we lost the game.  Are", b"We lost the game.  Are"),
        (b"game.  Are", b"game. \t Are"),
        (b"Joe.\n", b"Joe. \n\n\n"),
        (b"Subject: Is dinner", b"SUBJECT :\tIs\n  dinner"),
        (b"From: Joe", b"X-Other: field\nFrom: Joe"),
    ],
)
def test_what_does_not_matter_may_change(old: bytes, new: bytes) -> None:
    assert statuses(EXAMPLE.replace(old, new), KEYS) == ["pass", "pass"]


# ------------------------------------------------------------- bad signatures, keys

BAD_FIELDS = {
    "no version": (b"v=1;", b"", "the tag v is missing"),
    "other version": (b"v=1;", b"v=2;", "unknown version"),
    "twice": (b"v=1;", b"v=1; v=1;", "twice"),
    "no algorithm": (b"a=rsa-sha256;", b"", "the tag a is missing"),
    "no domain": (b"d=football.example.com;", b"", "the tag d is missing"),
    "bad domain": (b"d=football.example.com;", b"d=a b;", "not a domain"),
    "identity elsewhere": (b"i=@football", b"i=@handball", "not within"),
    "identity of a neighbour": (b"i=@football", b"i=@xfootball", "not within"),
    "From not signed": (
        b"h=from : to : subject :\n date : message-id : from :",
        b"h=to : reply-to :",
        "From is not signed",
    ),
    "no headers": (b"h=from", b"x=1; hh=from", "missing"),
    "query": (b"q=dns/txt", b"q=http", "query method"),
    "canonicalization": (b"c=relaxed/relaxed", b"c=nofws", "canonicalization"),
    "time": (b"t=1528637909", b"t=soon", "not a number"),
    "expiry": (b"t=1528637909", b"t=1528637909; x=1528637908", "expires before"),
    "base64": (b"b=F45d", b"b=F4-5d", "not base64"),
    "malformed": (b"v=1;", b"v;", "malformed"),
    "control": (b"v=1;", b"v=1\x00;", "malformed"),
}


def only_rsa(message: bytes) -> bytes:
    return b"DKIM-Signature" + message.split(b"DKIM-Signature")[2]


@pytest.mark.parametrize(("old", "new", "why"), BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_malformed_signatures(old: bytes, new: bytes, why: str) -> None:
    message = only_rsa(EXAMPLE)
    assert old in message
    (one,) = verdicts(message.replace(old, new, 1), KEYS)
    assert one.status == "permerror"
    assert why in one.why


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (None, "there is no key"),
        (b"", "the record has no key"),
        (b"v=spf1 -all", "no DKIM key"),
        (b"v=spf1; x", "malformed"),
        (b"v=DKIM2; p=AAAA", "no DKIM key"),
        (RSA_RECORD.replace(b"v=DKIM1; k=rsa;", b"k=rsa; v=DKIM1;"), "no DKIM key"),
        (RSA_RECORD.replace(b"k=rsa", b"k=ed25519"), "another kind"),
        (RSA_RECORD.replace(b"k=rsa", b"h=sha1"), "not for SHA-256"),
        (RSA_RECORD.replace(b"k=rsa", b"s=tlsrpt"), "not for mail"),
        (b"v=DKIM1; p=", "revoked"),
        (b"v=DKIM1; p=AAAA", "damaged"),
        (b"v=DKIM1; p=A*A", "base64"),
        (RSA_RECORD[:-4] + b"IDA=", "damaged"),
    ],
)
def test_bad_keys(record: bytes | None, why: str) -> None:
    records = {} if record is None else {"test._domainkey.football.example.com": record}
    (one,) = verdicts(only_rsa(EXAMPLE), records)
    assert one.status == "permerror"
    assert why in one.why


def test_the_bad_keys_of_others(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("dkim-dkimpy") / "data"
    for name in ("badk.txt", "badversion.txt", "test_bad.txt", "test_tlsrpt.txt"):
        records = {"test._domainkey.football.example.com": (folder / name).read_bytes().strip()}
        assert statuses(only_rsa(EXAMPLE), records) == ["permerror"], name
    for name in ("test.txt", "test2.txt"):
        records = {"test._domainkey.football.example.com": (folder / name).read_bytes().strip()}
        assert statuses(only_rsa(EXAMPLE), records) == ["pass"], name


def test_keys_that_say_more() -> None:
    records = dict(KEYS)
    records["test._domainkey.football.example.com"] = RSA_RECORD.replace(b"k=rsa", b"t=y:s; n=x")
    assert [one.testing for one in verdicts(EXAMPLE, records)] == [False, True]
    below = only_rsa(EXAMPLE).replace(b"i=@football", b"i=@team.football")
    (one,) = verdicts(below, records)
    assert one.why == "the key is not for names below the domain"


# ------------------------------------------------------------------- our own


@pytest.fixture(scope="module")
def keys() -> dict[str, Key]:
    return {
        "rsa": Key("example.org", "r1", rsa.generate_private_key(65537, 2048)),
        "ed": Key("example.org", "e1", ed25519.Ed25519PrivateKey.generate()),
    }


def record_of(key: Key) -> bytes:
    public = key.private.public_key()
    if isinstance(key.private, rsa.RSAPrivateKey):
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        octets = public.public_bytes(serialization.Encoding.DER, form)
        return b"v=DKIM1; k=rsa; p=" + base64.b64encode(octets)
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return b"v=DKIM1; k=ed25519; p=" + base64.b64encode(raw)


def published(keys: dict[str, Key]) -> dict[str, bytes]:
    return {f"{k.selector}._domainkey.{k.domain}": record_of(k) for k in keys.values()}


def signed(message: bytes, key: Key, at: int = NOW) -> bytes:
    fields, content = parts(message)
    body = canonical.BodyHash("relaxed")
    body.update(content)
    return dkim_sign.sign(fields, body.digest(), key, at)


MESSAGE = b"From: a@example.org\nTo: b@x.test\nSubject: x\nMIME-Version: 1.0\n\nHi  there \n\n"


@pytest.mark.parametrize("name", ["rsa", "ed"])
def test_what_we_sign_verifies(name: str, keys: dict[str, Key]) -> None:
    field = signed(MESSAGE, keys[name])
    (one,) = verdicts(field + MESSAGE, published(keys))
    assert (one.status, one.domain, one.identity) == ("pass", "example.org", "@example.org")
    assert all(len(line) <= 78 for line in field.split(b"\n"))
    assert re.fullmatch(rb"DKIM-Signature:(?:[^\n]+\n[ \t])+[^\n]+\n", field)
    for extra in (b"From: c@x.test\n", b"Subject: y\n", b"Cc: d@x.test\n", b"MIME-Version: 2.0\n"):
        (one,) = verdicts(field + extra + MESSAGE, published(keys))
        assert one.status == "fail", extra
    (one,) = verdicts(b"Received: by x\n" + field + b"List-Id: <l>\n" + MESSAGE, published(keys))
    assert one.status == "pass"


def test_what_a_signature_says(keys: dict[str, Key]) -> None:
    found = tags.parse(signed(MESSAGE, keys["ed"]).partition(b":")[2])
    assert "x" not in found
    assert "l" not in found
    assert found["c"] == "relaxed/relaxed"
    assert found["t"] == str(NOW)
    assert tags.names(found["h"]) == (
        *("from", "from", "reply-to", "to", "to", "cc", "subject", "subject", "date"),
        *("message-id", "mime-version", "mime-version"),
    )


def test_signing_twice_is_seen_twice(keys: dict[str, Key]) -> None:
    message = signed(MESSAGE, keys["rsa"]) + signed(MESSAGE, keys["ed"]) + MESSAGE
    assert statuses(message, published(keys)) == ["pass", "pass"]


def test_times(keys: dict[str, Key]) -> None:
    def verdict(at: int, now: int) -> Verdict:
        (one,) = verdicts(signed(MESSAGE, keys["ed"], at) + MESSAGE, published(keys), now)
        return one

    assert verdict(NOW, NOW + 10**9).status == "pass", "no signature of ours expires"
    assert verdict(NOW + 3600, NOW).status == "pass", "clocks are wrong"
    assert verdict(NOW + 10**6, NOW).why == "the signature is from the future"
    (one,) = verdicts(
        only_rsa(EXAMPLE).replace(b"t=1528637909", b"t=1528637909; x=1528637910"), KEYS
    )
    assert one.why == "the signature has expired"


def test_weak_and_huge_keys_and_old_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = verdicts(only_rsa(EXAMPLE).replace(b"rsa-sha256", b"rsa-sha1"), KEYS)
    assert (one.status, one.why) == ("policy", "rsa-sha1 proves nothing")
    (one,) = verdicts(only_rsa(EXAMPLE).replace(b"rsa-sha256", b"rsa-md5"), KEYS)
    assert one.status == "neutral"
    for limit, value in (("MIN_BITS", 2048), ("MAX_BITS", 512)):
        with monkeypatch.context() as changed:
            changed.setattr(dkim_verify, limit, value)
            (one,) = verdicts(only_rsa(EXAMPLE), KEYS)
            assert (one.status, one.why) == ("policy", "a key of 1024 bits")
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    octets = base64.b64encode(other.public_bytes(serialization.Encoding.DER, form))
    records = {"test._domainkey.football.example.com": b"v=DKIM1; p=" + octets}
    (one,) = verdicts(only_rsa(EXAMPLE), records)
    assert one.why == "the key is of another kind"


def test_a_signed_length_lets_text_follow_and_needs_what_it_counts() -> None:
    """RFC 6376 8.2: the verdict is a pass; who reads it must know that the rest is anyone's."""
    message = only_rsa(EXAMPLE).replace(b"c=relaxed/relaxed;", b"c=relaxed/relaxed; l=9999;")
    (one,) = verdicts(message, KEYS)
    assert one.why == "the body is shorter than what was signed"
    hasher = canonical.BodyHash("simple", 4)
    hasher.update(b"abcdefg\n")
    whole = canonical.BodyHash("simple", None)
    whole.update(b"ab\n")
    assert hasher.size == 7
    assert hasher.digest() != whole.digest()


def test_only_so_many_signatures_are_looked_at() -> None:
    many = b"DKIM-Signature: v=1\n" * 50 + b"From: a@x.test\n\n"
    assert len(list(dkim_verify.signatures(split(many)[0]))) == dkim_verify.MAX_SIGNATURES


@pytest.mark.parametrize("length", [64, 65, 5000])
def test_tag_lists_are_bounded(length: int) -> None:
    text = b";".join(b"t%d=x" % number for number in range(length))
    if length <= tags.MAX_TAGS:
        assert len(tags.parse(text)) == length
    else:
        with pytest.raises(ValueError, match="too many"):
            tags.parse(text)


@given(st.binary(max_size=300))
def test_any_field_gives_a_verdict(value: bytes) -> None:
    field = b"DKIM-Signature:" + value.replace(b"\n", b"\n ") + b"\n"
    for one in dkim_verify.signatures([field, b"From: a@x.test\n"]):
        assert isinstance(one, Signature | Verdict)


@given(st.binary(max_size=200))
def test_any_record_gives_a_verdict(record: bytes) -> None:
    message = only_rsa(EXAMPLE)
    (one,) = verdicts(message, {"test._domainkey.football.example.com": record})
    assert one.status in ("permerror", "policy")


@pytest.mark.corpus
def test_real_mail_signs_and_verifies(corpus: Sequence[Mail], keys: dict[str, Key]) -> None:
    for mail in corpus[::7]:
        message = mail.data.replace(b"\r\n", b"\n").replace(b"\r", b"")
        fields, content = parts(message)
        message = b"".join(one.removesuffix(b"\n") + b"\n" for one in fields) + b"\n" + content
        ours = verdicts(signed(message, keys["ed"]) + message, published(keys))[0]
        assert ours.status == "pass", mail.path
