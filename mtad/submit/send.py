"""``mtad send``: send one message by SMTP and show every word of it, to test a server.

The client is the standard library's; what it says and hears is printed line by line, secrets
excepted. What was not accepted ends with the stage and the server's words.
"""

import contextlib
import json
import mimetypes
import smtplib
import ssl
import sys
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from email.policy import SMTP as CRLF
from email.utils import format_datetime, localtime, make_msgid
from pathlib import Path
from typing import Any

import click

from mtad.cli_options import config_option, json_option, settings
from mtad.errors import ConfigError, MtadError, Unreachable, UsageError
from tracing.render import safe

TIMEOUT_SECONDS = 30
STAGES = ("connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "dot")
_HIDDEN = "(secret)"

Say = Callable[[str], None]


class Client(smtplib.SMTP):
    """The library's client, telling what is said."""

    def __init__(self, say: Say, timeout: float) -> None:
        super().__init__(timeout=timeout)
        self._say = say
        self.is_secret = False
        self.is_body = False

    def send(self, s: Any) -> None:
        """Send, and tell it."""
        text = s if isinstance(s, str) else bytes(s).decode("utf-8", "replace")
        if self.is_body:
            self._say(f" -> ({len(text)} octets of message)")
        elif self.is_secret:
            verb = " ".join(text.split()[:2]) if text.startswith("AUTH") else ""
            self._say(f" -> {verb} {_HIDDEN}".replace("  ", " "))
        else:
            for line in text.splitlines():
                self._say(f" -> {safe(line)}")
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        """Hear, and tell it."""
        code, words = super().getreply()
        lines = words.decode("utf-8", "replace").split("\n")
        for number, line in enumerate(lines, 1):
            self._say(f"<-  {code}{' ' if number == len(lines) else '-'}{safe(line)}")
        return code, words

    def hello(self, name: str) -> None:
        """EHLO, or HELO where that is not known."""
        code, words = self.ehlo(name)
        if not 200 <= code < 300:
            code, words = self.helo(name)
        expect("ehlo", code, words)


class Refused(Exception):
    """The server did not go along."""

    def __init__(self, stage: str, code: int, words: bytes) -> None:
        self.stage, self.code = stage, code
        self.words = words.decode("utf-8", "replace").replace("\n", " ")
        super().__init__(f"refused at {stage}: {code} {self.words}")


def expect(stage: str, code: int, words: bytes, kind: int = 2) -> None:
    """Raises Refused unless the reply is of the kind hoped for."""
    if code // 100 != kind:
        raise Refused(stage, code, words)


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.option("--from", "sender", metavar="ADDRESS", help="Envelope and header sender."),
            click.option("--server", metavar="HOST[:PORT]", help="Server (else the one here)."),
            click.option("--tls", is_flag=True, help="STARTTLS, or fail."),
            click.option("--tls-on-connect", is_flag=True, help="TLS from the start (port 465)."),
            click.option("--verify", is_flag=True, help="The certificate must prove the host."),
            click.option("--user", metavar="LOGIN", help="Log in; the password is asked for."),
            click.option("--password-stdin", is_flag=True, help="Read the password from stdin."),
            click.option(
                "--subject", default="A test from mtad", show_default=True, help="Subject."
            ),
            click.option("--body", default="Just a test.", show_default=True, help="Text."),
            click.option("--header", multiple=True, metavar="'NAME: VALUE'", help="A header line."),
            click.option(
                "--attach",
                multiple=True,
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="A file to attach.",
            ),
            click.option(
                "--data",
                type=click.File("rb"),
                metavar="FILE",
                help="Send this message as it is (- is stdin).",
            ),
            click.option(
                "--helo", default="localhost", show_default=True, help="Our name in EHLO."
            ),
            click.option(
                "--quit-after", type=click.Choice(STAGES[:-2]), help="Go no further than this."
            ),
            click.option(
                "--timeout",
                type=click.IntRange(1, 3600),
                default=TIMEOUT_SECONDS,
                show_default=True,
                help="Seconds to wait for a reply.",
            ),
        )
    ):
        command = option(command)
    return command


