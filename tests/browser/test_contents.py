"""The content of a request in a real browser: asked for, inert, and readable on a phone."""

import time

from playwright.sync_api import Page, expect

from tests.asking import Endpoint
from tests.browser.watching import Browse, violations
from tests.running import Server

PROMPT = "<img src=x onerror=alert(1)>\u202e " + "x" * 60
WITHIN_S = 15.0


def shown(page: Page, path: str) -> Page:
    """The page once the request's content is written: a moment after its end."""
    deadline_s = time.monotonic() + WITHIN_S
    while True:
        answer = page.goto(path)
        if answer is not None and answer.ok and page.locator("#kept form").count():
            return page
        assert time.monotonic() < deadline_s
        page.wait_for_timeout(100)


def test_a_content_is_asked_for(browse: Browse, server: Server) -> None:
    """A key is made that keeps content; its request's page shows prompt and answer as text, nothing
    wider than the window, nothing serious for axe; the caller's own page says that it is kept."""
    page = browse.sign_in(server.admin_key, "phone", "dark")
    page.goto("/console/keys")
    page.get_by_text("New key", exact=True).click()
    page.locator("#f-name").fill("kept")
    page.locator("#f-keep_content_days").fill("2")
    page.get_by_role("button", name="Create key").click()
    value = page.locator("#value").inner_text()
    fields = {"prompt": PROMPT, "max_tokens": 4, "echo": True}
    answer = Endpoint(server.base_url, value, server.model).complete(**fields)
    assert 200 == answer.status
    # The ledger has it a second later; looking before that is an error on the console of the page.
    admin = Endpoint(server.base_url, server.admin_key, server.model)
    request_id = answer.headers["x-request-id"]
    deadline_s = time.monotonic() + WITHIN_S
    while 200 != admin.get(f"/admin/v1/requests/{request_id}").status:
        assert time.monotonic() < deadline_s
    shown(page, f"/console/requests/{request_id}")
    page.get_by_role("button", name="Show the content").click()
    expect(page.locator("pre.kept").first).to_have_text(PROMPT.replace("\u202e", "\\u202e"))
    assert 2 == page.locator("pre.kept").count()
    assert 0 == page.locator("pre img").count()
    assert [] == violations(page)
    wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0
    browse.shoot(page, "content-phone-dark")
    own = browse.sign_in(value)
    own.goto("/console/own")
    expect(own.get_by_text("those who administer the key may read them")).to_be_visible()
