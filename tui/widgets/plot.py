"""A bar plot of braille dots: two stacked series over time, with axes.

Each character holds 2 by 4 dots. The lower series is solid; the upper is drawn with every
second dot, so that the two differ without colour.
"""

from collections.abc import Sequence

from tui.widgets.cells import Cells

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille character by row from the top and column."""
AXIS = 6
"""Cells left of the plot: a number of at most four digits and the axis."""


def ceiling(value: int) -> int:
    """A round number that is not below ``value``: one digit and noughts."""
    step = 1
    while True:
        for factor in (1, 2, 3, 4, 5, 6, 8):
            if step * factor >= value:
                return step * factor
        step *= 10


def short(value: int) -> str:
    """A number in at most four characters."""
    for limit, divisor, unit in ((10**4, 1, ""), (10**6, 10**3, "k"), (10**9, 10**6, "M")):
        if value < limit:
            return f"{value // divisor}{unit}"
    return "max"


def bars(points: Sequence[tuple[int, int]], width: int, height: int, top: int) -> list[Cells]:
    """The plot's own lines: each point gets an equal share of the width."""
    across, down = 2 * width, 4 * height
    lower = [[0] * width for _ in range(height)]
    upper = [[0] * width for _ in range(height)]
    for x in range(across if points else 0):
        below, above = points[x * len(points) // across]
        first = _dots(below, top, down)
        second = max(_dots(below + above, top, down), first + (above > 0))
        for dot in range(min(second, down)):
            row, line = divmod(down - 1 - dot, 4)
            bit = _DOTS[line][x % 2]
            if dot < first:
                lower[row][x // 2] |= bit
            elif (x + dot) % 2 == 0 or second - first == 1:
                upper[row][x // 2] |= bit
    return [_merged(low_line, high_line) for low_line, high_line in zip(lower, upper, strict=True)]


def _dots(value: int, top: int, down: int) -> int:
    """Dots for a value; something that is not nothing has at least one."""
    return max(1, round(value * down / top)) if value > 0 else 0


def _merged(lower: Sequence[int], upper: Sequence[int]) -> Cells:
    """A line's characters, neighbours of one role together."""
    pieces: list[tuple[str, str]] = []
    for low, high in zip(lower, upper, strict=True):
        role = "bad" if high else "good" if low else "dim"
        char = chr(0x2800 + (low | high)) if low or high else " "
        if pieces and pieces[-1][1] == role:
            pieces[-1] = (pieces[-1][0] + char, role)
        else:
            pieces.append((char, role))
    return pieces


def chart(
    points: Sequence[tuple[int, int]], labels: tuple[str, str, str], width: int, height: int
) -> list[Cells]:
    """Pairs of (lower, upper) as bars with a scale; the labels stand below, left to right."""
    across, down = width - AXIS, height - 2
    if across < 10 or down < 1:
        return []
    top = ceiling(max([low + high for low, high in points], default=1) or 1)
    lines: list[Cells] = []
    for index, line in enumerate(bars(points, across, down, top)):
        label = short(top) if index == 0 else ""
        if down >= 4 and index == down // 2 and top % 2 == 0:
            label = short(top // 2)
        lines.append([(f"{label:>4} ", "dim"), ("┤" if label else "│", "dim"), *line])
    left, middle, right = labels
    below = f"{left}{middle:^{across - len(left) - len(right)}}{right}"
    lines.append([(f"{0:>4} └{'─' * across}", "dim")])
    lines.append([(" " * AXIS + below, "dim")])
    return lines
