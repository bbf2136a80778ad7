"""The Health screen: what the doctor finds, looked at beside everything else."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from textual.app import App

from mtad.config import Loaded
from mtad.setup.doctor.check import Check, Verdict
from tests.tui_server import CHECKS, MadeUp, world
from tui.app import MtadApp
from tui.disk import Disk
from tui.run import settle
from tui.screens.health import HealthScreen


def text(app: App[Any]) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def test_the_worst_comes_first_and_is_told_in_full() -> None:
    app = MtadApp(world(MadeUp.filled()))
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("7")
        await settle(pilot)
        screen = app.screen
        assert isinstance(screen, HealthScreen)
        listed = [screen.table.vector.rows[number] for number in screen.table.vector.ids]
        assert sorted(listed, key=str) == sorted(CHECKS, key=str)
        assert [one.verdict for one in listed[:3]] == [Verdict.BAD, Verdict.WARN, Verdict.UNKNOWN]
        assert "1 bad" in text(app)
        assert "look at listen.smtp" in text(app)
        await pilot.press("y")
        await pilot.pause()
        assert app.clipboard.splitlines()[0] == "ports.smtp:0.0.0.0:25"
        assert "  cause: no role of this server listens there" in app.clipboard


@pytest.mark.parametrize("key", ["r", "к", "f5"])
async def test_a_look_that_goes_on_is_not_begun_again(key: str) -> None:
    begun = []
    gate = asyncio.Event()

    class Slow(MadeUp):
        async def health(self) -> Sequence[Check]:
            begun.append(1)
            await gate.wait()
            return CHECKS

    app = MtadApp(world(Slow()), start="health")
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        assert "checking …" in text(app)
        await pilot.press(key, "2", "7")
        await pilot.pause()
        assert len(begun) == 1
        gate.set()
        await settle(pilot)
        assert "checking …" not in text(app)
        await pilot.press(key)
        await settle(pilot)
        assert len(begun) == 2


async def test_a_real_server_is_looked_at(site: Loaded) -> None:
    nobody = '[dns]\nnameservers = ["127.0.0.1"]\nport = 1\ntimeout_seconds = 0.3\n'
    site.path.write_text(site.path.read_text().replace("[dns]\n", nobody, 1))
    disk = Disk(site.places, site.path)
    try:
        found = {check.id: check for check in await disk.health()}
    finally:
        await disk.close()
    assert found["roles.mta"].verdict is Verdict.BAD
    assert found["disk.space"].measured
