"""A small bar chart as SVG: groups of bars with their values, readable in light and dark."""

import dataclasses
from collections.abc import Sequence
from xml.sax.saxutils import escape

BAR_HEIGHT, BAR_GAP, GROUP_GAP = 18, 4, 26
LABEL_WIDTH, PLOT_WIDTH, VALUE_WIDTH = 190, 420, 150
TITLE_HEIGHT, MARGIN = 44, 16
PALETTE = ("#8a94a6", "#4c7bd9", "#d9822b", "#3f9d6b")


@dataclasses.dataclass(frozen=True)
class Bar:
    """One bar: whose it is, how long, and what stands beside it."""

    name: str
    value: float
    told: str


@dataclasses.dataclass(frozen=True)
class Group:
    """Bars of one unit, scaled to the longest of them."""

    title: str
    bars: Sequence[Bar]


def bar_chart(title: str, groups: Sequence[Group]) -> str:
    """The whole SVG document."""
    names = list(dict.fromkeys(bar.name for group in groups for bar in group.bars))
    parts, y = [], MARGIN + TITLE_HEIGHT
    for group in groups:
        parts.append(_text(MARGIN, y, group.title, "group"))
        y += 10
        for bar in group.bars:
            parts.append(_bar(bar, y, max(one.value for one in group.bars), names))
            y += BAR_HEIGHT + BAR_GAP
        y += GROUP_GAP
    width = LABEL_WIDTH + PLOT_WIDTH + VALUE_WIDTH + 2 * MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" '
        f'width="{width}" height="{y}" role="img" aria-label="{escape(title)}">'
    )
    style = (
        "<style>text{font:13px sans-serif;fill:#333}.title{font-size:17px}"
        ".group{font-weight:bold}.name{text-anchor:end}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}}</style>"
    )
    return "\n".join([head, style, _text(MARGIN, MARGIN + 14, title, "title"), *parts, "</svg>\n"])


def _bar(bar: Bar, y: float, longest: float, names: list[str]) -> str:
    length = PLOT_WIDTH * bar.value / longest if longest > 0 else 0
    fill = PALETTE[names.index(bar.name) % len(PALETTE)]
    x, middle = MARGIN + LABEL_WIDTH, y + BAR_HEIGHT - 5
    return "".join(
        [
            _text(x - 8, middle, bar.name, "name"),
            f'<rect x="{x}" y="{y}" width="{length:.1f}" height="{BAR_HEIGHT}" fill="{fill}"/>',
            _text(x + length + 6, middle, bar.told, "value"),
        ]
    )


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>'
