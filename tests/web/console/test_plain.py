"""Hostile texts have no effect on a page."""

import jinja2
import pytest
from markupsafe import Markup

from baton.web.console.plain import CHARACTERS_MAX, finalize, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u200bb", "a\\u200bb"),
        ("\x00\x9b", "\\x00\\x9b"),
        ("line\n\ttab", "line\n\ttab"),
        ("中文 ordinary é", "中文 ordinary é"),
    ],
)
def test_effects_are_written_out(text: str, shown: str) -> None:
    assert shown == plain(text)


def test_a_long_text_ends(tmp_path: object) -> None:
    assert CHARACTERS_MAX + 1 == len(plain("x" * 1_000_000))


def test_templates_escape_after_it() -> None:
    """Markup of ours passes, texts of others do not."""
    environment = jinja2.Environment(autoescape=True, finalize=finalize)
    template = environment.from_string("{{ a }}|{{ b }}|{{ 1 }}")
    shown = template.render(a="<script>\x1b", b=Markup("<b>"))
    assert "&lt;script&gt;\\x1b|<b>|1" == shown
