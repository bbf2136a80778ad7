"""Keys that sign mail: made, rotated, published, used, and what happens without them."""

import stat
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from mtad import cli, clock
from mtad.config import Loaded
from mtad.directory import key_changes
from mtad.directory.key_changes import KeyChanges
from mtad.directory.lookup import Directory, DkimKey
from mtad.errors import Exit, MtadError
from mtad.journal import disk
from mtad.mailauth import keys, rotation, signing
from mtad.mailauth.signing import Signed, Signer
from tests.test_directory_cli import Terminal, terminal
from tests.test_mailauth_dkim import verdicts

__all__ = ["terminal"]

DAY = 24 * 3600 * 1_000_000
NOW = 1_700_000_000
MESSAGE = b"From: You <you@Example.ORG>\nTo: b@x.test\n\nHi\n"


def dns(records: Sequence[dict[str, str]]) -> dict[str, bytes]:
    """What a resolver would find of printed records."""
    return {
        one["name"].rstrip("."): one["value"].replace('" "', "").strip('"').encode()
        for one in records
    }


# ------------------------------------------------------------------ commands


def test_the_first_keys_sign_and_are_shown(terminal: Terminal) -> None:
    listed = terminal.json("dkim")["keys"]
    assert [(one["algorithm"], one["state"]) for one in listed] == [
        ("ed25519-sha256", "signing"),
        ("rsa-sha256", "signing"),
    ]
    shown = terminal.json("dkim", "show", "Example.org")["dns"]
    directory = Directory(terminal.site.places.state_db)
    signed = Signer(terminal.site.path.parent, directory).sign_now([MESSAGE])
    assert signed.domain == "example.org"
    assert signed.selectors == tuple(one["selector"] for one in listed)
    found = verdicts(signed.fields + MESSAGE, dns(shown), int(time.time()))
    assert [one.status for one in found] == ["pass", "pass"]
    assert terminal.run("dkim", "show", "example.org").count(" IN TXT ") == 2
    assert terminal.run("dkim", "list").count("example.org  ") == 2


def selectors_at(folder: Path, directory: Directory, at: float) -> tuple[str, ...]:
    return Signer(folder, directory, lambda: at).sign_now([MESSAGE]).selectors


def test_rotation_leaves_time_to_publish(terminal: Terminal) -> None:
    before = [one["selector"] for one in terminal.json("dkim")["keys"]]
    made = terminal.json("dkim", "rotate", "example.org")
    assert sorted(made["retired"]) == sorted(before)
    assert len(made["dns"]) == 2
    states = {one["selector"]: one["state"] for one in terminal.json("dkim")["keys"]}
    fresh = [name for name in states if name not in before]
    assert {states[name] for name in before} == {"signing"}
    assert {states[name] for name in fresh} == {"waiting"}
    assert len(terminal.json("dkim", "show", "example.org")["dns"]) == 4
    directory = Directory(terminal.site.places.state_db)
    folder = terminal.site.path.parent
    (at,) = {key.signs_from for key in directory.dkim_keys("example.org") if key.selector in fresh}
    for when, expected in ((at / 1e6 - 1, before), (at / 1e6 + 1, fresh)):
        assert sorted(selectors_at(folder, directory, when)) == sorted(expected)
    text = terminal.run("dkim", "list")
    assert text.count("publish it before") == 2
    assert text.count("signs until") == 2


