"""``mtad report``: a day of mail summed up, on the terminal, as JSON, and by mail once a day.

The mail goes through the drop, so that it is signed, queued and traced like any other of ours.
"""

import asyncio
import binascii
import json
from datetime import datetime, timedelta
from typing import Any

import click

from mtad import address, clock, ledger, where
from mtad.cli_options import config_option, json_option, settings
from mtad.config import Loaded
from mtad.directory.lookup import Directory
from mtad.errors import MtadError, UsageError
from mtad.reports.fields import date, field
from mtad.submit import drop
from tracing import daybook, daytext, moments
from tracing.render import rfc3339
from tracing.words import book, language, language_option


def summary(loaded: Loaded, begin: datetime, lang: str) -> dict[str, Any]:
    """The document of the day that begins then. Raises what ``answers.readable`` does."""
    end = (begin + timedelta(days=1, hours=12)).astimezone().replace(hour=0)
    since, until = (int(each.timestamp() * 1_000_000) for each in (begin, end))
    found = daybook.day(loaded.places.log, since, until, book(lang))
    accounts = ledger.read(loaded.places)
    found["hostname"] = loaded.config.hostname
    found["audit"] = {
        "at": rfc3339(accounts.last_at) if accounts.last_at else "",
        "count": accounts.count,
        "texts": list(accounts.texts),
    }
    return found


def day_of(text: str | None, now: datetime) -> datetime:
    """The local midnight at which a day begins; without words, of yesterday. Raises UsageError."""
    try:
        when = moments.moment(text or "yesterday", int(now.timestamp() * 1_000_000), None)
        return when.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text} is no day; {moments.HINT}") from error


def message(document: dict[str, Any], sender: str, recipient: str, lang: str) -> bytes:
    """The summary as mail, line ends LF."""
    hostname, now = str(document["hostname"]), clock.now_us()
    text = "\n".join(daytext.lines(document, hostname, lang)) + "\n"
    coded = binascii.b2a_base64(text.encode("utf-8", "replace"), newline=False).decode()
    head = (
        field("From", sender),
        field("To", recipient),
        f"Date: {date(now)}\n",
        field("Subject", daytext.title(document, hostname, lang)),
        field("Message-ID", f"<report.{now}@{hostname}>"),
        "Auto-Submitted: auto-generated\n",
        "MIME-Version: 1.0\n",
        "Content-Type: text/plain; charset=utf-8\n",
        "Content-Transfer-Encoding: base64\n",
        "\n",
    )
    body = "\n".join(coded[at : at + 76] for at in range(0, len(coded), 76)) + "\n"
    return ("".join(head) + body).encode()


def leave(loaded: Loaded, document: dict[str, Any], recipient: str, lang: str) -> None:
    """Put the mail to one recipient into the drop. Raises OSError, MtadError."""
    sender = str(Directory(loaded.places.state_db).postmaster())
    folder = where.drop(loaded.path, where.read_toml(loaded.path))
    made = message(document, sender, recipient, lang)
    try:
        drop.leave(folder, drop.Envelope(sender, [recipient]), made)
    except FileNotFoundError as error:
        raise MtadError(f"there is no {folder}; 'mtad serve' makes it") from error


async def send_daily(loaded: Loaded, now: datetime) -> int:
    """Send the summary of yesterday to whom the settings name; to how many. Raises MtadError."""
    wanted = loaded.config.report
    if not wanted.mail_to:
        return 0

    def work() -> None:
        document = summary(loaded, day_of(None, now), wanted.language)
        for recipient in wanted.mail_to:
            leave(loaded, document, recipient, wanted.language)

    await asyncio.to_thread(work)
    return len(wanted.mail_to)


@click.command()
@click.option("--day", metavar="DATE", help="The day: today, yesterday (by itself), 20.11, 2d.")
@click.option("--mail", "mail_to", metavar="ADDRESS", help="Send it there instead of printing it.")
@language_option
@json_option
@config_option
@click.pass_context
def report(
    context: click.Context, day: str | None, mail_to: str | None, lang: str | None, as_json: bool
) -> None:
    """Sum a day up: how much came and went, to and from whom, how fast, and what failed and why.

    Also TLS, logins, snapshots, the queue and the books. By mail every day: report.mail_to.
    """
    loaded = settings(context)
    lang = language(lang)
    document = summary(loaded, day_of(day, clock.now()), lang)
    if mail_to is not None:
        try:
            address.parse(mail_to)
        except ValueError as error:
            raise UsageError(str(error)) from error
        leave(loaded, document, mail_to, lang)
        click.echo(f"the report is on its way to {mail_to}", err=True)
    elif as_json:
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        click.echo("\n".join(daytext.lines(document, loaded.config.hostname, lang)))
