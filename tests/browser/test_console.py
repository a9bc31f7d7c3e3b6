"""The console in a real browser at a real `baton serve`: a key's life, and every page looked at."""

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.asking import Endpoint
from tests.browser.watching import Browse, Scheme, Size, violations
from tests.running import Server

PAGES = (
    "overview", "usage", "requests", "requests/refused", "keys", "accounts", "upstreams", "models",
    "audit", "own",
)  # fmt: skip
REVOKED_WITHIN_S = 2.0
"""All workers know of a change within a second; a busy machine may take another."""
WITHIN_S = 15.0
PROMPT = "Once <img src=x onerror=alert(1)>\u202e"
NAME = "<script>alert('console')</script>\u202e"


def create(page: Page, name: str) -> str:
    """A new key by the form; its value."""
    page.goto("/console/keys")
    page.get_by_text("New key", exact=True).click()
    page.locator("#f-name").fill(name)
    page.locator("#f-budget").fill("1.00")
    page.locator("#f-keep_content_days").fill("2")
    page.get_by_role("button", name="Create key").click()
    return page.locator("#value").inner_text()


def read_content(page: Page) -> None:
    """By the form on a request's page, once it is written, a moment after the request's end: what
    was sent stands there as text."""
    deadline_s = time.monotonic() + WITHIN_S
    while not page.locator("#kept form").count():
        assert time.monotonic() < deadline_s
        page.reload()
    page.get_by_role("button", name="Show the content").click()
    expect(page.locator("pre.kept").first).to_have_text(PROMPT.replace("\u202e", "\\u202e"))
    assert (2, 0) == (page.locator("pre.kept").count(), page.locator("pre img").count())
    assert [] == violations(page)


def requests_of(page: Page) -> int:
    """What the overview counts."""
    return int(page.locator('[data-tile="requests"]').inner_text())


def test_the_life_of_a_key(browse: Browse, server: Server) -> None:
    """Made in one tab, used, seen by another without loading it again, revoked."""
    watching = browse.sign_in(server.admin_key)
    watching.goto("/console/overview?window=hour")
    expect(watching.locator(".live")).to_have_class(re.compile("on"))
    expect(watching.locator('[data-chart="requests"] svg')).to_be_visible()
    page = browse.sign_in(server.admin_key)
    value = create(page, NAME)
    assert re.fullmatch(r"sk-bt-\w{28}", value)
    browse.shoot(page, "key-made")
    before = requests_of(watching)
    caller = Endpoint(server.base_url, value, server.model)
    assert 200 == caller.complete(prompt=PROMPT, max_tokens=4, stream=True).status
    expect(watching.locator('[data-tile="requests"]')).not_to_have_text(str(before))
    assert requests_of(watching) > before
    page.goto("/console/requests")
    page.locator("tbody a").first.click()
    expect(page.get_by_text("Where the time went")).to_be_visible()
    read_content(page)
    browse.shoot(page, "request-desktop")
    own = browse.sign_in(value, "phone")
    assert own.locator("tbody tr").count() == 1, "its one request, by model"
    own.goto("/console/own")
    expect(own.locator(".bar").first).to_be_visible()
    page.goto("/console/keys")
    page.get_by_role("link", name=re.compile("alert")).first.click()
    assert [] == violations(page)
    browse.shoot(page, "key-desktop")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("status")).to_have_text("Revoked.")
    deadline = time.monotonic() + REVOKED_WITHIN_S
    while 401 != caller.get("/v1/key").status:
        assert time.monotonic() < deadline
    own.goto("/console/own")
    expect(own.locator("#key")).to_be_visible()


@pytest.mark.parametrize(
    ("size", "scheme", "language"),
    [("desktop", "light", "en-GB"), ("phone", "dark", "zh-CN")],
)
def test_every_page(
    browse: Browse, server: Server, size: Size, scheme: Scheme, language: str
) -> None:
    """Nothing serious for axe, nothing wider than the window."""
    page = browse.sign_in(server.admin_key, size, scheme, language)
    for name in PAGES:
        page.goto(f"/console/{name}")
        if name == "overview":
            expect(page.locator('[data-chart="rates"] svg')).to_be_visible()
        browse.shoot(page, f"{name.replace('/', '-')}-{size}-{scheme}")
        assert [] == violations(page), name
        wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{name} is {wide} px too wide"


def made(server: Server, path: str, **fields: object) -> dict[str, Any]:
    """What the admin API made."""
    answer = server.admin.post(f"/admin/v1/{path}", fields)
    assert 201 == answer.status, answer.text
    found: dict[str, Any] = answer.json
    return found


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_long_names(browse: Browse, server: Server, size: Size) -> None:
    """A name without a space in it, as long as one may be, makes no page wider than its window, and
    takes no place from what stands beside it."""
    long = f"{size[0]:W<200}"
    party = made(server, "organisations", name=long)["id"]
    key = made(server, "keys", name=long, owner=party)["id"]
    name = long.lower()[:64]
    models = {"long": "long"}
    made(server, "upstreams", name=name, url="http://127.0.0.1:9", dialect="vllm", models=models)
    page = browse.sign_in(server.admin_key, size)
    upstream = f"upstreams/{name}"
    for path in (f"keys/{key}", f"accounts/{party}", upstream, f"{upstream}/history"):
        page.goto(f"/console/{path}")
        wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{path} is {wide} px too wide"
    for path in ("keys", "accounts"):
        page.goto(f"/console/{path}")
        for link in page.locator(f'tbody a[href$="accounts/{party}"]').all():
            box = link.bounding_box()
            assert box is not None
            assert box["width"] < 400, path
    page.goto("/console/upstreams")
    browse.shoot(page, f"upstreams-long-{size}")
    for row in page.locator(".strips .row").all():
        strip, sums = row.locator("svg").bounding_box(), row.locator(".sums").bounding_box()
        assert strip is not None
        assert sums is not None
        beside = strip["x"] + strip["width"] <= sums["x"]
        assert beside or strip["y"] + strip["height"] <= sums["y"]
    assert 200 == server.admin.ask("DELETE", f"/admin/v1/{upstream}").status


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "dark"), ("phone", "light")])
def test_the_theme_is_a_choice(browse: Browse, server: Server, size: Size, scheme: Scheme) -> None:
    """Whatever the system says."""
    other: Scheme = "light" if scheme == "dark" else "dark"
    page = browse.sign_in(server.admin_key, size, other)
    with page.expect_navigation():
        page.get_by_role("link", name=scheme.capitalize(), exact=True).click()
    colour = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    page.goto("/console/keys")
    assert colour == page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert [] == violations(page)
    browse.shoot(page, f"keys-{size}-{scheme}")
