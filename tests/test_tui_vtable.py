"""The list: chunks, a million ids, merging without moving, moving, exact scroll bar."""

from array import array
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult

from tests.tui_server import MadeUp, world
from tui import formats
from tui.run import _busy
from tui.source import Trouble
from tui.stream import Stream
from tui.vector import Vector
from tui.vtable import VTable
from tui.widgets import plot
from tui.widgets.columns import Column, Columns

WORLD = world(MadeUp())


class Look(Columns[str]):
    """A row is its number and a text."""

    EMPTY = "nothing here"

    def columns(self, width: int) -> Sequence[Column]:
        return [("number", 0, "")]

    def texts(self, row: str, widths: Sequence[int]) -> Sequence[str]:
        return [row]


class Source:
    """Even numbers from 2 to ``2 * count``."""

    def __init__(self, count: int, chunk: int = 100_000, text: str = "row") -> None:
        self.count = count
        self.chunk = chunk
        self.text = text
        self.asked: list[int] = []
        self.more: list[int] = []
        self.trouble_after: int | None = None

    def known(self) -> "tuple[array[int], Mapping[int, str]] | None":
        return None

    async def id_chunks(self) -> AsyncIterator["array[int]"]:
        first = 2 * self.count
        size = 200
        given = 0
        while first > 0:
            if self.trouble_after is not None and given >= self.trouble_after:
                raise Trouble("the disk is gone")
            last = max(0, first - 2 * size)
            yield array("q", range(first, last, -2))
            given += 1
            first, size = last, self.chunk

    async def rows(self, ids: Sequence[int]) -> Mapping[int, str]:
        self.asked.append(len(ids))
        return {number: f"{number} {self.text} {number}" for number in ids}

    async def newer(self, after: int) -> "array[int]":
        known = [*range(2 * self.count, max(after, 0), -2), *self.more]
        return array("q", sorted((n for n in known if n > after), reverse=True))


class Lister(App[None]):
    """A program that is one list."""

    def compose(self) -> ComposeResult:
        yield Stream(Look(WORLD), id="list")

    @property
    def table(self) -> "Stream[str]":
        return self.query_one("#list", Stream)

    async def ready(self) -> None:
        for _ in range(2000):
            await self.pilot_pause()
            if self.table.complete and not _busy(self):
                return
        raise AssertionError("the list did not come to rest")

    async def pilot_pause(self) -> None:
        from textual.pilot import Pilot  # noqa: PLC0415

        await Pilot(self).pause(0.005)

    @property
    def shown(self) -> list[str]:
        return [strip.text.rstrip() for strip in self.screen._compositor.render_strips()]


async def test_a_million_rows_ask_for_few_and_have_an_exact_scroll_bar() -> None:
    app = Lister()
    source = Source(1_000_000)
    async with app.run_test(size=(80, 24)):
        app.table.load(source)
        await app.ready()
        assert len(app.table) == 1_000_000
        assert app.table.virtual_size.height == 1_000_000
        assert app.shown[0].startswith("▌2000000 row 2000000")
        app.table.action_last()
        await app.ready()
        assert app.table.current == 2
        assert app.shown[-1].startswith("▌2 row 2")
        assert app.table.max_scroll_y == 1_000_000 - 24
        assert sum(source.asked) < 400


async def test_the_first_chunk_paints_before_the_rest_is_there() -> None:
    app = Lister()
    seen: list[int] = []

    class Slow(Source):
        async def id_chunks(self) -> AsyncIterator["array[int]"]:
            async for chunk in super().id_chunks():
                yield chunk
                await app.pilot_pause()
                seen.append(len(app.table))
                assert app.shown[0].startswith("▌")

    async with app.run_test(size=(80, 24)):
        app.table.load(Slow(1000, 300))
        await app.ready()
        assert seen == [200, 500, 800, 1000]


async def test_pages_and_ends() -> None:
    app = Lister()
    async with app.run_test(size=(80, 24)) as pilot:
        app.table.load(Source(100))
        await app.ready()
        await pilot.press("pagedown")
        assert app.table.cursor == 24
        await pilot.press("down", "up", "up")
        assert app.table.cursor == 23
        await pilot.press("pageup", "pageup")
        assert app.table.cursor == 0
        assert app.table.at_top
        await pilot.press("G")
        assert app.table.cursor == 99
        await pilot.press("pagedown", "down")
        assert app.table.cursor == 99
        await pilot.press("g")
        assert app.table.at_top


async def test_an_empty_list_says_so_and_survives_every_key() -> None:
    app = Lister()
    async with app.run_test(size=(80, 24)) as pilot:
        app.table.load(Source(0))
        await app.ready()
        assert app.shown[1].strip() == "nothing here"
        await pilot.press("down", "up", "pagedown", "end", "home", "enter")
        assert app.table.current is None
        assert await app.table.poll(0, follow=True) == 0


async def test_trouble_keeps_what_is_there_and_is_told() -> None:
    told: list[str] = []

    class Told(Lister):
        def on_vtable_changed(self, event: VTable.Changed) -> None:
            told.append(event.table.trouble)

    app = Told()
    source = Source(1000)
    source.trouble_after = 1
    async with app.run_test(size=(80, 24)):
        app.table.load(source)
        await app.ready()
        assert len(app.table) == 200
        assert told[-1] == "the disk is gone"
        assert app.table.complete


