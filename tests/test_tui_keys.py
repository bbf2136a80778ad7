"""Every key does what it says: each action has its method, and q leaves, whatever the layout."""

import pytest

from tests.tui_server import MadeUp, world
from tui import actions
from tui.actions import Scope
from tui.app import SCREENS, MtadApp
from tui.run import settle
from tui.screens.dialogs import Confirm, Form, Page
from tui.screens.health import HealthScreen
from tui.screens.help import HelpScreen
from tui.screens.mailboxes import MailboxesScreen
from tui.screens.onmessage import OnMessage
from tui.screens.overview import OverviewScreen
from tui.screens.quarantine import QuarantineScreen
from tui.screens.queue import QueueScreen
from tui.screens.snapshots import SnapshotsScreen
from tui.screens.timeline import TimelineScreen
from tui.screens.trace import TraceScreen
from tui.vtable import VTable
from tui.widgets.header import TABS

WHERE: dict[Scope, type] = {
    Scope.APP: MtadApp,
    Scope.LIST: VTable,
    Scope.OVERVIEW: OverviewScreen,
    Scope.TRACE: TraceScreen,
    Scope.TIMELINE: TimelineScreen,
    Scope.QUEUE: QueueScreen,
    Scope.MAILBOXES: MailboxesScreen,
    Scope.SNAPSHOTS: SnapshotsScreen,
    Scope.QUARANTINE: QuarantineScreen,
    Scope.HEALTH: HealthScreen,
    Scope.HELP: HelpScreen,
    Scope.MESSAGE: OnMessage,
    Scope.CONFIRM: Confirm,
    Scope.FORM: Form,
    Scope.PAGE: Page,
}


@pytest.mark.parametrize("action", actions.ACTIONS, ids=lambda action: action.id)
def test_an_action_has_its_method(action: actions.Action) -> None:
    name = action.call.partition("(")[0]
    assert callable(getattr(WHERE[action.scope], f"action_{name}"))


@pytest.mark.parametrize("key", ["q", "й", "ctrl+q"])
@pytest.mark.parametrize("screen", [digit for digit, _, _ in TABS])
async def test_the_program_is_left(screen: str, key: str) -> None:
    app = MtadApp(world(MadeUp.filled()))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press(screen)
        await settle(pilot)
        await pilot.press(key)
        await pilot.pause()
        assert app._exit


@pytest.mark.parametrize("key", ["q", "й", "escape", "backspace"])
async def test_q_goes_back_from_a_timeline(key: str) -> None:
    app = MtadApp(world(MadeUp.filled()), start="trace")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot)
        assert isinstance(pilot.app.screen, TimelineScreen)
        await pilot.press(key)
        await pilot.pause()
        assert isinstance(pilot.app.screen, TraceScreen)
        assert not app._exit


@pytest.mark.parametrize("screen", SCREENS)
async def test_help_has_every_action_of_its_screen(screen: str) -> None:
    app = MtadApp(world(MadeUp.filled()), start=screen)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        here = app.screen
        scopes = [here.SCOPE, *([Scope.MESSAGE] if isinstance(here, OnMessage) else [])]  # type: ignore[attr-defined]
        await pilot.press("?")
        await settle(pilot)
        assert isinstance(app.screen, HelpScreen)
        told = ["".join(text for text, _ in line) for line in app.screen._lines]
        for action in actions.of(*scopes, Scope.APP):
            assert any(
                line.startswith(f"  {action.key_text}") and action.description in line
                for line in told
            ), action.id
