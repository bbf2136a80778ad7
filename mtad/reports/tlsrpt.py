"""TLS reports: telling a domain how TLS with its servers went (RFC 8460; PURE).

Sessions are the log's ``out.tls`` events of one day; the report is their count by policy, and
the failures by kind and place. It says nothing of messages, senders or recipients.
"""

import binascii
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from mtad.reports.fields import date, field
from tracing.sending import OutTls

MAX_DESTINATIONS = 5
"""Places one domain gets its report sent to."""
MAX_FAILURES = 1000
"""Rows of failures in one report; the rarest are left out, the counts stay whole."""
MAX_DOMAINS = 100_000
"""Domains of one day."""

_RECORD = re.compile(rb"v=TLSRPTv1[ \t]*(;|$)")
_RUA = re.compile(r"rua[ \t]*=[ \t]*(.*)")
_OWN_RULES = frozenset({"none", "required", "verify"})
"""Policies of this server's operator, which say nothing of the domain's own."""
_TYPES = {"mta-sts": "sts", "dane": "tlsa"}


@dataclass(frozen=True, slots=True)
class Report:
    """A domain's report for a time span; ``document`` is the JSON of RFC 8460 4.4."""

    domain: str
    id: str
    begin: datetime
    end: datetime
    document: Mapping[str, Any]

    def compressed(self) -> bytes:
        """As it is sent: JSON, gzip; the same octets for the same report."""
        return gzip.compress(json.dumps(self.document, ensure_ascii=True).encode(), mtime=0)

    def filename(self, submitter: str) -> str:
        """The name of RFC 8460 5.1."""
        begin, end = int(self.begin.timestamp()), int(self.end.timestamp())
        return f"{submitter}!{self.domain}!{begin}!{end}!{self.id}.json.gz"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a failure happened."""

    result: str
    source: str
    host: str
    ip: str
    verdict: str


class Tally:
    """Counts the sessions of a day, by domain and policy."""

    def __init__(self) -> None:
        self._good: Counter[tuple[str, str, tuple[str, ...]]] = Counter()
        self._bad: dict[tuple[str, str, tuple[str, ...]], Counter[_Place]] = {}
        self._domains: set[str] = set()

    def add(self, event: OutTls) -> None:
        """Count a session; one that concerns no domain's policy is passed over."""
        if not event.domain or (event.policy in _OWN_RULES and not event.failure):
            return
        if event.domain not in self._domains and len(self._domains) >= MAX_DOMAINS:
            return
        self._domains.add(event.domain)
        kind = _TYPES.get(event.policy, "no-policy-found")
        if event.failure.startswith("sts-"):
            kind = "sts"
        key = (event.domain, kind, event.rules)
        if event.failure:
            place = _Place(event.failure, event.source, event.host, event.ip, event.verdict)
            self._bad.setdefault(key, Counter())[place] += 1
        else:
            self._good[key] += 1

    @property
    def domains(self) -> Sequence[str]:
        """The domains there is something to tell."""
        return sorted(self._domains)

    def report(
        self, domain: str, id: str, begin: datetime, end: datetime, organization: str, contact: str
    ) -> Report:
        """The report for a domain."""
        keys = {key for key in (*self._good, *self._bad) if key[0] == domain}
        document = {
            "organization-name": organization,
            "date-range": {"start-datetime": _time(begin), "end-datetime": _time(end)},
            "contact-info": contact,
            "report-id": id,
            "policies": [self._policy(key) for key in sorted(keys)],
        }
        return Report(domain, id, begin, end, document)

    def _policy(self, key: tuple[str, str, tuple[str, ...]]) -> dict[str, Any]:
        domain, kind, rules = key
        policy: dict[str, Any] = {"policy-type": kind, "policy-domain": domain}
        if rules:
            policy["policy-string"] = list(rules)
        patterns = [rule[4:] for rule in rules if rule.startswith("mx: ")]
        if patterns:
            policy["mx-host"] = patterns
        bad = self._bad.get(key, Counter())
        found: dict[str, Any] = {
            "policy": policy,
            "summary": {
                "total-successful-session-count": self._good[key],
                "total-failure-session-count": bad.total(),
            },
        }
        if bad:
            found["failure-details"] = [
                _failure(place, count) for place, count in bad.most_common(MAX_FAILURES)
            ]
        return found


def _failure(place: _Place, count: int) -> dict[str, Any]:
    fields = {
        "result-type": place.result,
        "sending-mta-ip": place.source,
        "receiving-mx-hostname": place.host,
        "receiving-ip": place.ip,
        "failure-reason-code": place.verdict,
    }
    return {name: value for name, value in fields.items() if value} | {
        "failed-session-count": count
    }


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}Z"


def destinations(texts: Iterable[bytes]) -> Sequence[str]:
    """Where ``_smtp._tls`` TXT records want reports: ``mailto:`` and ``https:`` URIs (RFC 8460 3).

    Empty where there is not exactly one record.
    """
    records = [text for text in texts if _RECORD.match(text)]
    if len(records) != 1:
        return ()
    for part in records[0].decode("ascii", "replace").split(";")[1:]:
        if found := _RUA.fullmatch(part.strip()):
            uris = [uri.strip() for uri in found[1].split(",")]
            known = [uri for uri in uris if uri.lower().startswith(("mailto:", "https://"))]
            return known[:MAX_DESTINATIONS]
    return ()


def mailbox(uri: str) -> str:
    """The address of a ``mailto:`` URI, empty where it has none (RFC 6068)."""
    address = unquote(uri.partition(":")[2].partition("?")[0], errors="replace")
    is_one = address.count("@") == 1 and address.isprintable() and " " not in address
    return address if is_one and "," not in address else ""


def message(report: Report, *, sender: str, recipient: str, submitter: str, made: int) -> bytes:
    """The report as mail, line ends LF (RFC 8460 5.3); ``made`` in microseconds.

    It must arrive where TLS is what is broken, hence TLS-Required: No (RFC 8689 5).
    """
    subject = f"Report Domain: {report.domain} Submitter: {submitter} Report-ID: <{report.id}>"
    boundary = f"report-{binascii.crc32(report.compressed()):08x}"
    encoded = binascii.b2a_base64(report.compressed(), newline=False).decode()
    lines = "\n".join(encoded[at : at + 76] for at in range(0, len(encoded), 76))
    head = (
        field("From", sender),
        field("To", recipient),
        f"Date: {date(made)}\n",
        field("Subject", subject),
        field("Message-ID", f"<{report.id}@{submitter}>"),
        field("TLS-Report-Domain", report.domain),
        field("TLS-Report-Submitter", submitter),
        "TLS-Required: No\n",
        "Auto-Submitted: auto-generated\n",
        "MIME-Version: 1.0\n",
        f'Content-Type: multipart/report; report-type="tlsrpt";\n boundary="{boundary}"\n',
        "\n",
    )
    text = (
        f"This is a report about TLS between {submitter} and the mail servers\n"
        f"of {report.domain}, from {_time(report.begin)} to {_time(report.end)}.\n"
    )
    filename = report.filename(submitter)
    return (
        "".join(head)
        + f"--{boundary}\nContent-Type: text/plain; charset=us-ascii\n\n{text}\n"
        + f"--{boundary}\nContent-Type: application/tlsrpt+gzip\n"
        + "Content-Transfer-Encoding: base64\n"
        + f'Content-Disposition: attachment;\n filename="{filename}"\n\n{lines}\n'
        + f"--{boundary}--\n"
    ).encode()
