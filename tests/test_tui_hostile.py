"""No octet a stranger sent does anything to the terminal, whatever it is and wherever it shows."""

import asyncio
import re
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.pilot import Pilot

from backup.catalog import Box, Mailbox, Message, Snapshot
from backup.format import Entry
from mtad.setup.doctor.check import Check, Verdict
from tests.tui_server import (
    NOW,
    MadeUp,
    MadeUpActing,
    events_of,
    letter,
    message,
    recipients_of,
    world,
)
from tracing import events, search
from tracing.queries import Row, Stored
from tracing.states import State
from tui import preview
from tui.acts import looks
from tui.app import MtadApp
from tui.data import Account, Domain, Failure, Folder, Waiting
from tui.run import settle
from tui.screens import shelves
from tui.screens.dialogs import Page
from tui.screens.health import CheckLook
from tui.screens.levels import LEVELS
from tui.screens.mailboxes import MailboxesScreen
from tui.screens.messages import FailureLook, MessageLook, summary
from tui.screens.timeline import RecipientLook, StepLook, event_lines, steps
from tui.screens.trace import error_lines
from tui.screens.waiting import HeldLook
from tui.widgets.cells import Cells

BAD = re.compile(
    "[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\ud800-\udfff\u2028\u2029]"
)
NASTY = (
    "[/red]",
    "[b]bold[/b] [link=x]",
    "\x1b]0;x\x07",
    "\x1b[2J\x9b31m",
    "\u202egnp.exe\u2066",
    "\ud800\udfff",
    "a\r\n\tb\x00\x7f",
    "👩‍👩‍👧‍👦 ❤️ 🇷🇺",
    "e\u0301\u0302\u0303",
    "会議" * 30,
    "y" * 4000,
    "\u200b\u200f\ufeff\u2028",
)
hostile = st.lists(
    st.one_of(st.sampled_from(NASTY), st.text(st.characters(), max_size=40)), max_size=4
).map("".join)
widths = st.integers(40, 200)


def check(lines: list[Cells], width: int | None = None) -> None:
    """Nothing in the lines can be more than looked at, and the width is kept."""
    for line in lines:
        text = "".join(piece for piece, _ in line)
        assert not BAD.search(text), ascii(text)
        text.encode()
        if width is not None:
            assert cell_len(text) == width, (cell_len(text), width, ascii(text))


def dirty(text: str, state: State = State.STORED) -> Row:
    """A row all of whose texts are hostile."""
    return replace(
        message(3),
        sender=text,
        recipients=(text,),
        subject=text,
        message_id=text,
        ip=text,
        helo=text,
        header_from=text,
        state=state,
    )


def taken(text: str) -> Snapshot:
    """A snapshot all of whose texts are hostile."""
    return Snapshot(text, NOW, text, 1, 2, 3, 4, 5, 6.0, 7)


def kept(text: str) -> Message:
    """A message in a snapshot all of whose texts are hostile."""
    entry = Entry(text, 2, text, 0, 1, text, (text,), NOW * 1000, 3, b"")
    return Message(entry, text, text, NOW, text)


def dirty_events(text: str, row: Row) -> list[Stored]:
    """Events all of whose texts are hostile."""
    happened: list[events.Event] = [
        events.SmtpReject(
            at=NOW, trace=row.id, addr=text, host=text, enh=text, reply=text, actor=text,
            stage=text, argument=text, check=text,
        ),
        events.BoxExpunge(
            at=NOW, trace=row.id, addr=text, mailbox=text, subjects=(text, text), client=text
        ),
        events.Unknown(at=NOW, trace=row.id, was=text, fields=text),
    ]  # fmt: skip
    return [Stored("2026-11", seq + 1, event) for seq, event in enumerate(happened)]


@given(hostile, widths, st.sampled_from(State))
@settings(max_examples=150, deadline=None)
def test_lines_of_messages(text: str, width: int, state: State) -> None:
    row = dirty(text, state)
    made = world(MadeUp())
    check([MessageLook(made).cells(row.id, row, width)], width)
    check([FailureLook(made).cells(0, Failure(row, text), width)], width)
    check(summary(row.id, row, made, width))
    for recipient in recipients_of(row):
        recipient.addr = recipient.original = recipient.reply = recipient.mailbox = text
        recipient.enh = text
        check([RecipientLook(made).cells(0, recipient, width)], width)


@given(hostile, widths)
@settings(max_examples=150, deadline=None)
def test_lines_of_events(text: str, width: int) -> None:
    made = world(MadeUp())
    for step in steps(dirty_events(text, message(3))):
        check([StepLook(made).cells(0, step, width)], width)
        lines = event_lines(step[1], made, width)
        check(lines)
        assert len(lines) <= 5


