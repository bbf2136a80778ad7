"""Mails of our own: ordinary, Russian, with attachments, and odd in every way real mail is.

Enough for every test to be whole where no archive of real mail lies beside the repository.
Addresses are of example domains (RFC 2606).
"""

import base64
import os
import random
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

from tests.corpus import Mail

_HEAD = (
    b"Date: Tue, 24 Nov 2026 10:00:00 +0300\r\n"
    b"Message-ID: <%s@mail.example>\r\n"
    b"From: Anna <anna@mail.example>\r\n"
    b"To: Boris <boris@corp.example>\r\n"
)
RUSSIAN = "Счёт на оплату № 42"


def plain(name: str = "plain", lines: int = 10) -> bytes:
    """A text message with CRLF line ends."""
    body = b"".join(b"Line %d of the message.\r\n" % number for number in range(lines))
    return _HEAD % name.encode() + b"Subject: plain\r\n\r\n" + body


def russian(charset: str) -> bytes:
    """A Russian message in a charset, header and body encoded as mail clients do."""
    made = MIMEText("Добрый день!\nСчёт во вложении.\n", "plain", charset)
    made["From"] = "Анна <anna@mail.example>"
    made["Subject"] = RUSSIAN
    made["Message-ID"] = f"<ru-{charset}@mail.example>"
    return bytes(made)


def raw_russian(charset: str) -> bytes:
    """The same with raw 8-bit headers, which no RFC allows and much mail has."""
    head = _HEAD % f"raw-{charset}".encode()
    mime = f"Subject: {RUSSIAN}\r\nContent-Type: text/plain; charset={charset}\r\n\r\nПривет!\r\n"
    return head + mime.replace("№", "N").encode(charset)


def with_attachment(seed: int, octets: int = 60_000) -> bytes:
    """A multipart message with a base64 attachment that does not compress."""
    made = MIMEMultipart()
    made["From"], made["To"] = "anna@mail.example", "boris@corp.example"
    made["Subject"], made["Message-ID"] = f"Report {seed}", f"<report-{seed}@mail.example>"
    made.attach(MIMEText("See the report.\n"))
    part = MIMEApplication(random.Random(seed).randbytes(octets))
    part.add_header("Content-Disposition", "attachment", filename=("utf-8", "", "отчёт.bin"))
    made.attach(part)
    return bytes(made)


def _odd() -> dict[str, bytes]:
    head = _HEAD % b"odd"
    blob = base64.encodebytes(random.Random(7).randbytes(3000)).replace(b"\n", b"\r\n")
    return {
        "empty-body": head + b"Subject: nothing\r\n\r\n",
        "only-headers": head + b"Subject: no blank line\r\n",
        "no-headers": b"\r\nJust a body, no header at all.\r\n",
        "no-message-id": b"From: a@mail.example\r\nSubject: hm\r\n\r\nHello\r\n",
        "two-message-ids": head + b"Message-ID: <second@mail.example>\r\n\r\nHello\r\n",
        "no-date": b"From: a@mail.example\r\n\r\nHello\r\n",
        "bad-date": b"Date: yesterday, probably\r\nFrom: a@mail.example\r\n\r\nHello\r\n",
        "dots": head + b"\r\n.\r\n..\r\n.leading\r\nend.\r\n",
        "no-final-newline": head + b"Subject: cut\r\n\r\nlast line",
        "bare-lf": (head + b"Subject: unix\r\n\r\na\r\nb\r\n").replace(b"\r\n", b"\n"),
        "bare-cr": head + b"Subject: mac\r\n\r\nold\rmac\rlines\r\n",
        "long-line": head + b"Subject: long\r\n\r\n" + b"x" * 5000 + b"\r\n",
        "long-header": head + b"References:" + b"\r\n <r@mail.example>" * 400 + b"\r\n\r\nbody\r\n",
        "nul": head + b"Subject: nul\r\n\r\na\x00b\r\n",
        "eight-bit": head + b"Subject: \xff\xfe\x80\r\n\r\n\x80\x81\xff\r\n",
        "escape": head + b"Subject: \x1b[2J[/nope]\r\n\r\nterminal\r\n",
        "folded-subject": head + b"Subject: one\r\n\ttwo\r\n three\r\n\r\nbody\r\n",
        "mbox-from": head + b"Subject: mbox\r\n\r\nFrom here on it goes.\r\n>From there.\r\n",
        "null-sender": b"Return-Path: <>\r\nFrom: mailer-daemon@mail.example\r\n\r\nbounced\r\n",
        "broken-encoded-word": head
        + b"Subject: =?utf-8?q?=D0=9F=D1?= =?utf-8?b?0YA?=\r\n\r\nx\r\n",
        "broken-multipart": head
        + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nno end\r\n',
        "nested": head
        + b'Content-Type: multipart/mixed; boundary="a"\r\n\r\n--a\r\n'
        + b"Content-Type: message/rfc822\r\n\r\n"
        + plain("inner")
        + b"--a--\r\n",
        "base64-body": head + b"Content-Transfer-Encoding: base64\r\n\r\n" + blob,
        "base64-odd-width": head
        + b"Content-Transfer-Encoding: base64\r\n\r\n"
        + blob.replace(b"\r\n", b"\n\n", 2),
        "duplicate-received": b"Received: from a by b; now\r\n" * 50 + head + b"\r\nloop?\r\n",
    }


