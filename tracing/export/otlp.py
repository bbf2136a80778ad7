"""Events as log records of OpenTelemetry, sent by OTLP over HTTP; the extra ``otlp`` brings it.

The records are handed to the exporter in batches and each answer is waited for, since the SDK's
own queue drops what does not fit.
"""

import json
import logging
from collections.abc import Sequence
from typing import Any

from mtad.errors import Unreachable, UsageError
from tracing.event import Event, Outcome
from tracing.export.lines import fields_of

_BATCH = 500
_SEVERITY = {
    Outcome.OK: ("INFO", 9),
    Outcome.INFO: ("INFO", 9),
    Outcome.DEFER: ("WARN", 13),
    Outcome.FAIL: ("ERROR", 17),
    Outcome.DROP: ("WARN", 13),
    Outcome.HOLD: ("WARN", 13),
}


class Otlp:
    """A collector at a URL such as ``http://127.0.0.1:4318/v1/logs``.

    Raises UsageError where the SDK is not installed.
    """

    def __init__(self, url: str, hostname: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http._log_exporter import (  # noqa: PLC0415
                OTLPLogExporter,
            )
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        except ImportError as error:
            raise UsageError(
                "OTLP needs the OpenTelemetry SDK: pip install 'mtad[otlp]'"
            ) from error
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # the error is told below
        self._url = url
        self._exporter = OTLPLogExporter(endpoint=url)
        self._resource = Resource({"service.name": "mtad", "host.name": hostname or "localhost"})

    def send(self, events: Sequence[Event]) -> None:
        """Send events. Raises Unreachable where the collector did not take them."""
        from opentelemetry.sdk._logs.export import LogRecordExportResult  # noqa: PLC0415

        for start in range(0, len(events), _BATCH):
            records = [self._record(event) for event in events[start : start + _BATCH]]
            if self._exporter.export(records) is not LogRecordExportResult.SUCCESS:
                raise Unreachable(f"the collector at {self._url} did not take the events")

    def close(self) -> None:
        """Let the connection go."""
        self._exporter.shutdown()

    def _record(self, event: Event) -> Any:
        from opentelemetry._logs import LogRecord, SeverityNumber  # noqa: PLC0415
        from opentelemetry.sdk._logs import ReadableLogRecord  # noqa: PLC0415

        word, number = _SEVERITY[event.outcome]
        fields = fields_of(event)
        record = LogRecord(
            timestamp=event.at * 1000,
            observed_timestamp=event.at * 1000,
            severity_text=word,
            severity_number=SeverityNumber(number),
            body=str(fields.pop("text")),
            attributes=_attributes(fields),
            event_name=f"mail.{fields['kind']}",
        )
        # All of a message are one trace: its id is that trace's.
        record.trace_id = max(event.trace, 0)
        return ReadableLogRecord(record, self._resource)


def _attributes(fields: dict[str, Any]) -> dict[str, str | int | float | bool]:
    made: dict[str, str | int | float | bool] = {}
    for name, value in fields.items():
        if name in ("at", "kind"):
            continue
        plain = value if isinstance(value, str | int | float | bool) else json.dumps(value)
        made["client.address" if name == "ip" else f"mail.{name}"] = plain
    return made
