"""Usage: drilled down, as CSV, and everybody's own only."""

import html
import re

import pytest

from baton.stores.base import PartyRecord
from tests.fakes.web_parts import USER_KEY, Web
from tests.web.console.booked import book
from tests.web.console.browsing import visitor


def test_drilling_down(site: Web) -> None:
    """From a key to its models, from a model to its upstreams."""
    key = site.key()
    record = site.parts.store.keys.all()[-1]
    book(site.parts.store, record, "usage-1", "usage-2", model="usage-model")
    one = visitor(site)
    page = one.get("/console/usage").text
    assert f"key={record.id}&amp;by=model" in page
    page = one.get(f"/console/usage?key={record.id}&by=model").text
    assert "usage-model" in page
    assert "model=usage-model" in page
    page = one.get(f"/console/usage?key={record.id}&model=usage-model&by=upstream").text
    assert ">u</a>" in page
    csv = one.get(f"/console/usage.csv?key={record.id}&by=model")
    assert "text/csv" in csv.content_type
    assert "usage-model,2,0,20,0,10" in csv.text
    own = visitor(site, key.key).get("/console/usage").text
    assert "usage-model" in own
    assert "Cost" not in own


@pytest.mark.parametrize("by", ["day", "model", "end_user"])
def test_an_ordinary_key_sees_its_own(site: Web, by: str) -> None:
    """Whatever the address asks for."""
    book(site.parts.store, site.parts.admin, f"usage-other-{by}", model="usage-secret", user="eve")
    one = visitor(site, USER_KEY)
    page = one.get(f"/console/usage?by={by}&key={site.parts.admin.id}").text
    assert "usage-secret" not in page
    assert ">eve<" not in page


@pytest.mark.parametrize("by", ["key", "upstream", "organisation"])
def test_what_is_not_for_an_ordinary_key(site: Web, by: str) -> None:
    one = visitor(site, USER_KEY)
    assert 403 == one.get(f"/console/usage?by={by}").status
    assert 403 == one.get("/console/usage.csv").status


def test_a_team_admin_sees_its_party(site: Web) -> None:
    store = site.parts.store
    store.parties.add(
        PartyRecord(id="org_usage", kind="organisation", name="usage", created_us=1), "test"
    )
    key = site.key(role="team_admin", owner="org_usage")
    record = next(each for each in store.keys.all() if each.owner == "org_usage")
    book(store, record, "usage-team-1", model="usage-team")
    book(store, site.parts.admin, "usage-team-2", model="usage-not-team")
    one = visitor(site, key.key)
    page = one.get("/console/usage?by=model&party=").text
    assert "usage-team" in page
    assert "usage-not-team" not in page


@pytest.mark.parametrize("query", ["by=nothing", "days=x"])
def test_what_cannot_be_asked(site: Web, query: str) -> None:
    assert 400 == visitor(site).get(f"/console/usage?{query}").status


@pytest.mark.parametrize("narrowed", ["end_user=links-eve", "model=links-m", "upstream=u"])
def test_links_lead_somewhere(site: Web, narrowed: str) -> None:
    """A page leads to no grouping that there are no sums by beside what narrows it."""
    book(site.parts.store, site.parts.admin, "usage-links", model="links-m", user="links-eve")
    for one in (visitor(site), visitor(site, USER_KEY)):
        page = one.get(f"/console/usage?{narrowed}")
        assert 200 == page.status
        links = [html.unescape(found) for found in re.findall(r'href="(\?[^"]+)"', page.text)]
        assert any("by=" in link for link in links)
        assert {200} == {one.get(f"/console/usage{link}").status for link in links}
