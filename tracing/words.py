"""The language that people are answered in, and the sentences of verdicts in it."""

import os
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

import click

from tracing import verdict


def language_option(command: Any) -> Any:
    """``--lang en|ru``; else the language of the environment."""
    return click.option(
        "--lang",
        type=click.Choice(verdict.LANGUAGES),
        default=None,
        help="Language of the answer (else of LC_ALL, LC_MESSAGES or LANG).",
    )(command)


def language(given: str | None) -> str:
    """The language to answer in."""
    if given:
        return given
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            return "ru" if value.lower().startswith("ru") else "en"
    return "en"


@cache
def book(lang: str) -> verdict.Book:
    """The sentences and causes."""
    folder = files("tracing")
    verdicts = tomllib.loads((folder / "verdicts.toml").read_text("utf-8"))
    causes = tomllib.loads((folder / "causes.toml").read_text("utf-8"))["cause"]
    return verdict.book(verdicts, causes, lang)
