"""The visitor's own key."""

from tests.fakes.web_parts import USER_KEY, Web
from tests.web.console.browsing import visitor


def test_limits_of_all_levels_stand_there(site: Web) -> None:
    key = site.key(requests_per_minute=60, budget_nano=10_000)
    page = visitor(site, key.key).get("/console/own").text
    assert "requests a minute" in page
    assert "$0.00000150" in page
    assert 'width="15.0"' in page, "1,500 of 10,000 are spent"


def test_without_limits_it_says_so(site: Web) -> None:
    assert "No limits." in visitor(site, USER_KEY).get("/console/own").text
