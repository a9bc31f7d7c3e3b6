"""The log of refused requests: everybody's own only, filtered, page by page, found by its id."""

import re

from tests.fakes.web_parts import USER_KEY, Web
from tests.stores.test_refusals import refusal
from tests.web.console.browsing import visitor

PAGE = "/console/requests/refused"
HOSTILE = "<img src=x onerror=alert(1)>\x1b[2J\u202e"


def test_a_refused_request(site: Web) -> None:
    """In the list, and by its id among the requests: its key by name, and what was told."""
    rows = [
        refusal("refused-users", 7, key_id=site.parts.user.id, message="Come back.", times=4_321),
        refusal("refused-nobodys", 8, key_id="", status=401, code="invalid_api_key"),
    ]
    site.parts.store.refusals.add(rows)
    one = visitor(site)
    listed = one.get(PAGE).text
    assert all(text in listed for text in ("refused-users", "Come back.", "× 4\u202f321"))
    assert "no known key" in listed
    assert 'href="../../console/requests/refused" aria-current="page"' in listed
    page = one.get("/console/requests/refused-users").text
    for text in ("429", "rate_limit_exceeded", "Come back.", "4\u202f321", "POST /v1/completions"):
        assert text in page
    assert ">user <span" in page
    assert "401" in one.get("/console/requests/refused-nobodys").text
    assert 404 == one.get("/console/requests/refused-not").status
    found = one.get(f"{PAGE}?id=refused-users")
    assert (303, "../../console/requests/refused-users") == (
        found.status,
        found.headers["location"],
    )


def test_somebody_elses_is_not_there(site: Web) -> None:
    """An ordinary key sees its own alone, and not how many there are."""
    mine = refusal("refused-mine", 10**15, key_id=site.parts.user.id)
    others = [refusal("refused-admins", 10**15, key_id=site.parts.admin.id)]
    others += [refusal("refused-unknown", 10**15, key_id="")]
    site.parts.store.refusals.add([mine, *others])
    site.parts.metrics.refusal_ended("dropped", 7_654)
    one = visitor(site, USER_KEY)
    for query in ("", f"?key={site.parts.admin.id}", "?key="):
        page = one.get(PAGE + query).text
        assert not re.search("refused-(admins|unknown)", page)
        assert "7\u202f654" not in page
    assert "refused-mine" in one.get(PAGE).text
    for name in ("refused-admins", "refused-unknown"):
        assert 404 == one.get(f"/console/requests/{name}").status
    seen = visitor(site).get(PAGE).text
    assert re.search("Not kept on this machine so far: 7\u202f654", seen)


def test_filters_and_pages(site: Web) -> None:
    store, key = site.parts.store, "key_paged"
    names = [f"refused-page-{number}" for number in range(60)]
    store.refusals.add([refusal(name, n, key_id=key) for n, name in enumerate(names)])
    one = visitor(site)
    first = one.get(f"{PAGE}?key={key}&status=429").text
    assert 50 == len(set(re.findall(r"refused-page-\d+", first)))
    older = re.search(r'href="(\?[^"]*before=\d+)"', first)
    assert older is not None
    second = one.get(PAGE + older.group(1).replace("&amp;", "&")).text
    assert 10 == len(set(re.findall(r"refused-page-\d+", second)))
    for query in ("status=400", "code=other"):
        page = one.get(f"{PAGE}?key={key}&{query}").text
        assert "No such refused requests" in page
        assert "refused-page" not in page
    for status in ("many", "1" + "0" * 30):
        assert 400 == one.get(f"{PAGE}?status={status}").status
    assert 400 == one.get(f"{PAGE}?before={2**63}").status
    assert 200 == one.get(f"{PAGE}?id=//example.com").status


def test_hostile_words_are_inert(site: Web) -> None:
    """Whatever a caller wrote, were it kept as it came."""
    fields = {"message": HOSTILE, "model": HOSTILE, "route": HOSTILE, "param": HOSTILE}
    site.parts.store.refusals.add([refusal("refused-hostile", 2 * 10**15, **fields)])
    one = visitor(site)
    for path in (PAGE, "/console/requests/refused-hostile"):
        page = one.get(path).text
        assert "&lt;img" in page
        assert not re.search("<img src=x|\x1b|\u202e", page)


def test_in_chinese(site: Web) -> None:
    page = visitor(site).get(f"{PAGE}?lang=zh").text
    assert "被拒绝的请求" in page
