"""The log's SQL as PostgreSQL understands it (PURE).

The questions to the log are written once, in the SQL of SQLite as far as both have it. What
differs is put in PostgreSQL's words here: parameters, signs that tell SQLite's planner which
index not to take, JSON, and the full-text tables.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MAX_WORD = 500
"""Characters of a word in the index: a lexeme has 2 KiB at most."""

Values = Sequence[Any] | Mapping[str, Any]
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        ("^BEGIN$", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        ("%", "%%"),
        (r"CROSS JOIN (\w+(?: \w+)?) ON\b", r"JOIN \1 ON"),
        (r"(?<=[ (])\+(?=[a-z])", ""),
        (r"\binstr\(", "strpos("),
        (r"\bLIKE\b", "ILIKE"),
        (r"\bjson_extract\(([\w.]+), ?'\$\.(\w+)'\)", r"((\1)::json->>'\2')"),
        (r"\bjson_extract\(([\w.]+), ?'\$\[(\d+)\]'\)", r"((\1)::json->>\2)"),
        (
            r"\bjson_each\(([\w.]+), '\$\.(\w+)'\) AS (\w+)",
            r"json_array_elements_text((\1)::json->'\2') AS \3(value)",
        ),
        (
            r"SELECT value FROM json_each\(([?]|:\w+)\)",
            r"SELECT unnest(translate(\1,'[]','{}')::bigint[])",
        ),
        (r"SELECT json_group_array\((\w+)\)", r"SELECT coalesce(json_agg(\1)::text,'[]')"),
        (r"\bmsg_fts MATCH ([?]|:\w+)", r"words @@ \1::tsquery"),
        (r"\baddr_tri MATCH ([?]|:\w+)", r"log.grams(a) @> \1::text[]"),
    )
)
_MARK = re.compile(r"\?|(?<![:\w]):([a-z]\w*)")
_WORDS = re.compile(r"[^\W_]+")
_TERM = re.compile(r'"([^"]*)"(\*?)')
_GRAM = re.compile('"((?:[^"]|"")*)"')


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement and what is done with some of its values, by place or name."""

    text: str
    made: tuple[tuple[int | str, Callable[[str], Any]], ...]

    def values(self, given: Values) -> Values:
        """The values as the statement takes them."""
        if not self.made:
            return given
        changed: Any = dict(given) if isinstance(given, Mapping) else list(given)
        for key, make in self.made:
            changed[key] = make(given[key])  # type: ignore[index]
        return changed  # type: ignore[no-any-return]


@lru_cache(maxsize=2000)
def statement(text: str) -> Statement:
    """A statement in PostgreSQL's words."""
    for pattern, by in _RULES:
        text = pattern.sub(by, text)
    made: list[tuple[int | str, Callable[[str], Any]]] = []
    count = 0

    def mark(found: re.Match[str]) -> str:
        nonlocal count
        key: int | str = found[1] or count
        count += 1
        behind = text[found.end() :]
        if behind.startswith("::tsquery"):
            made.append((key, query))
        elif behind.startswith("::text[]"):
            made.append((key, grams))
        return f"%({found[1]})s" if found[1] else "%s"

    said = _MARK.sub(mark, text)
    return Statement(said, tuple(made))


def words(text: str) -> list[str]:
    """The words of a subject: without accents, in lower case."""
    apart = unicodedata.normalize("NFD", text)
    bare = "".join(char for char in apart if unicodedata.category(char) != "Mn")
    return [word[:MAX_WORD] for word in _WORDS.findall(bare.lower())]


def query(phrase: str) -> str:
    """``"word" "begin"*`` for a full-text table as a tsquery; words are letters and digits."""
    terms: list[str] = []
    for word, star in _TERM.findall(phrase):
        parts = words(word)
        terms += [f"'{part}'" for part in parts]
        if star and parts:
            terms[-1] += ":*"
    return " & ".join(terms)


def grams(phrase: str) -> list[str]:
    """``"abc" "bcd"`` for the table of trigrams as a list."""
    return [found.replace('""', '"') for found in _GRAM.findall(phrase)]
