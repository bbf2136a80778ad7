"""Command arguments: what the grammar allows, what real clients send, what must not pass."""

import contextlib
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mtad.errors import Refusal
from mtad.smtp import command
from mtad.smtp.command import Mail, Path, Rcpt

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
    b"FROM:<a@x.test> SMTPUTF8 smtputf8": "5.5.4",
    b"FROM:<a@x.test> RET": "5.5.4",
    b"FROM:<a@x.test> RET=SOME": "5.5.4",
    b"FROM:<a@x.test> RET=FULL,HDRS": "5.5.4",
    b"FROM:<a@x.test> RET=FULL RET=FULL": "5.5.4",
    b"FROM:<a@x.test> ENVID": "5.5.4",
    b"FROM:<a@x.test> ENVID=a+": "5.5.4",
    b"FROM:<a@x.test> ENVID=a+2": "5.5.4",
    b"FROM:<a@x.test> ENVID=a+2b": "5.5.4",
    b"FROM:<a@x.test> ENVID=a+0D+0Ab": "5.5.4",
    b"FROM:<a@x.test> ENVID=a+7F": "5.5.4",
    b"FROM:<a@x.test> ENVID=a=b": "5.5.4",
    "FROM:<a@x.test> SMTPUTF8 ENVID=ю".encode(): "5.5.4",
    b"FROM:<a@x.test> ENVID=" + b"a" * 101: "5.5.4",
    b"FROM:<a@x.test> AUTH": "5.5.4",
    b"FROM:<a@x.test> AUTH=a+0A": "5.5.4",
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
    said = command.mail(b"FROM:<> ret=hdrs ENVID=QQ+3D+2Bx body=BinaryMime AUTH=a+2Bb@x.test")
    assert said == Mail(command.NULL, body="BINARYMIME", ret="HDRS", envid="QQ+3D+2Bx")
    assert command.mail(b"FROM:<> AUTH=<>") == Mail(command.NULL)
    assert command.mail(b"FROM:<> ENVID=" + b"a" * 100).envid == "a" * 100


def test_requiretls_exists_over_tls_only() -> None:
    assert command.mail(b"FROM:<> RequireTLS", secure=True).requiretls
    with pytest.raises(Refusal) as refused:
        command.mail(b"FROM:<> REQUIRETLS")
    assert refused.value.code == 555
    with pytest.raises(Refusal) as refused:
        command.mail(b"FROM:<> REQUIRETLS=1", secure=True)
    assert refused.value.code == 501


NOTIFY = {
    b"NEVER": "NEVER",
    b"never": "NEVER",
    b"SUCCESS": "SUCCESS",
    b"Delay,success": "SUCCESS,DELAY",
    b"FAILURE,FAILURE": "FAILURE",
    b"SUCCESS,FAILURE,DELAY": "SUCCESS,FAILURE,DELAY",
    b"NEVER,SUCCESS": None,
    b"FAILURE,NEVER": None,
    b"NEVER,NEVER": "NEVER",
    b"SUCCESS,": None,
    b",": None,
    b"SOMETIMES": None,
    b"SUCCESS;FAILURE": None,
    b"": None,
}


@pytest.mark.parametrize("said", NOTIFY)
def test_notify(said: bytes) -> None:
    argument = b"TO:<a@x.test> NOTIFY=" + said
    if (expected := NOTIFY[said]) is not None:
        assert command.rcpt(argument) == Rcpt(Path("a@x.test", "a", "x.test"), expected)
    else:
        with pytest.raises(Refusal) as refused:
            command.rcpt(argument)
        assert (refused.value.code, refused.value.status) == (501, "5.5.4")


ORCPT = {
    b"rfc822;Bob@x.test": True,
    b"rfc822;a+2Bb@x.test": True,
    b"RFC822;a+20b@x.test": True,
    b"x-local;a;b": True,
    b"utf-8;\\x{44E}@x.test": True,
    b"rfc822;" + b"a" * 493: True,
    b"rfc822;" + b"a" * 494: False,
    b"rfc822;": False,
    b";a@x.test": False,
    b"a@x.test": False,
    b"rfc822;a+b@x.test": False,
    b"rfc822;a+0D+0AX: y": False,
    b"rfc822;a+00": False,
    b"rf c;a": False,
    b"rfc_822;a@x.test": False,
    "utf-8;ю@x.test".encode(): False,
}


