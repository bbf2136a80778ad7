"""Changes to the transports: what an operator may ask for, checked and written down.

Like every change, each is an event that is durable before it shows, and no event carries a
password (``mtad.directory.changes``).
"""

import ipaddress
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

from mtad import clock
from mtad.directory.changes import ABSENT, Changes, parse_domain
from mtad.directory.tables import transport
from mtad.directory.transports import ANY, Kind, TlsMode, Transport, read
from mtad.errors import NothingFound, UsageError

SMTP, SUBMISSION, SUBMISSIONS, LMTP = 25, 587, 465, 24
"""Ports where none is given: of a smart host, of one with a login, with implicit TLS, of LMTP."""
PLACEHOLDERS = ("{sender}", "{recipient}", "{local}", "{domain}")
"""What a command's words may have in them."""

_ERROR = re.compile(r"[45]\.\d{1,3}\.\d{1,3} [^\x00-\x1f\x7f-\x9f]{1,200}")
_BRACES = re.compile(r"\{[^}]*\}")


class TransportChanges(Changes):
    """The same administrator's changes to transports."""

    def set_transport(self, wanted: Transport) -> str:
        """Make a transport, or put it in the place of the one with its pattern; what was there."""
        row: dict[str, Any] = asdict(wanted) | {
            "argv": json.dumps(wanted.argv, ensure_ascii=False) if wanted.argv else "",
            "added": clock.now_us(),
        }
        with self._change("transport", wanted.pattern, ABSENT, str(wanted)) as change:
            known = {entry.pattern: str(entry) for entry in read(change.connection)}
            change.before = known.get(wanted.pattern, ABSENT)
            columns = transport.c
            change.connection.execute(transport.delete().where(columns.pattern == wanted.pattern))
            change.connection.execute(transport.insert().values(**row))
        return change.before

    def remove_transport(self, given: str) -> None:
        """Take a transport away; its domains are the DNS's again."""
        of = parse_pattern(given)
        with self._change("transport", of, ABSENT, ABSENT) as change:
            known = {entry.pattern: str(entry) for entry in read(change.connection)}
            if of not in known:
                raise NothingFound(f"there is no transport {of}")
            change.before = known[of]
            change.connection.execute(transport.delete().where(transport.c.pattern == of))


def made(
    pattern: str,
    kind: Kind,
    words: Sequence[str],
    *,
    by_mx: bool = False,
    tls: TlsMode = "",
    login: str = "",
    password: str = "",
) -> Transport:
    """A transport as its words say. Raises UsageError with what is wrong."""
    given = Transport(parse_pattern(pattern), kind)
    if kind == "command":
        given = replace(given, argv=_command(words))
    elif kind == "error":
        given = replace(given, text=_text(words))
    elif kind == "mx":
        if words:
            raise UsageError("mx takes no host: the domain's own exchangers are meant")
    else:
        given = _to_host(given, words, by_mx=by_mx, tls=tls, has_login=bool(login))
    if by_mx and kind != "relay":
        raise UsageError("--mx is for relay")
    if tls and (kind in ("command", "error") or given.path):
        raise UsageError("--tls is for connections over a network")
    if tls == "implicit" and kind == "mx":
        raise UsageError("exchangers speak no implicit TLS (RFC 8314 is for submission)")
    if bool(login) != bool(password) or (login and kind != "relay"):
        raise UsageError("--login with --password-stdin is for relay, and one needs the other")
    if any(char < " " or char == "\x7f" for char in login + password):
        raise UsageError("login and password have no control characters")
    return replace(given, tls=tls, login=login, password=password)


def parse_pattern(text: str) -> str:
    """A pattern in normal form. Raises UsageError."""
    if text == ANY:
        return ANY
    return f".{parse_domain(text[1:])}" if text.startswith(".") else parse_domain(text)


def _to_host(
    given: Transport, words: Sequence[str], *, by_mx: bool, tls: TlsMode, has_login: bool
) -> Transport:
    if len(words) != 1:
        raise UsageError(f"{given.kind} takes one place: HOST, HOST:PORT or [ADDRESS]:PORT")
    if given.kind == "lmtp" and words[0].startswith("unix:"):
        path = words[0].removeprefix("unix:")
        if not path.startswith("/") or not path.isprintable():
            raise UsageError(f"{words[0]} is not unix:/PATH")
        return replace(given, path=path)
    host, port = _place(words[0])
    if given.kind == "lmtp":
        usual = LMTP
    else:
        usual = SUBMISSIONS if tls == "implicit" else SUBMISSION if has_login else SMTP
    return replace(given, host=host, port=port or usual, by_mx=by_mx)


def _place(text: str) -> tuple[str, int]:
    """HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT; port 0 where there is none."""
    found = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]+)(?::(\d{1,5}))?", text)
    if found is None or not 0 <= int(found[2] or 0) < 65536:
        raise UsageError(f"{text!r} is not HOST, HOST:PORT or [ADDRESS]:PORT")
    host = found[1]
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        if host.startswith("["):
            raise UsageError(f"{host} is no address in brackets") from None
        return parse_domain(host), int(found[2] or 0)
    return f"[{address}]", int(found[2] or 0)


def _command(words: Sequence[str]) -> tuple[str, ...]:
    if not words or not words[0].startswith("/") or not Path(words[0]).is_file():
        raise UsageError("command takes the full path of a program and its words")
    for word in words:
        unknown = set(_BRACES.findall(word)) - set(PLACEHOLDERS)
        if unknown or "\0" in word:
            known = " ".join(PLACEHOLDERS)
            raise UsageError(f"{word!r}: only {known} are replaced")
    return tuple(words)


def _text(words: Sequence[str]) -> str:
    text = " ".join(words)
    if not _ERROR.fullmatch(text):
        raise UsageError("error takes an enhanced status and a text: 5.1.6 moved to new.example")
    return text


KINDS: tuple[Kind, ...] = get_args(Kind)
TLS_MODES: tuple[TlsMode, ...] = get_args(TlsMode)[1:]
