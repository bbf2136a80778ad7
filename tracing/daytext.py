"""A day's summary as lines of text, in English and Russian (PURE)."""

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo

from tracing.render import Document, safe, size

_WORDS = {
    "en": {
        "title": "{host}: mail of {day}",
        "messages": "Messages",
        "received": "received from other servers",
        "submitted": "sent by our users",
        "made": "made here",
        "octets": "their size",
        "refused": "refused",
        "try-later": "asked to come later",
        "aborted": "given up by the client",
        "recipients": "Recipients, and where they are by now",
        "senders": "Top senders",
        "boxes": "Top recipients",
        "sender_domains": "Top sender domains",
        "recipient_domains": "Top recipient domains",
        "slowest": "Slowest destinations: seconds before the queue, in it, to connect, to transfer",
        "cause.refused": "Refused by us, by cause",
        "cause.try_later": "Put off by us, by cause",
        "cause.deferred": "Put off by others, attempts by cause",
        "cause.failed": "Given back to senders, by cause",
        "security": "Protection and logins",
        "tls_in": "came by TLS",
        "tls_out": "left by TLS",
        "ok": "logins",
        "failed": "failed logins",
        "banned": "bans",
        "refused_login": "logins from networks not allowed",
        "failed_logins_from": "Failed logins from",
        "state": "The server",
        "waiting": "in the queue, now",
        "held": "of them held",
        "oldest": "the oldest of",
        "snapshots": "snapshots",
        "snapshot_last": "last snapshot",
        "snapshot_failed": "SNAPSHOT FAILED",
        "no_snapshot": "NO SNAPSHOT WAS TAKEN",
        "balanced": "the books balance",
        "unbalanced": "THE BOOKS DO NOT BALANCE: violations",
        "nothing": "nothing",
    },
    "ru": {
        "title": "{host}: почта за {day}",
        "messages": "Письма",
        "received": "получено от других серверов",
        "submitted": "отправлено пользователями",
        "made": "создано здесь",
        "octets": "их объём",
        "refused": "отклонено",
        "try-later": "попросили прислать позже",
        "aborted": "брошено клиентом",
        "recipients": "Получатели и что с ними сейчас",
        "senders": "Больше всех отправили",
        "boxes": "Больше всех получили",
        "sender_domains": "Домены отправителей",
        "recipient_domains": "Домены получателей",
        "slowest": "Самые медленные: секунд до очереди, в ней, на соединение, на передачу",
        "cause.refused": "Мы отклонили, по причинам",
        "cause.try_later": "Мы попросили прислать позже, по причинам",
        "cause.deferred": "Другие отложили, попыток по причинам",
        "cause.failed": "Возвращено отправителям, по причинам",
        "security": "Защита и входы",
        "tls_in": "пришло по TLS",
        "tls_out": "ушло по TLS",
        "ok": "входов",
        "failed": "неудачных входов",
        "banned": "блокировок",
        "refused_login": "входов из неразрешённых сетей",
        "failed_logins_from": "Неудачные входы с адресов",
        "state": "Сервер",
        "waiting": "сейчас в очереди",
        "held": "из них задержано",
        "oldest": "самое старое от",
        "snapshots": "снимков",
        "snapshot_last": "последний снимок",
        "snapshot_failed": "СНИМОК НЕ УДАЛСЯ",
        "no_snapshot": "СНИМКОВ НЕ БЫЛО",
        "balanced": "книги сходятся",
        "unbalanced": "КНИГИ НЕ СХОДЯТСЯ: нарушений",
        "nothing": "ничего",
    },
}


def title(document: Document, hostname: str, language: str, zone: tzinfo | None = None) -> str:
    """The first line."""
    day = f"{datetime.fromisoformat(document['since']).astimezone(zone):%Y-%m-%d}"
    return _WORDS[language]["title"].format(host=safe(hostname), day=day)


