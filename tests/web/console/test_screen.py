"""Every screen asks who comes, and believes only pages of ours."""

from urllib.parse import urlencode

import pytest

from baton.web.console.screen import Screen
from baton.web.console.table import SCREENS
from baton.web.operation import Access
from tests.fakes.web_parts import USER_KEY, Web
from tests.web.console.browsing import visitor

CLOSED = [one for one in SCREENS if one.access is not Access.OPEN]
POSTS = [one for one in SCREENS if one.method == "POST"]
OTHER_SITE = "https://evil.test"


def at(screen: Screen) -> str:
    """An address of the screen; what it names is not there."""
    return screen.path.replace("{", "").replace("}", "")


def name(screen: Screen) -> str:
    return f"{screen.method} {screen.path}"


@pytest.mark.parametrize("screen", CLOSED, ids=name)
def test_nobody_without_a_session(site: Web, screen: Screen) -> None:
    """The way leads to the sign-in, also for a key in a header and a made-up cookie."""
    stranger = visitor(site, None)
    for cookie in ("", "baton_session=AAAA"):
        stranger.cookie = cookie
        answer = stranger.get(at(screen)) if screen.method == "GET" else stranger.post(at(screen))
        assert 303 == answer.status
        place = at(screen).removeprefix("/console/")
        query = urlencode({"to": place} if screen.method == "GET" else {"unread": "1"})
        assert answer.headers["location"].endswith(f"console?{query}")


@pytest.mark.parametrize("screen", POSTS, ids=name)
def test_pages_of_other_sites_change_nothing(site: Web, screen: Screen) -> None:
    """A foreign or opaque Origin, or none, is 403, whatever the cookie."""
    one = visitor(site)
    assert 403 == one.post(at(screen), Origin=OTHER_SITE).status
    assert 403 == one.post(at(screen), Origin="null").status
    assert 403 == one.post(at(screen), Origin=None).status


@pytest.mark.parametrize("screen", [one for one in POSTS if one in CLOSED], ids=name)
def test_a_page_without_the_mark_changes_nothing(site: Web, screen: Screen) -> None:
    one = visitor(site)
    for mark in ("", "0" * 32, visitor(site, USER_KEY).mark):
        one.mark = mark
        assert 403 == one.post(at(screen)).status


@pytest.mark.parametrize(
    "screen", [one for one in CLOSED if one.access is not Access.KEY], ids=name
)
def test_an_ordinary_key_opens_its_own_pages_only(site: Web, screen: Screen) -> None:
    one = visitor(site, USER_KEY)
    answer = one.get(at(screen)) if screen.method == "GET" else one.post(at(screen))
    assert 403 == answer.status


def test_wrong_method(site: Web) -> None:
    assert 405 == visitor(site).post("/console/own").status


def test_what_is_no_form_is_refused(site: Web) -> None:
    answer = visitor(site).post("/console/sign-out", Content_Type="application/json")
    assert 400 == answer.status
