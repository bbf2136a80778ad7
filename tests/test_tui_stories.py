"""What a person does with the terminal UI, key by key."""

import asyncio
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui_server import NOW, MadeUp, message, world
from tracing import ids
from tui import actions
from tui.app import SCREENS, MtadApp
from tui.data import Around, Glance
from tui.run import settle
from tui.screens.help import HelpScreen
from tui.screens.overview import OverviewScreen
from tui.screens.snapshots import SnapshotsScreen
from tui.screens.timeline import TimelineScreen
from tui.screens.trace import TraceScreen
from tui.vtable import VTable
from tui.widgets.header import TABS
from tui.world import World


def lines(app: App[Any]) -> list[str]:
    """What is on the screen."""
    return [strip.text for strip in app.screen._compositor.render_strips()]


def text(app: App[Any]) -> str:
    """What is on the screen, as one text."""
    return "\n".join(lines(app))


async def press(pilot: Pilot[Any], *keys: str) -> None:
    """Press keys one after the other, waiting for each."""
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


async def until(pilot: Pilot[Any], wanted: str) -> None:
    """Wait until a text is on the screen."""
    for _ in range(400):
        await pilot.pause(0.01)
        if wanted in text(pilot.app):
            return
    raise AssertionError(f"{wanted!r} did not come:\n{text(pilot.app)}")


async def test_filter_to_a_message_and_open_its_timeline_in_four_keys() -> None:
    server = MadeUp.filled()
    app = MtadApp(world(server))
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "2", "/")
        await pilot.press(*"subj:invoice")
        await press(pilot, "enter", "enter")
        screen = app.screen
        assert isinstance(screen, TimelineScreen)
        first = next(row for row in server.rows.values() if row.subject.startswith("Invoice"))
        assert screen.m == first.id
        assert ids.text(first.id) in text(app)
        assert "delivered to" in text(app)
        assert "in INBOX" in text(app)
        await press(pilot, "escape")
        assert isinstance(app.screen, TraceScreen)


async def test_a_key_of_the_russian_layout_does_the_same() -> None:
    app = MtadApp(world(MadeUp.filled()), start="trace")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        screen = app.screen
        assert isinstance(screen, TraceScreen)
        await press(pilot, "о", "о")
        assert screen.table.cursor == 2
        await press(pilot, "а")
        assert screen.tail
        await press(pilot, ",")
        assert isinstance(app.screen, HelpScreen)
        await press(pilot, "й")
        await press(pilot, ".")
        assert isinstance(app.focused, Input)


async def test_the_tail_prepends_while_the_cursor_stays() -> None:
    server = MadeUp.filled()
    app = MtadApp(world(server), start="trace")
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        screen = app.screen
        assert isinstance(screen, TraceScreen)
        await press(pilot, "f")
        assert "TAIL ● following" in text(app)
        first = server.arrive(1001, NOW - 1_500_000)
        await screen._poll()
        assert screen.table.newest == first.id
        assert screen.table.cursor == 0

        await press(pilot, "down", "down", "down")
        held = screen.table.current
        await until(pilot, "TAIL ‖ stopped")
        where = next(index for index, line in enumerate(lines(app)) if line.startswith("▌"))
        server.arrive(1002, NOW - 1_000_000)
        late = server.arrive(1003, NOW - 90_000_000)
        screen._looked_back = 0
        await screen._poll()
        await until(pilot, "▲ 2 new")
        assert screen.table.current == held
        assert lines(app)[where].startswith("▌")
        assert late.id in list(screen.table.vector.ids)
        assert list(screen.table.vector.ids) == sorted(screen.table.vector.ids, reverse=True)

        await press(pilot, "g")
        await until(pilot, "TAIL ● following")
        assert screen.table.cursor == 0


async def test_the_tail_follows_by_itself() -> None:
    server = MadeUp.filled(30)
    moving = [NOW]

    def now() -> int:
        moving[0] += 400_000
        return moving[0]

    made = world(server)
    app = MtadApp(type(made)(made.reading, made.host, now, made.zone), start="trace")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("f")
        row = server.arrive(2000, NOW + 500_000)
        await until(pilot, f"{row.sender[:10]}")
        screen = app.screen
        assert isinstance(screen, TraceScreen)
        for _ in range(400):
            if screen.table.newest == row.id:
                break
            await pilot.pause(0.01)
        assert screen.table.newest == row.id


