"""Organisations, teams and users by the admin API: made, read, changed, closed."""

import itertools

import pytest

from tests.asking import Answer
from tests.bookkeeping import named_before
from tests.fakes.web_parts import Web

NUMBERS = itertools.count(1)
DAY = {"amount": 7, "unit": "tokens", "span": "day", "zone": "Asia/Shanghai"}


def made(site: Web, plural: str, **fields: object) -> Answer:
    return site.admin.post(f"/admin/v1/{plural}", {"name": f"n{next(NUMBERS)}", **fields})


def chain(site: Web, **limits: object) -> tuple[str, str, str]:
    """An organisation, its team and a user of that, with these limits each."""
    organisation = made(site, "organisations", **limits).json["id"]
    team = made(site, "teams", parent=organisation, **limits).json["id"]
    return organisation, team, made(site, "users", parent=team, **limits).json["id"]


def test_made_read_and_listed(site: Web) -> None:
    """What goes in comes out, by id and in the list of its kind."""
    limits: dict[str, object] = {
        "expires_us": 2**57,
        "models": ["a"],
        "networks": ["10.0.0.0/8"],
        "requests_per_minute": 5,
        "tokens_per_minute": 6,
        "requests_at_once": 7,
        "budgets": [DAY],
    }
    parents = ["", *chain(site, **limits)]
    for plural, parent, party in zip(
        ("organisations", "teams", "users"), parents, parents[1:], strict=False
    ):
        seen = site.admin.get(f"/admin/v1/{plural}/{party}").json
        assert limits == {name: seen[name] for name in limits}
        assert (parent, None) == (seen["parent"], seen["closed_us"])
        listed = site.admin.get(f"/admin/v1/{plural}?limit=1000").json["data"]
        assert seen in listed
        other = "users" if plural == "teams" else "teams"
        assert 404 == site.admin.get(f"/admin/v1/{other}/{party}").status, "of another kind"


def test_a_change_touches_only_what_is_given(site: Web) -> None:
    """Absent stays, null clears, budgets are replaced as a whole; an empty change changes
    nothing."""
    _, team, _ = chain(site, requests_per_minute=5, budgets=[DAY])
    path = f"/admin/v1/teams/{team}"
    changed = site.admin.ask("PATCH", path, b'{"requests_per_minute": null, "models": ["m"]}').json
    assert (None, ["m"], [DAY]) == (
        *(changed["requests_per_minute"], changed["models"]),
        changed["budgets"],
    )
    assert [] == site.admin.ask("PATCH", path, b'{"budgets": []}').json["budgets"]
    before = site.admin.get(path).json
    assert before == site.admin.ask("PATCH", path, b"{}").json


@pytest.mark.parametrize(
    ("plural", "fields", "status", "param"),
    [
        ("organisations", {"name": ""}, 400, "name"),
        ("organisations", {"parent": "x"}, 400, "parent"),
        ("teams", {}, 400, "parent"),
        ("teams", {"parent": "gone"}, 404, None),
        ("users", {"parent": "USER"}, 400, None),
        ("teams", {"parent": "TEAM"}, 400, None),
        ("organisations", {"networks": ["nowhere"]}, 400, "networks"),
        ("organisations", {"budgets": [{**DAY, "zone": "Mars"}]}, 400, "budgets"),
        ("organisations", {"budgets": [{**DAY, "amount": -1}]}, 400, "budgets"),
        ("organisations", {"budgets": [{**DAY, "span": "year"}]}, 400, "budgets"),
        ("organisations", {"requests_at_once": 0}, 400, "requests_at_once"),
        ("organisations", {"name": "a/b"}, 400, "name"),
        ("organisations", {"name": "a\nb"}, 400, "name"),
    ],
)
def test_what_cannot_be(
    site: Web, plural: str, fields: dict[str, object], status: int, param: str | None
) -> None:
    """It is refused with the field's name, and nothing is stored."""
    _, team, user = chain(site)
    there = len(site.parts.store.parties.all())
    given = {
        name: {"TEAM": team, "USER": user}.get(str(value), value) for name, value in fields.items()
    }
    answer = made(site, plural, **given)
    assert (status, param) == (
        answer.status,
        (answer.error["param"] or "").partition("[")[0] or None,
    )
    assert there == len(site.parts.store.parties.all())


def test_names_are_taken_once(site: Web) -> None:
    """Under one parent; elsewhere the same name is another's."""
    first, second = chain(site)[0], chain(site)[0]
    assert [201, 409, 201] == [
        made(site, "teams", name="same", parent=parent).status for parent in (first, first, second)
    ]
    other = made(site, "teams", parent=first).json["id"]
    taken = site.admin.ask("PATCH", f"/admin/v1/teams/{other}", b'{"name": "same"}')
    assert (409, "already_exists") == (taken.status, taken.error["code"])


def test_a_name_from_before_stays(site: Web) -> None:
    """One with a '/', which none gets any more, is read and written as ever."""
    organisation = made(site, "organisations").json["id"]
    named_before(site.parts.store, organisation, "a/b")
    path = f"/admin/v1/organisations/{organisation}"
    kept = site.admin.ask("PATCH", path, b'{"name": "a/b", "requests_per_minute": 5}')
    assert (200, "a/b", 5) == (kept.status, kept.json["name"], kept.json["requests_per_minute"])
    refused = site.admin.ask("PATCH", path, b'{"name": "a/c"}')
    assert (400, "name") == (refused.status, refused.error["param"])
    assert 200 == site.admin.ask("PATCH", path, b'{"name": "ab"}').status


def test_closing_ends_the_keys_under_it(site: Web) -> None:
    """At once in this worker; closing again changes nothing; nothing new comes under it."""
    organisation, team, user = chain(site)
    caller = site.key(owner=user)
    assert 200 == caller.get("/v1/models").status
    first = site.admin.post(f"/admin/v1/organisations/{organisation}/close", {})
    again = site.admin.post(f"/admin/v1/organisations/{organisation}/close", {})
    assert first.json["closed_us"] == again.json["closed_us"] is not None
    assert 401 == caller.get("/v1/models").status
    assert 400 == made(site, "users", parent=team).status


def test_limits_reach_the_caller(site: Web) -> None:
    """/v1/key shows every level; models that one of them does not allow are not there."""
    _, _, user = chain(site, models=["tiny-bytes"], budgets=[DAY], requests_per_minute=9)
    caller = site.key(owner=user, models=["tiny-bytes", "else"])
    standing = caller.get("/v1/key").json
    assert ["key", "user", "team", "organisation"] == [each["kind"] for each in standing["levels"]]
    assert [None, 9, 9, 9] == [each["requests_remaining"] for each in standing["levels"]]
    [budget] = standing["levels"][1]["budgets"]
    assert ("tokens", 7, 7) == (budget["unit"], budget["amount"], budget["remaining"])
    assert standing["tightest"]["amount"] == standing["tightest"]["remaining"], "nothing is used"
    assert ["tiny-bytes"] == [each["id"] for each in caller.get("/v1/models").json["data"]]
    nowhere = site.key(owner=user, models=["else"])
    assert [] == nowhere.get("/v1/models").json["data"]
    elsewhere = site.key(networks=["203.0.113.0/24"])
    assert (403, "ip_not_allowed") == (
        elsewhere.get("/v1/key").status,
        elsewhere.get("/v1/key").error["code"],
    )
