"""An example of every event, and the unit of every field that has one (PURE).

Made of one value for each field's name, so that a further event has an example at once; what a
name means otherwise in some event stands in ``_OF_KIND``.
"""

from typing import Any

import msgspec

from tracing.events import COLUMNS, REGISTRY, Event, Item, Recipient

AT = 1_795_510_800_000_000
"""2026-11-24T09:00:00Z in microseconds."""
TRACE = 386_017_155_507_322_880

UNITS = {
    "at": "µs since 1970 (UTC)",
    "next_try": "µs since 1970 (UTC)",
    "until": "µs since 1970 (UTC)",
    "ms": "ms",
    "wait": "ms",
    "connect": "ms",
    "seconds": "s",
    "hours": "h",
    "days": "days",
    "size": "octets",
    "stored": "octets",
    "received": "octets",
    "sent": "octets",
    "trace": "id",
    "cn": "id",
    "st": "id",
    "parent": "id",
    "also": "ids",
}
"""By a field's name; the rest are texts and plain numbers."""

_COLUMNS: dict[str, Any] = {"at": AT, "trace": TRACE}

_VALUES: dict[str, Any] = {
    "action": "failed",
    "acl": ("boris@example.org lr",),
    "added": ("\\Seen",),
    "after": "true",
    "argument": "RCPT TO:<nobody@example.org>",
    "attempt": 1,
    "base": "1795510800.0ampq94g00001.mx,S=2000,W=2050",
    "before": "false",
    "boxes": 2,
    "by": "token",
    "check": "unknown_box",
    "cipher": "TLS_AES_256_GCM_SHA384",
    "client": "imap Thunderbird 128 from 192.0.2.44",
    "cn": TRACE - 1,
    "commands": 5,
    "connect": 12.5,
    "count": 1,
    "damaged": 0,
    "days": 7,
    "deleted": 1,
    "diagnostic": "smtp; 552 5.2.2 Mailbox full",
    "domain": "example.net",
    "fields": "{}",
    "first": 1,
    "found": "mx1.example.net, mx2.example.net",
    "frames": 3,
    "had": "lr",
    "header_from": "Boris <boris@example.net>",
    "helo": "mx.example.net",
    "hours": 120,
    "items": (Item(TRACE + 1, TRACE, 7, "1795510800.0ampq94g00001.mx,S=2000,W=2050"),),
    "lines": ("> MAIL FROM:<anna@example.org>", "< 451 4.3.0 later"),
    "listener": "0.0.0.0:25",
    "login": "anna@example.org",
    "lost": "conn.open",
    "mailbox": "INBOX",
    "mechanism": "SCRAM-SHA-256",
    "message_id": "<1@example.net>",
    "messages": 1,
    "ms": 4.2,
    "name": "anna@example.org",
    "next_try": AT + 300_000_000,
    "objects": 120,
    "original": "sales@example.org",
    "planned": 1,
    "policy": "mta-sts",
    "query": "to:anna@example.org",
    "recipients": (Recipient(1, "anna@example.org", "sales@example.org"),),
    "rel": "dsn",
    "removed": (),
    "repaired": 0,
    "report": "0ampq94g00002",
    "reporter": "mx.example.net",
    "restored": 1,
    "rights": "lrs",
    "role": "mta",
    "rqid": "4XkT1234z",
    "rule": "192.0.2.0/24",
    "scope": "all boxes",
    "seen": True,
    "service": "submission",
    "sha256": "ab" * 32,
    "size": 2000,
    "skipped": 0,
    "snapshot": "20261124T030000",
    "st": TRACE + 1,
    "stage": "rcpt",
    "subject": "Plan",
    "subjects": ("Plan",),
    "summary": "spam",
    "target": "Archive",
    "tls": "TLSv1.3 TLS_AES_256_GCM_SHA384",
    "tries": 9,
    "unsent": "250 2.0.0 queued as 0ampq94g00000",
    "until": AT + 900_000_000,
    "uses": ("\\Sent",),
    "verdict": "trusted",
    "version": "TLSv1.3",
    "wait": 150.0,
    "was": (TRACE + 2,),
    "what": "failed",
    "who": "boris@example.org",
    "why": "quit",
}

