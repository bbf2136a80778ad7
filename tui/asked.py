"""What the log says of one message in sentences, as the commands say it."""

import json
from collections.abc import Sequence
from pathlib import Path

from mtad import where
from mtad.errors import MtadError, NothingFound
from mtad.where import Places
from tracing import ids
from tracing.render import Document
from tui.lang import _, language


def _document(places: Places, m: int) -> Document:
    """A message's timeline; who looked is written down."""
    from tracing import asking  # noqa: PLC0415 - not needed for the first screen

    found = asking.ask(places, ids.text(m), 1)
    if found.get("message") is None:
        raise NothingFound(_("the log has no row for this id"))
    return found


def look(places: Places, m: int) -> None:
    """Have it written down that someone looked at a message."""
    from tracing import asking  # noqa: PLC0415 - not needed for the first screen

    asking.look(places, ids.text(m))


def why(places: Places, m: int) -> Sequence[str]:
    """The verdict on each recipient, its evidence, and what to do."""
    from tracing import keeping, returns, verdict, words  # noqa: PLC0415

    document = _document(places, m)
    keeping.add(places.log, [document])
    returns.add(places.log, [document])
    lines: list[str] = []
    for one in verdict.judge(document, words.book(language())):
        lines += [one.sentence, *(f"  {line}" for line in one.evidence)]
        lines += [*(f"  -> {action}" for action in one.actions), ""]
    return lines[:-1]


def proof(places: Places, settings: Path, m: int) -> Sequence[str]:
    """The sheet of ``mtad proof``; where no other server took it, that of ``mtad why``."""
    from tracing import proof as sheets  # noqa: PLC0415

    told = sheets.facts(_document(places, m))
    if not told["handed"]:
        return why(places, m)
    host = str(where.read_toml(settings).get("hostname", ""))
    return list(sheets.sheet(told, host, language()))


def export(places: Places, m: int, path: Path) -> str:
    """Write a message's timeline as one JSON document, readable to nobody else."""
    text = json.dumps({"schema": 1, **_document(places, m)}, ensure_ascii=False, indent=2)
    try:
        with open(path, "x", encoding="utf-8", errors="replace") as file:
            path.chmod(0o600)
            file.write(text + "\n")
    except FileExistsError:
        raise MtadError(_("{} is there already; choose another name").format(path)) from None
    return _("wrote {}").format(path)
