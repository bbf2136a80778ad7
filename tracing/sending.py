"""Events of mail that leaves: the queue, attempts at remote servers, reports about delivery.

Declared like those of ``tracing.events``, which registers them. ``trace`` is the message,
``n`` the recipient, ``addr`` its final address. An attempt is numbered within its recipient
by ``attempt``, from 1; ``out.*`` events that concern the connection alone carry ``n`` = 0 and
list the recipients' messages in ``also`` where there is more than one.
"""

from tracing.event import Event, Outcome, counted, declare

# ------------------------------------------------------------------- the queue


@declare("queued for {addr}, next try at once")
class QueueAdd(Event, frozen=True, kw_only=True, tag="queue.add"):
    """A recipient elsewhere is to be delivered to; durable together with the acceptance.

    ``original`` is the address as given in RCPT when it led to another; ``sender`` the
    reverse-path to use when it is not the message's own (a forward's, RFC 5321 4.4 and SRS),
    with ``resent`` set, and ``came_from`` the message's own then, if lower case is not all of
    it. ``notify`` (comma-separated), ``orcpt``, ``ret`` and ``envid`` are those
    of RFC 3461; ``body`` is 8BITMIME or empty; ``priority`` is higher for what goes first.
    ``next_try`` is when it is due, microseconds.
    """

    original: str = ""
    sender: str = ""
    resent: bool = False
    came_from: str = ""
    notify: str = ""
    orcpt: str = ""
    ret: str = ""
    envid: str = ""
    body: str = ""
    smtputf8: bool = False
    requiretls: bool = False
    priority: int = 0
    next_try: int = 0


@declare("held: {why}", Outcome.HOLD)
class QueueHold(Event, frozen=True, kw_only=True, tag="queue.hold"):
    """A queued recipient waits until someone releases it; ``why`` names the rule or the person."""

    why: str


@declare("released by {actor}")
class QueueRelease(Event, frozen=True, kw_only=True, tag="queue.release"):
    """A held recipient may go; due at ``next_try``, microseconds."""

    next_try: int


@declare("to be tried at once, by {actor}")
class QueueRetry(Event, frozen=True, kw_only=True, tag="queue.retry"):
    """Someone did not want to wait for the schedule; due at ``next_try``, microseconds."""

    next_try: int


@declare("dropped by {actor}: {why}", Outcome.DROP)
class QueueDrop(Event, frozen=True, kw_only=True, tag="queue.drop"):
    """A queued recipient was cancelled by an operator; the sender is not told."""

    why: str = ""


@declare("returned to the sender by {actor}: {why}", Outcome.FAIL)
class QueueBounce(Event, frozen=True, kw_only=True, tag="queue.bounce"):
    """A queued recipient was ended by an operator; the sender is told."""

    why: str = ""


@declare("redirected from {was} to {addr} by {actor}")
class QueueRedirect(Event, frozen=True, kw_only=True, tag="queue.redirect"):
    """A queued recipient has another address from here on; ``addr`` is the new one.

    Due at ``next_try``, microseconds; 0 when a message of its own goes to an address of ours.
    """

    was: str
    next_try: int


@declare("given up after {hours:hour} and {tries:try|tries}: {reply}", Outcome.FAIL)
class QueueExpire(Event, frozen=True, kw_only=True, tag="queue.expire"):
    """The schedule's end; ``reply``, ``code``, ``enh`` and ``host`` are of the last attempt."""

    hours: int
    tries: int


# -------------------------------------------------------------------- attempts


@declare("{domain}: {found}")
class OutDns(Event, frozen=True, kw_only=True, tag="out.dns"):
    """Where mail for a domain goes.

    ``found`` lists hosts in the order they will be tried, or says what was wrong; ``why`` is
    mx, address, null mx, smart host, transport, literal, or the DNS error; ``secure`` tells that
    the answer was authenticated (DNSSEC).
    """

    domain: str
    found: str
    why: str = ""
    secure: bool = False


@declare("connecting to {host} [{ip}]:{port}")
class OutTry(Event, frozen=True, kw_only=True, tag="out.try"):
    """A connection to a remote server is tried, or one already open is used again.

    ``cn`` is the outbound connection; ``reused`` counts the messages it carried before.
    """

    cn: int
    port: int = 25
    reused: int = 0
    source: str = ""

    def __str__(self) -> str:
        if not self.reused:
            return Event.__str__(self)
        carried = counted(self.reused, "message")
        return f"the connection to {self.host} [{self.ip}]:{self.port} again, after {carried}"