_OF_KIND: dict[str, dict[str, Any]] = {
    "admin.change": {"what": "box"},
    "audit.violation": {"what": "the file 1.x in anna@example.org/INBOX is not explained"},
    "auth.ban": {"why": "10 failed logins"},
    "auth.fail": {"why": "wrong password"},
    "auth.kick": {"why": "the password was changed"},
    "backup.done": {"added": 12},
    "backup.fail": {"why": "no space left on the device"},
    "backup.held": {"why": "case 7"},
    "backup.pruned": {"removed": 4, "freed": 52_428_800},
    "box.mailbox": {"what": "created"},
    "check.result": {"name": "hourly_limit", "found": "290 messages"},
    "conn.refused": {"why": "too many connections"},
    "dsn.suppressed": {"why": "null sender"},
    "mail.imported": {
        "source": "mail.log.1.gz",
        "server": "mx.old.example",
        "key": "4XkT1234z",
        "lines": (120, 121, 126),
    },
    "queue.bounce": {"why": "no such customer any more"},
    "queue.drop": {"why": "spam"},
    "queue.hold": {"why": "to:@example.net"},
    "queue.redirect": {"was": "boris@example.net"},
    "report.got": {"what": "arf"},
    "smtp.abort": {"stage": "data", "why": "lost"},
    "store.failed": {"why": "no space left on the device"},
    "sys.start": {"version": "0.1.0"},
    "sys.stop": {"why": "told to stop"},
    "tls.fail": {"why": "no shared cipher"},
}

_SAID = {
    "smtp.accept": {"addr": "boris@example.net", "code": 250, "enh": "2.0.0",
                    "reply": "250 2.0.0 queued as 0ampq94g00000"},
    "smtp.reject": {"addr": "nobody@example.org", "code": 550, "enh": "5.1.1",
                    "reply": "550 5.1.1 <nobody@example.org> no such box"},
    "smtp.tempfail": {"code": 450, "enh": "4.7.1", "reply": "450 4.7.1 too many messages"},
    "smtp.protocol": {"code": 503, "enh": "5.5.1", "reply": "503 5.5.1 MAIL first"},
    "out.delivered": {"host": "mx.example.net", "ip": "192.0.2.25", "code": 250, "enh": "2.0.0",
                      "reply": "250 2.0.0 Ok: queued as 4XkT1234z"},
    "out.deferred": {"host": "mx.example.net", "ip": "192.0.2.25", "code": 451, "enh": "4.3.0",
                     "reply": "451 4.3.0 later"},
    "out.failed": {"host": "mx.example.net", "ip": "192.0.2.25", "code": 550, "enh": "5.1.1",
                   "reply": "550 5.1.1 no such user"},
}  # fmt: skip
"""What columns say in the events that are mostly read for them."""

_ADDRESSED = ("auth.", "box.", "dsn.", "out.", "queue.", "restore.", "route.", "store.", "pop3.")


_OF_TYPE: dict[Any, Any] = {str: "text", int: 1, float: 1.0, bool: True}
"""For a field whose name has no value here; a list is empty."""


def example(kind: str) -> Event:
    """An event of a kind as it might be. Raises KeyError for a kind that there is not."""
    cls = REGISTRY[kind]
    fields: dict[str, Any] = {**_COLUMNS}
    if kind.startswith(_ADDRESSED):
        fields["addr"] = "anna@example.org"
    for field in msgspec.structs.fields(cls):
        own = _OF_KIND.get(kind, {})
        if field.name in own:
            fields[field.name] = own[field.name]
        elif field.required and field.name not in COLUMNS:
            fields[field.name] = _VALUES.get(field.name, _OF_TYPE.get(field.type, ()))
    return cls(**fields | _SAID.get(kind, {}))
