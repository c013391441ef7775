"""A bar chart as SVG: horizontal, logarithmic, readable on a dark and a light page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from msgspec import Struct

WIDTH, LABEL, ROW, TOP = 900, 300, 24, 40
COLOURS = {"ours": "#2f7d6b", "durable": "#8a8f98", "not durable": "#c9a227"}
TICKS = (10, 100, 1_000, 10_000, 100_000)


class Bar(Struct, frozen=True):
    """One row: its value in microseconds, and what kind of row it is."""

    name: str
    value: float
    kind: str


def plot(bars: Sequence[Bar]) -> str:
    """Return the chart."""
    height = TOP + ROW * len(bars) + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        ' font-family="sans-serif" font-size="13">',
        "<style>text{fill:#555}@media(prefers-color-scheme:dark){text{fill:#bbb}}</style>",
        f'<text x="{LABEL}" y="18">microseconds from one step to the next (p50, logarithmic): shorter is better</text>',
        *(_tick(value, height) for value in TICKS),
        *(_row(index, bar) for index, bar in enumerate(bars)),
        *_legend(height),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _x(value: float) -> float:
    share = math.log10(value / TICKS[0]) / math.log10(TICKS[-1] / TICKS[0])
    return LABEL + max(0.0, share) * (WIDTH - LABEL - 80)


def _tick(value: int, height: int) -> str:
    x, bottom = _x(value), height - 36
    return (
        f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{TOP - 10}" y2="{bottom}" stroke="#8884"/>'
        f'<text x="{x:.0f}" y="{TOP - 12}" text-anchor="middle" font-size="11">{value:,}</text>'
    )


def _row(index: int, bar: Bar) -> str:
    y, end = TOP + ROW * index, _x(bar.value)
    return (
        f'<text x="{LABEL - 8}" y="{y + 15}" text-anchor="end">{escape(bar.name)}</text>'
        f'<rect x="{LABEL}" y="{y + 3}" width="{max(end - LABEL, 2):.0f}" height="{ROW - 8}"'
        f' fill="{COLOURS[bar.kind]}"/>'
        f'<text x="{end + 6:.0f}" y="{y + 15}">{bar.value:,.0f}</text>'
    )


def _legend(height: int) -> list[str]:
    return [
        f'<rect x="{LABEL + 150 * n}" y="{height - 26}" width="12" height="12" fill="{colour}"/>'
        f'<text x="{LABEL + 150 * n + 18}" y="{height - 15}">{kind}</text>'
        for n, (kind, colour) in enumerate(COLOURS.items())
    ]
