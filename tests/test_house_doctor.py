"""``mtad doctor``: each check finds the fault that was planted for it, and nothing without one."""

import asyncio
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from mtad import clock, ledger, sockets
from mtad.config import Loaded
from mtad.config_mail import is_path
from mtad.directory import connections, lookup
from mtad.dns import Answer, DnsError, Mx, Resolver
from mtad.errors import Exit
from mtad.mailauth import keys
from mtad.setup import cli_doctor, status
from mtad.setup.doctor import certificate, disk, examine, keeping, names, running
from mtad.setup.doctor.check import Check, Verdict, unknown
from tests import peers
from tests.outbound import Names
from tests.test_house_status import answering, run
from tests.test_tracing_queue import Leaving, record
from tests.tracing_events import mint
from tracing.events import BackupVerified
from tracing.log import Applied, Recorder

HOST = "mail.example.org"
IP = "192.0.2.1"


class Scripted(Names):
    """Reverse names as well."""

    async def ptr(self, ip: str) -> Answer[str]:
        return await self._look(ip, "PTR")


def only(found: Iterable[Check]) -> Check:
    (check,) = found
    return check


def published(site: Loaded) -> dict[tuple[str, str], Any]:
    """What a sound domain has."""
    found: dict[tuple[str, str], Any] = {
        (HOST, "A"): (IP,),
        (IP, "PTR"): (HOST,),
        ("example.org", "MX"): (Mx(10, HOST),),
        ("example.org", "TXT"): (b"other", b"v=spf1 mx -all"),
        ("_dmarc.example.org", "TXT"): (b"v=DMARC1; p=none",),
    }
    with connections.reading(site.places.state_db) as connection:
        held = lookup.dkim_keys(connection)["example.org"]
    for key in held:
        path = site.beside(keys.file_of("example.org", key.selector))
        record = keys.record("example.org", key.selector, keys.read(path))
        text = record.value.replace('" "', "").strip('"').encode()
        found[record.name.rstrip("."), "TXT"] = (text,)
    return found


async def dns(site: Loaded, records: Mapping[tuple[str, str], Any]) -> list[Check]:
    return list(await names.dns(site, Scripted(records)))


async def test_a_sound_domain_is_sound(site: Loaded) -> None:
    found = await dns(site, published(site))
    assert {check.verdict for check in found} == {Verdict.OK}
    assert len(found) == 7


@pytest.mark.parametrize(
    ("name", "kind", "planted", "id_", "verdict"),
    [
        (HOST, "A", (), "dns.address", Verdict.BAD),
        (IP, "PTR", ("other.test",), f"dns.ptr:{IP}", Verdict.BAD),
        ("example.org", "MX", (), "dns.mx:example.org", Verdict.BAD),
        ("example.org", "MX", (Mx(10, "other.test"),), "dns.mx:example.org", Verdict.BAD),
        ("example.org", "TXT", (), "dns.spf:example.org", Verdict.WARN),
        ("example.org", "TXT", (b"v=spf1 +all",), "dns.spf:example.org", Verdict.BAD),
        ("example.org", "TXT", (b"v=spf1 a", b"v=spf1 mx"), "dns.spf:example.org", Verdict.BAD),
        ("_dmarc.example.org", "TXT", (b"v=x",), "dns.dmarc:example.org", Verdict.WARN),
        (HOST, "A", DnsError("no answer"), "dns.address", Verdict.UNKNOWN),
        (IP, "PTR", DnsError("no answer"), f"dns.ptr:{IP}", Verdict.UNKNOWN),
        ("example.org", "MX", DnsError("no answer"), "dns.mx:example.org", Verdict.UNKNOWN),
        ("example.org", "TXT", DnsError("no answer"), "dns.spf:example.org", Verdict.UNKNOWN),
        ("_dmarc.example.org", "TXT", DnsError("no"), "dns.dmarc:example.org", Verdict.UNKNOWN),
    ],
)
async def test_a_fault_in_dns_is_found(
    site: Loaded, name: str, kind: str, planted: object, id_: str, verdict: Verdict
) -> None:
    found = await dns(site, published(site) | {(name, kind): planted})
    ill = {check.id: check for check in found if check.verdict is not Verdict.OK}
    assert set(ill) == {id_}
    assert ill[id_].verdict is verdict
    assert ill[id_].cause


@pytest.mark.parametrize("planted", [(), (b"v=DKIM1; k=rsa; p=AAAA",), (b"a=1", b"b=2")])
async def test_another_key_than_ours_is_found(site: Loaded, planted: tuple[bytes, ...]) -> None:
    records = published(site)
    name = next(name for name, _ in records if "._domainkey." in name)
    found = await dns(site, records | {(name, "TXT"): planted})
    ill = [check for check in found if check.verdict is not Verdict.OK]
    assert [(check.id, check.verdict) for check in ill] == [(f"dns.dkim:{name}", Verdict.BAD)]


