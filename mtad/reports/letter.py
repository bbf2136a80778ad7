"""The part of a report for people: what happened, to whom, what was said, what to do (PURE)."""

import textwrap
from collections.abc import Iterator

from mtad.reports import phrases, words
from mtad.reports.fields import date
from mtad.reports.values import Report, Reported
from mtad.reports.words import Said
from tracing import ids
from tracing.render import safe

MAX_REPLY = 4096
"""Characters of a reply that are repeated."""
WIDTH = 72
_INDENT = "    "


def title(report: Report, subject: str) -> str:
    """The Subject of the report; ``subject`` is the original's."""
    said = words.SUBJECT[report.what]
    prefix = f"{said.en} / {said.ru}" if report.lang == "both" else said.of(report.lang)
    none = words.NO_SUBJECT.of("ru" if report.lang == "ru" else "en")
    return f"{prefix}: {safe(subject) or none}"


def letter(report: Report, subject: str, *, is_cut: bool) -> str:
    """The words in the language or languages asked for; ``is_cut`` tells the body is left out."""
    languages: tuple[words.Language, ...] = (
        ("en", "ru") if report.lang == "both" else (report.lang,)
    )
    return f"\n{'-' * WIDTH}\n\n".join(
        "\n\n".join(_paragraphs(report, subject, is_cut, language)) + "\n" for language in languages
    )


def _paragraphs(
    report: Report, subject: str, is_cut: bool, language: words.Language
) -> Iterator[str]:
    yield _say(words.HELLO, language, hostname=report.hostname)
    yield _say(words.INTRODUCTION[report.what], language)
    if report.to:
        yield _say(words.INSTEAD, language)
    yield words.MESSAGE.of(language).format(
        subject=safe(subject) or words.NO_SUBJECT.of(language),
        arrived=date(report.original.arrived),
        number=ids.text(report.original.m),
    )
    for recipient in report.recipients:
        yield "\n".join(_recipient(report, recipient, language))
    if is_cut:
        yield _say(words.CUT, language)


def _recipient(report: Report, recipient: Reported, language: words.Language) -> Iterator[str]:
    def indented(said: Said, **values: str) -> str:
        return textwrap.indent(_say(said, language, **values), _INDENT)

    addr = safe(recipient.addr)
    yield f"<{addr}>"
    if recipient.original and recipient.original != recipient.addr:
        yield indented(words.ALSO, original=safe(recipient.original))
    if report.what in ("failed", "delayed"):
        cause = words.cause(_status(recipient))
        domain = addr.rpartition("@")[2]
        yield indented(cause.why, domain=domain)
        if report.what == "failed":
            if recipient.status.startswith("4"):
                yield indented(words.GIVEN_UP)
            yield indented(cause.advice, domain=domain)
        elif recipient.retry_until:
            yield indented(words.UNTIL, until=date(recipient.retry_until))
    host = safe(recipient.host) + (f" [{safe(recipient.ip)}]" if recipient.ip else "")
    for said, spoken in ((words.SAID, recipient.reply), (words.OURS, recipient.why)):
        if spoken:
            yield indented(said, host=host)
            for line in spoken[:MAX_REPLY].splitlines():
                yield 2 * _INDENT + safe(line)


def _status(recipient: Reported) -> str:
    """The status, or where it says nothing what the words stand for."""
    if recipient.status[2:] not in ("", "0.0"):
        return recipient.status
    return f"5.{phrases.detail(recipient.reply or recipient.why)}"


def _say(said: Said, language: words.Language, **values: str) -> str:
    sentence = said.of(language).format(**values)
    return textwrap.fill(sentence, WIDTH, break_long_words=False, break_on_hyphens=False)