def test_rotation_at_once_and_the_end_of_old_keys(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [one["selector"] for one in terminal.json("dkim")["keys"]]
    said = terminal.run("dkim", "rotate", "example.org", "--now")
    assert "They sign at once.\nKeep published until " in said
    assert [one["state"] for one in terminal.json("dkim")["keys"]].count("retired") == 2
    later = clock.now_us() + 8 * DAY
    monkeypatch.setattr("mtad.mailauth.cli.clock.now_us", lambda: later)
    assert [one["state"] for one in terminal.json("dkim")["keys"]].count("over") == 2
    assert len(terminal.json("dkim", "show", "example.org")["dns"]) == 2
    made = terminal.json("dkim", "rotate", "example.org")
    assert sorted(made["removed"]) == sorted(before)
    assert len(list((terminal.site.path.parent / "dkim").iterdir())) == 4
    assert len(terminal.json("dkim")["keys"]) == 4


def test_a_domain_gets_its_first_keys(terminal: Terminal) -> None:
    terminal.run("domain", "add", "other.example")
    said = terminal.run("dkim", "show", "other.example", code=Exit.NOTHING_FOUND)
    assert said == "other.example has no DKIM keys; 'mtad dkim rotate other.example' makes some"
    assert "They sign at once." in terminal.run("dkim", "rotate", "other.example")
    said = terminal.run("dkim", "rotate", "none.example", code=Exit.NOTHING_FOUND)
    assert said == "none.example is not a domain of this server"
    assert not list((terminal.site.path.parent / "dkim").glob("none*"))


def test_a_missing_file_is_one_sentence(terminal: Terminal) -> None:
    for file in (terminal.site.path.parent / "dkim").iterdir():
        file.unlink()
    said = terminal.run("dkim", "show", "example.org", code=Exit.FAILURE)
    assert said.startswith("cannot read the DKIM key ")


def test_selectors_of_one_day_differ() -> None:
    taken: list[str] = []
    for _ in range(rotation.MAX_A_DAY + 1):
        made = rotation.selectors(taken)
        assert not set(made.values()) & set(taken)
        taken += made.values()
    with pytest.raises(MtadError, match="enough"):
        rotation.selectors(taken)


def test_the_commands_without_a_database(site: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    for path in list(site.places.data.glob("state.db*")):
        path.unlink()
    with pytest.raises(SystemExit) as ended:
        cli.main(["--config", str(site.path), "dkim", "list", "--json"])
    assert ended.value.code not in (0, None)
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


# --------------------------------------------------------------------- files


@pytest.mark.parametrize("algorithm", keys.ALGORITHMS)
def test_a_key_is_for_its_owner_alone(tmp_path: Path, algorithm: str) -> None:
    path = tmp_path / "dkim" / "example.org.m1.pem"
    made = keys.generate(algorithm)
    keys.write(path, made)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    again = keys.read(path)
    assert keys.record("example.org", "m1", again) == keys.record("example.org", "m1", made)
    with pytest.raises(FileExistsError):
        keys.write(path, made)


@pytest.mark.parametrize("octets", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_what_is_no_key_is_told(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "x.pem"
    path.write_bytes(octets)
    with pytest.raises(MtadError, match="is not a private key"):
        keys.read(path)


def test_keys_of_other_kinds_are_refused(tmp_path: Path, site: Loaded) -> None:
    with pytest.raises(MtadError, match="neither an RSA nor an Ed25519 key"):
        keys.read(site.beside(site.config.tls.key))


@pytest.mark.parametrize("fault", ["file", "directory"])
def test_a_rotation_that_fails_changes_nothing(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    folder = terminal.site.path.parent / "dkim"
    before = (sorted(folder.iterdir()), terminal.json("dkim"))

    def broken(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if fault == "file":
        real, written = disk.fsync, list[int]()

        def second_fails(fd: int) -> None:
            written.append(fd)
            if len(written) > 2:  # the first key, its folder, the second key
                broken()
            real(fd)

        monkeypatch.setattr(disk, "fsync", second_fails)
    else:
        monkeypatch.setattr(key_changes.KeyChanges, "add_keys", broken)
    terminal.run("dkim", "rotate", "example.org", code=Exit.FAILURE)
    monkeypatch.undo()
    named = {path for path in folder.iterdir()} - set(before[0])
    assert terminal.json("dkim") == before[1]
    assert not named, "what was made is gone again"


def test_the_file_is_there_before_the_directory_names_it(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = KeyChanges.add_keys
    folder = terminal.site.path.parent / "dkim"

    def watched(self: KeyChanges, name: str, selectors: dict[str, str], at: int) -> None:
        for selector in selectors.values():
            keys.read(folder / f"{name}.{selector}.pem")
        real(self, name, selectors, at)

    monkeypatch.setattr(KeyChanges, "add_keys", watched)
    terminal.run("dkim", "rotate", "example.org")


# ------------------------------------------------------------------- signing


class Book:
    """A directory with given keys."""

    def __init__(self, **held: list[DkimKey]) -> None:
        self.held = held

    def dkim_keys(self, domain: str) -> Sequence[DkimKey]:
        return self.held.get(domain.replace(".", "_"), [])


def signer(folder: Path, *selectors: str, at: float = NOW) -> Signer:
    held = []
    for selector in selectors:
        algorithm = "rsa-sha256" if selector.startswith("m") else "ed25519-sha256"
        keys.write(folder / keys.file_of("example.org", selector), keys.generate(algorithm))
        held.append(DkimKey(selector, algorithm, 0, 0))
    return Signer(folder, Book(example_org=held), lambda: at)


def test_ed25519_stands_on_top(tmp_path: Path) -> None:
    signed = signer(tmp_path, "m1", "e1").sign_now([MESSAGE])
    assert signed.selectors == ("e1", "m1")
    assert signed.fields.count(b"DKIM-Signature:") == 2
    assert signed.fields.index(b"a=ed25519") < signed.fields.index(b"a=rsa")


@pytest.mark.parametrize(
    "head",
    [
        b"From: a@other.example\n\n",
        b"To: you@example.org\n\n",
        b"From: you@example.org\nFrom: you@example.org\n\n",
        b"From: you@example.org, a@other.example\n\n",
        b"From: nonsense\n\n",
        b"From: you@exa mple.org\n\n",
        b"\nFrom: you@example.org\n\n",
        b"",
    ],
)
def test_what_is_not_from_a_domain_of_ours_is_not_signed(tmp_path: Path, head: bytes) -> None:
    assert signer(tmp_path, "e1").sign_now([head]) == Signed()
    assert signer(tmp_path / "2", "e1").sign_now([]) == Signed()


def test_two_authors_of_one_domain(tmp_path: Path) -> None:
    head = b"From: you@example.org, me@EXAMPLE.org\n\n"
    assert signer(tmp_path, "e1").sign_now([head]).domain == "example.org"


async def test_a_message_in_pieces(tmp_path: Path) -> None:
    """Signing the pieces is signing the whole, in the loop or in a thread."""
    one = signer(tmp_path, "e1")
    pieces = [MESSAGE + b"first  \n", b"\nsec", b"ond\n" * 100_000, b"\n\n"]
    assert sum(map(len, pieces)) > signing.IN_LOOP_BYTES
    whole = one.sign_now([b"".join(pieces)])
    assert whole.fields
    assert await one.sign(pieces) == one.sign_now(pieces) == whole
    assert await one.sign(pieces[:1]) == one.sign_now(pieces[:1])


async def test_signatures_stand_below_the_trace(tmp_path: Path) -> None:
    one = signer(tmp_path, "e1")
    top = b"Return-Path: <>\nReceived: by us\n\tid 1; now\n"
    for pieces in ([top, MESSAGE], [top + MESSAGE], [top[:20], top[20:] + MESSAGE]):
        whole = b"".join(await one.signed(pieces))
        before, _, after = whole.partition(b"DKIM-Signature:")
        assert before == top
        assert after.endswith(MESSAGE)
    other = [top, MESSAGE.replace(b"Example.ORG", b"other.example")]
    assert await one.signed(other) is other


def test_a_key_without_a_file_stops_no_mail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = signer(tmp_path, "e1", "m1")
    (tmp_path / keys.file_of("example.org", "m1")).unlink()
    for _ in range(2):
        assert one.sign_now([MESSAGE]).selectors == ("e1",)
    assert len(caplog.records) == 1, "told once"
    keys.write(tmp_path / keys.file_of("example.org", "m1"), keys.generate("rsa-sha256"))
    one.forget()
    assert one.sign_now([MESSAGE]).selectors == ("e1", "m1")


def test_a_key_out_of_its_time_does_not_sign(tmp_path: Path) -> None:
    held = [
        DkimKey("next", "ed25519-sha256", 0, (NOW + 10) * 1_000_000),
        DkimKey("last", "ed25519-sha256", 0, 0, NOW * 1_000_000),
    ]
    for key in held:
        path = tmp_path / keys.file_of("example.org", key.selector)
        keys.write(path, keys.generate(key.algorithm))

    def selectors(at: float) -> tuple[str, ...]:
        book = Book(example_org=held)
        return Signer(tmp_path, book, lambda: at).sign_now([MESSAGE]).selectors

    assert [selectors(NOW + d) for d in (-1, 0, 9, 10)] == [("last",), (), (), ("next",)]
