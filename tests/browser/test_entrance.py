"""Signing in with a real browser: in both languages, light and dark, wide and narrow."""

import pytest

from tests.browser.watching import Browse, Scheme, Size, violations
from tests.running import Server


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_the_way_in_and_out(browse: Browse, server: Server, size: Size, scheme: Scheme) -> None:
    page = browse.tab(size, scheme)
    page.goto("/console")
    browse.shoot(page, f"entrance-{size}-{scheme}")
    assert [] == violations(page)
    page.locator("#key").fill(server.key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/console/*")
    page.goto("/console/own")
    browse.shoot(page, f"own-{size}-{scheme}")
    assert [] == violations(page)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/console")
    assert page.locator("#key").is_visible()


def test_chinese_and_the_choice_of_another_language(browse: Browse, server: Server) -> None:
    page = browse.sign_in(server.key, language="zh-CN")
    page.goto("/console/own")
    assert "我的密钥" in page.title()
    page.get_by_role("link", name="English").click()
    assert "My key" in page.title()
    page.goto("/console/own")
    assert "My key" in page.title()
