"""Organisations, teams and users on the console."""

import re

import msgspec

from baton.stores.base import PartyRecord
from baton.web.console.accounts import ordered
from tests.fakes.web_parts import Web
from tests.web.console.browsing import Visitor, form_of, visitor


def made(one: Visitor, kind: str, name: str, parent: str = "") -> str:
    answer = one.post("/console/accounts", {"kind": kind, "name": name, "parent": parent})
    assert 303 == answer.status, answer.text
    found = re.search(r"accounts/(\w+)\?", answer.headers["location"])
    assert found is not None
    return found.group(1)


def test_made_changed_and_closed(site: Web) -> None:
    one = visitor(site)
    organisation = made(one, "organisation", "accounts <b>co<b>")
    team = made(one, "team", "accounts-team", organisation)
    page = one.get("/console/accounts").text
    assert "accounts &lt;b&gt;co&lt;b&gt;" in page
    given = {
        "name": "renamed",
        "requests_per_minute": "5",
        "budget_amount": "3",
        "budget_unit": "nano_usd",
        "budget_span": "week",
        "budget_zone": "UTC",
    }
    assert 303 == one.post(f"/console/accounts/{team}", given).status
    page = one.get(f"/console/accounts/{team}").text
    assert "renamed" in page
    assert "$3.00" in page
    assert 303 == one.post(f"/console/accounts/{team}/close").status
    assert "closed" in one.get(f"/console/accounts/{team}").text


def test_a_form_changes_what_its_visitor_changed(site: Web) -> None:
    """What others set since the page was shown stays."""
    one, parties = visitor(site), site.parts.store.parties
    organisation = made(one, "organisation", "accounts-twice")
    path = f"/console/accounts/{organisation}"
    page = one.get(path)
    before = parties.update(organisation, "test", None, requests_per_minute=5, networks=("::1",))
    assert 303 == one.post(path, form_of(page, path, name="accounts-again")).status
    after = msgspec.structs.replace(before, name="accounts-again")
    assert after == parties.get(organisation)
    assert 409 == one.post(path, form_of(page, path, requests_per_minute="9")).status
    assert after == parties.get(organisation)


def test_what_does_not_fit_is_told(site: Web) -> None:
    one = visitor(site)
    assert 400 == one.post("/console/accounts", {"kind": "planet", "name": "n"}).status
    assert 400 == one.post("/console/accounts", {"kind": "team", "name": "n"}).status
    assert 404 == one.get("/console/accounts/nobody").status


def test_a_team_admin_cannot_lift_its_own_limits(site: Web) -> None:
    admin = visitor(site)
    organisation = made(admin, "organisation", "accounts-own")
    team = made(admin, "team", "accounts-own-team", organisation)
    one = visitor(site, site.key(role="team_admin", owner=team).key)
    assert 404 == one.get(f"/console/accounts/{organisation}").status
    assert 403 == one.post(f"/console/accounts/{team}", {"name": "n"}).status
    refused = one.post("/console/accounts", {"kind": "organisation", "name": "mine"})
    assert 400 == refused.status
    user = made(one, "user", "accounts-user", team)
    assert user in one.get("/console/accounts").text


def test_a_tree_in_order() -> None:
    def party(name: str, parent: str = "") -> PartyRecord:
        return PartyRecord(id=name, kind="team", name=name, parent=parent)

    rows = ordered([party("c", "a"), party("a"), party("b", "gone"), party("d", "c")])
    assert [(0, "a"), (1, "c"), (2, "d"), (0, "b")] == [(depth, one.id) for depth, one in rows]