@click.command(short_help="Send a test message and show every word.")
@click.argument("recipients", nargs=-1, required=True, metavar="ADDRESS...")
@_options
@json_option
@config_option
@click.pass_context
def send(
    context: click.Context, /, recipients: tuple[str, ...], as_json: bool, **given: Any
) -> None:
    """Send a message by SMTP to ADDRESS and print the dialogue."""
    said: list[str] = []
    host, port = _server(context, given)
    password = _password(given)
    message = _message(recipients, given)
    sender = given["sender"] if given["sender"] is not None else recipients[0]

    def say(line: str) -> None:
        said.append(line)
        if not as_json:
            click.echo(line)

    dialogue = _Dialogue(say, host, port, given, password)
    result: dict[str, Any] = {"schema": 1, "server": f"{host}:{port}", "accepted": False}
    problem: MtadError | None = None
    try:
        result |= dialogue.run(sender, recipients, message)
    except Refused as refused:
        result |= {"stage": refused.stage, "code": refused.code, "reply": refused.words}
        problem = MtadError(safe(str(refused)))
    except (smtplib.SMTPException, OSError) as error:
        result |= {"stage": dialogue.stage, "error": str(error)}
        problem = Unreachable(f"{host}:{port}: {safe(_reason(error))} (at {dialogue.stage})")
    if as_json:
        click.echo(json.dumps({**result, "dialogue": said}, ensure_ascii=False, indent=2))
    if problem is not None:
        raise problem


class _Dialogue:
    """One session from the connection to QUIT; ``stage`` is how far it came."""

    def __init__(
        self, say: Say, host: str, port: int, given: dict[str, Any], password: str
    ) -> None:
        self.stage = "connect"
        self._say, self._host, self._port = say, host, port
        self._given, self._password = given, password

    def run(self, sender: str, recipients: Sequence[str], message: bytes) -> dict[str, Any]:
        """Send. Raises Refused, SMTPException, OSError."""
        with contextlib.closing(self._connect()) as client:
            done = self._talk(client, sender, recipients, message)
            self.stage = "quit"
            with contextlib.suppress(smtplib.SMTPException, OSError):
                client.quit()
            return done

    def _talk(
        self, client: Client, sender: str, recipients: Sequence[str], message: bytes
    ) -> dict[str, Any]:
        given, last = self._given, self._given["quit_after"]
        for stage in STAGES:
            self.stage = stage
            if stage == "ehlo":
                client.hello(given["helo"])
            elif stage == "starttls" and given["tls"]:
                expect("starttls", *client.starttls(context=self._context()))
                self._tell_tls(client)
                client.hello(given["helo"])
            elif stage == "auth" and given["user"]:
                client.is_secret = True
                try:
                    client.login(given["user"], self._password)
                except smtplib.SMTPAuthenticationError as error:
                    words = error.smtp_error
                    raise Refused(
                        "auth", error.smtp_code, words if isinstance(words, bytes) else b""
                    ) from error
                finally:
                    client.is_secret = False
            elif stage == "mail":
                utf8 = not all(map(str.isascii, (sender, *recipients)))
                options = ["SMTPUTF8"] if utf8 and client.has_extn("smtputf8") else []
                client.command_encoding = "utf-8" if utf8 else "ascii"
                expect("mail", *client.mail(sender, options))
            elif stage == "rcpt":
                taken = self._rcpt(client, recipients)
            elif stage == "data":
                code, words = client.docmd("DATA")
                expect("data", code, words, 3)
            elif stage == "dot":
                client.is_body = True
                client.send(_stuffed(message))
                client.is_body = False
                code, words = client.getreply()
                expect("dot", code, words)
                reply = words.decode("utf-8", "replace")
                return {"accepted": True, "code": code, "reply": reply, "recipients": taken}
            if stage == last:
                break
        return {"stage": self.stage, "quit": True}

    def _rcpt(self, client: Client, recipients: Sequence[str]) -> list[str]:
        """The recipients that were accepted; one is enough to go on."""
        taken = []
        for recipient in recipients:
            code, words = client.rcpt(recipient)
            if code // 100 == 2:
                taken.append(recipient)
        if not taken:
            raise Refused("rcpt", code, words)
        return taken

    def _connect(self) -> Client:
        client = Client(self._say, self._given["timeout"])
        self._say(f"=== connecting to {self._host}:{self._port}")
        if self._given["tls_on_connect"]:
            context = self._context()
            plain = client._get_socket  # type: ignore[attr-defined]

            def secure(host: str, port: int, timeout: float) -> ssl.SSLSocket:
                return context.wrap_socket(plain(host, port, timeout), server_hostname=host)

            client._get_socket = secure  # type: ignore[attr-defined]
        client._host = self._host  # type: ignore[attr-defined]
        code, words = client.connect(self._host, self._port)
        if self._given["tls_on_connect"]:
            self._tell_tls(client)
        expect("connect", code, words)
        return client

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if not self._given["verify"]:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _tell_tls(self, client: Client) -> None:
        link = client.sock
        assert isinstance(link, ssl.SSLSocket)
        self._say(f"=== {link.version()} {(link.cipher() or ('',))[0]}")


