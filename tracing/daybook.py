"""A day of the log summed up: how much came and went, how fast, and what stood in the way.

Everything is counted by SQL over the ids and events of the span, so a day costs a pass over its
rows and no memory. Refusals, deferrals and failures are put together by cause, as ``mtad why``
names causes.
"""

# ruff: noqa: S608 - only question marks and our own words are put into statements

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from mtad.where import Kept
from tracing import answers, causes, ids, months, verdict
from tracing.archive import sealed
from tracing.codec import ASIDE, ip_text
from tracing.facts import seq_at
from tracing.render import Document, rfc3339
from tracing.retrieval import spelled
from tracing.states import State
from tracing.waiting import OPEN_STATES

TOP = 10
"""Entries of each list."""
_KEPT = 500
"""Entries of one month among which the top ones are looked for."""
_SLACK_US = 600_000_000
"""By how much an event may be recorded out of the order of time."""

_WITHIN = "seq>=:first AND seq<:end"
_UNPACKED = " AND :first<:end AND lo<:end AND hi>=:first"
"""What keeps the other blobs of a sealed month from being unpacked."""

_EVENTS = (
    f"FROM ev LEFT JOIN str r ON r.id=reply LEFT JOIN str h ON h.id=host WHERE {_WITHIN} AND "
    "ts>=:since AND ts<:until AND kind IN (SELECT id FROM str WHERE s IN ({kinds}))"
)
_KINDS = _EVENTS.replace("WHERE", "JOIN str k ON k.id=kind WHERE", 1)
_SAID = "coalesce(r.s, json_extract(detail, '$.reply'), '')"
_TLS_IN = (
    "SELECT count(*), coalesce(sum(CASE WHEN EXISTS (SELECT 1 FROM ev WHERE trace=m.cn AND "
    "kind=(SELECT id FROM str WHERE s='tls.ok')) THEN 1 ELSE 0 END), 0) FROM msg m "
    "WHERE m.id>=:low AND m.id<:high AND cn IS NOT NULL AND sha256 IS NOT NULL"
)
_SPEED = (
    "SELECT rname, count(*), sum(CAST(json_extract(detail, '$.wait') AS DOUBLE PRECISION)), "
    "sum(CAST(json_extract(detail, '$.connect') AS DOUBLE PRECISION)), "
    "sum(CAST(json_extract(detail, '$.ms') AS DOUBLE PRECISION)), "
    "sum((SELECT CAST(json_extract(e.detail, '$.ms') AS DOUBLE PRECISION) FROM ev e WHERE "
    "e.trace=ev.trace AND e.kind=(SELECT id FROM str WHERE s='smtp.accept'))), "
    "count(json_extract(detail, '$.tls')) "
    "FROM ev JOIN addr ON addr.id=ev.addr JOIN dom ON dom.id=dom WHERE "
    f"{_WITHIN} "
    "AND ts>=:since AND ts<:until AND kind=(SELECT id FROM str WHERE s='out.delivered') GROUP BY 1"
)
_CHECKS = (
    f"SELECT '', coalesce(json_extract(detail, '$.stage'), ''), "
    f"coalesce(json_extract(detail, '$.check'), ''), coalesce(code, 0), coalesce(enh, ''), "
    f"{_SAID}, '', count(*) {_EVENTS} GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 8 DESC LIMIT {_KEPT}"
)
_REMOTE = (
    f"SELECT coalesce(h.s, ''), coalesce(json_extract(detail, '$.stage'), ''), '', "
    f"coalesce(code, 0), coalesce(enh, ''), {_SAID}, coalesce(json_extract(detail, '$.why'), ''), "
    f"count(*) {_EVENTS} GROUP BY 1, 2, 4, 5, 6, 7 ORDER BY 8 DESC LIMIT {_KEPT}"
)


@dataclass(slots=True)
class _Sums:
    """What the months of the span add up to."""

    messages: Counter[str] = field(default_factory=Counter)
    recipients: Counter[str] = field(default_factory=Counter)
    senders: Counter[str] = field(default_factory=Counter)
    boxes: Counter[str] = field(default_factory=Counter)
    from_domains: Counter[str] = field(default_factory=Counter)
    to_domains: Counter[str] = field(default_factory=Counter)
    octets: Counter[str] = field(default_factory=Counter)
    """By sender."""
    speed: dict[str, list[float]] = field(default_factory=dict)
    causes: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)
    """By what happened: cause and its sentence, counted."""
    tls: Counter[str] = field(default_factory=Counter)
    logins: Counter[str] = field(default_factory=Counter)
    guessers: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    held: int = 0
    oldest: int = 0
    violations: int = 0
    backups: list[tuple[int, str, str]] = field(default_factory=list)


def day(directory: Kept, since: int, until: int, words: verdict.Book) -> Document:
    """The summary of a span of time, in microseconds. Raises what ``answers.readable`` does."""
    sums = _Sums()
    with answers.readable(directory):
        for month in months.listing(directory):
            with closing(months.reading(directory, month)) as link:
                _Month(link, since, until, words).add(sums)
    return _document(sums, since, until)


