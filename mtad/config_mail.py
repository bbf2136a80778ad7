"""The sections of the settings that are about mail on its way: in, through, and out."""

import ipaddress
import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Mechanism = Literal[
    "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "OAUTHBEARER", "PLAIN", "LOGIN", "CRAM-MD5"
]
"""The SASL mechanisms there are (``mtad.sasl.mechanisms``)."""
LMTP = "lmtp"
"""The service that may listen on unix sockets."""

_RULE = re.compile(r"to:[^\s@]*@[^\s@]+|from:([^\s@]*@[^\s@]+|<>)")


class Section(BaseModel):
    """A table of the settings file; unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _endpoints(given: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    for text in given:
        if info.field_name == LMTP and is_path(text):
            continue
        host, _, port = text.rpartition(":")
        try:
            ipaddress.ip_address(host.strip("[]"))
            good = 0 < int(port) < 65536
        except ValueError:
            good = False
        if not good:
            raise ValueError(f"{text!r} is not ADDRESS:PORT, like 0.0.0.0:25 or [::]:25")
    return given


def is_path(endpoint: str) -> bool:
    """Whether a service listens on a unix socket."""
    return "/" in endpoint and "\0" not in endpoint


def networks_only(given: tuple[str, ...]) -> tuple[str, ...]:
    """Networks, each well written, as they are. Raises ValueError."""
    for text in given:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise ValueError(f"{text!r} is not a network, like 192.0.2.0/24") from error
    return given


class Listen(Section):
    """Where each service listens, as ADDRESS:PORT. An empty list switches a service off."""

    smtp: tuple[str, ...] = Field(("0.0.0.0:25",), description="Mail from other servers.")
    lmtp: tuple[str, ...] = Field(
        (),
        description="Mail from other servers of your own, like Postfix or Mailman, by LMTP (RFC "
        "2033). The path of a unix socket, with a / in it and relative to this file, is as good "
        "as ADDRESS:PORT.",
    )
    submission: tuple[str, ...] = Field(
        ("0.0.0.0:587",), description="Mail from our users, STARTTLS."
    )
    submissions: tuple[str, ...] = Field(
        ("0.0.0.0:465",), description="Mail from our users, TLS from the start."
    )
    imap: tuple[str, ...] = Field(("0.0.0.0:143",), description="IMAP, STARTTLS.")
    imaps: tuple[str, ...] = Field(("0.0.0.0:993",), description="IMAP over TLS.")
    pop3: tuple[str, ...] = Field(("0.0.0.0:110",), description="POP3, STLS.")
    pop3s: tuple[str, ...] = Field(("0.0.0.0:995",), description="POP3 over TLS.")
    managesieve: tuple[str, ...] = Field(
        ("0.0.0.0:4190",), description="ManageSieve. Not served yet."
    )

    _check = field_validator("*")(_endpoints)


class Smtp(Section):
    """Receiving mail from other servers."""

    max_message_bytes: int = Field(
        50 * 2**20, ge=65536, description="Largest message, announced as SIZE (RFC 1870)."
    )
    max_recipients: int = Field(
        1000, ge=100, description="Recipients per message (RFC 5321 4.5.3.1.8: at least 100)."
    )
    max_connections: int = Field(
        5000, ge=1, description="Connections at the same time, all services of [smtp] together."
    )
    max_connections_per_ip: int = Field(
        100, ge=1, description="The same, from one address of IPv4 or one /64 of IPv6."
    )
    max_connections_per_network: int = Field(
        250, ge=1, description="The same, from one /24 of IPv4 or one /48 of IPv6."
    )
    max_connections_per_minute_per_ip: int = Field(
        300, ge=0, description="Connections from one address within a minute; 0 for no limit."
    )
    max_connections_per_minute_per_network: int = Field(
        1000, ge=0, description="The same, from one network."
    )
    max_messages_per_hour_per_ip: int = Field(
        5000, ge=0, description="Messages from one address within an hour; 0 for no limit."
    )
    max_recipients_per_hour_per_ip: int = Field(
        20_000,
        ge=0,
        description="Recipients that one address names within an hour, unknown ones included; 0 "
        "for no limit.",
    )
    never_limit: tuple[str, ...] = Field(
        ("127.0.0.0/8", "::1/128"),
        description="Networks to whose clients no limit for an address or a network applies.",
    )
    max_messages_per_connection: int = Field(
        10_000, ge=1, description="Messages on one connection before 421."
    )
    max_errors: int = Field(20, ge=1, description="Negative replies before the connection ends.")
    tarpit_after_errors: int = Field(
        5, ge=0, description="Negative replies before each further one is delayed."
    )
    tarpit_max_seconds: float = Field(
        8,
        ge=0,
        le=60,
        description="The longest of these delays: they begin with half a second and double. 0 for "
        "none.",
    )
    strict_pipelining: bool = Field(
        True,
        description="End connections whose client sends on where it must wait for a reply (RFC "
        "2920 3.1).",
    )
    command_timeout_seconds: float = Field(
        300, ge=1, description="Wait for the next command (RFC 5321 4.5.3.2.7: at least 300)."
    )
    data_timeout_seconds: float = Field(
        180, ge=1, description="Wait for the next piece of a message (RFC 5321 4.5.3.2.5)."
    )
    min_data_rate: int = Field(
        100,
        ge=0,
        description="Octets of a message in a second, on average after the first minute; 0 for "
        "any.",
    )
    max_session_seconds: float = Field(
        7200, ge=60, description="Length of a connection, whatever it is used for."
    )
    proxies: tuple[str, ...] = Field(
        (),
        description="Networks of proxies in front of this server. They must begin each connection "
        "with a PROXY header (version 1 or 2), and the client it names is the one that counts.",
    )

    _check = field_validator("proxies", "never_limit")(networks_only)


class Lmtp(Section):
    """Mail by LMTP. The limits of [smtp] for addresses and networks do not apply to it."""

    trusted_networks: tuple[str, ...] = Field(
        ("127.0.0.0/8", "::1/128"),
        description="Who may hand over mail, like 10.1.0.5/32. On a unix socket it is whoever may "
        "enter its folder.",
    )

    _check = field_validator("trusted_networks")(networks_only)


class Submission(Section):
    """Taking mail from our own users, to anywhere."""

    own_addresses_only: bool = Field(
        True,
        description="Users send only as their own address and the aliases that lead to it, in "
        "MAIL FROM and in the From header.",
    )
    trusted_networks: tuple[str, ...] = Field(
        (),
        description="Clients that need neither TLS nor a login, like 10.1.0.0/16. Whoever is in "
        "them sends as anyone to anywhere.",
    )
    pop_before_smtp: bool = Field(
        False,
        description="Take mail without a login from an address that a box was read from by POP3 "
        "or IMAP a short while ago. For devices that can do nothing better.",
    )
    pop_before_smtp_minutes: int = Field(
        10, ge=1, le=1440, description="How long a short while is."
    )
    max_messages_per_hour: int = Field(
        300, ge=0, description="Messages from one user within an hour; 0 for no limit."
    )
    max_recipients_per_hour: int = Field(
        1000, ge=0, description="Recipients of one user within an hour; 0 for no limit."
    )
    drop_dir: str = Field(
        "",
        description="Where programs on this machine leave messages ('mtad sendmail'); relative to "
        "this file. Empty: drop in data_dir.",
    )

    _check = field_validator("trusted_networks")(networks_only)


class Auth(Section):
    """Logins: how, and what becomes of those who guess."""

    mechanisms: tuple[Mechanism, ...] = Field(
        ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "OAUTHBEARER", "PLAIN", "LOGIN", "CRAM-MD5"),
        description="SASL mechanisms that may be offered, over TLS only. CRAM-MD5 is offered while "
        "'mtad box cram' has enabled it for some box, OAUTHBEARER while something can validate "
        "tokens.",
    )
    fail_delay_seconds: float = Field(
        2.0, ge=0, le=30, description="Wait before a failed login is answered."
    )
    max_failures_per_ip: int = Field(
        10, ge=0, description="Failed logins from one client before it is banned; 0 for never."
    )
    max_failures_per_login: int = Field(
        50,
        ge=0,
        description="Failed logins of one user before unknown clients are banned from it; 0 for "
        "never.",
    )
    failure_minutes: int = Field(10, ge=1, description="Within how long that many must fail.")
    ban_minutes: int = Field(15, ge=1, description="How long a ban lasts.")
    never_ban: tuple[str, ...] = Field(
        ("127.0.0.0/8", "::1/128"), description="Networks whose clients are never banned."
    )
    remember_minutes: int = Field(
        5,
        ge=0,
        description="For how long a password that was right is known again without the cost of "
        "hashing it; 0 for never.",
    )

    _check = field_validator("never_ban")(networks_only)


class Dns(Section):
    """Whom to ask for names."""

    nameservers: tuple[str, ...] = Field(
        (), description="Addresses of name servers; none means those of the system."
    )
    port: int = Field(53, ge=1, le=65535, description="Their port, where they are given here.")
    timeout_seconds: float = Field(
        10.0, gt=0, le=60, description="Time for one question, all name servers together."
    )
    validates: bool = Field(
        False,
        description="The name servers validate DNSSEC and the way to them is safe (best: one on "
        "this machine); needed for DANE.",
    )

    @field_validator("nameservers")
    @classmethod
    def _addresses(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for text in given:
            _address(text)
        return given


def _address(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IP address") from error


class Outbound(Section):
    """Sending mail to other servers. Smart hosts and other transports: 'mtad transport'."""

    port: int = Field(
        25, ge=1, le=65535, description="Port of other servers' MX; another one only for tests."
    )
    ip_versions: tuple[Literal["ipv4", "ipv6"], ...] = Field(
        ("ipv4", "ipv6"), min_length=1, description="Used in turn, the first one first."
    )
    source_ipv4: str = Field("", description="Address to send from; empty: the system's choice.")
    source_ipv6: str = Field("", description="The same for IPv6.")
    tls: Literal["none", "opportunistic", "required", "verify"] = Field(
        "opportunistic",
        description="TLS with servers that no policy of theirs (MTA-STS, DANE) and no transport "
        "decides about. opportunistic: encrypt where offered, else send in clear text; required: "
        "encrypt or wait; verify: the certificate must be valid for the MX too.",
    )
    mta_sts: bool = Field(True, description="Obey other domains' MTA-STS policies (RFC 8461).")
    tls_reports: bool = Field(
        True,
        description="Tell domains that ask for it how TLS with their servers went, once a day (RFC "
        "8460).",
    )
    ca_file: str = Field(
        "",
        description="Further certification authorities, PEM, beside those of the system; relative "
        "to this file.",
    )
    max_connections: int = Field(100, ge=1, description="Connections at the same time.")
    max_connections_per_destination: int = Field(
        20, ge=1, description="The same, to one destination; reached in steps while all goes well."
    )
    max_messages_per_connection: int = Field(
        100, ge=1, description="Messages on one connection before another one is made."
    )
    max_recipients: int = Field(
        100, ge=1, description="Recipients of one transaction; more are sent in several."
    )
    idle_seconds: float = Field(
        5.0, ge=0, le=300, description="How long an unused connection is kept for another message."
    )
    connect_timeout_seconds: float = Field(30, gt=0, description="To be connected.")
    command_timeout_seconds: float = Field(
        300, gt=0, description="For the banner and for replies (RFC 5321 4.5.3.2)."
    )
    data_timeout_seconds: float = Field(120, gt=0, description="For the reply to DATA.")
    block_timeout_seconds: float = Field(180, gt=0, description="For a block of a message.")
    dot_timeout_seconds: float = Field(600, gt=0, description="For the reply to a whole message.")

    @field_validator("source_ipv4", "source_ipv6")
    @classmethod
    def _sources(cls, given: str) -> str:
        if given:
            _address(given)
        return given


class Dkim(Section):
    """Signing mail that leaves us. The keys: 'mtad dkim'."""

    sign: bool = Field(
        True, description="Sign mail of our users and our own, for domains that have keys."
    )
    wait_hours: int = Field(
        24,
        ge=0,
        description="Hours from 'mtad dkim rotate' until the new keys sign: time to publish them.",
    )
    keep_days: int = Field(
        7, ge=0, description="Days for which a key that signs no more must stay published."
    )


class Queue(Section):
    """Mail that waits to leave. What is done to it by hand: 'mtad queue'."""

    retry_minutes: tuple[float, ...] = Field(
        (5, 10, 20, 40, 60, 120, 240),
        min_length=1,
        description="Time from one try to the next, spread by a tenth; the last one goes on.",
    )
    give_up_after_hours: float = Field(
        120, gt=0, le=8760, description="Age at which mail goes back to its sender."
    )
    warn_after_hours: float = Field(
        4, ge=0, le=8760, description="Age at which its sender is told of the delay; 0 for never."
    )
    report_language: Literal["en", "ru", "both"] = Field(
        "en",
        description="What such reports are written in; 'mtad box language' sets it for one box.",
    )
    hold: tuple[str, ...] = Field(
        (),
        description="What waits until 'mtad queue release': to: or from: with an address or a "
        "@domain (what lies below it too), from:<> for mail without a sender.",
    )

    @field_validator("retry_minutes")
    @classmethod
    def _minutes(cls, given: tuple[float, ...]) -> tuple[float, ...]:
        for minutes in given:
            if not 0.01 <= minutes <= 14400:
                raise ValueError(f"{minutes} is not a number of minutes from 0.01 to 14400")
        return given

    @field_validator("hold")
    @classmethod
    def _rules(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for rule in given:
            if not _RULE.fullmatch(rule):
                raise ValueError(f"{rule!r} is no rule, like to:@example.org or from:a@example.org")
        return given