@given(hostile, widths)
@settings(max_examples=150, deadline=None)
def test_lines_of_snapshots(text: str, width: int) -> None:
    made = world(MadeUp())
    items = (taken(text), Box(text, 1, 2), Mailbox(text, 1, 2, 3), kept(text))
    for level, item in zip(LEVELS, items, strict=True):
        check([level(made).cells(0, item, width)])
        check(list(level(made).detail(item, width)), width)


@given(hostile, widths)
@settings(max_examples=150, deadline=None)
def test_lines_of_boxes(text: str, width: int) -> None:
    made = world(MadeUp())
    whole = Account(text, (), 1, 2, 3, 4, True, NOW, NOW, (text,), (text,), False, (text,))
    items = (
        (shelves.Domains, Domain(text, 1, 2, True)),
        (shelves.Accounts, whole),
        (shelves.Accounts, Account(text, (text,))),
        (shelves.Folders, Folder(text, 1, 2, 3)),
        (shelves.Letters, letter(kept(text))),
    )
    for level, item in items:
        check([level(made).cells(0, item, width)])
        check(list(level(made).detail(item, width)), width)


@given(hostile, widths)
@settings(max_examples=150, deadline=None)
def test_lines_of_what_is_held(text: str, width: int) -> None:
    row = Waiting(1, 1, State.HELD, text, text, text, 1, NOW, 1, 0, text, text)
    look = HeldLook(world(MadeUp()), set())
    check([look.cells(0, row, width)], width)
    check(list(look.detail(row, width)))


@given(st.binary(max_size=2000) | hostile.map(lambda text: text.encode("utf-8", "replace")))
@settings(max_examples=150, deadline=None)
def test_the_page_of_any_octets(raw: bytes) -> None:
    for head in (b"", b"Subject: x\r\n\r\n", b"Content-Type: text/html\n\n<p>"):
        page = preview.lines(head + raw, len(raw))
        assert len(page) < preview.MAX_LINES + 100
        check(list(Page(head.decode(), page)._shown(60, 20)))


@given(hostile, widths, st.sampled_from(Verdict))
@settings(max_examples=150, deadline=None)
def test_lines_of_checks(text: str, width: int, verdict: Verdict) -> None:
    look = CheckLook(world(MadeUp()))
    check_ = Check(text, text, text, verdict, text, text)
    check([look.cells(0, check_, width)], width)
    check(list(look.detail(check_, width)))


@given(hostile)
@settings(max_examples=150, deadline=None)
def test_a_wrong_filter_is_shown_as_safely(text: str) -> None:
    try:
        search.parse(text, NOW)
    except search.SearchError as error:
        check(error_lines(text, error))


@given(st.lists(hostile, min_size=1, max_size=6), st.sampled_from([(120, 36), (80, 24)]))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_whole_program(texts: list[str], size: tuple[int, int]) -> None:
    rows = [replace(dirty(text), id=message(index).id) for index, text in enumerate(texts)]
    server = MadeUp(
        rows={row.id: row for row in rows},
        saved_snapshots=[taken(text) for text in texts],
        saved_messages=[kept(text) for text in texts],
        box_names=tuple(texts),
        mailbox_names=tuple(texts),
        checks=tuple(Check(text, text, text, Verdict.BAD, text, text) for text in texts),
        said=texts[0],
        story_events=[*events_of(rows[0]), *dirty_events(texts[0], rows[0])],
    )

    async def look() -> None:
        app = MtadApp(world(server))
        async with app.run_test(size=size) as pilot:
            for keys in (
                (),
                "2",
                ("enter",),
                ("end",),
                ("escape",),
                "5",
                *[("enter",)] * 3,
                "7",
                "4",
            ):
                await pilot.press(*keys)
                await settle(pilot)
                harmless(pilot)

    def harmless(pilot: Pilot[Any]) -> None:
        for strip in pilot.app.screen._compositor.render_strips():
            check([[(segment.text, "") for segment in strip]], size[0])

    asyncio.run(look())


@given(hostile)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_message_that_is_read(text: str) -> None:
    server = MadeUp(
        saved_messages=[kept(text)],
        box_names=(text,),
        mailbox_names=(text,),
        domain=text,
        page=(text, text),
    )

    async def look() -> None:
        app = MtadApp(world(server, MadeUpActing()), start="mailboxes")
        async with app.run_test(size=(80, 24)) as pilot:
            await settle(pilot)
            for _ in range(3):
                await pilot.press("enter")
                await settle(pilot)
            screen = app.screen
            assert isinstance(screen, MailboxesScreen)
            screen.reasons[screen.names[1]] = "asked to"
            with patch.object(looks, "reads"):
                await pilot.press("enter")
                for _ in range(100):
                    await pilot.pause(0.01)
                    if isinstance(app.screen, Page):
                        break
            assert isinstance(app.screen, Page)
            for strip in app.screen._compositor.render_strips():
                check([[(segment.text, "") for segment in strip]], 80)

    asyncio.run(look())
