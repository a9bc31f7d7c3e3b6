"""Texts from outside as pages show them: what a terminal or a bidirectional layout would act on is
made visible, and nothing is longer than a page can bear. Pure.

Escaping for HTML is the templates' (autoescape); this runs before it on every value of a page.
"""

import re
from typing import Any

from markupsafe import Markup, escape

CHARACTERS_MAX = 2_000
"""Of one value on a page."""
ENDING = "…"
_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
"""Control characters but tab and newline, marks and overrides of direction, invisible ones."""


def plain(text: str, characters_max: int = CHARACTERS_MAX) -> str:
    """The text without effects.

    >>> plain("a" + chr(27) + "[31mb" + chr(0x202e) + "c")
    'a\\\\x1b[31mb\\\\u202ec'
    """
    if len(text) > characters_max:
        text = text[:characters_max] + ENDING
    return _ACTING.sub(_written, text)


def whole(text: str) -> Markup:
    """All of a text whose page bounds itself how much it shows; without effects, escaped."""
    return escape(plain(text, len(text)))


def _written(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def finalize(value: Any) -> Any:
    """What a template puts out: texts made plain, markup of ours as it is."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return plain(value)
