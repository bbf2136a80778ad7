"""A sheet for the other side: what its server was given, when, and what it answered (PURE).

Made from a timeline document, for one message. It names the sender, the recipients that this
server handed over, and the receiving server's literal words; nothing of other recipients, of
checks, or of who looked.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, tzinfo
from typing import Any

from tracing.render import Document, safe
from tracing.states import State
from tracing.verdict import clock

_TEXT = {
    "en": {
        "title": "Proof of transfer",
        "made": "taken from the log of {host}",
        "none": "This message was handed to no other server.",
        "message": "Message-ID",
        "id": "our id",
        "sender": "envelope sender",
        "subject": "subject",
        "size": "size",
        "sha": "SHA-256",
        "taken": "accepted by us",
        "rcpt": "recipient",
        "at": "handed over",
        "server": "receiving server",
        "tls": "connection",
        "clear": "without TLS",
        "reply": "its answer",
        "rqid": "its queue id",
        "tries": "attempt",
        "octets": "octets",
        "later": "reported later",
    },
    "ru": {
        "title": "Подтверждение передачи",
        "made": "по журналу сервера {host}",
        "none": "Это письмо не передавалось другому серверу.",
        "message": "Message-ID",
        "id": "наш номер",
        "sender": "отправитель конверта",
        "subject": "тема",
        "size": "размер",
        "sha": "SHA-256",
        "taken": "принято нами",
        "rcpt": "получатель",
        "at": "передано",
        "server": "принявший сервер",
        "tls": "соединение",
        "clear": "без TLS",
        "reply": "его ответ",
        "rqid": "его номер в очереди",
        "tries": "попытка",
        "octets": "октетов",
        "later": "сообщено позже",
    },
}


def facts(document: Document) -> dict[str, Any]:
    """What the sheet says, as JSON shows it; ``handed`` has one entry for each recipient."""
    message = document["message"]
    accepted: Document = next(
        (e for e in document["events"] if e["kind"] in ("smtp.accept", "mail.made")), {}
    )
    return {
        "schema": 1,
        "id": message["id"],
        "message_id": message["message_id"],
        "sender": message["from"],
        "subject": message["subject"],
        "size": message["size"],
        "sha256": accepted.get("fields", {}).get("sha256", ""),
        "accepted": accepted.get("at", message["at"]),
        "handed": list(_handed(document)),
    }


def _handed(document: Document) -> Iterator[dict[str, Any]]:
    relayed = {
        one["n"]: one["address"]
        for one in document["message"]["recipient_list"]
        if one["state"] == State.RELAYED.word
    }
    for event in document["events"]:
        fields = event["fields"]
        n = fields.get("n", 0)
        if event["kind"] != "out.delivered" or n not in relayed:
            continue
        yield {
            "recipient": relayed[n],
            "at": event["at"],
            "host": fields.get("host", ""),
            "ip": fields.get("ip", ""),
            "tls": fields.get("tls", ""),
            "certificate": fields.get("verdict", ""),
            "code": fields.get("code", 0),
            "reply": fields.get("reply", ""),
            "queue_id": fields.get("rqid", ""),
            "attempt": fields.get("attempt", 1),
            "later": [
                {"at": other["at"], "text": other["text"]}
                for other in document["events"]
                if other["kind"] == "dsn.got" and other["fields"].get("n", 0) == n
            ],
        }


def sheet(
    told: dict[str, Any], hostname: str, language: str, zone: tzinfo | None = None
) -> Iterator[str]:
    """The lines of the sheet. Times are given in UTC and in ``zone`` (None: local)."""
    words = _TEXT[language]
    yield words["title"]
    yield words["made"].format(host=safe(hostname))
    yield ""
    yield from _aligned(
        [
            (words["message"], told["message_id"] and f"<{told['message_id'].strip('<>')}>"),
            (words["id"], told["id"]),
            (words["sender"], told["sender"] or "<>"),
            (words["subject"], told["subject"]),
            (words["size"], f"{told['size']} {words['octets']}"),
            (words["sha"], told["sha256"]),
            (words["taken"], _twice(told["accepted"], zone)),
        ]
    )
    if not told["handed"]:
        yield ""
        yield words["none"]
    for one in told["handed"]:
        yield ""
        server = f"{one['host']} [{one['ip']}]" if one["ip"] else one["host"]
        secure = " ".join(filter(None, (one["tls"], one["certificate"])))
        yield from _aligned(
            [
                (words["rcpt"], one["recipient"]),
                (words["at"], _twice(one["at"], zone)),
                (words["server"], server),
                (words["tls"], secure or words["clear"]),
                (words["reply"], one["reply"]),
                (words["rqid"], one["queue_id"]),
                (words["tries"], str(one["attempt"])),
                *((words["later"], f"{later['at']} {later['text']}") for later in one["later"]),
            ]
        )


def _twice(text: str, zone: tzinfo | None) -> str:
    there, here = clock(text, UTC), clock(text, zone)
    return there if there == here else f"{there} ({here})"


def _aligned(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    wide = max(len(label) for label, _ in pairs)
    for label, value in pairs:
        if value:
            yield f"{label:<{wide}}  {safe(value)}"
