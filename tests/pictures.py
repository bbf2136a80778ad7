"""The pictures of docs/: ``make pictures`` runs a server, lets mail come in, and draws it."""

import re
import smtplib
import tempfile
from pathlib import Path

from tests import mails
from tests.documents import DOCS
from tests.server import Server

SENDERS = ("anna@mail.example", "boris@shop.example", "lists@news.example", "")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "site")
        server.mtad("box", "add", "anna@example.org")
        server.mtad("alias", "add", "team@example.org", "you@example.org", "anna@example.org")
        server.start()
        try:
            fill(server)
            server.settle()
            server.mtad("snapshot", "create")
            picture = DOCS / "overview.svg"
            server.mtad("tui", "--screenshot", str(picture))
            picture.write_text(self_contained(picture.read_text()))
        finally:
            server.stop()


def self_contained(svg: str) -> str:
    """A picture without the fonts it would fetch from elsewhere."""
    return re.sub(r"(?s)\s*@font-face\s*\{.*?\}|<!--.*?-->\s*", "", svg)


def fill(server: Server) -> None:
    """Ordinary mail, and some that is refused."""
    recipients = ("you@example.org", "team@example.org", "nobody@example.org", "x@else.example")
    with smtplib.SMTP(*server.smtp, "mx.mail.example", 30) as link:
        for number, mail in enumerate(mails.ours() * 2):
            data = mail.data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
            try:
                link.sendmail(SENDERS[number % 4], recipients[number % 7 % 4], data)
            except (smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException):
                link.rset()


if __name__ == "__main__":
    main()
