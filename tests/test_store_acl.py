"""Rights and the lists that grant them, as text and as answers."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.store import acl, acls
from mtad.store.acl import Acl

BOB = "bob@example.org"


@pytest.mark.parametrize(
    ("letters", "granted", "told"),
    [
        ("", "", ""),
        ("rl", "lr", "lr"),
        ("aetxkpiwsrl", "lrswipkxtea", "lrswipkxteacd"),
        ("c", "kx", "kxc"),
        ("d", "te", "ted"),
        ("x", "x", "xc"),
        ("rrr", "r", "r"),
    ],
)
def test_rights(letters: str, granted: str, told: str) -> None:
    assert acl.rights(letters) == granted
    assert acl.shown(granted) == told


def test_unknown_rights_are_none() -> None:
    for letters in ("lrn", "R", "l r", "0"):
        with pytest.raises(ValueError, match="no right"):
            acl.rights(letters)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Anyone", "anyone"),
        ("-authenticated", "-authenticated"),
        ("Bob@Example.ORG", BOB),
        ("-bob@example.org", f"-{BOB}"),
    ],
)
def test_identifiers(text: str, found: str) -> None:
    assert acl.identifier(text) == found


@pytest.mark.parametrize("text", ["", "-", "bob", "$group", "a b@example.org", "--x", "bob@\n"])
def test_what_is_no_identifier(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|characters|domain"):
        acl.identifier(text)


@pytest.mark.parametrize(
    ("entries", "granted"),
    [
        ({}, ""),
        ({"anyone": "lr"}, "lr"),
        ({"authenticated": "lrs", "anyone": "lrw"}, "lrs"),
        ({"anyone": "lrswi", BOB: "l"}, "l"),
        ({"anyone": "lr", BOB: ""}, ""),
        ({"anyone": "lrs", f"-{BOB}": "s"}, "lr"),
        ({BOB: "lrsa", "-anyone": "a"}, "lrs"),
        ({"ann@example.org": "lr"}, ""),
    ],
)
def test_the_most_specific_entry_counts(entries: dict[str, str], granted: str) -> None:
    assert Acl(entries).of(BOB) == granted


def test_text_of_dovecot_is_read_and_what_means_nothing_here_is_kept() -> None:
    lines = [
        "owner lrwstipekxa",
        "user=Bob@example.org lrwstipekx",
        "-user=bob@example.org  a:whatever",
        "group=staff lr",
        "anyone lrQ",
        "user=bob lr",
        "",
    ]
    found = acl.parse(lines)
    assert found.entries == {BOB: "lrswipkxte", f"-{BOB}": "a", "anyone": "lr"}
    assert found.kept == ("owner lrwstipekxa", "group=staff lr", "user=bob lr")
    assert found.lines() == (
        "-user=bob@example.org a",
        "anyone lr",
        "user=bob@example.org lrswipkxte",
        *found.kept,
    )
    assert found.changed("anyone", "").lines()[1] == "user=bob@example.org lrswipkxte"


who = st.sampled_from(["anyone", "authenticated", BOB, "x=y@example.org", "ü@example.org"])
entry = st.tuples(st.sampled_from(["", "-"]), who).map("".join)
granted = st.text("lrswipkxtea").map(acl.rights)


@given(st.dictionaries(entry, granted))
def test_lists_are_read_as_they_were_written(entries: dict[str, str]) -> None:
    made = Acl(entries)
    assert acl.parse(made.lines()) == made


@given(st.lists(st.text()))
def test_any_text_is_read(lines: list[str]) -> None:
    found = acl.parse(lines)
    assert acl.parse(found.lines()).entries == found.entries


def test_files_that_are_no_lists_grant_nothing(tmp_path: Path) -> None:
    assert acls.read(tmp_path) == acl.NOBODY
    (tmp_path / acls.FILE).symlink_to("/etc/passwd")
    assert acls.read(tmp_path) == acl.NOBODY
    (tmp_path / acls.FILE).unlink()
    (tmp_path / acls.FILE).write_text("anyone lr\n" + "x\n" * acls.MAX_FILE)
    assert acls.read(tmp_path) == acl.NOBODY
    (tmp_path / acls.FILE).write_bytes(b"anyone lr\n\xff\xfe\n")
    assert acls.read(tmp_path).entries == {"anyone": "lr"}
