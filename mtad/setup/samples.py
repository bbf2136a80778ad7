"""Sample messages of our own: what people really send, from example domains (RFC 2606)."""

import random
import time
from email import utils
from email.mime.application import MIMEApplication
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

SENDER = "anna@mail.example"
REPORT_OCTETS = 30_000


def samples(recipient: str) -> list[tuple[str, bytes]]:
    """A few messages to ``recipient``, as (subject, bytes with CRLF), dated now."""
    made = {
        "Lunch on Friday?": _text("Shall we meet at noon?\nAnna\n", "us-ascii"),
        "Счёт на оплату № 42": _text("Добрый день!\nСчёт во вложении.\n", "utf-8"),
        "Отчёт за ноябрь": _text("Отчет готов, посмотрите.\n", "koi8-r"),
        "The figures you asked for": _with_attachment(),
    }
    return [(subject, _headed(part, subject, recipient)) for subject, part in made.items()]


def _text(text: str, charset: str) -> MIMEBase:
    return MIMEText(text, "plain", charset)


def _with_attachment() -> MIMEBase:
    made = MIMEMultipart()
    made.attach(MIMEText("Here they are.\n"))
    report = MIMEApplication(random.Random(42).randbytes(REPORT_OCTETS))  # noqa: S311
    report.add_header("Content-Disposition", "attachment", filename="figures.bin")
    made.attach(report)
    return made


def _headed(part: MIMEBase, subject: str, recipient: str) -> bytes:
    part["From"] = f"Anna <{SENDER}>"
    part["To"] = recipient
    part["Subject"] = subject
    part["Date"] = utils.formatdate(time.time(), localtime=True)
    part["Message-ID"] = utils.make_msgid(domain="mail.example")
    return b"\r\n".join(part.as_bytes().splitlines()) + b"\r\n"
