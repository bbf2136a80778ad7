r"""Names of messages and mailboxes: tables of what real stores hold, and round trips."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.store import names
from tracing import ids

text = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=20
)
mailboxes = st.lists(text, min_size=1, max_size=3).map("/".join)


def fits(name: str) -> bool:
    try:
        names.mailbox_folder(name)
    except ValueError:
        return False
    return True


@given(text)
def test_modified_utf7_comes_back(plain: str) -> None:
    coded = names.to_utf7(plain)
    assert coded.isascii()
    assert "." not in coded
    assert names.from_utf7(coded) == plain


@given(mailboxes.filter(fits))
def test_mailboxes_come_back(name: str) -> None:
    folder = names.mailbox_folder(name)
    if name.upper() == "INBOX":
        assert (folder, names.folder_mailbox(folder)) == ("", "INBOX")
        return
    assert folder.startswith(".")
    assert "/" not in folder
    assert names.folder_mailbox(folder) == name
    assert names.is_exact(folder)


@given(st.binary(min_size=1, max_size=40))
def test_any_folder_on_a_disk_has_a_printable_name(octets: bytes) -> None:
    folder = "." + octets.replace(b"/", b"").decode("utf-8", "surrogateescape")
    name = names.folder_mailbox(folder)
    name.encode()
    assert not any(ord(char) < 32 for char in name)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("INBOX", ""),
        ("inbox", ""),
        ("Sent", ".Sent"),
        ("A/B", ".A.B"),
        ("Отправленные", ".&BB4EQgQ,BEAEMAQyBDsENQQ9BD0ESwQ1-"),
        ("2026.11", ".2026&AC4-11"),
        ("R&D", ".R&-D"),
        ("日本/語", ".&ZeVnLA-.&ip4-"),
    ],
)
def test_folders(name: str, folder: str) -> None:
    assert names.mailbox_folder(name) == folder
    if name != "inbox":
        assert names.folder_mailbox(folder) == name


@pytest.mark.parametrize(
    "folder", [".Архив.2024", ".&-&-&AOk-&AOk-", ".&", ".INBOX", "..A", ".a\udcff"]
)
def test_folders_written_otherwise_are_told_apart(folder: str) -> None:
    assert not names.is_exact(folder)


def test_a_folder_in_plain_utf8_is_read_as_it_is() -> None:
    assert names.folder_mailbox(".Архив.2024") == "Архив/2024"


@pytest.mark.parametrize("name", ["", "/", "A//B", "A/", "/A", "a\0b", "a\nb", "a" * 256, "\ud800"])
def test_names_no_mailbox_can_have(name: str) -> None:
    with pytest.raises(ValueError, match="mailbox"):
        names.mailbox_folder(name)


@pytest.mark.parametrize(
    ("filename", "base", "marks"),
    [
        ("1704096000.M1P1.host:2,S", "1704096000.M1P1.host", "S"),
        ("1704096001.M2P1.host,S=999999:2,FRS", "1704096001.M2P1.host,S=999999", "FRS"),
        ("1704096003.M4P1.host:2,SZaZ", "1704096003.M4P1.host", "SZa"),
        ("1704096004.M5P1.host", "1704096004.M5P1.host", ""),
        ("1704096005.M6P1.host;2,S", "1704096005.M6P1.host", "S"),
        ("1704096006.M7P1.host:1,x", "1704096006.M7P1.host", ""),
        ("1704096013.M13P1.host,U=77,W=123:2,T", "1704096013.M13P1.host,U=77,W=123", "T"),
        ("no-timestamp-name:2,S", "no-timestamp-name", "S"),
        ("x:2,", "x", ""),
    ],
)
def test_file_names(filename: str, base: str, marks: str) -> None:
    assert names.split(filename) == (base, marks)


@given(st.sets(st.sampled_from("DFPRSTabcxyz")), st.integers(1, (1 << 63) - 1))
def test_what_we_write_reads_back(marks: set[str], copy: int) -> None:
    base = names.base_name(copy, 1_700_000_000_999_999_999, "mx.example.org", 1234, 1300)
    assert base == f"1700000000.{ids.text(copy)}.mx.example.org,S=1234,W=1300"
    filename = names.join(base, "".join(marks))
    assert names.split(filename) == (base, "".join(sorted(marks)))
    assert names.st_of(base) == names.st_of(filename) == copy
    assert names.size_of(filename) == 1234
    assert names.wire_size_of(filename) == 1300


@pytest.mark.parametrize("host", ["a/b", "a:b", "a,S=9", "хост", "\udc80", "h" * 300, ""])
def test_a_hostile_hostname_stays_inside_its_part(host: str) -> None:
    base = names.base_name(5, 0, host, 10, 11)
    assert len(base.encode()) < 200
    assert not set("/:;") & set(base)
    assert (names.st_of(base), names.size_of(base)) == (5, 10)


@pytest.mark.parametrize(
    "base",
    [
        "1704096000.M123456P12345.host",
        "1704096000.V801I1234P5678.host",
        "no-timestamp-name",
        "x.0000000000001.host",
        "1704096000.0000000000001",
        "1704096000.000000000000O.host",
        "",
    ],
)
def test_names_of_other_programs_name_no_copy_of_ours(base: str) -> None:
    assert names.st_of(base) is None


def test_flags() -> None:
    assert names.flag_names("SFTRDPab") == (
        "\\Draft", "\\Flagged", "$Forwarded", "\\Answered", "\\Seen", "\\Deleted",
    )  # fmt: skip
    assert names.flag_letter("\\seen") == "S"
    assert names.flag_letter("$forwarded") == "P"
    assert names.flag_letter("Junk") is None
    for letter, flag in names.FLAGS.items():
        assert names.flag_letter(flag) == letter
