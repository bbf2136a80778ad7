"""Events of one month file, read back whole: rows, dictionaries, and what is kept only once."""

# ruff: noqa: S608 - conditions are the caller's words; values are parameters

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tracing import addresses, codec, shapes
from tracing.archive import sealed
from tracing.codec import ASIDE
from tracing.events import Event, SmtpMail, kind_of
from tracing.months import Link

_KEPT_KINDS = frozenset(kind_of(cls) for cls in codec.KEPT)
_EVENT = (
    "SELECT seq, ts, k.s, trace, n, local, rname, ip, h.s, code, enh, r.s, a.s, detail FROM ev "
    "JOIN str k ON k.id=kind LEFT JOIN addr ON addr.id=addr LEFT JOIN dom ON dom.id=addr.dom "
    "LEFT JOIN str h ON h.id=host LEFT JOIN str r ON r.id=reply LEFT JOIN str a ON a.id=actor "
)


def events(link: Link, where: str, values: tuple[int | str, ...]) -> list[tuple[int, Event]]:
    """The events a condition on ``ev`` selects, each with its seq."""
    rows = link.execute(_EVENT + where, values).fetchall()
    traces = {row[3] for row in rows if row[2] in _KEPT_KINDS}
    kept = {kind: _kept(link, kind, traces) for kind in _KEPT_KINDS} if traces else {}
    shaped = _shapes(link, (row[-1] for row in rows))
    found: list[tuple[int, Event]] = []
    for row in rows:
        addr = spelled(row[5], row[6]) if row[5] is not None else None
        fields = kept.get(row[2], {}).get(row[3])
        found.append((row[0], codec.decode((*row[:5], addr, *row[7:]), fields, shaped)))
    return found


def at(link: Link, places: Sequence[sealed.Place]) -> list[tuple[int, Event]]:
    """The events at places of a sealed month, in the order of ``seq``."""
    wanted = {place.seq for place in places}
    among = json.dumps(sorted({place.trace for place in places}))
    where = (
        "WHERE trace IN (SELECT value FROM json_each(?)) AND lo<=? AND hi>=? "
        "AND seq IN (SELECT value FROM json_each(?))"
    )
    if not wanted:
        return []
    found = events(link, where, (among, max(wanted), min(wanted), json.dumps(sorted(wanted))))
    return sorted(found, key=lambda one: one[0])


def of_trace(link: Link, trace: int, session: int, limit: int) -> list[tuple[int, Event]]:
    """The events of a trace and its session, and those of other traces that name the trace."""
    own = "trace IN (?,?)"
    if isinstance(link, sealed.Sealed):
        found = events(link, f"WHERE {own} LIMIT ?", (trace, session, limit))
        there = {seq for seq, _ in found}
        others = [one for one in sealed.named(link, trace, limit) if one.seq not in there]
        return found + at(link, others)
    own = f"SELECT seq FROM ev WHERE {own}"
    named = "SELECT seq FROM also WHERE trace=?"
    where = f"WHERE seq IN ({own} UNION {named}) LIMIT ?"
    return events(link, where, (trace, session, trace, limit))


def of_kinds(
    link: Link,
    kinds: Sequence[str],
    times: tuple[int, int],
    seqs: tuple[int, int],
    limit: int,
    *,
    newest_first: bool = False,
) -> list[tuple[int, Event]]:
    """Events of some kinds within [begin, end) of time and between two seqs, both left out."""
    order = "DESC" if newest_first else "ASC"
    listed = sealed.listed(link, kinds) if isinstance(link, sealed.Sealed) else None
    if listed is not None and isinstance(link, sealed.Sealed):
        return _listed(link, listed, times, seqs, limit, order)
    marks = ",".join("?" * len(kinds))
    where = (
        f"WHERE kind IN (SELECT id FROM str WHERE s IN ({marks})) AND ts>=? AND ts<? AND seq>? "
        f"AND seq<? ORDER BY seq {order} LIMIT ?"
    )
    return events(link, where, (*kinds, *times, *seqs, limit))


