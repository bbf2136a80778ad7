"""What the journal of a served house says that was done to its boxes."""

from contextlib import closing

from mtad.journal.reader import Reader
from tests.imap import Running
from tracing.events import Event


def events(running: Running, kind: str) -> list[Event]:
    """The events of a kind, in order."""
    with closing(Reader(running.places.journal / "access-0")) as reader:
        return [e for frame in reader.frames(0) for e in frame.events if e.kind == kind]
