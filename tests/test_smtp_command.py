"""Command arguments: what the grammar allows, what real clients send, what must not pass."""

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mtad.errors import Refusal
from mtad.smtp import command
from mtad.smtp.command import Mail, Path

PATHS = {
    b"FROM:<a@x.test>": ("a@x.test", "a", "x.test"),
    b"from:<A@X.test>": ("A@X.test", "A", "X.test"),
    b"FROM: <a@x.test>": ("a@x.test", "a", "x.test"),
    b"FROM:<>": ("", "", ""),
    b"FROM: <>": ("", "", ""),
    b"FROM:<a+b=c#d@x.test>": ("a+b=c#d@x.test", "a+b=c#d", "x.test"),
    b"FROM:<a@[192.0.2.1]>": ("a@[192.0.2.1]", "a", "[192.0.2.1]"),
    b"FROM:<a@[IPv6:2001:db8::1]>": ("a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]"),
    b"FROM:<@r1.test,@r2.test:a@x.test>": ("a@x.test", "a", "x.test"),
    b"FROM:<@r1.test:a@x.test>": ("a@x.test", "a", "x.test"),
    b'FROM:<"a b"@x.test>': ('"a b"@x.test', "a b", "x.test"),
    b'FROM:<"a@b"@x.test>': ('"a@b"@x.test', "a@b", "x.test"),
    b'FROM:<"a\\"b"@x.test>': ('"a\\"b"@x.test', 'a"b', "x.test"),
    b'FROM:<"plain"@x.test>': ("plain@x.test", "plain", "x.test"),
    b"FROM:<under_score@under_score.test>": (
        "under_score@under_score.test",
        "under_score",
        "under_score.test",
    ),
    b"FROM:<a.@x.test>": ("a.@x.test", "a.", "x.test"),
    b"FROM:<a..b@x.test>": ("a..b@x.test", "a..b", "x.test"),
    b"FROM:<a@x.test.>": ("a@x.test.", "a", "x.test."),
    b"FROM:<prvs=12=a@x.test>": ("prvs=12=a@x.test", "prvs=12=a", "x.test"),
    b"FROM:<" + b"v" * 200 + b"@x.test>": ("v" * 200 + "@x.test", "v" * 200, "x.test"),
}

MALFORMED = {
    b"": "5.5.4",
    b"<a@x.test>": "5.5.4",
    b"TO:<a@x.test>": "5.5.4",
    b"FROM:a@x.test": "5.1.7",
    b"FROM:<a@x.test": "5.1.7",
    b"FROM:<a>": "5.1.7",
    b"FROM:<@x.test>": "5.1.7",
    b"FROM:<a@>": "5.1.7",
    b"FROM:<a@b@x.test>": "5.1.7",
    b"FROM:<a b@x.test>": "5.1.7",
    b"FROM:<a\x01@x.test>": "5.1.7",
    b"FROM:<a\x00b@x.test>": "5.1.7",
    b"FROM:<a@x\x00.test>": "5.1.7",
    b"FROM:<a@x..test>": "5.1.7",
    b"FROM:<a@-x.test>": "5.1.7",
    b'FROM:<"a\x07b"@x.test>': "5.1.7",
    b'FROM:<"a@x.test>': "5.1.7",
    b'FROM:<""@x.test>': "5.1.7",
    b"FROM:<a(comment)@x.test>": "5.1.7",
    b"FROM:<..@x.test>": "5.1.7",
    b"FROM:<a@x.test>SIZE=1": "5.1.7",
    b"FROM:<\xff@x.test>": "5.1.7",
    b"FROM:<\xed\xb3\xbf@x.test>": "5.1.7",
    b"FROM:<" + b"v" * 257 + b"@x.test>": "5.1.7",
    b"FROM:<a@" + b"v." * 130 + b"test>": "5.1.7",
    b"FROM:<a@x.test> SIZE=x": "5.5.4",
    b"FROM:<a@x.test> SIZE": "5.5.4",
    b"FROM:<a@x.test> SIZE=": "5.5.4",
    b"FROM:<a@x.test> SIZE=" + b"9" * 21: "5.5.4",
    b"FROM:<a@x.test> BODY=9BIT": "5.5.4",
    b"FROM:<a@x.test> SMTPUTF8=1": "5.5.4",
    b"FROM:<a@x.test> SIZE=1 SIZE=1": "5.5.4",
    b"FROM:<a@x.test> =1": "5.5.4",
}


@pytest.mark.parametrize("said", PATHS)
def test_paths(said: bytes) -> None:
    text, local, domain = PATHS[said]
    assert command.mail(said).path == Path(text, local, domain)