async def test_a_state_that_changes_is_shown_by_the_tail() -> None:
    server = MadeUp.filled(30)
    app = MtadApp(world(server), start="trace")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "f")
        top = next(iter(server.rows.values()))
        server.rows[top.id] = type(top)(
            **{name: getattr(top, name) for name in top.__slots__}
            | {"sender": "other@mail.example"}
        )
        screen = app.screen
        assert isinstance(screen, TraceScreen)
        await screen._poll()
        await until(pilot, "other@mail.example")


async def test_browse_a_snapshot_to_a_message_and_back() -> None:
    server = MadeUp.filled()
    app = MtadApp(world(server))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "5", "down", "enter", "down", "enter", "enter", "down")
        screen = app.screen
        assert isinstance(screen, SnapshotsScreen)
        assert "2026-11-23 03:00" in text(app)
        assert "i.petrov@example.org › INBOX" in text(app)
        assert "Отчёт за неделю 47" in lines(app)[-4]
        await press(pilot, "escape", "escape", "escape")
        assert screen.table.cursor == 1
        assert len(screen.table) == 30


async def test_screens_keep_their_place() -> None:
    app = MtadApp(world(MadeUp.filled()))
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert isinstance(app.screen, OverviewScreen)
        await press(pilot, "2", "pagedown", "1", "2")
        screen = app.screen
        assert isinstance(screen, TraceScreen)
        assert screen.table.cursor == screen.table.size.height


async def test_a_failure_opens_its_timeline_from_the_overview() -> None:
    server = MadeUp.filled()
    app = MtadApp(world(server))
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "enter")
        screen = app.screen
        assert isinstance(screen, TimelineScreen)
        assert server.rows[screen.m].state.word == "refused"
        assert "550 5.1.1 No such box here" in text(app)


async def test_figures_that_take_longer_than_the_refresh_are_still_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Slow(MadeUp):
        async def glance(self, now_us: int) -> Glance:
            await asyncio.sleep(0.3)
            return await super().glance(now_us)

    monkeypatch.setattr("tui.screens.overview.REFRESH_SECONDS", 0.05)
    monkeypatch.setattr("tui.work.REFRESH_SECONDS", 0.05)
    monkeypatch.setattr("tui.work.PATIENCE", 0)
    made = world(Slow.filled())
    app = MtadApp(World(made.reading, made.host, zone=made.zone))
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, "delivered ")