async def test_a_later_list_replaces_the_one_that_still_loads() -> None:
    app = Lister()
    async with app.run_test(size=(80, 24)):
        app.table.load(Source(500_000, 1000))
        await app.pilot_pause()
        app.table.load(Source(7, text="other"))
        await app.ready()
        assert len(app.table) == 7
        assert app.shown[0] == "▌14 other 14"
        assert app.shown[7] == ""


@given(
    st.lists(st.integers(1, 4000), max_size=30),
    st.integers(0, 999),
    st.integers(0, 970),
)
@settings(max_examples=40, deadline=None)
def test_merging_moves_nothing(fresh: list[int], cursor: int, top: int) -> None:
    table: Stream[str] = Stream(Look(WORLD))
    table.vector = Vector({})
    table.vector.extend(array("q", range(2000, 0, -2)))
    table.cursor = cursor
    held = table.current
    before = set(table.vector.ids)
    sizes: list[int] = []
    table._resized = lambda: sizes.append(len(table))  # type: ignore[method-assign]
    scrolled: list[float] = []
    table.scroll_to = lambda **to: scrolled.append(to["y"])  # type: ignore[method-assign]
    table.set_reactive(Stream.scroll_y, top)
    seen = table.vector.ids[top]
    added = table._merge(array("q", sorted(set(fresh), reverse=True)))
    assert added == len(set(fresh) - before)
    assert list(table.vector.ids) == sorted(before | set(fresh), reverse=True)
    assert table.current == held
    if added:
        assert table.vector.ids[int(scrolled[-1])] == seen


async def test_the_cap_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.vector.CAP", 250)
    app = Lister()
    async with app.run_test(size=(80, 24)):
        app.table.load(Source(1000))
        await app.ready()
        assert len(app.table) == 250
        assert app.table.vector.cut


@given(st.text(st.characters(codec="utf-8"), max_size=60), st.integers(0, 50), st.booleans())
@settings(max_examples=200, deadline=None)
def test_fit_is_exact_for_wide_and_combining_characters(text: str, width: int, right: bool) -> None:
    assert cell_len(formats.cell(text, width, right=right)) == width


@given(
    st.lists(
        st.sampled_from([*"👩👧❤🏽🇷🇺1#é가각ᄀ\u1161\u11a8क्षि", "\u200d", "\ufe0f", "\u20e3"]),
        max_size=12,
    )
)
@settings(max_examples=300, deadline=None)
def test_what_is_shown_takes_the_cells_of_its_characters(chars: list[str]) -> None:
    shown = formats.clean("".join(chars))
    assert cell_len(shown) == sum(map(cell_len, shown))


@given(st.text(st.characters(codec="utf-8"), max_size=80), st.integers(2, 30))
@settings(max_examples=100, deadline=None)
def test_wrap_loses_nothing(text: str, width: int) -> None:
    clean = formats.clean(text)
    lines = list(formats.wrap(clean, width))
    assert "".join(lines) == clean
    assert all(cell_len(line) <= max(width, 2) for line in lines)


@pytest.mark.parametrize(
    ("octets", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (84_123, "84 kB"), (1_234_567, "1.2 MB"),
     (10**15, "1.0 PB"), (10**19, "10000 PB")],
)  # fmt: skip
def test_sizes(octets: int, shown: str) -> None:
    assert formats.size(octets) == shown


@pytest.mark.parametrize(
    ("us", "shown"),
    [(0, "0 µs"), (41_000, "41 ms"), (1_500_000, "1.5 s"), (59_000_000, "59 s"),
     (125_000_000, "2 min 5 s"), (3_600_000_000, "1 h"), (40_920_000_000, "11 h 22 min"),
     (90_000_000_000, "1 d 1 h"), (-5, "-5 µs")],
)  # fmt: skip
def test_spans(us: int, shown: str) -> None:
    assert formats.span(us) == shown


@pytest.mark.parametrize(
    ("us", "shown"),
    [(-5, "0 s"), (372_000, "0 s"), (3_900_000, "3 s"), (59_999_999, "59 s"),
     (60_000_000, "1 min"), (40_920_000_000, "11 h 22 min")],
)  # fmt: skip
def test_ages(us: int, shown: str) -> None:
    assert formats.age(us) == shown


def test_a_time_out_of_range_is_a_question_mark() -> None:
    assert formats.full_time(2**62, None) == "?"
    assert formats.day_time(-(2**62), None) == "?"


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=200),
    st.integers(1, 120),
    st.integers(1, 20),
)
@settings(max_examples=100, deadline=None)
def test_a_plot_fills_its_box_and_shows_whatever_is_not_nothing(
    points: list[tuple[int, int]], width: int, height: int
) -> None:
    top = plot.ceiling(max([a + b for a, b in points] + [1]))
    lines = plot.bars(points, width, height, top)
    assert len(lines) == height
    assert all(sum(len(text) for text, _ in line) == width for line in lines)
    drawn = any(char != " " for line in lines for text, _ in line for char in text)
    if len(points) <= 2 * width:
        assert drawn == any(a or b for a, b in points)


def test_scale() -> None:
    assert [plot.ceiling(n) for n in (0, 1, 7, 27, 99, 101, 550)] == [1, 1, 8, 30, 100, 200, 600]
    assert [plot.short(n) for n in (0, 9999, 10_000, 5 * 10**6, 10**10)] == [
        "0", "9999", "10k", "5M", "max",
    ]  # fmt: skip