@pytest.mark.interop
async def test_a_real_name_server_is_asked(site: Loaded, tmp_path: Path) -> None:
    with peers.nsd(tmp_path / "nsd") as nsd:
        ask = nsd.resolver()
        assert only(await names.mx(ask, "ourselves.test", "mx.local.test")).verdict is Verdict.OK
        assert only(await names.mx(ask, "remote.test", "mx.local.test")).verdict is Verdict.BAD
        found = await names.addresses(ask, "mx1.remote.test")
    assert [check.verdict for check in found] == [Verdict.OK, Verdict.OK]


@pytest.fixture
def mute() -> Iterator[Resolver]:
    """A name server that never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        yield Resolver(["127.0.0.1"], port=port, timeout_seconds=0.2)


async def test_without_an_answer_nothing_is_known(site: Loaded, mute: Resolver) -> None:
    found = await examine.examine(site, ask=mute)
    of_dns = [check for check in found if check.group == "dns"]
    assert {check.verdict for check in of_dns} == {Verdict.UNKNOWN}


async def test_what_was_answered_in_time_is_told(site: Loaded) -> None:
    class Slow(Scripted):
        async def mx(self, name: str) -> Answer[Mx]:
            await asyncio.sleep(30)
            return await super().mx(name)

    found = list(await names.dns(site, Slow(published(site)), 0.1))
    late = [check for check in found if check.verdict is not Verdict.OK]
    assert [check.id for check in late] == ["dns.mx:example.org"]
    assert late[0].verdict is Verdict.UNKNOWN
    assert late[0].cause == "the name servers did not answer within 0.1 s"
    assert len(found) == 7


async def test_what_hangs_or_fails_is_not_known(
    site: Loaded, mute: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(_: Loaded) -> list[Check]:
        time.sleep(3)
        return []

    def fail(_: Loaded) -> list[Check]:
        raise ValueError("planted")

    monkeypatch.setattr(examine, "BLOCKING", {"disk.sync": hang, "queue.age": fail})
    begun = time.monotonic()
    found = {one.id: one for one in await examine.examine(site, ask=mute, seconds=1)}
    assert time.monotonic() - begun < 2.5
    assert found["disk.sync"].cause == "no answer within 1 s"
    assert found["queue.age"].cause == "planted"
    assert found["queue.age"].verdict is Verdict.UNKNOWN


def test_roles(site: Loaded) -> None:
    assert {check.verdict for check in running.roles(site)} == {Verdict.BAD}
    with answering(site, ["log"]):
        up = [check.id for check in running.roles(site) if check.verdict is Verdict.OK]
    assert up == ["roles.log"]
    assert len(status.ROLES) == 4


@pytest.mark.parametrize(
    ("ours", "verdict", "measured"),
    [
        (True, Verdict.OK, "this server listens"),
        (False, Verdict.BAD, "another program listens"),
    ],
)
async def test_ports(
    site: Loaded, monkeypatch: pytest.MonkeyPatch, ours: bool, verdict: Verdict, measured: str
) -> None:
    endpoint = site.config.listen.smtp[0]
    host, _, port = endpoint.rpartition(":")
    said = {"listening": [endpoint] if ours else []}
    monkeypatch.setattr(status, "roles", lambda _: {"mta": said, "access": None})
    server = await asyncio.start_server(lambda _, writer: writer.close(), host, int(port))
    async with server:
        found = {check.id: check for check in await running.ports(site)}
    smtp = found.pop(f"ports.smtp:{endpoint}")
    assert (smtp.verdict, smtp.measured) == (verdict, measured)
    assert {check.measured for check in found.values()} == {"does not listen"}


@pytest.mark.parametrize("endpoint", ["127.0.0.1:0", "[::1]:0", "[0:0::1]:0", "lmtp.sock"])
def test_a_place_has_the_name_that_the_role_gives_it(
    site: Loaded, tmp_path: Path, endpoint: str
) -> None:
    endpoint = str(tmp_path / endpoint) if endpoint.endswith("sock") else endpoint
    listen = site.config.listen.model_copy(update={"lmtp": (endpoint,)})
    config = site.config.model_copy(update={"listen": listen})
    loaded = replace(site, config=config)
    bound = sockets.together(
        sockets.bind_ports(loaded, ["lmtp"]), sockets.bind_paths(loaded, ["lmtp"])
    )
    (place,) = sockets.places(bound)
    sockets.forget(bound)
    named = running.listened(loaded, endpoint)
    if not is_path(endpoint):  # the system chose the port
        named = f"{named.removesuffix(':0')}:{place.rpartition(':')[2]}"
    assert named == place


async def test_a_log_that_does_not_answer(site: Loaded) -> None:
    assert only(await running.log_lag(site)).verdict is Verdict.UNKNOWN
    with answering(site, ["log"]):  # it knows no position
        assert only(await running.log_lag(site)).verdict is Verdict.BAD


def test_certificate(site: Loaded) -> None:
    found = {check.id: check.verdict for check in certificate.certificate(site)}
    assert found.pop("certificate.chain") is Verdict.WARN  # self-signed
    assert set(found.values()) == {Verdict.OK}
    path = site.beside(site.config.tls.certificate)
    leaf = x509.load_pem_x509_certificate(path.read_bytes())
    assert certificate.names(leaf, "other.test").verdict is Verdict.BAD
    assert certificate.issuers([leaf, leaf]).verdict is Verdict.OK
    end = leaf.not_valid_after_utc
    assert certificate.days(leaf, end - timedelta(days=3)).verdict is Verdict.WARN
    assert certificate.days(leaf, end + timedelta(days=1)).verdict is Verdict.BAD
    assert certificate.days(leaf, datetime(2001, 1, 1, tzinfo=UTC)).verdict is Verdict.BAD
    path.write_text("no certificate")
    assert only(certificate.certificate(site)).verdict is Verdict.BAD


def test_disk(site: Loaded) -> None:
    assert only(disk.sync(site)).measured.endswith(" ms")
    assert "free" in only(disk.space(site)).measured
    judged = [disk.free(part, "1 GB").verdict for part in (0.5, 0.05, 0.01)]
    assert judged == [Verdict.OK, Verdict.WARN, Verdict.BAD]
    judged = [disk.latency(seconds).verdict for seconds in (0.01, 0.5, 2)]
    assert judged == [Verdict.OK, Verdict.WARN, Verdict.BAD]


def test_permissions(site: Loaded) -> None:
    assert {check.verdict for check in disk.permissions(site)} == {Verdict.OK}
    key = site.beside(site.config.tls.key)
    key.chmod(0o644)
    ill = [check for check in disk.permissions(site) if check.verdict is Verdict.BAD]
    assert [check.fix for check in ill] == [f"chmod o-rwx,g-w {key}"]


def test_snapshots_and_books(site: Loaded) -> None:
    assert only(keeping.snapshots(site)).verdict is Verdict.WARN
    folder = site.repository / "snapshots"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "one"
    file.touch()
    judged = []
    for hours in (1, 30, 100):
        at = clock.now_us() / 1_000_000 - hours * 3600
        os.utime(file, (at, at))
        judged.append(only(keeping.snapshots(site)).verdict)
    assert judged == [Verdict.OK, Verdict.WARN, Verdict.BAD]
    assert only(keeping.audit(site)).verdict is Verdict.UNKNOWN
    ledger.write(site.places, [], whole=True)
    assert only(keeping.audit(site)).verdict is Verdict.OK
    ledger.write(site.places, ["lost"], whole=True)
    assert only(keeping.audit(site)).verdict is Verdict.BAD


@pytest.mark.parametrize(("hours", "verdict"), [(1, Verdict.OK), (9, Verdict.WARN)])
def test_what_waits_too_long(site: Loaded, hours: int, verdict: Verdict) -> None:
    assert only(keeping.queue(site)).measured == "nothing waits"
    mail = Leaving(mint(clock.now_us() - hours * keeping.HOUR), to=("bob@there.test",))
    record(site.places.log_folder, mail.queued())
    check = only(keeping.queue(site))
    assert check.measured == f"oldest {hours}.0 h"
    assert check.verdict is verdict


def test_the_last_verification_counts(site: Loaded) -> None:
    assert only(keeping.verified(site)).verdict is Verdict.WARN
    now = clock.now_us()
    for seq, (days, damaged) in enumerate([(50, 1), (2, 0), (1, 3)], 1):
        recorder = Recorder(site.places.log_folder)
        at = now - days * 24 * keeping.HOUR
        event = BackupVerified(at=at, trace=mint(at).new(), objects=9, damaged=damaged)
        recorder.apply([Applied("jobs", seq, 0, [event])])
        recorder.close()
        found = only(keeping.verified(site))
        expected = [Verdict.WARN, Verdict.OK, Verdict.BAD][seq - 1]
        assert found.verdict is expected
    assert found.measured == "3 damaged of 9"


def test_the_command(site: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    nobody = '[dns]\nnameservers = ["127.0.0.1"]\nport = 1\ntimeout_seconds = 0.3\n'
    site.path.write_text(site.path.read_text().replace("[dns]\n", nobody, 1))
    code, out, _ = run(capsys, "doctor", "--config", str(site.path))
    assert code == Exit.PROBLEMS
    assert "✕ bad      roles.mta: does not answer" in out
    assert "● permissions " in out
    code, out, _ = run(capsys, "doctor", "--config", str(site.path), "--json")
    document = json.loads(out)
    assert code == Exit.PROBLEMS
    assert sum(document["verdicts"].values()) == len(document["checks"])
    fields = {"id", "measured", "expected", "verdict", "cause", "fix"}
    assert all(set(check) == fields for check in document["checks"])


def test_nothing_bad_is_a_success(
    site: Loaded, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fine(_: Loaded) -> list[Check]:
        return [Check("a.b", "1", "1", Verdict.OK), unknown("c.d", "x", "\x1b[2J")]

    monkeypatch.setattr(cli_doctor, "examine", fine)
    code, out, _ = run(capsys, "doctor", "--config", str(site.path))
    assert code == Exit.OK
    assert "\x1b" not in out
