"""Events of people who log in, and of what we think of clients: auth, limits, checks.

Declared like those of ``tracing.events``, which registers them. No event carries a secret.
"""

from tracing.event import Event, Outcome, declare


@declare("{login} logged in by {mechanism}", Outcome.OK)
class AuthOk(Event, frozen=True, kw_only=True, tag="auth.ok"):
    """A login succeeded; ``trace`` is the connection, ``addr`` the box.

    ``password`` names the app password used, empty for the box's own.
    """

    login: str
    mechanism: str
    service: str = ""
    password: str = ""


@declare("login as {login} by {mechanism} failed: {why}", Outcome.FAIL)
class AuthFail(Event, frozen=True, kw_only=True, tag="auth.fail"):
    """A login failed: wrong password, no such box, mechanism not enabled, malformed.

    The client is told the same in each case; ``why`` is for the log. One wrong password tried
    with several mechanisms on one connection counts once: ``again`` marks the rest.
    """

    login: str
    mechanism: str
    why: str
    service: str = ""
    again: bool = False


@declare("{ip} may not log in until {until}: {why}", Outcome.FAIL)
class AuthBan(Event, frozen=True, kw_only=True, tag="auth.ban"):
    """Too many failures from an address; ``until`` in microseconds."""

    why: str
    until: int


@declare("login as {login} from {ip} is against a network rule: {rule}", Outcome.FAIL)
class AuthRefused(Event, frozen=True, kw_only=True, tag="auth.refused"):
    """A password was right and where it came from was not; ``addr`` is the box.

    ``rule`` is the box's or its domain's, as ``mtad box allow`` shows it.
    """

    login: str
    mechanism: str
    service: str
    rule: str


@declare("{addr} logged out: {why}, {commands:command}, {sent:octet} in {seconds} s")
class AuthLogout(Event, frozen=True, kw_only=True, tag="auth.logout"):
    """A session of somebody who had logged in is over; ``trace`` is the connection.

    ``why`` as in ``conn.close``, or kicked. ``client`` is what the program said of itself.
    ``messages`` were fetched and ``deleted`` were deleted, where the protocol counts them;
    ``received`` and ``sent`` are octets within TLS.
    """

    service: str
    why: str
    client: str = ""
    commands: int = 0
    messages: int = 0
    deleted: int = 0
    received: int = 0
    sent: int = 0
    seconds: float = 0.0


@declare("session of {addr} from {ip} ended by {actor}: {why}", Outcome.DROP)
class AuthKick(Event, frozen=True, kw_only=True, tag="auth.kick"):
    """A session was ended from outside: by an operator, or since a password was changed."""

    service: str
    why: str


@declare("{name}: {found}")
class CheckResult(Event, frozen=True, kw_only=True, tag="check.result"):
    """What a check found, with the evidence, where it was not a refusal by itself.

    ``name`` is the check's; ``found`` what it saw; ``limit`` what would have been too much.
    """

    name: str
    found: str
    limit: str = ""


@declare("{actor} read mail of {addr} in {mailbox}: {reason}")
class AdminRead(Event, frozen=True, kw_only=True, tag="admin.read"):
    """An operator read the text of a message that is not their own, and said why.

    Durable before the text is shown. ``trace`` is the message where it is known, else the
    look's own id; ``mailbox`` is where it lay.
    """

    mailbox: str
    st: int = 0
    reason: str
