"""The snapshot that has a deleted message is told by the name it has now, or not at all."""

from contextlib import closing
from pathlib import Path

import pytest

from tests.tracing_events import AT
from tracing import keeping
from tracing.events import BackupForgot
from tracing.log import Applied, Recorder
from tracing.queries import Log

ANNA = "anna@alpha.example"
FORGOT = [
    BackupForgot(at=AT, trace=1, snapshot="s1"),
    BackupForgot(at=AT + 1, trace=2, snapshot="s2", became="s2b", boxes=("boris@beta.example",)),
    BackupForgot(at=AT + 2, trace=3, snapshot="s3", became="s3b", boxes=(ANNA,)),
    BackupForgot(at=AT + 3, trace=4, snapshot="s2b", became="s2c", boxes=("eva@beta.example",)),
]


@pytest.mark.parametrize(
    ("was", "now"), [("s0", "s0"), ("s1", ""), ("s2", "s2c"), ("s3", ""), ("s2b", "s2c")]
)
def test_a_snapshot_that_was_forgotten_keeps_nothing(tmp_path: Path, was: str, now: str) -> None:
    recorder = Recorder(tmp_path)
    recorder.apply([Applied("jobs", 1, 0, FORGOT)])
    recorder.close()
    with closing(Log(tmp_path)) as log:
        assert keeping.now_called(log, was, ANNA, AT) == now
