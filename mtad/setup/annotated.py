"""The settings file as text: every setting with its description, from the model alone.

PURE. What ``quickstart`` writes, ``mtad config show`` prints and docs/config.md lists is made
of the same descriptions.
"""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from mtad.config import Config

WIDTH = 96


def toml(config: Config, *, defaults_as_comments: bool) -> str:
    """The whole settings file, in the model's order.

    With ``defaults_as_comments`` a setting that equals its default stands as a comment, so
    that a later version's better default takes effect; otherwise every value is in force.
    """
    lines = [
        "# Settings of mtad. 'mtad config check' reads them; SIGHUP or a restart applies them."
    ]
    lines += _table(config, type(config), defaults_as_comments)
    return "\n".join(lines) + "\n"


def _table(table: BaseModel, model: type[BaseModel], defaults_as_comments: bool) -> Iterator[str]:
    """A table's own settings, then its sections."""
    sections = []
    for name, field in model.model_fields.items():
        value = getattr(table, name)
        if isinstance(value, BaseModel):
            sections.append((name, value))
            continue
        yield ""
        yield from comment(field.description or "")
        is_default = not field.is_required() and value == field.default
        mark = "# " if defaults_as_comments and is_default else ""
        yield f"{mark}{name} = {literal(value)}"
    for name, value in sections:
        yield ""
        yield ""
        yield from comment((type(value).__doc__ or "").strip().split("\n")[0])
        yield f"[{name}]"
        yield from _table(value, type(value), defaults_as_comments)


def comment(text: str) -> list[str]:
    """A text as TOML comment lines."""
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")


def literal(value: Any) -> str:
    """A value as TOML writes it (v1.0.0): text, number, truth value or array."""
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
