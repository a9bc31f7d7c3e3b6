"""The console at a listener of its own, in a real browser: forms, live numbers, the playground."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests import running
from tests.browser.test_console import create
from tests.browser.test_playground import fill, play, run
from tests.browser.watching import WAIT_MS, Browse, violations
from tests.running import DEFAULT_MODEL, Server


@pytest.fixture(scope="module")
def admin_port() -> int:
    return running.free_port()


@pytest.fixture(scope="module")
def apart(
    admin_port: int, default_model: object, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server with two listeners, and the default model."""
    assert default_model is not None
    home = tmp_path_factory.mktemp("listeners") / "home"
    given = {"BATON_ADMIN_LISTEN": f"127.0.0.1:{admin_port}"}
    with running.serving(home, given) as started:
        yield started


@pytest.fixture
def inside(browser: Browser, apart: Server, admin_port: int) -> Iterator[Browse]:
    """A watched browser at the operators' listener."""
    watched = Browse(browser, f"http://127.0.0.1:{admin_port}")
    yield watched
    watched.close()
    assert [] == watched.said
    assert [] == watched.elsewhere


def test_a_key_made_there_works_where_callers_are(inside: Browse, apart: Server) -> None:
    """The bare address leads to the sign-in; a form makes a key; numbers come by themselves."""
    page = inside.tab()
    page.goto("/")
    page.locator("#key").fill(apart.admin_key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/console/overview")
    value = create(page, "made-inside")
    page.goto("/console/overview?window=hour")
    expect(page.locator(".live")).to_have_class(re.compile("on"))
    expect(page.locator("#curl")).to_contain_text(f"curl {apart.base_url}/v1/completions")
    answer = apart.endpoint.post(
        "/v1/completions",
        {"model": DEFAULT_MODEL, "prompt": "Once", "max_tokens": 2},
        Authorization=f"Bearer {value}",
    )
    assert 200 == answer.status
    expect(page.locator('[data-tile="requests"]')).to_have_text("1", timeout=WAIT_MS)
    inside.shoot(page, "listener-overview")
    assert [] == violations(page)
    page.get_by_role("link", name="Docs", exact=True).click()
    page.wait_for_url("**/docs")
    page.goto("/docs/admin/adminlistkeys")
    expect(page.locator("figure.code").first).to_contain_text(f"{inside.base_url}/admin/v1/keys")
    inside.shoot(page, "listener-docs")


def test_the_playground_calls_where_it_is(inside: Browse, apart: Server) -> None:
    """With the session; what it shows to be copied is callers' address."""
    page = play(inside, apart.key)
    fill(page, max_tokens=8, seed=3)
    run(page)
    assert page.locator(".answer .token").count() > 4
    page.locator("#code summary").click()
    expect(page.locator("#code pre")).to_contain_text(f"{apart.base_url}/v1/completions")
    inside.shoot(page, "listener-playground")
    assert [] == violations(page)
