"""The colours of tokens: readable, and told apart by every kind of colour vision."""

import itertools
import math
import re

import pytest

from baton.web.console.room import HERE

Colour = tuple[float, float, float]
"""Linear red, green, blue: 0 to 1."""
CONTRAST_LEAST = 4.5
DIFFERENCE_LEAST = 3.0
"""Of neighbours, in CIELAB: 2.3 is what is just noticed."""
VISIONS: dict[str, tuple[Colour, Colour, Colour]] = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    # Machado, Oliveira and Fernandes 2009, severity 1.0
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
THEMES = {"light": 0, "dark": 1}


def linear(text: str) -> Colour:
    def one(at: int) -> float:
        value = int(text[at : at + 2], 16) / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    return one(1), one(3), one(5)


def luminance(colour: Colour) -> float:
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


def contrast(one: Colour, other: Colour) -> float:
    """As WCAG works it out."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def seen(colour: Colour, vision: str) -> Colour:
    first, second, third = (
        min(1.0, max(0.0, sum(a * b for a, b in zip(row, colour, strict=True))))
        for row in VISIONS[vision]
    )
    return first, second, third


def lab(colour: Colour) -> Colour:
    r, g, b = colour
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089

    def f(value: float) -> float:
        return float(value ** (1 / 3)) if value > 0.008856 else 7.787 * value + 16 / 116

    y = f(luminance(colour))
    return 116 * y - 16, 500 * (f(x) - y), 200 * (y - f(z))


def difference(one: Colour, other: Colour) -> float:
    return math.dist(lab(one), lab(other))


def levels(theme: str) -> list[Colour]:
    """The six of the sheet, from certain to nearly impossible."""
    sheet = (HERE / "static/playground/playground.css").read_text(encoding="utf-8")
    found = re.findall(r"--level-\d: light-dark\((#\w{6}), (#\w{6})\);", sheet)
    assert 6 == len(found)
    return [linear(each[THEMES[theme]]) for each in found]


def texts(theme: str) -> Colour:
    """The colour of texts on the console's pages."""
    sheet = (HERE / "static/console.css").read_text(encoding="utf-8")
    found = re.findall(r"--text: (#\w{6})", sheet)
    return linear(found[THEMES[theme]])


@pytest.mark.parametrize("theme", THEMES)
def test_text_is_readable_on_every_colour(theme: str) -> None:
    assert CONTRAST_LEAST <= min(contrast(texts(theme), each) for each in levels(theme))


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("theme", THEMES)
def test_neighbours_are_told_apart_by_every_vision(theme: str, vision: str) -> None:
    """And the two ends by far."""
    found = [seen(each, vision) for each in levels(theme)]
    steps = [difference(one, other) for one, other in itertools.pairwise(found)]
    assert DIFFERENCE_LEAST <= min(steps), steps
    assert 10 * DIFFERENCE_LEAST <= difference(found[0], found[-1])