async def test_processes_that_do_not_answer_do_not_keep_figures_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that is starting: no log at first, and sockets on which nobody says anything."""

    class Starting(MadeUp):
        async def around(self) -> Around:
            await asyncio.sleep(3600)
            return await super().around()

    monkeypatch.setattr("tui.screens.overview.REFRESH_SECONDS", 0.05)
    monkeypatch.setattr("tui.work.REFRESH_SECONDS", 0.05)
    server = Starting.filled()
    server.nothing = True
    app = MtadApp(world(server))
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, "no failures in the last 24 h")
        assert "delivered " not in text(app)
        server.nothing = False
        await until(pilot, "4,812")


async def test_a_clock_set_back_does_not_stop_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.screens.overview.REFRESH_SECONDS", 0.05)
    monkeypatch.setattr("tui.work.REFRESH_SECONDS", 0.05)
    monkeypatch.setattr("tui.work.PATIENCE", 0)
    server = MadeUp.filled()
    server.nothing = True
    now = [NOW]
    app = MtadApp(World(server, "mail.example.org", now_us=lambda: now[0], zone=UTC))
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        now[0] -= 3_600_000_000
        server.nothing = False
        await until(pilot, "4,812")


async def test_a_wrong_filter_leaves_the_list_and_escape_the_filter() -> None:
    app = MtadApp(world(MadeUp.filled()), start="trace")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        screen = app.screen
        assert isinstance(screen, TraceScreen)
        await pilot.press("/", *"form:x", "enter")
        await settle(pilot)
        shown = lines(app)
        caret = next(index for index, line in enumerate(shown) if "did you mean from:" in line)
        assert shown[caret].index("^") == shown[caret - 1].index("form:x")
        assert len(screen.table) == 500
        await press(pilot, "escape")
        assert screen.query_one("#filter", Input).value == ""
        assert app.focused is screen.table


async def test_nothing_fits_and_escape_drops_the_filter() -> None:
    app = MtadApp(world(MadeUp.filled()), start="trace")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("/", *"nobody-at-all", "enter")
        await settle(pilot)
        assert "no message fits this filter; esc drops it" in text(app)
        assert "0 of 500" in text(app)
        await press(pilot, "escape")
        assert "500" in lines(app)[1]


async def test_a_click_moves_and_the_header_changes_screens() -> None:
    app = MtadApp(world(MadeUp.filled()))
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        header = lines(app)[0]
        await pilot.click(offset=(header.index("Trace"), 0))
        await settle(pilot)
        screen = app.screen
        assert isinstance(screen, TraceScreen)
        await pilot.click(VTable, offset=(10, 5))
        await settle(pilot)
        assert screen.table.cursor == 5


async def test_the_footer_says_what_keys_do_here_and_a_click_presses_one() -> None:
    app = MtadApp(world(MadeUp.filled()), start="trace")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert lines(app)[-1].startswith(" enter Open  / Filter  f Tail  d Detail  w Why  ? Help  ")
        assert lines(app)[-1].endswith("  ^p Commands ")
        await press(pilot, "/")
        assert lines(app)[-1].startswith(" ⏎ Apply  esc Leave  ")
        await press(pilot, "escape")
        await pilot.click(offset=(lines(app)[-1].index("Help"), 23))
        await settle(pilot)
        assert isinstance(app.screen, HelpScreen)
        await pilot.resize_terminal(60, 15)
        await pilot.pause()
        await press(pilot, "escape")
        assert lines(app)[-1].rstrip() == " enter Open  / Filter  f Tail  d Detail  w Why  ? Help"


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("width", [60, 80])
async def test_help_is_offered_however_narrow_it_is(screen: str, width: int) -> None:
    app = MtadApp(world(MadeUp.filled()), start=screen)
    async with app.run_test(size=(width, 20)) as pilot:
        await settle(pilot)
        assert "? Help" in lines(app)[-1]


async def test_a_snapshot_that_is_made_shows_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.screens.snapshots.REFRESH_SECONDS", 0.02)
    server = MadeUp.filled()
    last = server.saved_snapshots[0]
    app = MtadApp(world(server), start="snapshots")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "down", "down")
        screen = app.screen
        assert isinstance(screen, SnapshotsScreen)
        held = screen.table.current_row
        where = next(index for index, line in enumerate(lines(app)) if line.startswith("▌"))
        further = replace(last, name="further", at=NOW - 5_000_000)
        server.saved_snapshots = [further, *server.saved_snapshots]
        await until(pilot, "2026-11-24 14:22:02")
        assert len(screen.table) == 31
        assert screen.table.current_row == held
        assert lines(app)[where + 1].startswith("▌")
        await press(pilot, "enter", "escape")
        assert screen.table.current_row == held


async def test_failures_that_come_leave_the_cursor_on_its_row() -> None:
    server = MadeUp.filled()
    app = MtadApp(world(server))
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "down")
        held = app.screen.query_one("#failures", VTable).current_row
        row = replace(message(3), id=ids.lowest(NOW), at=NOW)
        server.rows = {row.id: row, **server.rows}
        await press(pilot, "f5")
        table = app.screen.query_one("#failures", VTable)
        assert table.cursor == 2
        assert table.current_row == held


async def test_the_palette_has_our_actions_and_nothing_else() -> None:
    app = MtadApp(world(MadeUp.filled()), start="trace")
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await pilot.press("ctrl+p")
        await until(pilot, "Say in a sentence")
        assert "Theme" not in text(app)
        await pilot.press(*"snapshots")
        await until(pilot, "Browse the mail as it was")
        await pilot.press("enter")
        for _ in range(200):
            await pilot.pause(0.01)
            if isinstance(app.screen, SnapshotsScreen):
                break
        assert isinstance(app.screen, SnapshotsScreen)


@pytest.mark.parametrize("action", actions.ACTIONS, ids=lambda action: action.id)
def test_every_action_can_be_called_by_its_keys_and_their_twins(action: actions.Action) -> None:
    assert len(action.label) <= 14
    for key in action.keys:
        assert not (len(key) == 1 and key.isalpha()) or key in actions.TWIN
    bound = {
        key
        for binding in actions.bindings(action.scope)
        if getattr(binding, "id", "") == action.id
        for key in binding.key.split(",")  # type: ignore[union-attr]
    }
    assert {actions.named(key) for key in actions.with_twins(action.keys)} == bound


def test_no_two_actions_of_a_screen_share_a_key() -> None:
    for scope in actions.Scope:
        seen: dict[str, str] = {}
        for action in actions.of(*dict.fromkeys((scope, actions.Scope.APP))):
            for key in actions.with_twins(action.keys):
                if scope is actions.Scope.HELP and action.scope is actions.Scope.APP:
                    continue
                assert key not in seen, f"{key}: {seen[key]} and {action.id}"
                seen[key] = action.id


async def test_without_colour_state_is_still_glyph_and_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = MtadApp(world(MadeUp.filled()), start="trace")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert app.no_color
        line = lines(app)[3]
        assert "●" in line
        assert "delivered" in line
        assert message(0).sender in line


@pytest.mark.parametrize("keys", [("1",), ("2",), ("2", "enter"), ("5",)], ids="-".join)
async def test_a_screen_made_smaller_looks_as_if_it_had_begun_so(keys: tuple[str, ...]) -> None:
    shown = []
    for begun, then in (((80, 24), None), ((120, 36), (80, 24))):
        app = MtadApp(world(MadeUp.filled()))
        async with app.run_test(size=begun) as pilot:
            await settle(pilot)
            await press(pilot, *keys)
            if then is not None:
                await pilot.resize_terminal(*then)
                await settle(pilot)
                await pilot.pause()
            shown.append(text(app))
    assert shown[0] == shown[1]


async def test_books_that_do_not_balance_are_told_on_every_screen() -> None:
    server = MadeUp.filled()
    server.unbalanced = "the books do not balance: 2 violations; 'mtad audit' tells all"
    app = MtadApp(world(server))
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        for screen, _, _ in TABS:
            await press(pilot, screen)
            await until(pilot, "the books do not balance: 2 violations")
            assert app.screen.query_one("#banner").has_class("-bad")


@pytest.mark.parametrize(("earlier", "later"), [("[", "]"), ("х", "ъ")])
async def test_the_overview_walks_through_history(earlier: str, later: str) -> None:
    asked: list[int] = []

    class Asked(MadeUp):
        async def glance(self, now_us: int) -> Glance:
            asked.append((NOW - now_us) // 3_600_000_000)
            return await super().glance(now_us)

    app = MtadApp(world(Asked.filled()))
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert "] Later" not in lines(app)[-1]
        await pilot.press(later)
        await settle(pilot)
        assert set(asked) == {0}
        await press(pilot, earlier, earlier)
        await until(pilot, "until 2026-11-24 12:22:07 UTC")
        assert asked[-1] == 2
        assert "] Later" in lines(app)[-1]
        assert "in 24 h" not in text(app).replace("last 24 h", "")
        await press(pilot, later, later)
        await pilot.pause(0.05)
        assert asked[-1] == 0
        assert "until 2026" not in text(app)


@pytest.mark.parametrize("width", [100, 105, 110, 120, 160])
async def test_whose_server_it_is_is_said_from_100_columns_on(width: int) -> None:
    app = MtadApp(world(MadeUp.filled()))
    async with app.run_test(size=(width, 30)) as pilot:
        await settle(pilot)
        assert "mail.example.org" in lines(app)[0]
        assert all(f" {digit} " in lines(app)[0] for digit, _, _ in TABS)
