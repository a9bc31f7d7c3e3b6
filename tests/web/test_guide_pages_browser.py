"""The guide in a browser: at phone width, with its search, without a word in the console."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.fakes.web_parts import Web

PAGES = ("", "/guide/settings", "/guide/proxies", "/guide/errors", "/capabilities")
PHONE = 390


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("Chromium is needed for this test: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """At phone width, dark; whatever the console says fails the test."""
    viewport = {"width": PHONE, "height": 844}
    context = browser.new_context(viewport=viewport, color_scheme="dark")  # type: ignore[arg-type]
    opened = context.new_page()
    said: list[str] = []
    hosts: set[str] = set()
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    yield opened
    context.close()
    assert [] == said
    assert 1 == len(hosts), "nothing is asked of other hosts"


@pytest.mark.parametrize("language", ["zh", "en"])
def test_pages_fit_a_phone(site: Web, page: Page, language: str) -> None:
    """None is wider than the screen; tables and code scroll by themselves or are stacked."""
    for path in PAGES:
        page.goto(f"{site.user.base_url}/docs{path}?lang={language}")
        assert PHONE == page.evaluate("document.documentElement.scrollWidth"), path


def test_the_search_is_used_by_keyboard(site: Web, page: Page) -> None:
    """`/` opens it, arrows walk, Enter leads there, Escape closes it."""
    page.goto(f"{site.user.base_url}/docs/guide/keys?lang=en")
    page.keyboard.press("/")
    page.keyboard.type("haproxy")
    page.wait_for_selector(".found a")
    page.keyboard.press("Escape")
    assert not page.is_visible(".found")
    page.keyboard.type(" delay")
    # Not what was found for a part of the word, where keys come slowly.
    expect(page.locator(".found mark").get_by_text("delay", exact=True).first).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/docs/guide/proxies?lang=en#haproxy")


def test_hostile_words_are_looked_for_as_they_are(site: Web, page: Page) -> None:
    """What is typed is text, in what is found, too."""
    page.goto(f"{site.user.base_url}/docs?lang=en")
    page.fill(".search input", "<img src=x onerror=alert(1)>")
    expect(page.locator(".found p")).to_have_text("Nothing found.")