@dataclass(slots=True)
class _Month:
    """One month file, read for a span."""

    link: months.Link
    since: int
    until: int
    words: verdict.Book
    values: dict[str, int] = field(default_factory=dict)

    def add(self, sums: _Sums) -> None:
        """Add what the month has of the span; and of all time what still waits."""
        self.link.execute("BEGIN")
        try:
            self.values = {
                "since": self.since,
                "until": self.until,
                "low": ids.lowest(self.since),
                "high": ids.lowest(self.until),
                "first": seq_at(self.link, self.since - _SLACK_US),
                "end": seq_at(self.link, self.until + _SLACK_US),
            }
            self._messages(sums)
            self._top(sums)
            self._events(sums)
            self._queue(sums)
        finally:
            self.link.execute("COMMIT")

    def _run(self, text: str, kinds: Iterable[str] = ()) -> Iterator[tuple[Any, ...]]:
        listed = ",".join(f"'{kind}'" for kind in kinds)
        if isinstance(self.link, sealed.Sealed):
            text = text.replace(_WITHIN, _WITHIN + _UNPACKED)
        return iter(self.link.execute(text.replace("{kinds}", listed), self.values))

    def _messages(self, sums: _Sums) -> None:
        rows = self._run(
            "SELECT dir, status, sha256 IS NOT NULL, count(*), coalesce(sum(size), 0) FROM msg "
            "WHERE id>=:low AND id<:high GROUP BY 1, 2, 3"
        )
        for direction, status, is_ours, count, octets in rows:
            if is_ours:
                sums.messages[("received", "submitted", "made")[direction]] += count
                sums.messages["octets"] += octets
            elif status in (State.REFUSED, State.TEMPFAILED, State.ABORTED):
                sums.messages[State(status).word] += count
        rows = self._run(
            "SELECT status, count(*) FROM rcpt WHERE msg>=:low AND msg<:high AND "
            f"(n<{ASIDE} OR status={int(State.DUPLICATE)}) GROUP BY 1"
        )
        for status, count in rows:
            sums.recipients[State(status).word] += count

    def _top(self, sums: _Sums) -> None:
        rows = self._run(
            "SELECT local, rname, count(*), sum(size) FROM msg JOIN addr ON addr.id=sender JOIN "
            "dom ON dom.id=addr.dom WHERE msg.id>=:low AND msg.id<:high AND sha256 IS NOT NULL "
            f"GROUP BY 1, 2 ORDER BY 3 DESC LIMIT {_KEPT}"
        )
        for local, rname, count, octets in rows:
            sums.senders[spelled(local, rname)] += count
            sums.octets[spelled(local, rname)] += octets
        rows = self._run(
            "SELECT local, rname, count(*) FROM rcpt JOIN addr ON addr.id=rcpt.addr JOIN dom ON "
            f"dom.id=addr.dom WHERE msg>=:low AND msg<:high AND n<{ASIDE} AND status<"
            f"{int(State.REFUSED)} GROUP BY 1, 2 ORDER BY 3 DESC LIMIT {_KEPT}"
        )
        for local, rname, count in rows:
            sums.boxes[spelled(local, rname)] += count
        for column, table, counter in (
            ("sdom", "msg WHERE id>=:low AND id<:high AND sha256 IS NOT NULL", sums.from_domains),
            (
                "dom",
                f"rcpt WHERE msg>=:low AND msg<:high AND n<{ASIDE} AND status<{int(State.REFUSED)}",
                sums.to_domains,
            ),
        ):
            rows = self._run(
                f"SELECT rname, n FROM (SELECT {column} AS d, count(*) AS n FROM {table} "
                f"GROUP BY 1 ORDER BY 2 DESC LIMIT {_KEPT}) AS found JOIN dom ON dom.id=d"
            )
            for rname, count in rows:
                if rname:
                    counter[".".join(reversed(rname.split(".")))] += count

    def _events(self, sums: _Sums) -> None:
        for rname, count, *times, encrypted in self._run(_SPEED):
            domain = ".".join(reversed(rname.split(".")))
            known = sums.speed.setdefault(domain, [0, 0, 0, 0, 0])
            for place, value in enumerate((count, *times)):
                known[place] += value or 0
            sums.tls["out"] += count
            sums.tls["out_encrypted"] += encrypted or 0
        for count, encrypted in self._run(_TLS_IN):
            sums.tls["in"] += count
            sums.tls["in_encrypted"] += encrypted
        for name, text, kinds, who in (
            ("refused", _CHECKS, ("smtp.reject",), "ours"),
            ("try_later", _CHECKS, ("smtp.tempfail",), "ours"),
            ("deferred", _REMOTE, ("out.deferred",), "remote"),
            ("failed", _REMOTE, ("out.failed", "queue.expire"), "remote"),
        ):
            counter = sums.causes.setdefault(name, Counter())
            for host, stage, check, code, enh, reply, why, count in self._run(text, kinds):
                says = f"{reply} {why}".strip()
                cause = self.words.cause(causes.Refused(who, stage, check, code, enh, says))
                if cause is not None:
                    facts = _Facts(host=host, reply=reply, why=why, stage=stage)
                    sentence = cause.words[self.words.language].format_map(facts)
                    counter[cause.name, sentence] += count
        self._logins(sums)
        rows = self._run(
            f"SELECT k.s, ts, detail {_KINDS}",
            ("backup.done", "backup.fail", "audit.violation"),
        )
        for kind, at, detail in rows:
            if kind == "audit.violation":
                sums.violations += 1
            else:
                sums.backups.append((at, kind, detail or "{}"))

    def _logins(self, sums: _Sums) -> None:
        rows = self._run(
            f"SELECT k.s, json_extract(detail, '$.again'), ip, count(*) {_KINDS} GROUP BY 1, 2, 3",
            ("auth.ok", "auth.fail", "auth.ban", "auth.refused"),
        )
        names = {"auth.ok": "ok", "auth.fail": "failed", "auth.ban": "banned"}
        for kind, again, ip, count in rows:
            if again:
                continue
            sums.logins[names.get(kind, "refused")] += count
            if kind == "auth.fail" and ip:
                sums.guessers[ip_text(ip)] += count

    def _queue(self, sums: _Sums) -> None:
        rows = self._run(
            f"SELECT status, count(*), min(msg) FROM rcpt WHERE status IN ({OPEN_STATES}) AND "
            f"status!={int(State.STORED)} AND params IS NOT NULL GROUP BY 1"
        )
        for status, count, oldest in rows:
            sums.waiting += count
            sums.held += count if status == State.HELD else 0
            at = ids.time_us(oldest)
            sums.oldest = min(sums.oldest or at, at)


