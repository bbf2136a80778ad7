"""Keeps the catalogues of the terminal UI: ``python -m tests.messages``.

Texts come from calls in ``tui/`` and from what is declared elsewhere: actions, states, events.
A catalogue keeps its translations, gets what is new and loses what is gone; its compiled form
lies beside it.
"""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages import mofile, pofile
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir

from tracing import events
from tracing.states import State
from tui import actions, lang

HERE = Path(__file__).parent.parent
LOCALE = HERE / "tui" / "locale"
DAY = datetime(2026, 1, 1, tzinfo=UTC)
"""Written into the compiled form, which must be the same whenever it is made."""
KEYWORDS = {
    "_": None,
    "N_": None,
    "C_": ((1, "c"), 2),
    "NN_": (1, 2),
    "ngettext": (1, 2),
    "counted": (2, 3),
}


Text = tuple[str | None, str | tuple[str, ...]]
"""Context, if there is one, and the text, with its plural where it has one."""


def texts() -> Iterator[Text]:
    """Every text that is shown."""
    for _, _, text, _, context in extract_from_dir(
        HERE / "tui", [("**.py", "python")], keywords=KEYWORDS
    ):
        yield context, text[-1] if context and isinstance(text, tuple) else text
    for action in actions.ACTIONS:
        yield None, action.label
        yield None, action.description
    yield from ((None, scope.value) for scope in actions.Scope)
    yield from ((None, state.word) for state in State)
    yield from ((None, event.text) for event in events.REGISTRY.values() if event.text)


def read(language: str) -> Catalog:
    """The catalogue of a language as it is kept."""
    path = LOCALE / f"{language}.po"
    if not path.exists():
        return Catalog(language)
    with path.open("rb") as file:
        return pofile.read_po(file, locale=language, domain=lang.DOMAIN)


def updated(language: str) -> Catalog:
    """A language's catalogue of today's texts, with the translations that are kept."""
    kept = read(language)
    now = Catalog(
        language,
        domain=lang.DOMAIN,
        project="mtad",
        version="1",
        fuzzy=False,
        creation_date=DAY,
        revision_date=DAY,
    )
    for context, text in sorted(set(texts()), key=str):
        old = kept.get(text if isinstance(text, str) else text[0], context)
        now.add(text, old.string if old is not None and old.id == text else None, context=context)
    return now


def made(language: str) -> tuple[bytes, bytes]:
    """The catalogue of a language and its compiled form, of today's texts."""
    now = updated(language)
    written, compiled = io.BytesIO(), io.BytesIO()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Plural-Forms", now.plural_forms)]
    lines = "".join(f'"{name}: {value}\\n"\n' for name, value in headers)
    pofile.write_po(written, now, width=98, no_location=True, omit_header=True)
    mofile.write_mo(compiled, now)
    head = f'# Texts of mtad tui.\nmsgid ""\nmsgstr ""\n{lines}\n'
    return head.encode() + written.getvalue(), compiled.getvalue()


def main() -> None:
    """Write every language's catalogue."""
    LOCALE.mkdir(exist_ok=True)
    for language in lang.LANGUAGES[1:]:
        written, compiled = made(language)
        (LOCALE / f"{language}.po").write_bytes(written)
        (LOCALE / f"{language}.mo").write_bytes(compiled)


if __name__ == "__main__":
    main()
