"""What comes to a month after it was sealed: a held message released, a report that came late.

The event goes into its trace's blob and the rows change in place, in one transaction like in any
month. The month then says how many events came late, until it is sealed anew
(``tracing.archive.sealing``): its digest holds again from then on.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracing.archive import sealed
from tracing.archive.blob import Blob
from tracing.codec import Row
from tracing.creation import Pen

LATE = "sealed.late"
"""The events in ``meta`` that came since the month was sealed; 0 when only rows changed."""

_COUNT = (
    "INSERT INTO meta VALUES ('sealed.late', CAST(?1 AS BLOB)) "
    "ON CONFLICT DO UPDATE SET v=CAST(CAST(v AS INTEGER)+?1 AS BLOB)"
)


class LatePen(Pen):
    """Writes one sealed month as a hot one is written."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        try:
            self._packer = sealed.packer(self._driver)
            self._own: dict[int, int] = {}
            # All that a writer asks of events is how many there were.
            self._driver.execute(
                "CREATE TEMP VIEW ev AS SELECT CAST(v AS INTEGER) AS seq FROM main.meta "
                "WHERE k='sealed.seq'"
            )
        except BaseException:
            self.close()
            raise

    def write(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows, or replace those there are."""
        if table == "ev":
            self._events(rows)
        elif table == "also":
            named = [(trace, seq, self._own[seq]) for trace, seq in rows]
            self._run("INSERT OR IGNORE INTO also VALUES (?,?,?)", named)
        elif table == "chain":
            self._run("DELETE FROM chain", [()])
            super().write(table, rows)
        else:
            super().write(table, rows)
        if table in ("msg", "rcpt"):
            self._tell(0)

    def _run(self, text: str, rows: list[tuple[Any, ...]]) -> None:
        self._link.exec_driver_sql(text, rows)

    def _events(self, rows: Sequence[Row]) -> None:
        self._own = {row[0]: row[3] for row in rows}
        by_trace: dict[int, list[Row]] = {}
        for row in rows:
            by_trace.setdefault(row[3], []).append(row)
        for trace, came in by_trace.items():
            self._append(trace, came)
        count = "INSERT INTO kinds VALUES (?,?,1) ON CONFLICT DO UPDATE SET n=n+excluded.n"
        self._run(count, list(Counter(row[2] for row in rows).items()))
        rare = "INSERT INTO rare SELECT ?1,?2,?3 FROM kinds WHERE kind=?1 AND listed"
        self._run(rare, [(row[2], row[0], row[3]) for row in rows])
        did = [(row[11], row[3]) for row in rows if row[11] is not None]
        if did:
            count = count.replace("kinds", "actors")
            self._run(count, list(Counter(actor for actor, _ in did).items()))
            acts = "INSERT OR IGNORE INTO acts SELECT ?1,?2 FROM actors WHERE actor=?1 AND listed"
            self._run(acts, did)
        self._run(
            "INSERT OR REPLACE INTO meta VALUES (?,?)",
            [("sealed.seq", str(rows[-1][0]).encode()), ("sealed.at", str(rows[-1][1]).encode())],
        )
        self._tell(len(rows))

    def _append(self, trace: int, came: list[Row]) -> None:
        found = self.execute("SELECT lo, span, z FROM tr WHERE trace=?", (trace,)).fetchone()
        if found is not None:
            came = self._packer.rows(Blob(trace, *found)) + came
        made = self._packer.pack(trace, came)
        self._run(
            "INSERT OR REPLACE INTO tr VALUES (?,?,?,?)", [(trace, made.lo, made.span, made.z)]
        )

    def _tell(self, came: int) -> None:
        self._run(_COUNT, [(came,)])
