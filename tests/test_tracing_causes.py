"""Causes of what reports of other servers tell: our own examples, and what real servers wrote."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.reports.read import read
from tracing import causes, words

BOOK = words.book("en")
GENERIC = {"remote.refused", "remote.later"}

REPORTS = [
    ("5.0.0", "host mx.b.test[192.0.2.9] said: 550 <x@b.test>: User unknown (in reply to RCPT TO)",
     "remote.no_such_user"),
    ("5.1.1", "", "remote.no_such_user"),
    ("5.2.1", "192.0.2.9 does not like recipient. Remote host said: 550 5.2.1 <x@b.test>... User "
     "unknown", "remote.no_such_user"),
    ("5.3.0", "SMTP:RCPT host 192.0.2.9: 553 5.3.0 <x@b.test>... No such user",
     "remote.no_such_user"),
    ("5.1.1", "The recipient name is not recognized MSEXCH:IMS:B", "remote.no_such_user"),
    ("5.0.0", "550-'5.1.1 <x@b.test>: rejected' (delivery attempts: 0)", "remote.no_such_user"),
    ("5.1.2", "550 Host unknown (Name server: b.test: no data known)", "report.no_domain"),
    ("4.0.0", "DNS type 'mx' lookup of b.test responded with code NXDOMAIN", "report.no_domain"),
    ("5.4.4", "", "report.no_domain"),
    ("4.0.0", "The domain b.test doesn't receive email according to the administrator: Null MX",
     "dns.null_mx"),
    ("5.4.7", "retry timeout exceeded", "report.expired"),
    ("5.4.7", "Could not deliver for the last 432000 seconds. Giving up.", "report.expired"),
    ("4.4.1", "has not yet been delivered. We will continue to try for 5 days", "report.delayed"),
    ("4.4.1", "Sorry, I wasn't able to establish an SMTP connection", "report.unreachable"),
    ("5.7.1", "The recipient server did not accept our requests to connect", "report.unreachable"),
    ("5.3.0", "Command died with status 17: /usr/local/bin/filter", "report.program"),
    ("5.0.0", "550 Ip frequency limited [x Blocked IP 192.0.2.1]", "remote.blocklisted"),
    ("5.0.0", "550 SC-004 Unfortunately, messages from 192.0.2.1 weren't sent",
     "remote.blocklisted"),
    ("5.7.9", "554 5.7.9 Message not accepted for policy reasons", "remote.reputation"),
    ("5.7.0", "550 5.7.0 Please use the smtp server of your ISP", "remote.direct"),
    ("5.5.0", "550 domain [a.test] mismatches client ip 192.0.2.1", "remote.spf"),
    ("5.1.8", "501 5.1.8 Sender address rejected", "remote.sender"),
    ("5.1.0", "553 5.1.0 x a.test does not exist E2110 after MAIL FROM", None),
    ("5.3.2", "521 5.3.2 <x@b.test>: Recipient address rejected: System not accepting messages",
     "remote.trouble"),
    ("5.0.0", "554 Service currently unavailable", "remote.trouble"),
    ("5.7.0", "550 5.7.0 <x@b.test>: Recipient address rejected: Policy violation",
     "remote.policy"),
    ("5.0.0", "550 Protocol violation (in reply to DATA)", "remote.protocol"),
    ("5.0.0", "552 5.2.2 <x@b.test>: Mailbox full", "remote.full"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "said", "name"), REPORTS)
def test_reports_have_a_cause(status: str, said: str, name: str | None) -> None:
    found = BOOK.cause(causes.reported(0, status, said))
    assert found is not None
    assert name is None or found.name == name


@pytest.mark.parametrize(
    ("code", "status", "said", "wanted"),
    [
        (0, "5.0.0", "said: 550 5.1.1 no", (550, "5.1.1")),
        (0, "", "said: 452 4.2.2 no", (452, "4.2.2")),
        (554, "5.7.1", "said: 550 5.1.1 no", (554, "5.7.1")),
        (0, "5.0.0", "nothing", (550, "5.0.0")),
        (0, "4.0.0", "after 450 seconds from 192.0.2.450", (450, "4.0.0")),
        (0, "5.0.0", "host [192.0.2.7] version 5.1.1.2", (550, "5.0.0")),
        (0, "", "", (0, "")),
    ],
)
def test_words_know_better_than_empty_fields(
    code: int, status: str, said: str, wanted: tuple[int, str]
) -> None:
    found = causes.reported(code, status, said)
    assert (found.code, found.enh) == wanted
    assert (found.who, found.stage) == ("remote", causes.REPORTED)


@given(st.integers(0, 999), st.text(max_size=9), st.text(max_size=400))
def test_whatever_a_report_says_it_has_a_cause(code: int, status: str, said: str) -> None:
    assert BOOK.cause(causes.reported(code, status, said)) is not None


def test_a_name_has_one_wording() -> None:
    """Several tables may have one name; they say the same and advise the same."""
    wordings: dict[str, set[tuple[str, ...]]] = {}
    for cause in BOOK.causes:
        said = (cause.words.get(name, "") for name in ("en", "ru", "do_en", "do_ru"))
        wordings.setdefault(cause.name, set()).add(tuple(said))
    assert [name for name, several in wordings.items() if len(several) > 1] == []


# -------------------------------------------------------------------- real ones


def told(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Status, diagnostic and cause of each recipient that real reports say was not reached."""
    for pattern in ("sisimai/maildir/*/*.eml", "flufl.bounce/tests/data/*.txt"):
        for path in sorted(folder.glob(pattern)):
            report = read(path.read_bytes())
            if report is None or report.kind in ("arf", "mdn"):
                continue
            for one in report.recipients:
                if one.action in ("failed", "delayed"):
                    yield one.status, one.diagnostic, _cause(one.status, one.diagnostic)


def _cause(status: str, said: str) -> str:
    digits = said[:3]
    code = int(digits) if digits.isascii() and digits.isdigit() else 0
    found = BOOK.cause(causes.reported(code, status, said))
    assert found is not None
    return found.name


def test_real_bounces_have_more_than_a_generic_cause(
    shared_data: Callable[[str], Path],
) -> None:
    """Of those that say anything in words; before their words were read it was 41 %."""
    found = Counter(
        name in GENERIC for _, said, name in told(shared_data("bounces")) if said.strip()
    )
    assert found.total() > 450
    assert found[True] / found.total() < 0.05, found


EXPECTED = {
    "userunknown": "remote.no_such_user",
    "syntaxerror": "remote.no_such_user",
    "mailboxfull": "remote.full",
    "exceedlimit": "remote.too_large",
    "hasmoved": "remote.moved",
    "mailererror": "report.program",
    "notaccept": "remote.trouble",
    "systemerror": "remote.trouble",
    "policyviolation": "remote.policy",
    "securityerror": "remote.policy",
}
"""What some real reports say themselves that they are, by the page they name."""
_PAGE = re.compile(r"(?: See)? https?://\S*/reason/#(\w+)")


def test_real_bounces_that_name_their_reason(shared_data: Callable[[str], Path]) -> None:
    wrong, right = [], 0
    for status, said, _ in told(shared_data("bounces")):
        page = _PAGE.search(said)
        if page is None:
            continue
        name = _cause(status, said.replace(page[0], ""))
        if name == EXPECTED.get(page[1]):
            right += 1
        else:
            wrong.append((page[1], name, said))
    assert right >= 14, wrong
    assert not wrong
