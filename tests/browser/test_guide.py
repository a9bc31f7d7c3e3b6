"""The guide and the reference in a real browser: nothing serious for axe, wide and in light,
narrow and in the dark."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.watching import Browse, Scheme, Size, violations
from tests.fakes.web_parts import Parts, Web, web

PAGES = (
    "?lang=en",
    "/guide/quick-start?lang=en",
    "/guide/handoff?lang=zh",
    "/completions/createcompletion?lang=zh",
)


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(Parts(tmp_path_factory.mktemp("docs"))) as site:
        yield site


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_pages_and_the_search(browser: Browser, docs: Web, size: Size, scheme: Scheme) -> None:
    """The search with what it found, too."""
    browse = Browse(browser, docs.user.base_url)
    page = browse.tab(size, scheme)
    for path in PAGES:
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
