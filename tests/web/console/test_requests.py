"""The request log: metadata only, everybody's own only, page by page."""

import re

from tests.fakes.web_parts import USER_KEY, Web
from tests.web.console.booked import book
from tests.web.console.browsing import visitor

HOSTILE = "<img src=x onerror=alert(1)>\x1b[2J\u202e"


def test_a_request_with_its_waterfall(site: Web) -> None:
    book(site.parts.store, site.parts.user, "requests-1", fills="echo,n")
    for key in (None, USER_KEY):
        one = visitor(site) if key is None else visitor(site, key)
        assert "requests-1" in one.get("/console/requests").text
        page = one.get("/console/requests/requests-1").text
        assert "echo,n" in page
        assert "2 attempts" in page
        assert all(name in page for name in ("Queue", "Hold", "To the first byte", "Chunks"))
        assert 'class="seg chunks"' in page
        assert ("Upstream" in page) == (key is None)


def test_somebody_elses_is_not_there(site: Web) -> None:
    book(site.parts.store, site.parts.admin, "requests-admins")
    one = visitor(site, USER_KEY)
    assert "requests-admins" not in one.get("/console/requests").text
    query = f"?key={site.parts.admin.id}"
    assert "requests-admins" not in one.get(f"/console/requests{query}").text
    assert 404 == one.get("/console/requests/requests-admins").status
    assert 404 == one.get("/console/requests/nothing").status


def test_filters_and_pages(site: Web) -> None:
    store = site.parts.store
    names = [f"requests-page-{number}" for number in range(60)]
    book(store, site.parts.admin, *names, model="requests-paged", status=500, error_code="e")
    one = visitor(site)
    first = one.get("/console/requests?model=requests-paged").text
    assert 50 == len(set(re.findall(r"requests-page-\d+", first)))
    older = re.search(r'href="(\?[^"]*before=\d+)"', first)
    assert older is not None
    second = one.get(f"/console/requests{older.group(1).replace('&amp;', '&')}").text
    assert 10 == len(set(re.findall(r"requests-page-\d+", second)))
    failed = one.get("/console/requests?model=requests-paged&end=failed").text
    answered = one.get("/console/requests?model=requests-paged&end=answered").text
    assert "requests-page-" in failed
    assert "requests-page-" not in answered
    assert "requests-page-" not in one.get("/console/requests?model=requests-other").text
    found = one.get("/console/requests?id=requests-page-7")
    assert found.headers["location"].endswith("/requests/requests-page-7")


def test_hostile_words_are_inert(site: Web) -> None:
    """Of a caller's `user`, an upstream's error and a megabyte of a model's name."""
    huge = "h" * 1_000_000
    fields = {"user": HOSTILE, "error_code": HOSTILE, "status": 502, "model": HOSTILE + huge}
    book(site.parts.store, site.parts.admin, "requests-hostile", **fields)
    one = visitor(site)
    for path in (
        "/console/requests",
        "/console/requests/requests-hostile",
        "/console/usage?by=model",
    ):
        page = one.get(path)
        assert 200 == page.status
        assert "<img" not in page.text.replace('<img src="../console/static/icon', "").replace(
            '<img src="../../console/static/icon', ""
        )
        assert "\x1b" not in page.text
        assert "\u202e" not in page.text
        assert len(page.raw) < 400_000
