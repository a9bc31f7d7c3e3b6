"""A real browser at a real Baton, watched: what its console says, and whom it asks.

    def test_something(browse: Browse) -> None:
        page = browse.sign_in(server.admin_key)         # a tab of its own; Playwright's Page
        browse.shoot(page, "overview")                  # into build/screenshots
        assert [] == violations(page)                   # of axe-core

Playwright's loop runs in the thread of the tests, so a browser lives for one module only: other
tests run loops of their own.
"""

import dataclasses
import functools
import pathlib
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.toolboxes import toolbox

SHOTS = pathlib.Path(__file__).parent.parent.parent / "build" / "screenshots"
AXE = pathlib.Path(__file__).parent / "axe"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
INSTALL_TIMEOUT_S = 300
WAIT_MS = 15_000.0
"""For what a page does: its machine has other work too."""
Size = Literal["desktop", "phone"]
Scheme = Literal["light", "dark"]
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}


@dataclasses.dataclass
class Browse:
    """One browser at one server; every tab is watched."""

    browser: Browser
    base_url: str
    said: list[str] = dataclasses.field(default_factory=list)
    """Errors and warnings of pages' consoles."""
    elsewhere: list[str] = dataclasses.field(default_factory=list)
    """Addresses that pages asked which are not the server's."""
    contexts: list[BrowserContext] = dataclasses.field(default_factory=list)

    def tab(
        self, size: Size = "desktop", scheme: Scheme = "light", language: str = "en-GB"
    ) -> Page:
        """A new tab that shares nothing with others."""
        width, height = SIZES[size]
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            locale=language,
            base_url=self.base_url,
            reduced_motion="reduce",
        )
        context.set_default_timeout(WAIT_MS)
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self._ask(request.url))
        return page

    def sign_in(
        self,
        key: str,
        size: Size = "desktop",
        scheme: Scheme = "light",
        language: str = "en-GB",
    ) -> Page:
        """A new tab whose visitor typed the key in."""
        page = self.tab(size, scheme, language)
        page.goto("/console")
        page.locator("#key").fill(key)
        page.locator("form button").last.click()
        page.wait_for_url("**/console/*")
        return page

    def shoot(self, page: Page, name: str) -> None:
        """A picture of the whole page, for people to look at."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / f"{name}.png", full_page=True)

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        self.contexts.clear()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.said.append(f"{message.type}: {message.text}")

    def _ask(self, url: str) -> None:
        scheme, host = urlsplit(url)[:2]
        if scheme not in ("data", "blob") and host != urlsplit(self.base_url).netloc:
            self.elsewhere.append(url)


def chromium() -> Iterator[Browser]:
    """The system's own browser; fails with what to do where there is none."""
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if path is None:
        pytest.fail("Chromium is needed for this test: apt-get install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


def violations(page: Page) -> list[str]:
    """What axe-core finds serious or critical on the page as it is now."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(axe_source())  # a script tag would be stopped by the page's policy
    found: dict[str, Any] = page.evaluate(
        "() => axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})"
    )
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@functools.cache
def axe_source() -> str:
    folder = toolbox("axe-core", AXE / "package-lock.json", _install)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def _install(folder: pathlib.Path) -> None:
    """Install exactly what package-lock.json names; no script of any package runs."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(AXE / name, folder)
    words = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(words, cwd=folder, check=True, timeout=INSTALL_TIMEOUT_S)