@declare("{version} {cipher} with {host}: {verdict}")
class OutTls(Event, frozen=True, kw_only=True, tag="out.tls"):
    """TLS with the remote, or why there is none.

    ``policy`` is none, opportunistic, mta-sts, dane, required; ``verdict`` says what the
    certificate proved (trusted, self-signed, wrong name, expired, dane match ...) or what failed;
    ``version`` and ``cipher`` are empty where there is no TLS. The rest is for the reports of RFC
    8460: the recipients' ``domain``, the address sent from, the result type of a ``failure``, and
    the policy's own words.
    """

    cn: int
    policy: str
    verdict: str
    version: str = ""
    cipher: str = ""
    domain: str = ""
    source: str = ""
    failure: str = ""
    rules: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.version:
            return Event.__str__(self)
        return f"no TLS with {self.host}: {self.verdict}"


@declare("{host} took it: {reply}", Outcome.OK)
class OutDelivered(Event, frozen=True, kw_only=True, tag="out.delivered"):
    """The remote server took responsibility; its words are kept as they were.

    ``code``, ``enh``, ``reply``, ``host`` and ``ip`` are the remote's; ``rqid`` its queue id
    where the reply tells one; ``tls`` version and cipher or empty. Times in milliseconds: ``wait``
    from acceptance to this attempt, ``connect``, ``ms`` from MAIL to the reply. ``lmtp`` marks a
    reply of LMTP (delivered, not relayed).
    """

    attempt: int
    cn: int = 0
    rqid: str = ""
    tls: str = ""
    verdict: str = ""
    wait: float = 0.0
    connect: float = 0.0
    ms: float = 0.0
    lmtp: bool = False


@declare("put off at {stage}: {reply}{why}", Outcome.DEFER)
class OutDeferred(Event, frozen=True, kw_only=True, tag="out.deferred"):
    """An attempt failed for now; due again at ``next_try``, microseconds, 0 when that was the last.

    ``stage`` is dns, policy, connect, banner, ehlo, starttls, tls, auth, mail, rcpt, data, dot or
    quit; ``reply`` is the remote's, ``why`` our words where there was no reply.
    """

    attempt: int
    stage: str
    next_try: int
    why: str = ""
    cn: int = 0
    tls: str = ""


@declare("failed for good at {stage}: {reply}{why}", Outcome.FAIL)
class OutFailed(Event, frozen=True, kw_only=True, tag="out.failed"):
    """A recipient cannot be delivered to; fields as in ``out.deferred``."""

    attempt: int
    stage: str
    why: str = ""
    cn: int = 0
    tls: str = ""


@declare("what was said with {host}")
class OutTranscript(Event, frozen=True, kw_only=True, tag="out.transcript"):
    """The dialogue of a session that did not end well, without the message and secrets.

    Lines in order, ``> `` ours, ``< `` theirs, ``* `` what happened; cut in the middle when long.
    """

    cn: int
    lines: tuple[str, ...]


# --------------------------------------------------------------------- reports


@declare("{what} report for {addr} made: {report}")
class DsnMade(Event, frozen=True, kw_only=True, tag="dsn.made"):
    """A delivery status notification about this recipient was made (RFC 3464).

    ``what`` is failed, delayed, delivered, relayed or expanded; ``report`` the id, as text, of
    the message that carries it.
    """

    what: str
    report: str


@declare("no {what} report for {addr}: {why}")
class DsnSuppressed(Event, frozen=True, kw_only=True, tag="dsn.suppressed"):
    """A notification was not made: null sender, NOTIFY=NEVER, not asked for."""

    what: str
    why: str


@declare("{reporter} says of {addr}: {action} {enh} {diagnostic}")
class DsnGot(Event, frozen=True, kw_only=True, tag="dsn.got"):
    """A notification from elsewhere tells of this recipient; ``trace`` is the original message.

    ``report`` is the id, as text, of the message that brought it; ``by`` how it was matched:
    token, envelope id, queue id or message id.
    """

    action: str
    report: str
    by: str
    reporter: str = ""
    diagnostic: str = ""

    def __str__(self) -> str:
        said = " ".join(filter(None, (self.action, self.enh, self.diagnostic)))
        return f"{self.reporter or 'somebody'} says of {self.addr or 'a recipient'}: {said}"


@declare("{what} report from {reporter}: {summary}")
class ReportGot(Event, frozen=True, kw_only=True, tag="report.got"):
    """An abuse report (ARF, RFC 5965) or disposition notification (MDN, RFC 8098) came.

    ``what`` is arf or mdn; ``trace`` the original message where it was found, else the
    message that brought the report.
    """

    what: str
    summary: str
    report: str = ""
    reporter: str = ""