@pytest.mark.parametrize("said", ORCPT)
def test_orcpt(said: bytes) -> None:
    argument = b"TO:<a@x.test> ORCPT=" + said
    if ORCPT[said]:
        assert command.rcpt(argument).orcpt == said.decode()
        assert command.rcpt(argument, smtputf8=True).orcpt == said.decode()
    else:
        with pytest.raises(Refusal) as refused:
            command.rcpt(argument)
        assert refused.value.code in (501, 555)


def test_orcpt_in_utf8_goes_with_smtputf8_and_its_type() -> None:
    said = "TO:<a@x.test> ORCPT=utf-8;ю+2B\\x{44E}@x.test".encode()
    assert command.rcpt(said, smtputf8=True).orcpt == "utf-8;ю+2B\\x{44E}@x.test"
    for bad in (said.replace(b"utf-8", b"rfc822"), said.replace("ю".encode(), "\x85".encode())):
        with pytest.raises(Refusal) as refused:
            command.rcpt(bad, smtputf8=True)
        assert refused.value.code == 501


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60), st.booleans())
def test_a_parameter_can_be_written_again_as_it_is(value: str, utf8: bool) -> None:
    """What is taken holds no space, no control character and no second parameter."""
    for form in ("NOTIFY={}", "ORCPT={}", "ORCPT=rfc822;{}", "ORCPT=utf-8;{}"):
        word = form.format(value)
        with contextlib.suppress(Refusal):
            said = command.rcpt(
                f"TO:<a@x.test> {word}".encode(errors="surrogatepass"), smtputf8=utf8
            )
            kept = said.notify or said.orcpt
            assert kept.isascii() or utf8
            assert len(kept.split()) <= 1
            assert not any(unicodedata.category(char) == "Cc" for char in kept)
            assert "=" not in kept


def test_a_declared_size_fits_an_integer_of_the_log() -> None:
    assert command.mail(b"FROM:<> SIZE=99999999999999999999").size == 2**63 - 1


def test_unknown_parameters_keep_their_case_in_the_reply() -> None:
    for said in (b"FROM:<a@x.test> HoldFor=QqRr12", b"FROM:<a@x.test> XVERP"):
        with pytest.raises(Refusal) as refused:
            command.mail(said)
        assert (refused.value.code, refused.value.status) == (555, "5.5.4")
        assert said.split(b" ")[1].decode() in refused.value.text
    with pytest.raises(Refusal, match=r"Rrvs=2026") as refused:
        command.rcpt(b"TO:<a@x.test> Rrvs=2026")
    assert refused.value.code == 555


def test_non_ascii_needs_smtputf8() -> None:
    for said in ("FROM:<ю@x.test>", "FROM:<a@х.test>", "FROM:<a@х.test> BODY=8BITMIME"):
        with pytest.raises(Refusal) as refused:
            command.mail(said.encode())
        assert (refused.value.code, refused.value.status) == (550, "5.6.7")
    with pytest.raises(Refusal) as refused:
        command.rcpt("TO:<ю@x.test>".encode())
    assert (refused.value.code, refused.value.status) == (550, "5.6.7")
    assert command.rcpt("TO:<ю@x.test>".encode(), smtputf8=True).path.local == "ю"


def test_recipient_forms() -> None:
    assert command.rcpt(b"TO:<Postmaster>").path == Path("Postmaster", "Postmaster", "")
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
    judged(lambda line: command.rcpt(line, smtputf8=True).path, b"TO:<" + said + b">")
    command.split(said)
    command.shown(said)


ADDRESS_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20
)


@settings(max_examples=200, deadline=None)
@given(ADDRESS_TEXT)
@example(".")
def test_what_is_written_reads_back(local: str) -> None:
    written = command._written(local)
    path = command.rcpt(f"TO:<{written}@x.test>".encode(), smtputf8=True).path
    assert path.local == local
    assert path.text == f"{written}@x.test"