@pytest.mark.parametrize("said", MALFORMED)
def test_malformed_sender(said: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        command.mail(said)
    assert refused.value.code == 501
    assert refused.value.status == MALFORMED[said]


@pytest.mark.parametrize("said", [said for said, status in MALFORMED.items() if status == "5.1.7"])
def test_malformed_recipient_has_its_own_status(said: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        command.rcpt(said.replace(b"FROM:", b"TO:"))
    assert (refused.value.code, refused.value.status) == (501, "5.1.3")


def test_parameters() -> None:
    said = command.mail("FROM:<ю@х.test> size=42 Body=8bitmime smtputf8".encode())
    assert said == Mail(Path("ю@х.test", "ю", "х.test"), 42, "8BITMIME", True)


def test_a_declared_size_fits_an_integer_of_the_log() -> None:
    assert command.mail(b"FROM:<> SIZE=99999999999999999999").size == 2**63 - 1


def test_unknown_parameters_keep_their_case_in_the_reply() -> None:
    for said in (b"FROM:<a@x.test> ENVID=QqRr12", b"FROM:<a@x.test> AUTH=<>"):
        with pytest.raises(Refusal) as refused:
            command.mail(said)
        assert (refused.value.code, refused.value.status) == (555, "5.5.4")
        assert said.split(b" ")[1].decode() in refused.value.text
    with pytest.raises(Refusal, match=r"ORCPT=rfc822;Bob@x\.test") as refused:
        command.rcpt(b"TO:<a@x.test> ORCPT=rfc822;Bob@x.test")
    assert refused.value.code == 555


def test_non_ascii_needs_smtputf8() -> None:
    for said in ("FROM:<ю@x.test>", "FROM:<a@х.test>", "FROM:<a@х.test> BODY=8BITMIME"):
        with pytest.raises(Refusal) as refused:
            command.mail(said.encode())
        assert (refused.value.code, refused.value.status) == (550, "5.6.7")
    with pytest.raises(Refusal) as refused:
        command.rcpt("TO:<ю@x.test>".encode())
    assert (refused.value.code, refused.value.status) == (550, "5.6.7")
    assert command.rcpt("TO:<ю@x.test>".encode(), smtputf8=True).local == "ю"


def test_recipient_forms() -> None:
    assert command.rcpt(b"TO:<Postmaster>") == Path("Postmaster", "Postmaster", "")
    for said in (b"TO:<>", b"TO:<alice>"):
        with pytest.raises(Refusal) as refused:
            command.rcpt(said)
        assert (refused.value.code, refused.value.status) == (501, "5.1.3")
    with pytest.raises(Refusal):
        command.mail(b"FROM:<Postmaster>")


def test_helo() -> None:
    assert command.helo(b"mx.x.test and more") == "mx.x.test"
    assert command.helo(b"[192.0.2.1]") == "[192.0.2.1]"
    assert command.helo(b"my_pc") == "my_pc"
    for said in (b"", b"<x>", b"a\x01", b"\xff", b"x" * 256):
        with pytest.raises(Refusal):
            command.helo(said)


def test_split() -> None:
    assert command.split(b"mail FROM:<>  ") == ("MAIL", b"FROM:<>")
    assert command.split(b"NOOP") == ("NOOP", b"")
    assert command.split(b"") == ("", b"")
    assert command.split("ЕХЛО x".encode())[0] == ""
    assert command.split(b"\x16\x03\x01\x02")[0] == ""


def test_shown_is_text_without_control_characters() -> None:
    assert command.shown(b"a\x00\x1b[31m\xffb") == "a\\x00\\x1b[31m\\xffb"
    assert len(command.shown(b"x" * 10_000)) == command.MAX_SHOWN


def decent(path: Path) -> None:
    text = path.text
    assert text.encode().decode() == text
    assert not any(char < " " or "\x7f" <= char <= "\x9f" for char in text)
    assert not set("<>\r\n\0") & set(path.domain)
    if not text.startswith('"') and text:
        assert "<" not in text
        assert ">" not in text
        assert " " not in text


def judged(parse: Callable[[bytes], Path], argument: bytes) -> None:
    refusal = None
    try:
        decent(parse(argument))
    except Refusal as error:
        refusal = error
    if refusal is not None:
        assert 500 <= refusal.code < 600
        assert str(refusal).isascii()
        assert "\r" not in str(refusal)


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=80))
@example(b"")
def test_anything_gives_a_value_or_a_refusal(said: bytes) -> None:
    for argument in (b"FROM:<" + said + b">", b"FROM:" + said, said):
        for utf8 in (b"", b" SMTPUTF8"):
            judged(lambda line: command.mail(line).path, argument + utf8)
    judged(lambda line: command.rcpt(line, smtputf8=True), b"TO:<" + said + b">")
    command.split(said)
    command.shown(said)


ADDRESS_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20
)


@settings(max_examples=200, deadline=None)
@given(ADDRESS_TEXT)
def test_what_is_written_reads_back(local: str) -> None:
    written = command._written(local)
    path = command.rcpt(f"TO:<{written}@x.test>".encode(), smtputf8=True)
    assert path.local == local
    assert path.text == f"{written}@x.test"
