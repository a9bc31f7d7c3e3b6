"""Upstreams over time in a real browser: nothing serious for axe, nothing wider than a phone."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.watching import Browse, Scheme, Size, violations
from tests.fakes.web_parts import ADMIN_KEY, Parts, Web, web
from tests.web.console.seen import see

GPU = {"name": "gpu", "url": "http://127.0.0.1:9/v1", "dialect": "vllm", "models": {"m": "m"}}
PAGES = ("upstreams", "upstreams/gpu/history?window=hour")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A site with an upstream that had an outage within the last hour."""
    parts = Parts(tmp_path_factory.mktemp("seen"))
    with web(parts) as site:
        assert 201 == site.admin.post("/admin/v1/upstreams", GPU).status
        see(parts.store, "gpu", int(time.time()))
        yield site


@pytest.mark.parametrize(
    ("size", "scheme", "language"),
    [("desktop", "dark", "zh-CN"), ("phone", "light", "en-GB")],
)
def test_pages(browser: Browser, seen: Web, size: Size, scheme: Scheme, language: str) -> None:
    """The list with its form open, and the history with its table open."""
    browse = Browse(browser, seen.user.base_url)
    page = browse.sign_in(ADMIN_KEY, size, scheme, language)
    for path in PAGES:
        page.goto(f"/console/{path}")
        for summary in page.locator("details > summary").all():
            summary.click()
        if "history" in path:
            expect(page.locator(".lanes .strip")).to_be_visible()
            expect(page.locator("details tbody tr").first).to_be_visible()
        name = path.partition("?")[0].replace("/", "-")
        browse.shoot(page, f"{name}-{size}-{scheme}")
        assert [] == violations(page), path
        wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{path} is {wide} px too wide"
    assert ([], []) == (browse.said, browse.elsewhere)
    browse.close()
