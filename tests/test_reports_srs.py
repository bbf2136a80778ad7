"""Return paths that lead home: as the reference implementation writes them, and forgery-proof."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.address import MAX_LOCAL
from mtad.reports.srs import Invalid, Srs, Unwritable
from mtad.reports.token import Tokens
from tracing import ids

AT = 1_790_000_000_000_000
DAY = 86_400_000_000
SECRET = b"tops3cr3t"
HERE = "alias.test"
SRS = Srs(HERE, [SECRET])

LOCAL = st.from_regex(r"[A-Za-z0-9_+=/я-]{1,16}(\.[A-Za-z0-9=-]{1,8})?", fullmatch=True)
DOMAIN = st.from_regex(r"[a-zA-Z0-9-]{1,10}\.[a-z]{2,6}", fullmatch=True)
SENDER = st.builds("{}@{}".format, LOCAL, DOMAIN)


@pytest.mark.parametrize(
    ("sender", "length", "written"),
    [
        ("otto@example.com", 4, "SRS0=qZId=HN=example.com=otto"),
        ("otto@example.com", 8, "SRS0=qZIdqPlB=HN=example.com=otto"),
        ("Otto.Mixed+tag=x@Example.COM", 4, "SRS0=Mqjn=HN=Example.COM=Otto.Mixed+tag=x"),
        (
            "SRS0=vmyz=2W=example.com=otto@first.example",
            4,
            "SRS1=ImVM=first.example==vmyz=2W=example.com=otto",
        ),
        (
            "SRS1=AAAA=first.example==vmyz=2W=example.com=otto@second.example",
            8,
            "SRS1=ImVM/cpz=first.example==vmyz=2W=example.com=otto",
        ),
    ],
)
def test_as_mail_srs_writes_them(sender: str, length: int, written: str) -> None:
    """The values are those of Mail::SRS 0.31 with this secret at this time."""
    srs = Srs(HERE, [SECRET], length=length)
    assert srs.forward(sender, AT) == f"{written}@{HERE}"


def test_the_way_back_goes_one_hop_at_a_time() -> None:
    first, second = Srs("one.test", [b"1"]), Srs("two.test", [b"2"])
    third = Srs("three.test", [b"3"], length=4)
    there = first.forward("a@b.test", AT)
    by_two = second.forward(there, AT)
    by_three = third.forward(by_two, AT)
    assert third.reverse(by_three, AT) == there
    assert second.reverse(by_two, AT) == there
    assert first.reverse(there, AT) == "a@b.test"


def test_the_null_path_stays_null() -> None:
    assert SRS.forward("", AT) == ""


@given(SENDER, st.integers(0, 2**52), st.integers(0, 21))
def test_there_and_back(sender: str, at: int, days: int) -> None:
    try:
        written = SRS.forward(sender, at)
    except Unwritable:
        assert len(f"SRS0=HHHHHHHH=TT==@{sender}".encode()) - 2 > MAX_LOCAL
        return
    assert len(written.rpartition("@")[0].encode()) <= MAX_LOCAL
    assert SRS.is_ours(written)
    assert SRS.reverse(written, at + days * DAY) == sender
    assert SRS.reverse(written.lower(), at).lower() == sender.lower()
    assert SRS.reverse(written.upper(), at).lower() == sender.upper().lower()


@given(SENDER, st.data())
def test_no_other_address_passes(sender: str, data: st.DataObject) -> None:
    srs = Srs(HERE, [SECRET], length=4)
    written = srs.forward(sender, AT)
    at = data.draw(st.integers(5, len(written) - len(HERE) - 2))
    char = data.draw(st.sampled_from("aZ09=+/.-@"))
    forged = written[:at] + char + written[at + 1 :]
    if forged.lower() != written.lower():
        with pytest.raises(Invalid):
            srs.reverse(forged, AT)


@given(st.text(max_size=60))
def test_anything_else_is_refused(local: str) -> None:
    for text in (
        local,
        f"SRS0={local}",
        f"SRS1={local}",
        f"SRS0={local}@{HERE}",
        f"SRS1={local}@{HERE}",
    ):
        with pytest.raises(Invalid):
            SRS.reverse(text, AT)


def test_addresses_expire_and_days_come_round() -> None:
    written = SRS.forward("a@b.test", AT)
    for days in (-1, 22, 500, 1023):
        with pytest.raises(Invalid, match="expired"):
            SRS.reverse(written, AT + days * DAY)
    assert SRS.reverse(written, AT + 1024 * DAY) == "a@b.test"


def test_a_secret_can_be_replaced_while_addresses_are_under_way() -> None:
    old = SRS.forward("a@b.test", AT)
    both = Srs(HERE, [b"another", SECRET])
    assert both.reverse(old, AT) == "a@b.test"
    fresh = both.forward("a@b.test", AT)
    assert fresh != old
    with pytest.raises(Invalid, match="not made here"):
        SRS.reverse(fresh, AT)


@pytest.mark.parametrize("secrets", [[], [b""], [b"good", b""]])
def test_no_secret_is_no_way(secrets: list[bytes]) -> None:
    with pytest.raises(ValueError, match="secret"):
        Srs(HERE, secrets)
    with pytest.raises(ValueError, match="secret"):
        Tokens(secrets)


@pytest.mark.parametrize(
    "sender",
    [
        '"a b"@c.test',
        "a@[192.0.2.1]",
        "a",
        "@b.test",
        "a b@c.test",
        "a@b.test\r\nX: y",
        "x" * 47 + "@b.test",
    ],
)
def test_what_cannot_be_written(sender: str) -> None:
    with pytest.raises(Unwritable):
        SRS.forward(sender, AT)


def test_the_longest_that_can_be_written() -> None:
    longest = "x" * (MAX_LOCAL - len("SRS0=HHHHHHHH=TT=b.test=")) + "@b.test"
    assert len(SRS.forward(longest, AT)) == MAX_LOCAL + 1 + len(HERE)


@pytest.mark.parametrize(
    "sender", ["srs0-team@b.test", "SRS0=x@b.test", "SRS1=x=y@b.test", "SRS1=a=b=c@b.test"]
)
def test_people_whose_names_only_look_like_it(sender: str) -> None:
    written = SRS.forward(sender, AT)
    assert written.startswith("SRS0=")
    assert SRS.reverse(written, AT) == sender


@pytest.mark.parametrize("separator", "+-")
def test_separators_of_others(separator: str) -> None:
    theirs = f"SRS0{separator}hash=TT=example.com=otto@first.example"
    assert SRS.reverse(SRS.forward(theirs, AT), AT) == theirs
    ours = SRS.forward("otto@example.com", AT)
    assert SRS.reverse(ours.replace("SRS0=", f"SRS0{separator}", 1), AT) == "otto@example.com"


# ---------------------------------------------------------------------- tokens

M = ids.lowest(AT)
TOKENS = Tokens([SECRET])


@given(st.integers(0, 2**22 - 1), st.integers(0, 10**9 - 1))
def test_tokens_there_and_back(low: int, n: int) -> None:
    written = TOKENS.write(M | low, n, HERE)
    assert len(written.rpartition("@")[0]) <= MAX_LOCAL
    assert TOKENS.read(written, AT) == (M | low, n)
    assert TOKENS.read(written.upper(), AT + 59 * DAY) == (M | low, n)
    assert TOKENS.read(written, AT + 61 * DAY) is None
    assert TOKENS.read(written, AT - 2 * DAY) is None
    assert Tokens([b"another"]).read(written, AT) is None
    assert Tokens([b"another", SECRET]).read(written, AT) == (M | low, n)


@given(st.integers(0, 32), st.sampled_from("0a9z=u"))
def test_no_other_token_passes(at: int, char: str) -> None:
    written = TOKENS.write(M, 1, HERE)
    forged = written[:at] + char + written[at + 1 :]
    if forged != written:
        assert TOKENS.read(forged, AT) is None


@given(st.text(max_size=60))
def test_other_text_is_no_token(text: str) -> None:
    assert TOKENS.read(text, AT) is None
    assert TOKENS.read(f"bounce={text}@{HERE}", AT) is None


def test_a_token_as_it_is_written() -> None:
    assert re.fullmatch(
        r"bounce=0a03zkr000000=1=[a-z2-7]{10}@alias\.test", TOKENS.write(M, 1, HERE)
    )