def _listed(
    link: sealed.Sealed,
    kinds: Sequence[int],
    times: tuple[int, int],
    seqs: tuple[int, int],
    limit: int,
    order: str,
) -> list[tuple[int, Event]]:
    """The same where the kinds lead to their events; looks on until some are within the times."""
    found: list[tuple[int, Event]] = []
    low, high = seqs
    while not found:
        places = sealed.of_kinds(link, kinds, (low, high), limit, order)
        if not places:
            break
        there = at(link, places)
        found = [one for one in there if times[0] <= one[1].at < times[1]]
        low, high = (low, places[-1].seq) if order == "DESC" else (places[-1].seq, high)
    return found if order == "ASC" else found[::-1]


def after(link: Link, seq: int, limit: int) -> list[tuple[int, Event]]:
    """Events of a hot month beyond a seq, in order."""
    return events(link, "WHERE seq>? ORDER BY seq LIMIT ?", (seq, limit))


def last(link: Link) -> tuple[int, int]:
    """The highest seq and when that event happened; zeros for none."""
    if isinstance(link, sealed.Sealed):
        return sealed.last(link)
    row = link.execute("SELECT seq, ts FROM ev ORDER BY seq DESC LIMIT 1").fetchone()
    return (row[0], row[1]) if row else (0, 0)


def spelled(local: str | None, rname: str | None) -> str:
    """An address as its row and its domain's row spell it; "" where there is none."""
    if local is None:
        return ""
    return addresses.join(local, addresses.reverse(rname or ""))


def _shapes(link: Link, details: Iterable[str | None]) -> dict[int, str]:
    """The shapes of details, by number."""
    numbers = {shapes.number_of(detail) for detail in details if detail} - {None}
    if not numbers:
        return {}
    rows = link.execute(
        "SELECT id, s FROM str WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(numbers)),),
    )
    return dict(rows.fetchall())


def _kept(link: Link, kind: str, traces: set[int]) -> dict[int, dict[str, Any]]:
    """What the rows of messages hold of their events, by trace."""
    listed = json.dumps(sorted(traces))
    among = "IN (SELECT value FROM json_each(?))"
    if kind == kind_of(SmtpMail):
        return {
            m: {"cn": cn or 0, "helo": helo or "", "login": login or ""}
            for m, cn, helo, login in link.execute(
                f"SELECT msg.id, cn, s, login FROM msg LEFT JOIN str ON str.id=helo "
                f"WHERE msg.id {among}",
                (listed,),
            )
        }
    found: dict[int, dict[str, Any]] = {
        m: {
            "size": size or 0,
            "sha256": sha256.hex() if sha256 else "",
            "message_id": message_id or "",
            "subject": subject or "",
            "header_from": shapes.full_from(header_from or "", spelled(local, rname)),
            "recipients": [],
        }
        for m, size, sha256, message_id, subject, header_from, local, rname in link.execute(
            "SELECT msg.id, size, sha256, message_id, subject, header_from, local, rname FROM msg "
            "LEFT JOIN addr ON addr.id=sender LEFT JOIN dom ON dom.id=sdom "
            f"WHERE msg.id {among}",
            (listed,),
        )
    }
    for m, n, local, rname, original, original_rname, was in link.execute(
        "SELECT msg, n, a.local, d.rname, o.local, e.rname, json_extract(params, '$.was') "
        "FROM rcpt JOIN addr a ON a.id=addr JOIN dom d ON d.id=a.dom LEFT JOIN addr o ON o.id=orig "
        f"LEFT JOIN dom e ON e.id=o.dom WHERE msg {among} AND n<? ORDER BY msg, n",
        (listed, ASIDE),
    ):
        addr = was or spelled(local, rname)
        found[m]["recipients"].append([n, addr, spelled(original, original_rname) or addr])
    return found
