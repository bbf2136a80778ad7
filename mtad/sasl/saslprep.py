"""SASLprep: names and passwords that look the same become the same octets (RFC 4013) (PURE)."""

import stringprep
import unicodedata

MAX_CHARACTERS = 1024
"""Characters of a text that is prepared; normalisation may make each eighteen."""

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str, *, stored: bool = False) -> str:
    """A text prepared; ``stored`` also refuses what Unicode 3.2 did not know (RFC 3454 7).

    Raises ValueError for what is prohibited, mixes directions (RFC 3454 6) or is too long.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"longer than {MAX_CHARACTERS} characters")
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in text
        if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    for char in prepared:
        if any(table(char) for table in _PROHIBITED):
            raise ValueError(f"character U+{ord(char):04X} is not allowed")
        if stored and stringprep.in_table_a1(char):
            raise ValueError(f"character U+{ord(char):04X} is not assigned in Unicode 3.2")
    _check_directions(prepared)
    return prepared


def _check_directions(text: str) -> None:
    """Text that runs right to left begins and ends so and has nothing the other way."""
    if not any(map(stringprep.in_table_d1, text)):
        return
    if any(map(stringprep.in_table_d2, text)):
        raise ValueError("right-to-left and left-to-right characters are mixed")
    if not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])):
        raise ValueError("right-to-left text begins or ends with something else")


def password(text: str) -> bytes:
    """A password as octets: prepared where SASLprep allows it, else as it is.

    Emoji are no part of Unicode 3.2 and still make good passwords. Raises UnicodeEncodeError
    for lone surrogates.
    """
    try:
        return saslprep(text, stored=True).encode()
    except ValueError:
        return text.encode()
