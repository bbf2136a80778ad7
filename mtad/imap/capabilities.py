"""What is announced, and when (RFC 9051 6.1.1): one table.

A name stands here once the commands behind it work. Before the login only what matters for it
is announced; clients ask again after it, or read the code in its answer.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from mtad.imap.session import ANY, LOGGED_IN, Session, State


@dataclass(frozen=True, slots=True)
class Capability:
    """One name; ``needs`` says of a session whether it is announced there."""

    name: str
    states: State = LOGGED_IN
    needs: Callable[[Session], bool] | None = None


CAPABILITIES = (
    Capability("IMAP4rev1", ANY),
    Capability("IMAP4rev2", ANY),
    Capability("ENABLE", ANY),
    Capability("ID", ANY),
    Capability("IDLE", ANY),
    Capability("LITERAL+", ANY),
    Capability("SASL-IR", ANY),
    Capability("ACL"),
    Capability("RIGHTS=texk"),
    Capability("BINARY"),
    Capability("CATENATE"),
    Capability("CHILDREN"),
    Capability("COMPRESS=DEFLATE", needs=lambda session: not session.connection.is_deflated),
    Capability("CONDSTORE"),
    Capability("CREATE-SPECIAL-USE"),
    Capability("ESEARCH"),
    Capability("ESORT"),
    Capability("I18NLEVEL=1"),
    Capability("LIST-EXTENDED"),
    Capability("LIST-METADATA"),
    Capability("LIST-MYRIGHTS"),
    Capability("LIST-STATUS"),
    Capability("METADATA"),
    Capability("MOVE"),
    Capability("MULTIAPPEND"),
    Capability("NAMESPACE"),
    Capability("NOTIFY"),
    Capability("OBJECTID"),
    Capability("PARTIAL"),
    Capability("PREVIEW"),
    Capability("QRESYNC"),
    Capability("QUOTA"),
    Capability("QUOTA=RES-MESSAGE"),
    Capability("QUOTA=RES-STORAGE"),
    Capability("REPLACE"),
    Capability("SAVEDATE"),
    Capability("SEARCHRES"),
    Capability("SORT"),
    Capability("SPECIAL-USE"),
    Capability("STATUS=SIZE"),
    Capability("THREAD=ORDEREDSUBJECT"),
    Capability("THREAD=REFERENCES"),
    Capability("UIDONLY"),
    Capability("UIDPLUS"),
    Capability("UNSELECT"),
    Capability("UTF8=ACCEPT"),
    Capability("WITHIN"),
)


def of(session: Session) -> bytes:
    """The capabilities of a session as they are, as in CAPABILITY's answer."""
    state = session.state
    names = [
        one.name
        for one in CAPABILITIES
        if one.states & state and (one.needs is None or one.needs(session))
    ]
    if state is State.NOT_AUTHENTICATED:
        if session.service.tls is not None and not session.connection.is_tls:
            names.append("STARTTLS")
        mechanisms = login_mechanisms(session)
        if "PLAIN" not in mechanisms:
            names.append("LOGINDISABLED")
        names += [f"AUTH={name}" for name in mechanisms]
    else:
        names.append(f"APPENDLIMIT={session.service.limits.max_message_bytes}")
    return " ".join(names).encode()


def login_mechanisms(session: Session) -> tuple[str, ...]:
    """The SASL mechanisms a client may use now; none while its password could be overheard."""
    connection, service = session.connection, session.service
    if not (connection.is_tls or service.limits.clear_text_logins or is_local(session.ip)):
        return ()
    return service.logins.offered(connection.bindings())


def is_local(ip: str) -> bool:
    """Whether a client is on this machine; what is no address is a socket of this machine."""
    try:
        return ipaddress.ip_address(ip).is_loopback
    except ValueError:
        return not ip
