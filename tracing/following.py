"""Following the log: nothing left out, nothing twice, whoever tells that there is more.

The files are what is followed. A line of the daemon's streams (``news``, ``tail``) only says
that there is something to read, so that a line missed, repeated or late changes nothing.
"""

from mtad.where import Kept
from tracing import saved, search
from tracing.events import Event
from tracing.queries import Log, Stored
from tracing.render import Document

_REMEMBERED = 10_000
"""Messages that matched a filter, kept in mind."""


class Follower:
    """Events from the present end of the log on."""

    def __init__(self, directory: Kept) -> None:
        self._log = Log(directory)
        self._cursor = self._log.cursor()

    def take(self, line: Document) -> list[Stored]:
        """What there is to read when a line tells of an event not seen yet, or of none."""
        month, seq = line.get("month"), line.get("seq")
        if not isinstance(month, str) or not isinstance(seq, int):
            return self.read()
        return self.read() if seq > self._cursor.get(month, 0) else []

    def read(self) -> list[Stored]:
        """What the files have beyond the last event seen."""
        found: list[Stored] = []
        while part := self._log.events_after(self._cursor):
            for one in part:
                self._cursor[one.month] = one.seq
            found += part
        return found

    def close(self) -> None:
        """Close the files."""
        self._log.close()


class Filter:
    """Whether an event belongs to a message that a query matches by now.

    Raises search.SearchError.
    """

    def __init__(self, directory: Kept, text: str) -> None:
        self._log = Log(directory)
        self._directory = directory
        self._text = text
        self._matched: set[int] = set()
        self._query()

    def takes(self, event: Event) -> bool:
        """Whether one of the event's traces is such a message; reads the log."""
        return any(self._matches(trace) for trace in (event.trace, *event.also))

    def _matches(self, trace: int) -> bool:
        if trace in self._matched:
            return True
        one = search.Term(search.Id(trace, trace + 1), False, "")
        query = self._query()
        narrow = search.Query(query.text, (*query.terms, one), query.since, query.until)
        found = bool(self._log.ids(narrow, 1))
        if found:
            if len(self._matched) >= _REMEMBERED:
                self._matched.clear()
            self._matched.add(trace)
        return found

    def _query(self) -> search.Query:
        return saved.parse(self._directory, self._text)

    def close(self) -> None:
        """Close the files."""
        self._log.close()
