"""Quickstart: everything a server needs, or nothing at all."""

import json
import os
import shutil
import socket
import ssl
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from backup import repository
from mtad import cli, config, db
from mtad.address import parse
from mtad.config import Loaded
from mtad.directory import passwords
from mtad.directory.changes import Changes
from mtad.directory.lookup import Directory
from mtad.errors import MtadError, UsageError
from mtad.journal.reader import Reader
from mtad.journal.writer import Journal
from mtad.mailauth import keys
from mtad.setup import dns, files, ports, quickstart
from mtad.zone import Record
from tracing.events import AdminChange

SERVICES = {
    "smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "managesieve"
}  # fmt: skip


def tree(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode)
        for path in folder.rglob("*")
    }


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


def test_a_server_is_whole(tmp_path: Path) -> None:
    made = quickstart.create("You@Example.org", tmp_path / "a" / "b", local=True)
    loaded = config.load(made.config)
    assert made.config == tmp_path / "a" / "b" / "mtad.toml"
    assert (made.domain, made.address) == ("example.org", "you@example.org")
    db.check(loaded.places.state_db, db.STATE)
    directory = Directory(loaded.places.state_db)
    for address in ("you@example.org", "postmaster@example.org"):
        assert [target.box for target in directory.resolve(parse(address))] == ["you@example.org"]
    assert str(directory.postmaster()) == "postmaster@example.org"
    assert sorted(entry.name for entry in made.config.parent.iterdir()) == [
        "data", "dkim", "mtad.toml", "repository.key", "tls"
    ]  # fmt: skip
    assert loaded.repository.is_dir()


def test_the_password_is_the_box_s(tmp_path: Path) -> None:
    made = quickstart.create("you@example.org", tmp_path / "site", local=True)
    state_db = config.load(made.config).places.state_db
    engine = db.engine(state_db, read_only=True)
    with engine.connect() as connection:
        stored = connection.exec_driver_sql(
            "SELECT value FROM credential WHERE kind = 'argon2id'"
        ).scalar_one()
    engine.dispose()
    assert passwords.verify(str(stored), made.password)


def test_secrets_are_for_the_owner_alone(site: Loaded) -> None:
    mask = os.umask(0o022)
    os.umask(mask)
    folder = site.path.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name, mode in tree(folder).items():
        assert mode & 0o077 == 0, name


def test_the_umask_is_given_back(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        quickstart.create("you@example.org", tmp_path / "site", local=True)
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_what_was_made_is_in_the_log(site: Loaded) -> None:
    frames = Reader(site.places.journal / "cli-40").frames(0)
    told = [event for frame in frames for event in frame.events]
    assert [event.what for event in told if isinstance(event, AdminChange)] == [
        "domain", "dkim keys", "box", "alias", "postmaster"
    ]  # fmt: skip


def test_the_certificate_is_for_the_name_and_fits_the_key(site: Loaded) -> None:
    pem = site.beside(site.config.tls.certificate).read_bytes()
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mail.example.org", "localhost"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(
        site.beside(site.config.tls.certificate), site.beside(site.config.tls.key)
    )


def test_a_client_that_trusts_the_certificate_connects(site: Loaded) -> None:
    certificate = site.beside(site.config.tls.certificate)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, site.beside(site.config.tls.key))
    client = ssl.create_default_context(cafile=str(certificate))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname="mail.example.org"),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    done = [False, False]
    for _ in range(10):
        for number, end in enumerate(ends):
            try:
                end.do_handshake()
                done[number] = True
            except ssl.SSLWantReadError:
                continue
    assert done == [True, True]


def test_the_dkim_keys_are_those_to_publish(tmp_path: Path) -> None:
    made = quickstart.create("you@example.org", tmp_path / "site", local=True)
    published = {}
    for file in (made.config.parent / "dkim").iterdir():
        domain, _, selector = file.name.removesuffix(".pem").rpartition(".")
        assert domain == "example.org"
        key = load_pem_private_key(file.read_bytes(), None)
        [record] = [r for r in made.dns if r.name == f"{selector}._domainkey.example.org."]
        assert record == keys.record(domain, selector, key)  # type: ignore[arg-type]
        published[selector[0]] = record.value.replace('" "', "").strip('"')
        assert all(len(part) <= 255 for part in record.value.strip('"').split('" "'))
    assert published["m"].startswith("v=DKIM1; k=rsa; p=MIIBIjANBg")
    assert published["e"].startswith("v=DKIM1; k=ed25519; p=")


def test_what_to_publish_names_everything_a_domain_needs() -> None:
    key = Record("m1._domainkey.example.org.", "TXT", '"v=DKIM1"')
    records = dns.records("example.org", "mx.example.net", [key])
    assert [(r.name, r.type) for r in records] == [
        ("example.org.", "MX"),
        ("mx.example.net.", "A"),
        ("mx.example.net.", "AAAA"),
        ("example.org.", "TXT"),
        ("m1._domainkey.example.org.", "TXT"),
        ("_dmarc.example.org.", "TXT"),
    ]
    assert records[0].value == "10 mx.example.net."
    assert records[5].value == '"v=DMARC1; p=none; rua=mailto:postmaster@example.org"'


def test_local_ports_are_free_different_and_on_the_loopback(site: Loaded) -> None:
    listen = site.config.listen.model_dump()
    assert set(listen) == SERVICES | {"lmtp"}, "LMTP is off unless it is asked for"
    endpoints = [endpoint for given in listen.values() for endpoint in given]
    assert len(set(endpoints)) == len(SERVICES)
    assert all(endpoint.startswith("127.0.0.1:") for endpoint in endpoints)


