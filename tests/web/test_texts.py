"""Every word in both languages, and the page's language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.web.texts import DEFAULT, LANGUAGES, chosen, load

TEXTS = load()


def test_both_languages_have_every_text() -> None:
    """Nobody meets an empty or missing text, and placeholders agree."""
    zh, en = TEXTS["zh"], TEXTS["en"]
    assert set(zh) == set(en)
    assert [] == [key for key in zh if not zh[key].strip() or not en[key].strip()]
    assert [] == [key for key in zh if zh[key].count("{}") != en[key].count("{}")]


def test_english_texts_are_english() -> None:
    """No Chinese slipped into the second language (but the name of the first)."""
    foreign = [key for key, text in TEXTS["en"].items() if any("一" <= c <= "鿿" for c in text)]
    assert ["language.zh"] == foreign


@pytest.mark.parametrize(
    ("asked", "accepted", "expected"),
    [
        (None, "", "zh"),
        (None, "en-US,en;q=0.9", "en"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "de, en;q=0.8, zh;q=0.5", "en"),
        (None, "fr", "zh"),
        (None, "en;q=0", "zh"),
        (None, "en;q=high, zh;q=0.1", "zh"),
        ("en", "zh", "en"),
        ("zh", "en", "zh"),
        ("fr", "en", "en"),
    ],
)
def test_the_language_of_a_page(asked: str | None, accepted: str, expected: str) -> None:
    """The question wins, then the browser's best of ours, then Chinese."""
    assert expected == chosen(asked, accepted)


@given(st.none() | st.text(max_size=5), st.text(max_size=30))
def test_any_header_gives_a_language(asked: str | None, accepted: str) -> None:
    """Whatever a browser sends, there is a page."""
    assert chosen(asked, accepted) in LANGUAGES
    assert DEFAULT in LANGUAGES
