"""The request log: metadata only, everybody's own only, page by page."""

import re

from baton.routing.routes import EMBEDDED
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


def test_an_id_is_looked_for_whatever_it_is_made_of(site: Web) -> None:
    """It leads to its own page: also one that is no id, and no header may hold."""
    one = visitor(site)
    for given, led in (
        ("a%0D%0ASet-Cookie:%20x=y", "requests/a%0D%0ASet-Cookie%3A%20x%3Dy"),
        ("%E4%BD%A0?a%23b", "requests/%E4%BD%A0%3Fa%23b"),
        ("%5C%5Cexample.com", "requests/%5C%5Cexample.com"),
        ("//example.com", "requests"),
    ):
        found = one.get(f"/console/requests?id={given}")
        assert (303, f"../console/{led}") == (found.status, found.headers["location"])
        assert "set-cookie" not in found.headers


def test_no_number_of_a_row_is_400(site: Web) -> None:
    """What no database holds: on every page that leads to older rows."""
    one = visitor(site)
    for page in ("requests", "audit", f"upstreams/{EMBEDDED}/history"):
        assert 200 == one.get(f"/console/{page}?before=9").status
        assert 400 == one.get(f"/console/{page}?before={2**63}").status


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