class _Facts(dict[str, str]):
    """What a summary says of a cause: who exactly it was does not matter in it."""

    def __missing__(self, name: str) -> str:
        return "…"


def _document(sums: _Sums, since: int, until: int) -> Document:
    return {
        "schema": answers.SCHEMA,
        "since": rfc3339(since),
        "until": rfc3339(until),
        "messages": {
            name: sums.messages[name]
            for name in (
                "received", "submitted", "made", "octets", "refused", "try-later", "aborted",
            )
        },
        "recipients": dict(sorted(sums.recipients.items())),
        "senders": [
            {"name": name, "messages": count, "octets": sums.octets[name]}
            for name, count in sums.senders.most_common(TOP)
        ],
        "boxes": _ranked(sums.boxes),
        "sender_domains": _ranked(sums.from_domains),
        "recipient_domains": _ranked(sums.to_domains),
        "slowest": _slowest(sums.speed),
        "causes": {
            name: [
                {"cause": cause, "text": text, "count": count}
                for (cause, text), count in counter.most_common(TOP)
            ]
            for name, counter in sums.causes.items()
        },
        "tls": {name: sums.tls[name] for name in ("in", "in_encrypted", "out", "out_encrypted")},
        "logins": {name: sums.logins[name] for name in ("ok", "failed", "banned", "refused")},
        "failed_logins_from": _ranked(sums.guessers),
        "queue": {
            "waiting": sums.waiting,
            "held": sums.held,
            "oldest": rfc3339(sums.oldest) if sums.oldest else "",
        },
        "backups": _backups(sums.backups),
        "violations": sums.violations,
    }  # fmt: skip


def _ranked(counter: Counter[str]) -> list[Document]:
    return [{"name": name, "count": count} for name, count in counter.most_common(TOP)]


def _slowest(speed: dict[str, list[float]]) -> list[Document]:
    """Destinations by the mean time from the client's first octet to the remote's answer."""
    found: list[Document] = []
    for domain, (count, wait, connect, transfer, before) in speed.items():
        parts = [part / count / 1000 for part in (before, wait, connect, transfer)]
        names = ("before", "queue", "connect", "transfer")
        split = {name: round(part, 3) for name, part in zip(names, parts, strict=True)}
        found.append(
            {"domain": domain, "count": int(count), "seconds": round(sum(parts), 3), **split}
        )
    return sorted(found, key=lambda one: (-one["seconds"], one["domain"]))[:TOP]


def _backups(told: Sequence[tuple[int, str, str]]) -> Document:
    done = [(at, json.loads(detail)) for at, kind, detail in sorted(told) if kind == "backup.done"]
    return {
        "done": len(done),
        "failed": [
            {"at": rfc3339(at), "why": json.loads(detail).get("why", "")}
            for at, kind, detail in sorted(told)
            if kind == "backup.fail"
        ],
        "last": {"at": rfc3339(done[-1][0]), **done[-1][1]} if done else None,
    }