_AWKWARD = (
    "cur/1704096000.M1P1.host:2,S",
    "cur/1704096001.M2P1.host,S=999999:2,FRS",
    "cur/1704096002.M3P1.host:2,",
    "cur/1704096003.M4P1.host:2,SZaZ",
    "cur/1704096004.M5P1.host",
    "cur/1704096005.M6P1.host;2,S",
    "cur/1704096006.M7P1.host:1,x",
    "new/1704096007.M8P1.host",
    "new/1704096007.M8P1.host:2,S",
    "new/1704096009.M9P1.host",
    "new/1704096010.M10P1.host",
    "new/.hidden",
    "cur/no-timestamp-name:2,S",
    "cur/1704096013.M13P1.host,U=77,W=123:2,T",
    f"cur/{'9' * 180}.M14P1.host:2,S",
    ".Sent/cur/1704096015.M15P1.host:2,S",
    ".&BB4EQgQ,BEAEMAQyBDsENQQ9BD0ESwQ1-/cur/1704096016.M16P1.host:2,S",
    ".Архив.2024/cur/1704096017.M17P1.host:2,S",
    ".Trash/cur/1704096018.M18P1.host:2,ST",
)


def awkward_maildir(maildir: Path) -> None:
    """Names and files as other programs leave them; each is a second older than the next."""
    for folder in ("", ".Trash", ".Empty"):
        for part in ("cur", "new", "tmp"):
            (maildir / folder / part).mkdir(parents=True, exist_ok=True)
    octets = {9: b"", 10: b"\0\xff\xfe binary\r\n"}
    for number, name in enumerate(_AWKWARD):
        path = maildir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets.get(number, plain(f"m{number}", 1)))
        os.utime(path, (1704096000 + number,) * 2)
    (maildir / "tmp/1703896000.M11P1.host").write_bytes(b"From: a@mail.example\r\nSubject: stale")
    (maildir / "cur/1704096099.M99P1.host:2,S").symlink_to("../../../etc/passwd")
    for name, text in {
        ".Trash/maildirfolder": "",
        "dovecot-uidlist": "3 V1704096000 N20 Gabcdef\n1 :1704096000.M1P1.host\n",
        "dovecot-keywords": "0 $Forwarded\n1 NonJunk\n",
        "maildirsize": "1000000S,100C\n2300 9\n-100 -1\n",
        "courierimapsubscribed": "INBOX.Sent\nINBOX.Trash\n",
    }.items():
        (maildir / name).write_text(text)


def ours() -> list[Mail]:
    """All of them, in the same order and with the same bytes each time."""
    mails = {f"plain-{lines}": plain(f"plain-{lines}", lines) for lines in (1, 30, 400)}
    for charset in ("utf-8", "koi8-r", "windows-1251", "iso-8859-5"):
        mails[f"russian-{charset}"] = russian(charset)
        mails[f"russian-raw-{charset}"] = raw_russian(charset)
    for seed in (1, 1, 2):
        mails[f"attachment-{seed}-{len(mails)}"] = _stable_boundary(with_attachment(seed), seed)
    return [Mail(f"ours/{name}", data) for name, data in (mails | _odd()).items()]


def _stable_boundary(data: bytes, seed: int) -> bytes:
    """``data`` with its random multipart boundary replaced by one that never changes."""
    boundary = data.partition(b'boundary="')[2].partition(b'"')[0]
    return data.replace(boundary, b"===============%019d==" % seed)
