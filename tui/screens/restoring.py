"""Putting mail back from a screen: the plan is shown and asked for, then progress is told."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from tui.acts import restore
from tui.acts.restore import Planned, Progress, Wanted
from tui.formats import number
from tui.lang import N_, _
from tui.screens.dialogs import Confirm
from tui.screens.frame import Frame
from tui.source import Trouble
from tui.work import start

if TYPE_CHECKING:
    from mtad.config import Loaded

TELL_SECONDS = 0.2
ABOUT = "restore"

Do = Callable[["Loaded", Progress], str]


async def ask(screen: Frame, wanted: Sequence[Wanted], done: Callable[[], None]) -> None:
    """Show what would be put back, and do it when that is wanted. Raises Trouble."""
    screen.say(ABOUT, _("looking what can be put back …"))
    planned = await screen.acting(lambda loaded: restore.plan(loaded, wanted))
    if not planned.doing:
        raise Trouble(_("it is there already: nothing to put back"))
    chosen = planned.wanted
    _confirm(
        screen,
        _("Put this back?"),
        planned,
        lambda loaded, progress: restore.carry_out(loaded, chosen, progress),
        done,
        N_("{}; U on the Snapshots screen takes it back"),
    )


async def ask_undo(screen: Frame, done: Callable[[], None]) -> None:
    """Show what taking the last restore back would do, and do it. Raises Trouble."""
    screen.say(ABOUT, _("looking what can be put back …"))
    name, planned = await screen.acting(restore.plan_undo)
    _confirm(
        screen,
        _("Take the restore {} back?").format(name),
        planned,
        lambda loaded, progress: restore.undo(loaded, name, progress),
        done,
    )


def _confirm(
    screen: Frame,
    question: str,
    planned: Planned,
    do: Do,
    done: Callable[[], None],
    told: str = "",
) -> None:
    def decided(yes: bool | None) -> None:
        if yes:
            start(screen, "message", screen.reading, ABOUT, partial(_run, screen, do, done, told))

    screen.app.push_screen(Confirm(question, planned.lines), decided)


async def _run(screen: Frame, do: Do, done: Callable[[], None], told: str) -> None:
    loop, last = asyncio.get_running_loop(), [0.0]

    def progress(count: int, total: int) -> None:
        """In the acting thread: a sentence now and then, which nobody waits for."""
        if time.monotonic() - last[0] >= TELL_SECONDS:
            last[0] = time.monotonic()
            sentence = _("put back {} of {}").format(number(count), number(total))
            with suppress(RuntimeError):  # the program was left; the restore goes on
                loop.call_soon_threadsafe(screen.say, ABOUT, sentence)

    said = await screen.acting(lambda loaded: do(loaded, progress))
    screen.flash(_(told).format(said) if told else said)
    done()
