"""Every event has an example that fits its schema; what a later version wrote is shown as is."""

import json
import re
from typing import Any

import pytest

from mtad import cli
from tests.test_tracing_cli import Place, place, run  # noqa: F401 - a fixture
from tests.tracing_events import AT, Mail
from tracing import answers, events, eventschema, ids
from tracing.eventexamples import UNITS, example
from tracing.log import Applied
from tracing.queries import Stored


def fits(value: Any, shape: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Whether a value is what a schema says, as far as ours say anything."""
    if "$ref" in shape:
        shape = whole["$defs"][shape["$ref"].rpartition("/")[2]]
    kinds: dict[str, Any] = {
        "object": dict, "array": list, "string": str, "integer": int, "number": (int, float),
        "boolean": bool,
    }  # fmt: skip
    if "type" in shape and not isinstance(value, kinds[shape["type"]]):
        return False
    if "const" in shape and value != shape["const"]:
        return False
    if "enum" in shape and value not in shape["enum"]:
        return False
    if "pattern" in shape and not re.search(shape["pattern"], value):
        return False
    if isinstance(value, dict):
        known = shape.get("properties", {})
        return set(shape.get("required", ())) <= value.keys() and all(
            fits(part, known[name], whole) for name, part in value.items() if name in known
        )
    if isinstance(value, list):
        first = shape.get("prefixItems", ())
        rest = shape.get("items", {})
        return all(
            fits(part, first[n] if n < len(first) else rest or {}, whole)
            for n, part in enumerate(value)
        )
    return True


@pytest.mark.parametrize("kind", sorted(events.REGISTRY))
def test_every_kind_has_an_example_that_fits_its_schema(kind: str) -> None:
    made = example(kind)
    assert made.kind == kind
    assert events.from_fields(events.to_fields(made)) == made
    line = {"schema": 1, **answers.happened(Stored("2026-11", 7, made))}
    shown = json.loads(json.dumps(line))
    whole = eventschema.schema(kind)
    assert fits(shown, whole, whole)
    assert set(shown["fields"]) <= set(whole["properties"]["fields"]["properties"])
    assert whole["$id"] == f"urn:mtad:event:{kind}:1"
    assert whole["description"]
    wrong: list[dict[str, Any]] = [{"kind": "x.y"}, {"trace": "?"}, {"seq": "7"}, {"fields": []}]
    for broken in wrong:
        assert not fits(shown | broken, whole, whole)
    for name in whole["properties"]["fields"]["required"]:
        rest = {k: v for k, v in shown["fields"].items() if k != name}
        assert not fits(shown | {"fields": rest}, whole, whole)


def test_units_are_of_fields_there_are() -> None:
    names = {name for cls in events.REGISTRY.values() for name in cls.__struct_fields__}
    assert set(UNITS) <= names


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["log", "schema", "smtp.accept"])
    assert json.loads(capsys.readouterr().out)["title"] == "smtp.accept"
    with pytest.raises(SystemExit):
        cli.main(["log", "schema"])
    told = json.loads(capsys.readouterr().out)
    assert told["events"].keys() == events.REGISTRY.keys()
    with pytest.raises(SystemExit) as ended:
        cli.main(["log", "schema", "smtp.acept"])
    assert ended.value.code == 4
    assert "did you mean smtp.accept?" in capsys.readouterr().err


def test_what_a_later_version_wrote_is_shown_as_such(
    place: Place,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    mail = Mail(place.mint, subject="from the future")
    later = events.unknown(
        {"kind": "scan.quantum", "at": AT, "trace": mail.m, "n": 1, "qubits": 5, "said": "a\x1bb"}
    )
    place.recorder.apply([Applied("mta-0", 99, 0, [*mail.whole(), later])])
    shown = ids.text(mail.m)
    code, out, _ = run(place, capsys, "trace", shown)
    assert code == 0
    assert "scan.quantum" in out
    assert '"qubits":5' in out
    assert "\x1b" not in out
    _, out, _ = run(place, capsys, "trace", shown, "--jsonl")
    (line,) = [one for one in map(json.loads, out.splitlines()) if one["kind"] == "scan.quantum"]
    assert json.loads(line["fields"]["fields"])["qubits"] == 5
    code, out, _ = run(place, capsys, "why", shown)
    assert code == 0
    assert "Delivered to alice@example.org" in out


def test_a_field_of_a_later_version_is_left_out() -> None:
    fields = events.to_fields(example("tls.ok")) | {"ech": True}
    assert events.from_fields(fields) == example("tls.ok")
