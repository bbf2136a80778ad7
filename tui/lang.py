"""The language of the screens: gettext catalogues, chosen once when the program starts.

English is in the source, other languages are in ``locale/``; ``python -m tests.messages``
keeps their catalogues complete. What is declared before the language is known is marked with
``N_`` (or listed by ``tests.messages``) and translated where it is shown.
"""

import gettext as _gettext
from importlib.resources import files

LANGUAGES = ("en", "ru")
DOMAIN = "tui"

_catalogue: _gettext.NullTranslations = _gettext.NullTranslations()
_language = "en"


def use(language: str) -> None:
    """Speak a language from now on; one that is not there is English."""
    global _catalogue, _language
    _language = language if language in LANGUAGES else "en"
    _catalogue = _gettext.NullTranslations()
    compiled = files("tui") / "locale" / f"{_language}.mo"
    if compiled.is_file():
        with compiled.open("rb") as file:
            _catalogue = _gettext.GNUTranslations(file)


def language() -> str:
    """The language in use."""
    return _language


def _(text: str) -> str:
    """A text in the language in use."""
    return _catalogue.gettext(text) if text else ""


def C_(context: str, text: str) -> str:  # noqa: N802 - as gettext has it
    """A text that means another thing elsewhere; the context says which is meant."""
    return _catalogue.pgettext(context, text)


def NN_(one: str, many: str) -> tuple[str, str]:  # noqa: N802
    """Mark both forms of a text that is counted later."""
    return one, many


def N_(text: str) -> str:  # noqa: N802 - gettext's own name
    """Mark a text that is translated later."""
    return text


def ngettext(one: str, many: str, count: int) -> str:
    """The form of a text that a count asks for."""
    return _catalogue.ngettext(one, many, count)


def plural(count: int) -> int:
    """Which of a noun's forms a count takes, from 0; English has two, Russian three."""
    if _language == "ru":
        if count % 10 == 1 and count % 100 != 11:
            return 0
        return 1 if 2 <= count % 10 <= 4 and not 12 <= count % 100 <= 14 else 2
    return 0 if count == 1 else 1
