"""A small bar chart as SVG: groups of bars with their values, readable in light and dark."""

import dataclasses
from collections.abc import Sequence
from xml.sax.saxutils import escape

BAR_HEIGHT, BAR_GAP, GROUP_GAP = 18, 4, 26
LABEL_WIDTH, PLOT_WIDTH, VALUE_WIDTH = 190, 420, 150
TITLE_HEIGHT, MARGIN = 44, 16
PALETTE = ("#8a94a6", "#4c7bd9", "#d9822b", "#3f9d6b", "#a05cb5", "#b5533c")
CUT_AT = 1.25
"""A bar that is longer than so many times the longest of the scale is drawn so long, and cut."""


@dataclasses.dataclass(frozen=True)
class Bar:
    """One bar: whose it is, how long, and what stands beside it."""

    name: str
    value: float
    told: str


@dataclasses.dataclass(frozen=True)
class Group:
    """Bars of one unit, scaled to the longest of them, or of those named in `scale`."""

    title: str
    bars: Sequence[Bar]
    scale: Sequence[str] = ()

    @property
    def longest(self) -> float:
        """The value of a bar over the whole width."""
        of_scale = max((bar.value for bar in self.bars if bar.name in self.scale), default=0.0)
        longest = max(bar.value for bar in self.bars)
        return min(longest, of_scale * CUT_AT) if of_scale else longest


def bar_chart(title: str, groups: Sequence[Group]) -> str:
    """The whole SVG document."""
    names = list(dict.fromkeys(bar.name for group in groups for bar in group.bars))
    parts, y = [], MARGIN + TITLE_HEIGHT
    for group in groups:
        parts.append(_text(MARGIN, y, group.title, "group"))
        y += 10
        for bar in group.bars:
            parts.append(_bar(bar, y, group.longest, names))
            y += BAR_HEIGHT + BAR_GAP
        y += GROUP_GAP
    width = LABEL_WIDTH + PLOT_WIDTH + VALUE_WIDTH + 2 * MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" '
        f'width="{width}" height="{y}" role="img" aria-label="{escape(title)}">'
    )
    style = (
        "<style>text{font:13px sans-serif;fill:#333}.title{font-size:17px}"
        ".group{font-weight:bold}.name{text-anchor:end}.cut{stroke:#fff;stroke-width:3}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}.cut{stroke:#222}}</style>"
    )
    return "\n".join([head, style, _text(MARGIN, MARGIN + 14, title, "title"), *parts, "</svg>\n"])


def _bar(bar: Bar, y: float, longest: float, names: list[str]) -> str:
    length = PLOT_WIDTH * min(1.0, bar.value / longest) if longest > 0 else 0
    fill = PALETTE[names.index(bar.name) % len(PALETTE)]
    x, middle = MARGIN + LABEL_WIDTH, y + BAR_HEIGHT - 5
    return "".join(
        [
            _text(x - 8, middle, bar.name, "name"),
            f'<rect x="{x}" y="{y}" width="{length:.1f}" height="{BAR_HEIGHT}" fill="{fill}"/>',
            _cut(x + length - 24, y) if bar.value > longest else "",
            _text(x + length + 6, middle, bar.told, "value"),
        ]
    )


def _cut(x: float, y: float) -> str:
    """Two slanted gaps: the bar goes on."""
    low, high = y + BAR_HEIGHT + 1, y - 1
    strokes = "".join(f"M{x + step:.1f} {low}l6 {high - low}" for step in (0, 7))
    return f'<path class="cut" d="{strokes}"/>'


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>'
