"""What mail systems say in plain words, as enhanced status codes (RFC 3463; PURE).

The first phrase that fits decides, so the particular stands before the general.
"""

import re

MAX_TEXT = 1024
"""Characters that are looked at."""

_PHRASES: tuple[tuple[str, str], ...] = (
    ("2.2", r"quota|(?:box(?:es)?|folder)\b.{0,40}\bfull|full mailbox|mailbox.?full"),
    ("2.2", r"(?:mail)?box(?: size)?.{0,30}exceed|exceed.{0,30}(?:storage|mailbox)|inbox is full"),
    ("2.2", r"insufficient (?:disk |storage|mailbox)|not enough (?:disk |storage )?space"),
    ("2.2", r"переполнен"),
    ("3.4", r"message.{0,30}too (?:large|big|long)|exceed.{0,40}(?:message )?size|size limit"),
    ("3.4", r"message size|too large|слишком большо"),
    ("4.6", r"too many hops|routing loop|mail loop|loops? back|loop (?:detected|count)"),
    ("1.10", r"no smtp service|does not accept (?:any )?mail|null mx"),
    ("1.2", r"(?:unknown|no such|bad|invalid) (?:host|domain)|host unknown|host or domain name"),
    ("1.2", r"(?:host|domain)\b.{0,40}(?:not found|does(?: not|n't) exist)|couldn't find any host"),
    ("1.2", r"nxdomain|name or service not known|no mail hosts|unknown mail domain"),
    ("4.4", r"unrout(?:e)?able|no (?:mx|route)|mx (?:record|list)|cannot route|unable to route"),
    ("1.8", r"sender (?:address )?(?:rejected|verify failed|denied)|invalid sender|bad sender"),
    ("2.1", r"(?:account|mailbox|user|recipient|address)\b.{0,60}(?:disabled|inactive|suspended)"),
    ("2.1", r"(?:account|mailbox|user|address)\b.{0,60}(?:discontinued|deactivated|not active)"),
    ("2.1", r"no longer (?:active|available|in use|valid|on server|employed|accept)|frozen"),
    ("2.1", r"заблокирован"),
    ("1.1", r"(?:unknown|no such|invalid|bad|not a valid) ?-?(?:user|mailbox|recipient|address)"),
    ("1.1", r"(?:unknown|no such|invalid|nonexistent) (?:final|local|account|person|people)"),
    (
        "1.1",
        r"(?:user|userid|recipient|mailbox|account|address|addressee|name|alias|id)\b.{0,100}"
        r"(?:unknown|not (?:be )?(?:found|known|listed|valid|recogni[sz]ed|exist)|invalid"
        r"|incorrect|does(?:n't| not) (?:exist|have)|isn't|not our|no (?:valid|mailbox))",
    ),
    ("1.1", r"(?:could not|couldn't|cannot) (?:be )?(?:find|found)|not (?:our|a) (?:custom|user)"),
    ("1.1", r"no mailbox|not listed in|doesn't have an? |mailbox unavailable|n'existe pas"),
    ("1.1", r"не существует|не найден|неизвестн"),
    ("4.1", r"connection (?:timed out|refused|reset|.{0,30}failed)|not respond|not reachable"),
    ("4.1", r"(?:unable to|can(?:not|'t)|couldn't) (?:connect|establish)|unreachable|no answer"),
    ("4.2", r"connection (?:dropped|died|lost|closed)|lost connection|broken pipe|read error"),
    ("4.7", r"timed? ?out|expired|too long in the queue|for the last \d+ sec|failing for a long"),
    ("7.10", r"starttls|(?:tls|encryption) (?:is )?required"),
    ("7.26", r"\b(?:dmarc|dkim|spf)\b|unauthenticated email"),
    ("7.1", r"spam|black.?list|block.?list|\bblocked\b|unsolicited|virus|malware|спам"),
    ("7.1", r"\brelay|denied|refused|prohibited|not (?:allowed|permitted|authori[sz]ed|accept)"),
    ("7.1", r"policy|reject|banned|forbidden|отклонен|отвергнут|запрещ"),
    ("3.2", r"try again later|temporar|system not accepting|service unavailable|too busy"),
)
_COMPILED = tuple((detail, re.compile(phrase, re.IGNORECASE)) for detail, phrase in _PHRASES)

_ENHANCED = re.compile(r"(?<![\w./=])([245])\.([0-9]{1,2})\.([0-9]{1,3})(?![\w:/=-]|\.\w)")
_REPLY = re.compile(r"(?<![\w.])([45])[0-7][0-9](?=[ :;,)-]|$)")
_DELAY = re.compile(
    r"\bdelayed\b|not yet been delivered|has not been (?:able to be )?delivered (?:yet|for)"
    r"|will (?:continue|keep|retry|be retried|be resent|try)|(?:still|continue) (?:be )?(?:to )?tr"
    r"|no action is required|warning message only|temporarily deferred|still undelivered"
    r"|попытки.{0,20}продолж|задерж",
    re.IGNORECASE,
)
_FINAL = re.compile(
    r"giv(?:en|ing) up|permanent|could not be delivered to one or more|is a permanent error"
    r"|no longer|cancell?ed|will not be retried|undeliverable",
    re.IGNORECASE,
)


def detail(text: str) -> str:
    """Subject and detail of the status the words stand for, ``""`` where none is known."""
    text = text[:MAX_TEXT]
    return next((found for found, phrase in _COMPILED if phrase.search(text)), "")


def enhanced(text: str) -> str:
    """The enhanced status code in a text; an IP address or a version is none."""
    found = _ENHANCED.search(text[:MAX_TEXT])
    return f"{found[1]}.{found[2]}.{found[3]}" if found else ""


def is_delay(text: str) -> bool:
    """Whether the words tell of a delay and of no end."""
    return bool(_DELAY.search(text[:MAX_TEXT])) and not _FINAL.search(text[:MAX_TEXT])


def status(text: str, *, delayed: bool = False) -> str:
    """The status a text tells: by its code, else by its reply code and its words."""
    if code := enhanced(text):
        return code
    reply = _REPLY.search(text[:MAX_TEXT])
    kind = reply[1] if reply else "5"
    return f"{'4' if delayed else kind}.{detail(text) or '0.0'}"
