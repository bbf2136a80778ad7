"""The sections of the settings that are about reading mail: by IMAP, by POP3, by whom."""

from pydantic import Field, field_validator

from mtad.config_mail import Section, networks_only


class Access(Section):
    """Clients that read mail, by IMAP and POP3."""

    max_connections: int = Field(
        5000, ge=1, description="Connections at the same time, IMAP and POP3 together."
    )
    max_connections_per_ip: int = Field(
        100, ge=1, description="The same, from one address of IPv4 or one /64 of IPv6."
    )
    max_connections_per_user: int = Field(
        50,
        ge=1,
        description="The same, of one user. A mail program opens one for each mailbox it watches.",
    )
    never_limit: tuple[str, ...] = Field(
        ("127.0.0.0/8", "::1/128"),
        description="Networks from which one address may open any number: web mail, for one.",
    )
    proxies: tuple[str, ...] = Field(
        (),
        description="Networks of proxies in front of this server. They must begin each connection "
        "with a PROXY header (version 1 or 2), and the client it names is the one that counts.",
    )
    log_reading: bool = Field(
        True,
        description="Write down who read which message. Logins, flags, moves and deletions are "
        "written down in any case.",
    )

    _check = field_validator("never_limit", "proxies")(networks_only)


class Imap(Section):
    """Reading mail by IMAP."""

    max_message_bytes: int = Field(
        50 * 2**20, ge=65536, description="Largest message a client may store (RFC 7889)."
    )
    clear_text_logins: bool = Field(
        False,
        description="Let clients log in without TLS from anywhere, not just from this machine. "
        "Passwords can then be read on the way.",
    )
    login_timeout_seconds: float = Field(60, ge=1, description="Time for a client to log in.")
    idle_timeout_seconds: float = Field(
        1860,
        ge=1,
        description="Wait for the next command after that (RFC 9051 5.4: at least 1800).",
    )
    keep_alive_seconds: float = Field(
        110,
        ge=1,
        description="How often a client in IDLE is told that the connection is alive, so that no "
        "device on the way forgets it.",
    )
    max_errors: int = Field(
        20, ge=1, description="Commands against the protocol before the connection ends."
    )
    full_text: bool = Field(
        False,
        description="Keep an index of all texts in each box (text.db), so that SEARCH TEXT and "
        "BODY need not read every message. Answers are the same without.",
    )


class Pop3(Section):
    """Fetching mail by POP3."""

    clear_text_logins: bool = Field(
        False,
        description="Let clients log in without TLS from anywhere, not just from this machine. "
        "Passwords can then be read on the way.",
    )
    login_timeout_seconds: float = Field(60, ge=1, description="Time for a client to log in.")
    idle_timeout_seconds: float = Field(
        600, ge=1, description="Wait for the next command after that (RFC 1939 3: at least 600)."
    )
    login_delay_seconds: int = Field(
        0,
        ge=0,
        description="Time from one login of a user to the next (LOGIN-DELAY, RFC 2449 6.5); 0 for "
        "none.",
    )
    keep_fetched_days: int = Field(
        0,
        ge=0,
        le=3650,
        description="For how many days messages stay in the box that POP3 clients deleted. POP3 "
        "shows them no more, IMAP does. 0: they are deleted at once.",
    )
    mark_seen: bool = Field(
        True, description="Mark what a client fetched as read, once it says QUIT."
    )
    max_errors: int = Field(
        20, ge=1, description="Commands against the protocol before the connection ends."
    )
