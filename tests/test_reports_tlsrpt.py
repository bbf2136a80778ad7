"""TLS reports: what is counted, what it looks like, where it goes."""

import email
import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.reports import tlsrpt
from mtad.reports.tlsrpt import Report, Tally, destinations, mailbox
from tracing.sending import OutTls

BEGIN = datetime(2026, 11, 23, tzinfo=UTC)
END = datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC)
RULES = ("version: STSv1", "mode: enforce", "mx: mx.remote.test", "max_age: 600")


def session(domain: str = "remote.test", policy: str = "mta-sts", **more: Any) -> OutTls:
    given: dict[str, Any] = {
        "at": 1,
        "trace": 1,
        "host": "mx.remote.test",
        "ip": "192.0.2.1",
        "cn": 5,
        "verdict": "trusted",
        "version": "TLSv1.3",
        "source": "192.0.2.99",
    }
    return OutTls(**given | {"domain": domain, "policy": policy} | more)


def report(*events: OutTls, domain: str = "remote.test") -> Report:
    tally = Tally()
    for event in events:
        tally.add(event)
    return tally.report(domain, "id1", BEGIN, END, "Local", "postmaster@local.test")


def test_a_day_with_a_policy() -> None:
    bad = {"failure": "certificate-expired", "verdict": "expired", "version": ""}
    made = report(
        *[session(rules=RULES)] * 3,
        *[session(rules=RULES, **bad)] * 2,
        session("other.test"),
    )
    assert made.document == {
        "organization-name": "Local",
        "date-range": {
            "start-datetime": "2026-11-23T00:00:00Z",
            "end-datetime": "2026-11-23T23:59:59Z",
        },
        "contact-info": "postmaster@local.test",
        "report-id": "id1",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-domain": "remote.test",
                    "policy-string": list(RULES),
                    "mx-host": ["mx.remote.test"],
                },
                "summary": {
                    "total-successful-session-count": 3,
                    "total-failure-session-count": 2,
                },
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "sending-mta-ip": "192.0.2.99",
                        "receiving-mx-hostname": "mx.remote.test",
                        "receiving-ip": "192.0.2.1",
                        "failure-reason-code": "expired",
                        "failed-session-count": 2,
                    }
                ],
            }
        ],
    }


def test_policies_are_kept_apart() -> None:
    made = report(
        session(policy="dane", rules=("3 1 1 ab",)),
        session(policy="opportunistic"),
        session(policy="opportunistic", version="", failure="starttls-not-supported"),
        session(policy="opportunistic", failure="sts-policy-fetch-error"),
        session(policy="verify"),
        session(policy="none", version=""),
    )
    kinds = [
        (
            one["policy"]["policy-type"],
            one["summary"]["total-successful-session-count"],
            one["summary"]["total-failure-session-count"],
        )
        for one in made.document["policies"]
    ]
    assert kinds == [("no-policy-found", 1, 1), ("sts", 0, 1), ("tlsa", 1, 0)]


def test_only_domains_with_something_to_tell() -> None:
    tally = Tally()
    for event in (session("b.test"), session("a.test"), session(""), session("c.test", "verify")):
        tally.add(event)
    assert tally.domains == ["a.test", "b.test"]


def test_many_failures_are_bounded() -> None:
    made = report(*(session(failure="x", ip=f"192.0.2.{n}") for n in range(3000)))
    (policy,) = made.document["policies"]
    assert policy["summary"]["total-failure-session-count"] == 3000
    assert len(policy["failure-details"]) == tlsrpt.MAX_FAILURES


def test_as_mail() -> None:
    made = report(session(rules=RULES))
    octets = tlsrpt.message(
        made,
        sender="postmaster@local.test",
        recipient="tls@remote.test",
        submitter="mx.local.test",
        made=1_790_000_000_000_000,
    )
    assert b"\r" not in octets
    mail = email.message_from_bytes(octets)
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "tlsrpt"
    assert mail["Subject"].replace("\n", "") == (
        "Report Domain: remote.test Submitter: mx.local.test Report-ID: <id1>"
    )
    assert mail["TLS-Report-Domain"] == "remote.test"
    assert mail["TLS-Required"] == "No"
    _, _, attached = mail.walk()
    assert attached.get_content_type() == "application/tlsrpt+gzip"
    assert attached.get_filename() == (
        "mx.local.test!remote.test!1795392000!1795478399!id1.json.gz"
    )
    decoded = attached.get_payload(decode=True)
    assert isinstance(decoded, bytes)
    assert json.loads(gzip.decompress(decoded)) == made.document


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([b"v=TLSRPTv1; rua=mailto:a@x.test"], ["mailto:a@x.test"]),
        (
            [b"v=TLSRPTv1;rua=mailto:a@x.test,https://x.test/r;"],
            ["mailto:a@x.test", "https://x.test/r"],
        ),
        ([b"v=TLSRPTv1 ; x=y ; rua = mailto:a@x.test "], ["mailto:a@x.test"]),
        ([b"v=spf1", b"v=TLSRPTv1; rua=MAILTO:a@x.test"], ["MAILTO:a@x.test"]),
        ([b"v=TLSRPTv1; rua=ftp://x.test,http://x.test"], []),
        ([b"v=TLSRPTv1; rua="], []),
        ([b"v=TLSRPTv1"], []),
        ([b"v=TLSRPTv11; rua=mailto:a@x.test"], []),
        ([b"v=TLSRPTv1; rua=mailto:a@x.test"] * 2, []),
        ([b"v=TLSRPTv1; rua=" + b",".join([b"mailto:a@x.test"] * 9)], ["mailto:a@x.test"] * 5),
        ([], []),
    ],
)
def test_destinations(texts: Sequence[bytes], expected: Sequence[str]) -> None:
    assert list(destinations(texts)) == expected


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("mailto:a@x.test", "a@x.test"),
        ("mailto:a%2Bb@x.test?subject=x", "a+b@x.test"),
        ("mailto:a", ""),
        ("mailto:a@x.test,b@x.test", ""),
        ("mailto:a%0d%0aBcc:%20b@x.test", ""),
        ("mailto:", ""),
    ],
)
def test_mailboxes(uri: str, address: str) -> None:
    assert mailbox(uri) == address


@given(st.lists(st.binary(max_size=80), max_size=3))
def test_any_texts(texts: list[bytes]) -> None:
    for uri in destinations(texts) or destinations([b"v=TLSRPTv1;" + b"".join(texts)]):
        assert "\n" not in mailbox(uri)
