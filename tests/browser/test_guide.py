"""The guide and the reference in a real browser: nothing serious for axe, wide and narrow, light
and dark, in both languages."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.watching import Browse, Scheme, Size, violations
from tests.fakes.web_parts import Parts, Web, web

ENGLISH, CHINESE = "/guide/quick-start?lang=en", "/guide/handoff?lang=zh"
INDEX, REFERENCE = "?lang=en", "/completions/createcompletion?lang=zh"
"""Axe takes seconds for each of these two: neither is looked at in every way."""


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(Parts(tmp_path_factory.mktemp("docs"))) as site:
        yield site


@pytest.mark.parametrize(
    ("size", "scheme", "paths"),
    [
        ("desktop", "light", (ENGLISH, CHINESE, INDEX)),
        ("desktop", "dark", (ENGLISH,)),
        ("phone", "light", (CHINESE,)),
        ("phone", "dark", (ENGLISH, CHINESE, REFERENCE)),
    ],
)
def test_pages_and_the_search(
    browser: Browser, docs: Web, size: Size, scheme: Scheme, paths: tuple[str, ...]
) -> None:
    """The search with what it found, too."""
    browse = Browse(browser, docs.user.base_url)
    page = browse.tab(size, scheme)
    for path in paths:
        page.goto(f"/docs{path}")
        assert [] == violations(page), path
    page.goto("/docs/guide/keys?lang=en")
    page.keyboard.press("/")
    page.keyboard.type("haproxy")
    page.wait_for_selector(".found a")
    browse.shoot(page, f"guide-search-{size}-{scheme}")
    assert [] == violations(page)
    assert ([], []) == (browse.said, browse.elsewhere)
    browse.close()
