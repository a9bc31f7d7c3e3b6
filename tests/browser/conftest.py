"""One browser a module, and what every test of it is held to: a silent console, no other host."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.watching import Browse, chromium
from tests.running import Server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from chromium()


@pytest.fixture
def browse(browser: Browser, server: Server) -> Iterator[Browse]:
    """A watched browser at the server of all tests."""
    watched = Browse(browser, server.base_url)
    yield watched
    watched.close()
    assert [] == watched.said
    assert [] == watched.elsewhere