def test_a_taken_port_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        assert not ports.is_free(number)
        chosen = ports.choose(number)
    assert number not in chosen.values()
    assert sorted(chosen) == sorted(SERVICES)
    assert all(number < port < number + ports.TRIES for port in chosen.values())
    assert len(set(chosen.values())) == len(SERVICES)


def test_a_public_server_listens_on_the_usual_ports(tmp_path: Path) -> None:
    made = quickstart.create("you@example.org", tmp_path / "site", hostname="MX.example.net.")
    assert made.hostname == "mx.example.net"
    assert made.ports == {
        "smtp": 25, "submission": 587, "submissions": 465, "imap": 143, "imaps": 993,
        "pop3": 110, "pop3s": 995, "managesieve": 4190,
    }  # fmt: skip
    written = tomllib.loads(made.config.read_text())
    assert written["hostname"] == "mx.example.net"
    assert written.get("listen", {}) == {}


@pytest.mark.parametrize(
    ("address", "hostname", "says"),
    [
        ("nonsense", None, "not an address"),
        ("a@b@", None, "domain is empty"),
        ("postmaster@example.org", None, "another address"),
        ("you@example.org", "no host", "--hostname: 'no host' is not a domain name"),
    ],
)
def test_nonsense_is_refused_before_anything_is_made(
    tmp_path: Path, address: str, hostname: str | None, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        quickstart.create(address, tmp_path / "site", hostname=hostname, local=True)
    assert tree(tmp_path) == {}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    quickstart.create("you@example.org", folder, local=True)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(MtadError, match="is not empty; name another with --dir"):
        quickstart.create("other@example.org", folder, local=True)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(MtadError, match="cannot make"):
        quickstart.create("you@example.org", tmp_path / "file", local=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_empty_folder_is_used_and_its_mode_kept(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir(mode=0o755)
    quickstart.create("you@example.org", folder, local=True)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert (folder / "mtad.toml").exists()


STEPS: dict[str, tuple[object, str]] = {
    "certificate": (files, "certificate"),
    "a file": (files, "write"),
    "settings": (config, "load"),
    "database": (db, "upgrade_state"),
    "journal": (Journal, "commit_now"),
    "domain": (Changes, "add_domain"),
    "box": (Changes, "add_box"),
    "alias": (Changes, "add_alias"),
    "postmaster": (Changes, "set_postmaster"),
    "repository": (repository, "create"),
    "moving": (Path, "rename"),
}


def failing(step: str, monkeypatch: pytest.MonkeyPatch, error: BaseException, call: int) -> None:
    """Let a step fail at its nth call."""
    holder, name = STEPS[step]
    real: Callable[..., object] = getattr(holder, name)
    calls = 0

    def broken(*args: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls >= call:
            raise error
        return real(*args, **named)

    monkeypatch.setattr(holder, name, broken)


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, exists: bool
) -> None:
    folder = tmp_path / "parent" / "site"
    if exists:
        folder.mkdir(parents=True)
    before = tree(tmp_path)
    error = OSError(28, "No space left on device", "somewhere")
    failing(step, monkeypatch, error, 3 if step in ("a file", "moving") else 1)
    with pytest.raises(MtadError, match=r"cannot make somewhere: No space left on device"):
        quickstart.create("you@example.org", folder, local=True)
    monkeypatch.undo()
    assert tree(tmp_path) == before


def test_an_interruption_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing("repository", monkeypatch, KeyboardInterrupt(), 1)
    with pytest.raises(KeyboardInterrupt):
        quickstart.create("you@example.org", tmp_path / "site", local=True)
    monkeypatch.undo()
    assert tree(tmp_path) == {}


def test_a_folder_that_may_not_be_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **named: object) -> str:
        raise PermissionError(13, "Permission denied", str(named["dir"]))

    monkeypatch.setattr("tempfile.mkdtemp", denied)
    folder = tmp_path / "site"
    with pytest.raises(MtadError, match=rf"^cannot make {folder}: Permission denied$"):
        quickstart.create("you@example.org", folder, local=True)
    assert not folder.exists()


def test_the_command_prints_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(
        capsys, "quickstart", "you@example.org", "--dir", str(tmp_path / "s"), "--local", "--json"
    )
    made = json.loads(out)
    assert code == 0
    assert made["config"] == str(tmp_path / "s" / "mtad.toml")
    assert (made["domain"], made["address"]) == ("example.org", "you@example.org")
    assert len(made["password"]) == 19
    assert all(isinstance(made[service], int) for service in SERVICES)
    assert {record["type"] for record in made["dns"]} == {"MX", "A", "AAAA", "TXT"}


def test_the_command_says_what_to_publish_and_how_to_connect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "quickstart", "you@example.org", "--dir", str(tmp_path / "s"))
    assert code == 0
    for part in (
        "you@example.org", "password", "serve", "MX", "10 mail.example.org.", "v=spf1 mx -all",
        "v=DKIM1", "v=DMARC1", "imaps", "993", "repository.key",
    ):  # fmt: skip
        assert part in out


def test_the_command_refuses_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").write_text("x")
    code, out, err = run(capsys, "quickstart", "you@example.org", "--dir", str(tmp_path))
    assert (code, out) == (1, "")
    assert err == f"mtad: {tmp_path} is not empty; name another with --dir\n"
    shutil.rmtree(tmp_path)
    code, out, err = run(capsys, "quickstart", "nonsense", "--dir", str(tmp_path))
    assert (code, out) == (2, "")
    assert err == "mtad: 'nonsense' is not an address: expected name@domain\n"
    assert not tmp_path.exists()
