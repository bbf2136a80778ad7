"""The screens in Russian: every text is translated, and what is counted has its form."""

import string
from collections.abc import Iterator

import pytest

from tests import messages
from tests.tui_server import MadeUp, world
from tracing import events
from tui import formats, lang, words
from tui.app import SCREENS, MtadApp
from tui.run import settle
from tui.widgets.header import TABS

OTHERS = lang.LANGUAGES[1:]


@pytest.fixture
def russian() -> Iterator[None]:
    lang.use("ru")
    yield
    lang.use("en")


@pytest.mark.parametrize("language", OTHERS)
def test_the_catalogue_is_of_todays_texts(language: str) -> None:
    written, compiled = messages.made(language)
    assert (messages.LOCALE / f"{language}.po").read_bytes() == written, "python -m tests.messages"
    assert (messages.LOCALE / f"{language}.mo").read_bytes() == compiled, "python -m tests.messages"


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated(language: str) -> None:
    missing = [
        message.id
        for message in messages.read(language)
        if message.id and not all(_forms(message.string))
    ]
    assert missing == []


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_has_the_fields_of_its_text(language: str) -> None:
    for message in messages.read(language):
        for text in _forms(message.string) if message.id else ():
            assert _fields(text) == _fields(_forms(message.id)[0]), message.id


def _forms(text: object) -> tuple[str, ...]:
    return tuple(text) if isinstance(text, tuple | list) else (str(text),)


def _fields(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


@pytest.mark.parametrize(
    ("count", "shown"),
    [(1, "1 ящик"), (2, "2 ящика"), (5, "5 ящиков"), (11, "11 ящиков"), (21, "21 ящик")],
)
def test_a_count_has_its_form(russian: None, count: int, shown: str) -> None:
    assert formats.counted(count, "{} box", "{} boxes") == shown


def test_an_event_is_told_and_its_reply_stays(russian: None) -> None:
    made = events.ConnClose(at=0, trace=1, why="quit", commands=3, messages=21)
    assert words.event(made) == "соединение закрыто: quit, 3 команды, 21 письмо"
    refused = events.SmtpReject(at=0, trace=1, stage="rcpt", reply="550 5.1.1 No such box here")
    assert words.event(refused) == "отказано на rcpt: 550 5.1.1 No such box here"


def test_numbers_and_sizes(russian: None) -> None:
    assert formats.number(1_234_567) == "1\u00a0234\u00a0567"
    assert formats.size(1_500_000) == "1,5 МБ"
    assert formats.span(90_000_000) == "1 мин 30 с"


@pytest.mark.parametrize("screen", SCREENS)
async def test_a_screen_speaks_russian(russian: None, screen: str) -> None:
    app = MtadApp(world(MadeUp.filled()), start=screen)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        lines = [strip.text for strip in app.screen._compositor.render_strips()]
    assert all(f" {digit} {lang._(label)} " in lines[0] for digit, _, label in TABS)
    assert "? Помощь" in lines[-1]