def lines(
    document: Document, hostname: str, language: str, zone: tzinfo | None = None
) -> Iterator[str]:
    """The whole summary; times in a zone (None: local)."""
    words = _WORDS[language]
    yield title(document, hostname, language, zone)
    yield from _section(words["messages"], _messages(document["messages"], words))
    found = [f"{count:>10,}  {safe(state)}" for state, count in document["recipients"].items()]
    yield from _section(words["recipients"], found or [f"{words['nothing']:>10}"])
    for name, entries in document["causes"].items():
        yield from _list(words[f"cause.{name}"], [(one["count"], one["text"]) for one in entries])
    yield from _section(words["slowest"], list(map(_destination, document["slowest"])))
    yield from _list(
        words["senders"],
        [
            (one["messages"], f"{one['name'] or '<>'}  {size(one['octets'])}")
            for one in document["senders"]
        ],
    )
    for name in ("boxes", "sender_domains", "recipient_domains", "failed_logins_from"):
        yield from _list(words[name], [(one["count"], one["name"]) for one in document[name]])
    yield from _section(words["security"], _security(document, words))
    yield from _section(words["state"], list(_state(document, words, zone)))


def _section(heading: str, entries: Sequence[str]) -> Iterator[str]:
    if entries:
        yield ""
        yield heading
        yield from entries


def _list(heading: str, entries: Sequence[tuple[int, str]]) -> Iterator[str]:
    yield from _section(heading, [f"{count:>10,}  {safe(text)}" for count, text in entries])


def _messages(counts: Document, words: dict[str, str]) -> list[str]:
    return [
        f"{size(count) if name == 'octets' else f'{count:,}':>10}  {words[name]}"
        for name, count in counts.items()
        if count or name in ("received", "submitted")
    ]


def _destination(one: Document) -> str:
    split = "  ".join(f"{one[name]:>8.2f}" for name in ("before", "queue", "connect", "transfer"))
    return f"{one['count']:>10,}  {split}  {safe(one['domain'])}"


def _security(document: Document, words: dict[str, str]) -> list[str]:
    tls, logins = document["tls"], document["logins"]
    found = [
        f"{100 * tls[f'{way}_encrypted'] / tls[way]:>9.1f}%  {words[f'tls_{way}']}"
        for way in ("in", "out")
        if tls[way]
    ]
    named = (("ok", "ok"), ("failed", "failed"), ("banned", "banned"), ("refused", "refused_login"))
    return found + [f"{logins[name]:>10,}  {words[said]}" for name, said in named if logins[name]]


def _state(document: Document, words: dict[str, str], zone: tzinfo | None) -> Iterator[str]:
    queue, backups = document["queue"], document["backups"]
    yield f"{queue['waiting']:>10,}  {words['waiting']}"
    if queue["held"]:
        yield f"{queue['held']:>10,}  {words['held']}"
    if queue["oldest"]:
        yield f"{'':>10}  {words['oldest']} {_clock(queue['oldest'], zone)}"
    if backups["last"]:
        last = backups["last"]
        said = f"{last.get('snapshot', '')}, {_clock(last['at'], zone)}"
        count = f"{backups['done']:>10,}  {words['snapshots']}"
        yield f"{count}; {words['snapshot_last']}: {safe(said)}"
    else:
        yield f"{'':>10}  {words['no_snapshot']}"
    for one in backups["failed"]:
        yield f"{'':>10}  {words['snapshot_failed']} {_clock(one['at'], zone)}: {safe(one['why'])}"
    audit = document.get("audit")
    violations = max(document["violations"], audit["count"] if audit else 0)
    if violations:
        yield f"{violations:>10,}  {words['unbalanced']}"
        for text in audit["texts"] if audit else ():
            yield f"{'':>10}  {safe(text)}"
    elif audit and audit["at"]:
        yield f"{'':>10}  {words['balanced']}, {_clock(audit['at'], zone)}"


def _clock(text: str, zone: tzinfo | None) -> str:
    return f"{datetime.fromisoformat(text).astimezone(zone):%Y-%m-%d %H:%M}"