def _server(context: click.Context, given: dict[str, Any]) -> tuple[str, int]:
    """Where to: as told, else the listener of the settings that fits."""
    service = (
        "submissions" if given["tls_on_connect"] else "submission" if given["user"] else "smtp"
    )
    usual = {"smtp": 25, "submission": 587, "submissions": 465}[service]
    text: str | None = given["server"]
    if text is None:
        try:
            listed = getattr(settings(context).config.listen, service)
        except ConfigError:
            listed = ()
        text = listed[0] if listed else f"127.0.0.1:{usual}"
        text = text.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (":" in host and not host.startswith("[")):
        host, port = text, str(usual)
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"{safe(text)} is not HOST or HOST:PORT")
    return host.strip("[]"), int(port)


def _password(given: dict[str, Any]) -> str:
    if not given["user"]:
        return ""
    if given["password_stdin"]:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UsageError("give the password with --password-stdin")
    return str(click.prompt("Password", hide_input=True, err=True))


def _message(recipients: Sequence[str], given: dict[str, Any]) -> bytes:
    """The message with CRLF: as given in a file, or made."""
    if given["data"] is not None:
        return b"\r\n".join(given["data"].read().splitlines()) + b"\r\n"
    message = EmailMessage(policy=CRLF)
    fields = {
        "From": given["sender"] or recipients[0],
        "To": ", ".join(recipients),
        "Subject": given["subject"],
        "Date": format_datetime(localtime()),
        "Message-ID": make_msgid(),
    }
    for line in given["header"]:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise UsageError(f"{safe(line)!r} is not 'NAME: VALUE'")
        fields = {known: text for known, text in fields.items() if known.lower() != name.lower()}
        fields[name.strip()] = value.strip()
    try:
        for name, value in fields.items():
            message[name] = value
        message.set_content(given["body"])
        for path in given["attach"]:
            kind, _, sub = (mimetypes.guess_type(path)[0] or "application/octet-stream").partition(
                "/"
            )
            message.add_attachment(path.read_bytes(), kind, sub, filename=path.name)
        return message.as_bytes()
    except ValueError as error:
        raise UsageError(f"cannot make this message: {safe(str(error))}") from error


def _stuffed(message: bytes) -> bytes:
    """The message with its dots doubled and its end (RFC 5321 4.5.2)."""
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    return (b"." if stuffed.startswith(b".") else b"") + stuffed + b".\r\n"


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return "the server ended the connection"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
